//! The answers in a batch's answer: the origin's, and ours.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{BatchError, Form, Item};

/// One of the origin's answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The item that it answers: its place in the client's batch.
    pub item: usize,
    /// `Content-ID`, or `id`.
    pub id: Option<String>,
    /// The part as it came.
    pub raw: Bytes,
    /// What it says; none for a change set that succeeded, and for what cannot be read with
    /// certainty.
    pub response: Option<PartResponse>,
}

/// A response as it would stand outside of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartResponse {
    /// The status.
    pub status: StatusCode,
    /// Its fields, that of its length apart.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// One of the answers to the client.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// The origin's, as it came.
    Verbatim(&'a Answer),
    /// One of our own.
    Own(Own<'a>),
}

/// An answer of our own. Its body is not compressed, and what of the fields belongs to a connection
/// or to framing is left out.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The id of the item that it answers.
    pub id: Option<&'a str>,
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Bytes,
}

/// An answer that is not known to belong to an item yet.
pub(super) struct Found {
    pub(super) raw: Bytes,
    pub(super) id: Option<String>,
    pub(super) response: Option<PartResponse>,
}

/// Says which item each answer belongs to: by its place in multipart, by its id in JSON.
///
/// # Errors
/// When there is no one item for each.
pub(super) fn assign(
    form: &Form,
    items: &[Item],
    sent: &[usize],
    found: Vec<Found>,
) -> Result<Vec<Answer>, BatchError> {
    let places = match form {
        Form::Multipart { .. } => by_place(items, sent, &found),
        Form::Json => by_id(items, sent, &found),
    };
    let places = places.ok_or(BatchError::Unmatched)?;
    let answer = |(item, Found { raw, id, response })| Answer { item, id, raw, response };
    Ok(places.into_iter().zip(found).map(answer).collect())
}

fn by_place(items: &[Item], sent: &[usize], found: &[Found]) -> Option<Vec<usize>> {
    let place = |(&place, found): (&usize, &Found)| {
        let asked = items.get(place)?.id.as_ref();
        let is_other = asked.zip(found.id.as_ref()).is_some_and(|(asked, told)| asked != told);
        (!is_other).then_some(place)
    };
    (found.len() <= sent.len()).then(|| sent.iter().zip(found).map(place).collect())?
}

fn by_id(items: &[Item], sent: &[usize], found: &[Found]) -> Option<Vec<usize>> {
    let id_of = |&place: &usize| Some((items.get(place)?.id.as_deref()?, place));
    let mut open: HashMap<&str, usize> = sent.iter().filter_map(id_of).collect();
    found.iter().map(|found| open.remove(found.id.as_deref()?)).collect()
}
