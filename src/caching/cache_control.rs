//! What `Cache-Control` says (RFC 9111 §5.2), on either side, with the extensions of RFC 5861 and
//! RFC 8246.
//!
//! Directives restrict or permit. One that restricts counts with whatever argument it came; one that
//! permits counts in its own form only. A lifetime that cannot be read makes the answer stale, and
//! so do two of the same name that differ: RFC 9111 §4.2.1 leaves the choice between the first and
//! that, and asks for the most restrictive where directives conflict. An answer of two minds about
//! its lifetime is checked with the origin.
//!
//! `Pragma` is not looked at: RFC 9111 §5.4 deprecates it, and it never meant anything in a response.

use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

use super::directives::{Argument, Directive, directives};
use super::targeted::{self, Value};

/// What a `no-cache` or a `private` is about (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum FieldScope {
    /// It is not there.
    #[default]
    Nothing,
    /// The whole response.
    Everything,
    /// These fields of it.
    Fields(Vec<HeaderName>),
}

impl FieldScope {
    /// The fields, where it is about some fields only.
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Nothing | Self::Everything => &[],
            Self::Fields(names) => names,
        }
    }

    /// Takes in another directive of the same name; `list` is its argument. A list that cannot be
    /// read is about everything.
    fn widen(&mut self, list: Option<&[u8]>) {
        let added = list.and_then(|list| {
            let names = list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            names
                .filter(|name| !name.is_empty())
                .map(|name| HeaderName::from_bytes(name).ok())
                .collect::<Option<Vec<_>>>()
        });
        match (&mut *self, added) {
            (Self::Everything, _) => {}
            (_, None) => *self = Self::Everything,
            (_, Some(names)) if names.is_empty() => *self = Self::Everything,
            (Self::Nothing, Some(names)) => *self = Self::Fields(names),
            (Self::Fields(known), Some(names)) => known.extend(names),
        }
    }
}

/// A lifetime as it was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delta {
    /// `delta-seconds`; one past 2^31 is 2^31, which RFC 9111 §1.2.2 allows.
    Seconds(Duration),
    /// Present, and no non-negative integer, or two that differ: the response is to be considered
    /// stale (RFC 9111 §4.2.1).
    Invalid,
}

impl Delta {
    /// The lifetime that follows: none where it is invalid.
    pub const fn lifetime(self) -> Duration {
        match self {
            Self::Seconds(span) => span,
            Self::Invalid => Duration::ZERO,
        }
    }

    fn of(argument: &Argument<'_>) -> Self {
        match argument {
            Argument::Value(digits) => delta_seconds(digits).map_or(Self::Invalid, Self::Seconds),
            Argument::Absent | Argument::Malformed => Self::Invalid,
        }
    }

    fn join(slot: &mut Option<Self>, next: Self) {
        *slot = match slot {
            Some(known) if *known != next => Some(Self::Invalid),
            _ => Some(next),
        };
    }
}

/// Digits and nothing else (RFC 9111 §1.2.2).
fn delta_seconds(digits: &[u8]) -> Option<Duration> {
    const MOST: u64 = 1 << 31;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| (sum * 10 + u64::from(digit - b'0')).min(MOST);
    Some(Duration::from_secs(digits.iter().fold(0, add)))
}

/// What an origin says of its response.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResponseDirectives {
    /// RFC 9111 §5.2.2.5.
    pub no_store: bool,
    /// RFC 9111 §5.2.2.4.
    pub no_cache: FieldScope,
    /// RFC 9111 §5.2.2.7.
    pub private: FieldScope,
    /// RFC 9111 §5.2.2.9.
    pub public: bool,
    /// RFC 9111 §5.2.2.2.
    pub must_revalidate: bool,
    /// RFC 9111 §5.2.2.8.
    pub proxy_revalidate: bool,
    /// RFC 9111 §5.2.2.3.
    pub must_understand: bool,
    /// RFC 8246 §2: nobody need revalidate while it is fresh. Nothing follows for this cache, which
    /// revalidates a fresh response only at a client's word, and RFC 8246 §2.1 lets such a word
    /// prevail. A client's `max-age=0` is one, like its `no-cache`.
    pub immutable: bool,
    /// RFC 9111 §5.2.2.1.
    pub max_age: Option<Delta>,
    /// RFC 9111 §5.2.2.10.
    pub s_maxage: Option<Delta>,
    /// RFC 5861 §3; zero where it cannot be read.
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861 §4; zero where it cannot be read.
    pub stale_if_error: Option<Duration>,
    /// Said by a targeted field (RFC 9213), so that `Cache-Control` and `Expires` do not count.
    pub is_targeted: bool,
}

