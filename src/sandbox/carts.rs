//! Carts and the sales orders that they become: kept in memory, in bounded numbers.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use parking_lot::ReentrantMutex;
use serde_json::Value;

use super::assortment::{Product, mix};
use super::company::{Channel, Customer};
use super::problem::Problem;

/// Carts kept at most, and orders; the oldest go first.
const MAX_KEPT: usize = 10_000;
pub(crate) const MAX_LINES: usize = 500;

#[derive(Clone, Debug)]
pub(crate) struct Cart {
    pub(crate) id: String,
    /// Grows with each change.
    pub(crate) version: i64,
    pub(crate) customer: Option<&'static Customer>,
    pub(crate) channel: &'static Channel,
    pub(crate) type_value: i64,
    pub(crate) lines: Vec<Line>,
    /// The delivery charge, in the channel's currency.
    pub(crate) charge: f64,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) product: Product,
    pub(crate) quantity: f64,
}

/// A placed order: its owner, and the answer as it was when it was placed.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) customer: Option<&'static Customer>,
    pub(crate) answer: Value,
}

#[derive(Debug)]
pub(crate) struct Carts {
    seed: u64,
    /// Reentrant, as whoever makes several changes one keeps it while each of them takes it.
    kept: ReentrantMutex<RefCell<Kept>>,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    issued: u64,
    carts: Bounded<Cart>,
    orders: Bounded<Order>,
}

impl Carts {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, kept: ReentrantMutex::default() }
    }

    /// Makes several changes one: nobody sees some of them alone, and none stays where `work` fails.
    /// It keeps a copy of everything meanwhile, of which there is not much.
    pub(crate) fn change_together<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let kept = self.kept.lock();
        let before = kept.borrow().clone();
        let outcome = work();
        if outcome.is_err() {
            kept.replace(before);
        }
        outcome
    }

    /// An identifier that a seed gives in the same order every time.
    pub(crate) fn issue_id(&self) -> String {
        let kept = self.kept.lock();
        let mut kept = kept.borrow_mut();
        kept.issued += 1;
        let high = mix(self.seed, kept.issued);
        format!("{high:016X}{:016X}", mix(high, kept.issued))
    }

    pub(crate) fn insert(&self, cart: Cart) {
        self.kept.lock().borrow_mut().carts.insert(cart.id.clone(), cart);
    }

    pub(crate) fn get(&self, id: &str) -> Option<Cart> {
        self.kept.lock().borrow().carts.entries.get(id).cloned()
    }

    /// Changes a cart as a whole or not at all.
    pub(crate) fn update(
        &self,
        id: &str,
        change: impl FnOnce(&mut Cart) -> Result<(), Problem>,
    ) -> Result<Cart, Problem> {
        let kept = self.kept.lock();
        let mut kept = kept.borrow_mut();
        let Some(cart) = kept.carts.entries.get_mut(id) else {
            return Err(Problem::NoSuchEntity { set: "Carts", id: id.to_owned() });
        };
        let mut changed = cart.clone();
        change(&mut changed)?;
        changed.version += 1;
        *cart = changed.clone();
        Ok(changed)
    }

    /// Turns a cart into an order. Of two checkouts at once, one finds no cart.
    pub(crate) fn take(&self, id: &str) -> Option<Cart> {
        self.kept.lock().borrow_mut().carts.remove(id)
    }

    pub(crate) fn insert_order(&self, id: String, order: Order) {
        self.kept.lock().borrow_mut().orders.insert(id, order);
    }

    pub(crate) fn order(&self, id: &str) -> Option<Order> {
        self.kept.lock().borrow().orders.entries.get(id).cloned()
    }
}

/// A map that forgets its oldest entry when it is full.
#[derive(Clone, Debug)]
struct Bounded<T> {
    entries: HashMap<String, T>,
    by_age: VecDeque<String>,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), by_age: VecDeque::new() }
    }
}

impl<T> Bounded<T> {
    fn insert(&mut self, id: String, entry: T) {
        while self.by_age.len() >= MAX_KEPT {
            if let Some(oldest) = self.by_age.pop_front() {
                self.entries.remove(&oldest);
            }
        }
        if self.entries.insert(id.clone(), entry).is_none() {
            self.by_age.push_back(id);
        }
    }

    fn remove(&mut self, id: &str) -> Option<T> {
        let entry = self.entries.remove(id)?;
        self.by_age.retain(|other| other != id);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_goes_when_there_are_too_many() {
        let mut bounded = Bounded::default();
        for n in 0..=MAX_KEPT {
            bounded.insert(n.to_string(), n);
        }
        assert_eq!(bounded.entries.len(), MAX_KEPT);
        assert!(!bounded.entries.contains_key("0"));
        assert_eq!(bounded.remove("1"), Some(1));
        assert_eq!((bounded.entries.len(), bounded.by_age.len()), (MAX_KEPT - 1, MAX_KEPT - 1));
    }
}
