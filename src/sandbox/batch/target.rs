//! Where a request inside a batch is sent: the three forms of its URL, and references (OData 4.01
//! Part 1 §11.7.4 and §11.7.7.1).

/// Not references, whatever the requests are called (§11.7.4).
const SYSTEM_RESOURCES: [&str; 7] =
    ["$all", "$batch", "$crossjoin", "$entity", "$id", "$metadata", "$root"];

/// A URL as a part writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target<'u> {
    Absolute(&'u str),
    Path(&'u str),
    /// To the folder of the batch's own URL, which is the service root.
    Relative(&'u str),
    /// `$1/Orders`: what the request `1` answered, and the rest.
    Reference {
        id: &'u str,
        rest: &'u str,
    },
}

impl<'u> Target<'u> {
    /// `None` where a colon makes a relative URL look like an absolute one.
    pub(super) fn parse(url: &'u str) -> Option<Self> {
        let first = url.split(['/', '?']).next().unwrap_or_default();
        match first.strip_prefix('$') {
            Some(id) if !SYSTEM_RESOURCES.contains(&first) => {
                return Some(Self::Reference { id, rest: url.get(first.len()..)? });
            }
            _ => {}
        }
        if url.starts_with('/') {
            return Some(Self::Path(url));
        }
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http" | "https") => Some(Self::Absolute(url)),
            _ if first.contains(':') => None,
            _ => Some(Self::Relative(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_url_are_told_apart() {
        for (url, target) in [
            ("HTTPS://a:1/Commerce/Carts", Some(Target::Absolute("HTTPS://a:1/Commerce/Carts"))),
            ("/Commerce/Carts('a:b')", Some(Target::Path("/Commerce/Carts('a:b')"))),
            ("Carts('a')?x=http://b", Some(Target::Relative("Carts('a')?x=http://b"))),
            ("Carts/x?$filter=a:b", Some(Target::Relative("Carts/x?$filter=a:b"))),
            ("$metadata", Some(Target::Relative("$metadata"))),
            ("$batch", Some(Target::Relative("$batch"))),
            ("$1", Some(Target::Reference { id: "1", rest: "" })),
            ("$1?$top=1", Some(Target::Reference { id: "1", rest: "?$top=1" })),
            ("$a.b/Checkout", Some(Target::Reference { id: "a.b", rest: "/Checkout" })),
            ("", Some(Target::Relative(""))),
            ("Carts('a:b')", None),
            ("ftp://a/b", None),
        ] {
            assert_eq!(Target::parse(url), target, "{url}");
        }
    }
}