impl ResponseDirectives {
    /// Reads the first of the targeted fields that governs, or else `Cache-Control`.
    pub fn of(headers: &HeaderMap, targets: &[HeaderName]) -> Self {
        let mut said = Self::default();
        if let Some(dictionary) = targeted::governing(headers, targets) {
            said.is_targeted = true;
            for (name, value) in targeted::members(&dictionary) {
                said.read_member(name, &value);
            }
        } else {
            for directive in directives(headers, &CACHE_CONTROL) {
                said.read(&directive);
            }
        }
        said
    }

    /// The lifetime that a shared cache goes by, where a directive gives one: `s-maxage` before
    /// `max-age` (RFC 9111 §4.2.1).
    pub fn lifetime(&self) -> Option<Delta> {
        self.s_maxage.or(self.max_age)
    }

    /// Whether the response must not be served stale, whoever would have it so
    /// (RFC 9111 §4.2.4).
    pub fn must_revalidate(&self) -> bool {
        self.must_revalidate
            || self.proxy_revalidate
            || self.s_maxage.is_some()
            || self.no_cache == FieldScope::Everything
    }

    fn read(&mut self, directive: &Directive<'_>) {
        let argument = &directive.argument;
        let list = match argument {
            Argument::Value(list) => Some(&**list),
            Argument::Absent | Argument::Malformed => None,
        };
        self.take(&directive.name(), *argument == Argument::Absent, Delta::of(argument), list);
    }

    /// RFC 9213 §2.1: a value of another type than the directive's is not to be made fit.
    fn read_member(&mut self, name: &str, value: &Value<'_>) {
        const MOST: i64 = 1 << 31;
        let delta = match *value {
            Value::Integer(seconds) => u64::try_from(seconds.min(MOST))
                .map_or(Delta::Invalid, |seconds| Delta::Seconds(Duration::from_secs(seconds))),
            _ => Delta::Invalid,
        };
        let list = match *value {
            Value::Text(list) => Some(list.as_bytes()),
            _ => None,
        };
        self.take(name, *value == Value::True, delta, list);
    }

    /// Takes in one directive; its argument as a flag, as a number of seconds and as a list of
    /// field names, whichever it needs.
    fn take(&mut self, name: &str, is_bare: bool, delta: Delta, list: Option<&[u8]>) {
        let shorter = |known: Option<Duration>| {
            let next = delta.lifetime();
            Some(known.map_or(next, |known| known.min(next)))
        };
        match name {
            "no-store" => self.no_store = true,
            "no-cache" => self.no_cache.widen(list),
            "private" => self.private.widen(list),
            "public" => self.public |= is_bare,
            "must-revalidate" => self.must_revalidate = true,
            "proxy-revalidate" => self.proxy_revalidate = true,
            "must-understand" => self.must_understand |= is_bare,
            // RFC 8246 §2: an argument has no meaning and is ignored.
            "immutable" => self.immutable = true,
            "max-age" => Delta::join(&mut self.max_age, delta),
            "s-maxage" => Delta::join(&mut self.s_maxage, delta),
            "stale-while-revalidate" => {
                self.stale_while_revalidate = shorter(self.stale_while_revalidate);
            }
            "stale-if-error" => self.stale_if_error = shorter(self.stale_if_error),
            _ => {}
        }
    }
}

/// How stale an answer may be for a client (RFC 9111 §5.2.1.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MaxStale {
    /// As stale as it likes.
    Any,
    /// By no more than this.
    For(Duration),
}

/// What a client asks of caches (RFC 9111 §5.2.1). A directive that cannot be read asks nothing; of
/// two of the same name, the one that asks for the fresher answer counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RequestDirectives {
    /// RFC 9111 §5.2.1.4.
    pub no_cache: bool,
    /// RFC 9111 §5.2.1.5.
    pub no_store: bool,
    /// RFC 9111 §5.2.1.7.
    pub only_if_cached: bool,
    /// RFC 9111 §5.2.1.1.
    pub max_age: Option<Duration>,
    /// RFC 9111 §5.2.1.3.
    pub min_fresh: Option<Duration>,
    /// RFC 9111 §5.2.1.2.
    pub max_stale: Option<MaxStale>,
    /// RFC 5861 §4, as a request's extension.
    pub stale_if_error: Option<Duration>,
}

