//! A question for a list of things each of which is answered by itself, taken apart.
//!
//! It is taken apart only where the answer for the list is certain to be the answers for its
//! elements, one after the other. Options that select or filter look at one item at a time
//! (OData 4.01 Protocol §11.2.5.1, §11.2.6.1). What orders items, counts them, or shows a part of
//! them does not, nor is it known what an option does that is not OData's: such questions stay whole.

use std::collections::HashSet;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::PathAndQuery;

use super::headers::KeyedHeaders;
use super::{Forward, Named, Question};
use crate::cache_key::{CacheKey, Field, KeyStem};
use crate::dependency::{Id, RequestDependencies};
use crate::odata::QueryOptions;
use crate::odata::body::{BodyList, Scalar, observe_value};
use crate::operation::{Decomposition, Operation};

/// A list that is longer is asked for whole: its answer would fill a page of Retail Server's, and not
/// show whether it is all.
const MAX_UNITS: usize = 999;

/// Options that look at one item at a time, or that are known to change nothing here. (`$top` and
/// `$skip` are looked at as what they let through.)
const BY_ITEM: [&str; 4] = ["api-version", "$filter", "$top", "$skip"];

/// A question for a list, understood.
#[derive(Clone, Debug)]
pub struct ListedQuestion {
    operation: Arc<Operation>,
    stem: KeyStem,
    units: Box<[Unit]>,
    max_items: usize,
    body: BodyList,
    path_and_query: PathAndQuery,
    headers: KeyedHeaders,
    /// What it names beside its list.
    rest: RequestDependencies,
    is_of_now: bool,
}

/// One thing that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// What names it, in the answer too.
    pub id: Id,
    /// The elements that ask for it, in canonical form with commas between.
    pub text: Box<str>,
}

/// What of a question is not its list.
pub(super) struct Rest<'a> {
    pub(super) operation: &'a Arc<Operation>,
    pub(super) stem: KeyStem,
    pub(super) max_items: usize,
    pub(super) path_and_query: PathAndQuery,
    pub(super) headers: KeyedHeaders,
    pub(super) dependencies: RequestDependencies,
    pub(super) is_of_now: bool,
}

/// How many items such a question's answer can show, as far as options and preferences tell; `None`
/// where it is not certain that its answer comes apart.
pub(super) fn max_items(
    options: &QueryOptions<'_>,
    decomposition: &Decomposition,
    prefer: Option<&HeaderValue>,
    answered_whole: usize,
) -> Option<usize> {
    let is_by_item = options.iter().all(|(name, value)| match name {
        "$select" => value.is_some_and(|selected| names_things(selected, decomposition)),
        name => BY_ITEM.contains(&name),
    });
    (is_by_item && prefer.is_none() && answered_whole > 0).then_some(answered_whole)
}

/// Whether what is selected still names the things: what does not cannot be taken apart. Of a
/// collection it is members of the items that are selected, else of the object around them.
fn names_things(selected: &str, decomposition: &Decomposition) -> bool {
    let has = |name: &str| selected.split([',', ' ', '+']).any(|selected| selected == name);
    match &*decomposition.items {
        [only] if **only == *"value" => has(&decomposition.item_id) || has("*"),
        arrays => arrays.iter().all(|array| has(array)) || has("*"),
    }
}

/// The units of a list; `None` where one of its elements does not name anything with certainty.
pub(super) fn units(elements: Vec<Box<str>>, decomposition: &Decomposition) -> Option<Box<[Unit]>> {
    if elements.is_empty() || elements.len() > MAX_UNITS {
        return None;
    }
    let is_text = |element: &str| element.starts_with('"');
    let mut units: Vec<(Id, String)> = Vec::with_capacity(elements.len());
    let are_texts = elements.first().is_some_and(|first| is_text(first));
    if elements.iter().any(|element| is_text(element) != are_texts) {
        // A number and the text that writes it name one thing in two ways.
        return None;
    }
    for text in elements {
        let id = id_of(&text, decomposition)?;
        match units.last_mut() {
            // What is said of one thing may be said over all elements that name it.
            Some((last, texts)) if *last == id && decomposition.list_id.is_some() => {
                texts.push(',');
                texts.push_str(&text);
            }
            _ => units.push((id, text.into())),
        }
    }
    let units: Box<[Unit]> =
        units.into_iter().map(|(id, text)| Unit { id, text: text.into() }).collect();
    // Of what is said of it at several places the origin may make one thing or several: it may sum
    // them, and whether places are beside each other may depend on what is found between.
    let mut named = HashSet::new();
    if decomposition.list_id.is_some() && !units.iter().all(|unit| named.insert(&unit.id)) {
        return None;
    }
    Some(units)
}

