//! How an operation's answer comes apart by the things that were asked for.

use super::FieldPath;
use crate::config::DecomposeRule;

/// An operation that is asked for a list of things, and answers each of them by itself: what it says
/// of one does not depend on which others are asked for with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decomposition {
    /// The body parameter that lists what is asked for.
    pub list: FieldPath,
    /// The member of the list's elements that names the thing, where they are objects; `None` where
    /// the elements are the names.
    pub list_id: Option<Box<str>>,
    /// The members of the answer whose arrays hold what is said of each thing.
    pub items: Box<[Box<str>]>,
    /// The member of those arrays' elements that names the thing.
    pub item_id: Box<str>,
    /// How many things are asked for in one call at most.
    pub max_ids: usize,
}

/// [`Decomposition::max_ids`] where nothing else is said: a tenth of the largest page that Retail
/// Server gives.
pub const DEFAULT_MAX_IDS: usize = 100;

impl Decomposition {
    /// Elements that are ids, in one parameter.
    pub(super) fn of_ids(list: &str, items: &[&str], item_id: &str) -> Option<Self> {
        Some(Self {
            list: FieldPath::parse(list)?,
            list_id: None,
            items: items.iter().map(|&name| name.into()).collect(),
            item_id: item_id.into(),
            max_ids: DEFAULT_MAX_IDS,
        })
    }

    /// What a rule of the configuration makes of it: `built_in` changed, or a new one.
    ///
    /// # Errors
    /// The rule's key that is missing.
    pub(super) fn by_rule(
        built_in: Option<&Self>,
        rule: &DecomposeRule,
    ) -> Result<Option<Self>, &'static str> {
        if rule.enabled == Some(false) {
            return Ok(None);
        }
        if *rule == DecomposeRule::default() {
            return Ok(built_in.cloned());
        }
        let list = rule.list.as_deref().and_then(FieldPath::parse);
        let items = rule.items.as_ref().map(|items| items.iter().map(|name| (**name).into()));
        Ok(Some(Self {
            list: list.or_else(|| built_in.map(|of| of.list.clone())).ok_or("list")?,
            list_id: match &rule.list_id {
                Some(name) => Some((**name).into()),
                None => built_in.and_then(|of| of.list_id.clone()),
            },
            items: items
                .map(Iterator::collect)
                .or_else(|| built_in.map(|of| of.items.clone()))
                .ok_or("items")?,
            item_id: rule
                .item_id
                .as_deref()
                .map(Box::from)
                .or_else(|| built_in.map(|of| of.item_id.clone()))
                .ok_or("item_id")?,
            max_ids: rule
                .max_ids
                .unwrap_or_else(|| built_in.map_or(DEFAULT_MAX_IDS, |of| of.max_ids)),
        }))
    }

    /// The name of the list's own member.
    pub fn list_name(&self) -> &str {
        self.list.last()
    }
}
