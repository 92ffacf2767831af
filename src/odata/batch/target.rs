//! What a part's URL names (OData 4.01 Protocol §11.7.7.1, JSON Format §19).

use http::uri::PathAndQuery;

use crate::odata::ServiceRoot;

/// Where a batch was sent to: what the URLs in it are relative to.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The service root, whose path is also the client's.
    pub root: &'a ServiceRoot,
    /// Host and port that the batch was sent to, as the client named them.
    pub authority: Option<&'a str>,
}

impl Base<'_> {
    fn is_named(&self, authority: &str) -> bool {
        self.authority.is_some_and(|ours| ours.eq_ignore_ascii_case(authority))
    }
}

/// The absolute path and query of a part's URL: an absolute URI, an absolute path (with a `Host`
/// field beside it, maybe), or a path relative to the service root.
///
/// None for what is not below the service root of this host, what begins with `$` (a reference to
/// another part, or one of the service's own resources), and what has to be guessed.
pub(super) fn resolve(url: &str, host: Option<&str>, base: Base<'_>) -> Option<PathAndQuery> {
    let names_another = host.is_some_and(|host| !base.is_named(host));
    if names_another || url.contains('#') {
        return None;
    }
    let absolute = match without_scheme(url) {
        Some(rest) => {
            let (authority, path) = rest.split_at_checked(rest.find(['/', '?'])?)?;
            base.is_named(authority).then_some(path)?.to_owned()
        }
        None if url.starts_with('/') => url.to_owned(),
        None if is_relative(url) => format!("{}/{url}", base.root.path()),
        None => return None,
    };
    let target = PathAndQuery::try_from(absolute.as_str()).ok()?;
    let below = base.root.relative(target.path())?;
    let is_reference = below.starts_with('$') || below.starts_with("%24");
    let is_plain = !below.is_empty() && !is_reference && absolute.starts_with('/');
    let climbs = below.split('/').any(|segment| matches!(segment, "." | ".."));
    (is_plain && !climbs && target.as_str() == absolute).then_some(target)
}

fn without_scheme(url: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let (start, rest) = url.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// Colons of a first segment have to be encoded: else it is a scheme (RFC 3986 §4.2).
fn is_relative(url: &str) -> bool {
    let first = url.split(['/', '?']).next().unwrap_or_default();
    !first.is_empty() && !first.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(url: &str, host: Option<&str>) -> Option<String> {
        let root = ServiceRoot::new(&"https://origin.test/Commerce".parse().unwrap()).unwrap();
        let base = Base { root: &root, authority: Some("shop.test:8080") };
        resolve(url, host, base).map(|target| target.to_string())
    }

    #[test]
    fn each_of_the_three_forms_names_the_same() {
        for (url, host) in [
            ("http://shop.test:8080/Commerce/Products(1)?x=a:b", None),
            ("HTTPS://SHOP.test:8080/Commerce/Products(1)?x=a:b", Some("shop.test:8080")),
            ("/Commerce/Products(1)?x=a:b", None),
            ("/Commerce/Products(1)?x=a:b", Some("Shop.Test:8080")),
            ("Products(1)?x=a:b", None),
        ] {
            let expected = Some("/Commerce/Products(1)?x=a:b".to_owned());
            assert_eq!(resolved(url, host), expected, "{url}");
        }
        assert_eq!(resolved("P?q=http://x", None), Some("/Commerce/P?q=http://x".to_owned()));
    }

    #[test]
    fn what_names_another_or_has_to_be_guessed_is_left_alone() {
        for url in [
            "",
            "?x=1",
            "/",
            "/Commerce",
            "/Commerce/",
            "/Other/Products",
            "//shop.test:8080/Commerce/Products",
            "http://shop.test/Commerce/Products",
            "http://other.test:8080/Commerce/Products",
            "http://user@shop.test:8080/Commerce/Products",
            "http://shop.test:8080?x=/Commerce/Products",
            "ftp://shop.test:8080/Commerce/Products",
            "Products:x",
            "$1/Orders",
            "%241/Orders",
            "$metadata",
            "/Commerce/$1/Orders",
            "/Commerce/$batch",
            "../Products",
            "./Products",
            "/Commerce/../Products",
            "/Commerce/Products/..",
            "Products#x",
            "Products?$filter=a eq 1",
        ] {
            assert_eq!(resolved(url, None), None, "{url}");
        }
        assert_eq!(resolved("/Commerce/Products", Some("other.test")), None);
        assert_eq!(resolved("Products", Some("shop.test")), None);
    }

    #[test]
    fn without_a_host_of_ours_no_host_is_ours() {
        let root = ServiceRoot::new(&"https://origin.test".parse().unwrap()).unwrap();
        let base = Base { root: &root, authority: None };
        assert_eq!(resolve("https://origin.test/Products", None, base), None);
        assert_eq!(resolve("Products", None, base).unwrap().as_str(), "/Products");
    }
}
