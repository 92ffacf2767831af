//! The forms of a request's target: RFC 9112 §3.2.

use super::Scene;

const HOST: &str = "host: shop.example\r\n\r\n";

#[tokio::test]
async fn the_authority_of_an_absolute_target_counts_and_goes_no_further() {
    let scene = Scene::new().await;
    let reaches = scene.passed("GET /Commerce/x?a=b", "", "", "");
    for (target, host) in [
        ("http://shop.example/Commerce/x?a=b", "shop.example"),
        ("http://shop.example/Commerce/x?a=b", "evil.example"),
        ("HTTP://shop.example/Commerce/x?a=b", "shop.example"),
    ] {
        let sent = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        scene.passes(&sent, &reaches).await;
    }
}

#[tokio::test]
async fn a_target_of_another_form_than_its_methods_is_refused() {
    let scene = Scene::new().await;
    for line in [
        "GET shop.example:80",
        "GET shop.example",
        "POST shop.example:80",
        "GET *",
        "POST *",
        "OPTIONS *x",
        "GET Commerce/x",
        "GET ?a=b",
        "GET http:/Commerce/x",
        "GET http:///Commerce/x",
        "GET http://",
        "GET http://user@shop.example/Commerce/x",
        "GET http://user:password@shop.example/Commerce/x",
        "GET http://shop.example:port/Commerce/x",
        "GET ftp://shop.example/Commerce/x",
        "GET file:///etc/passwd",
        "GET javascript:alert(1)",
    ] {
        scene.refuses(format!("{line} HTTP/1.1\r\n{HOST}").as_bytes(), 400).await;
    }
}

#[tokio::test]
async fn connect_is_not_for_a_gateway_and_an_asterisk_asks_about_the_node() {
    let scene = Scene::new().await;
    for (line, status) in [
        ("CONNECT shop.example:443", 405),
        ("CONNECT 127.0.0.1:22", 405),
        ("CONNECT /Commerce/x", 405),
        ("TRACE /Commerce/x", 405),
        ("OPTIONS *", 204),
    ] {
        let sent = format!("{line} HTTP/1.1\r\nconnection: close\r\n{HOST}");
        scene.refuses(sent.as_bytes(), status).await;
    }
}

#[tokio::test]
async fn a_fragment_is_no_part_of_what_is_asked() {
    let scene = Scene::new().await;
    let reaches = scene.passed("GET /Commerce/x", "", "", "");
    for target in ["/Commerce/x#a", "/Commerce/x#/../Carts", "/Commerce/x#?b=c", "/Commerce/x##"] {
        scene.passes(&format!("GET {target} HTTP/1.1\r\n{HOST}"), &reaches).await;
    }
}

#[tokio::test]
async fn a_byte_that_no_target_holds_is_refused() {
    let scene = Scene::new().await;
    for byte in (0..=0x1f).chain([0x7f, 0x80, 0xa0, 0xc3, 0xff]) {
        for (before, after) in [("/Commerce/x", "y"), ("/Commerce/x?a=", "b")] {
            let mut sent = format!("GET {before}").into_bytes();
            sent.push(byte);
            sent.extend_from_slice(format!("{after} HTTP/1.1\r\n{HOST}").as_bytes());
            scene.refuses(&sent, 400).await;
        }
    }
    scene.refuses(format!("GET /Commerce/caf\u{e9} HTTP/1.1\r\n{HOST}").as_bytes(), 400).await;
}

#[tokio::test]
async fn what_only_looks_like_a_line_end_stays_in_the_target() {
    let scene = Scene::new().await;
    let target = "/Commerce/x%0d%0ahost:%20evil.example%00?a=%0d%0a%0d%0aGET%20/";
    let sent = format!("GET {target} HTTP/1.1\r\n{HOST}");
    scene.passes(&sent, &scene.passed(&format!("GET {target}"), "", "", "")).await;
}
