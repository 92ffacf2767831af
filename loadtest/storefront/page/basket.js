// The cart's page.

import * as cart from "./cart.js";
import { h, money } from "./dom.js";
import { detailOf, setBusy, show, showDepartments, showSearchText, warning } from "./frame.js";
import * as shop from "./shop.js";
import { failures, fillLevel } from "./tile.js";

/** Shows the cart. Resolves when all of it is in the document, event handlers included. */
export async function showCart({ signal }) {
  showSearchText(null);
  const tree = Promise.allSettled([shop.categories()]);
  const [, found] = await Promise.all([shop.channel(), cart.read(signal)]);
  signal.throwIfAborted();
  if (found?.CartLines.length) await showLines(found, signal);
  else showEmpty();
  setBusy(true);
  const [departments] = await tree;
  signal.throwIfAborted();
  if (departments.value) showDepartments(departments.value, null);
}

function showEmpty() {
  show("Cart", h("h1", {}, "Cart"), h("p", { class: "empty" }, "Your cart is empty. "),
    h("p", {}, h("a", { href: "./" }, "See all products")));
}

/** What the lines are of does not change with quantities: it is asked for once. */
async function showLines(found, signal) {
  const ids = [...new Set(found.CartLines.map(({ ProductId }) => ProductId))];
  const settled = await Promise.allSettled([shop.productsByIds(ids, signal), shop.stock(ids, signal)]);
  signal.throwIfAborted();
  const about = { products: settled[0].value ?? new Map(), stock: settled[1].value ?? new Map() };
  const told = h("p", { class: "told", role: "status" });
  const lines = h("ul", { class: "lines", id: "lines" });
  const totals = h("dl", { class: "totals", id: "totals" });
  show("Cart", h("h1", {}, "Cart"), warning(failures(settled)) ?? "", lines, totals, told);

  const render = () => {
    if (!found?.CartLines.length) return showEmpty();
    lines.replaceChildren(...found.CartLines.map((line) => lineOf(line, found, about, change)));
    totals.replaceChildren(...totalsOf(found));
  };
  // One change at a time: each is of the cart that the one before it left.
  const change = async (what, ask) => {
    for (const field of lines.querySelectorAll("input, button")) field.disabled = true;
    told.className = "told";
    try {
      found = await ask();
      told.textContent = what;
    } catch (error) {
      told.className = "told error";
      told.textContent = `The cart could not be changed: ${error.message} (${detailOf(error)})`;
    }
    render();
  };
  render();
}

function lineOf(line, now, { products, stock }, change) {
  const product = products.get(line.ProductId);
  const say = (amount) => money(amount, now.CurrencyCode, shop.language);
  const name = product?.Name ?? line.Description;
  const level = h("span", { class: "level" });
  fillLevel(level, stock.get(line.ProductId));
  const setQuantity = ({ target }) => {
    if (!target.reportValidity()) return;
    change(`${name}: ${target.value}`, () => cart.change(now, line, target.valueAsNumber));
  };
  return h("li", { data: { line: line.LineId } },
    product ? h("img", { src: shop.imageUrl(product.PrimaryImageUrl), alt: "", width: 96, height: 96 }) : null,
    h("div", {},
      h("a", { href: `?product=${line.ProductId}` }, name),
      h("span", { class: "each" }, `${say(line.Price)} each`), level),
    h("label", {}, h("span", { class: "unseen" }, `Quantity of ${name}`),
      h("input", { type: "number", min: 1, max: 999, value: line.Quantity, required: true, inputmode: "numeric", onchange: setQuantity })),
    h("span", { class: "price" }, say(line.TotalAmount)),
    h("button", {
      type: "button", "aria-label": `Remove ${name}`,
      onclick: () => change(`${name} was removed`, () => cart.remove(now, line)),
    }, "Remove"));
}

function totalsOf(cart) {
  const say = (amount) => money(amount, cart.CurrencyCode, shop.language);
  return [["Products", cart.SubtotalAmount], ["Delivery", cart.ChargeAmount], ["Total", cart.TotalAmount]]
    .flatMap(([name, amount]) => [h("dt", {}, name), h("dd", {}, say(amount))]);
}
