//! An answer for a list of things, taken apart into one answer for each, and put together again.
//!
//! A piece is the answer that the origin would give for the one thing alone: the members around the
//! arrays of items as they came, and of the items those of that thing, byte for byte. So any pieces
//! with the same members around them make an answer, without being read again.
//!
//! Nothing is taken apart on trust. Every member of the answer must be one whose meaning for a part
//! of the list is known, every item must be of a thing that was asked for, and their order must be
//! one that can be made again ([`Evidence`]). An answer of which any of that is not so stays whole.

mod evidence;
mod read;

use std::collections::HashSet;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::dependency::Id;
use crate::operation::Decomposition;

pub use evidence::{Evidence, Order, Repeats, answered, surely_before};
use read::Items;

/// Why an answer stays whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Unfit {
    /// Not a JSON object to its very end.
    #[error("the body is not one whole JSON object")]
    Malformed,
    /// It lacks an array of items, or has something else in its place.
    #[error("an array of items is missing")]
    Items,
    /// It has a member whose meaning for a part of the list is not known.
    #[error("it has a member beside the items that may depend on them")]
    Member,
    /// An item does not name its thing, or one that was not asked for.
    #[error("an item is of nothing that was asked for")]
    Stranger,
    /// The items are in no order that can be made again.
    #[error("the items are in no known order")]
    Order,
    /// It shows as many items as it may, so there may be more.
    #[error("there may be more items than it shows")]
    Cut,
    /// It is a page of an answer, with this many items.
    #[error("it is a page of {0} items, which links on")]
    Page(usize),
    /// It differs from others in what is around the items.
    #[error("the members around the items differ")]
    Around,
    /// Its head or its ids do not let it be stored.
    #[error("it must not be stored")]
    Unstorable,
}

impl Unfit {
    /// The reason, for metric labels and log fields.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Items => "items",
            Self::Member => "member",
            Self::Stranger => "stranger",
            Self::Order => "order",
            Self::Cut => "cut",
            Self::Page(_) => "page",
            Self::Around => "around",
            Self::Unstorable => "unstorable",
        }
    }
}

/// Where the items stand in an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// What is within the brackets of each array, in the order of the body.
    arrays: Box<[Range<usize>]>,
    /// The most items that any of the arrays holds.
    items: usize,
}

impl Layout {
    /// Reads where the items of this thing stand, in an answer for it alone.
    ///
    /// # Errors
    /// [`Unfit`] where it is no answer that can be put together with others.
    pub fn of(body: &[u8], decomposition: &Decomposition, id: &Id) -> Result<Self, Unfit> {
        let arrays = read::arrays(body, decomposition)?;
        if arrays.iter().any(|items| items.list.iter().any(|item| item.id != *id)) {
            return Err(Unfit::Stranger);
        }
        Ok(Self {
            items: arrays.iter().map(|items| items.list.len()).max().unwrap_or_default(),
            arrays: arrays.into_iter().map(|items| items.within).collect(),
        })
    }

    /// How many items there are, of the array that has most.
    pub const fn items(&self) -> usize {
        self.items
    }

    /// What it occupies in memory beside itself, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.arrays)
    }

    /// The bytes between and around the arrays' items.
    fn around<'b>(&self, body: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        let starts = std::iter::once(0).chain(self.arrays.iter().map(|within| within.end));
        let ends = self.arrays.iter().map(|within| within.start).chain([body.len()]);
        starts.zip(ends).map(|(start, end)| body.get(start..end).unwrap_or_default())
    }
}

/// The answer for one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its body.
    pub body: Bytes,
    /// Where its items stand.
    pub layout: Layout,
}

impl Piece {
    /// Whether the origin left the thing out.
    pub fn is_absent(&self) -> bool {
        self.layout.items == 0
    }
}

/// An answer taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakenApart {
    /// A piece for each different thing that was asked for, in the order in which they were.
    pub pieces: Vec<Piece>,
    /// What the answer shows of how the origin answers lists.
    pub evidence: Evidence,
}

/// Takes the answer for `asked` apart, which may show `max_items` at most.
///
/// # Errors
/// [`Unfit`] where it must stay whole.
pub fn take_apart(
    body: &[u8],
    asked: &[&Id],
    decomposition: &Decomposition,
    max_items: usize,
) -> Result<TakenApart, Unfit> {
    let arrays = read::arrays(body, decomposition)?;
    if arrays.iter().any(|items| items.list.len() >= max_items) {
        return Err(Unfit::Cut);
    }
    let (evidence, blocks) = evidence::of(body, asked, &arrays)?;
    let whole =
        Layout { arrays: arrays.iter().map(|items| items.within.clone()).collect(), items: 0 };
    let mut seen = HashSet::new();
    let different = asked.iter().filter(|id| seen.insert(**id));
    let pieces = different.map(|id| {
        let blocks = blocks.iter().map(|blocks| blocks.get(*id).cloned().unwrap_or(0..0));
        piece(body, &whole, blocks, &arrays)
    });
    Ok(TakenApart { pieces: pieces.collect(), evidence })
}

fn piece(
    body: &[u8],
    whole: &Layout,
    blocks: impl Iterator<Item = Range<usize>>,
    arrays: &[Items],
) -> Piece {
    let mut written = BytesMut::new();
    let mut within = Vec::with_capacity(arrays.len());
    let mut around = whole.around(body);
    let mut most = 0;
    for (block, items) in blocks.zip(arrays) {
        written.put_slice(around.next().unwrap_or_default());
        let start = written.len();
        written.put_slice(body.get(block.clone()).unwrap_or_default());
        within.push(start..written.len());
        let first = items.list.partition_point(|item| item.range.start < block.start);
        let end = items.list.partition_point(|item| item.range.start < block.end);
        most = most.max(end.saturating_sub(first));
    }
    written.put_slice(around.next().unwrap_or_default());
    // Exactly as long as it is: it is kept for as long as it is stored.
    let body = Bytes::copy_from_slice(&written);
    Piece { body, layout: Layout { arrays: within.into(), items: most } }
}

/// Puts pieces together, in this order: the body of the answer for all of them.
///
/// # Errors
/// [`Unfit::Around`] where they differ in what is around their items.
pub fn put_together(pieces: &[(&Bytes, &Layout)]) -> Result<Bytes, Unfit> {
    let Some((first, layout)) = pieces.first() else { return Err(Unfit::Items) };
    if let [(only, _)] = pieces {
        return Ok((*only).clone());
    }
    let around: Vec<&[u8]> = layout.around(first).collect();
    let is_alike =
        |(body, layout): &(&Bytes, &Layout)| layout.around(body).eq(around.iter().copied());
    if !pieces.iter().all(is_alike) {
        return Err(Unfit::Around);
    }
    let bytes: usize = pieces.iter().map(|(body, _)| body.len() + 1).sum();
    let mut whole = BytesMut::with_capacity(bytes);
    for (number, text) in around.iter().enumerate() {
        whole.put_slice(text);
        let mut is_first = true;
        for (body, layout) in pieces {
            let within = layout.arrays.get(number).and_then(|range| body.get(range.clone()));
            let within = within.unwrap_or_default().trim_ascii();
            if within.is_empty() {
                continue;
            }
            if !is_first {
                whole.put_u8(b',');
            }
            is_first = false;
            whole.put_slice(within);
        }
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests;
