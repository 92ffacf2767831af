//! The rules of caching, pure: inputs and `now` in, a decision out. Each has its clause in its docs
//! and a table of cases beside it; nothing here does I/O or reads a clock.
//!
//! A stored answer goes through four questions. *May it be stored?* RFC 9111 §3 forbids what is
//! private, what belongs to one client's credentials, and what no later request could be known to
//! ask for. *How long is it fresh?* There are two sources. For the operations of the catalogue it is
//! the catalogue, because nothing is known of what a Commerce Scale Unit says of its answers; only
//! where the origin forbids storing, it wins ([`storability`]). For every other URL it is HTTP itself
//! ([`admission`]): a targeted field, `Cache-Control`, `Expires`, or a guess. *How old is it now?*
//! Both sources end in one [`freshness::Freshness`], counted by our clock. *May this client have it?*
//! [`freshness::judge`] puts time, purges and the client's own directives together.
//!
//! Whatever is malformed, repeated or contradicts itself is read as the more cautious of its
//! meanings: a mistake may cost a question to the origin, and must never make an answer live longer
//! or reach more clients than was meant.
//!
//! | file | rule |
//! |---|---|
//! | [`directives`] | the grammar of cache directives |
//! | [`cache_control`] | what they say, in responses and in requests (RFC 9111 §5.2, RFC 5861, RFC 8246) |
//! | [`targeted`] | `CDN-Cache-Control` and its kind (RFC 9213) |
//! | [`http_date`] | dates (RFC 9110 §5.6.7) |
//! | [`lifetime`] | lifetimes and ages from a response's head (RFC 9111 §4.2) |
//! | [`admission`] | what is stored by HTTP's own rules (RFC 9111 §3) |
//! | [`storability`] | what is stored of the catalogue's operations; every reason why something is not |
//! | [`freshness`] | fresh, stale or refused, for one request (RFC 9111 §4.2.4, §5.2.1) |
//! | [`vary`] | which variant of a URL answers a request (RFC 9111 §4.1) |
//! | [`validators`] | entity tags and dates, and how strong they are (RFC 9110 §8.8) |
//! | [`conditional`] | a client's own conditions (RFC 9110 §13) |
//! | [`validation`] | our conditions, and what a 304 or a HEAD says of what is stored (RFC 9111 §4.3) |
//! | [`range`] | the parts of a body that a client asks for (RFC 9110 §14) |
//! | [`partial`] | answers that are held in part (RFC 9111 §3.3, §3.4) |
//! | [`invalidation`] | what an unsafe request has changed (RFC 9111 §4.4) |
//! | [`groups`] | cache groups (RFC 9875) |
//! | [`accept_encoding`] | which stored form a client prefers (RFC 9110 §12.5.3) |

pub mod accept_encoding;
pub mod admission;
pub mod cache_control;
pub mod conditional;
pub mod directives;
pub mod freshness;
pub mod groups;
pub mod http_date;
pub mod invalidation;
pub mod lifetime;
pub mod partial;
pub mod range;
pub mod storability;
pub mod targeted;
pub mod validation;
pub mod validators;
pub mod vary;
#[cfg(test)]
mod written {
    use http::{HeaderMap, HeaderName, HeaderValue};

    /// `Name: value` any number of times, a bar between them.
    pub(super) fn head(text: &str) -> HeaderMap {
        let fields = text.split('|').map(str::trim).filter(|field| !field.is_empty());
        fields
            .map(|field| {
                let (name, value) = field.split_once(':').unwrap();
                let name: HeaderName = name.parse().unwrap();
                (name, HeaderValue::from_str(value.trim()).unwrap())
            })
            .collect()
    }
}
