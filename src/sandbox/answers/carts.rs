//! Carts, from the first line to the sales order.

use serde_json::{Value, json};

use super::{Answer, Answered};
use crate::sandbox::call::{Call, field};
use crate::sandbox::carts::{Cart, Line, MAX_LINES, Order};
use crate::sandbox::company::Customer;
use crate::sandbox::problem::Problem;
use crate::sandbox::shop::{PriceContext, round_money};

const DELIVERY_CHARGE: f64 = 9.95;
const MAX_QUANTITY: f64 = 10_000.0;
const SHOPPING_CART: i64 = 1;

pub(crate) fn create<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let mut cart = Cart {
        id: call.shop.carts.issue_id(),
        version: 1,
        customer: call.customer()?,
        channel: call.channel,
        type_value: SHOPPING_CART,
        lines: Vec::new(),
        charge: DELIVERY_CHARGE,
    };
    add_lines(call, &mut cart, call.list("CartLines"))?;
    call.shop.carts.insert(cart.clone());
    Ok(Answer::Created("Cart", answer(call, &cart)))
}

pub(crate) fn read<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let id = id_of(call)?;
    let cart = call.shop.carts.get(id).ok_or_else(|| missing("Carts", id))?;
    check_owner(call, cart.customer)?;
    Ok(Answer::Entity("Cart", answer(call, &cart)))
}

pub(crate) fn add_cart_lines<'a>(call: &'a Call<'a>) -> Answered<'a> {
    update(call, |cart| add_lines(call, cart, call.list("cartLines")))
}

pub(crate) fn update_cart_lines<'a>(call: &'a Call<'a>) -> Answered<'a> {
    update(call, |cart| {
        for change in call.list("cartLines") {
            let id = field(change, "LineId").and_then(Value::as_str).unwrap_or_default();
            let quantity = quantity_of(change)?;
            let line = cart.lines.iter_mut().find(|line| line.id == id);
            line.ok_or(Problem::CartLine("no such line"))?.quantity = quantity;
        }
        Ok(())
    })
}

pub(crate) fn remove_cart_lines<'a>(call: &'a Call<'a>) -> Answered<'a> {
    update(call, |cart| {
        for id in call.list("cartLineIds").iter().filter_map(Value::as_str) {
            let at = cart.lines.iter().position(|line| line.id == id);
            cart.lines.remove(at.ok_or(Problem::CartLine("no such line"))?);
        }
        Ok(())
    })
}

/// A function, called by GET, that changes the cart.
pub(crate) fn reset_all_charges<'a>(call: &'a Call<'a>) -> Answered<'a> {
    if call.entity_key.is_none() {
        return Ok(Answer::Nothing);
    }
    update(call, |cart| {
        cart.charge = 0.0;
        Ok(())
    })
}

pub(crate) fn copy<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let id = id_of(call)?;
    let mut cart = call.shop.carts.get(id).ok_or_else(|| missing("Carts", id))?;
    check_owner(call, cart.customer)?;
    cart.id = call.shop.carts.issue_id();
    cart.version = 1;
    cart.type_value = call.int("targetCartType").unwrap_or(cart.type_value);
    call.shop.carts.insert(cart.clone());
    Ok(Answer::Entity("Cart", answer(call, &cart)))
}

pub(crate) fn checkout<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let id = id_of(call)?;
    let carts = &call.shop.carts;
    let cart = carts.get(id).ok_or_else(|| missing("Carts", id))?;
    check_owner(call, cart.customer)?;
    if cart.lines.is_empty() {
        return Err(Problem::EmptyCart);
    }
    let cart = carts.take(id).ok_or_else(|| missing("Carts", id))?;
    let order_id = carts.issue_id();
    let answer = sales_order(call, &cart, &order_id);
    carts.insert_order(order_id, Order { customer: cart.customer, answer: answer.clone() });
    Ok(Answer::Entity("SalesOrder", answer))
}

pub(crate) fn read_order<'a>(call: &'a Call<'a>) -> Answered<'a> {
    let id = id_of(call)?;
    let order = call.shop.carts.order(id).ok_or_else(|| missing("SalesOrders", id))?;
    check_owner(call, order.customer)?;
    Ok(Answer::Entity("SalesOrder", order.answer))
}

fn id_of<'c>(call: &'c Call<'_>) -> Result<&'c str, Problem> {
    let id = call.entity_key.as_ref().and_then(Value::as_str);
    id.ok_or(Problem::IllTypedParameter { name: "Id", expects: "text" })
}

