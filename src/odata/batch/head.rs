//! What the head of a batch request says of the batch as a whole (OData 4.01 Protocol §8.2, §11.7.1).

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_ENCODING, HeaderName};

use super::media_type::{split_unquoted, unquote};
use super::{BatchError, Form};

pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The field and its name in OData 4.0.
const ISOLATION: [&str; 2] = ["isolation", "odata-isolation"];

/// What is preferred of the whole batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Preferences {
    /// `continue-on-error` or `odata.continue-on-error`, where it is said.
    pub continue_on_error: Option<bool>,
    /// `respond-async`.
    pub respond_async: bool,
}

impl Preferences {
    /// Reads them. Of a preference that is given twice, the first counts (RFC 7240 §2); the name
    /// without `odata.` counts more than the one with it.
    ///
    /// # Errors
    /// When quoted strings have no end, or a value is neither true nor false.
    pub fn read(headers: &HeaderMap) -> Result<Self, BatchError> {
        let mut continue_on_error = [None, None];
        let mut respond_async = false;
        for preference in preferences(headers)? {
            let truth = || match preference.value.as_deref() {
                None | Some("" | "true") => Ok(true),
                Some("false") => Ok(false),
                Some(_) => Err(BatchError::Prefer),
            };
            let [plain, prefixed] = &mut continue_on_error;
            match preference.name.as_str() {
                "continue-on-error" if plain.is_none() => *plain = Some(truth()?),
                "odata.continue-on-error" if prefixed.is_none() => *prefixed = Some(truth()?),
                "respond-async" => respond_async = true,
                _ => {}
            }
        }
        let [plain, prefixed] = continue_on_error;
        Ok(Self { continue_on_error: plain.or(prefixed), respond_async })
    }

    /// Whether what follows a request that failed is still worked off: what each form does where
    /// nothing is said differs (Protocol §11.7.7.5, JSON Format §19).
    pub fn continues(self, form: &Form) -> bool {
        self.continue_on_error.unwrap_or(*form == Form::Json)
    }
}

/// Whether a batch with this head may be taken apart, and what it prefers.
///
/// # Errors
/// When it is compressed, asks for isolation, for an asynchronous answer or for an answer in another
/// form, or its preferences cannot be read.
pub fn check_head(form: &Form, headers: &HeaderMap) -> Result<Preferences, BatchError> {
    let is_plain = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_plain) {
        return Err(BatchError::ContentEncoding);
    }
    if ISOLATION.iter().any(|name| headers.contains_key(*name)) {
        return Err(BatchError::Isolation);
    }
    if !is_asked_for(form, headers) {
        return Err(BatchError::Accept);
    }
    let preferences = Preferences::read(headers)?;
    if preferences.respond_async { Err(BatchError::RespondAsync) } else { Ok(preferences) }
}

/// Whether an answer in the form of the batch is what `Accept` asks for: it names no other.
fn is_asked_for(form: &Form, headers: &HeaderMap) -> bool {
    let accepted: &[&str] = match form {
        Form::Multipart { .. } => &["*/*", "multipart/*", "multipart/mixed"],
        Form::Json => &["*/*", "application/*", "application/json"],
    };
    headers.get_all(ACCEPT).iter().all(|line| {
        let ranges = line.to_str().ok().and_then(|line| split_unquoted(line, ','));
        ranges.is_some_and(|ranges| {
            ranges.iter().all(|range| {
                let range = range.split(';').next().unwrap_or_default().trim();
                range.is_empty() || accepted.iter().any(|known| known.eq_ignore_ascii_case(range))
            })
        })
    })
}

/// One preference of `Prefer`.
pub(super) struct Preference<'a> {
    /// Its name, in lower case.
    pub(super) name: String,
    pub(super) value: Option<String>,
    /// All of it.
    pub(super) text: &'a str,
}