fn id_of(element: &str, decomposition: &Decomposition) -> Option<Id> {
    let list_name = decomposition.list_name();
    let member = decomposition.list_id.as_deref().unwrap_or(list_name);
    if element.starts_with('{') != decomposition.list_id.is_some() || element.starts_with('[') {
        return None;
    }
    let (mut id, mut times) = (None, 0);
    let read = observe_value(element, list_name, &mut |seen| {
        if let Scalar::Number(text) | Scalar::Text(text) = seen.value
            && seen.member.eq_ignore_ascii_case(member)
        {
            times += 1;
            id = Id::of_text(text);
        }
    });
    // 0 is how clients name none.
    id.filter(|id| read.is_ok() && times == 1 && *id != Id::Number(0))
}

impl ListedQuestion {
    pub(super) fn new(rest: Rest<'_>, units: Box<[Unit]>, body: BodyList) -> Self {
        let Rest { operation, stem, max_items, path_and_query, headers, .. } = rest;
        Self {
            operation: Arc::clone(operation),
            stem,
            units,
            max_items,
            body,
            path_and_query,
            headers,
            rest: rest.dependencies,
            is_of_now: rest.is_of_now,
        }
    }

    /// What is asked for, as it was asked for: in order, repetitions included.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// How many items an answer can show. Of one with more, the origin shows a part.
    pub const fn max_items(&self) -> usize {
        self.max_items
    }

    /// The same question for one thing of the list.
    #[must_use]
    pub fn only(&self, unit: &Unit) -> Self {
        Self {
            operation: Arc::clone(&self.operation),
            stem: self.stem.clone(),
            units: [unit.clone()].into(),
            max_items: self.max_items,
            body: self.body.clone(),
            path_and_query: self.path_and_query.clone(),
            headers: self.headers.clone(),
            rest: self.rest.clone(),
            is_of_now: self.is_of_now,
        }
    }

    /// Whether the same request, later, is another question.
    pub const fn is_of_now(&self) -> bool {
        self.is_of_now
    }

    /// Whether the client asks for no less than what the server shows at once.
    pub const fn shows_a_whole_page(&self) -> bool {
        self.max_items > MAX_UNITS
    }

    /// What the question is beside its list: the same for all that can be asked together.
    pub fn kind(&self) -> CacheKey {
        self.stem.key()
    }

    /// What identifies the question for one unit alone.
    pub fn key_of(&self, unit: &Unit) -> Option<CacheKey> {
        self.stem.with(Field::Element, unit.text.as_bytes())
    }

    /// The question for one unit alone.
    pub fn alone(&self, unit: &Unit) -> Option<Question> {
        self.question(&unit.text)
    }

    /// The whole question, kept as it was asked: neither order nor repetitions are made the same.
    pub fn as_asked(&self) -> Option<Question> {
        self.question(&self.texts())
    }

    /// What identifies the whole question, as it was asked.
    pub fn key_as_asked(&self) -> Option<CacheKey> {
        self.stem.with(Field::Element, self.texts().as_bytes())
    }

    fn texts(&self) -> String {
        let texts: Vec<&str> = self.units.iter().map(|unit| &*unit.text).collect();
        texts.join(",")
    }

    /// The request for these units, in this order.
    pub fn forward<'u>(&self, units: impl Iterator<Item = &'u Unit>) -> Forward {
        self.forward_texts(units.map(|unit| &*unit.text))
    }

    fn question(&self, texts: &str) -> Option<Question> {
        Some(Question {
            key: self.stem.with(Field::Element, texts.as_bytes())?,
            forward: self.forward_texts(std::iter::once(texts)),
            dependencies: self.dependencies(texts),
            is_of_now: self.is_of_now,
        })
    }

    fn forward_texts<'t>(&self, texts: impl Iterator<Item = &'t str>) -> Forward {
        Forward {
            path_and_query: self.path_and_query.clone(),
            headers: self.headers.clone(),
            body: self.body.forward(texts),
        }
    }

    fn dependencies(&self, texts: &str) -> RequestDependencies {
        let mut named = Named::continued(&self.operation, self.rest.clone());
        let list_name = self.operation.decomposition.as_ref().map_or("", Decomposition::list_name);
        // Canonical, so it can be read.
        let _ = observe_value(&format!("[{texts}]"), list_name, &mut |seen| named.add_seen(seen));
        named.into_dependencies()
    }
}
