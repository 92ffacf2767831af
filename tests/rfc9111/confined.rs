//! What is never stored under any policy: what belongs to one customer or one clerk, and targets that
//! others may read otherwise than we do.

use csu_edge::config::OperationRule;

use crate::origin::{READ, product};
use crate::play::Play;
use crate::support::wire::Wire;

/// Asks twice for each, of an origin that calls all of it public: either it is refused, or both
/// questions reach the origin.
async fn never_stored(targets: &[&str]) {
    let play = Play::start().await;
    let storefront = play.node.node.addresses().storefront;
    let mut failed = Vec::new();
    for target in targets {
        let before = play.origin.all().len();
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let mut wire = Wire::connect(storefront).await;
            wire.send(&format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
                .await;
            let text = String::from_utf8_lossy(&wire.rest().await).into_owned();
            statuses.push(text.get(9..12).unwrap_or_default().to_owned());
        }
        let asked = play.origin.all().len() - before;
        let refused = statuses.iter().all(|status| status.starts_with('4')) && asked == 0;
        if !refused && asked != 2 {
            failed.push(format!("{target}: {statuses:?}, the origin was asked {asked} times"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test]
async fn what_belongs_to_a_customer_or_a_clerk_is_never_stored() {
    never_stored(&[
        "/Commerce/Carts",
        "/Commerce/Carts('x')",
        "/Commerce/Carts('x')/a.css",
        "/Commerce/Carts/x.png",
        "/Commerce/Carts?a=1",
        "/Commerce/Carts%28%27x%27%29",
        "/Commerce/carts('x')",
        "/Commerce/CARTS('x')",
        "/Commerce/%43arts('x')",
        "/Commerce/Customers",
        "/Commerce/Customers('1')",
        "/Commerce/Customers('1')/a.js",
        "/Commerce/customers('1')",
        "/Commerce/SalesOrders",
        "/Commerce/SalesOrders('1')/x.css",
        "/Commerce/salesorders('1')",
        "/Commerce/ProductLists",
        "/Commerce/ProductLists('1')",
        "/Commerce/CommerceLists",
        "/Commerce/CommerceLists(1)/x.png",
        "/Commerce/Shifts",
        "/Commerce/Shifts(ShiftId=1,TerminalId='2')",
        "/Commerce/shifts/x.png",
    ])
    .await;
}

#[tokio::test]
async fn targets_that_may_be_read_in_two_ways_are_never_stored() {
    never_stored(&[
        "/Commerce/media/../Carts('x')",
        "/Commerce/media/./a.png",
        "/Commerce/media/..",
        "/Commerce/media/../media/a.png",
        "/Commerce/media/%2e%2e/Carts('x')",
        "/Commerce/media/%2E%2E/a.png",
        "/Commerce/media/.%2e/a.png",
        "/Commerce/media/%2e/a.png",
        "/Commerce/media%2fa.png",
        "/Commerce/media%2Fa.png",
        "/Commerce/media%5ca.png",
        "/Commerce/media%5Ca.png",
        "/Commerce/media\\a.png",
        "/Commerce/media\\..\\Carts('x')",
        "/Commerce/media/..%2fCarts('x')",
        "/Commerce/media/..%5cCarts('x')",
        "/Commerce/media/%252e%252e/Carts('x')",
        "/Commerce//Carts('x')",
        "/Commerce/media/a%00.png",
        "/Commerce/media/a%0a.png",
        "/Commerce/media/a%0d%0a.png",
        "/Commerce/media/%zz.png",
        "/Commerce/media/%c0%ae%c0%ae/Carts('x')",
    ])
    .await;
}

/// RFC 9112 §3.2: of a GET it is a path, or a whole URI; and there is no white space in it.
#[tokio::test]
async fn what_is_no_target_is_refused() {
    let play = Play::start().await;
    for target in ["/Commerce/media/a b.png", "Commerce/media/a.png", "media", ""] {
        let mut wire = Wire::connect(play.node.node.addresses().storefront).await;
        wire.send(&format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        let text = String::from_utf8_lossy(&wire.rest().await).into_owned();
        assert!(text.starts_with("HTTP/1.1 4"), "{target}: {text}");
    }
    assert!(play.origin.all().is_empty());
}

/// An ordinary one is, so that the cases above say something.
#[tokio::test]
async fn an_ordinary_target_is_stored() {
    let play = Play::start().await;
    for target in
        ["/Commerce/media/a.png", "/Commerce/media/Carts.png", "/Commerce/media/a%20b.png"]
    {
        let scene = play.scene("ordinary").at(target);
        scene.get(&[]).await.forwarded();
        scene.get(&[]).await.reused();
    }
}

/// Fields by which a client could make an origin take its request for another: what is fetched with
/// them would be served to all who do not send them.
#[tokio::test]
async fn a_client_cannot_have_its_request_taken_for_another() {
    let names = [
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-for",
        "x-forwarded-prefix",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
    ];
    let play = Play::start().await;
    for name in names {
        let scene = play.scene(name);
        let told = scene.get(&[&format!("{name}: evil.example")]).await;
        let said = told.forwarded().asked[0].field(name).unwrap_or_default();
        assert!(!said.contains("evil"), "{name}: {said}");
    }
}

/// RFC 9110 §9.3.1: the content of a GET has no meaning to a cache, so that what it brings is either
/// not made of it or not for others.
#[tokio::test]
async fn a_get_with_content_does_not_decide_what_others_get() {
    let play = Play::start().await;
    let scene = play.scene("content");
    scene.answers_by(|seen, _| {
        let length = seen.field("content-length").unwrap_or_default();
        let sent = if matches!(length.as_str(), "" | "0") { "plain" } else { "of content" };
        crate::origin::ok(&["cache-control: max-age=600"]).body(sent)
    });
    let mut wire = Wire::connect(play.node.node.addresses().storefront).await;
    wire.send(&format!(
        "GET {} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
        scene.target
    ))
    .await;
    wire.rest().await;
    scene.get(&[]).await.status(200).body("plain");
    scene.get(&[]).await.reused().body("plain");
}

/// An operation that the operator has taken out of the catalogue passes, whatever its answers say.
#[tokio::test]
async fn an_operation_taken_out_of_the_catalogue_is_never_stored() {
    for (cache, asked) in [(Some(false), 2), (None, 1)] {
        let play = Play::start_with(|config| {
            let name = "Products/GetById".to_owned();
            config.operations.push(OperationRule { name, cache, ..OperationRule::default() });
        })
        .await;
        let scene = play.scene("withdrawn").at(READ);
        scene.answers([product(&["cache-control: public, max-age=600", "etag: \"a\""])]);
        for _ in 0..2 {
            scene.get(&[]).await.status(200);
        }
        assert_eq!(scene.asked().len(), asked, "{cache:?}");
    }
}
