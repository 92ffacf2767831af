//! What an answer shows of how its origin answers lists.
//!
//! Whether items come in the order in which they were asked for, and what becomes of a thing that is
//! asked for twice, no page of Microsoft's says, and a list in one order shows nothing of another.
//! So each possible way is held against the answer, and only what remains is believed.
//!
//! Nor does anything say how an origin that sorts sorts texts: 9000 comes before 82000 as a number
//! and behind it as a text, and letter case and punctuation may count or not. So an answer shows that
//! nothing was sorted only where it is in none of these orders, up or down, and two things are known to be
//! answered in ascending order only where all of them agree.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::Unfit;
use super::read::{Item, Items};
use crate::dependency::Id;

/// In which order an origin answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Order {
    /// As it was asked.
    AsAsked,
    /// By ids, the smallest first.
    Ascending,
}

/// The orders in which an origin may sort: numbers by what they are worth, all as texts, and these
/// without regard to letter case and punctuation.
const SORTS: [fn(&Id, &Id) -> Ordering; 3] = [Ord::cmp, by_text, by_letters];

fn by_text(a: &Id, b: &Id) -> Ordering {
    match (a, b) {
        (Id::Text(a), Id::Text(b)) => a.cmp(b),
        _ => a.to_string().cmp(&b.to_string()),
    }
}

/// Where letters are not ASCII's, every language has an order of its own: nothing comes first.
fn by_letters(a: &Id, b: &Id) -> Ordering {
    let [a, b] = [a, b].map(Id::to_string);
    if !a.is_ascii() || !b.is_ascii() {
        return Ordering::Equal;
    }
    let letters = |text: String| {
        let letters = text.into_bytes().into_iter().filter(u8::is_ascii_alphanumeric);
        letters.map(|letter| letter.to_ascii_lowercase()).collect::<Vec<u8>>()
    };
    letters(a).cmp(&letters(b))
}

/// Whether one thing is answered before another by every origin that sorts.
pub fn surely_before(a: &Id, b: &Id) -> bool {
    match (a, b) {
        (Id::Number(a), Id::Number(b)) if *a > 0 && *b > 0 && a.ilog10() == b.ilog10() => a < b,
        _ => SORTS.iter().all(|sort| sort(a, b).is_lt()),
    }
}

/// Whether items may have been sorted.
fn may_be_sorted(items: &Items) -> bool {
    let is_sorted = |sort: fn(&Id, &Id) -> Ordering| {
        items.list.is_sorted_by(|a, b| sort(&a.id, &b.id).is_le())
            || items.list.is_sorted_by(|a, b| sort(&a.id, &b.id).is_ge())
    };
    SORTS.into_iter().any(is_sorted)
}

/// What becomes of a thing that is asked for more than once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Repeats {
    /// It is answered each time.
    Each,
    /// It is answered once, at the first of its places.
    Once,
}

/// What an answer shows; `None` where it would look the same either way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Evidence {
    /// Of the order.
    pub order: Option<Order>,
    /// Of repetitions.
    pub repeats: Option<Repeats>,
    /// How many different things it has items of.
    pub things: usize,
}

/// The items of each thing, by array: the first unbroken run of them.
pub(super) type Blocks<'a> = Vec<HashMap<&'a Id, Range<usize>>>;

/// The things of a list in the order in which they are answered, each time that they are.
pub fn answered<'i>(asked: &[&'i Id], order: Order, repeats: Repeats) -> Vec<&'i Id> {
    let mut answered = asked.to_vec();
    if repeats == Repeats::Once {
        let mut seen = HashSet::new();
        answered.retain(|id| seen.insert(*id));
    }
    if order == Order::Ascending {
        answered.sort();
    }
    answered
}

/// Holds every way against the answer.
pub(super) fn of<'a>(
    body: &[u8],
    asked: &[&'a Id],
    arrays: &'a [Items],
) -> Result<(Evidence, Blocks<'a>), Unfit> {
    let different: HashSet<&Id> = asked.iter().copied().collect();
    let is_asked = |items: &Items| items.list.iter().all(|item| different.contains(&item.id));
    if !arrays.iter().all(is_asked) {
        return Err(Unfit::Stranger);
    }
    let ways = [
        (Order::AsAsked, Repeats::Each),
        (Order::AsAsked, Repeats::Once),
        (Order::Ascending, Repeats::Each),
        (Order::Ascending, Repeats::Once),
    ];
    let fits = ways.into_iter().filter_map(|(order, repeats)| {
        let answered = answered(asked, order, repeats);
        let blocks = arrays.iter().map(|items| blocks(body, &answered, items));
        Some(((order, repeats), blocks.collect::<Option<Blocks<'_>>>()?))
    });
    let (fitting, mut blocks): (Vec<_>, Vec<_>) = fits.unzip();
    let blocks = if blocks.is_empty() { return Err(Unfit::Order) } else { blocks.swap_remove(0) };
    let (orders, repeats): (Vec<_>, Vec<_>) = fitting.into_iter().unzip();
    let order = only(&orders)
        .filter(|order| *order == Order::Ascending || !arrays.iter().all(may_be_sorted));
    let things = blocks.iter().map(HashMap::len).max().unwrap_or_default();
    Ok((Evidence { order, repeats: only(&repeats), things }, blocks))
}

/// What all ways that fit have in common.
fn only<T: Copy + PartialEq>(ways: &[T]) -> Option<T> {
    let (first, others) = ways.split_first()?;
    others.iter().all(|other| other == first).then_some(*first)
}

/// The blocks of one array, if things were answered in this order.
fn blocks<'a>(
    body: &[u8],
    answered: &[&Id],
    items: &'a Items,
) -> Option<HashMap<&'a Id, Range<usize>>> {
    let mut there: HashMap<&Id, usize> = HashMap::new();
    items.list.iter().for_each(|item| *there.entry(&item.id).or_default() += 1);
    let mut times: HashMap<&Id, usize> = HashMap::new();
    answered.iter().for_each(|id| *times.entry(id).or_default() += 1);
    let mut blocks: HashMap<&Id, Range<usize>> = HashMap::new();
    let mut rest = items.list.as_slice();
    for id in answered {
        let (Some(all), Some(times)) = (there.get(id), times.get(id)) else { continue };
        if all % times != 0 {
            return None;
        }
        let (block, behind) = rest.split_at_checked(all / times)?;
        rest = behind;
        let (first, last) = (block.first()?, block.last()?);
        let text = |item: &Item| body.get(item.range.clone());
        // Nothing is said of a thing twice in the same words unless it was asked for twice.
        let mut texts = HashSet::new();
        if !block.iter().all(|item| item.id == **id && texts.insert(text(item))) {
            return None;
        }
        let range = first.range.start..last.range.end;
        let earlier = blocks.entry(&first.id).or_insert_with(|| range.clone());
        if body.get(earlier.clone()) != body.get(range) {
            return None;
        }
    }
    rest.is_empty().then_some(blocks)
}
