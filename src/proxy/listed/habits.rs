//! How the origin answers lists, as far as its answers have shown: what the answer for a list is put
//! together by.
//!
//! Nothing is taken for granted. The first call for several things names them in an order whose
//! answer shows how the origin orders; a list whose answer is still not certain, as the first one with
//! repetitions, is asked for whole, as it came, and the answer shows it. One that contradicts what
//! was known ends it: the operation's answers stay whole for a while, and then it is learned anew.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::answer::pieces::{Evidence, Order, Repeats, Unfit, answered, surely_before};
use crate::cache_key::CacheKey;
use crate::clock::Timestamp;
use crate::dependency::Id;
use crate::question::Unit;

/// How long what could not be taken apart stays whole.
const WHOLE_FOR: Duration = Duration::from_secs(10 * 60);

/// Lists that are remembered to have answers that cannot be taken apart; past it some are asked for
/// in vain now and then.
const MAX_UNDIVIDED: usize = 10_000;

/// Answers in a row that cannot be taken apart, after which the operation's are taken not to.
const FAILURES: u32 = 5;

/// What is known of each operation's origin, and what is in no answer that can be taken apart.
#[derive(Debug)]
pub struct Habits {
    by_operation: Box<[Habit]>,
    undivided: Mutex<HashMap<u128, Timestamp>>,
    /// When the last of them ends, in milliseconds since the epoch: mostly that is over, which is known
    /// without the lock.
    undivided_until: AtomicU64,
}

/// What is known of one operation's origin. Its parts are read by themselves: each stands alone.
#[derive(Debug)]
struct Habit {
    order: AtomicU8,
    repeats: AtomicU8,
    /// Whether an answer for several things has been seen, in a known order.
    has_answered_several: AtomicBool,
    /// The fewest items that an answer was seen to be cut to.
    page_items: AtomicUsize,
    /// Answers in a row that could not be taken apart.
    failures: AtomicU32,
    /// Milliseconds since the epoch until which its answers stay whole.
    whole_until: AtomicU64,
}

impl Default for Habit {
    fn default() -> Self {
        Self {
            order: AtomicU8::new(UNKNOWN),
            repeats: AtomicU8::new(UNKNOWN),
            has_answered_several: AtomicBool::new(false),
            page_items: AtomicUsize::new(usize::MAX),
            failures: AtomicU32::new(0),
            whole_until: AtomicU64::new(0),
        }
    }
}

impl Habit {
    fn order(&self) -> Option<Order> {
        known(&self.order, ORDERS)
    }

    fn repeats(&self) -> Option<Repeats> {
        known(&self.repeats, REPEATS)
    }
}

const UNKNOWN: u8 = 0;
const ORDERS: [(u8, Order); 2] = [(1, Order::AsAsked), (2, Order::Ascending)];
const REPEATS: [(u8, Repeats); 2] = [(1, Repeats::Each), (2, Repeats::Once)];

fn known<T: Copy>(of: &AtomicU8, values: [(u8, T); 2]) -> Option<T> {
    let held = of.load(Ordering::Relaxed);
    values.into_iter().find(|(number, _)| *number == held).map(|(_, value)| value)
}

/// Whether each thing is asked for once, in the order of every origin that sorts.
fn is_ascending(units: &[Unit]) -> bool {
    units.is_sorted_by(|a, b| surely_before(&a.id, &b.id))
}

/// Whether ids that are in ascending order are so for every origin that sorts.
fn are_surely_ascending(ids: &[&Id]) -> bool {
    ids.is_sorted_by(|a, b| a == b || surely_before(a, b))
}

/// Notes what was shown. False where it contradicts what is known.
fn note<T: Copy + PartialEq>(of: &AtomicU8, values: [(u8, T); 2], shown: Option<T>) -> bool {
    let Some(shown) = shown else { return true };
    let Some((number, _)) = values.into_iter().find(|(_, value)| *value == shown) else {
        return true;
    };
    match of.compare_exchange(UNKNOWN, number, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => true,
        Err(held) => held == number,
    }
}

impl Habits {
    /// Nothing is known of that many operations.
    pub fn new(operations: usize) -> Self {
        Self {
            by_operation: (0..operations).map(|_| Habit::default()).collect(),
            undivided: Mutex::default(),
            undivided_until: AtomicU64::new(0),
        }
    }

