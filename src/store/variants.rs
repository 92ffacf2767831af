//! Which variants of a URL there are, and by which fields they are told apart (RFC 9111 §4.1).
//!
//! Each variant is a stored response of its own, under the URL's key and its selecting fields. What
//! those fields are is known from the answers alone, so it is remembered here, for URLs whose
//! answers vary. What is forgotten here is a miss, and nothing worse.
//!
//! Where nodes share a tier, they tell one another through it (`codec`).

pub mod codec;

use std::sync::Arc;

use http::HeaderName;
use moka::ops::compute::Op;
use moka::sync::Cache;

use crate::cache_key::CacheKey;
use crate::digest_map::BuildDigestHasher;

/// An origin that changes its mind about what it varies by; past these, the oldest is forgotten.
const MAX_SETS: usize = 4;

/// What moka and the allocations need beside the bytes that are counted.
const OVERHEAD_BYTES: usize = 704;

/// The fields that select a URL's variants: one set for each way in which its answers named them.
#[derive(Clone, Debug)]
pub struct Selecting {
    url: CacheKey,
    /// The latest first.
    sets: Vec<Arc<[HeaderName]>>,
    /// Digests of the variants' keys, the latest last.
    variants: Vec<u128>,
}

impl Selecting {
    /// The sets of fields, the latest first.
    pub fn sets(&self) -> &[Arc<[HeaderName]>] {
        &self.sets
    }

    fn bytes(&self) -> usize {
        let names = self.sets.iter().flat_map(|set| set.iter());
        OVERHEAD_BYTES
            + self.url.bytes()
            + names.map(|name| name.as_str().len() + size_of::<HeaderName>()).sum::<usize>()
            + self.variants.len() * size_of::<u128>()
    }
}

/// The URLs whose answers vary.
#[derive(Clone, Debug)]
pub struct VariantIndex {
    urls: Cache<u128, Arc<Selecting>, BuildDigestHasher>,
    max_variants: usize,
}

