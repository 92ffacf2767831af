//! A whole node under `[generic] policy = "rfc9111"`, held to the sentences of the standards of HTTP
//! caching: RFC 9111 and 9110, 5861, 8246, 9211, 9213 and 9875. A bare `§` is one of RFC 9111.
//!
//! Where a sentence says MUST, the case says no less; where it says SHOULD or MAY, the case wants
//! what the best cache does. Whether an answer came from the store is told by the origin's count of
//! requests, not by the node's word. Time is moved, never waited for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test panics"
)]

#[path = "../support/mod.rs"]
mod support;

mod origin;
mod play;

mod age;
mod authorization;
mod cache_status;
mod collapse;
mod confined;
mod directives;
mod expires;
mod fields;
mod freshness;
mod groups;
mod head;
mod interim;
mod invalidation;
mod partial;
mod posting;
mod preconditions;
mod ranges;
mod request_directives;
mod response_directives;
mod stale;
mod statuses;
mod storing;
mod targeted;
mod updating;
mod validation;
mod variants;
mod vary;
