//! `[access_log]`.

use std::time::Duration;

use crate::config::reader::{Field, Section};
use crate::config::values::{count, duration, one_of, text};
use crate::config::{AccessLog, AccessLogTo, LoggedTarget};

/// The longest that a process that was told to end waits for what is left.
const LONGEST_FLUSH: Duration = Duration::from_secs(60);

pub(super) fn read(section: &Section<'_>) -> AccessLog {
    let to = section.get("to", destination);
    let mut log = AccessLog { to, ..AccessLog::default() };
    let targets = one_of([
        ("none", LoggedTarget::None),
        ("path", LoggedTarget::Path),
        ("path-and-query", LoggedTarget::PathAndQuery),
    ]);
    section.set("target", &mut log.target, targets);
    section.set("queue", &mut log.queue, count(16..=1_000_000));
    section.set("flush_for", &mut log.flush_for, duration(Duration::ZERO..=LONGEST_FLUSH));
    log
}

/// `"stdout"`, or the path of a file.
fn destination(field: &Field<'_>) -> Option<AccessLogTo> {
    let text = text(field)?;
    match text.as_str() {
        "stdout" => Some(AccessLogTo::Stdout),
        path if path.contains('/') => Some(AccessLogTo::File(path.into())),
        // A file of that name in the working directory is rarely meant.
        _ => field
            .refuse("must be \"stdout\" or a path with a slash in it, such as \"./access.log\""),
    }
}
