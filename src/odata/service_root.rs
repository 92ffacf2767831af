//! Where the origin's OData service begins.

use std::fmt;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

use crate::written::written;

/// A service root, such as `https://scu1234-rs.su.retail.dynamics.com/Commerce`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceRoot {
    scheme: Scheme,
    authority: Authority,
    /// Empty, or beginning with a slash and not ending in one.
    path: Box<str>,
}

/// Why a URI is no service root.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a service root is an absolute http or https URI without a query")]
pub struct ServiceRootError;

impl ServiceRoot {
    /// Takes the configured URI apart.
    ///
    /// # Errors
    /// When it lacks a scheme or an authority, is not HTTP, or has a query.
    pub fn new(uri: &Uri) -> Result<Self, ServiceRootError> {
        let parts = uri.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(ServiceRootError);
        };
        if uri.query().is_some() || (scheme != Scheme::HTTP && scheme != Scheme::HTTPS) {
            return Err(ServiceRootError);
        }
        Ok(Self { scheme, authority, path: uri.path().trim_end_matches('/').into() })
    }

    /// `http` or `https`.
    pub const fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host and port.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The path: empty, or beginning with a slash and not ending in one.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What follows the service root's path and a slash; empty for the root itself. `None` when
    /// the path lies elsewhere. Clients differ in the case of the root, so it does not count.
    pub fn relative<'a>(&self, path: &'a str) -> Option<&'a str> {
        let (root, rest) = path.split_at_checked(self.path.len())?;
        if !root.eq_ignore_ascii_case(&self.path) {
            return None;
        }
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// The request target of what lies below the root. `None` when it is too long to be one.
    pub(crate) fn target(&self, below: impl fmt::Display) -> Option<PathAndQuery> {
        let target = format_args!("{}/{below}", self.path);
        written(target, |target| PathAndQuery::try_from(target).ok())
    }
}

impl fmt::Display for ServiceRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(uri: &str) -> ServiceRoot {
        ServiceRoot::new(&uri.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_root_is_found_in_any_case_and_at_a_segment_boundary_only() {
        let root = root("https://scu1234-rs.su.retail.dynamics.com/Commerce/");
        assert_eq!(root.relative("/Commerce/Products"), Some("Products"));
        assert_eq!(root.relative("/commerce/Products"), Some("Products"));
        assert_eq!(root.relative("/COMMERCE"), Some(""));
        assert_eq!(root.relative("/Commerce/"), Some(""));
        assert_eq!(root.relative("/Commerce//Products"), Some("/Products"));
        assert_eq!(root.relative("/CommerceX/Products"), None);
        assert_eq!(root.relative("/Other/Products"), None);
        assert_eq!(root.relative("/"), None);
        assert_eq!(root.to_string(), "https://scu1234-rs.su.retail.dynamics.com/Commerce");
    }

    #[test]
    fn a_root_may_be_the_whole_host() {
        let root = root("http://127.0.0.1:8080/");
        assert_eq!(root.path(), "");
        assert_eq!(root.relative("/Products/GetByIds"), Some("Products/GetByIds"));
        assert_eq!(root.target("Products").unwrap().as_str(), "/Products");
    }

    #[test]
    fn what_is_not_absolute_is_no_root() {
        for text in ["/Commerce", "ftp://host/Commerce", "https://host/Commerce?x=1"] {
            assert_eq!(ServiceRoot::new(&text.parse().unwrap()), Err(ServiceRootError), "{text}");
        }
    }
}
