//! `$batch` in the multipart form.

use csu_edge::sandbox::Settings;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{CHANNEL, FIRST, Reply, Scene};

const JSON: &str = "Content-Type: application/json\r\n";

/// A request as a part's content; `fields` are whole lines.
pub(crate) fn request(line: &str, fields: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\n{fields}\r\n{body}")
}

pub(crate) fn get(url: &str) -> String {
    request(&format!("GET {url}"), "", "")
}

pub(crate) fn post(url: &str, body: &Value) -> String {
    request(&format!("POST {url}"), JSON, &body.to_string())
}

/// A part that holds a request.
pub(crate) fn part(id: &str, request: &str) -> String {
    let id = if id.is_empty() { String::new() } else { format!("Content-ID: {id}\r\n") };
    let fields = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n";
    format!("{fields}{id}\r\n{request}")
}

/// A part that holds a change set.
pub(crate) fn change_set(parts: &[String]) -> String {
    format!("Content-Type: multipart/mixed; boundary=inner\r\n\r\n{}", body("inner", parts))
}

pub(crate) fn body(boundary: &str, parts: &[String]) -> String {
    let parts: String = parts.iter().map(|part| format!("--{boundary}\r\n{part}\r\n")).collect();
    format!("{parts}--{boundary}--\r\n")
}

pub(crate) async fn send(scene: &Scene, headers: &[(&str, &str)], parts: &[String]) -> Reply {
    send_raw(scene, headers, &body("outer", parts)).await.unwrap()
}

pub(crate) async fn send_raw(
    scene: &Scene,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Reply, String> {
    let kind = [("Content-Type", "multipart/mixed; boundary=outer")];
    let kind = kind.into_iter().filter(|(name, _)| !headers.iter().any(|(other, _)| other == name));
    let headers: Vec<_> = kind.chain(headers.iter().copied()).collect();
    scene.send(Method::POST, "/Commerce/$batch", &headers, body).await
}

/// What one part of the answer holds.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) id: String,
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Inner {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The units of a multipart answer: one answer, or those of a change set.
pub(crate) fn units(reply: &Reply) -> Vec<Vec<Inner>> {
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.bytes);
    let text = std::str::from_utf8(&reply.bytes).unwrap();
    contents(text, reply.header("content-type"))
        .into_iter()
        .map(|content| match content.split_once("\r\n\r\n").unwrap() {
            (head, rest) if head.contains("multipart/mixed") => {
                contents(rest, head).into_iter().map(inner).collect()
            }
            _ => vec![inner(content)],
        })
        .collect()
}

fn contents<'t>(text: &'t str, kind: &str) -> Vec<&'t str> {
    let (_, boundary) = kind.split_once("boundary=").unwrap();
    let boundary = boundary.lines().next().unwrap();
    let (text, after) = text.split_once(&format!("--{boundary}--")).unwrap();
    assert_eq!(after.trim(), "");
    let delimiter = format!("--{boundary}\r\n");
    let parts = text.split(delimiter.as_str()).skip(1);
    parts.map(|part| part.strip_suffix("\r\n").unwrap()).collect()
}

fn inner(content: &str) -> Inner {
    let (fields, rest) = content.split_once("\r\n\r\n").unwrap();
    assert!(fields.contains("Content-Type: application/http"), "{fields}");
    assert!(fields.contains("Content-Transfer-Encoding: binary"), "{fields}");
    let (head, body) = rest.split_once("\r\n\r\n").unwrap();
    let id = fields.lines().find_map(|line| line.strip_prefix("Content-ID: "));
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    Inner { id: id.unwrap_or_default().into(), status, head: head.into(), body: body.into() }
}

/// Of units that are single requests: their answers.
pub(crate) fn answers(reply: &Reply) -> Vec<Inner> {
    let single = |mut unit: Vec<Inner>| {
        assert_eq!(unit.len(), 1);
        unit.remove(0)
    };
    units(reply).into_iter().map(single).collect()
}

pub(crate) fn statuses(reply: &Reply) -> Vec<u16> {
    answers(reply).iter().map(|answer| answer.status).collect()
}

fn by_id(id: i64) -> String {
    format!("Products({id})/GetById(channelId={CHANNEL})")
}

fn lines(product: i64) -> Value {
    json!({"cartLines": [{"ProductId": product, "Quantity": 1}]})
}

