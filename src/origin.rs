//! The origin: the Retail Server behind this node.

mod client;
pub mod gate;
mod request_body;

pub use client::{OriginClient, OriginError, SetupError};
pub use request_body::{Go, RequestBody};
