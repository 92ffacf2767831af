//! How each kind of value is written, and what is said about one that is not.
//!
//! A parser returns the value, or notes every mistake in it and returns `None`.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Method, Uri};
use ipnet::IpNet;
use jiff::SignedDuration;

use super::reader::{Field, shown};

/// `"127.0.0.1:8080"`, `"[::1]:8080"`.
pub(super) fn address(field: &Field<'_>) -> Option<SocketAddr> {
    let what = "an IP address with a port, such as \"127.0.0.1:8080\"";
    let text = field.text(what)?;
    text.parse().ok().or_else(|| field.refuse(format!("must be {what}, not {}", shown(text))))
}

/// `"10.0.0.0/8"`, or a single address.
pub(super) fn network(field: &Field<'_>) -> Option<IpNet> {
    let what = "a network such as \"10.0.0.0/8\" or an IP address";
    let text = field.text(what)?;
    match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(network), _) => Some(network.trunc()),
        (Err(_), Ok(address)) => Some(address.into()),
        (Err(_), Err(_)) => field.refuse(format!("must be {what}, not {}", shown(text))),
    }
}

/// A base that paths are appended to: `http` or `https`, an authority, perhaps a path.
pub(super) fn base_url(field: &Field<'_>) -> Option<Uri> {
    parse_base_url(field.text(BASE_URL)?).map_or_else(|problem| field.refuse(problem), Some)
}

const BASE_URL: &str = "an http:// or https:// URL such as \"https://host.example/Commerce\"";

/// As [`base_url`]; the error says what is wrong and does not repeat the text, which may hold a
/// password.
pub(super) fn parse_base_url(text: &str) -> Result<Uri, String> {
    // `Uri` drops a fragment in silence.
    if text.contains('#') {
        return Err("must have no fragment (#…)".to_owned());
    }
    let url: Uri = text.parse().map_err(|_| format!("must be {BASE_URL}"))?;
    let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(format!("must be {BASE_URL}"));
    };
    if authority.as_str().contains('@') {
        return Err("must have no user name or password".to_owned());
    }
    if url.query().is_some() {
        return Err("must have no query (?…)".to_owned());
    }
    let port = authority.as_str().strip_prefix(authority.host());
    if authority.host().is_empty() || (port != Some("") && authority.port_u16().is_none()) {
        return Err("must name a host, and a port between 0 and 65535 if any".to_owned());
    }
    text.trim_end_matches('/').parse().map_err(|_| format!("must be {BASE_URL}"))
}

/// `"250ms"`, `"5m"`, `"1h30m"`, within bounds.
pub(super) fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&Field<'_>) -> Option<Duration> {
    move |field| {
        let what = "a duration with its unit, such as \"250ms\", \"5m\" or \"1h30m\"";
        let text = field.text(what)?;
        let parsed = text.parse::<SignedDuration>().ok();
        let Some(span) = parsed.and_then(|span| Duration::try_from(span).ok()) else {
            return field.refuse(format!("must be {what}, not {}", shown(text)));
        };
        within(field, &bounds, span, |span| match SignedDuration::try_from(*span) {
            Ok(span) => format!("{span:#}"),
            Err(_) => format!("{span:?}"),
        })
    }
}

