//! Whether an answer of an origin that speaks for itself may be stored, and for how long: a shared
//! cache's side of RFC 9111 §3, for URLs that the catalogue does not know.
//!
//! The standard lets a shared cache keep what its origin does not forbid and what no credentials
//! were sent for. Three rules are stricter than it. A request with a `Cookie` counts as one with
//! credentials, because that is what most cookies are: nobody's session may ever be stored. A
//! `Set-Cookie` is only stored with a lifetime that the origin gave, because one that forgot to say
//! anything did not mean to give everybody the same cookie. And what can never be reused is not
//! stored at all.
//!
//! What is stored need not be fresh: an answer with a validator is worth keeping, for the origin to
//! confirm it.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED, SET_COOKIE, VARY};
use http::{HeaderMap, HeaderName, StatusCode};

use super::cache_control::{Delta, FieldScope, ResponseDirectives};
use super::freshness::Freshness;
use super::lifetime::{self, Exchange};
use super::storability::Unstorable;
use super::vary::{Vary, vary};
use crate::operation::Lifetimes;

/// What the operator decides about HTTP's own rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpRules {
    /// The targeted fields that speak to this cache, the most specific first (RFC 9213 §2.2).
    pub targets: Vec<HeaderName>,
    /// How much of the time since its last modification an answer is guessed to be fresh for
    /// (RFC 9111 §4.2.2 calls 10 typical).
    pub heuristic_percent: u8,
    /// The longest lifetime that is guessed.
    pub heuristic_max: Duration,
    /// How long past its lifetime an answer may serve while the origin fails, where the answer does
    /// not say (an "out-of-band contract", RFC 9111 §4.2.4).
    pub stale_if_error: Duration,
    /// Whether answers that set cookies are stored at all (RFC 9111 §7.3).
    pub stores_set_cookie: bool,
}

/// What of a request decides whether its answer may be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RequestFacts {
    /// It carried `Authorization`.
    pub is_authorized: bool,
    /// It carried `Cookie`.
    pub has_cookie: bool,
    /// Its `Cache-Control` said `no-store`.
    pub no_store: bool,
}

/// How an answer is to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admission {
    /// How old it is and how long it may be used.
    pub freshness: Freshness,
    /// Fields that are not to be kept: those that `private="…"` names must not be (RFC 9111
    /// §5.2.2.7), and those that `no-cache="…"` names would be of no use (§5.2.2.4).
    pub omitted: Vec<HeaderName>,
}

/// How the answer to a GET is to be stored.
///
/// # Errors
/// Says why it is not to be.
pub fn admit(
    request: &RequestFacts,
    status: StatusCode,
    headers: &HeaderMap,
    exchange: Exchange,
    rules: &HttpRules,
) -> Result<Admission, Unstorable> {
    let mut said = ResponseDirectives::of(headers, &rules.targets);
    mind_what_cannot_be_omitted(&mut said);
    check_permission(request, status, headers, &said)?;

    let given = lifetime::explicit(&said, headers, exchange.received_at);
    if given.is_none() && !said.public && !is_heuristically_cacheable(status) {
        return Err(Unstorable::NoFreshness);
    }
    let lifetimes = lifetimes(&said, headers, given, exchange, rules);

    let omitted = omitted(&said);
    let keeps = |name: HeaderName| headers.contains_key(&name) && !omitted.contains(&name);
    let is_given_time = given.is_some() && !lifetimes.fresh_for.is_zero();
    if keeps(SET_COOKIE) && !(is_given_time && rules.stores_set_cookie) {
        return Err(Unstorable::SetCookie);
    }
    let initial_age = lifetime::initial_age(headers, exchange);
    if lifetimes.life() <= initial_age && !keeps(ETAG) && !keeps(LAST_MODIFIED) {
        return Err(Unstorable::NothingToReuse);
    }
    let freshness = Freshness {
        received_at: exchange.received_at,
        initial_age,
        lifetimes,
        must_revalidate: said.must_revalidate(),
        keep_for: Duration::ZERO,
    };
    Ok(Admission { freshness, omitted })
}

