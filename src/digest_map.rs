//! Hash maps whose keys are digests: uniform already, so that hashing them again would be a waste.

use std::hash::{BuildHasherDefault, Hasher};

/// For maps keyed by a digest.
pub(crate) type BuildDigestHasher = BuildHasherDefault<DigestHasher>;

/// Takes a digest for its hash; half of a uniform digest is a uniform one.
#[derive(Default)]
pub(crate) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }

    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }
}
