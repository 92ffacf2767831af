//! `GET /console`: how the node is, as a page for people. It asks `/status` again and again, and
//! `/explain` on request; the file is the whole of it.
//!
//! What it shows comes from other systems: URLs, tags, events. So its policy lets no script and no
//! style run but the file's own, nothing be asked of another host, and no text be taken for markup.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue, Response};
use http_body_util::Full;

const PAGE: &str = include_str!("console.html");

/// The policy for the page (Content Security Policy Level 3, Trusted Types).
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (script, style) = (hash_of("script"), hash_of("style"));
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    )
});

/// The page.
pub(super) fn page() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(PAGE));
    let headers = response.headers_mut();
    let fields: [(HeaderName, &'static str); 6] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, &POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fields {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The source expression for the page's only element of that name. Without one, for nothing at all.
fn hash_of(element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let content = PAGE.split_once(&open).and_then(|(_, rest)| Some(rest.split_once(&close)?.0));
    content.map_or_else(
        || "'none'".to_owned(),
        |content| {
            let digest = digest::digest(&digest::SHA256, content.as_bytes());
            format!("'sha256-{}'", BASE64_STANDARD.encode(digest))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_script_and_one_style_and_the_policy_names_both() {
        for element in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
            assert!(hash_of(element).starts_with("'sha256-"), "{element}");
        }
        assert_eq!(POLICY.matches("'sha256-").count(), 2);
    }

    /// A browser holds to the policy; this is for who changes the page.
    #[test]
    fn the_page_makes_no_markup_of_text_and_asks_nothing_elsewhere() {
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "style=\"",
            "onclick=",
            "src=",
            "@import",
            "url(",
        ] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        let namespace = "http://www.w3.org/2000/svg";
        let links = PAGE.matches("://").count();
        assert_eq!(links, PAGE.matches(namespace).count(), "the page names another host");
    }
}
