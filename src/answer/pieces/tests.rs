use super::*;
use crate::config::ClassLifetimes;
use crate::operation::Catalogue;

fn decomposition(name: &str) -> Decomposition {
    let catalogue = Catalogue::new(&[], &ClassLifetimes::default()).unwrap();
    let known = catalogue.operations().iter().find(|known| *known.name == *name).unwrap();
    known.decomposition.clone().unwrap()
}

fn prices() -> Decomposition {
    decomposition("Products/GetActivePrices")
}

fn ids(numbers: &[i64]) -> Vec<Id> {
    numbers.iter().map(|&number| Id::Number(number)).collect()
}

fn apart(body: &str, asked: &[i64], of: &Decomposition) -> Result<TakenApart, Unfit> {
    let ids = ids(asked);
    take_apart(body.as_bytes(), &ids.iter().collect::<Vec<_>>(), of, 1_000)
}

fn together(pieces: &[&Piece]) -> Result<String, Unfit> {
    let pieces: Vec<_> = pieces.iter().map(|piece| (&piece.body, &piece.layout)).collect();
    put_together(&pieces).map(|body| String::from_utf8(body.to_vec()).unwrap())
}

const AROUND: (&str, &str) =
    (r##"{"@odata.context":"https://h/Commerce/$metadata#Collection(X)","value":["##, "]}");

/// An answer with these prices, each a product and an amount.
fn answer(prices: &[(i64, &str)]) -> String {
    let items: Vec<String> = prices
        .iter()
        .map(|(id, price)| format!(r#"{{"ProductId":{id},"AdjustedPrice":{price}}}"#))
        .collect();
    format!("{}{}{}", AROUND.0, items.join(","), AROUND.1)
}

#[test]
fn a_piece_is_the_answer_for_its_thing_alone_byte_for_byte() {
    let body = answer(&[(3, "1.50"), (9_007_199_254_740_993, "2.0")]);
    let taken = apart(&body, &[3, 4, 9_007_199_254_740_993], &prices()).unwrap();
    let bodies: Vec<_> = taken.pieces.iter().map(|piece| &*piece.body).collect();
    let expected = [&[(3, "1.50")][..], &[], &[(9_007_199_254_740_993, "2.0")]];
    assert_eq!(bodies, expected.map(|prices| answer(prices).into_bytes()));
    let absent: Vec<_> = taken.pieces.iter().map(Piece::is_absent).collect();
    assert_eq!(absent, [false, true, false]);
    for piece in &taken.pieces {
        let read = [3, 4, 9_007_199_254_740_993]
            .map(|id| Layout::of(&piece.body, &prices(), &Id::Number(id)));
        assert!(read.contains(&Ok(piece.layout.clone())), "{read:?}");
        assert!(piece.is_absent() || read.contains(&Err(Unfit::Stranger)), "{read:?}");
    }
}

#[test]
fn pieces_in_any_order_make_the_answer_in_that_order() {
    let body = answer(&[(1, "1"), (2, "2"), (3, "3")]);
    let taken = apart(&body, &[1, 2, 3, 4], &prices()).unwrap();
    let [one, two, three, four] = &taken.pieces[..] else { panic!() };
    assert_eq!(together(&[one, two, three, four]).unwrap(), body);
    let turned = answer(&[(3, "3"), (1, "1"), (3, "3")]);
    assert_eq!(together(&[three, four, one, three]).unwrap(), turned);
    assert_eq!(together(&[four, four]).unwrap(), answer(&[]));
    assert_eq!(together(&[four]).unwrap(), answer(&[]));
    assert_eq!(together(&[]), Err(Unfit::Items));
}

#[test]
fn both_arrays_of_an_availability_are_filled() {
    let of = decomposition("Products/GetEstimatedAvailability");
    let body = r#"{"@odata.context":"c","ProductWarehouseInventoryAvailabilities":[
        {"ProductId":1,"InventLocationId":"13"},{"ProductId":1,"InventLocationId":"14"},
        {"ProductId":2,"InventLocationId":"13"}],
        "AggregatedProductInventoryAvailabilities":[{"ProductId":1,"Q":3.0},{"ProductId":2,"Q":1}],
        "ExtensionProperties":[ ]}"#;
    let taken = apart(body, &[1, 2], &of).unwrap();
    let [one, two] = &taken.pieces[..] else { panic!() };
    assert_eq!((one.layout.items(), two.layout.items()), (2, 1));
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(json(&together(&[one, two]).unwrap()), json(body));
    let turned = json(&together(&[two, one]).unwrap());
    assert_eq!(turned["AggregatedProductInventoryAvailabilities"][1]["Q"].to_string(), "3.0");
    assert_eq!(turned["ProductWarehouseInventoryAvailabilities"][2]["InventLocationId"], "14");
    assert_eq!(turned["ExtensionProperties"], json("[]"));
}

/// What is asked, what is answered, and what that shows.
type Shown<'a> = (&'a [i64], &'a [(i64, &'a str)], Option<Order>, Option<Repeats>);

