//! The configuration: what is accepted, what is said about every mistake, and that nothing secret
//! is ever said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]
use std::fs;
use std::path::Path;
use std::time::Duration;

use csu_edge::config::{AllowedOrigins, Config, Place, TlsRoots};
use csu_edge::operation::{Class, Identity};

mod gate;
mod redis;

/// The least that loads.
const LEAST: &str = "listen.ingest = '127.0.0.1:8090'\norigin.service_root = 'http://rs'\n";

/// 24 bytes in base64, as a Standard Webhooks secret.
const WHSEC: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    Config::parse(text, "config.toml", environment.iter().copied())
        .map_err(|errors| errors.to_string().lines().map(str::to_owned).collect())
}

fn mistakes(text: &str) -> Vec<String> {
    parse(text, &[]).expect_err("the configuration was taken")
}

/// The mistakes of `text` after the three lines of a service root and a loopback ingest.
#[track_caller]
fn assert_mistake(text: &str, expected: &str) {
    let found = mistakes(&format!("{LEAST}{text}"));
    assert_eq!(found, [format!("config.toml:{expected}")], "{text}");
}

#[test]
fn the_least_configuration_has_the_documented_defaults() {
    let config = parse(LEAST, &[]).unwrap();
    assert_eq!(config.origin.service_root, "http://rs/");
    assert_eq!(config.listen.storefront.to_string(), "0.0.0.0:8080");
    assert_eq!(config.memory.max_bytes, 512 << 20);
    let price = config.classes.of(Class::Price);
    assert_eq!(price.fresh_for, Duration::from_secs(300));
    assert_eq!(price.stale_while_revalidate, Duration::ZERO);
    assert!(config.cors.is_none());
}

#[test]
fn every_kind_of_value_is_read() {
    let text = r#"
        [listen]
        storefront = "[::1]:0"
        ingest = "127.0.0.1:0"
        drain_for = "1h"
        drain_delay = "15s"
        handover = "/run/csu-edge/handover.sock"
        handover_timeout = "2m"
        [origin]
        service_root = "https://scu.example:8443/Commerce/"
        tls_roots = "bundled"
        first_byte_timeout = "1m30s"
        [storefront]
        public_root = "https://shop.example/Commerce"
        [memory]
        max_bytes = 1_073_741_824
        [class.search]
        stale_if_error = "250ms"
        [[operation]]
        match = "Products/GetActivePrices"
        method = "POST"
        class = "price"
        fresh_for = "0s"
        identity = "token"
        sets = ["productIds", "a.b"]
        cache = true
        [[operation]]
        match = "GetChannels"
        cache = false
        [generic]
        policy = "pass"
        [cors]
        allowed_origins = ["https://shop.example", "http://localhost:3000"]
        allow_credentials = true
        allowed_methods = ["GET"]
        [forwarded]
        trusted = ["10.1.2.3/8", "192.0.2.1", "fd00::/8"]
        [limits]
        header_bytes = "64KiB"
        [log]
        format = "text"
        filter = "info,csu_edge=debug"
    "#;
    let config = parse(text, &[]).unwrap();
    assert_eq!(config.listen.storefront.to_string(), "[::1]:0");
    assert_eq!(config.listen.drain_for, Duration::from_secs(3_600));
    assert_eq!(config.listen.drain_delay, Duration::from_secs(15));
    assert_eq!(config.listen.handover.unwrap().to_str(), Some("/run/csu-edge/handover.sock"));
    assert_eq!(config.listen.handover_timeout, Duration::from_secs(120));
    assert_eq!(config.origin.service_root, "https://scu.example:8443/Commerce");
    assert_eq!(config.origin.tls_roots, TlsRoots::Bundled);
    assert_eq!(config.origin.first_byte_timeout, Duration::from_secs(90));
    assert_eq!(config.storefront.public_root.unwrap(), "https://shop.example/Commerce");
    assert_eq!(config.memory.max_bytes, 1 << 30);
    assert_eq!(config.classes.of(Class::Search).stale_if_error, Duration::from_millis(250));
    assert_eq!(config.classes.of(Class::Search).fresh_for, Duration::from_secs(300));
    let [prices, channels] = &config.operations[..] else { panic!("two rules") };
    assert_eq!(prices.name, "Products/GetActivePrices");
    assert_eq!(prices.class, Some(Class::Price));
    assert_eq!(prices.fresh_for, Some(Duration::ZERO));
    assert_eq!(prices.identity, Some(Identity::Token));
    assert_eq!(prices.sets.as_deref(), Some(&["productIds".to_owned(), "a.b".to_owned()][..]));
    assert_eq!((channels.class, channels.cache), (None, Some(false)));
    let cors = config.cors.unwrap();
    let AllowedOrigins::Listed(origins) = cors.allowed_origins else { panic!("a list") };
    assert_eq!(origins, ["https://shop.example", "http://localhost:3000"]);
    assert!(cors.allow_credentials);
    assert_eq!(cors.max_age, Duration::from_secs(600));
    let trusted: Vec<_> = config.forwarded.trusted.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]);
    assert_eq!(config.limits.header_bytes, 64 << 10);
}

