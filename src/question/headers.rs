//! The header fields of a request that select its answer, and those that may be passed on.

use std::borrow::Cow;

use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Unkeyable;
use super::accept::{Accepted, is_plain_json};

/// The operating unit number, which selects the channel.
pub(super) const OUN: HeaderName = HeaderName::from_static("oun");
const MAX_VERSION: HeaderName = HeaderName::from_static("odata-maxversion");
const VERSION: HeaderName = HeaderName::from_static("odata-version");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What traces a request and never changes its answer: passed on, not in the key. What is not in
/// the key must not make an origin refuse or cut the request for others, so each has a length in
/// bytes up to which it is passed on (for `tracestate`, the one that W3C Trace Context §3.3.1.5
/// asks for), and only as printable ASCII. Any other is left out.
const TRACING: [(HeaderName, usize); 5] = [
    (HeaderName::from_static("requestid"), 128),
    (HeaderName::from_static("appsessionid"), 128),
    (HeaderName::from_static("usersessionid"), 128),
    (HeaderName::from_static("traceparent"), 128),
    (HeaderName::from_static("tracestate"), 512),
];

/// Fields by which a POST says that it is something else.
const METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];

/// The fields that are part of the key, in canonical form, and those that only trace. Each value is a
/// copy: one of the request's own would hold on to all that was received with it.
#[derive(Clone, Debug)]
pub(super) struct KeyedHeaders {
    pub(super) oun: Option<HeaderValue>,
    pub(super) language: Option<HeaderValue>,
    pub(super) accept: Accepted,
    pub(super) max_version: Option<HeaderValue>,
    pub(super) version: Option<HeaderValue>,
    pub(super) prefer: Option<HeaderValue>,
    /// Whether a body is sent, which is JSON.
    has_content: bool,
    tracing: Vec<(HeaderName, HeaderValue)>,
}

pub(super) fn read(
    headers: &HeaderMap,
    method: &Method,
    has_body: bool,
) -> Result<KeyedHeaders, Unkeyable> {
    if METHOD_OVERRIDES.iter().any(|name| headers.contains_key(name)) {
        return Err(Unkeyable::MethodOverride);
    }
    if *method == Method::POST {
        check_content(headers, has_body)?;
    }
    let accept = Accepted::read(joined(headers, &ACCEPT)?.as_deref()).ok_or(Unkeyable::Accept)?;
    let language = joined(headers, &ACCEPT_LANGUAGE)?;
    let language = language.map(|field| canonical_language(&field)).transpose()?;
    let language = language.filter(|ranges| !ranges.is_empty());
    let copied = |text: Option<&str>| text.map(value_of).transpose();
    Ok(KeyedHeaders {
        oun: copied(single(headers, &OUN)?)?,
        language: language.map(value_of).transpose()?,
        accept,
        max_version: copied(single(headers, &MAX_VERSION)?)?,
        version: copied(single(headers, &VERSION)?)?,
        prefer: copied(joined(headers, &PREFER)?.as_deref())?,
        has_content: *method == Method::POST,
        tracing: TRACING.iter().filter_map(|traced| traced_by(headers, traced)).collect(),
    })
}

fn value_of<T>(text: T) -> Result<HeaderValue, Unkeyable>
where
    HeaderValue: TryFrom<T>,
{
    HeaderValue::try_from(text).map_err(|_| Unkeyable::HeaderValue)
}

fn traced_by(
    headers: &HeaderMap,
    (name, max_bytes): &(HeaderName, usize),
) -> Option<(HeaderName, HeaderValue)> {
    let value = headers.get(name).filter(|value| is_harmless(value, *max_bytes))?;
    Some((name.clone(), HeaderValue::from_bytes(value.as_bytes()).ok()?))
}

impl KeyedHeaders {
    /// The page size that is preferred (OData 4.01 §8.2.8.6): a page cuts an answer as `$top`
    /// does. None is a page without end, and one that cannot be read an empty page.
    pub(super) fn page_size(&self) -> usize {
        let Some(prefer) = &self.prefer else { return usize::MAX };
        let preferences = prefer.to_str().unwrap_or_default().split(',');
        let sizes = preferences.filter_map(|preference| {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let is_size = name.trim().to_ascii_lowercase().ends_with("maxpagesize");
            is_size.then(|| value.trim().trim_matches('"').parse().unwrap_or(0))
        });
        sizes.min().unwrap_or(usize::MAX)
    }

    /// All that is sent to the origin.
    pub(super) fn to_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(16);
        let accept = self.accept.to_value();
        let json = HeaderValue::from_static("application/json");
        for (name, value) in [
            (OUN, self.oun.as_ref()),
            (ACCEPT_LANGUAGE, self.language.as_ref()),
            (ACCEPT, Some(&accept)),
            (MAX_VERSION, self.max_version.as_ref()),
            (VERSION, self.version.as_ref()),
            (PREFER, self.prefer.as_ref()),
            (CONTENT_TYPE, self.has_content.then_some(&json)),
        ] {
            headers.extend(value.map(|value| (name, value.clone())));
        }
        headers.extend(self.tracing.iter().cloned());
        headers
    }
}