#[test]
fn what_an_answer_shows_of_order_and_repetitions_is_believed_and_nothing_else() {
    use {Order::*, Repeats::*};
    let table: [Shown<'_>; 12] = [
        (&[1, 2], &[(1, "1"), (2, "2")], None, None),
        // An origin that sorts the other way round answers so as well.
        (&[2, 1], &[(2, "2"), (1, "1")], None, None),
        (&[2, 1, 3], &[(2, "2"), (1, "1"), (3, "3")], Some(AsAsked), None),
        (&[2, 1], &[(1, "1"), (2, "2")], Some(Ascending), None),
        (&[2, 1], &[(2, "2")], None, None),
        (&[1, 1], &[(1, "1"), (1, "1")], None, Some(Each)),
        (&[1, 1], &[(1, "1")], None, Some(Once)),
        (&[1, 1], &[], None, None),
        (&[2, 1, 2], &[(2, "2"), (1, "1"), (2, "2")], Some(AsAsked), Some(Each)),
        (&[2, 1, 2], &[(2, "2"), (1, "1")], None, Some(Once)),
        (&[2, 1, 2], &[(1, "1"), (2, "2")], Some(Ascending), Some(Once)),
        (&[2, 1, 2], &[(1, "1"), (2, "2"), (2, "2")], Some(Ascending), Some(Each)),
    ];
    for (asked, items, order, repeats) in table {
        let taken = apart(&answer(items), asked, &prices()).unwrap();
        let shown = (taken.evidence.order, taken.evidence.repeats);
        assert_eq!(shown, (order, repeats), "{asked:?} {items:?}");
    }
}