/// The prohibitions of RFC 9111 §3, and ours about cookies.
fn check_permission(
    request: &RequestFacts,
    status: StatusCode,
    headers: &HeaderMap,
    said: &ResponseDirectives,
) -> Result<(), Unstorable> {
    if !may_be_kept(status) || (said.must_understand && !is_understood(status)) {
        return Err(Unstorable::Status);
    }
    // RFC 9111 §5.2.2.3: the no-store beside must-understand is for caches that do not know
    // must-understand.
    if said.no_store && !said.must_understand {
        return Err(Unstorable::NoStore);
    }
    if said.private == FieldScope::Everything {
        return Err(Unstorable::Private);
    }
    if request.no_store {
        return Err(Unstorable::RequestNoStore);
    }
    if vary(headers) == Vary::Any {
        return Err(Unstorable::VaryAny);
    }
    let is_for_everybody = said.public || matches!(said.s_maxage, Some(Delta::Seconds(_)));
    // RFC 9111 §3.5.
    if request.is_authorized && !is_for_everybody && !said.must_revalidate {
        return Err(Unstorable::Authorization);
    }
    if request.has_cookie && !is_for_everybody && !said.is_targeted {
        return Err(Unstorable::Cookie);
    }
    Ok(())
}

fn lifetimes(
    said: &ResponseDirectives,
    headers: &HeaderMap,
    given: Option<Duration>,
    exchange: Exchange,
    rules: &HttpRules,
) -> Lifetimes {
    let guess = || {
        let HttpRules { heuristic_percent, heuristic_max, .. } = *rules;
        lifetime::heuristic(headers, exchange.received_at, heuristic_percent, heuristic_max)
    };
    // RFC 9111 §4.2.1: of max-age and no-cache, the most restrictive counts.
    let fresh_for = match said.no_cache {
        FieldScope::Everything => Duration::ZERO,
        FieldScope::Nothing | FieldScope::Fields(_) => given.unwrap_or_else(guess),
    };
    if said.must_revalidate() {
        let none = Duration::ZERO;
        return Lifetimes { fresh_for, stale_while_revalidate: none, stale_if_error: none };
    }
    Lifetimes {
        fresh_for,
        stale_while_revalidate: said.stale_while_revalidate.unwrap_or_default(),
        stale_if_error: said.stale_if_error.unwrap_or(rules.stale_if_error),
    }
}

