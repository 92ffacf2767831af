//! `[traces]`.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::{MILLISECOND, WAIT, ca_file};
use crate::config::credential::referred;
use crate::config::reader::{Field, Section};
use crate::config::values::{base_url, boolean, count, duration, list, percent, text};
use crate::config::{Secret, Traces};

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn read(section: &Section<'_>) -> Traces {
    let mut traces = Traces {
        endpoint: section.get("endpoint", base_url),
        ca_file: section.get("ca_file", ca_file),
        ..Traces::default()
    };
    section.set("headers", &mut traces.headers, list(header));
    section.set("service", &mut traces.service, text);
    section.set("sample_percent", &mut traces.sample_percent, percent);
    section.set("follow_sampled", &mut traces.follow_sampled, boolean);
    section.set("slow_after", &mut traces.slow_after, duration(WAIT));
    section.set("queue", &mut traces.queue, count(16..=1_000_000));
    let every = duration(10 * MILLISECOND..=MINUTE);
    section.set("export_every", &mut traces.export_every, every);
    section.set("timeout", &mut traces.timeout, duration(10 * MILLISECOND..=MINUTE));
    section.set("flush_for", &mut traces.flush_for, duration(Duration::ZERO..=MINUTE));
    traces
}

/// `"name: env:NAME"` or `"name: file:PATH"`: the value may be a key, so it stands elsewhere.
fn header(field: &Field<'_>) -> Option<(HeaderName, Secret)> {
    let what = "a field's name and where its value stands, such as \"api-key: env:COLLECTOR_KEY\"";
    let text = field.text(what)?;
    let named = text.split_once(": ");
    let named = named.and_then(|(name, value)| Some((name.parse::<HeaderName>().ok()?, value)));
    // Without the text, in which someone may have put the key itself.
    let Some((name, reference)) = named else { return field.refuse(format!("must be {what}")) };
    let secret = referred(field, reference.trim())?;
    match HeaderValue::from_str(secret.reveal()) {
        Ok(_) => Some((name, secret)),
        Err(_) => field.refuse("the secret cannot be the value of a header field"),
    }
}
