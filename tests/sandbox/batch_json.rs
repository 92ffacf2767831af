//! `$batch` in the JSON form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{CHANNEL, FIRST, Reply, Scene};

async fn send(scene: &Scene, headers: &[(&str, &str)], requests: Value) -> Reply {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    let body = json!({"requests": requests}).to_string();
    scene.send(Method::POST, "/Commerce/$batch", &headers, &body).await.unwrap()
}

fn responses(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, StatusCode::OK, "{:?}", reply.bytes);
    reply.json()["responses"].as_array().unwrap().clone()
}

/// The id and the status of each answer.
fn statuses(reply: &Reply) -> Vec<(String, u64)> {
    let responses = responses(reply);
    let status = |r: &Value| (r["id"].as_str().unwrap().to_owned(), r["status"].as_u64().unwrap());
    responses.iter().map(status).collect()
}

fn told(statuses: &[(&str, u64)]) -> Vec<(String, u64)> {
    statuses.iter().map(|(id, status)| ((*id).to_owned(), *status)).collect()
}

fn get(id: &str, url: &str) -> Value {
    json!({"id": id, "method": "get", "url": url})
}

fn post(id: &str, url: &str, body: &Value) -> Value {
    let headers = json!({"content-type": "application/json"});
    json!({"id": id, "method": "POST", "url": url, "headers": headers, "body": body})
}

fn with(mut request: Value, more: Value) -> Value {
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn lines(product: i64) -> Value {
    json!({"cartLines": [{"ProductId": product, "Quantity": 1}]})
}

#[tokio::test]
async fn each_request_is_answered_under_its_id_as_it_would_be_alone() {
    let scene = Scene::standard().await;
    let path = format!("Products({FIRST})/GetById(channelId={CHANNEL})");
    let ids = json!({"channelId": CHANNEL, "productIds": [FIRST + 1]});
    let ignored = json!({"headers": {"host": "shop.example", "accept-encoding": "gzip"}});
    let reply = send(
        &scene,
        &[],
        json!([
            get("z", &format!("{}/{path}", scene.sandbox.service_root())),
            with(get("a", &format!("/Commerce/{path}")), ignored),
            post("2", "Products/GetByIds", &ids),
            get("none", "Products(1)/GetById(channelId=0)"),
            get("m", "$metadata"),
            get("h", "healthcheck?testname=ping"),
        ]),
    )
    .await;
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("odata-version"), "4.01");
    let expected = [("z", 200), ("a", 200), ("2", 200), ("none", 204), ("m", 200), ("h", 200)];
    assert_eq!(statuses(&reply), told(&expected));
    let found = responses(&reply);
    let alone = scene.get(&path).await;
    for answer in &found[..2] {
        assert_eq!(answer["body"], alone.json());
        assert_eq!(answer["headers"]["content-type"], alone.header("content-type"));
    }
    assert_eq!(found[2]["body"], scene.post("Products/GetByIds", &ids).await.json());
    assert!(found[3].get("body").is_none());
    let metadata = URL_SAFE.decode(found[4]["body"].as_str().unwrap()).unwrap();
    assert_eq!(metadata, scene.get("$metadata").await.bytes);
    assert_eq!(found[5]["body"], "OK");
    assert_eq!(scene.sandbox.requests_in_batches("Products/GetById"), 3);
    assert!(responses(&send(&scene, &[], json!([])).await).is_empty());
}

#[tokio::test]
async fn a_request_inherits_and_may_name_credentials_of_its_own() {
    let scene = Scene::standard().await;
    scene.sandbox.set_price(FIRST, 77.0, Some("2001")).await.unwrap();
    scene.sandbox.set_price(FIRST, 66.0, Some("2002")).await.unwrap();
    let [one, other] = ["2001", "2002"]
        .map(|account| format!("Bearer {}", scene.sandbox.token_for(account).unwrap()));
    let path = format!("Products({FIRST})/GetById(channelId={CHANNEL})");
    let own = json!({"headers": {"authorization": other, "Accept-Language": "en"}});
    let headers = [("Authorization", one.as_str()), ("Accept-Language", "nb-NO")];
    let requests = json!([get("1", &path), with(get("2", &path), own)]);
    let found = responses(&send(&scene, &headers, requests).await);
    assert_eq!(found[0]["body"], scene.get_with(&path, &headers).await.json());
    assert_eq!(found[0]["body"]["Price"], 77.0);
    assert_eq!(found[1]["body"]["Price"], 66.0);
    assert_ne!(found[0]["body"]["Name"], found[1]["body"]["Name"]);
}

