//! Directives for this cache and its kind alone: `CDN-Cache-Control` and other targeted fields
//! (RFC 9213).
//!
//! They look like `Cache-Control` and are not read like it. A targeted field is a Dictionary of
//! Structured Fields (RFC 9213 §2.1), which are strict: names in lower case, whole numbers, and one
//! mistake anywhere makes the field as if it were not there. Parsed as RFC 8941 says, which is what
//! RFC 9213 is written on.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser, Version};

/// One member of a targeted field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value<'d> {
    /// No value of its own, which is the Boolean true.
    True,
    /// An Integer.
    Integer(i64),
    /// A String or a Token.
    Text(&'d str),
    /// Something that no directive has for a value.
    Other,
}

/// The members of the first field in the order of `targets` that is present, valid and not empty;
/// `Cache-Control` and `Expires` are then to be ignored (RFC 9213 §2.2).
pub fn governing(headers: &HeaderMap, targets: &[HeaderName]) -> Option<Dictionary> {
    targets.iter().filter_map(|target| dictionary(headers, target)).next()
}

fn dictionary(headers: &HeaderMap, field: &HeaderName) -> Option<Dictionary> {
    // All lines are one value (RFC 8941 §4.2); an empty one adds nothing to a list.
    let mut value = Vec::new();
    for line in headers.get_all(field).into_iter().map(|line| line.as_bytes().trim_ascii()) {
        if !value.is_empty() && !line.is_empty() {
            value.extend_from_slice(b", ");
        }
        value.extend_from_slice(line);
    }
    let parser = Parser::new(&value).with_version(Version::Rfc8941);
    parser.parse::<Dictionary>().ok().filter(|members| !members.is_empty())
}

/// The members with their values. A member that says false (`no-store=?0`) says that the directive
/// is not there. Parameters are ignored (RFC 9213 §2.1).
pub fn members(dictionary: &Dictionary) -> impl Iterator<Item = (&str, Value<'_>)> {
    dictionary.iter().filter_map(|(name, entry)| {
        let value = match entry {
            ListEntry::InnerList(_) => Value::Other,
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::Boolean(false) => return None,
                BareItem::Boolean(true) => Value::True,
                BareItem::Integer(number) => Value::Integer((*number).into()),
                BareItem::String(text) => Value::Text(text.as_str()),
                BareItem::Token(token) => Value::Text(token.as_str()),
                _ => Value::Other,
            },
        };
        Some((name.as_str(), value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const OURS: HeaderName = HeaderName::from_static("csu-edge-cache-control");
    const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

    fn governs(fields: &[(HeaderName, &str)]) -> Option<String> {
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let dictionary = governing(&headers, &[OURS, CDN])?;
        Some(members(&dictionary).map(|(name, value)| format!("{name}={value:?} ")).collect())
    }

    #[test]
    fn the_first_field_of_the_list_that_is_present_valid_and_not_empty_governs() {
        let cdn = (CDN, "max-age=60");
        let of_cdn = Some("max-age=Integer(60) ".to_owned());
        let ours = governs(&[cdn.clone(), (OURS, "no-store")]);
        assert_eq!(ours.as_deref(), Some("no-store=True "));
        for ignored in ["", " ", "max-age=", "max-age=10, &&&", "Max-Age=10", "max-age =10", "a,"] {
            assert_eq!(governs(&[(OURS, ignored), cdn.clone()]), of_cdn, "{ignored:?}");
            assert_eq!(governs(&[(OURS, ignored)]), None, "{ignored:?}");
        }
        assert_eq!(governs(&[]), None);
        let elsewhere = HeaderName::from_static("example-cache-control");
        assert_eq!(governs(&[(elsewhere, "no-store")]), None);
    }

    #[test]
    fn a_value_has_its_type_and_its_parameters_are_ignored() {
        for (field, expected) in [
            ("max-age=60", "max-age=Integer(60) "),
            ("max-age=60;a=b", "max-age=Integer(60) "),
            ("max-age=-1", "max-age=Integer(-1) "),
            ("max-age=60.0", "max-age=Other "),
            ("max-age=\"60\"", "max-age=Text(\"60\") "),
            ("no-store", "no-store=True "),
            ("no-store=?1", "no-store=True "),
            ("no-store=?0", ""),
            ("no-cache=\"a, b\"", "no-cache=Text(\"a, b\") "),
            ("private=a", "private=Text(\"a\") "),
            ("private=(a b)", "private=Other "),
            ("private=:YQ==:", "private=Other "),
            // RFC 8941 §3.2: the last of several with the same name.
            ("max-age=1, max-age=2", "max-age=Integer(2) "),
        ] {
            assert_eq!(governs(&[(CDN, field)]).as_deref(), Some(expected), "{field}");
        }
        // RFC 8941 has no dates.
        assert_eq!(governs(&[(CDN, "a=@1")]), None);
    }

    #[test]
    fn several_lines_are_one_dictionary() {
        let lines = [(CDN, "max-age=60"), (CDN, ""), (CDN, "public, max-age=5")];
        assert_eq!(governs(&lines).as_deref(), Some("max-age=Integer(5) public=True "));
        assert_eq!(governs(&[(CDN, "max-age=60"), (CDN, "&")]), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_dictionary_or_none(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            near in "[a-z=\", ;?()1.-]{0,40}",
        ) {
            for value in [bytes.as_slice(), near.as_bytes()] {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    let headers: HeaderMap = [(CDN, value)].into_iter().collect();
                    if let Some(found) = governing(&headers, &[CDN]) {
                        prop_assert!(members(&found).count() <= found.len());
                    }
                }
            }
        }
    }
}
