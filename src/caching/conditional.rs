//! A client's own conditions on an answer that we hold (RFC 9110 §13).
//!
//! Only `If-None-Match` is looked at: the entity tag that this cache gives is the only validator
//! that a client can have from it. It is weak, because one tag stands for the plain body and for
//! its compressed forms, and `If-None-Match` compares weakly (RFC 9110 §13.1.2).

use http::HeaderMap;
use http::header::IF_NONE_MATCH;

/// Whether `If-None-Match` says that the client already has the answer with this entity tag, so
/// that 304 is due.
pub fn client_has(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| matches_any(list, etag))
}

/// Entity tags may hold commas, so the list is walked by its quotes (RFC 9110 §8.8.3).
fn matches_any(list: &str, etag: &str) -> bool {
    let mut rest = list.trim();
    if rest == "*" {
        return true;
    }
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let wanted = opaque(etag);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let unprefixed = rest.strip_prefix("W/").unwrap_or(rest);
        let Some(after_quote) = unprefixed.strip_prefix('"') else { return false };
        let Some((inner, after)) = after_quote.split_once('"') else { return false };
        if wanted.strip_prefix('"').and_then(|w| w.strip_suffix('"')) == Some(inner) {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn if_none_match_compares_weakly_and_walks_lists() {
        for (list, expected) in [
            (r#"W/"a,b""#, true),
            (r#""a,b""#, true),
            (r#""x", W/"a,b""#, true),
            (r#""x" , "y""#, false),
            ("*", true),
            ("a,b", false),
            (r#""a"#, false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(list).unwrap());
            assert_eq!(client_has(&headers, r#"W/"a,b""#), expected, "{list}");
        }
    }

    #[test]
    fn a_list_over_several_lines_is_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("\"x\""));
        headers.append(IF_NONE_MATCH, HeaderValue::from_static("W/\"y\""));
        assert!(client_has(&headers, "W/\"y\""));
    }
}