#[tokio::test]
async fn what_depends_on_a_failure_fails_with_it_and_the_rest_goes_on_unless_told_not_to() {
    let scene = Scene::standard().await;
    let requests = json!([
        get("1", "GetChannels()"),
        get("2", "Nothing"),
        with(get("3", "GetCurrencies()"), json!({"dependsOn": ["1"]})),
        with(get("4", "GetCurrencies()"), json!({"dependsOn": ["1", "2"]})),
        with(get("5", "GetCurrencies()"), json!({"dependsOn": ["4"]})),
        with(get("6", "GetCurrencies()"), json!({"dependsOn": ["1"], "if": "$1/$succeeded"})),
    ]);
    let reply = send(&scene, &[("Prefer", "continue-on-error")], requests.clone()).await;
    let expected = [("1", 200), ("2", 404), ("3", 200), ("4", 424), ("5", 424), ("6", 424)];
    assert_eq!(statuses(&reply), told(&expected));
    assert_eq!(reply.header("preference-applied"), "continue-on-error");
    assert_eq!(scene.sandbox.requests_in_batches("GetCurrencies"), 1);
    assert_eq!(statuses(&send(&scene, &[], requests.clone()).await), told(&expected));
    let stopped = send(&scene, &[("Prefer", "continue-on-error=false")], requests).await;
    assert_eq!(statuses(&stopped), told(&[("1", 200), ("2", 404)]));
    assert_eq!(stopped.header("preference-applied"), "continue-on-error=false");
}

#[tokio::test]
async fn a_later_request_refers_to_the_cart_that_it_depends_on() {
    let scene = Scene::standard().await;
    let reply = send(
        &scene,
        &[("Prefer", "continue-on-error")],
        json!([
            post("cart", "Carts", &json!({})),
            with(post("2", "$cart/AddCartLines", &lines(FIRST)), json!({"dependsOn": ["cart"]})),
            with(get("3", "$cart"), json!({"dependsOn": ["cart", "2"]})),
            get("4", "$cart"),
        ]),
    )
    .await;
    let expected = [("cart", 201), ("2", 200), ("3", 200), ("4", 400)];
    assert_eq!(statuses(&reply), told(&expected));
    assert_eq!(responses(&reply)[2]["body"]["CartLines"][0]["ProductId"], FIRST);
}

#[tokio::test]
async fn a_group_succeeds_as_a_whole_or_not_at_all() {
    let scene = Scene::standard().await;
    let cart = scene.post("Carts", &json!({"CartLines": [{"ProductId": FIRST}]})).await.json();
    let path = format!("Carts('{}')", cart["Id"].as_str().unwrap());
    let add = |id: &str, product: i64| {
        let add = post(id, &format!("{path}/AddCartLines"), &lines(product));
        with(add, json!({"atomicityGroup": "g"}))
    };
    let after = |id: &str| with(get(id, &path), json!({"dependsOn": ["g"]}));
    let go_on = [("Prefer", "continue-on-error")];
    let failing =
        json!([add("1", FIRST + 1), add("2", 7), add("3", FIRST), after("4"), get("5", &path)]);
    let reply = send(&scene, &go_on, failing).await;
    let expected = [("1", 424), ("2", 400), ("3", 424), ("4", 424), ("5", 200)];
    assert_eq!(statuses(&reply), told(&expected));
    let found = responses(&reply);
    assert_eq!((&found[2]["atomicityGroup"], found[4].get("atomicityGroup")), (&json!("g"), None));
    assert_eq!(found[4]["body"]["Version"], 1);
    let done =
        send(&scene, &go_on, json!([add("1", FIRST + 1), add("2", FIRST), after("4")])).await;
    assert_eq!(statuses(&done), told(&[("1", 200), ("2", 200), ("4", 200)]));
    assert_eq!(responses(&done)[2]["body"]["Version"], 3);
}

#[tokio::test]
async fn what_is_no_json_batch_is_refused_before_anything_runs() {
    let scene = Scene::standard().await;
    for requests in [
        json!({}),
        json!([get("1", "GetChannels()"), {"id": "2"}]),
        json!([get("1", "GetChannels()"), get("1", "GetChannels()")]),
        json!([
            get("1", "GetChannels()"),
            with(get("2", "GetChannels()"), json!({"dependsOn": ["3"]}))
        ]),
        (0..101).map(|id| get(&id.to_string(), "GetChannels()")).collect(),
    ] {
        let reply = send(&scene, &[], requests.clone()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{requests}");
        assert!(reply.error().0.ends_with(".DataValidationException"));
    }
    assert_eq!(scene.sandbox.requests_in_batches("GetChannels"), 0);
    let nested = send(&scene, &[], json!([post("1", "$batch", &json!({"requests": []}))])).await;
    assert_eq!(statuses(&nested), told(&[("1", 400)]));
}
