//! Where stored responses are kept.

mod memory;
pub mod variants;

pub use memory::MemoryTier;
pub use variants::{Selecting, VariantIndex};