#[test]
fn a_unix_socket_has_a_path_that_the_system_takes() {
    let path = |bytes| format!("listen.handover = '/{}'", "a".repeat(bytes));
    let text =
        |path| format!("{path}\norigin.service_root = 'http://rs'\nlisten.ingest = '127.0.0.1:0'");
    assert!(parse(&text(path(102)), &[]).is_ok());
    let place = "config.toml:1:19: listen.handover: ";
    assert_eq!(mistakes(&text(path(103))), [format!("{place}must be a path of at most 103 bytes")]);
}

#[test]
fn every_mistake_is_told_at_once_in_the_order_of_the_file() {
    let text = "\
[listen]
storefront = 'nowhere'
ingest = '127.0.0.1:8090'
drain_fro = '5s'
[origin]
tls_roots = 5
[memory]
max_bytes = '1MB'
";
    assert_eq!(
        mistakes(text),
        [
            "config.toml:2:14: listen.storefront: must be an IP address with a port, such as \
             \"127.0.0.1:8080\", not \"nowhere\"",
            "config.toml:4:1: listen.drain_fro: unknown key; did you mean `drain_for`?",
            "config.toml:5:2: origin.service_root: missing: where the Retail Server is, such as \
             \"https://scu1234-rs.su.retail.dynamics.com/Commerce\"",
            "config.toml:6:13: origin.tls_roots: must be \"system\" or \"bundled\", not an integer",
            "config.toml:8:13: memory.max_bytes: must be a size such as \"512MiB\", \"64KiB\" or a \
             number of bytes (units: B, KiB, MiB, GiB, TiB)",
        ]
    );
}