fn omitted(said: &ResponseDirectives) -> Vec<HeaderName> {
    let mut names = said.private.fields().to_vec();
    for name in said.no_cache.fields() {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Without these fields an answer would be taken for another one, so a directive that names one of
/// them is about the whole answer.
fn mind_what_cannot_be_omitted(said: &mut ResponseDirectives) {
    const NEEDED: [HeaderName; 3] = [VARY, CONTENT_ENCODING, CONTENT_TYPE];
    for scope in [&mut said.private, &mut said.no_cache] {
        if scope.fields().iter().any(|name| NEEDED.contains(name)) {
            *scope = FieldScope::Everything;
        }
    }
}

/// Final statuses, without those that are about a part of a representation or about one that the
/// client has (206, 304: they are stored otherwise), without those that refuse one request's own
/// condition or range (412, 416: stored, they would refuse everybody), and without those of RFC
/// 6585, which says of each that it "MUST NOT be stored by a cache".
fn may_be_kept(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=599)
        && !matches!(status.as_u16(), 206 | 304 | 412 | 416 | 428 | 429 | 431 | 511)
}

/// The statuses whose caching requirements this cache knows: those of RFC 9110 §15, and 421 and 426
/// among them.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

/// RFC 9110 §15.1, without 206.
fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

#[cfg(test)]
mod tests {
    use super::super::written::head;
    use super::Unstorable::{
        Authorization, Cookie, NoFreshness, NoStore, NothingToReuse, Private, RequestNoStore,
        Status, VaryAny,
    };
    use super::*;
    use crate::clock::Timestamp;
    use http::HeaderValue;
    use http::header::{
        AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderName, LAST_MODIFIED, SET_COOKIE, VARY,
    };
    use proptest::prelude::*;

    const ANYBODY: RequestFacts =
        RequestFacts { is_authorized: false, has_cookie: false, no_store: false };
    const AUTHORIZED: RequestFacts = RequestFacts { is_authorized: true, ..ANYBODY };
    const WITH_COOKIE: RequestFacts = RequestFacts { has_cookie: true, ..ANYBODY };

    /// 100 seconds, at 10 percent.
    const GUESSED: &str = "Date: Mon, 15 Jun 2026 12:00:00 GMT \
                           | Last-Modified: Mon, 15 Jun 2026 11:43:20 GMT";
    const EXPIRES_100: &str = "Date: Mon, 15 Jun 2026 12:00:00 GMT \
                               | Expires: Mon, 15 Jun 2026 12:01:40 GMT";

    fn at_noon() -> Exchange {
        let noon = Timestamp::parse_rfc3339("2026-06-15T12:00:00Z").unwrap();
        Exchange { sent_at: noon, received_at: noon }
    }

    fn rules() -> HttpRules {
        HttpRules {
            targets: vec![
                HeaderName::from_static("csu-edge-cache-control"),
                HeaderName::from_static("cdn-cache-control"),
            ],
            heuristic_percent: 10,
            heuristic_max: Duration::from_secs(24 * 60 * 60),
            stale_if_error: Duration::ZERO,
            stores_set_cookie: true,
        }
    }

    fn admitted(request: &RequestFacts, status: u16, text: &str) -> Result<Admission, Unstorable> {
        admit(request, StatusCode::from_u16(status).unwrap(), &head(text), at_noon(), &rules())
    }

    /// The freshness lifetime in seconds.
    fn fresh_for(request: &RequestFacts, status: u16, text: &str) -> Result<u64, Unstorable> {
        admitted(request, status, text)
            .map(|admission| admission.freshness.lifetimes.fresh_for.as_secs())
    }

    #[test]
    fn any_final_status_is_stored_with_a_lifetime_and_some_without() {
        const GUESSABLE: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
        const NEVER: [u16; 11] = [100, 103, 206, 304, 412, 416, 428, 429, 431, 511, 600];
        let statuses = [
            100, 103, 200, 201, 202, 203, 204, 205, 206, 226, 299, 300, 301, 302, 303, 304, 305,
            306, 307, 308, 399, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412,
            413, 414, 415, 416, 417, 418, 421, 422, 425, 426, 428, 429, 431, 451, 499, 500, 501,
            502, 503, 504, 505, 511, 599, 600,
        ];
        for status in statuses {
            let kept = |seconds| if NEVER.contains(&status) { Err(Status) } else { Ok(seconds) };
            let of = |text: &str| fresh_for(&ANYBODY, status, text);
            assert_eq!(of("Cache-Control: max-age=5"), kept(5), "{status}");
            assert_eq!(of("Cache-Control: s-maxage=5"), kept(5), "{status}");
            assert_eq!(of(EXPIRES_100), kept(100), "{status}");
            assert_eq!(of(&format!("Cache-Control: public | {GUESSED}")), kept(100), "{status}");
            let without = match GUESSABLE.contains(&status) {
                true => kept(100),
                false => kept(0).and(Err(NoFreshness)),
            };
            assert_eq!(of(GUESSED), without, "{status}");
        }
    }

    #[test]
    fn must_understand_is_for_known_statuses_and_stands_above_no_store() {
        for (status, directives, expected) in [
            (200, "max-age=5, must-understand", Ok(5)),
            (200, "max-age=5, must-understand, no-store", Ok(5)),
            (404, "no-store, must-understand, max-age=5", Ok(5)),
            (200, "max-age=5, no-store", Err(NoStore)),
            (299, "max-age=5", Ok(5)),
            (299, "max-age=5, must-understand", Err(Status)),
            (499, "max-age=5, must-understand, no-store", Err(Status)),
            (599, "max-age=5, must-understand", Err(Status)),
            (418, "max-age=5, must-understand", Err(Status)),
        ] {
            let head = format!("Cache-Control: {directives}");
            assert_eq!(fresh_for(&ANYBODY, status, &head), expected, "{status} {directives}");
        }
    }

    #[test]
    fn what_is_forbidden_is_not_stored_and_the_rest_has_its_lifetime() {
        for (fields, expected) in [
            ("Cache-Control: no-store", Err(NoStore)),
            ("Cache-Control: max-age=5 | Cache-Control: public, No-Store", Err(NoStore)),
            ("Cache-Control: private, max-age=5", Err(Private)),
            ("Cache-Control: private, public, s-maxage=5", Err(Private)),
            ("Cache-Control: max-age=5 | Vary: *", Err(VaryAny)),
            ("Cache-Control: max-age=5 | Vary: Accept | Vary: Origin, *", Err(VaryAny)),
            ("Cache-Control: max-age=5 | Vary: Accept", Ok(5)),
            ("Cache-Control: max-age=5 | Pragma: no-cache", Ok(5)),
            ("Cache-Control: max-age=5, s-maxage=7", Ok(7)),
            // Targeted fields stand above both others.
            ("CDN-Cache-Control: no-store | Cache-Control: max-age=5", Err(NoStore)),
            ("CDN-Cache-Control: private | Cache-Control: max-age=5", Err(Private)),
            ("CDN-Cache-Control: max-age=9 | Cache-Control: no-store", Ok(9)),
            ("CDN-Cache-Control: max-age=9 | CSU-Edge-Cache-Control: max-age=3", Ok(3)),
            ("CDN-Cache-Control: max-age=9;x, & | Cache-Control: no-store", Err(NoStore)),
            ("CDN-Cache-Control: | Cache-Control: max-age=5", Ok(5)),
            // Nothing to be had from it.
            ("", Err(NothingToReuse)),
            ("Cache-Control: public", Err(NothingToReuse)),
            ("Cache-Control: max-age=0", Err(NothingToReuse)),
            ("Cache-Control: no-cache, max-age=5", Err(NothingToReuse)),
            ("Expires: 0", Err(NothingToReuse)),
            ("Cache-Control: max-age=5 | Age: 5", Err(NothingToReuse)),
            ("Cache-Control: max-age=5, stale-while-revalidate=9 | Age: 5", Ok(5)),
            ("Cache-Control: max-age=0, stale-if-error=9", Ok(0)),
            ("Cache-Control: s-maxage=0, stale-if-error=9", Err(NothingToReuse)),
            // Except by asking.
            ("ETag: \"a\"", Ok(0)),
            ("Last-Modified: Mon, 15 Jun 2026 12:00:00 GMT", Ok(0)),
            ("Cache-Control: no-cache, max-age=5 | ETag: \"a\"", Ok(0)),
            ("Cache-Control: max-age=x | ETag: \"a\"", Ok(0)),
            ("Cache-Control: max-age=5 | Age: 5 | ETag: \"a\"", Ok(5)),
            ("Cache-Control: max-age=0, private=\"etag\" | ETag: \"a\"", Err(NothingToReuse)),
        ] {
            assert_eq!(fresh_for(&ANYBODY, 200, fields), expected, "{fields}");
        }
        let no_store = RequestFacts { no_store: true, ..ANYBODY };
        assert_eq!(fresh_for(&no_store, 200, "Cache-Control: max-age=5"), Err(RequestNoStore));
    }

    #[test]
    fn a_lifetime_is_guessed_only_where_none_is_given() {
        for (directives, expected) in [
            ("", 100),
            ("public", 100),
            ("must-revalidate", 100),
            ("no-cache=\"a\"", 100),
            ("x", 100),
            ("max-age=5", 5),
            ("max-age=0", 0),
            ("max-age=x", 0),
            ("no-cache", 0),
        ] {
            let fields = format!("Cache-Control: {directives} | {GUESSED}");
            assert_eq!(fresh_for(&ANYBODY, 200, &fields), Ok(expected), "{directives}");
        }
        assert_eq!(fresh_for(&ANYBODY, 200, &format!("{GUESSED} | Expires: 0")), Ok(0));
        let old = "Last-Modified: Thu, 15 Jun 2006 12:00:00 GMT";
        assert_eq!(fresh_for(&ANYBODY, 200, old), Ok(24 * 60 * 60));
    }

    #[test]
    fn credentials_and_cookies_need_the_origins_word_that_the_answer_is_for_all() {
        for (fields, with_authorization, with_cookie) in [
            ("Cache-Control: max-age=5", Err(Authorization), Err(Cookie)),
            (EXPIRES_100, Err(Authorization), Err(Cookie)),
            (GUESSED, Err(Authorization), Err(Cookie)),
            ("Cache-Control: max-age=5, public", Ok(5), Ok(5)),
            ("Cache-Control: s-maxage=5", Ok(5), Ok(5)),
            ("Cache-Control: max-age=5, must-revalidate", Ok(5), Err(Cookie)),
            ("Cache-Control: max-age=5, proxy-revalidate", Err(Authorization), Err(Cookie)),
            ("Cache-Control: max-age=5, public=x", Err(Authorization), Err(Cookie)),
            ("Cache-Control: s-maxage=x | ETag: \"a\"", Err(Authorization), Err(Cookie)),
            ("CDN-Cache-Control: max-age=5", Err(Authorization), Ok(5)),
            ("CDN-Cache-Control: public, max-age=5", Ok(5), Ok(5)),
            ("CDN-Cache-Control: max-age=5 | Cache-Control: public", Err(Authorization), Ok(5)),
        ] {
            assert_eq!(fresh_for(&AUTHORIZED, 200, fields), with_authorization, "{fields}");
            assert_eq!(fresh_for(&WITH_COOKIE, 200, fields), with_cookie, "{fields}");
        }
    }

    #[test]
    fn a_cookie_is_stored_only_with_a_lifetime_that_was_given() {
        for (fields, expected) in [
            ("Cache-Control: max-age=5", Ok(5)),
            ("CDN-Cache-Control: max-age=5", Ok(5)),
            (EXPIRES_100, Ok(100)),
            (GUESSED, Err(Unstorable::SetCookie)),
            ("Cache-Control: public | ETag: \"a\"", Err(Unstorable::SetCookie)),
            ("Cache-Control: max-age=0 | ETag: \"a\"", Err(Unstorable::SetCookie)),
            ("Cache-Control: no-cache, max-age=5 | ETag: \"a\"", Err(Unstorable::SetCookie)),
        ] {
            let fields = format!("Set-Cookie: a=b | {fields}");
            assert_eq!(fresh_for(&ANYBODY, 200, &fields), expected, "{fields}");
        }
        let never = HttpRules { stores_set_cookie: false, ..rules() };
        let of = |text: &str| admit(&ANYBODY, StatusCode::OK, &head(text), at_noon(), &never);
        let set_cookie = of("Set-Cookie: a=b | Cache-Control: max-age=5");
        assert_eq!(set_cookie, Err(Unstorable::SetCookie));
        // A cookie that is taken out is none.
        for directive in ["private", "no-cache"] {
            let fields = format!("Set-Cookie: a=b | Cache-Control: {directive}=\"Set-Cookie\"");
            let admission = of(&format!("{fields}, max-age=5")).unwrap();
            assert_eq!(admission.omitted, [SET_COOKIE], "{directive}");
        }
    }

    #[test]
    fn fields_that_are_named_are_taken_out_and_the_rest_is_stored() {
        let admission = |directives: &str| {
            let fields = format!("Cache-Control: max-age=5, {directives} | ETag: \"a\"");
            admitted(&ANYBODY, 200, &fields)
        };
        let some = admission("private=\"x-a, X-B\", no-cache=\"x-b, x-c\"").unwrap();
        assert_eq!(some.omitted, ["x-a", "x-b", "x-c"]);
        assert_eq!(some.freshness.lifetimes.fresh_for, Duration::from_secs(5));
        assert!(!some.freshness.must_revalidate);
        // Without these the answer would be another one.
        for needed in ["vary", "content-encoding", "content-type"] {
            let private = admission(&format!("private=\"x, {needed}\""));
            assert_eq!(private, Err(Private), "{needed}");
            let no_cache = admission(&format!("no-cache=\"x, {needed}\"")).unwrap();
            assert!(no_cache.omitted.is_empty() && no_cache.freshness.must_revalidate, "{needed}");
            assert_eq!(no_cache.freshness.lifetimes.fresh_for, Duration::ZERO, "{needed}");
        }
    }

    #[test]
    fn stale_windows_are_the_origins_then_the_operators_and_none_where_it_must_be_revalidated() {
        let contract = HttpRules { stale_if_error: Duration::from_secs(60), ..rules() };
        for (directives, while_revalidating, if_error, must_revalidate) in [
            ("max-age=5", 0, 60, false),
            ("max-age=5, stale-while-revalidate=7", 7, 60, false),
            ("max-age=5, stale-if-error=8", 0, 8, false),
            ("max-age=5, stale-if-error=0", 0, 0, false),
            ("max-age=5, stale-if-error=x, stale-while-revalidate=x", 0, 0, false),
            ("no-cache=\"a\", max-age=5, stale-if-error=8", 0, 8, false),
            ("must-revalidate, max-age=5, stale-if-error=8", 0, 0, true),
            ("proxy-revalidate, max-age=5, stale-while-revalidate=8", 0, 0, true),
            ("s-maxage=5, stale-if-error=8", 0, 0, true),
            ("no-cache, max-age=5", 0, 0, true),
        ] {
            let head = head(&format!("Cache-Control: {directives} | ETag: \"a\""));
            let admission = admit(&ANYBODY, StatusCode::OK, &head, at_noon(), &contract).unwrap();
            let Lifetimes { stale_while_revalidate, stale_if_error, .. } =
                admission.freshness.lifetimes;
            let windows = (stale_while_revalidate.as_secs(), stale_if_error.as_secs());
            assert_eq!(windows, (while_revalidating, if_error), "{directives}");
            assert_eq!(admission.freshness.must_revalidate, must_revalidate, "{directives}");
        }
    }

    #[test]
    fn an_answer_is_counted_from_its_arrival_with_the_age_that_it_had() {
        let Exchange { sent_at, received_at } = at_noon();
        let exchange = Exchange { sent_at, received_at: received_at + Duration::from_secs(3) };
        let head = head("Cache-Control: max-age=50 | Age: 10");
        let admission = admit(&ANYBODY, StatusCode::OK, &head, exchange, &rules()).unwrap();
        assert_eq!(admission.freshness.received_at, exchange.received_at);
        assert_eq!(admission.freshness.initial_age, Duration::from_secs(13));
    }

    fn any_fields() -> impl Strategy<Value = Vec<(HeaderName, Vec<u8>)>> {
        let names = [
            CACHE_CONTROL,
            HeaderName::from_static("cdn-cache-control"),
            EXPIRES,
            DATE,
            LAST_MODIFIED,
            AGE,
            VARY,
            SET_COOKIE,
        ];
        let value = prop_oneof![
            "[0-9]{0,25}".prop_map(String::into_bytes),
            "((s-maxage|max-age|private|stale-if-error|public|no-cache)(=\"?[0-9]{0,25}\"?)?, ?){0,4}x"
                .prop_map(String::into_bytes),
            "(Sun|Thursday),? [0-3][0-9][ -]Jan[ -][0-9]{2,4} [0-2][0-9]:00:00 GMT"
                .prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..30),
        ];
        proptest::collection::vec((proptest::sample::select(names.to_vec()), value), 0..8)
    }

    proptest! {
        #[test]
        fn whatever_comes_is_stored_with_an_age_that_only_grows_or_not_at_all(
            fields in any_fields(),
            status in 100_u16..1_000,
            facts in any::<[bool; 3]>(),
            times in any::<[u64; 4]>(),
            percent in any::<u8>(),
            spans in any::<[u64; 2]>(),
        ) {
            let headers: HeaderMap = fields
                .into_iter()
                .filter_map(|(name, value)| Some((name, HeaderValue::from_bytes(&value).ok()?)))
                .collect();
            let [is_authorized, has_cookie, no_store] = facts;
            let request = RequestFacts { is_authorized, has_cookie, no_store };
            let [sent_at, received_at, now, later] = times.map(Timestamp::from_millis);
            let rules = HttpRules {
                heuristic_percent: percent,
                heuristic_max: Duration::from_secs(spans[0]),
                stale_if_error: Duration::from_secs(spans[1]),
                ..rules()
            };
            let status = StatusCode::from_u16(status).unwrap();
            let exchange = Exchange { sent_at, received_at };
            if let Ok(Admission { freshness, .. }) =
                admit(&request, status, &headers, exchange, &rules)
            {
                prop_assert!(!no_store && freshness.received_at == received_at);
                prop_assert!(freshness.age(now.min(later)) <= freshness.age(now.max(later)));
                let _ = (freshness.life(), freshness.ttl_seconds(now), freshness.state(now, true));
            }
        }
    }
}
