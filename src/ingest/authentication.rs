//! Who may purge: a delivery signed by Standard Webhooks, or one with a bearer token.
//!
//! Standard Webhooks signs `{webhook-id}.{webhook-timestamp}.{body}` with HMAC-SHA256. While a
//! secret is rotated a sender may send several signatures and this node may know several secrets;
//! any pair that fits verifies. Every comparison takes the same time whatever the outcome.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::clock::Timestamp;
use crate::config;

/// Signatures looked at in one delivery: more than any rotation needs.
const MAX_SIGNATURES: usize = 8;

/// The longest `webhook-id`, in bytes.
const MAX_ID_BYTES: usize = 256;

/// Bytes of a secret (Standard Webhooks, "Signature scheme"): 24 to 64.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Secrets are seen with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A configured secret that is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CredentialError {
    /// Not of the form `whsec_` and base64.
    #[error("ingest.hmac_secrets[{0}] is not `whsec_` followed by base64")]
    Form(usize),
    /// Too short to be safe, or too long.
    #[error("ingest.hmac_secrets[{0}] is not of 24 to 64 bytes")]
    Length(usize),
    /// An empty token, which everybody knows.
    #[error("ingest.bearer_tokens[{0}] is empty")]
    EmptyToken(usize),
}

/// Why a delivery is not authenticated: for the metric and the debug log, never for the sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AuthenticationFailure {
    /// Neither a signature nor a token, where one is needed.
    NoCredentials,
    /// A token that is not configured.
    UnknownToken,
    /// A `webhook-…` header is missing or malformed.
    MalformedSignature,
    /// Signed too long ago, or in the future.
    TimestampOutsideTolerance,
    /// No signature fits any secret.
    WrongSignature,
}

impl AuthenticationFailure {
    /// The reason, for the metric's label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NoCredentials => "no-credentials",
            Self::UnknownToken => "unknown-token",
            Self::MalformedSignature => "malformed-signature",
            Self::TimestampOutsideTolerance => "timestamp-outside-tolerance",
            Self::WrongSignature => "wrong-signature",
        }
    }
}

/// What the head of a delivery promises.
#[derive(Debug)]
pub(super) enum Claim {
    /// Nothing more to show.
    Accepted,
    /// A signature, to be verified over the body.
    Signed(Signature),
}

/// A Standard Webhooks signature, not yet verified.
#[derive(Debug)]
pub(super) struct Signature {
    id: String,
    timestamp: String,
    candidates: Vec<Vec<u8>>,
}

/// The configured secrets and tokens.
pub(super) struct Authenticator {
    secrets: Vec<hmac::Key>,
    /// Digests, so that comparing tells nothing of a token's length.
    tokens: Vec<digest::Digest>,
    tolerance: Duration,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("secrets", &self.secrets.len())
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Takes the secrets as configured.
    ///
    /// # Errors
    /// Names the first secret that cannot be used, by its place.
    pub(super) fn new(settings: &config::Ingest) -> Result<Self, CredentialError> {
        let mut secrets = Vec::new();
        for (at, secret) in settings.hmac_secrets.iter().enumerate() {
            let encoded =
                secret.reveal().strip_prefix("whsec_").ok_or(CredentialError::Form(at))?;
            let bytes = BASE64.decode(encoded).map_err(|_| CredentialError::Form(at))?;
            if !SECRET_BYTES.contains(&bytes.len()) {
                return Err(CredentialError::Length(at));
            }
            secrets.push(hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        }
        let mut tokens = Vec::new();
        for (at, token) in settings.bearer_tokens.iter().enumerate() {
            if token.reveal().is_empty() {
                return Err(CredentialError::EmptyToken(at));
            }
            tokens.push(digest::digest(&digest::SHA256, token.reveal().as_bytes()));
        }
        Ok(Self { secrets, tokens, tolerance: settings.tolerance })
    }

    /// Judges a delivery by its head alone, before its body is read. Where there are secrets, a
    /// delivery that carries a signature is judged by it and by nothing else.
    ///
    /// # Errors
    /// Why the head is not enough.
    pub(super) fn judge_head(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Claim, AuthenticationFailure> {
        if self.secrets.is_empty() && self.tokens.is_empty() {
            return Ok(Claim::Accepted);
        }
        if !self.secrets.is_empty() && headers.contains_key("webhook-signature") {
            let signature =
                Signature::read(headers).ok_or(AuthenticationFailure::MalformedSignature)?;
            self.judge_timestamp(&signature.timestamp, now)?;
            return Ok(Claim::Signed(signature));
        }
        let token = bearer_token(headers).ok_or(AuthenticationFailure::NoCredentials)?;
        let token = digest::digest(&digest::SHA256, token);
        let fits = self.tokens.iter().fold(false, |fits, known| {
            verify_slices_are_equal(known.as_ref(), token.as_ref()).is_ok() | fits
        });
        if fits { Ok(Claim::Accepted) } else { Err(AuthenticationFailure::UnknownToken) }
    }

    /// Verifies a signature over the body as it arrived and gives the delivery's id.
    ///
    /// # Errors
    /// [`AuthenticationFailure::WrongSignature`].
    pub(super) fn verify(
        &self,
        signature: &Signature,
        body: &[u8],
    ) -> Result<String, AuthenticationFailure> {
        let mut signed = format!("{}.{}.", signature.id, signature.timestamp).into_bytes();
        signed.extend_from_slice(body);
        let verified = self.secrets.iter().any(|secret| {
            let verifies = |candidate: &Vec<u8>| hmac::verify(secret, &signed, candidate).is_ok();
            signature.candidates.iter().any(verifies)
        });
        if verified { Ok(signature.id.clone()) } else { Err(AuthenticationFailure::WrongSignature) }
    }

    fn judge_timestamp(&self, text: &str, now: Timestamp) -> Result<(), AuthenticationFailure> {
        let seconds: u64 = text.parse().map_err(|_| AuthenticationFailure::MalformedSignature)?;
        let apart = seconds.abs_diff(now.as_millis() / 1000);
        if apart > self.tolerance.as_secs() {
            return Err(AuthenticationFailure::TimestampOutsideTolerance);
        }
        Ok(())
    }
}

impl Signature {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let id = single(headers, "webhook-id").filter(|id| !id.is_empty())?;
        let timestamp = single(headers, "webhook-timestamp")?;
        let signatures = single(headers, "webhook-signature")?;
        if id.len() > MAX_ID_BYTES {
            return None;
        }
        let candidates: Vec<Vec<u8>> = signatures
            .split_ascii_whitespace()
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .filter_map(|encoded| BASE64.decode(encoded).ok())
            .take(MAX_SIGNATURES)
            .collect();
        (!candidates.is_empty()).then(|| Self {
            id: id.to_owned(),
            timestamp: timestamp.to_owned(),
            candidates,
        })
    }
}

/// A header's value, if it stands there exactly once and is visible ASCII.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}
