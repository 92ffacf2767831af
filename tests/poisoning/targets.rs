//! What the catalogue does not know: what is sent is the form that is keyed, and what servers read
//! in different ways is not kept.

use csu_edge::config::GenericPolicy;

use super::{POLICIES, Scene};

const RFC_9111: GenericPolicy = GenericPolicy::Rfc9111;

#[tokio::test]
async fn what_is_sent_is_the_form_that_is_keyed() {
    let scene = Scene::under(RFC_9111).await;
    for (target, sent) in [
        ("/media/a%2Epng", "/media/a.png"),
        ("/%6d%65dia/%61.png?v=%31", "/media/a.png?v=1"),
        ("/media/caf%c3%a9", "/media/caf%C3%A9"),
        ("/media/%7ea%2db%5fc", "/media/~a-b_c"),
        ("/media/a?q=%2f%3a%2e", "/media/a?q=%2F%3A."),
        ("http://evil.example/media/absolute", "/media/absolute"),
        ("HTTP://EVIL.example:81/media/absolute2?x", "/media/absolute2?x"),
        ("http://evil.example", "/"),
        ("/media/fragment#evil", "/media/fragment"),
    ] {
        let first = scene.get(target, &[]).await;
        assert_eq!(first.cache_status(), "csu-edge; fwd=uri-miss; stored", "{target}");
        assert_eq!(scene.origin.last().target, sent, "{target}");
        let second = scene.get(sent, &[]).await;
        assert!(second.is_hit(), "{target}: {}", second.head);
        assert_eq!(first.body, second.body);
        assert!(!second.body.contains("evil"), "{}", second.body);
    }
}

#[tokio::test]
async fn what_could_differ_is_kept_apart_and_sent_as_it_came() {
    let long = "/media/".to_owned() + &"a".repeat(20_000);
    let longer = long.clone() + "b";
    let targets = [
        "/media/a",
        "/media/a?",
        "/media/a??",
        "/media/a/",
        "/media/a//",
        "/media//a",
        "//media/a",
        "/media/A",
        "/MEDIA/a",
        "/media/a.",
        "/media/a..",
        "/media/a;v=1",
        "/media/a;v=2",
        "/media/a%3Bv=1",
        "/media/a%20",
        "/media/a+",
        "/media/a%2B",
        "/media/a?a=1&a=2",
        "/media/a?a=2&a=1",
        "/media/a?a=1",
        "/media/a?a=1&",
        "/media/a?&a=1",
        "/media/a?a=1%26a=2",
        "/media/a?a=1;a=2",
        "/media/a?a=1%3Ba=2",
        "/media/a?a[]=1",
        "/media/a?A=1",
        "/media/a?a=%20",
        "/media/a?a=+",
        "/media/a?a=%2B",
        "/media/a?a=%2526",
        "/media/a?a=%00",
        "/media/a?a=%0D%0A",
        "/media/a?a=../b",
        "/media/a?utm_source=x",
        "/media/a?callback=evil",
        "/media/a?a=%",
        "/media/a?a=%zz",
        "/media/a%3Fa=1",
        "/media/a%23b",
        &long,
        &longer,
    ];
    let scene = Scene::under(RFC_9111).await;
    for target in targets {
        let heard = scene.get(target, &[]).await;
        assert_eq!(heard.cache_status(), "csu-edge; fwd=uri-miss; stored", "{target}");
        assert_eq!(scene.origin.last().target, target);
    }
    for target in targets {
        let heard = scene.get(target, &[]).await;
        assert!(heard.is_hit(), "{target}: {}", heard.head);
        let body: serde_json::Value = serde_json::from_str(&heard.body).unwrap();
        assert_eq!(body["target"], *target);
    }
}

#[tokio::test]
async fn what_servers_read_in_different_ways_passes_as_it_came_and_is_never_kept() {
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        for target in [
            "/media/../a",
            "/media/./a",
            "/media/..",
            "/media/.",
            "/..",
            "/media/%2e%2e/a",
            "/media/%2E./a",
            "/media/.%2e/a",
            "/media/..;/a",
            "/media/..;x=1/a",
            "/media/.;/a",
            "/media/..%20/a",
            "/media/.../a",
            "/media/..%2fa",
            "/media%2Fa",
            "/media/a%5cb",
            "/media/a\\b",
            "/media/..\\a",
            "/media/..%5Ca",
            "/media/%252e%252e/a",
            "/media/a%252fb",
            "/media/a%25",
            "/media/a%2500",
            "/media/a%00",
            "/media/a%00.css",
            "/media/a%0a",
            "/media/a%0d%0aset-cookie:evil",
            "/media/a%09",
            "/media/a%7f",
            "/media/a%",
            "/media/a%2",
            "/media/a%zz",
            "/media/a%u002e",
            "/media/%c0%ae%c0%ae/a",
            "/media/a%c0%af",
            "/media/a%ff",
        ] {
            scene.assert_never_kept(target, &[]).await;
            assert_eq!(scene.origin.last().target, target);
        }
    }
}

#[tokio::test]
async fn a_get_or_head_with_a_body_passes_with_it_and_is_never_kept() {
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        for method in ["GET", "HEAD"] {
            for _ in 0..2 {
                let before = scene.origin.requests();
                scene.ask(method, "/media/a", &[], "evil").await;
                assert_eq!(scene.origin.requests(), before + 1);
                let seen = scene.origin.last();
                assert_eq!((&*seen.method, &*seen.body), (method, "evil"));
            }
        }
        assert_eq!(scene.node.stored().await, 0.0);
        let plain = scene.get("/media/a", &[]).await;
        assert!(!plain.is_hit() && !plain.body.contains("evil"));
    }
}

#[tokio::test]
async fn a_target_past_the_limit_reaches_nobody() {
    for policy in POLICIES {
        let scene = Scene::under(policy).await;
        let target = "/media/".to_owned() + &"a".repeat(40_000);
        let heard = scene.get(&target, &[]).await;
        assert_eq!(heard.status(), 431);
        assert_eq!(scene.origin.requests(), 0);
    }
}