#[test]
fn broken_toml_is_told_with_its_place_and_without_its_text() {
    let found = mistakes("[listen]\nstorefront = \"canary\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("config.toml:2:"), "{found:?}");
    assert!(!found[0].contains("canary"), "{found:?}");
    let found = mistakes("a = 1\na = 2\n");
    assert_eq!(found, ["config.toml:2:1: duplicate key"]);
}

#[test]
fn a_column_is_counted_in_characters() {
    let found = mistakes(&format!("{LEAST}log = {{ 'ø' = 1, nope = 1 }}"));
    assert_eq!(
        found,
        ["config.toml:3:9: log.ø: unknown key", "config.toml:3:18: log.nope: unknown key"]
    );
}

#[test]
fn unknown_keys_and_tables_are_mistakes() {
    assert_mistake("[lsiten]", "3:2: lsiten: unknown key; did you mean `listen`?");
    assert_mistake("[quite.other]", "3:2: quite: unknown key");
    assert_mistake(
        "[class.prices]\nfresh_for = '1s'",
        "3:8: class.prices: unknown key; did you mean `price`?",
    );
    assert_mistake(
        "[[operation]]\nmatch = 'GetChannels'\nfresh = '1s'",
        "5:1: operation.fresh: unknown key",
    );
    assert_mistake("\"a\\u001b[31m\" = 1", "3:1: a\\u{1b}[31m: unknown key");
}

#[test]
fn a_value_of_the_wrong_type_is_a_mistake() {
    assert_mistake("log = 5", "3:1: log: must be a table, not an integer");
    assert_mistake("log.filter = 5", "3:14: log.filter: must be a string, not an integer");
    assert_mistake("[log.filter]\na = 1", "3:6: log.filter: must be a string, not a table");
    assert_mistake(
        "limits.connections = '5'",
        "3:22: limits.connections: must be a whole number, not a string",
    );
    assert_mistake(
        "forwarded.send_forwarded = 1",
        "3:28: forwarded.send_forwarded: must be true or false, not an integer",
    );
    assert_mistake(
        "forwarded.trusted = '::1'",
        "3:21: forwarded.trusted: must be an array, not a string",
    );
    assert_mistake(
        "key.ignored_query_options = ['a', 5]",
        "3:35: key.ignored_query_options[1]: must be a string, not an integer",
    );
    assert_mistake(
        "operation = 5",
        "3:1: operation: must be tables, each under a line [[operation]]",
    );
}

#[test]
fn a_value_out_of_bounds_is_a_mistake() {
    assert_mistake("limits.h2_streams = 0", "3:21: limits.h2_streams: must be between 1 and 10000");
    assert_mistake("listen.workers = -1", "3:18: listen.workers: must be between 1 and 1024");
    assert_mistake(
        "memory.max_bytes = 1024",
        "3:20: memory.max_bytes: must be between 1MiB and 16TiB",
    );
    assert_mistake(
        "limits.keep_alive = '0s'",
        "3:21: limits.keep_alive: must be between 1ms and 1h",
    );
    for size in ["-1", "'-1'", "'+1KiB'", "'1.5MiB'", "'99999999999999999999'", "'99999999TiB'"] {
        let found = mistakes(&format!("{LEAST}memory.max_bytes = {size}"));
        assert!(found[0].starts_with("config.toml:3:20: memory.max_bytes: must be "), "{found:?}");
    }
}

#[test]
fn a_bad_duration_is_a_mistake() {
    for duration in ["5", "five", "", "-5s", "5 parsecs", "1y"] {
        assert_mistake(
            &format!("class.price.fresh_for = '{duration}'"),
            &format!(
                "3:25: class.price.fresh_for: must be a duration with its unit, such as \"250ms\", \
                 \"5m\" or \"1h30m\", not \"{duration}\""
            ),
        );
    }
    assert_mistake(
        "class.price.fresh_for = 5",
        "3:25: class.price.fresh_for: must be a duration with its unit, such as \"250ms\", \"5m\" \
         or \"1h30m\", not an integer",
    );
}

#[test]
fn a_service_root_is_a_plain_base() {
    for (url, problem) in [
        (
            "ftp://rs",
            "must be an http:// or https:// URL such as \"https://host.example/Commerce\"",
        ),
        ("rs:80", "must be an http:// or https:// URL such as \"https://host.example/Commerce\""),
        ("", "must be an http:// or https:// URL such as \"https://host.example/Commerce\""),
        ("http://rs/a?b", "must have no query (?…)"),
        ("http://rs/a#b", "must have no fragment (#…)"),
        ("http://canary:canary@rs", "must have no user name or password"),
        ("http://rs:99999", "must name a host, and a port between 0 and 65535 if any"),
    ] {
        let text = format!("listen.ingest = '127.0.0.1:0'\norigin.service_root = '{url}'");
        let expected = format!("config.toml:2:23: origin.service_root: {problem}");
        assert_eq!(mistakes(&text), [expected]);
    }
}

#[test]
fn addresses_networks_and_names_are_checked() {
    assert_mistake(
        "forwarded.trusted = ['10.0.0.0/33']",
        "3:22: forwarded.trusted[0]: must be a network such as \"10.0.0.0/8\" or an IP address, \
         not \"10.0.0.0/33\"",
    );
    assert_mistake(
        "cors = { allowed_origins = ['*'], exposed_headers = ['a b'] }",
        "3:54: cors.exposed_headers[0]: \"a b\" is not the name of a header field",
    );
    assert_mistake(
        "cors = { allowed_origins = ['*'], allowed_methods = ['get'] }",
        "3:54: cors.allowed_methods[0]: must be a method such as \"GET\", not \"get\"",
    );
    assert_mistake(
        "key.ignored_query_options = ['*']",
        "3:30: key.ignored_query_options[0]: must be the name of a query option, or the start of \
         one followed by *, not \"*\"",
    );
    assert_mistake(
        "key.ignored_query_options = ['$top']",
        "3:30: key.ignored_query_options[0]: \"$top\" changes the answer: it cannot be ignored",
    );
    let found = mistakes(&format!("{LEAST}log.filter = 'csu_edge=loud'"));
    assert!(found[0].starts_with("config.toml:3:14: log.filter: is not a filter: "), "{found:?}");
}

#[test]
fn a_ca_file_must_hold_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let setting = format!("origin.ca_file = '{}'", path.display());
    let found = mistakes(&format!("{LEAST}{setting}"));
    assert!(found[0].contains("3:18: origin.ca_file: ") && found[0].contains("cannot be read"));
    fs::write(&path, "no certificate").unwrap();
    assert_mistake(&setting, "3:18: origin.ca_file: the file holds no certificate in PEM form");
    let certificate = rcgen::generate_simple_self_signed(vec!["rs".to_owned()]).unwrap().cert;
    fs::write(&path, certificate.pem()).unwrap();
    assert_eq!(parse(&format!("{LEAST}{setting}"), &[]).unwrap().origin.ca_file, Some(path));
}

