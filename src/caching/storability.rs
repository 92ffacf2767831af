//! Whether an answer may be stored, and for how long (RFC 9111 §3).
//!
//! The catalogue says how long an operation's answers are fresh; this file says which answers are
//! worth keeping at all. An allow-list of statuses: a success with its class's lifetimes; "there is
//! no such thing" (404, 410, and 204, which is how Retail Server says it of a single entity) for a
//! short time, because a storefront asks for it again and again.
//! Nothing else is ever kept: 401 and 403 are about the one who asked, 429 and 5xx about the
//! origin's health, 306 is a redirect of Retail Server's own making.

use std::time::Duration;

use http::header::AGE;
use http::{HeaderMap, HeaderName, StatusCode};

use super::cache_control::{FieldScope, ResponseDirectives};
use super::vary::{Vary, vary};
use crate::answer::AnswerError;
use crate::operation::Lifetimes;

/// Why an answer is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unstorable {
    /// Its status is none that is kept.
    Status,
    /// `Cache-Control: no-store` (RFC 9111 §5.2.2.5).
    NoStore,
    /// `Cache-Control: private` (RFC 9111 §5.2.2.7).
    Private,
    /// The client said `no-store` (RFC 9111 §5.2.1.5).
    RequestNoStore,
    /// The request carried `Authorization`, and the origin did not say that a shared cache may store
    /// the answer all the same (RFC 9111 §3.5).
    Authorization,
    /// The request carried a `Cookie`, and the origin did not say that the answer is for everybody.
    Cookie,
    /// It sets a cookie, and was given no lifetime, or such answers are not to be stored.
    SetCookie,
    /// Nothing says how long it is fresh, and its status is none that may be guessed about
    /// (RFC 9111 §3, §4.2.2).
    NoFreshness,
    /// It could never be used: not fresh, not allowed to be stale, and nothing to validate it by.
    NothingToReuse,
    /// It answers a HEAD, without the body that a GET would be answered with.
    Head,
    /// It answers the client's own conditions, without a body.
    NotModified,
    /// It is a part of a representation, and cannot be kept as one.
    Partial,
    /// `Vary: *` (RFC 9110 §12.5.5).
    VaryAny,
    /// A coding that this cache did not ask for and cannot take off.
    ContentEncoding,
    /// Not JSON, though JSON was asked for.
    NotJson,
    /// Its body cannot be vouched for: it does not parse to its end, or tells of an error.
    Answer(AnswerError),
    /// Larger than `limits.stored_body_bytes`.
    TooLarge,
    /// The credential that it was fetched with ends too soon.
    CredentialEnds,
}

impl Unstorable {
    /// The reason, for `Cache-Status` details and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::RequestNoStore => "request-no-store",
            Self::Authorization => "authorization",
            Self::Cookie => "cookie",
            Self::SetCookie => "set-cookie",
            Self::NoFreshness => "no-freshness",
            Self::NothingToReuse => "nothing-to-reuse",
            Self::Head => "head",
            Self::NotModified => "not-modified",
            Self::Partial => "partial",
            Self::VaryAny => "vary-any",
            Self::ContentEncoding => "content-encoding",
            Self::NotJson => "not-json",
            Self::Answer(error) => error.as_str(),
            Self::TooLarge => "too-large",
            Self::CredentialEnds => "credential-ends",
        }
    }

    /// Whether the answer is what the origin has to say, only not to be kept; as against one that
    /// shows it to be unwell, such as half a document or a maintenance page, and one that is about
    /// its client alone.
    pub const fn is_meant(self) -> bool {
        use AnswerError::{Malformed, TellsError};
        !matches!(
            self,
            Self::NotJson
                | Self::Answer(Malformed | TellsError)
                | Self::RequestNoStore
                | Self::Authorization
                | Self::Cookie
                | Self::Head
                | Self::NotModified
                | Self::Partial
        )
    }

    /// Whether clients that asked the same may be given the same unstored answer. What a shared
    /// cache may not store, or not reuse, belongs to the one request that it answers: RFC 9111 §4
    /// lets one answer serve several requests only where it is allowed to be reused.
    pub const fn may_be_shared(self) -> bool {
        match self {
            Self::NoStore
            | Self::Private
            | Self::RequestNoStore
            | Self::Authorization
            | Self::Cookie
            | Self::SetCookie
            | Self::NoFreshness
            | Self::NothingToReuse
            | Self::Head
            | Self::NotModified
            | Self::Partial
            | Self::VaryAny => false,
            Self::Status
            | Self::ContentEncoding
            | Self::NotJson
            | Self::Answer(_)
            | Self::TooLarge
            | Self::CredentialEnds => true,
        }
    }
}

