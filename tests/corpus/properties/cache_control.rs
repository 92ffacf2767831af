//! `Cache-Control`, on either side, and the fields that speak in its place.

use std::time::Duration;

use csu_edge::caching::cache_control::{
    Delta, FieldScope, MaxStale, RequestDirectives, ResponseDirectives,
};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, HeaderName};

use super::header_lines;

const TARGETS: [HeaderName; 2] = [
    HeaderName::from_static("csu-edge-cache-control"),
    HeaderName::from_static("cdn-cache-control"),
];

/// The most that a `delta-seconds` is (RFC 9111 §1.2.2).
const MOST: Duration = Duration::from_secs(1 << 31);

/// An input is header lines and an empty line.
pub fn cache_control(input: &[u8]) {
    let Some((headers, _)) = header_lines(input) else { return };
    let said = ResponseDirectives::of(&headers, &TARGETS);
    assert_eq!(ResponseDirectives::of(&headers, &TARGETS), said, "the same every time");
    check_response(&said);
    if !TARGETS.iter().any(|target| headers.contains_key(target)) {
        assert!(!said.is_targeted);
    }

    let untargeted = ResponseDirectives::of(&headers, &[]);
    assert!(!untargeted.is_targeted);
    check_response(&untargeted);
    let more = |line: &'static str| {
        let mut headers = headers.clone();
        headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
        headers
    };
    let response = |line: &'static str| ResponseDirectives::of(&more(line), &[]);
    let request = |line: &'static str| RequestDirectives::of(&more(line));

    // One more line restricts, and takes nothing back, whatever the lines before it were.
    let restricted =
        response("no-store, no-cache, private, must-revalidate, proxy-revalidate, max-age=x");
    assert!(restricted.no_store && restricted.must_revalidate && restricted.proxy_revalidate);
    assert_eq!(restricted.no_cache, FieldScope::Everything);
    assert_eq!(restricted.private, FieldScope::Everything);
    assert_eq!(restricted.max_age, Some(Delta::Invalid));
    assert!(restricted.must_revalidate());
    assert_eq!(restricted.public, untargeted.public);
    let same = response("x-unknown=\"no-store, max-age=1\", , =,;");
    assert_eq!(same, untargeted, "what is not known says nothing");
    for line in ["public, immutable", "max-age=1, s-maxage=1, stale-if-error=1", "private=\"a\""] {
        takes_nothing_back(&untargeted, &response(line));
    }

    let asked = request("");
    assert_eq!(RequestDirectives::of(&headers), asked, "the same every time");
    for span in [asked.max_age, asked.min_fresh, asked.stale_if_error].into_iter().flatten() {
        assert!(span <= MOST);
    }
    let stricter = request("no-cache, no-store, only-if-cached, max-age=0, min-fresh=1");
    assert!(stricter.no_cache && stricter.no_store && stricter.only_if_cached);
    assert_eq!(stricter.max_age, Some(Duration::ZERO));
    assert!(stricter.min_fresh >= asked.min_fresh.max(Some(Duration::from_secs(1))));
    if let (Some(MaxStale::For(before)), Some(MaxStale::For(after))) =
        (asked.max_stale, request("max-stale").max_stale)
    {
        assert!(after <= before);
    }
}

fn check_response(said: &ResponseDirectives) {
    for delta in [said.max_age, said.s_maxage].into_iter().flatten() {
        assert!(delta.lifetime() <= MOST);
        assert!(delta != Delta::Invalid || delta.lifetime().is_zero());
    }
    for window in [said.stale_while_revalidate, said.stale_if_error].into_iter().flatten() {
        assert!(window <= MOST);
    }
    for scope in [&said.no_cache, &said.private] {
        if let FieldScope::Fields(names) = scope {
            assert!(!names.is_empty(), "about no field is about everything");
        }
    }
}

/// Whatever follows, what restricts stays.
fn takes_nothing_back(before: &ResponseDirectives, after: &ResponseDirectives) {
    assert!(after.no_store >= before.no_store);
    assert!(after.must_revalidate >= before.must_revalidate);
    assert!(after.proxy_revalidate >= before.proxy_revalidate);
    assert!(after.must_revalidate() >= before.must_revalidate());
    for (before, after) in [(&before.no_cache, &after.no_cache), (&before.private, &after.private)]
    {
        match before {
            FieldScope::Nothing => {}
            FieldScope::Everything => assert_eq!(after, before),
            FieldScope::Fields(names) => {
                let is_kept = |name| after.fields().contains(name);
                assert!(*after == FieldScope::Everything || names.iter().all(is_kept));
            }
        }
    }
    for (before, after) in [(before.max_age, after.max_age), (before.s_maxage, after.s_maxage)] {
        if let Some(before) = before {
            assert!(after.is_some_and(|after| after.lifetime() <= before.lifetime()));
        }
    }
    for (before, after) in [
        (before.stale_while_revalidate, after.stale_while_revalidate),
        (before.stale_if_error, after.stale_if_error),
    ] {
        assert!(before.is_none_or(|before| after.is_some_and(|after| after <= before)));
    }
}
