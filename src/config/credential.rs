//! Secrets: referred to by the configuration, never part of it.
//!
//! No message repeats what the configuration has in place of a reference: it may be the secret.

use std::fs::File;
use std::io::{self, Read};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::Secret;
use super::reader::Field;

/// What a secret's file may hold, in bytes.
const FILE_BYTES: u64 = 64 << 10;

/// How Standard Webhooks marks a symmetric secret.
const HMAC_PREFIX: &str = "whsec_";

/// The lengths of key that Standard Webhooks allows, in bytes.
const HMAC_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// `env:NAME` or `file:PATH`.
pub(super) fn secret(field: &Field<'_>) -> Option<Secret> {
    referred(field, field.text("\"env:NAME\" or \"file:PATH\"")?)
}

/// What a reference in a value refers to.
pub(super) fn referred(field: &Field<'_>, text: &str) -> Option<Secret> {
    let value = if let Some(name) = text.strip_prefix("env:") {
        match field.environment().get(name) {
            Ok(value) => value.to_owned(),
            Err(problem) => {
                return field.refuse(format!("the environment variable{} {problem}", shown(name)));
            }
        }
    } else if let Some(path) = text.strip_prefix("file:") {
        match read(path) {
            Ok(value) => value,
            Err(error) => return field.refuse(format!("the file cannot be read: {error}")),
        }
    } else {
        return field.refuse(
            "a secret does not belong in the configuration: write \"env:NAME\" for an \
             environment variable or \"file:PATH\" for a file that holds it",
        );
    };
    if value.is_empty() {
        return field.refuse("the secret is empty");
    }
    Some(Secret::new(value))
}

/// A Standard Webhooks secret: `whsec_` and the base64 of 24 to 64 bytes.
pub(super) fn hmac_secret(field: &Field<'_>) -> Option<Secret> {
    let secret = secret(field)?;
    let key = secret.reveal().strip_prefix(HMAC_PREFIX);
    match key.and_then(|key| BASE64_STANDARD.decode(key).ok()) {
        Some(key) if HMAC_KEY_BYTES.contains(&key.len()) => Some(secret),
        Some(_) | None => field.refuse(
            "the secret must be \"whsec_\" followed by the base64 of 24 to 64 random bytes \
             (Standard Webhooks)",
        ),
    }
}

/// A bearer token, which a header must be able to carry (RFC 6750 §2.1).
pub(super) fn bearer_token(field: &Field<'_>) -> Option<Secret> {
    let secret = secret(field)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if secret.reveal().bytes().all(allowed) {
        return Some(secret);
    }
    field.refuse("the token may hold letters, digits and -._~+/= alone (RFC 6750)")
}

/// The variable's name where it is written as names are, else nothing: it may be a secret.
fn shown(name: &str) -> String {
    let named = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.is_empty() && name.bytes().all(named) { format!(" {name}") } else { String::new() }
}

fn read(path: &str) -> io::Result<String> {
    let mut value = String::new();
    File::open(path)?.take(FILE_BYTES + 1).read_to_string(&mut value)?;
    if value.len() as u64 > FILE_BYTES {
        return Err(io::Error::other("it is longer than 64KiB"));
    }
    let one_line = value.strip_suffix('\n').unwrap_or(&value);
    Ok(one_line.strip_suffix('\r').unwrap_or(one_line).to_owned())
}
