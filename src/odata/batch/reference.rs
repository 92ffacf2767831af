//! Parts that name each other: `$id` in a URL, a field or a body, and `dependsOn` (OData 4.01
//! Protocol §11.7.3–§11.7.6, JSON Format §19).
//!
//! A part that names another goes to the origin, and the one that it names with it: the origin
//! would not find it otherwise. Ids are looked for in the text of the part, whatever stands around
//! them: `$top` beside a part with the id `top` costs an answer from store and nothing else.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use memchr::{memchr_iter, memmem};
use percent_encoding::percent_decode;

use super::{BatchError, Item};

/// An item that was read alone.
pub(super) struct Draft {
    pub(super) item: Item,
    /// The ids of requests in it, its own too.
    pub(super) ids: Vec<String>,
    /// Its atomicity group.
    pub(super) group: Option<String>,
    /// What it depends on by its own word.
    pub(super) depends_on: Vec<String>,
}

/// Leaves the items that name each other to the origin.
///
/// # Errors
/// When an id is no identifier or stands for two things.
pub(super) fn settle(drafts: Vec<Draft>) -> Result<Vec<Item>, BatchError> {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (owner, draft) in drafts.iter().enumerate() {
        for id in &draft.ids {
            if !is_identifier(id) {
                return Err(BatchError::Id);
            }
            if owners.insert(id, owner).is_some() {
                return Err(BatchError::DuplicateId);
            }
        }
    }
    if drafts.iter().filter_map(|draft| draft.group.as_deref()).any(|id| owners.contains_key(id)) {
        return Err(BatchError::DuplicateId);
    }
    let mut tied: HashSet<usize> = HashSet::new();
    for (i, draft) in drafts.iter().enumerate() {
        let text = unescaped(&draft.item.raw);
        let decoded = Cow::from(percent_decode(&text));
        let named = draft.depends_on.iter().map(String::as_str);
        let named = named.chain(references(&text)).chain(references(&decoded));
        for owner in named.filter_map(|id| owners.get(id)) {
            if *owner != i {
                tied.extend([i, *owner]);
            }
        }
    }
    let mut items: Vec<Item> = drafts.into_iter().map(|draft| draft.item).collect();
    for (i, item) in items.iter_mut().enumerate() {
        if tied.contains(&i) {
            item.request = None;
        }
    }
    Ok(items)
}

/// Whether the text is a `request-id` of OData's grammar.
fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_unreserved)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What follows a `$` in a text and may be an id.
fn references(text: &[u8]) -> impl Iterator<Item = &str> {
    memchr_iter(b'$', text).filter_map(|at| {
        let rest = text.get(at + 1..)?;
        let len = rest.iter().take_while(|byte| is_unreserved(**byte)).count();
        std::str::from_utf8(rest.get(..len)?).ok()
    })
}

/// The text with the ASCII characters in it that JSON may write as `\u0024`.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    let mut unescaped = Vec::new();
    let mut copied = 0;
    for at in memmem::find_iter(text, b"\\u00") {
        let digits = text.get(at + 4..at + 6).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = byte.filter(u8::is_ascii_graphic) {
            unescaped.extend_from_slice(text.get(copied..at).unwrap_or_default());
            unescaped.push(byte);
            copied = at + 6;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    unescaped.extend_from_slice(text.get(copied..).unwrap_or_default());
    Cow::Owned(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::odata::batch::PartRequest;
    use bytes::Bytes;

    #[test]
    fn a_reference_is_found_wherever_and_however_it_is_written() {
        for (text, expected) in [
            ("POST $1/Orders HTTP/1.1", true),
            ("GET Products?$filter=a eq $1/Building HTTP/1.1", true),
            ("If-Match: $1", true),
            ("{\"a\":\"$1\"}", true),
            ("$$1", true),
            ("%241/Orders", true),
            ("%24%31/Orders", true),
            ("\"\\u00241\"", true),
            ("\"\\u0024\\u0031\"", true),
            ("\"\\u002524\\u0031\"", true),
            ("$10", false),
            ("$top=1", false),
            ("1", false),
            ("$", false),
        ] {
            let draft = |text: &'static str, id: &str| Draft {
                item: Item {
                    raw: Bytes::from_static(text.as_bytes()),
                    id: None,
                    request: Some(PartRequest {
                        method: http::Method::GET,
                        target: http::uri::PathAndQuery::from_static("/a"),
                        headers: http::HeaderMap::new(),
                        body: Bytes::new(),
                    }),
                },
                ids: vec![id.to_owned()],
                group: None,
                depends_on: Vec::new(),
            };
            let items = settle(vec![draft("", "1"), draft(text, "2"), draft("", "3")]).unwrap();
            let tied: Vec<bool> = items.iter().map(|item| item.request.is_none()).collect();
            assert_eq!(tied, [expected, expected, false], "{text}");
        }
    }

    #[test]
    fn ids_are_identifiers_and_stand_for_one_thing() {
        let draft = |ids: &[&str], group: Option<&str>| Draft {
            item: Item { raw: Bytes::new(), id: None, request: None },
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            group: group.map(str::to_owned),
            depends_on: Vec::new(),
        };
        let settled = |drafts: Vec<Draft>| settle(drafts).err();
        assert_eq!(settled(vec![draft(&["1"], None), draft(&["a-~._"], None)]), None);
        assert_eq!(
            settled(vec![draft(&["1"], None), draft(&["1"], None)]),
            Some(BatchError::DuplicateId)
        );
        assert_eq!(settled(vec![draft(&["1", "1"], None)]), Some(BatchError::DuplicateId));
        assert_eq!(settled(vec![draft(&["1"], Some("1"))]), Some(BatchError::DuplicateId));
        for id in ["", "a b", "<1>", "\u{e4}"] {
            assert_eq!(settled(vec![draft(&[id], None)]), Some(BatchError::Id), "{id}");
        }
    }
}
