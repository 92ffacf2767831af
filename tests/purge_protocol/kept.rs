//! Each value once, by number.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Index;
use std::rc::Rc;

pub(crate) struct Kept<T> {
    by_number: Vec<Rc<T>>,
    numbers: Map<Rc<T>, u32>,
}

impl<T: Hash + Eq> Kept<T> {
    pub(crate) fn new() -> Self {
        Self { by_number: Vec::new(), numbers: Map::default() }
    }

    /// The number of a value, which is kept if it is new.
    pub(crate) fn keep(&mut self, value: T) -> u32 {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        let number = u32::try_from(self.by_number.len()).unwrap();
        let value = Rc::new(value);
        self.by_number.push(Rc::clone(&value));
        self.numbers.insert(value, number);
        number
    }
}

impl<T> Index<u32> for Kept<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.by_number[number as usize]
    }
}

pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;
pub(crate) type Set<K> = HashSet<K, BuildHasherDefault<Quick>>;

/// Most of the time goes into hashing, and nobody attacks it.
#[derive(Default)]
pub(crate) struct Quick(u64);

impl Quick {
    const fn take(&mut self, word: u64) {
        let product = (self.0 ^ word) as u128 * 0x9e37_79b9_7f4a_7c15;
        self.0 = ((product >> 64) as u64 ^ product as u64).wrapping_add(0xbf58_476d_1ce4_e5b9);
    }
}

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.take(byte.into());
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.take(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.take(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.take(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.take(word as u64);
    }
}
