//! The media type that an answer is asked for in.
//!
//! Clients of different years write the same wish differently: OData 4 says
//! `application/json;odata.metadata=none`, 2016's clients `application/json;odata=nometadata`, and
//! 4.01 allows `metadata=none`. Retail Server answers in JSON, so the wish comes down to a metadata
//! level and two switches.

use std::fmt;

use http::HeaderValue;

/// How much control information an answer carries (OData JSON Format 4.01 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Metadata {
    None,
    #[default]
    Minimal,
    Full,
    /// OData 2's own JSON, kept apart as what it is.
    Verbose,
}

/// What is accepted, normalised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Accepted {
    metadata: Metadata,
    /// 64-bit integers as strings.
    ieee754_compatible: bool,
    streaming: bool,
}

impl Accepted {
    /// Reads the values of all `Accept` fields, joined by commas; without any, everything is
    /// accepted. `None` when JSON is not accepted, or only with parameters that are not known.
    pub(super) fn read(field: Option<&str>) -> Option<Self> {
        let Some(field) = field.filter(|field| !field.trim().is_empty()) else {
            return Some(Self::default());
        };
        let mut best: Option<(Rank, Option<Self>)> = None;
        for range in field.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            let Some((rank, accepted)) = read_range(range) else { continue };
            if best.as_ref().is_none_or(|(known, _)| rank > *known) {
                best = Some((rank, accepted));
            }
        }
        best.filter(|(rank, _)| rank.quality > 0)?.1
    }
}

/// Which of several ranges speaks for JSON: RFC 9110 §12.5.1 lets the most specific one count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    specificity: u8,
    quality: u16,
}

/// What a media range says of JSON; `None` when it is about something else. Its parameters may be
/// ones that are not known.
fn read_range(range: &str) -> Option<(Rank, Option<Accepted>)> {
    let mut pieces = range.split(';').map(str::trim);
    let media_type = pieces.next()?;
    let specificity = ["*/*", "application/*", "application/json"]
        .iter()
        .position(|known| known.eq_ignore_ascii_case(media_type))
        .and_then(|at| u8::try_from(at).ok())?;
    let mut accepted = Some(Accepted::default());
    let mut quality = 1000;
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let (name, value) = (name.trim(), unquote(value.trim()));
        if name.eq_ignore_ascii_case("q") {
            quality = read_quality(value)?;
        } else {
            accepted = accepted.and_then(|accepted| accepted.with(name, value));
        }
    }
    Some((Rank { specificity, quality }, accepted))
}

impl Accepted {
    /// The canonical form as the value of a field.
    pub(super) fn to_value(self) -> HeaderValue {
        let media_type = HeaderValue::from_static(self.metadata.media_type());
        HeaderValue::try_from(self.to_string()).unwrap_or(media_type)
    }

    /// `None` when the parameter is not known.
    fn with(self, name: &str, value: &str) -> Option<Self> {
        let is_one_of = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is_one_of(&["odata.metadata", "metadata", "odata"]) {
            return Some(Self { metadata: Metadata::read(value)?, ..self });
        }
        if is_one_of(&["IEEE754Compatible"]) {
            return Some(Self { ieee754_compatible: read_switch(value)?, ..self });
        }
        if is_one_of(&["odata.streaming", "streaming"]) {
            return Some(Self { streaming: read_switch(value)?, ..self });
        }
        (is_one_of(&["charset"]) && is_utf8(value)).then_some(self)
    }
}

impl Metadata {
    fn read(value: &str) -> Option<Self> {
        const SPELLINGS: [(&str, Metadata); 7] = [
            ("none", Metadata::None),
            ("nometadata", Metadata::None),
            ("minimal", Metadata::Minimal),
            ("minimalmetadata", Metadata::Minimal),
            ("full", Metadata::Full),
            ("fullmetadata", Metadata::Full),
            ("verbose", Metadata::Verbose),
        ];
        let found = SPELLINGS.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(value));
        found.map(|(_, metadata)| *metadata)
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/json;odata.metadata=none",
            Self::Minimal => "application/json;odata.metadata=minimal",
            Self::Full => "application/json;odata.metadata=full",
            Self::Verbose => "application/json;odata=verbose",
        }
    }
}

