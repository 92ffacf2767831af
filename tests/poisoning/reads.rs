//! Reads of the catalogue: what goes to the origin is what the key holds.

use csu_edge::config::GenericPolicy;

use super::hostile::{METHODS, OVERRIDES, UNKEYED};
use super::support::node::Got;
use super::support::reads::{PRODUCT, price};
use super::{POLICIES, Scene, fields_of};

const READ: &str = "/Commerce/Products(68719489871)/GetById(channelId=5637154326)?api-version=7.3";

/// All that a plain read carries.
const CONSTANT: [(&str, &str); 3] = [
    ("accept", "application/json;odata.metadata=minimal"),
    ("accept-encoding", "gzip"),
    ("via", "1.1 csu-edge"),
];

fn hostile() -> Vec<(&'static str, &'static str)> {
    OVERRIDES.iter().chain(&UNKEYED).copied().collect()
}

#[tokio::test]
async fn of_a_hundred_hostile_fields_none_reaches_the_origin_with_a_catalogue_read() {
    assert!(hostile().len() > 100);
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        let heard = scene.get(READ, &hostile()).await;
        assert_eq!(heard.cache_status(), "csu-edge; fwd=uri-miss; stored", "{}", heard.head);
        let seen = scene.origin.last();
        assert_eq!(seen.target, READ);
        assert_eq!(fields_of(&seen), CONSTANT);
        assert_eq!(seen.header("host").unwrap(), authority(&scene));
        // And what the hostile client stored is what everybody is to get.
        let plain = scene.get(READ, &[]).await;
        assert!(plain.is_hit());
        assert!(!plain.body.contains("evil"), "{}", plain.body);
    }
}

#[tokio::test]
async fn an_action_is_asked_with_its_own_body_and_no_hostile_field() {
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        let (head, body) = price().into_parts();
        let target = head.uri.to_string();
        let mut fields = hostile();
        fields.push(("content-type", "application/json"));
        scene.ask("POST", &target, &fields, &body).await;
        let seen = scene.origin.last();
        assert_eq!(seen.target, target);
        let length = seen.body.len().to_string();
        let mut expected = CONSTANT.to_vec();
        expected.extend([("content-length", &*length), ("content-type", "application/json")]);
        expected.sort_unstable();
        assert_eq!(fields_of(&seen), expected);
        let canonical = format!(
            r#"{{"productIds":[{PRODUCT}],"projectDomain":{{"CatalogId":0,"ChannelId":5637154326}}}}"#
        );
        assert_eq!(seen.body, canonical);
        let plain: Got = scene.node.send(price()).await;
        assert!(plain.is_hit(), "{}", plain.cache_status());
    }
}

#[tokio::test]
async fn each_unkeyed_field_alone_leaves_the_request_to_the_origin_as_it_is() {
    let scene = Scene::under(GenericPolicy::Pass).await;
    for (at, (name, value)) in hostile().into_iter().enumerate() {
        let target = format!("/Commerce/Products({at})/GetById(channelId=1)");
        let heard = scene.get(&target, &[(name, value)]).await;
        assert_eq!(heard.cache_status(), "csu-edge; fwd=uri-miss; stored", "{name}");
        assert_eq!(scene.origin.last().target, target, "{name}");
        assert_eq!(fields_of(&scene.origin.last()), CONSTANT, "{name}");
    }
}

#[tokio::test]
async fn a_read_that_says_that_it_is_of_another_method_passes_and_is_never_kept() {
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        for name in METHODS.iter().filter(|name| **name != "X-Method") {
            scene.assert_never_kept(READ, &[(name, "DELETE")]).await;
            assert_eq!(scene.origin.last().header(name), Some("DELETE"));
        }
    }
}

#[tokio::test]
async fn a_read_whose_path_is_spelled_oddly_is_kept_for_nobody_else() {
    let odd = [
        "/Commerce/Products(68719489871)/../Products(1)/GetById(channelId=5637154326)",
        "/Commerce/Products(68719489871)/./GetById(channelId=5637154326)",
        "/Commerce/Products(68719489871)%2fGetById(channelId=5637154326)",
        "/Commerce/Products(68719489871)%5cGetById(channelId=5637154326)",
        "/Commerce/Products(68719489871)\\GetById(channelId=5637154326)",
        "/Commerce/Products(68719489871)/GetById(channelId=5637154326)%00",
        "/Commerce/%252e%252e/Products(68719489871)/GetById(channelId=5637154326)",
        "/Commerce/Products(68719489871)/GetById(channelId=5637154326)/..;/x",
    ];
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        for target in odd {
            for _ in 0..2 {
                let before = scene.origin.requests();
                let heard = scene.get(target, &[]).await;
                assert!(!heard.is_hit(), "{target}: {}", heard.head);
                assert_eq!(scene.origin.requests(), before + 1, "{target}");
                assert_eq!(scene.origin.last().target, target);
            }
        }
        assert_eq!(scene.node.stored().await, 0.0);
    }
}

#[tokio::test]
async fn spellings_of_one_read_are_one_request_to_the_origin() {
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        let spellings = [
            READ,
            "/Commerce/Products(68719489871)/GetById(channelId=5637154326)?api%2dversion=7%2E3",
            "/Commerce/%50roducts%2868719489871%29/GetById(channelId=%35637154326)?api-version=7.3",
            "/Commerce/Products(68719489871)/GetById(channelId=5637154326)?api-version=7.3&utm_x=evil",
            "/Commerce/Products(68719489871)/GetById(channelId=@x)?api-version=7.3&@x=5637154326",
            "http://evil.example/Commerce/Products(68719489871)/GetById(channelId=5637154326)?api-version=7.3",
        ];
        for (at, target) in spellings.into_iter().enumerate() {
            let heard = scene.get(target, &[]).await;
            assert_eq!(heard.is_hit(), at > 0, "{target}: {}", heard.head);
        }
        assert_eq!(scene.origin.requests(), 1);
        assert_eq!(scene.origin.last().target, READ);
    }
}

fn authority(scene: &Scene) -> String {
    let root = scene.origin.service_root();
    root.trim_start_matches("http://").trim_end_matches("/Commerce").to_owned()
}
