//! Which fields of a batch request count for each request in it.
//!
//! The standard (OData 4.01 Protocol §8.1, §8.2) has a part inherit, where it has no field of its
//! own: `Accept`, `Accept-Charset`, `Accept-Language`, `Content-Language`, `OData-Version`,
//! `OData-MaxVersion`, and of `Prefer` the preferences `allow-entityreferences` and
//! `include-annotations`. It has `If-Match` and `If-None-Match` stand in parts alone, and the
//! preferences `continue-on-error`, `respond-async`, `wait` and `callback` of a batch mean the batch.
//! It also names `Content-Encoding`; a compressed batch is not taken apart ([`check_head`]).
//!
//! It is silent on all else, except that no part may have credentials (§11.7.7.1): those of the
//! batch are its parts'. Microsoft's own implementation, which the origin may be built on, copies
//! every field of the batch but `Content-Length` and `Content-Type` to each part that lacks it. So
//! does this, with what is about the message or its connection left out as well: `Authorization`,
//! `OUN`, `DeviceToken` and cookies of the batch count for every part, and so does any field
//! that nobody here has heard of. To inherit what the origin does not costs an answer from store; not to
//! inherit what it does would give one's answer to another.
//!
//! `Accept` names the form of the whole answer, too (§11.7.1): `multipart/…` means that alone and
//! is not inherited.
//!
//! [`check_head`]: super::check_head

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LANGUAGE, EXPECT, HOST, HeaderName, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, MAX_FORWARDS, ORIGIN, RANGE,
    TRAILER,
};
use http::{HeaderMap, HeaderValue};

use super::head::{PREFER, preferences};
use super::media_type::split_unquoted;

/// Fields of the message that the batch is, of how its answer travels, or of its condition.
/// `Origin` is there: a CORS answer is given for the batch.
const OF_THE_BATCH: [HeaderName; 12] = [
    ACCEPT_ENCODING,
    EXPECT,
    HOST,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    MAX_FORWARDS,
    ORIGIN,
    RANGE,
    TRAILER,
];

/// Preferences that are about the batch as a whole.
const PREFERENCES_OF_THE_BATCH: [&str; 4] =
    ["callback", "continue-on-error", "respond-async", "wait"];

/// Adds to a part the fields of its batch that count for it. A field of its own wins; of `Prefer`,
/// a preference of its own.
pub fn inherit(batch: &HeaderMap, part: &mut HeaderMap) {
    let mut batch = batch.clone();
    crate::proxy::fields::remove_hop_by_hop(&mut batch);
    for name in batch.keys() {
        let is_of_content = name.as_str().starts_with("content-") && *name != CONTENT_LANGUAGE;
        if is_of_content
            || OF_THE_BATCH.contains(name)
            || *name == PREFER
            || part.contains_key(name)
        {
            continue;
        }
        for value in batch.get_all(name) {
            match name {
                &ACCEPT => append(part, name, accepted_of_parts(value)),
                _ => append(part, name, Some(value.clone())),
            }
        }
    }
    inherit_preferences(&batch, part);
}

fn append(part: &mut HeaderMap, name: &HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        part.append(name, value);
    }
}

/// The ranges of `Accept` that a part may be answered in.
fn accepted_of_parts(value: &HeaderValue) -> Option<HeaderValue> {
    let Some(ranges) = value.to_str().ok().and_then(|text| split_unquoted(text, ',')) else {
        return Some(value.clone());
    };
    let is_whole = |range: &str| range.to_ascii_lowercase().starts_with("multipart/");
    let ranges = ranges.into_iter().map(str::trim);
    let left: Vec<&str> = ranges.filter(|range| !range.is_empty() && !is_whole(range)).collect();
    HeaderValue::try_from(left.join(", ")).ok().filter(|_| !left.is_empty())
}

/// Preferences that cannot be told apart are not inherited one by one: [`check_head`] refuses such a
/// batch, and such a part has said all there is to say.
///
/// [`check_head`]: super::check_head
fn inherit_preferences(batch: &HeaderMap, part: &mut HeaderMap) {
    let (Ok(of_batch), Ok(own)) = (preferences(batch), preferences(part)) else { return };
    let plain = |name: &str| name.strip_prefix("odata.").unwrap_or(name).to_owned();
    let own: Vec<String> = own.iter().map(|preference| plain(&preference.name)).collect();
    let inherited: Vec<&str> = of_batch
        .iter()
        .filter(|preference| {
            let name = plain(&preference.name);
            !own.contains(&name) && !PREFERENCES_OF_THE_BATCH.contains(&&*name)
        })
        .map(|preference| preference.text)
        .collect();
    if !inherited.is_empty() {
        append(part, &PREFER, HeaderValue::try_from(inherited.join(", ")).ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let field =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().map(field).collect()
    }

    fn inherited(
        batch: &[(&'static str, &'static str)],
        own: &[(&'static str, &'static str)],
    ) -> HeaderMap {
        let mut part = fields(own);
        inherit(&fields(batch), &mut part);
        part
    }

    #[test]
    fn what_changes_the_answer_counts_for_every_part() {
        for line in [
            ("authorization", "Bearer x"),
            ("oun", "128"),
            ("accept-language", "nb-NO"),
            ("accept-charset", "utf-8"),
            ("accept", "application/json;odata.metadata=none"),
            ("content-language", "nb"),
            ("odata-version", "4.0"),
            ("odata-maxversion", "4.01"),
            ("devicetoken", "x"),
            ("cookie", "a=b"),
            ("x-unheard-of", "1"),
        ] {
            assert_eq!(inherited(&[line], &[]), fields(&[line]), "{line:?}");
            let own = [(line.0, "own")];
            assert_eq!(inherited(&[line], &own), fields(&own), "{line:?}");
        }
        let two = [("x-a", "1"), ("x-a", "2")];
        assert_eq!(inherited(&two, &[]), fields(&two));
        assert_eq!(inherited(&two, &[("x-a", "3")]), fields(&[("x-a", "3")]));
    }

    #[test]
    fn what_is_about_the_batch_stays_with_it() {
        for line in [
            ("content-type", "multipart/mixed; boundary=b"),
            ("content-length", "7"),
            ("content-encoding", "identity"),
            ("accept", "multipart/mixed"),
            ("accept-encoding", "gzip"),
            ("host", "shop.test"),
            ("connection", "close"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("if-none-match", "\"x\""),
            ("origin", "https://shop.test"),
            ("prefer", "respond-async, wait=10"),
            ("prefer", "odata.continue-on-error, continue-on-error=false"),
        ] {
            assert_eq!(inherited(&[line], &[]), HeaderMap::new(), "{line:?}");
        }
        let accept = [("accept", "multipart/mixed, application/json;odata=nometadata;q=1, */*")];
        let expected = [("accept", "application/json;odata=nometadata;q=1, */*")];
        assert_eq!(inherited(&accept, &[]), fields(&expected));
        let named = [("connection", "x-a"), ("x-a", "1")];
        assert_eq!(inherited(&named, &[]), HeaderMap::new());
    }

    #[test]
    fn preferences_are_inherited_one_by_one() {
        let batch = [(
            "prefer",
            "include-annotations=\"*,-a\", odata.maxpagesize=5, respond-async, allow-entityreferences",
        )];
        let own = ("prefer", "maxpagesize=9");
        let expected =
            fields(&[own, ("prefer", "include-annotations=\"*,-a\", allow-entityreferences")]);
        assert_eq!(inherited(&batch, &[own]), expected);
        assert_eq!(inherited(&batch, &[("prefer", "x=\"")]), fields(&[("prefer", "x=\"")]));
    }
}
