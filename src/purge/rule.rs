//! Rules of the protocol that can be taken away one at a time, so that a test of the whole can show
//! that it would notice. Only with the feature `break-rules`, which no release has, and only from
//! code: there is no setting for it.

/// A rule without which the promise does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// A stamp is taken before the fetch leaves. Without it: when the answer is stored.
    StampBefore,
    /// An entry of the log is told from others of its number. Without it: the number is all.
    Nonces,
    /// What was heard holds for `fence_after`. Without it: for ever.
    Fence,
}
