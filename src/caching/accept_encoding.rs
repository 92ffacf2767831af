//! Which of the forms that we hold a client prefers (RFC 9110 §12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// A content coding that stored bodies are kept in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// The plain body.
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// Brotli (RFC 7932).
    Brotli,
}

impl Coding {
    /// The coding as it stands in `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }
}

/// The codings that the client accepts, best first; Brotli before gzip where it has no preference.
/// `Identity` is always last: a plain body is better than 406 (RFC 9110 §12.5.3 leaves that to the
/// server).
pub fn preferences(headers: &HeaderMap) -> Preferences {
    let mut weights = Weights::default();
    for value in headers.get_all(ACCEPT_ENCODING) {
        for member in value.to_str().unwrap_or_default().split(',') {
            weights.read(member);
        }
    }
    let brotli = weights.brotli.or(weights.any).unwrap_or(0);
    let gzip = weights.gzip.or(weights.any).unwrap_or(0);
    let identity = weights.identity.unwrap_or(0);
    let worth = |weight: u16| weight > 0 && weight >= identity;
    let (brotli_worth, gzip_worth) = (worth(brotli), worth(gzip));
    Preferences(match (brotli_worth, gzip_worth) {
        (true, true) if brotli >= gzip => [Coding::Brotli, Coding::Gzip],
        (true, true) => [Coding::Gzip, Coding::Brotli],
        (true, false) => [Coding::Brotli, Coding::Identity],
        (false, true) => [Coding::Gzip, Coding::Identity],
        (false, false) => [Coding::Identity, Coding::Identity],
    })
}

/// Acceptable codings in order of preference, before the plain body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preferences([Coding; 2]);

impl Preferences {
    /// The compressed codings to try, best first.
    pub fn compressed(self) -> impl Iterator<Item = Coding> {
        self.0.into_iter().filter(|coding| *coding != Coding::Identity)
    }
}

/// Quality values in thousandths.
#[derive(Default)]
struct Weights {
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Weights {
    fn read(&mut self, member: &str) {
        let mut parts = member.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let weight = match parts.next() {
            None => Some(1_000),
            Some(parameter) => quality(parameter),
        };
        // A member whose weight is no weight is not understood, so it is not asked for.
        let Some(weight) = weight else { return };
        let slot = if coding.eq_ignore_ascii_case("br") {
            &mut self.brotli
        } else if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            &mut self.gzip
        } else if coding.eq_ignore_ascii_case("identity") {
            &mut self.identity
        } else if coding == "*" {
            &mut self.any
        } else {
            return;
        };
        *slot = Some(weight);
    }
}

/// `q=0.5` in thousandths (RFC 9110 §12.4.2: at most three decimals, 0 to 1).
pub(super) fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_best_coding_is_the_one_that_the_client_weighs_most() {
        use Coding::{Brotli, Gzip};
        let cases: [(&str, &[Coding]); 12] = [
            ("", &[]),
            ("gzip", &[Gzip]),
            ("gzip, deflate, br", &[Brotli, Gzip]),
            ("gzip;q=1.0, br;q=0.5", &[Gzip, Brotli]),
            ("br;q=0, gzip", &[Gzip]),
            ("*", &[Brotli, Gzip]),
            ("*;q=0", &[]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0.5, GZIP;q=0.6", &[Gzip]),
            ("gzip;q=1.001", &[]),
            ("gzip;q=0.0001", &[]),
            ("gzip;x=1", &[]),
        ];
        for (field, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_str(field).unwrap());
            assert_eq!(preferences(&headers).compressed().collect::<Vec<_>>(), expected, "{field}");
        }
    }
}
