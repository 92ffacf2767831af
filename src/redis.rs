//! The link to a Redis: one connection, watched over, that is either of use or gone at once.
//!
//! What makes a cache slow is not a Redis that is down but one that does not answer: a connection
//! whose other end is gone without a word (a half-open one) takes every command and answers none,
//! and the driver does not count a time-out as a disconnect. So a [`Link`] counts for itself. After
//! `broken_after` failures in a row, or at once where a failure leaves no doubt, the connection is
//! dropped and never used again; commands then fail without a wait, and a task of the link's own
//! dials anew, with growing pauses, until a probe is answered.
//!
//! What the server says about one command (a wrong type, no memory left, an error of a script's) is
//! an answer, and harms the link no more than any other.

mod breaker;
mod command;
mod connection;
mod dial;
mod failure;
mod link;
mod tally;

pub use breaker::State;
pub use command::{Command, Role};
pub use connection::Connection;
pub use dial::RedisSetupError;
pub use failure::{Failure, LinkError};
pub(crate) use link::LOG_WAIT;
pub use link::{Link, LinkRules};