    /// The positions of the different things among the units, in their order; `None` where the list
    /// is to be asked for whole.
    pub fn different(
        &self,
        operation: usize,
        units: &[Unit],
        now: Timestamp,
    ) -> Option<Vec<usize>> {
        let habit = self.by_operation.get(operation)?;
        let is_cut = units.len() > self.page_items(operation);
        if is_cut || habit.whole_until.load(Ordering::Relaxed) > now.as_millis() {
            return None;
        }
        if is_ascending(units) {
            return Some((0..units.len()).collect());
        }
        let mut places: HashMap<&Id, &Unit> = HashMap::with_capacity(units.len());
        let mut different = Vec::with_capacity(units.len());
        for (position, unit) in units.iter().enumerate() {
            match places.get(&unit.id) {
                None => {
                    places.insert(&unit.id, unit);
                    different.push(position);
                }
                // The same thing, asked for in other words.
                Some(earlier) if *earlier != unit => return None,
                Some(_) => {}
            }
        }
        let is_answerable = different.len() == units.len() || habit.repeats().is_some();
        // What is learned of the order while they are fetched can only help where it is not known.
        let is_orderable = habit.order() != Some(Order::Ascending)
            || self.sequence(operation, units, &different).is_some();
        (is_answerable && is_orderable).then_some(different)
    }

    /// The pieces of an answer in their order, as positions in `different`; `None` where it is not
    /// certain how the origin would answer.
    pub fn sequence(
        &self,
        operation: usize,
        units: &[Unit],
        different: &[usize],
    ) -> Option<Vec<usize>> {
        let habit = self.by_operation.get(operation)?;
        if units.len() > 1 && !habit.has_answered_several.load(Ordering::Relaxed) {
            return None;
        }
        if is_ascending(units) {
            // As asked and sorted, it is the same.
            return Some((0..different.len()).collect());
        }
        let repeats = match habit.repeats() {
            None if different.len() < units.len() => return None,
            repeats => repeats.unwrap_or(Repeats::Each),
        };
        let first = |&position: &usize| units.get(position).map(|unit| &unit.id);
        let ids = different.iter().map(first).collect::<Option<Vec<&Id>>>()?;
        let places: HashMap<&Id, usize> = ids.iter().copied().zip(0..).collect();
        let asked: Vec<&Id> = units.iter().map(|unit| &unit.id).collect();
        let order = habit.order();
        let sequence = answered(&asked, order.unwrap_or(Order::AsAsked), repeats);
        if order != Some(Order::AsAsked) && !are_surely_ascending(&sequence) {
            return None;
        }
        sequence.into_iter().map(|id| places.get(id).copied()).collect()
    }

    /// Puts what is to be asked for into an order whose answer shows how the origin orders, as long
    /// as that is not known.
    pub fn probe(&self, operation: usize, units: &mut [&Unit]) {
        let is_known = |habit: &Habit| habit.order().is_some();
        if !self.by_operation.get(operation).is_some_and(is_known) {
            units.sort_by(|a, b| b.id.cmp(&a.id));
            // Neither up nor down: no origin that sorts answers so. Of two, up: that shows nothing of
            // the order, where down would make one that sorts down look like one that does not sort.
            if let [first, second, ..] = units {
                std::mem::swap(first, second);
            }
        }
    }

    /// Takes in what an answer of the operation showed.
    ///
    /// # Errors
    /// [`Unfit::Order`]: it contradicts what was known, which is forgotten.
    pub fn learn(&self, operation: usize, shown: Evidence, now: Timestamp) -> Result<(), Unfit> {
        let Some(habit) = self.by_operation.get(operation) else { return Ok(()) };
        let agrees =
            note(&habit.order, ORDERS, shown.order) & note(&habit.repeats, REPEATS, shown.repeats);
        if agrees {
            habit.has_answered_several.fetch_or(shown.things > 1, Ordering::Relaxed);
            habit.failures.store(0, Ordering::Relaxed);
            return Ok(());
        }
        habit.order.store(UNKNOWN, Ordering::Relaxed);
        habit.repeats.store(UNKNOWN, Ordering::Relaxed);
        habit.has_answered_several.store(false, Ordering::Relaxed);
        habit.whole_until.store((now + WHOLE_FOR).as_millis(), Ordering::Relaxed);
        Err(Unfit::Order)
    }

    /// How many items the operation's answers show at most, as far as is known.
    pub fn page_items(&self, operation: usize) -> usize {
        let habit = self.by_operation.get(operation);
        habit.map_or(usize::MAX, |habit| habit.page_items.load(Ordering::Relaxed))
    }

    /// Notes that an answer of the operation was cut to so many items.
    pub fn note_page(&self, operation: usize, items: usize) {
        if let Some(habit) = self.by_operation.get(operation).filter(|_| items > 0) {
            habit.page_items.fetch_min(items, Ordering::Relaxed);
        }
    }

