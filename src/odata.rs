//! What a question says, whichever of its spellings a client uses.
//!
//! Everything here is pure: text in, one canonical form out, or the reason why there is none. The
//! cache key *and* the request that is sent to the origin are written from the same canonical
//! form, so that no spelling can store an answer under a key that another spelling asks for
//! while the origin was asked something else. What cannot be read with certainty is refused, and
//! a refused request passes.
//!
//! Texts of URLs are held in one canonical percent-encoding (`encoding.rs`), in which different
//! texts stay different and every text can be sent as it stands.

pub mod batch;
pub mod body;
mod encoding;
mod literal;
mod query_options;
mod resource_path;
mod service_root;

pub use literal::Literal;
pub use query_options::QueryOptions;
pub use resource_path::{Arguments, ResourcePath};
pub use service_root::{ServiceRoot, ServiceRootError};

/// Why a URL has no canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum UrlError {
    /// A path segment that is empty, `.` or `..`.
    #[error("a path segment is empty, `.` or `..`")]
    Segment,
    /// More segments than `EntitySet(key)/Operation(parameters)` has, or none.
    #[error("the path is not of the form `EntitySet(key)/Operation(parameters)`")]
    Depth,
    /// An encoded slash, or a backslash.
    #[error("a path segment holds a slash or a backslash")]
    EncodedSlash,
    /// NUL or another control character.
    #[error("the URL holds a control character")]
    ControlCharacter,
    /// A `%` without two hexadecimal digits after it.
    #[error("the URL holds a `%` that encodes nothing")]
    PercentEncoding,
    /// Bytes that are not UTF-8 once decoded.
    #[error("the URL is not UTF-8")]
    Utf8,
    /// A name that is no identifier.
    #[error("a name is no identifier")]
    Name,
    /// Parentheses, commas or equals signs where none belong.
    #[error("the parentheses of a segment cannot be read")]
    Parentheses,
    /// A value that is empty or whose quotes do not match.
    #[error("a value is empty, or its quotes do not match")]
    Literal,
    /// A parameter or a part of a key that is given twice.
    #[error("a parameter is given twice")]
    DuplicateParameter,
    /// A query option that is given twice.
    #[error("a query option is given twice")]
    DuplicateOption,
    /// A parameter alias that is not given exactly one simple value, is used outside of the path,
    /// or is not used at all.
    #[error("a parameter alias does not stand for one simple value of the path")]
    Alias,
}

impl UrlError {
    /// The reason as it stands in `Cache-Status` and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Segment => "url-segment",
            Self::Depth => "url-depth",
            Self::EncodedSlash => "url-encoded-slash",
            Self::ControlCharacter => "url-control-character",
            Self::PercentEncoding => "url-percent-encoding",
            Self::Utf8 => "url-utf8",
            Self::Name => "url-name",
            Self::Parentheses => "url-parentheses",
            Self::Literal => "url-literal",
            Self::DuplicateParameter => "url-duplicate-parameter",
            Self::DuplicateOption => "url-duplicate-option",
            Self::Alias => "url-alias",
        }
    }
}

/// Whether the text is an OData simple identifier. Retail Server's are ASCII.
pub fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
