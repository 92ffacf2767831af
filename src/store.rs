//! Where stored responses are kept.

mod memory;
mod shared;
pub mod variants;

pub use memory::MemoryTier;
pub use shared::{Election, Lease, Reader, SharedTier};
pub use variants::{Selecting, VariantIndex};