#[test]
fn operations_are_checked() {
    assert_mistake(
        "[[operation]]\ncache = false",
        "3:1: operation.match: missing: the operation's \
         name, such as \"Products/GetActivePrices\"",
    );
    assert_mistake(
        "[[operation]]\nmatch = 'GetChannels'\n[[operation]]\nmatch = 'GetChannels'",
        "6:9: operation.match: \"GetChannels\" has an [[operation]] already",
    );
    assert_mistake(
        "[[operation]]\nmatch = 'Carts/GetCart'\nmethod = 'GET'\nclass = 'price'",
        "4:9: operation.match: \"Carts/GetCart\": nothing of `Carts` may be stored",
    );
    assert_mistake(
        "[[operation]]\nmatch = 'GetWeather'\nmethod = 'GET'",
        "4:9: operation.match: \"GetWeather\": not a built-in operation, so `class` is required",
    );
    assert_mistake(
        "[[operation]]\nmatch = 'Products(1)/X'",
        "4:9: operation.match: must be an operation's name such as \"Products/GetActivePrices\" or \
         \"GetChannels\", not \"Products(1)/X\"",
    );
    assert_mistake(
        "[[operation]]\nmatch = 'A'\nclass = 'prices'",
        "5:9: operation.class: must be \"price\" or \"inventory\" or \"search\" or \"product\" or \
         \"category\" or \"configuration\", not \"prices\"",
    );
    assert_mistake(
        "[[operation]]\nmatch = 'A'\nidentity = 'claims'",
        "5:12: operation.identity: \"claims\" is not available in this version: write \"bypass\", \
         \"token\" or \"shared\"",
    );
    assert_mistake(
        "operation = [{ match = 'A', sets = ['a..b'] }]",
        "3:37: operation.sets[0]: must be a dotted path of body parameters such as \
         \"searchCriteria.ProductIds\", not \"a..b\"",
    );
}

#[test]
fn the_generic_policy_is_one_of_two_and_its_request_fields_are_all_or_listed() {
    assert_mistake(
        "generic.policy = 'all'",
        "3:18: generic.policy: must be \"pass\" or \"rfc9111\", not \"all\"",
    );
    assert_mistake(
        "generic.request_fields = ['*', 'accept']",
        "3:26: generic.request_fields: \"*\" stands for every field: it stands alone",
    );
}

