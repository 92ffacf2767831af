//! Who asks: `Authorization: id_token <jwt>` or `Bearer <jwt>`.
//!
//! The payload's `sub` is the account. No signature is checked: this is a stand-in, and whoever can
//! reach it may be anyone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;

use super::company::Customer;
use super::problem::Problem;
use crate::clock::Timestamp;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since the epoch (RFC 7519 §4.1.4); may have a fraction.
    exp: Option<f64>,
}

/// The customer that an `Authorization` header names.
pub(crate) fn authenticate(header: &str, now: Timestamp) -> Result<&'static Customer, Problem> {
    let (scheme, token) =
        header.trim().split_once(' ').ok_or(Problem::Unauthenticated("no token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("id_token") {
        return Err(Problem::Unauthenticated("unknown scheme"));
    }
    let claims = read_claims(token.trim()).ok_or(Problem::Unauthenticated("malformed token"))?;
    if claims.exp.is_some_and(|exp| exp * 1_000.0 <= now.as_millis() as f64) {
        return Err(Problem::Unauthenticated("the token has expired"));
    }
    Customer::by_account(&claims.sub).ok_or(Problem::Unauthenticated("unknown account"))
}

fn read_claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// A token for an account. Its signature is a fixed word.
pub(crate) fn issue(account: &str, issued: Timestamp, expires: Timestamp) -> String {
    let header = json!({"alg": "none", "typ": "JWT"});
    let payload = json!({
        "iss": "https://login.example/csu-sandbox",
        "sub": account,
        "iat": issued.as_millis() / 1_000,
        "exp": expires.as_millis() / 1_000,
    });
    [header.to_string(), payload.to_string(), "csu-sandbox".to_owned()]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_account_until_it_expires() {
        let (issued, expires) = (Timestamp::from_millis(1_000), Timestamp::from_millis(61_000));
        let token = issue("2001", issued, expires);
        for scheme in ["id_token", "Bearer"] {
            let customer = authenticate(&format!("{scheme} {token}"), issued).unwrap();
            assert_eq!(customer.account, "2001");
        }
        let expired = authenticate(&format!("Bearer {token}"), expires).unwrap_err();
        assert_eq!(expired, Problem::Unauthenticated("the token has expired"));
    }

    #[test]
    fn what_is_no_token_of_a_known_account_is_refused() {
        let now = Timestamp::from_millis(0);
        let stranger = issue("9999", now, Timestamp::from_millis(60_000));
        for header in ["", "Bearer", "Basic eDp5", "Bearer a.b", "Bearer a.!.c"] {
            assert!(authenticate(header, now).is_err(), "{header}");
        }
        assert!(authenticate(&format!("Bearer {stranger}"), now).is_err());
    }
}
