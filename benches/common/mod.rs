//! What the measurements over real sockets share.
#![allow(dead_code, reason = "each of them uses its part")]

pub(crate) mod figures;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod subjects;