    /// Notes that the answer for a list could not be taken apart: the list stays whole, and where the
    /// operation's answers are like that, one after the other, so do all of its lists. One thing that
    /// the origin answers oddly is not to keep others from being put together.
    pub fn leave_whole(&self, operation: usize, list: &CacheKey, now: Timestamp) {
        let until = now + WHOLE_FOR;
        let mut undivided = self.undivided.lock();
        undivided.retain(|_, until| *until > now);
        if undivided.len() < MAX_UNDIVIDED {
            undivided.insert(list.digest(), until);
        }
        drop(undivided);
        self.undivided_until.fetch_max(until.as_millis(), Ordering::Relaxed);
        if let Some(habit) = self.by_operation.get(operation)
            && habit.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES
        {
            habit.failures.store(0, Ordering::Relaxed);
            habit.whole_until.store(until.as_millis(), Ordering::Relaxed);
        }
    }

    /// Whether the answer for this list is known not to come apart.
    pub fn is_left_whole(&self, list: impl FnOnce() -> Option<CacheKey>, now: Timestamp) -> bool {
        if self.undivided_until.load(Ordering::Relaxed) <= now.as_millis() {
            return false;
        }
        let Some(list) = list() else { return false };
        self.undivided.lock().get(&list.digest()).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn units(ids: &[i64]) -> Vec<Unit> {
        ids.iter().map(|&id| Unit { id: Id::Number(id), text: id.to_string().into() }).collect()
    }

    fn sequence(habits: &Habits, ids: &[i64]) -> Option<Vec<i64>> {
        let units = units(ids);
        let different = habits.different(0, &units, NOW)?;
        let sequence = habits.sequence(0, &units, &different)?;
        let id = |place: &usize| match units[different[*place]].id {
            Id::Number(id) => id,
            Id::Text(_) => unreachable!(),
        };
        Some(sequence.iter().map(id).collect())
    }

    fn shown(order: Option<Order>, repeats: Option<Repeats>) -> Evidence {
        Evidence { order, repeats, things: 2 }
    }

    #[test]
    fn what_is_not_known_stays_whole() {
        let habits = Habits::new(1);
        assert_eq!(sequence(&habits, &[1]), Some(vec![1]));
        assert_eq!(sequence(&habits, &[1, 2, 3]), None);
        habits.learn(0, shown(None, None), NOW).unwrap();
        assert_eq!(sequence(&habits, &[1, 2, 3]), Some(vec![1, 2, 3]), "the same either way");
        assert_eq!(sequence(&habits, &[2, 1]), None);
        assert_eq!(sequence(&habits, &[1, 1]), None);
        habits.learn(0, shown(Some(Order::AsAsked), None), NOW).unwrap();
        assert_eq!(sequence(&habits, &[2, 1]), Some(vec![2, 1]));
        assert_eq!(sequence(&habits, &[2, 1, 2]), None);
        habits.learn(0, shown(None, Some(Repeats::Each)), NOW).unwrap();
        assert_eq!(sequence(&habits, &[2, 1, 2]), Some(vec![2, 1, 2]));
    }

    #[test]
    fn an_origin_that_sorts_and_answers_once_is_imitated() {
        let habits = Habits::new(1);
        habits.learn(0, shown(Some(Order::Ascending), Some(Repeats::Once)), NOW).unwrap();
        assert_eq!(sequence(&habits, &[3, 1, 3, 2]), Some(vec![1, 2, 3]));
    }

    #[test]
    fn of_what_origins_sort_differently_no_order_is_known_where_it_is_sorted() {
        let text = |item: &str| Unit {
            id: Id::of_text(item).unwrap(),
            text: format!("\"{item}\"").into(),
        };
        let items = ["9000", "82000"].map(text);
        for order in [None, Some(Order::Ascending), Some(Order::AsAsked)] {
            let habits = Habits::new(1);
            habits.learn(0, shown(order, None), NOW).unwrap();
            let is_known = habits.sequence(0, &items, &[0, 1]).is_some();
            assert_eq!(is_known, order == Some(Order::AsAsked), "{order:?}");
        }
    }

    #[test]
    fn a_contradiction_leaves_the_operation_whole_for_a_while() {
        let habits = Habits::new(1);
        habits.learn(0, shown(Some(Order::AsAsked), None), NOW).unwrap();
        let contradiction = habits.learn(0, shown(Some(Order::Ascending), None), NOW);
        assert_eq!(contradiction, Err(Unfit::Order));
        assert_eq!(sequence(&habits, &[1, 2]), None);
        let later = NOW + WHOLE_FOR;
        let units = units(&[2, 1]);
        let different = habits.different(0, &units, later).unwrap();
        assert_eq!(habits.sequence(0, &units, &different), None, "learned anew");
    }

    #[test]
    fn one_thing_in_two_spellings_stays_whole() {
        let habits = Habits::new(1);
        habits.learn(0, shown(Some(Order::AsAsked), Some(Repeats::Each)), NOW).unwrap();
        let mut two = units(&[1, 1]);
        two[1].text = "\"1\"".into();
        assert_eq!(habits.different(0, &two, NOW), None);
    }
}
