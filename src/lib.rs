//! csu-edge: an edge cache that understands Dynamics 365 Commerce's Retail Server.
//!
//! The request path, and where each step lives:
//!
//! | step | module |
//! |---|---|
//! | receive, and the whole story | [`proxy`] |
//! | classify | [`operation`], [`odata`] |
//! | key | [`question`], [`cache_key`] |
//! | look up | [`store`], [`caching`], [`purge`] |
//! | fetch | [`origin`], `proxy::fetch`, `proxy::flight` |
//! | store | [`answer`], [`dependency`], [`tag`], [`stored_response`] |
//! | deliver | `proxy::deliver`, [`body`] |
//!
//! Events come in by [`ingest`], operators by [`control`]; [`server`] listens, [`redis`] is what nodes
//! share, [`node`] puts it all together, and [`handover`] is how one process takes over from another.

pub mod access_log;
mod allocated;
pub mod answer;
pub mod body;
pub mod cache_key;
pub mod caching;
pub mod clock;
pub mod config;
pub mod control;
pub mod dependency;
mod digest_map;
pub mod error;
mod framing;
pub mod handover;
pub mod ingest;
pub mod metrics;
pub mod node;
pub mod odata;
pub mod operation;
pub mod origin;
mod places;
pub mod proxy;
pub mod purge;
pub mod question;
pub mod redis;
pub mod sandbox;
pub mod server;
pub mod small_body;
pub mod store;
pub mod stored_response;
pub mod tag;
pub mod telemetry;
pub mod tls;
pub mod traces;
mod written;