#[test]
fn cors_does_not_give_credentials_to_every_origin() {
    assert_mistake(
        "[cors]\nallowed_origins = ['*']\nallow_credentials = true",
        "4:19: cors.allowed_origins: any origin together with allow_credentials would hand every \
         web page the signed-in customer's answers: list the origins",
    );
    assert_mistake(
        "[cors]\nallowed_origins = ['http://a']\nallow_credentials = true\nallowed_headers = ['*']",
        "6:19: cors.allowed_headers: \"*\" means nothing to browsers with allow_credentials: list \
         them",
    );
    assert_mistake(
        "[cors]\nallowed_origins = ['*', 'https://a']",
        "4:19: cors.allowed_origins: \"*\" stands for every origin: it stands alone",
    );
    assert_mistake(
        "[cors]\nmax_age = '1m'",
        "3:2: cors.allowed_origins: missing: [\"*\"], or a list such as [\"https://shop.example\"]",
    );
    for origin in
        ["https://a/", "https://A", "https://a:443", "http://a:80", "null", "a", "https://a/b"]
    {
        let found = mistakes(&format!("{LEAST}cors.allowed_origins = ['{origin}']"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("3:25: cors.allowed_origins[0]: must be an origin"), "{found:?}");
    }
}

#[test]
fn an_ingest_that_is_not_loopback_needs_a_credential() {
    let open = "origin.service_root = 'http://rs'\nlisten.ingest = '0.0.0.0:8090'\n";
    let complaint = "config.toml:2:17: listen.ingest: 0.0.0.0:8090 is not a loopback address, and \
                     [ingest] has neither hmac_secrets nor bearer_tokens, nor [tls.ingest] a \
                     client_ca: anyone could purge. Set one of them, or listen on 127.0.0.1";
    assert_eq!(mistakes(open), [complaint]);
    assert_eq!(mistakes(&format!("{open}ingest.bearer_tokens = []")), [complaint]);
    assert_eq!(mistakes("origin.service_root = 'http://rs'").len(), 1, "the default is open");
    let with_token = format!("{open}ingest.bearer_tokens = ['env:TOKEN']");
    let config = parse(&with_token, &[("TOKEN", "t0k3n")]).unwrap();
    assert_eq!(config.ingest.bearer_tokens[0].reveal(), "t0k3n");
    // An unusable credential is one mistake, not two.
    assert_eq!(mistakes(&with_token).len(), 1);
}

#[test]
fn listeners_must_not_share_a_port() {
    assert_mistake(
        "listen.control = '127.0.0.1:8090'",
        "3:18: listen.control: 127.0.0.1:8090 is taken by listen.ingest (127.0.0.1:8090)",
    );
    assert_mistake(
        "listen.control = '[::]:8080'",
        "3:18: listen.control: [::]:8080 is taken by listen.storefront (0.0.0.0:8080)",
    );
    assert!(
        parse(
            "listen = { storefront = '127.0.0.1:0', ingest = '127.0.0.1:0', control = \
                   '127.0.0.1:0' }\norigin.service_root = 'http://rs'",
            &[]
        )
        .is_ok()
    );
}

#[test]
fn secrets_come_from_the_environment_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, format!("{WHSEC}\n")).unwrap();
    let text = format!("{LEAST}ingest.hmac_secrets = ['env:SECRET', 'file:{}']", path.display());
    let config = parse(&text, &[("SECRET", WHSEC)]).unwrap();
    assert_eq!(config.ingest.hmac_secrets.len(), 2);
    assert!(config.ingest.hmac_secrets.iter().all(|secret| secret.reveal() == WHSEC));
    assert!(!format!("{config:?}").contains("whsec_"));
}

#[test]
fn an_unusable_secret_names_its_key_and_never_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let (long, empty) = (folder.path().join("long"), folder.path().join("empty"));
    fs::write(&long, "canary".repeat(20_000)).unwrap();
    fs::write(&empty, "\n").unwrap();
    let files = [format!("file:{}", long.display()), format!("file:{}", empty.display())];
    let hmac_shape = "the secret must be \"whsec_\" followed by the base64 of 24 to 64 random bytes \
                      (Standard Webhooks)";
    for (reference, problem) in [
        (
            "whsec_canary",
            "a secret does not belong in the configuration: write \"env:NAME\" for an environment \
             variable or \"file:PATH\" for a file that holds it",
        ),
        ("env:UNSET", "the environment variable UNSET is not set"),
        ("env:whsec_canary", "the environment variable is not set"),
        ("env:EMPTY", "the secret is empty"),
        ("env:PLAIN", hmac_shape),
        ("env:SHORT", hmac_shape),
        ("file:/canary", "the file cannot be read: No such file or directory (os error 2)"),
        (&files[0], "the file cannot be read: it is longer than 64KiB"),
        (&files[1], "the secret is empty"),
    ] {
        let environment = [("EMPTY", ""), ("PLAIN", "canary"), ("SHORT", "whsec_Y2FuYXJ5")];
        let text = format!("{LEAST}ingest.hmac_secrets = ['{reference}']");
        let found = parse(&text, &environment).unwrap_err();
        assert_eq!(found, [format!("config.toml:3:24: ingest.hmac_secrets[0]: {problem}")]);
        assert!(!format!("{found:?}").contains("canary"));
    }
    for misplaced in ["ingest.hmac_secrets = 'canary'", "ingest.bearer_tokens = [['canary']]"] {
        let found = mistakes(&format!("{LEAST}{misplaced}"));
        assert!(found.len() == 1 && !found[0].contains("canary"), "{found:?}");
    }
    let text = format!("{LEAST}ingest.bearer_tokens = ['env:TOKEN']");
    let found = parse(&text, &[("TOKEN", "canary canary")]).unwrap_err();
    assert!(found[0].contains("ingest.bearer_tokens[0]: the token may hold letters"), "{found:?}");
    assert!(!found[0].contains("canary"), "{found:?}");
}

