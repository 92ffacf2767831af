//! The rules of caching, pure: inputs and `now` in, a decision out.
//!
//! How long an answer is fresh comes from the operation catalogue, because nothing is known of what
//! a Commerce Scale Unit says of it. Whether it may be stored at all, and what a client's own
//! conditions mean, comes from the standard: where the origin says `no-store` or `private`, it
//! wins.

pub mod accept_encoding;
pub mod conditional;
pub mod freshness;
pub mod groups;
pub mod http_date;
pub mod invalidation;
pub mod partial;
pub mod range;
pub mod storability;
pub mod validation;
pub mod validators;
pub mod vary;