#[tokio::test]
async fn each_part_is_answered_in_order_as_it_would_be_alone() {
    let scene = Scene::standard().await;
    let (host, path) = (scene.sandbox.address(), by_id(FIRST));
    let ids = json!({"channelId": CHANNEL, "productIds": [FIRST + 1]});
    let absolute_path =
        request(&format!("GET /Commerce/{path}"), "Host: shop.example:8080\r\n", "\r\n");
    let reply = send(
        &scene,
        &[],
        &[
            part("a.1", &get(&format!("http://{host}/Commerce/{path}"))),
            part("", &absolute_path),
            part("b", &get(&path)),
            part("", &post("Products/GetByIds?$top=5", &ids)),
            part("c", &get("Products(1)/GetById(channelId=0)")),
        ],
    )
    .await;
    assert!(reply.header("content-type").starts_with("multipart/mixed; boundary="));
    assert_eq!((reply.header("odata-version"), reply.header("preference-applied")), ("4.0", ""));
    let found = answers(&reply);
    let ids_found: Vec<&str> = found.iter().map(|answer| answer.id.as_str()).collect();
    assert_eq!(ids_found, ["a.1", "", "b", "", "c"]);
    let alone = scene.get(&path).await;
    let elsewhere = scene.get_with(&path, &[("Host", "shop.example:8080")]).await;
    let posted = scene.post("Products/GetByIds?$top=5", &ids).await;
    for (answer, alone) in found.iter().zip([&alone, &elsewhere, &alone, &posted]) {
        assert_eq!((answer.status, answer.body.as_bytes()), (200, &alone.bytes[..]));
        assert!(answer.head.contains(alone.header("content-type")), "{}", answer.head);
        assert!(answer.head.contains(&format!("content-length: {}", alone.bytes.len())));
    }
    assert_eq!((found[4].status, found[4].body.as_str()), (204, ""));
}

#[tokio::test]
async fn a_batch_is_one_request_and_its_operations_are_counted_beside_it() {
    let scene = Scene::new(Settings { requests_per_second: Some(2), ..Settings::default() }).await;
    let parts = [part("", &get("GetChannels()")), part("", &get("GetChannels()"))];
    for _ in 0..2 {
        assert_eq!(statuses(&send(&scene, &[], &parts).await), [200, 200]);
    }
    assert_eq!(send(&scene, &[], &parts).await.status, StatusCode::TOO_MANY_REQUESTS);
    let stats = scene.send(Method::GET, "/sandbox/stats", &[], "").await.unwrap();
    assert_eq!(stats.json(), json!({"$batch": 3, "inBatches": {"GetChannels": 4}}));
    let sandbox = &scene.sandbox;
    assert_eq!((sandbox.total_requests(), sandbox.requests("GetChannels")), (3, 0));
    assert_eq!((sandbox.requests("$batch"), sandbox.requests_in_batches("GetChannels")), (3, 4));
    sandbox.reset_stats();
    assert_eq!(sandbox.requests_in_batches("GetChannels"), 0);
}

#[tokio::test]
async fn a_part_has_what_the_batch_says_where_it_says_nothing_itself() {
    let scene = Scene::standard().await;
    scene.sandbox.set_price(FIRST, 77.0, Some("2001")).await.unwrap();
    let token = format!("Bearer {}", scene.sandbox.token_for("2001").unwrap());
    let batch = [
        ("Authorization", token.as_str()),
        ("OUN", "130"),
        ("Accept-Language", "nb-NO"),
        ("Accept", "application/json;odata.metadata=none"),
    ];
    let own = "OUN: 129\r\nAccept-Language: en\r\nAccept: application/json\r\n";
    let configuration = "POST OrgUnits/GetOrgUnitConfiguration";
    let reply = send(
        &scene,
        &batch,
        &[
            part("", &request(configuration, "", "")),
            part("", &request(configuration, own, "")),
            part("", &get(&by_id(FIRST))),
        ],
    )
    .await;
    let found: Vec<Value> = answers(&reply).iter().map(Inner::json).collect();
    let channel = |answer: &Value| answer["OrgUnitNumber"].as_str().unwrap().to_owned();
    assert_eq!((channel(&found[0]), channel(&found[1])), ("130".into(), "129".into()));
    assert!(found[0].get("@odata.context").is_none() && found[1].get("@odata.context").is_some());
    let alone = scene.get_with(&by_id(FIRST), &batch).await.json();
    assert_eq!((&found[2], &found[2]["Price"]), (&alone, &json!(77.0)));
    assert_ne!(alone["Name"], scene.get(&by_id(FIRST)).await.json()["Name"]);
}