fn is_harmless(value: &HeaderValue, max_bytes: usize) -> bool {
    let is_printable = |b: &u8| b.is_ascii_graphic() || *b == b' ';
    value.len() <= max_bytes && value.as_bytes().iter().all(is_printable)
}

fn check_content(headers: &HeaderMap, has_body: bool) -> Result<(), Unkeyable> {
    let encoding = joined(headers, &CONTENT_ENCODING)?;
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Unkeyable::ContentEncoding);
    }
    match single(headers, &CONTENT_TYPE)? {
        None if !has_body => Ok(()),
        Some(content_type) if is_plain_json(content_type) => Ok(()),
        _ => Err(Unkeyable::ContentType),
    }
}

/// The value of a field that may be there once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Unkeyable> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(text_of).transpose()?;
    if values.next().is_some() {
        return Err(Unkeyable::RepeatedHeader);
    }
    Ok(first.map(str::trim))
}

/// The values of a field that is a list, as one (RFC 9110 §5.3).
fn joined<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<Cow<'h, str>>, Unkeyable> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next().map(text_of).transpose()? else { return Ok(None) };
    let mut all = Cow::Borrowed(first.trim_start());
    for value in values {
        let all = all.to_mut();
        all.push(',');
        all.push_str(text_of(value)?);
    }
    Ok(Some(match all {
        Cow::Borrowed(only) => only.trim_end().into(),
        Cow::Owned(all) => all.trim().to_owned().into(),
    }))
}

fn text_of(value: &HeaderValue) -> Result<&str, Unkeyable> {
    value.to_str().map_err(|_| Unkeyable::HeaderValue)
}

/// Language ranges without white space, each in the case that RFC 5646 §2.1.1 recommends. Case
/// never matters there, but not every server knows.
fn canonical_language(field: &str) -> Result<String, Unkeyable> {
    let mut canonical = String::with_capacity(field.len());
    for element in field.split(',') {
        let (range, weight) = match element.split_once(';') {
            Some((range, weight)) => (range, Some(weight.trim())),
            None => (element, None),
        };
        let range = range.trim();
        if range.is_empty() && weight.is_none() {
            continue;
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'*';
        let is_weight =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b"qQ=.".contains(&b));
        if !range.bytes().all(allowed) || !weight.is_none_or(is_weight) {
            return Err(Unkeyable::HeaderValue);
        }
        if !canonical.is_empty() {
            canonical.push(',');
        }
        push_range(&mut canonical, range);
        if let Some(weight) = weight {
            canonical.push(';');
            canonical.extend(weight.chars().map(|c| c.to_ascii_lowercase()));
        }
    }
    Ok(canonical)
}

fn push_range(canonical: &mut String, range: &str) {
    for (at, subtag) in range.split('-').enumerate() {
        if at > 0 {
            canonical.push('-');
        }
        canonical.extend(subtag.chars().enumerate().map(|(i, c)| match subtag.len() {
            2 if at > 0 => c.to_ascii_uppercase(),
            4 if at > 0 && i == 0 => c.to_ascii_uppercase(),
            _ => c.to_ascii_lowercase(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracing_field_is_passed_on_only_where_it_can_do_no_harm() {
        let forwarded = |name: &HeaderName, value: &[u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            let headers = HeaderMap::from_iter([(name.clone(), value.clone())]);
            let read = read(&headers, &Method::GET, false).unwrap();
            let forwarded = read.to_map().get(name).cloned();
            assert!(forwarded.as_ref().is_none_or(|forwarded| *forwarded == value));
            forwarded.is_some()
        };
        for (name, max_bytes) in &TRACING {
            assert!(forwarded(name, b"vendor=a b, other=c"), "{name}");
            assert!(forwarded(name, "x".repeat(*max_bytes).as_bytes()), "{name}");
            assert!(!forwarded(name, "x".repeat(max_bytes + 1).as_bytes()), "{name}");
            assert!(!forwarded(name, "ø".as_bytes()), "{name}");
            assert!(!forwarded(name, b"a\tb"), "{name}");
        }
    }

    #[test]
    fn a_preferred_page_size_is_read_or_taken_to_be_nothing() {
        for (prefer, expected) in [
            ("odata.maxpagesize=50", 50),
            ("return=minimal, MaxPageSize = \"50\"", 50),
            ("maxpagesize=50,odata.maxpagesize=5", 5),
            ("maxpagesize=5;a=b", 0),
            ("maxpagesize", 0),
            ("return=minimal", usize::MAX),
        ] {
            let headers = HeaderMap::from_iter([(PREFER, HeaderValue::from_static(prefer))]);
            let read = read(&headers, &Method::GET, false).unwrap();
            assert_eq!(read.page_size(), expected, "{prefer}");
        }
    }

    #[test]
    fn a_language_has_one_spelling() {
        for field in ["nb-NO,en;q=0.8", "NB-no, EN ; Q=0.8", " nb-no ,, en;q=0.8 "] {
            assert_eq!(canonical_language(field).unwrap(), "nb-NO,en;q=0.8", "{field}");
        }
        assert_eq!(canonical_language("ZH-hant-tw").unwrap(), "zh-Hant-TW");
        assert_eq!(canonical_language("*").unwrap(), "*");
        assert_eq!(canonical_language("nb_NO"), Err(Unkeyable::HeaderValue));
    }
}