impl VariantIndex {
    /// An index of at most `max_bytes`, with at most `max_variants` of each URL.
    pub fn new(max_bytes: u64, max_variants: usize) -> Self {
        let urls = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, known: &Arc<Selecting>| u32::try_from(known.bytes()).unwrap_or(u32::MAX))
            .build_with_hasher(BuildDigestHasher::default());
        Self { urls, max_variants }
    }

    /// The same index, which keeps so many of each URL from now on.
    #[must_use]
    pub fn with_max_variants(&self, max_variants: usize) -> Self {
        Self { urls: self.urls.clone(), max_variants }
    }

    /// How the answers of this URL vary; `None` where they are not known to.
    pub fn of(&self, url: &CacheKey) -> Option<Arc<Selecting>> {
        self.urls.get(&url.digest()).filter(|known| known.url == *url)
    }

    /// Notes that a variant is stored. Returns the digest of the one that has to go for it, where
    /// there are too many.
    pub fn note(&self, url: &CacheKey, names: &[HeaderName], variant: u128) -> Option<u128> {
        if names.is_empty() && self.of(url).is_none() {
            return None;
        }
        let mut displaced = None;
        self.urls.entry(url.digest()).and_compute_with(|held| {
            let held = held.map(moka::Entry::into_value).filter(|held| held.url == *url);
            let (sets, variants) = held
                .map_or_else(Default::default, |held| (held.sets.clone(), held.variants.clone()));
            let mut known = Selecting { url: url.clone(), sets, variants };
            if !names.is_empty() && known.sets.first().is_none_or(|set| **set != *names) {
                known.sets.retain(|set| **set != *names);
                known.sets.insert(0, names.into());
                known.sets.truncate(MAX_SETS);
            }
            known.variants.retain(|&held| held != variant);
            known.variants.push(variant);
            displaced =
                (known.variants.len() > self.max_variants).then(|| known.variants.remove(0));
            Op::Put(Arc::new(known))
        });
        displaced
    }

    /// Takes in how another node found the answers of this URL to vary, the latest set first. That
    /// comes before what is known here: it is read where what is known here led to no answer. Which
    /// variants are stored here does not change by it.
    pub fn learn(&self, url: &CacheKey, sets: &[Arc<[HeaderName]>]) {
        self.urls.entry(url.digest()).and_compute_with(|held| {
            let held = held.map(moka::Entry::into_value).filter(|held| held.url == *url);
            let known = held.as_deref().map_or(&[][..], Selecting::sets);
            let mut merged: Vec<Arc<[HeaderName]>> = Vec::new();
            for set in sets.iter().chain(known).filter(|set| !set.is_empty()) {
                if !merged.contains(set) && merged.len() < MAX_SETS {
                    merged.push(Arc::clone(set));
                }
            }
            if merged == known {
                return Op::Nop;
            }
            let variants = held.map_or_else(Vec::new, |held| held.variants.clone());
            Op::Put(Arc::new(Selecting { url: url.clone(), sets: merged, variants }))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache_key::{CacheKeyBuilder, Field};
    use http::header::{ACCEPT, ACCEPT_LANGUAGE, USER_AGENT};

    fn url(path: &str) -> CacheKey {
        let key = CacheKeyBuilder::with_capacity(16).field(Field::Path, path.as_bytes());
        key.unwrap().finish(&[7; 16])
    }

    #[test]
    fn what_an_answer_varies_by_is_remembered_the_latest_first() {
        let index = VariantIndex::new(1 << 20, 8);
        let a = url("/a");
        assert_eq!(index.note(&a, &[], 1), None);
        assert!(index.of(&a).is_none(), "what does not vary costs nothing");
        index.note(&a, &[ACCEPT], 2);
        index.note(&a, &[ACCEPT_LANGUAGE], 3);
        index.note(&a, &[ACCEPT], 4);
        let sets: Vec<_> = index.of(&a).unwrap().sets().iter().map(|set| set.to_vec()).collect();
        assert_eq!(sets, [[ACCEPT], [ACCEPT_LANGUAGE]]);
        assert!(index.of(&url("/b")).is_none());
    }

    #[test]
    fn past_the_cap_the_variant_that_was_stored_first_goes() {
        let index = VariantIndex::new(1 << 20, 2);
        let a = url("/a");
        assert_eq!(index.note(&a, &[ACCEPT], 1), None);
        assert_eq!(index.note(&a, &[ACCEPT], 2), None);
        assert_eq!(index.note(&a, &[ACCEPT], 1), None, "stored anew, it is not one more");
        assert_eq!(index.note(&a, &[ACCEPT], 3), Some(2));
    }

    fn known(index: &VariantIndex, url: &CacheKey) -> Vec<Vec<HeaderName>> {
        let known = index.of(url);
        known.iter().flat_map(|known| known.sets()).map(|set| set.to_vec()).collect()
    }

    #[test]
    fn what_others_found_an_answer_to_vary_by_comes_first() {
        let index = VariantIndex::new(1 << 20, 8);
        let a = url("/a");
        index.learn(&a, &[]);
        index.learn(&a, &[[].into()]);
        assert!(index.of(&a).is_none(), "what does not vary costs nothing");
        index.learn(&a, &[[ACCEPT].into()]);
        assert_eq!(known(&index, &a), [[ACCEPT]]);
        index.learn(&a, &[[ACCEPT_LANGUAGE].into(), [ACCEPT].into(), [ACCEPT_LANGUAGE].into()]);
        assert_eq!(known(&index, &a), [[ACCEPT_LANGUAGE], [ACCEPT]]);
        index.note(&a, &[ACCEPT], 1);
        index.learn(&a, &[[USER_AGENT].into()]);
        assert_eq!(known(&index, &a), [[USER_AGENT], [ACCEPT], [ACCEPT_LANGUAGE]]);
        assert!(index.of(&url("/b")).is_none());
    }

    #[test]
    fn of_what_is_learned_the_oldest_goes_too() {
        let index = VariantIndex::new(1 << 20, 8);
        let a = url("/a");
        index.note(&a, &[ACCEPT], 1);
        let named = |n: usize| [HeaderName::try_from(format!("x-{n}")).unwrap()];
        for n in 0..9 {
            index.learn(&a, &[named(n).into(), named(n + 1).into()]);
            assert!(known(&index, &a).len() <= MAX_SETS);
        }
        assert_eq!(known(&index, &a), [named(8), named(9), named(7), named(6)]);
    }

    #[test]
    fn to_learn_leaves_the_variants_that_are_stored() {
        let index = VariantIndex::new(1 << 20, 2);
        let a = url("/a");
        index.note(&a, &[ACCEPT], 1);
        index.note(&a, &[ACCEPT], 2);
        index.learn(&a, &[[ACCEPT_LANGUAGE].into()]);
        assert_eq!(index.of(&a).unwrap().variants, [1, 2]);
        let before = index.of(&a).unwrap();
        index.learn(&a, &[[ACCEPT_LANGUAGE].into()]);
        assert!(Arc::ptr_eq(&before, &index.of(&a).unwrap()), "nothing new, nothing done");
        assert_eq!(index.note(&a, &[ACCEPT], 3), Some(1));
    }
}