#[tokio::test]
async fn a_part_with_credentials_of_its_own_or_a_transfer_coding_is_refused() {
    let scene = Scene::standard().await;
    let token = scene.sandbox.token_for("2001").unwrap();
    let fields = [
        format!("Authorization: Bearer {token}\r\n"),
        "Proxy-Authorization: Basic eDp5\r\n".into(),
        "Expect: 100-continue\r\n".into(),
        "Range: bytes=0-1\r\n".into(),
        "Transfer-Encoding: chunked\r\n".into(),
    ];
    let parts = fields.map(|fields| part("", &request("GET GetChannels()", &fields, "")));
    let reply = send(&scene, &[("Prefer", "continue-on-error")], &parts).await;
    assert_eq!(statuses(&reply), [400; 5]);
    assert!(answers(&reply)[0].body.contains("'authorization'"));
}

#[tokio::test]
async fn a_change_set_creates_a_cart_and_refers_to_it() {
    let scene = Scene::standard().await;
    let reply = send(
        &scene,
        &[],
        &[
            change_set(&[
                part("1", &post("Carts", &json!({}))),
                part("2", &post("$1/AddCartLines?api-version=7.3", &lines(FIRST))),
                part("3", &post("$2/AddCartLines", &lines(FIRST + 1))),
            ]),
            part("", &get("GetChannels()")),
        ],
    )
    .await;
    let found = units(&reply);
    assert_eq!((found.len(), found[0].len(), found[1][0].status), (2, 3, 200));
    let of_set: Vec<_> = found[0].iter().map(|a| (a.id.as_str(), a.status)).collect();
    assert_eq!(of_set, [("1", 201), ("2", 200), ("3", 200)]);
    let cart = found[0][2].json();
    assert_eq!(cart["Id"], found[0][0].json()["Id"]);
    let read = scene.get(&format!("Carts('{}')", cart["Id"].as_str().unwrap())).await.json();
    assert_eq!(
        (&read["CartLines"], read["CartLines"].as_array().unwrap().len()),
        (&cart["CartLines"], 2)
    );
    assert_eq!(scene.sandbox.requests_in_batches("Carts/AddCartLines"), 2);
}

#[tokio::test]
async fn a_change_set_that_fails_changes_nothing_and_has_one_answer() {
    let scene = Scene::standard().await;
    let cart = scene.post("Carts", &json!({"CartLines": [{"ProductId": FIRST}]})).await.json();
    let path = format!("Carts('{}')", cart["Id"].as_str().unwrap());
    let add =
        |id: &str, product: i64| part(id, &post(&format!("{path}/AddCartLines"), &lines(product)));
    let checkout = part("2", &post(&format!("{path}/Checkout"), &json!({})));
    let failing =
        [change_set(&[add("1", FIRST + 1), checkout, add("3", FIRST)]), part("4", &get(&path))];
    let reply = send(&scene, &[("Prefer", "continue-on-error")], &failing).await;
    let found = answers(&reply);
    assert_eq!((found[0].status, found[0].id.as_str()), (404, ""));
    assert!(found[0].json()["error"]["code"].is_string());
    let now = found[1].json();
    assert_eq!((&now["Version"], &now["CartLines"]), (&json!(1), &cart["CartLines"]));
    let alone = send(&scene, &[], &failing).await;
    assert_eq!(statuses(&alone), [404]);
}

#[tokio::test]
async fn a_reference_reaches_no_further_than_its_change_set_and_no_other_entity() {
    let scene = Scene::standard().await;
    let created = change_set(&[part("1", &post("Carts", &json!({})))]);
    for last in [
        part("2", &post("$1/AddCartLines", &lines(FIRST))),
        change_set(&[part("2", &post("$2/AddCartLines", &lines(FIRST)))]),
        change_set(&[
            part("2", &post("Products/GetByIds", &json!({"channelId": 0, "productIds": [FIRST]}))),
            part("3", &post("$2/AddCartLines", &lines(FIRST))),
        ]),
    ] {
        let found = units(&send(&scene, &[], &[created.clone(), last]).await);
        assert_eq!((found.len(), found[1].len(), found[1][0].status), (2, 1, 400));
        assert!(found[1][0].body.contains("refers to no entity"), "{}", found[1][0].body);
    }
}

#[tokio::test]
async fn the_first_error_ends_a_batch_unless_it_asks_to_go_on() {
    let scene = Scene::standard().await;
    let cart = scene.post("Carts", &json!({"CartLines": [{"ProductId": FIRST}]})).await.json();
    let path = format!("Carts('{}')", cart["Id"].as_str().unwrap());
    let parts = [
        part("", &get("GetChannels()")),
        part("x", &get("Nothing")),
        part("", &post(&format!("{path}/Checkout"), &json!({}))),
    ];
    for (prefer, applied) in [
        (&[][..], ""),
        (&[("Prefer", "odata.continue-on-error=false")], "odata.continue-on-error=false"),
    ] {
        let reply = send(&scene, prefer, &parts).await;
        let found = answers(&reply);
        assert_eq!((found.len(), found[1].status, found[1].id.as_str()), (2, 404, "x"));
        assert_eq!(reply.header("preference-applied"), applied);
    }
    assert_eq!(scene.get(&path).await.status, StatusCode::OK);
    for (prefer, last) in [("odata.continue-on-error", 200), ("continue-on-error=true", 404)] {
        let reply = send(&scene, &[("Prefer", prefer)], &parts).await;
        assert_eq!(statuses(&reply), [200, 404, last]);
        assert!(prefer.starts_with(reply.header("preference-applied")));
        assert_ne!(reply.header("preference-applied"), "");
    }
}

