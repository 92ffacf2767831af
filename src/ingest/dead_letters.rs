//! Events that no rule knew what to do with: kept for reading, never dropped in silence.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::delivery::Identity;
use super::event::DeadLetterReason;
use crate::clock::Timestamp;
use crate::metrics::Metrics;

/// Bytes of an event that are kept.
const MAX_EVENT_BYTES: usize = 16 << 10;

/// Bytes of a type, a source and an id that are kept.
const MAX_NAME_BYTES: usize = 1 << 10;

/// Bytes of an event, and of a type, a source and an id, that are told of one letter among others.
const SHORT_EVENT_BYTES: usize = 1 << 10;
const SHORT_NAME_BYTES: usize = 200;

/// One event kept aside.
#[derive(Clone, PartialEq, Debug)]
pub struct DeadLetter {
    received_at: Timestamp,
    reason: DeadLetterReason,
    type_name: String,
    identity: Option<Identity>,
    /// The event's JSON, cut when it is too long.
    text: String,
    truncated: bool,
}

impl DeadLetter {
    /// Keeps an event, or its beginning.
    pub fn new(
        received_at: Timestamp,
        reason: DeadLetterReason,
        type_name: &str,
        identity: Option<&Identity>,
        event: &Value,
    ) -> Self {
        let whole = event.to_string();
        let text = cut(&whole, MAX_EVENT_BYTES);
        Self {
            received_at,
            reason,
            type_name: cut(type_name, MAX_NAME_BYTES).to_owned(),
            identity: identity.map(|identity| Identity {
                source: cut(&identity.source, MAX_NAME_BYTES).to_owned(),
                id: cut(&identity.id, MAX_NAME_BYTES).to_owned(),
            }),
            truncated: text.len() < whole.len(),
            text: text.to_owned(),
        }
    }

    /// The letter in little room: the event as text, or its beginning.
    pub fn to_short_json(&self) -> Value {
        let text = cut(&self.text, SHORT_EVENT_BYTES);
        json!({
            "receivedAt": self.received_at.to_string(),
            "reason": self.reason.as_str(),
            "type": cut(&self.type_name, SHORT_NAME_BYTES),
            "source": self.identity.as_ref().map(|identity| cut(&identity.source, SHORT_NAME_BYTES)),
            "id": self.identity.as_ref().map(|identity| cut(&identity.id, SHORT_NAME_BYTES)),
            "truncated": self.truncated || text.len() < self.text.len(),
            "event": text,
        })
    }

    /// The letter as the control listener shows it: the event as JSON, or its beginning as text.
    pub fn to_json(&self) -> Value {
        let event = if self.truncated {
            Value::String(self.text.clone())
        } else {
            serde_json::from_str(&self.text).unwrap_or(Value::Null)
        };
        json!({
            "receivedAt": self.received_at.to_string(),
            "reason": self.reason.as_str(),
            "type": self.type_name,
            "source": self.identity.as_ref().map(|identity| &identity.source),
            "id": self.identity.as_ref().map(|identity| &identity.id),
            "truncated": self.truncated,
            "event": event,
        })
    }
}

/// As much of the text as fits, cut between characters.
fn cut(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The last dead letters, the oldest out first.
#[derive(Debug)]
pub struct DeadLetters {
    max: AtomicUsize,
    metrics: Metrics,
    letters: Mutex<VecDeque<DeadLetter>>,
}

impl DeadLetters {
    /// Keeps at most `max` letters.
    pub fn new(max: usize, metrics: Metrics) -> Self {
        // So that they can be watched before the first of each.
        for reason in DeadLetterReason::ALL {
            metrics.dead_letters.with_label_values(&[reason.as_str()]);
        }
        Self { max: AtomicUsize::new(max), metrics, letters: Mutex::default() }
    }

    /// Keeps at most so many from now on.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
        self.make_room(&mut self.letters.lock());
    }

    /// Counts and keeps a letter.
    pub fn add(&self, letter: DeadLetter) {
        self.metrics.dead_letters.with_label_values(&[letter.reason.as_str()]).inc();
        let mut letters = self.letters.lock();
        letters.push_back(letter);
        self.make_room(&mut letters);
    }

    fn make_room(&self, letters: &mut VecDeque<DeadLetter>) {
        while letters.len() > self.max.load(Ordering::Relaxed) {
            letters.pop_front();
        }
        let kept = i64::try_from(letters.len()).unwrap_or(i64::MAX);
        self.metrics.dead_letters_kept.set(kept);
    }

    /// The newest letters, at most `limit`, the newest first.
    pub fn newest(&self, limit: usize) -> Vec<DeadLetter> {
        self.letters.lock().iter().rev().take(limit).cloned().collect()
    }

    /// How many letters are kept.
    pub fn len(&self) -> usize {
        self.letters.lock().len()
    }

    /// Whether no letter is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(event: &Value) -> DeadLetter {
        let moment = Timestamp::from_millis(1_777_284_000_123);
        DeadLetter::new(moment, DeadLetterReason::UnknownType, "x", None, event)
    }

    #[test]
    fn an_event_past_the_cap_is_kept_in_part_and_says_so() {
        let whole = letter(&json!({ "type": "x" })).to_json();
        assert_eq!(whole["event"], json!({ "type": "x" }));
        assert_eq!(whole["truncated"], json!(false));
        let cut = letter(&json!({ "type": "x", "text": "é".repeat(MAX_EVENT_BYTES) })).to_json();
        assert_eq!(cut["truncated"], json!(true));
        assert!(cut["event"].as_str().unwrap().len() <= MAX_EVENT_BYTES);
    }

    #[test]
    fn the_oldest_letter_makes_room_and_the_newest_is_listed_first() {
        let letters = DeadLetters::new(2, Metrics::new().unwrap());
        for number in 1..=3 {
            letters.add(letter(&json!(number)));
        }
        let listed: Vec<Value> =
            letters.newest(10).iter().map(|letter| letter.to_json()["event"].clone()).collect();
        assert_eq!(listed, [json!(3), json!(2)]);
    }
}