/// The canonical form, as the key holds it and the origin is sent it.
impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.metadata.media_type())?;
        if self.ieee754_compatible {
            f.write_str(";IEEE754Compatible=true")?;
        }
        if self.streaming {
            f.write_str(";odata.streaming=true")?;
        }
        Ok(())
    }
}

/// Whether a `Content-Type` is JSON as `application/json` alone says it. Only the parameters that
/// say nothing about how a request's body is read may be there.
pub(super) fn is_plain_json(content_type: &str) -> bool {
    let mut pieces = content_type.split(';').map(str::trim);
    let is_json = pieces.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    is_json
        && pieces.filter(|piece| !piece.is_empty()).all(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            Accepted::default()
                .with(name.trim(), unquote(value.trim()))
                .is_some_and(|with| !with.ieee754_compatible && with.metadata != Metadata::Verbose)
        })
}

fn is_utf8(value: &str) -> bool {
    ["utf-8", "utf8"].iter().any(|name| name.eq_ignore_ascii_case(value))
}

fn read_switch(value: &str) -> Option<bool> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Some(true),
        _ if value.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A quality in thousandths (RFC 9110 §12.4.2).
fn read_quality(value: &str) -> Option<u16> {
    let quality: f32 = value.parse().ok()?;
    (0.0..=1.0).contains(&quality).then_some((quality * 1000.0) as u16)
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(field: &str) -> Option<String> {
        Accepted::read(Some(field)).map(|accepted| accepted.to_string())
    }

    #[test]
    fn one_wish_has_one_form() {
        let minimal = Accepted::read(None).unwrap().to_string();
        for field in [
            "",
            "*/*",
            "application/json",
            "Application/JSON; odata.metadata=minimal",
            "application/json;odata=minimalmetadata;charset=utf-8",
            "application/json; metadata=\"minimal\"; IEEE754Compatible=false",
            "application/json, text/plain, */*",
            "text/html, application/xhtml+xml, */*;q=0.8",
        ] {
            assert_eq!(canonical(field).unwrap(), minimal, "{field}");
        }
        for field in ["application/json;odata.metadata=none", "application/json; odata=nometadata"]
        {
            assert_eq!(canonical(field).unwrap(), "application/json;odata.metadata=none");
        }
    }

    #[test]
    fn different_wishes_differ() {
        let fields = [
            "application/json",
            "application/json;odata.metadata=none",
            "application/json;odata.metadata=full",
            "application/json;odata=verbose",
            "application/json;IEEE754Compatible=true",
            "application/json;odata.streaming=true",
        ];
        let forms: std::collections::BTreeSet<_> = fields.map(|f| canonical(f).unwrap()).into();
        assert_eq!(forms.len(), fields.len());
    }

    #[test]
    fn the_range_that_speaks_of_json_itself_counts() {
        let none = "application/json;odata.metadata=none";
        assert_eq!(canonical("*/*, application/json;odata.metadata=none;q=0.5").unwrap(), none);
        assert_eq!(canonical("application/json;q=0, */*"), None);
    }

    #[test]
    fn what_is_not_json_or_not_known_is_refused() {
        for field in [
            "application/xml",
            "application/atom+xml, text/html",
            "application/json;odata.metadata=most",
            "application/json;profile=x",
            "application/json;charset=utf-16",
            "application/json;q=2",
        ] {
            assert_eq!(canonical(field), None, "{field}");
        }
    }

    #[test]
    fn a_body_is_read_only_as_plain_json() {
        assert!(is_plain_json("application/json"));
        assert!(is_plain_json("application/json; charset=UTF-8; odata.metadata=minimal"));
        assert!(!is_plain_json("application/json;IEEE754Compatible=true"));
        assert!(!is_plain_json("text/plain"));
        assert!(!is_plain_json("application/json;charset=latin1"));
    }
}