#[test]
fn the_environment_overrides_any_key() {
    let environment = [
        ("CSU_EDGE__LISTEN__STOREFRONT", "127.0.0.1:0"),
        ("CSU_EDGE__ORIGIN__SERVICE_ROOT", "https://other"),
        ("CSU_EDGE__MEMORY__MAX_BYTES", "1048576"),
        ("CSU_EDGE__CLASS__PRICE__FRESH_FOR", "\"1s\""),
        ("CSU_EDGE__FORWARDED__SEND_FORWARDED", "false"),
        ("CSU_EDGE__FORWARDED__TRUSTED", "['::1']"),
        ("CSU_EDGE__CORS__ALLOWED_ORIGINS", "['*']"),
        ("CSU_EDGE__INGEST__HMAC_SECRETS", "['env:SECRET']"),
        ("SECRET", WHSEC),
        ("CSU_EDGE_CONFIG", "not an override: one underscore"),
    ];
    let config = parse(&format!("{LEAST}memory.max_bytes = 'replaced'"), &environment).unwrap();
    assert_eq!(config.listen.storefront.to_string(), "127.0.0.1:0");
    assert_eq!(config.origin.service_root, "https://other/");
    assert_eq!(config.memory.max_bytes, 1 << 20);
    assert_eq!(config.classes.of(Class::Price).fresh_for, Duration::from_secs(1));
    assert!(!config.forwarded.send_forwarded);
    assert_eq!(config.forwarded.trusted.len(), 1);
    assert_eq!(config.cors.unwrap().allowed_origins, AllowedOrigins::Any);
    assert_eq!(config.ingest.hmac_secrets[0].reveal(), WHSEC);
}

#[test]
fn a_mistake_in_the_environment_names_its_variable() {
    let text = format!("{LEAST}[[operation]]\nmatch = 'GetChannels'");
    let environment = [
        ("CSU_EDGE__LIMITS__CONNECTIONS", "many"),
        ("CSU_EDGE__LIMIT__CONNECTIONS", "5"),
        ("CSU_EDGE__OPERATION__CLASS", "price"),
        ("CSU_EDGE__REDIS__URL", "redis://:canary@h"),
        ("CSU_EDGE__INGEST__HMAC_SECRETS", "whsec_canary"),
    ];
    let found = parse(&text, &environment).unwrap_err();
    assert_eq!(
        found,
        [
            "environment variable CSU_EDGE__INGEST__HMAC_SECRETS: ingest.hmac_secrets: must be an \
             array, not a string",
            "environment variable CSU_EDGE__LIMITS__CONNECTIONS: limits.connections: must be a \
             whole number, not a string",
            "environment variable CSU_EDGE__LIMIT__CONNECTIONS: sets no known key; did you mean \
             CSU_EDGE__LIMITS__CONNECTIONS?",
            "environment variable CSU_EDGE__OPERATION__CLASS: arrays of tables are set in \
             the file alone",
            "environment variable CSU_EDGE__REDIS__URL: redis.url: must have no user name or \
             password: write them as username and password (\"env:NAME\" or \"file:PATH\")",
        ]
    );
    let errors = Config::parse(LEAST, "config.toml", environment).unwrap_err();
    assert!(
        matches!(&errors.mistakes()[0].place, Place::Variable(name) if name.ends_with("SECRETS"))
    );
    assert!(!format!("{errors:?}").contains("canary"));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_a_mistake_and_not_a_panic() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let broken = || OsString::from_vec(vec![0xff]);
    let environment = [
        (OsString::from("CSU_EDGE__LOG__FILTER"), broken()),
        (broken(), OsString::from("of no concern")),
    ];
    let errors = Config::parse(LEAST, "config.toml", environment).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "environment variable CSU_EDGE__LOG__FILTER: log.filter: is not UTF-8"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let nothing = std::iter::empty::<(String, String)>;
    let errors = Config::load(Path::new("/nonexistent/c.toml"), nothing()).unwrap_err();
    assert!(errors.to_string().starts_with("/nonexistent/c.toml: cannot be read: No such file"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.toml");
    fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    let errors = Config::load(&path, nothing()).unwrap_err();
    assert!(errors.to_string().ends_with("cannot be read: it is longer than 1MiB"));
}
