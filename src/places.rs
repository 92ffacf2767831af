//! A bounded number of places, whose bound can change while they are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// So many places, and who has one.
#[derive(Debug)]
pub(crate) struct Places {
    free: Semaphore,
    bound: Mutex<usize>,
    /// How many more are taken than there may be: those that come free are nobody's.
    too_many: AtomicUsize,
}

/// A place. Dropped, it is free for another.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Places {
    /// All free.
    pub(crate) fn new(bound: usize) -> Arc<Self> {
        let bound = bound.min(Semaphore::MAX_PERMITS);
        let (free, too_many) = (Semaphore::new(bound), AtomicUsize::new(0));
        Arc::new(Self { free, bound: Mutex::new(bound), too_many })
    }

    /// Takes one, if one is free.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Place> {
        self.free.try_acquire().ok()?.forget();
        Some(Place(Arc::clone(self)))
    }

    /// Waits for one.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Place> {
        // It is never closed.
        self.free.acquire().await.ok()?.forget();
        Some(Place(Arc::clone(self)))
    }

    /// From now on there are so many. Where more are taken, nobody gets one until fewer are.
    pub(crate) fn set_bound(&self, bound: usize) {
        let bound = bound.min(Semaphore::MAX_PERMITS);
        let mut held = self.bound.lock();
        let before = std::mem::replace(&mut *held, bound);
        for _ in before..bound {
            self.give_back();
        }
        self.too_many.fetch_add(before.saturating_sub(bound), Ordering::AcqRel);
        let free = self.free.forget_permits(before.saturating_sub(bound));
        for _ in 0..free {
            self.give_back();
        }
    }

    fn give_back(&self) {
        let fewer = |too_many: usize| too_many.checked_sub(1);
        if self.too_many.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer).is_err() {
            self.free.add_permits(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn those_who_have_a_place_keep_it_and_count_when_there_are_fewer() {
        let places = Places::new(3);
        let mut taken: Vec<_> = (0..3).map(|_| places.try_take().unwrap()).collect();
        places.set_bound(1);
        for _ in 0..2 {
            taken.pop();
            assert!(places.try_take().is_none(), "{} are taken", taken.len());
        }
        taken.pop();
        taken.extend(places.try_take());
        assert!(taken.len() == 1 && places.try_take().is_none());
        places.set_bound(2);
        assert!(places.try_take().is_some());
    }

    #[tokio::test]
    async fn who_waits_gets_a_place_that_is_new() {
        let places = Places::new(1);
        let _taken = places.try_take().unwrap();
        let mut waits = std::pin::pin!(places.take());
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        places.set_bound(2);
        assert!(waits.await.is_some());
    }

    proptest! {
        #[test]
        fn as_many_can_be_taken_as_the_last_bound_says(
            steps in proptest::collection::vec((0_u8..3, 0_usize..6), 0..40)
        ) {
            let mut bound = 3;
            let places = Places::new(bound);
            let mut taken = Vec::new();
            for (step, number) in steps {
                match step {
                    0 => {
                        let place = places.try_take();
                        prop_assert_eq!(place.is_some(), taken.len() < bound);
                        taken.extend(place);
                    }
                    1 => drop(taken.pop()),
                    _ => {
                        bound = number;
                        places.set_bound(bound);
                    }
                }
            }
        }
    }
}