/// The lifetimes that an answer with this head is stored for: its operation's, or
/// `absent_fresh_for` where it says that there is no such thing.
///
/// # Errors
/// Says why it is not to be stored.
pub fn lifetimes(
    status: StatusCode,
    headers: &HeaderMap,
    targets: &[HeaderName],
    of_operation: Lifetimes,
    absent_fresh_for: Duration,
) -> Result<Lifetimes, Unstorable> {
    let said = ResponseDirectives::of(headers, targets);
    if said.no_store {
        return Err(Unstorable::NoStore);
    }
    // Some fields of an answer or all of it: what is kept of one has no fields to leave out.
    if said.private != FieldScope::Nothing {
        return Err(Unstorable::Private);
    }
    if vary(headers) == Vary::Any {
        return Err(Unstorable::VaryAny);
    }
    match status {
        StatusCode::OK => Ok(of_operation),
        StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Lifetimes {
            fresh_for: absent_fresh_for.min(of_operation.fresh_for),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
        }),
        _ => Err(Unstorable::Status),
    }
}

/// Whether a failure of this kind lets a stale answer serve (RFC 5861 §4 names 500, 502, 503 and
/// 504; 429 is the origin asking to be left alone, which a stale answer does).
pub fn is_origin_error(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// The `Age` that an answer came with (RFC 9111 §5.1); a malformed one counts as none.
pub fn initial_age(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get(AGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(',').next())
        .map(str::trim)
        .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        // All digits, so that what does not parse is too large (RFC 9111 §1.2.2: at least 2^31).
        .map_or(0, |text| text.parse::<u32>().map_or(1 << 31, u64::from));
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::VARY;

    const CLASS: Lifetimes = Lifetimes {
        fresh_for: Duration::from_secs(300),
        stale_while_revalidate: Duration::from_secs(60),
        stale_if_error: Duration::from_secs(60),
    };

    const ABSENT: Duration = Duration::from_secs(30);

    fn with(name: http::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn only_successes_and_absences_are_kept() {
        assert_eq!(lifetimes(StatusCode::OK, &HeaderMap::new(), &[], CLASS, ABSENT), Ok(CLASS));
        for status in [204, 404, 410] {
            let kept = lifetimes(
                StatusCode::from_u16(status).unwrap(),
                &HeaderMap::new(),
                &[],
                CLASS,
                ABSENT,
            );
            assert_eq!(kept.unwrap().fresh_for, ABSENT);
            assert_eq!(kept.unwrap().stale_if_error, Duration::ZERO);
        }
        for status in
            [201, 206, 301, 304, 306, 400, 401, 403, 408, 412, 429, 500, 501, 502, 503, 504]
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                lifetimes(status, &HeaderMap::new(), &[], CLASS, ABSENT),
                Err(Unstorable::Status)
            );
        }
    }

    #[test]
    fn an_absence_never_outlives_its_class() {
        let short = Lifetimes { fresh_for: Duration::from_secs(5), ..CLASS };
        let kept = lifetimes(StatusCode::NOT_FOUND, &HeaderMap::new(), &[], short, ABSENT).unwrap();
        assert_eq!(kept.fresh_for, Duration::from_secs(5));
    }

    #[test]
    fn what_the_origin_forbids_is_not_stored() {
        let of = |values: &[&str]| {
            lifetimes(
                StatusCode::OK,
                &with(http::header::CACHE_CONTROL, values),
                &[],
                CLASS,
                ABSENT,
            )
        };
        assert_eq!(of(&["max-age=60, No-Store"]), Err(Unstorable::NoStore));
        assert_eq!(of(&["max-age=60", "private=\"a,b\""]), Err(Unstorable::Private));
        assert_eq!(of(&["x=\"private, no-store\""]), Ok(CLASS));
        assert_eq!(of(&["x=\"\\\", private\", public"]), Ok(CLASS));
        assert_eq!(of(&["no-storeish"]), Ok(CLASS));
        let vary = lifetimes(StatusCode::OK, &with(VARY, &["Accept, *"]), &[], CLASS, ABSENT);
        assert_eq!(vary, Err(Unstorable::VaryAny));
    }

    #[test]
    fn an_age_is_digits_or_nothing() {
        for (text, seconds) in [
            ("60", 60),
            (" 60", 60),
            ("60, 70", 60),
            ("-1", 0),
            ("1.5", 0),
            ("", 0),
            ("99999999999", 1 << 31),
        ] {
            assert_eq!(initial_age(&with(AGE, &[text])), Duration::from_secs(seconds), "{text}");
        }
    }
}