#[test]
fn what_may_have_been_sorted_in_any_way_does_not_show_that_nothing_is() {
    let of = decomposition("Products/GetProductAvailabilities");
    let shown = |items: &[&str]| {
        let ids: Vec<Id> = items.iter().filter_map(|item| Id::of_text(item)).collect();
        let rows: Vec<String> =
            items.iter().map(|item| format!(r#"{{"ItemId":"{item}"}}"#)).collect();
        let body = format!(r#"{{"value":[{}]}}"#, rows.join(","));
        let asked: Vec<&Id> = ids.iter().collect();
        take_apart(body.as_bytes(), &asked, &of, 1_000).unwrap().evidence.order
    };
    // By value, as texts, and by their letters.
    for sorted in [&["9000", "82000"][..], &["82000", "9000"], &["a-2", "B-1"], &["é", "e"]] {
        assert_eq!(shown(sorted), None, "{sorted:?}");
    }
    for sorted in [&["82001", "82000"][..], &["82000", "9000", "10"], &["b", "B", "a"]] {
        assert_eq!(shown(sorted), None, "{sorted:?}, down");
    }
    for unsorted in [&["82001", "82000", "82002"][..], &["B-1", "a-2", "A-3"]] {
        assert_eq!(shown(unsorted), Some(Order::AsAsked), "{unsorted:?}");
    }
}

#[test]
fn arrays_that_disagree_show_nothing_that_can_be_made_again() {
    let of = decomposition("Products/GetEstimatedAvailability");
    let body = r#"{"ProductWarehouseInventoryAvailabilities":[{"ProductId":1},{"ProductId":1}],
        "AggregatedProductInventoryAvailabilities":[{"ProductId":1}]}"#;
    assert_eq!(apart(body, &[1, 1], &of), Err(Unfit::Order));
}

#[test]
fn what_is_not_certain_stays_whole() {
    let around = |extra: &str| {
        let body = answer(&[(1, "1")]);
        format!("{}{extra}}}", body.strip_suffix('}').unwrap())
    };
    for (body, asked, unfit) in [
        (answer(&[(1, "1"), (2, "2")]), &[1][..], Unfit::Stranger),
        (answer(&[(1, "1"), (2, "2"), (1, "1")]), &[1, 2], Unfit::Order),
        (answer(&[(3, "1"), (1, "2"), (2, "1")]), &[1, 2, 3], Unfit::Order),
        (answer(&[(1, "1"), (1, "1")]), &[1], Unfit::Order),
        (r#"{"value":[{"AdjustedPrice":1}]}"#.into(), &[1], Unfit::Stranger),
        (r#"{"value":[1]}"#.into(), &[1], Unfit::Stranger),
        (r#"{"value":{"ProductId":1}}"#.into(), &[1], Unfit::Items),
        (r#"{"value":null}"#.into(), &[1], Unfit::Items),
        (r#"{"value":[],"value":[]}"#.into(), &[1], Unfit::Items),
        (r#"{"values":[]}"#.into(), &[1], Unfit::Items),
        (r#"{"value":[]"#.into(), &[1], Unfit::Malformed),
        ("[]".into(), &[1], Unfit::Malformed),
        (around(r#","@odata.count":1"#), &[1], Unfit::Member),
        (around(r#","@odata.nextLink":"https://h/x""#), &[1], Unfit::Page(1)),
        (around(r#","@count":1"#), &[1], Unfit::Member),
        (around(r#","value@nextLink":"https://h/x""#), &[1], Unfit::Page(1)),
        (around(r#","Total":12.5"#), &[1], Unfit::Member),
        (around(r#","error":{"code":"x"}"#), &[1], Unfit::Member),
    ] {
        assert_eq!(apart(&body, asked, &prices()).err(), Some(unfit), "{body}");
    }
    assert!(
        apart(&around(r#","ExtensionProperties":[],"X":null,"Y":{}"#), &[1], &prices()).is_ok()
    );
}

#[test]
fn as_many_items_as_may_be_shown_may_not_be_all() {
    let ids = ids(&[1, 2, 3]);
    let asked: Vec<&Id> = ids.iter().collect();
    let body = answer(&[(1, "1"), (2, "2")]);
    let apart = |max_items| take_apart(body.as_bytes(), &asked, &prices(), max_items);
    assert_eq!(apart(2).err(), Some(Unfit::Cut));
    assert!(apart(3).is_ok());
}

#[test]
fn pieces_of_answers_that_differ_around_are_not_put_together() {
    let piece = |body: &str| apart(body, &[1], &prices()).unwrap().pieces.swap_remove(0);
    let one = piece(r#"{"@odata.context":"a","value":[{"ProductId":1}]}"#);
    let other = piece(r#"{"@odata.context":"b","value":[{"ProductId":1}]}"#);
    assert_eq!(together(&[&one, &other]), Err(Unfit::Around));
}

#[test]
fn white_space_within_the_brackets_does_not_matter() {
    let taken =
        apart("{\"value\":[ {\"ProductId\":1} ,\n{\"ProductId\":2} ]}", &[1, 2, 3], &prices());
    let taken = taken.unwrap();
    let [one, two, none] = &taken.pieces[..] else { panic!() };
    let other = apart("{\"value\":[ ]}", &[4], &prices()).unwrap().pieces.swap_remove(0);
    let whole = together(&[two, none, &other, one]).unwrap();
    assert_eq!(whole, "{\"value\":[{\"ProductId\":2},{\"ProductId\":1}]}");
}