fn missing(set: &'static str, id: &str) -> Problem {
    Problem::NoSuchEntity { set, id: id.to_owned() }
}

/// An anonymous cart is anybody's who knows its id; a customer's is the customer's.
fn check_owner(call: &Call<'_>, owner: Option<&'static Customer>) -> Result<(), Problem> {
    match owner {
        Some(owner) if call.customer()?.map(|c| c.account) != Some(owner.account) => {
            Err(Problem::NotYours)
        }
        _ => Ok(()),
    }
}

fn update<'a>(
    call: &'a Call<'a>,
    change: impl FnOnce(&mut Cart) -> Result<(), Problem>,
) -> Answered<'a> {
    let cart = call.shop.carts.update(id_of(call)?, |cart| {
        check_owner(call, cart.customer)?;
        change(cart)
    })?;
    Ok(Answer::Entity("Cart", answer(call, &cart)))
}

/// The next line's number is the cart's version and its place, so that none is given twice.
fn add_lines(call: &Call<'_>, cart: &mut Cart, lines: &[Value]) -> Result<(), Problem> {
    if cart.lines.len() + lines.len() > MAX_LINES {
        return Err(Problem::CartLine("too many lines"));
    }
    for (at, line) in lines.iter().enumerate() {
        let product = field(line, "ProductId")
            .and_then(Value::as_i64)
            .and_then(|id| call.shop.assortment.by_record_id(id))
            .ok_or(Problem::CartLine("no such product"))?;
        let quantity = quantity_of(line)?;
        let id = format!("{:06X}{at:04X}", cart.version);
        cart.lines.push(Line { id, product, quantity });
    }
    Ok(())
}

fn quantity_of(line: &Value) -> Result<f64, Problem> {
    let quantity = field(line, "Quantity").map_or(Some(1.0), Value::as_f64);
    quantity
        .filter(|quantity| *quantity > 0.0 && *quantity <= MAX_QUANTITY)
        .ok_or(Problem::CartLine("the quantity is out of range"))
}

/// The cart at today's prices.
fn answer(call: &Call<'_>, cart: &Cart) -> Value {
    let (lines, net) = priced_lines(call, cart);
    let charge = if cart.lines.is_empty() { 0.0 } else { cart.charge };
    json!({
        "Id": cart.id,
        "Version": cart.version,
        "CartTypeValue": cart.type_value,
        "ChannelId": cart.channel.id,
        "CustomerId": cart.customer.map(|customer| customer.account),
        "CurrencyCode": cart.channel.currency,
        "CartLines": lines,
        "NetPrice": net,
        "SubtotalAmount": net,
        "ChargeAmount": charge,
        "TaxAmount": 0.0,
        "TotalAmount": round_money(net + charge),
        "AmountDue": round_money(net + charge),
        "ExtensionProperties": [],
    })
}

fn priced_lines(call: &Call<'_>, cart: &Cart) -> (Vec<Value>, f64) {
    let context =
        PriceContext { channel: cart.channel, customer: cart.customer, affiliation: None };
    let mut net = 0.0;
    let lines = cart.lines.iter().map(|line| {
        let price = call.shop.quote(line.product, context).adjusted;
        let amount = round_money(price * line.quantity);
        net += amount;
        json!({
            "LineId": line.id,
            "ProductId": line.product.record_id(),
            "ItemId": line.product.item_id(),
            "Description": call.shop.name(line.product, call.language),
            "Quantity": line.quantity,
            "Price": price,
            "NetAmountWithoutTax": amount,
            "TotalAmount": amount,
            "UnitOfMeasureSymbol": "ea",
            "ExtensionProperties": [],
        })
    });
    let lines = lines.collect();
    (lines, round_money(net))
}

fn sales_order(call: &Call<'_>, cart: &Cart, order_id: &str) -> Value {
    let (lines, net) = priced_lines(call, cart);
    json!({
        "Id": order_id,
        "ChannelReferenceId": order_id,
        "SalesId": format!("SO-{}", order_id.get(..8).unwrap_or(order_id)),
        "CustomerId": cart.customer.map(|customer| customer.account),
        "ReceiptEmail": call.text("receiptEmail"),
        "ChannelId": cart.channel.id,
        "CurrencyCode": cart.channel.currency,
        "CreatedDateTime": call.now.to_string(),
        "StatusValue": 1,
        "SalesLines": lines,
        "NetAmount": net,
        "ChargeAmount": cart.charge,
        "TotalAmount": round_money(net + cart.charge),
        "ExtensionProperties": [],
    })
}