impl RequestDirectives {
    /// Reads a request's `Cache-Control`.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut asked = Self::default();
        for directive in directives(headers, &CACHE_CONTROL) {
            asked.read(&directive);
        }
        asked
    }

    fn read(&mut self, directive: &Directive<'_>) {
        let seconds = match &directive.argument {
            Argument::Value(digits) => delta_seconds(digits),
            Argument::Absent | Argument::Malformed => None,
        };
        let least = |known: Option<Duration>| match (known, seconds) {
            (Some(known), Some(next)) => Some(known.min(next)),
            (known, next) => known.or(next),
        };
        if directive.is("no-cache") {
            self.no_cache = true;
        } else if directive.is("no-store") {
            self.no_store = true;
        } else if directive.is("only-if-cached") {
            self.only_if_cached = true;
        } else if directive.is("max-age") {
            self.max_age = least(self.max_age);
        } else if directive.is("min-fresh") {
            self.min_fresh = self.min_fresh.max(seconds);
        } else if directive.is("stale-if-error") {
            self.stale_if_error = least(self.stale_if_error);
        } else if directive.is("max-stale") {
            let next = match (&directive.argument, seconds) {
                (Argument::Absent, _) => MaxStale::Any,
                (_, Some(span)) => MaxStale::For(span),
                (_, None) => return,
            };
            self.max_stale = Some(match (self.max_stale, next) {
                (None | Some(MaxStale::Any), next) => next,
                (Some(known), MaxStale::Any) => known,
                (Some(MaxStale::For(known)), MaxStale::For(span)) => MaxStale::For(known.min(span)),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::written::head;
    use super::*;
    use proptest::prelude::*;

    const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

    fn said(text: &str) -> ResponseDirectives {
        ResponseDirectives::of(&head(text), &[CDN])
    }

    fn asked(text: &str) -> RequestDirectives {
        RequestDirectives::of(&head(text))
    }

    const fn seconds(count: u64) -> Delta {
        Delta::Seconds(Duration::from_secs(count))
    }

    fn fields(names: &[&str]) -> FieldScope {
        FieldScope::Fields(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn a_lifetime_is_digits_in_either_form_and_anything_else_is_invalid() {
        use Delta::Invalid;
        for (value, expected) in [
            ("max-age=10", Some(seconds(10))),
            ("MAX-Age=10", Some(seconds(10))),
            ("max-age=\"10\"", Some(seconds(10))),
            ("max-age=\"\\10\"", Some(seconds(10))),
            ("max-age=0", Some(seconds(0))),
            ("max-age=0010", Some(seconds(10))),
            ("max-age=2147483647", Some(seconds(2_147_483_647))),
            ("max-age=2147483648", Some(seconds(2_147_483_648))),
            ("max-age=2147483649", Some(seconds(2_147_483_648))),
            ("max-age=99999999999999999999999999999999", Some(seconds(2_147_483_648))),
            ("max-age='10'", Some(Invalid)),
            ("max-age", Some(Invalid)),
            ("max-age=", Some(Invalid)),
            ("max-age=\"\"", Some(Invalid)),
            ("max-age=\" 10\"", Some(Invalid)),
            ("max-age=-10", Some(Invalid)),
            ("max-age=+10", Some(Invalid)),
            ("max-age=10.0", Some(Invalid)),
            ("max-age=10s", Some(Invalid)),
            ("max-age=a10", Some(Invalid)),
            ("max-age=1e3", Some(Invalid)),
            ("max-age =10", Some(Invalid)),
            ("max-age= 10", Some(Invalid)),
            ("max-age=10 20", Some(Invalid)),
            // Of two, both count or none does (§4.2.1).
            ("max-age=10, max-age=10", Some(seconds(10))),
            ("max-age=10, max-age=20", Some(Invalid)),
            ("max-age=20, max-age=10", Some(Invalid)),
            ("max-age=10, max-age=x", Some(Invalid)),
            ("max-age=10, max-age=20, max-age=10", Some(Invalid)),
            // What is inside of quotes, or has another name, is none.
            ("x=\"max-age=10\"", None),
            ("x=\", max-age=10, \", max-age=20", Some(seconds(20))),
            ("x-max-age=10, max-age-x=10", None),
        ] {
            assert_eq!(said(&format!("Cache-Control: {value}")).max_age, expected, "{value}");
            let shared = value.to_lowercase().replace("max-age", "s-maxage");
            assert_eq!(said(&format!("Cache-Control: {shared}")).s_maxage, expected, "{shared}");
        }
        let lines = said("Cache-Control: public | Cache-Control: max-age=10 | Cache-Control: x");
        assert_eq!((lines.public, lines.max_age), (true, Some(seconds(10))));
        let differing = said("Cache-Control: max-age=10 | Cache-Control: max-age=20");
        assert_eq!(differing.max_age, Some(Invalid));
    }

    #[test]
    fn what_restricts_counts_with_any_argument_and_what_permits_in_its_own_form() {
        let strict = said(
            "Cache-Control: no-store=x, must-revalidate=1, proxy-revalidate = 5, no-cache=, private x",
        );
        assert!(strict.no_store && strict.must_revalidate && strict.proxy_revalidate);
        assert_eq!(strict.no_cache, FieldScope::Everything);
        assert_eq!(strict.private, FieldScope::Everything);
        let loose = said("Cache-Control: public=x, must-understand=1, immutable=x");
        assert!(!loose.public && !loose.must_understand && loose.immutable);
        let proper = said("Cache-Control: Public, MUST-UNDERSTAND, immutable");
        assert!(proper.public && proper.must_understand && proper.immutable);
    }

    #[test]
    fn no_cache_and_private_are_about_the_fields_that_they_name() {
        use FieldScope::{Everything, Nothing};
        for (argument, expected) in [
            ("", Everything),
            ("=\"set-cookie\"", fields(&["set-cookie"])),
            ("=set-cookie", fields(&["set-cookie"])),
            ("=\" A ,, b \"", fields(&["a", "b"])),
            ("=\"\"", Everything),
            ("=\" , \"", Everything),
            ("=\"a, b c\"", Everything),
            ("=\"a", Everything),
            ("=\"a\", NAME=\"b\"", fields(&["a", "b"])),
            ("=\"a\", NAME", Everything),
            (", NAME=\"a\"", Everything),
        ] {
            for name in ["no-cache", "private"] {
                let directive = format!("{name}{}", argument.replace("NAME", name));
                let read = said(&format!("Cache-Control: {directive}"));
                let (scope, other) = match name {
                    "private" => (read.private, read.no_cache),
                    _ => (read.no_cache, read.private),
                };
                assert_eq!((scope, other), (expected.clone(), Nothing), "{directive}");
            }
        }
    }

    #[test]
    fn some_directives_forbid_every_stale_use() {
        for (value, expected) in [
            ("max-age=5, public, immutable, stale-if-error=60", false),
            ("must-revalidate", true),
            ("proxy-revalidate", true),
            ("s-maxage=5", true),
            ("s-maxage=x", true),
            ("no-cache", true),
            ("no-cache=\"a\"", false),
        ] {
            let read = said(&format!("Cache-Control: {value}"));
            assert_eq!(read.must_revalidate(), expected, "{value}");
        }
    }

    #[test]
    fn a_stale_window_that_cannot_be_read_is_none() {
        for (value, expected) in [
            ("", None),
            ("NAME=5", Some(5)),
            ("NAME=\"5\"", Some(5)),
            ("NAME=x", Some(0)),
            ("NAME", Some(0)),
            ("NAME=5, NAME=3, NAME=4", Some(3)),
        ] {
            for name in ["stale-while-revalidate", "stale-if-error"] {
                let read = said(&format!("Cache-Control: {}", value.replace("NAME", name)));
                let window = match name {
                    "stale-if-error" => read.stale_if_error,
                    _ => read.stale_while_revalidate,
                };
                assert_eq!(window, expected.map(Duration::from_secs), "{name} {value}");
            }
        }
    }

    #[test]
    fn a_targeted_field_speaks_in_place_of_cache_control() {
        let read = said(
            "Cache-Control: no-store, max-age=1 | CDN-Cache-Control: max-age=60, \
             private=\"a\", no-cache=b, must-revalidate, stale-if-error=9",
        );
        let expected = ResponseDirectives {
            is_targeted: true,
            max_age: Some(seconds(60)),
            private: fields(&["a"]),
            no_cache: fields(&["b"]),
            must_revalidate: true,
            stale_if_error: Some(Duration::from_secs(9)),
            ..ResponseDirectives::default()
        };
        assert_eq!(read, expected);
        // One that is not valid as a whole does not speak at all.
        let invalid = said("Cache-Control: no-store | CDN-Cache-Control: max-age=60, Public");
        assert!(invalid.no_store && !invalid.is_targeted && invalid.max_age.is_none());
    }

    #[test]
    fn a_targeted_value_of_another_type_is_not_made_fit() {
        for (value, expected) in [
            ("max-age=60", Some(seconds(60))),
            ("max-age=60;x=1", Some(seconds(60))),
            ("max-age=999999999999999", Some(seconds(1 << 31))),
            ("max-age=-1", Some(Delta::Invalid)),
            ("max-age=60.0", Some(Delta::Invalid)),
            ("max-age=\"60\"", Some(Delta::Invalid)),
            ("max-age", Some(Delta::Invalid)),
            ("max-age=(60)", Some(Delta::Invalid)),
            ("max-age=10, max-age=20", Some(seconds(20))),
            ("x", None),
        ] {
            let read = said(&format!("CDN-Cache-Control: {value}"));
            assert_eq!((read.max_age, read.is_targeted), (expected, true), "{value}");
        }
        let read = said("CDN-Cache-Control: no-store=1, private=(a b), no-cache=?0, public=1");
        assert!(read.no_store && !read.public);
        assert_eq!(read.private, FieldScope::Everything);
        assert_eq!(read.no_cache, FieldScope::Nothing);
    }

    #[test]
    fn a_request_is_read_and_what_cannot_be_read_asks_nothing() {
        let span = Duration::from_secs;
        let none = RequestDirectives::default();
        for (value, expected) in [
            ("", none),
            ("No-Cache", RequestDirectives { no_cache: true, ..none }),
            ("no-store", RequestDirectives { no_store: true, ..none }),
            ("only-if-cached", RequestDirectives { only_if_cached: true, ..none }),
            ("max-age=5", RequestDirectives { max_age: Some(span(5)), ..none }),
            ("max-age=\"5\"", RequestDirectives { max_age: Some(span(5)), ..none }),
            ("max-age=x, min-fresh=-1, stale-if-error", none),
            ("max-age=5, max-age=3", RequestDirectives { max_age: Some(span(3)), ..none }),
            ("max-age=5, max-age=x", RequestDirectives { max_age: Some(span(5)), ..none }),
            ("min-fresh=3, min-fresh=5", RequestDirectives { min_fresh: Some(span(5)), ..none }),
            ("max-stale", RequestDirectives { max_stale: Some(MaxStale::Any), ..none }),
            ("max-stale=5", RequestDirectives { max_stale: Some(MaxStale::For(span(5))), ..none }),
            (
                "max-stale=5, max-stale, max-stale=9",
                RequestDirectives { max_stale: Some(MaxStale::For(span(5))), ..none },
            ),
            ("max-stale=x", none),
            ("max-stale=", none),
            ("stale-if-error=5", RequestDirectives { stale_if_error: Some(span(5)), ..none }),
            // RFC 8246 §2: without effect in a request.
            ("immutable", none),
            ("x=\"no-cache\", private", none),
        ] {
            assert_eq!(asked(&format!("Cache-Control: {value}")), expected, "{value}");
        }
        // RFC 9111 §5.4.
        assert_eq!(asked("Pragma: no-cache"), none);
        assert!(asked("Cache-Control: max-age=5 | Cache-Control: no-cache").no_cache);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_and_a_no_store_is_never_lost(
            before in "([a-z-]{1,10}(=[0-9]{0,30}|=\"[a-z, ]{0,9}\"|=)?[ ,;=\"]{0,2}, ){0,4}",
            after in "(, ?[ -~]{0,30})?",
        ) {
            let text = format!("{before}no-store{after}");
            let value = http::HeaderValue::from_str(&text).unwrap();
            let headers: HeaderMap = [(CACHE_CONTROL, value)].into_iter().collect();
            let _ = RequestDirectives::of(&headers);
            let read = ResponseDirectives::of(&headers, &[]);
            let is_inside_quotes = text.matches('"').count() > 1;
            prop_assert!(read.no_store || is_inside_quotes);
        }
    }
}
