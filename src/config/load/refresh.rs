//! `[refresh]`.

use crate::config::Refresh;
use crate::config::reader::Section;
use crate::config::values::{count, list, one_of};
use crate::operation::Class;

pub(super) fn read(section: &Section<'_>) -> Refresh {
    let mut refresh = Refresh::default();
    section.set("ahead_percent", &mut refresh.ahead_percent, count(0..=10_000));
    let classes = list(one_of(Class::ALL.map(|class| (class.as_str(), class))));
    section.set("after_purge", &mut refresh.after_purge, classes);
    section.set("hottest", &mut refresh.hottest, count(0..=100_000));
    refresh
}
