//! Who asks, as far as the cache is concerned: the partition that an answer is kept in.
//!
//! Retail Server answers the same question differently by identity (a signed-in B2B customer may
//! not even ask about catalogue 0), so an answer that came with credentials must never be found
//! without them. Credentials are the `Authorization` field. Cookies are none: they are never sent
//! to the origin with a read that may be stored.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;

use crate::clock::Timestamp;
use crate::operation::Identity;
use crate::question::Partition;

/// The partition of a request, and what is to be known of its credentials.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Where its answers are kept.
    pub partition: Partition,
    /// The `Authorization` to fetch with; none in partitions that are fetched without.
    pub authorization: Option<http::HeaderValue>,
    /// When the credentials end, and with them every answer fetched with them.
    pub expires_at: Option<Timestamp>,
}

/// Why a request with credentials passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unpartitioned {
    /// The operation's rule is to let credentials pass.
    Credentials,
    /// The token is past its `exp`: what it means is the origin's to say.
    CredentialExpired,
    /// `Authorization` came more than once.
    CredentialsRepeated,
}

impl Unpartitioned {
    /// The reason, for `Cache-Status` details.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::CredentialExpired => "credential-expired",
            Self::CredentialsRepeated => "credentials-repeated",
        }
    }
}

/// The partition that the operation's rule puts the request in; `seed` is what credentials are
/// digested under.
///
/// # Errors
/// Says why the request has none and must pass.
pub fn identify(
    headers: &HeaderMap,
    rule: Identity,
    now: Timestamp,
    seed: &[u8; 16],
) -> Result<Asker, Unpartitioned> {
    const ANONYMOUS: Asker =
        Asker { partition: Partition::Anonymous, authorization: None, expires_at: None };
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(authorization) = fields.next() else { return Ok(ANONYMOUS) };
    if fields.next().is_some() {
        return Err(Unpartitioned::CredentialsRepeated);
    }
    match rule {
        Identity::Bypass => Err(Unpartitioned::Credentials),
        Identity::Shared => Ok(ANONYMOUS),
        Identity::Token => {
            let expires_at = expiry(authorization.as_bytes());
            if expires_at.is_some_and(|end| end <= now) {
                return Err(Unpartitioned::CredentialExpired);
            }
            // Keyed, so that what `/explain` shows tells nobody a token that can be guessed.
            let secret = hmac::Key::new(hmac::HMAC_SHA256, seed);
            let hash = hmac::sign(&secret, authorization.as_bytes());
            let mut partition = [0; 16];
            for (half, byte) in partition.iter_mut().zip(hash.as_ref()) {
                *half = *byte;
            }
            let mut authorization = authorization.clone();
            // Kept out of `Debug` and out of HTTP/2's header tables.
            authorization.set_sensitive(true);
            Ok(Asker {
                partition: Partition::Token(partition),
                authorization: Some(authorization),
                expires_at,
            })
        }
    }
}

/// The claim that bounds a token's life (RFC 7519 §4.1.4), in seconds, possibly with a fraction.
#[derive(Deserialize)]
struct Claims {
    exp: f64,
}

/// When a JSON Web Token ends. It is read, not verified: whoever forges an `exp` has another
/// token, hence another partition, and the origin's refusal is not stored.
fn expiry(authorization: &[u8]) -> Option<Timestamp> {
    let token = authorization.rsplit(|&byte| byte == b' ').next()?;
    let payload = token.split(|&byte| byte == b'.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let since_epoch = Duration::try_from_secs_f64(claims.exp).ok()?;
    Some(Timestamp::default() + since_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const NOW: Timestamp = Timestamp::from_millis(1_777_284_000_000);

    fn with(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        headers
    }

    fn token(claims: &str) -> String {
        format!("id_token e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn without_credentials_every_rule_means_the_anonymous_partition() {
        for rule in [Identity::Bypass, Identity::Token, Identity::Shared] {
            let asker = identify(&HeaderMap::new(), rule, NOW, &[7; 16]).unwrap();
            assert_eq!(asker.partition, Partition::Anonymous);
        }
    }

    #[test]
    fn credentials_never_land_in_the_anonymous_partition_but_by_the_shared_rule() {
        let headers = with(&token(r#"{"sub":"2001"}"#));
        assert_eq!(
            identify(&headers, Identity::Bypass, NOW, &[7; 16]).unwrap_err(),
            Unpartitioned::Credentials
        );
        let of_token = identify(&headers, Identity::Token, NOW, &[7; 16]).unwrap();
        assert!(matches!(of_token.partition, Partition::Token(_)));
        assert_eq!(of_token.authorization.as_ref(), headers.get(AUTHORIZATION));
        assert!(!format!("{of_token:?}").contains("id_token"));
        let shared = identify(&headers, Identity::Shared, NOW, &[7; 16]).unwrap();
        assert_eq!(shared.partition, Partition::Anonymous);
        assert!(shared.authorization.is_none(), "the shared answer is fetched without credentials");
    }

    #[test]
    fn two_tokens_have_two_partitions() {
        let one =
            identify(&with(&token(r#"{"sub":"1"}"#)), Identity::Token, NOW, &[7; 16]).unwrap();
        let two =
            identify(&with(&token(r#"{"sub":"2"}"#)), Identity::Token, NOW, &[7; 16]).unwrap();
        assert_ne!(one.partition, two.partition);
    }

    #[test]
    fn a_token_bounds_the_life_of_its_answers() {
        let until = |claims| identify(&with(&token(claims)), Identity::Token, NOW, &[7; 16]);
        let end = until(r#"{"exp":1777284060}"#).unwrap().expires_at;
        assert_eq!(end, Some(NOW + Duration::from_secs(60)));
        assert_eq!(until(r#"{"exp":1777284000}"#).unwrap_err(), Unpartitioned::CredentialExpired);
        assert_eq!(until(r#"{"exp":"soon"}"#).unwrap().expires_at, None);
        assert_eq!(until(r#"{"exp":-1}"#).unwrap().expires_at, None);
        assert_eq!(
            identify(&with("Bearer opaque"), Identity::Token, NOW, &[7; 16]).unwrap().expires_at,
            None
        );
    }

    #[test]
    fn repeated_credentials_pass() {
        let mut headers = with("Bearer a");
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        let refused = identify(&headers, Identity::Token, NOW, &[7; 16]).unwrap_err();
        assert_eq!(refused, Unpartitioned::CredentialsRepeated);
    }
}
