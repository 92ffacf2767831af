//! The tier that nodes share.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use csu_edge::clock::Clock;
use csu_edge::config::{Config, GenericPolicy, OperationRule, Secret};
use csu_edge::operation::Identity;
use http::{Request, Response, StatusCode};
use redis::cmd;
use serde_json::json;

use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::fleet::{nodes, nodes_by_hand, nodes_with, patient, redis_at, responses};
use crate::support::node::{Got, Running, request, with};
use crate::support::origin::{Origin, json as answer, price_of as priced, with_field, with_status};
use crate::support::reads::{PRODUCT, named, not_modified, price, product};
use crate::support::redis::server::Server;
use crate::support::redis::until;
use crate::{PRICES, another_price, name, price_changed, selling};

const URL: &str = "/Commerce/media/banner.json";

fn by_url(config: &mut Config) {
    config.generic.policy = GenericPolicy::Rfc9111;
}

/// Asserts that an answer comes from what another node has fetched.
#[track_caller]
fn assert_shared(got: &Got) {
    let status = got.cache_status();
    assert!(got.is_hit() && status.ends_with("; detail=redis"), "{status}");
}

#[tokio::test]
async fn a_response_fetched_by_one_node_is_a_hit_on_another() {
    let redis = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let redis = patient(redis_at(redis.address()));
    let [a, b] = nodes(&origin.service_root(), &redis).await;

    assert_eq!(a.send(price()).await.price(), 10.0);
    a.shared("written", 1.0).await;
    let got = b.send(price()).await;
    assert_eq!(got.price(), 10.0);
    assert_shared(&got);
    assert_eq!(b.answered(PRICES, "hit-redis").await, 1.0);
    // From memory by now.
    let again = b.send(price()).await;
    assert!(again.is_hit() && !again.cache_status().contains("detail"), "{}", again.cache_status());
    assert_eq!(b.answered(PRICES, "hit").await, 1.0);
    assert_eq!(b.looked("found").await, 1.0);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn what_memory_gets_from_it_has_the_lifetime_that_is_left() {
    let redis = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let redis = patient(redis_at(redis.address()));
    let ([a, b], clock) = nodes_by_hand(&origin.service_root(), &redis, |_| ()).await;
    a.send(price()).await;
    a.shared("written", 1.0).await;

    let passes = |seconds| clock.advance(Duration::from_secs(seconds));
    passes(100);
    let got = b.send(price()).await;
    let told = (got.cache_status(), got.header("age"));
    assert_eq!(told, ("csu-edge; hit; ttl=200; detail=redis", Some("100")));
    passes(199);
    let got = b.send(price()).await;
    assert_eq!((got.cache_status(), got.header("age")), ("csu-edge; hit; ttl=1", Some("299")));
    assert_eq!(origin.requests(), 1);
    passes(1);
    assert_eq!(b.send(price()).await.cache_status(), "csu-edge; fwd=stale; stored");
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn a_stale_answer_in_it_serves_who_has_nothing_and_is_refreshed_once() {
    let redis = Server::start(&[]).await;
    let origin = Origin::start(selling(1)).await;
    let redis = patient(redis_at(redis.address()));
    let ([a, b], clock) = nodes_by_hand(&origin.service_root(), &redis, |_| ()).await;
    a.send(product()).await;
    a.shared("written", 1.0).await;
    clock.advance(Duration::from_secs(15 * 60 + 5));
    origin.answer(selling(2));
    origin.hold();
    for _ in 0..4 {
        let got = b.send(product()).await;
        let told = (got.status, got.cache_status(), name(&got));
        let stale = "csu-edge; hit; ttl=-5; detail=stale-while-revalidate";
        assert_eq!(told, (StatusCode::OK, stale, "1".to_owned()));
    }
    origin.arrived(2).await;
    origin.release();
    until("it is fresh", async || (name(&b.send(product()).await) == "2").then_some(())).await;
    assert_eq!(origin.requests(), 2);
    assert_eq!(b.asked("fetch", "2xx").await + b.asked("revalidate", "2xx").await, 1.0);
}

#[tokio::test]
async fn a_stale_answer_in_it_stands_in_where_the_origin_fails() {
    let redis = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let redis = patient(redis_at(redis.address()));
    let ([a, b], clock) = nodes_by_hand(&origin.service_root(), &redis, |_| ()).await;
    a.send(price()).await;
    a.shared("written", 1.0).await;
    clock.advance(Duration::from_secs(5 * 60 + 10));
    origin.answer(|_| with_status(StatusCode::BAD_GATEWAY, "{}"));
    for node in [&b, &a] {
        let got = node.send(price()).await;
        assert_eq!(got.status, StatusCode::OK, "{got:?}");
        assert_eq!(got.price(), 10.0);
        assert!(got.cache_status().ends_with("; ttl=-10; detail=stale-if-error"), "{got:?}");
        assert_eq!(node.answered(PRICES, "stale-if-error").await, 1.0);
    }
    // Not past its window.
    clock.advance(Duration::from_secs(50));
    assert_eq!(b.send(price()).await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn who_has_nothing_asks_whether_the_shared_answer_still_stands() {
    let redis = Server::start(&[]).await;
    let origin = Origin::start(|_| {
        with_field(answer(priced(PRODUCT, "82000", 10)), "etag", "\"of-the-origin\"")
    })
    .await;
    let redis = patient(redis_at(redis.address()));
    let ([a, b], clock) = nodes_by_hand(&origin.service_root(), &redis, |_| ()).await;
    a.send(price()).await;
    a.shared("written", 1.0).await;
    clock.advance(Duration::from_secs(5 * 60));
    origin.answer(|seen| {
        assert_eq!(seen.header("if-none-match"), Some("\"of-the-origin\""));
        not_modified()
    });
    let got = b.send(price()).await;
    assert_eq!((got.status, got.price()), (StatusCode::OK, 10.0));
    assert!(got.cache_status().contains("; fwd-status=304; "), "{}", got.cache_status());
    assert_eq!(b.asked("revalidate", "3xx").await, 1.0);
    // It is as new as the confirmation, for the other too.
    b.shared("written", 1.0).await;
    let got = a.send(price()).await;
    assert_shared(&got);
    assert_eq!((got.price(), got.header("age")), (10.0, Some("0")));
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn a_purge_on_one_node_makes_the_shared_answer_unusable_for_all() {
    let redis = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let redis = patient(redis_at(redis.address()));
    let [a, b, c] = nodes(&origin.service_root(), &redis).await;
    a.send(price()).await;
    a.shared("written", 1.0).await;
    origin.answer(selling(20));
    let sequence = a.push(&price_changed()).await["sequence"].as_u64().unwrap();
    b.applied(sequence).await;
    c.applied(sequence).await;

    let got = b.send(price()).await;
    assert_eq!((got.is_hit(), got.price()), (false, 20.0), "{}", got.cache_status());
    assert_eq!(b.looked("found").await, 1.0, "it stands there still");
    b.shared("written", 1.0).await;
    for node in [&c, &a] {
        let got = node.send(price()).await;
        assert_shared(&got);
        assert_eq!(got.price(), 20.0);
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn a_shared_value_that_cannot_be_used_is_a_miss_and_is_replaced() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let mut redis = patient(redis_at(server.address()));
    redis.max_value_bytes = 4 << 10;
    let [a, b, c] = nodes(&origin.service_root(), &redis).await;
    let mut connection = server.connect().await;
    a.send(another_price()).await;
    a.shared("written", 1.0).await;
    let mut known: HashSet<String> = responses(&server).await.into_iter().collect();
    let first = known.iter().next().unwrap();
    let sound: Vec<u8> = cmd("GET").arg(first).query_async(&mut connection).await.unwrap();

    let cut_off = sound[..sound.len() - 1].to_vec();
    let of_another_version = [&[99], &sound[1..]].concat();
    for (n, (result, count, damaged)) in [
        ("unreadable", 1.0, cut_off),
        ("unreadable", 2.0, of_another_version),
        ("unreadable", 3.0, b"what is this?".to_vec()),
        ("other-key", 1.0, sound),
        ("too-large", 1.0, vec![2; 5 << 10]),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = another_price();
        a.send(asked.clone()).await;
        a.shared("written", n as f64 + 2.0).await;
        let key = responses(&server).await.into_iter().find(|key| !known.contains(key)).unwrap();
        known.insert(key.clone());
        cmd("SET").arg(&key).arg(&damaged).exec_async(&mut connection).await.unwrap();

        let got = b.send(asked.clone()).await;
        assert_eq!((got.status, got.price()), (StatusCode::OK, 10.0), "{result}");
        assert_eq!(got.cache_status(), "csu-edge; fwd=uri-miss; stored", "{result}");
        assert_eq!(b.looked(result).await, count, "{result}");
        b.shared("written", n as f64 + 1.0).await;
        assert_shared(&c.send(asked).await);
    }
    assert_eq!(origin.requests(), 1 + 5 * 2);
}

#[tokio::test]
async fn what_may_not_be_stored_is_not_shared_nor_is_a_part() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(selling(10)).await;
    let redis = patient(redis_at(server.address()));
    let [a] = nodes_with(&origin.service_root(), &redis, by_url).await;
    for (field, value) in
        [("cache-control", "no-store"), ("cache-control", "private"), ("vary", "*")]
    {
        origin.answer(move |_| with_field(answer(r#"{"value":[]}"#), field, value));
        assert!(!a.send(another_price()).await.is_hit());
    }
    // A cookie is its client's; what came with it is everybody's.
    origin.answer(|seen| with_field(selling(10)(seen), "set-cookie", "session=1"));
    a.send(price()).await;
    a.shared("written", 1.0).await;
    let [key] = &responses(&server).await[..] else { panic!("one is shared") };
    let value: Vec<u8> =
        cmd("GET").arg(key).query_async(&mut server.connect().await).await.unwrap();
    assert!(!String::from_utf8_lossy(&value).contains("session"));

    origin.answer(|_| {
        let mut part = with_field(answer("12345"), "cache-control", "max-age=600");
        *part.status_mut() = StatusCode::PARTIAL_CONTENT;
        part.headers_mut().insert("content-range", "bytes 0-4/10".parse().unwrap());
        with_field(part, "etag", "\"a\"")
    });
    let held = a.stored().await;
    let got = a.get_with(URL, &[("range", "bytes=0-4")]).await;
    assert_eq!(got.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(a.stored().await, held + 1.0, "the node itself keeps it");
    // Written behind what came before it.
    origin.answer(selling(10));
    a.send(another_price()).await;
    a.shared("written", 2.0).await;
    assert_eq!(responses(&server).await.len(), 2);
}

fn by_token(config: &mut Config) {
    config.operations = vec![OperationRule {
        name: PRICES.to_owned(),
        identity: Some(Identity::Token),
        ..OperationRule::default()
    }];
}

/// The price, asked by somebody who is signed in for an hour.
fn signed_in(subject: &str) -> Request<String> {
    let exp = (Clock::system().now() + Duration::from_secs(3_600)).as_millis() / 1_000;
    let claims = json!({"sub": subject, "exp": exp}).to_string();
    let parts = [r#"{"alg":"RS256"}"#, &claims, "signature"];
    let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    with(price(), "authorization", &format!("id_token {token}"))
}

#[tokio::test]
async fn what_is_kept_by_token_leaves_the_node_only_with_a_secret_for_that() {
    for (secret, is_shared) in [(None, false), (Some("of the fleet"), true)] {
        let server = Server::start(&[]).await;
        let origin = Origin::start(selling(10)).await;
        let mut redis = patient(redis_at(server.address()));
        redis.partition_secret = secret.map(|secret| Secret::new(secret.to_owned()));
        let [a, b] = nodes_with(&origin.service_root(), &redis, by_token).await;
        let asked = signed_in("somebody");
        a.send(asked.clone()).await;
        assert!(a.send(asked.clone()).await.is_hit());
        // Written behind what came before it.
        a.send(another_price()).await;
        a.shared("written", 1.0 + f64::from(u8::from(is_shared))).await;
        assert_eq!(responses(&server).await.len(), 1 + usize::from(is_shared));

        assert_eq!(b.send(asked).await.is_hit(), is_shared);
        for other in [signed_in("somebody else"), price()] {
            assert!(!b.send(other).await.is_hit());
        }
        assert_eq!(origin.requests(), 5 - usize::from(is_shared));
        for key in responses(&server).await {
            assert!(!key.contains("somebody"), "{key}");
        }
    }
}

#[tokio::test]
async fn what_came_with_credentials_or_sets_a_cookie_stays_in_the_node() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(|seen| {
        let mut answer = with_field(answer("1"), "cache-control", "public, max-age=600");
        answer = with_field(answer, "vary", "authorization");
        if seen.target.ends_with("cookie.json") {
            answer = with_field(answer, "set-cookie", "who=somebody");
        }
        answer
    })
    .await;
    let redis = patient(redis_at(server.address()));
    let [a] = nodes_with(&origin.service_root(), &redis, by_url).await;
    let token = [("authorization", "Bearer of-somebody")];
    for (target, headers) in [(URL, &token[..]), ("/Commerce/media/cookie.json", &[])] {
        a.get_with(target, headers).await;
        assert!(a.get_with(target, headers).await.is_hit(), "{target}: kept in memory");
    }
    // Written behind what came before it.
    a.send(price()).await;
    a.shared("written", 1.0).await;
    assert_eq!(responses(&server).await.len(), 1);
}

#[tokio::test]
async fn a_value_past_the_bound_stays_in_memory() {
    let server = Server::start(&[]).await;
    // Nothing that can be made much smaller.
    let noise: String = (0..4_000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    let origin =
        Origin::start(move |_| answer(format!(r#"{{"value":[],"noise":"{noise}"}}"#))).await;
    let mut redis = patient(redis_at(server.address()));
    redis.max_value_bytes = 2 << 10;
    let [a, b] = nodes(&origin.service_root(), &redis).await;
    a.send(price()).await;
    a.shared("too-large", 1.0).await;
    assert!(responses(&server).await.is_empty());
    assert!(a.send(price()).await.is_hit());
    assert!(!b.send(price()).await.is_hit());
    assert_eq!(b.looked("absent").await, 1.0);
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn what_finds_the_queue_full_is_not_written_and_nobody_notices() {
    let (tier, plane) = tokio::join!(Server::start(&[]), Server::start(&[]));
    let proxy = FaultProxy::before(tier.address()).await;
    let origin = Origin::start(selling(10)).await;
    let mut redis = patient(redis_at(proxy.address()));
    redis.purge.server = Some(redis_at(plane.address()).server);
    redis.command_timeout = Duration::from_millis(20);
    redis.broken_after = 1_000_000;
    redis.write_timeout = Duration::from_secs(120);
    redis.write_queue = 1;
    let [a] = nodes(&origin.service_root(), &redis).await;
    a.degraded(&[]).await;
    proxy.set(Fault::Hang);
    // More than are under way at once and fit into the queue.
    let asked: Vec<_> = (0..24).map(|_| another_price()).collect();
    let got = futures_util::future::join_all(asked.iter().map(|asked| a.send(asked.clone()))).await;
    assert!(got.iter().all(|got| got.status == StatusCode::OK && got.price() == 10.0));
    let full = a.metric("csu_edge_shared_writes_total{result=\"queue-full\"}").await;
    assert!(full >= 24.0 - 16.0 - 1.0, "{full}");
    proxy.set(Fault::Pass);
    a.shared("written", 24.0 - full).await;
    let requests = origin.requests();
    for asked in asked {
        assert!(a.send(asked).await.is_hit());
    }
    assert_eq!(origin.requests(), requests);
}

#[tokio::test]
async fn a_value_is_kept_for_as_long_as_it_may_be_served() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(|_| with_field(answer("{}"), "age", "100")).await;
    let redis = patient(redis_at(server.address()));
    let [a] = nodes(&origin.service_root(), &redis).await;
    // Lifetime and the longest stale window of the class, less the age that it came with.
    for (asked, seconds) in [(price(), 5 * 60 + 60 - 100), (product(), (15 + 12 * 60) * 60 - 100)] {
        a.send(asked).await;
        let [key] = &*until("it is written", async || {
            let keys = responses(&server).await;
            (!keys.is_empty()).then_some(keys)
        })
        .await
        else {
            panic!("there is one")
        };
        let millis: i64 = server.query(&["PTTL", key]).await.unwrap();
        let longest = seconds * 1_000;
        assert!((longest - 60_000..=longest).contains(&millis), "{millis} of {longest}");
        server.command(&["DEL", key]).await;
    }
}

/// An origin whose answers vary by language.
async fn multilingual() -> Origin {
    Origin::start(|seen| {
        let language = seen.header("accept-language").unwrap_or_default();
        let told = with_field(answer(format!("\"{language}\"")), "cache-control", "max-age=600");
        with_field(told, "vary", "accept-language")
    })
    .await
}

#[tokio::test]
async fn variants_of_a_url_are_hits_on_the_other_node() {
    let server = Server::start(&[]).await;
    let origin = multilingual().await;
    let redis = patient(redis_at(server.address()));
    let [a, b] = nodes_with(&origin.service_root(), &redis, by_url).await;
    let asked = |language| request("GET", URL, &[("accept-language", language)]);
    for language in ["en", "nb"] {
        assert!(!a.send(asked(language)).await.is_hit());
    }
    // Each with a note of what the variants differ by.
    a.shared("written", 4.0).await;
    for language in ["nb", "en"] {
        let got = b.send(asked(language)).await;
        assert_shared(&got);
        assert_eq!(got.text(), format!("\"{language}\""));
        assert!(b.send(asked(language)).await.is_hit());
    }
    assert_eq!(b.send(asked("fr")).await.text(), "\"fr\"");
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn an_unsafe_request_through_one_node_invalidates_the_url_on_the_other() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(|_| with_field(answer("1"), "cache-control", "max-age=600")).await;
    let redis = patient(redis_at(server.address()));
    let [a, b] = nodes_with(&origin.service_root(), &redis, by_url).await;
    b.get(URL).await;
    b.shared("written", 1.0).await;
    assert_shared(&a.get(URL).await);
    let before = a.sequence().await;
    origin.answer(|_| Response::builder().status(204).body(Default::default()).unwrap());
    assert_eq!(a.send(request("DELETE", URL, &[])).await.status, StatusCode::NO_CONTENT);
    origin.answer(|_| with_field(answer("2"), "cache-control", "max-age=600"));

    let here = a.get(URL).await;
    assert_eq!((here.is_hit(), here.text().as_str()), (false, "2"));
    a.shared("written", 1.0).await;
    b.applied(before + 1).await;
    let there = b.get(URL).await;
    assert_shared(&there);
    assert_eq!(there.text(), "2");
    assert_eq!(b.metric("csu_edge_purges_total{source=\"unsafe-request\"}").await, 0.0);
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn who_wants_a_stored_answer_or_none_is_given_another_nodes_but_no_fetch() {
    let server = Server::start(&[]).await;
    let origin = Origin::start(|_| with_field(answer("1"), "cache-control", "max-age=600")).await;
    let redis = patient(redis_at(server.address()));
    let [a, b] = nodes_with(&origin.service_root(), &redis, by_url).await;
    let only_if_cached = || request("GET", URL, &[("cache-control", "only-if-cached")]);
    let got = b.send(only_if_cached()).await;
    assert_eq!(got.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(got.cache_status(), "csu-edge; detail=only-if-cached");
    assert_eq!(origin.requests(), 0);
    a.get(URL).await;
    a.shared("written", 1.0).await;
    assert!(a.send(only_if_cached()).await.is_hit());
    assert_shared(&b.send(only_if_cached()).await);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn an_answer_from_it_is_byte_for_byte_what_the_first_node_sends() {
    let server = Server::start(&[]).await;
    let long = named(&"Cap. ".repeat(1_000));
    let origin = Origin::start(move |_| with_field(answer(long.clone()), "x-told-by", "it")).await;
    let redis = patient(redis_at(server.address()));
    let [a, b] = nodes(&origin.service_root(), &redis).await;
    a.send(product()).await;
    a.shared("written", 1.0).await;
    let shared = b.send(product()).await;
    assert_shared(&shared);
    let zipped = async |node: &Running| {
        until("there is a small form", async || {
            let got = node.send(with(product(), "accept-encoding", "gzip")).await;
            (got.header("content-encoding") == Some("gzip")).then_some(got)
        })
        .await
    };
    for (here, there) in [
        (a.send(product()).await, shared),
        (a.send(product()).await, b.send(product()).await),
        (zipped(&a).await, zipped(&b).await),
    ] {
        let lasting = |got: &Got| {
            let mut headers = got.headers.clone();
            for of_a_message in ["age", "cache-status"] {
                assert!(headers.remove(of_a_message).is_some());
            }
            (got.status, headers, got.body.clone())
        };
        assert_eq!(lasting(&there), lasting(&here));
    }
    let etag = a.send(product()).await.header("etag").unwrap().to_owned();
    let got = b.send(with(product(), "if-none-match", &etag)).await;
    assert_eq!((got.status, got.header("etag")), (StatusCode::NOT_MODIFIED, Some(&*etag)));
    assert_eq!(origin.requests(), 1);
}
