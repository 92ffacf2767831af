//! `[reload]`.

use std::time::Duration;

use super::HOUR;
use crate::config::Reload;
use crate::config::reader::Section;
use crate::config::values::duration;

pub(super) fn read(section: &Section<'_>) -> Reload {
    let mut reload = Reload::default();
    section.set("watch_every", &mut reload.watch_every, duration(Duration::ZERO..=HOUR));
    reload
}