#[tokio::test]
async fn a_malformed_batch_is_refused_before_anything_runs() {
    let scene = Scene::standard().await;
    let good = part("1", &post("Carts", &json!({})));
    let typed = |kind: &str| format!("Content-Type: {kind}\r\n\r\n{}", get("GetChannels()"));
    let bodies = [
        String::new(),
        "--outer--\r\n".into(),
        "--outer\r\n".into(),
        format!("--outer\r\n{good}\r\n"),
        body("outer", std::slice::from_ref(&good)).replace("\r\n", "\n"),
        body("other", std::slice::from_ref(&good)),
        body("outer", &[good.clone(), String::new()]),
        body("outer", &[good.clone(), "no head".into()]),
        body("outer", &[good.clone(), typed("text/plain")]),
        body("outer", &[good.clone(), typed("multipart/mixed")]),
        body("outer", &[good.clone(), format!("\r\n{}", get("GetChannels()"))]),
        body("outer", &[good.clone(), part("1", &get("GetChannels()"))]),
        body("outer", &[good.clone(), part("a b", &get("GetChannels()"))]),
        body("outer", &[good.clone(), part("", "GET GetChannels()\r\n\r\n")]),
        body("outer", &[good.clone(), part("", &request("HEAD GetChannels()", "", ""))]),
        body(
            "outer",
            &[good.clone(), part("", &request("POST Carts", "Content-Length: 3\r\n", "{}"))],
        ),
        body("outer", &[good.clone(), part("", &get("GetChannels()")).replace("binary", "base64")]),
        body("outer", &[good.clone(), change_set(&[part("", &post("Carts", &json!({})))])]),
        body("outer", &[good.clone(), change_set(&[part("2", &get("GetChannels()"))])]),
        body("outer", &[good.clone(), change_set(&[change_set(&[part("2", &get("x"))])])]),
        body("outer", &[good.clone(), change_set(&[])]),
    ];
    for body in bodies {
        let reply = send_raw(&scene, &[], &body).await.unwrap();
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(reply.error().0.ends_with(".DataValidationException"));
    }
    let whole = body("outer", &[good]);
    for kind in ["", "text/plain", "multipart/mixed", "multipart/form-data; boundary=outer"] {
        let reply = send_raw(&scene, &[("Content-Type", kind)], &whole).await.unwrap();
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{kind}");
    }
    assert_eq!(scene.sandbox.requests_in_batches("Carts/Create"), 0);
}

#[tokio::test]
async fn a_hundred_parts_are_answered_and_one_more_is_too_many() {
    let scene = Scene::standard().await;
    let mut parts = vec![part("", &get("GetCurrencies()")); 98];
    let create = |id| part(id, &post("Carts", &json!({})));
    parts.push(change_set(&[create("1"), create("2")]));
    assert_eq!(units(&send(&scene, &[], &parts).await).len(), 99);
    parts.push(part("", &get("GetCurrencies()")));
    assert_eq!(send(&scene, &[], &parts).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(scene.sandbox.requests_in_batches("GetCurrencies"), 98);
}

#[tokio::test]
async fn what_has_no_place_in_a_batch_is_refused_in_its_part() {
    let scene = Scene::standard().await;
    let parts = [
        part("", &request("POST $batch", "", "")),
        part("", &request("POST /sandbox/faults", "", "{}")),
        part("", &get("/elsewhere/Categories")),
        part("", &get("Carts('a:b')")),
        part("", &request("DELETE Carts('a')", "", "")),
    ];
    let reply = send(&scene, &[("Prefer", "continue-on-error")], &parts).await;
    assert_eq!(statuses(&reply), [400, 404, 404, 400, 405]);
    let get = scene.get("$batch").await;
    assert_eq!((get.status, get.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    for (header, status) in [
        (("If-Match", "*"), StatusCode::BAD_REQUEST),
        (("If-None-Match", "*"), StatusCode::BAD_REQUEST),
        (("Authorization", "Bearer nonsense"), StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(send(&scene, &[header], &parts).await.status, status, "{header:?}");
    }
}