/// `"512MiB"`, or a number of bytes, within bounds.
pub(super) fn size<T>(bounds: RangeInclusive<u64>) -> impl Fn(&Field<'_>) -> Option<T>
where
    T: TryFrom<u64>,
{
    move |field| {
        let what = "a size such as \"512MiB\", \"64KiB\" or a number of bytes";
        let bytes = match field.integer() {
            Some(number) => u64::try_from(number).ok(),
            None => parse_size(field.text(what)?),
        };
        let Some(bytes) = bytes else {
            return field.refuse(format!("must be {what} (units: B, KiB, MiB, GiB, TiB)"));
        };
        let bytes = within(field, &bounds, bytes, |bytes| show_size(*bytes))?;
        T::try_from(bytes).ok().or_else(|| field.refuse("is more than this machine can address"))
    }
}

const SIZE_UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

fn parse_size(text: &str) -> Option<u64> {
    let (number, shift) = SIZE_UNITS
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))
        .unwrap_or((text, 0));
    let number = number.trim_end();
    // `parse` would take a sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn show_size(bytes: u64) -> String {
    let exact = |shift: u32| bytes != 0 && bytes.trailing_zeros() >= shift;
    match SIZE_UNITS.into_iter().find(|(_, shift)| exact(*shift)) {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// A whole number within bounds.
pub(super) fn count<T>(bounds: RangeInclusive<T>) -> impl Fn(&Field<'_>) -> Option<T>
where
    T: TryFrom<i64> + PartialOrd + Display,
{
    move |field| {
        let Some(number) = field.integer() else {
            return field.refuse_type("a whole number");
        };
        match T::try_from(number) {
            Ok(number) => within(field, &bounds, number, T::to_string),
            Err(_) => field.refuse(out_of_bounds(&bounds, T::to_string)),
        }
    }
}

fn within<T: PartialOrd>(
    field: &Field<'_>,
    bounds: &RangeInclusive<T>,
    value: T,
    show: impl Fn(&T) -> String,
) -> Option<T> {
    if bounds.contains(&value) {
        return Some(value);
    }
    field.refuse(out_of_bounds(bounds, show))
}

fn out_of_bounds<T>(bounds: &RangeInclusive<T>, show: impl Fn(&T) -> String) -> String {
    format!("must be between {} and {}", show(bounds.start()), show(bounds.end()))
}

/// A number from 0 to 100, whole or not.
pub(super) fn percent(field: &Field<'_>) -> Option<f64> {
    let Some(number) = field.number() else { return field.refuse_type("a number") };
    within(field, &(0.0..=100.0), number, f64::to_string)
}

/// `true` or `false`.
pub(super) fn boolean(field: &Field<'_>) -> Option<bool> {
    field.boolean()
}

/// A string that is not empty.
pub(super) fn text(field: &Field<'_>) -> Option<String> {
    let text = field.text("a string")?;
    if text.is_empty() { field.refuse("must not be empty") } else { Some(text.to_owned()) }
}

/// A path in the file system; relative ones start at the working directory.
pub(super) fn path(field: &Field<'_>) -> Option<PathBuf> {
    text(field).map(PathBuf::from)
}

/// One of a few words.
pub(super) fn one_of<T: Copy, const N: usize>(
    words: [(&'static str, T); N],
) -> impl Fn(&Field<'_>) -> Option<T> {
    move |field| {
        let what = words.map(|(word, _)| format!("\"{word}\"")).join(" or ");
        let text = field.text(&what)?;
        let found = words.iter().find(|(word, _)| *word == text);
        found
            .map(|(_, value)| *value)
            .or_else(|| field.refuse(format!("must be {what}, not {}", shown(text))))
    }
}

/// An array. Every element is read, so that every mistake in it is found.
pub(super) fn list<T>(
    parse: impl Fn(&Field<'_>) -> Option<T>,
) -> impl Fn(&Field<'_>) -> Option<Vec<T>> {
    move |field| {
        let parsed: Vec<_> = field.elements()?.iter().map(&parse).collect();
        parsed.into_iter().collect()
    }
}

/// The name of a header field, or `*`.
pub(super) fn header_name(field: &Field<'_>) -> Option<HeaderName> {
    let text = field.text("the name of a header field")?;
    text.parse()
        .ok()
        .or_else(|| field.refuse(format!("{} is not the name of a header field", shown(text))))
}

/// A method. They are case-sensitive, and all that Retail Server knows are upper case.
pub(super) fn method(field: &Field<'_>) -> Option<Method> {
    let text = field.text("a method such as \"GET\"")?;
    let upper_case = !text.bytes().any(|byte| byte.is_ascii_lowercase());
    Method::from_bytes(text.as_bytes())
        .ok()
        .filter(|_| upper_case)
        .or_else(|| field.refuse(format!("must be a method such as \"GET\", not {}", shown(text))))
}
