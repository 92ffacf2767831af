//! `[refresh]`: what is fetched before anybody misses it.

use crate::operation::Class;

/// `[refresh]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refresh {
    /// How early what is asked for often is fetched anew before its lifetime ends, in percent of the
    /// time that a fetch takes (XFetch's β is this by a hundred). Default 100; 0: never.
    pub ahead_percent: u32,
    /// Of which classes the hottest entries are fetched anew once they are purged. Default prices and
    /// stock levels.
    pub after_purge: Vec<Class>,
    /// How many entries are known as hot. Default 10,000; 0: none.
    pub hottest: usize,
}

impl Default for Refresh {
    fn default() -> Self {
        Self {
            ahead_percent: 100,
            after_purge: vec![Class::Price, Class::Inventory],
            hottest: 10_000,
        }
    }
}
