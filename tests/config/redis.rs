//! `[redis]` and `[redis.purge]`.

use csu_edge::config::{RedisKind, RedisNode};

use super::*;

#[test]
fn a_redis_has_the_documented_defaults_and_is_its_plane_too() {
    assert!(parse(LEAST, &[]).unwrap().redis.is_none());
    let redis = parse(&format!("{LEAST}redis.url = 'redis://h'"), &[]).unwrap().redis.unwrap();
    let node = RedisNode { host: "h".to_owned(), port: 6_379 };
    assert_eq!(redis.server.kind, RedisKind::Standalone { node, db: 0 });
    assert!(!redis.server.tls);
    assert_eq!((redis.prefix.as_str(), redis.node.as_deref()), ("csu-edge", None));
    assert_eq!(redis.command_timeout, Duration::from_millis(50));
    assert_eq!(redis.max_value_bytes, 4 << 20);
    assert_eq!(redis.purge.fence_after, Duration::from_secs(2));
    assert_eq!(redis.purge_server(), &redis.server);
}

#[test]
fn a_redis_and_a_plane_of_its_own_are_read() {
    let text = r#"
        [redis]
        url = "redis+sentinel://a,b:26380/primary/1"
        username = "edge"
        password = "env:PASSWORD"
        sentinel_password = "env:PASSWORD"
        prefix = "shop_1.eu"
        node = "edge-1"
        lease_wait = "0s"
        broken_after = 1
        partition_secret = "env:SECRET"
        [redis.purge]
        url = "rediss://[::1]:6380"
        heartbeat = "100ms"
        fence_after = "300ms"
        replicas = 2
        [ingest]
        wait_for_fleet = true
    "#;
    let environment = [("PASSWORD", "canary"), ("SECRET", "canary")];
    let config = parse(&format!("{LEAST}{text}"), &environment).unwrap();
    assert!(config.ingest.wait_for_fleet);
    assert!(!format!("{config:?}").contains("canary"));
    let redis = config.redis.unwrap();
    let RedisKind::Sentinel { nodes, service, db } = &redis.server.kind else {
        panic!("sentinels")
    };
    assert_eq!(nodes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:26379", "b:26380"]);
    assert_eq!((service.as_str(), *db), ("primary", 1));
    assert_eq!(redis.server.username.as_deref(), Some("edge"));
    assert_eq!(redis.server.password.as_ref().unwrap().reveal(), "canary");
    assert_eq!(redis.server.sentinel_password.as_ref().unwrap().reveal(), "canary");
    assert_eq!(redis.node.as_deref(), Some("edge-1"));
    assert_eq!(redis.lease_wait, Duration::ZERO);
    assert_eq!(redis.partition_secret.as_ref().unwrap().reveal(), "canary");
    let plane = redis.purge_server();
    assert!(plane.tls && plane.username.is_none());
    let RedisKind::Standalone { node, .. } = &plane.kind else { panic!("one server") };
    assert_eq!(node.to_string(), "[::1]:6380");
    assert_eq!(redis.purge.replicas, 2);
}

#[test]
fn what_cannot_be_of_a_redis_is_a_mistake() {
    assert_mistake(
        "[redis]\nnode = 'a'",
        "3:2: redis.url: missing: where the Redis is, such as \"redis://127.0.0.1:6379\"",
    );
    assert_mistake(
        "redis.url = 'redis://:canary@h'",
        "3:13: redis.url: must have no user name or password: write them as username and password \
         (\"env:NAME\" or \"file:PATH\")",
    );
    assert_mistake(
        "redis.url = 'redis+sentinel://h'",
        "3:13: redis.url: must name the primary as its sentinels do, after the sentinels: \
         redis+sentinel://a:26379,b:26379/primary",
    );
    for (setting, told) in [
        (
            "prefix = 'a b'",
            "10: redis.prefix: must be 1 to 64 letters, digits, dots, hyphens or underscores",
        ),
        ("prefix = ''", "10: redis.prefix: must not be empty"),
        (
            "node = 'a:b'",
            "8: redis.node: must be 1 to 64 letters, digits, dots, hyphens or underscores",
        ),
        (
            "username = 'a'",
            "12: redis.username: needs a password beside it: without one, nobody is authenticated",
        ),
        (
            "ca_file = '/nowhere'",
            "11: redis.ca_file: \"/nowhere\" cannot be read: No such file or directory (os error 2)",
        ),
        ("certificate = 'a'", "15: redis.certificate: needs a private_key beside it"),
        ("private_key = 'a'", "15: redis.private_key: needs a certificate beside it"),
        (
            "password = 'canary'",
            "12: redis.password: a secret does not belong in the configuration: write \"env:NAME\" for an environment variable or \"file:PATH\" for a file that holds it",
        ),
        ("probe_every = '1ms'", "15: redis.probe_every: must be between 10ms and 1m"),
        (
            "purge.password = 'env:HOME'",
            "18: redis.purge.password: belongs to a url of its own: without one here, [redis] says it",
        ),
        (
            "purge.heartbeat = '1s'",
            "19: redis.purge.heartbeat: fence_after must be at least three times heartbeat: one that is late must not fence a node off",
        ),
        (
            "purge.fence_after = '749ms'",
            "21: redis.purge.fence_after: fence_after must be at least three times heartbeat: one that is late must not fence a node off",
        ),
    ] {
        let text = format!("{LEAST}[redis]\nurl = 'rediss://h'\n{setting}");
        let found = parse(&text, &[("HOME", "/")]).unwrap_err();
        assert_eq!(found, [format!("config.toml:5:{told}")], "{setting}");
    }
    assert_mistake(
        "ingest.wait_for_fleet = true",
        "3:25: ingest.wait_for_fleet: there is no fleet to wait for without a [redis]",
    );
}

#[test]
fn certificates_for_a_redis_are_looked_at_and_belong_to_tls() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let pair = || rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
    let (mine, other) = (pair(), pair());
    let certificate = write("certificate", &mine.cert.pem());
    let key = write("key", &mine.signing_key.serialize_pem());
    let wrong_key = write("wrong-key", &other.signing_key.serialize_pem());
    let text = |url: &str, key: &str| {
        format!(
            "{LEAST}[redis]\nurl = '{url}'\nca_file = '{certificate}'\n\
             certificate = '{certificate}'\nprivate_key = '{key}'"
        )
    };
    let redis = parse(&text("rediss://h", &key), &[]).unwrap().redis.unwrap();
    assert!(redis.server.identity.is_some() && redis.server.ca_file.is_some());
    assert_eq!(
        mistakes(&text("rediss://h", &wrong_key)),
        ["config.toml:7:15: redis.private_key: the private key is not the certificate's: they do \
          not match"]
    );
    let told = "belongs to TLS, and the url is in the clear: write rediss";
    assert_eq!(
        mistakes(&text("redis://h", &key)),
        [
            format!("config.toml:5:11: redis.ca_file: {told}"),
            format!("config.toml:6:15: redis.certificate: {told}"),
            format!("config.toml:7:15: redis.private_key: {told}"),
        ]
    );
}
