//! Traces: which trace a request is part of.

mod parent;

pub use parent::TraceParent;

/// The field that tells a message's trace and sender.
pub const TRACEPARENT: &str = "traceparent";