/// The preferences of all lines, in order.
///
/// # Errors
/// When they cannot be told apart.
pub(super) fn preferences(headers: &HeaderMap) -> Result<Vec<Preference<'_>>, BatchError> {
    let lines = headers.get_all(PREFER).iter();
    let texts = lines.map(|line| line.to_str().ok().and_then(|line| split_unquoted(line, ',')));
    let texts: Vec<Vec<&str>> = texts.collect::<Option<_>>().ok_or(BatchError::Prefer)?;
    let texts = texts.into_iter().flatten().map(str::trim).filter(|text| !text.is_empty());
    texts.map(Preference::read).collect::<Option<_>>().ok_or(BatchError::Prefer)
}

impl<'a> Preference<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let pieces = split_unquoted(text, ';')?;
        let (name, value) = match pieces.first()?.split_once('=') {
            Some((name, value)) => (name, value.trim()),
            None => (*pieces.first()?, ""),
        };
        let value = if value.is_empty() { None } else { Some(unquote(value)?) };
        Some(Self { name: name.trim().to_ascii_lowercase(), value, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let field =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().map(field).collect()
    }

    fn multipart() -> Form {
        Form::read(&HeaderValue::from_static("multipart/mixed; boundary=b")).unwrap()
    }

    #[test]
    fn continue_on_error_has_two_names_and_two_values() {
        for (prefer, expected) in [
            ("", None),
            ("return=minimal", None),
            ("continue-on-error", Some(true)),
            ("odata.continue-on-error", Some(true)),
            ("Continue-On-Error=true; x=y", Some(true)),
            ("continue-on-error=\"true\"", Some(true)),
            ("continue-on-error=", Some(true)),
            ("odata.continue-on-error=false", Some(false)),
            ("wait=5, continue-on-error = false", Some(false)),
            ("continue-on-error=false, continue-on-error", Some(false)),
            ("odata.continue-on-error, continue-on-error=false", Some(false)),
            ("x=\"a, continue-on-error\"", None),
        ] {
            let read = Preferences::read(&fields(&[("prefer", prefer)])).unwrap();
            assert_eq!(read.continue_on_error, expected, "{prefer}");
            assert_eq!(read.continues(&multipart()), expected.unwrap_or(false), "{prefer}");
            assert_eq!(read.continues(&Form::Json), expected.unwrap_or(true), "{prefer}");
        }
        let two_lines = fields(&[("prefer", "a"), ("prefer", "respond-async, wait=10")]);
        assert!(Preferences::read(&two_lines).unwrap().respond_async);
        for prefer in ["a=\"", "continue-on-error=maybe", "a=b c"] {
            let read = Preferences::read(&fields(&[("prefer", prefer)]));
            assert_eq!(read, Err(BatchError::Prefer), "{prefer}");
        }
    }

    #[test]
    fn a_batch_that_asks_for_more_than_its_parts_is_not_taken_apart() {
        use BatchError::{Accept, ContentEncoding, Isolation, Prefer, RespondAsync};
        let json = Form::Json;
        for (form, lines, expected) in [
            (multipart(), &[][..], None),
            (multipart(), &[("accept", "multipart/mixed")], None),
            (multipart(), &[("accept", "*/*")], None),
            (multipart(), &[("accept", "multipart/mixed;q=1, application/json")], Some(Accept)),
            (json.clone(), &[("accept", "application/json;odata.metadata=none")], None),
            (json.clone(), &[("accept", "application/json, text/plain, */*")], Some(Accept)),
            (json.clone(), &[("accept", "multipart/mixed")], Some(Accept)),
            (json.clone(), &[("content-encoding", "identity")], None),
            (json.clone(), &[("content-encoding", "gzip")], Some(ContentEncoding)),
            (json.clone(), &[("isolation", "snapshot")], Some(Isolation)),
            (json.clone(), &[("odata-isolation", "snapshot")], Some(Isolation)),
            (json.clone(), &[("prefer", "respond-async")], Some(RespondAsync)),
            (json, &[("prefer", "x=\"")], Some(Prefer)),
        ] {
            assert_eq!(check_head(&form, &fields(lines)).err(), expected, "{lines:?}");
        }
    }
}
