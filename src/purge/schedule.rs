//! Purges that wait: for their `effectiveAt`, or for a gathering span to end.
//!
//! A change of a product may put it into a search that never held it, so it purges searches. When
//! products change by the thousand, each would empty the searches anew. So the first such purge
//! goes at once and opens a span; what follows within the span is gathered and purged together
//! when it ends, which opens the next one.
//!
//! What waits lives in the memory of the node that was told of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::{PurgeMode, PurgeRequest, PurgeSource, Purger, Stamp, Unacknowledged};
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::metrics::Metrics;
use crate::operation::Class;
use crate::tag::Tag;

/// Searches gathered by name; past it the span's end purges every search.
const MAX_GATHERED_TAGS: usize = 10_000;

/// Tags waiting in all, whatever the number of events that named them: some 200 MB at worst.
const MAX_WAITING_TAGS: usize = 2_000_000;

/// What an event, or a delivery of events, purges.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Effect {
    /// Purged when it is asked for.
    pub at_once: PurgeRequest,
    /// Purges of searches, at most one a span.
    pub gathered: PurgeRequest,
}

impl Effect {
    /// Adds another effect.
    pub fn merge(&mut self, other: Self) {
        self.at_once.merge(other.at_once);
        self.gathered.merge(other.gathered);
    }

    /// How many tags it names.
    pub fn len(&self) -> usize {
        self.at_once.len() + self.gathered.len()
    }

    /// Whether it purges nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How long a purge that is due and cannot be made to stand is put off.
const RETRY_DUE_AFTER: Duration = Duration::from_millis(500);

/// Why an effect was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Too much waits already; nothing was applied.
    #[error("too many purges wait for their moment")]
    Full {
        /// When the next waiting purge will have gone.
        retry_after: Duration,
    },
    /// Its purge cannot be said to stand, and nothing of it waits.
    #[error(transparent)]
    Unacknowledged(#[from] Unacknowledged),
}

/// The way of every event to the purge plane, and the owner of what waits. Dropping it ends its
/// task.
#[derive(Debug)]
pub struct Schedule {
    shared: Arc<Shared>,
    _worker: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    purger: Purger,
    clock: Clock,
    metrics: Metrics,
    max_waiting: AtomicUsize,
    /// Held for map operations only, never over a purge.
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    due: BTreeMap<Timestamp, Due>,
    waiting_events: usize,
    waiting_tags: usize,
    gathering: Gathering,
}

/// What becomes due at one moment.
#[derive(Debug, Default)]
struct Due {
    events: usize,
    effect: Effect,
}

impl Schedule {
    /// Starts the task that applies what becomes due. To be called within a Tokio runtime.
    pub fn start(
        purger: Purger,
        clock: Clock,
        metrics: Metrics,
        settings: &config::Ingest,
    ) -> Self {
        // So that they can be watched before the first of each.
        for source in ["event", "schedule"] {
            metrics.purges.with_label_values(&[source]);
        }
        let shared = Arc::new(Shared {
            purger,
            clock,
            metrics,
            max_waiting: AtomicUsize::new(settings.scheduled),
            state: Mutex::new(State {
                due: BTreeMap::new(),
                waiting_events: 0,
                waiting_tags: 0,
                gathering: Gathering::new(settings.search_purge_interval),
            }),
            changed: Notify::new(),
        });
        let worker = tokio::spawn(Arc::clone(&shared).run());
        Self { shared, _worker: AbortOnDropHandle::new(worker) }
    }

    /// Goes by other settings from now on. What waits does so for its moment, and searches that are
    /// being gathered for the end of their span.
    pub fn reconfigure(&self, settings: &config::Ingest) {
        self.shared.max_waiting.store(settings.scheduled, Ordering::Relaxed);
        self.shared.state.lock().gathering.span = settings.search_purge_interval;
    }

    /// Purges `now`, under one number, and keeps each of `later` for its moment.
    ///
    /// # Errors
    /// [`Refused`] when `later` does not fit, or the purge cannot be said to stand; then nothing is
    /// kept.
    pub async fn apply(
        &self,
        now: Effect,
        later: Vec<(Timestamp, Effect)>,
    ) -> Result<Stamp, Refused> {
        let shared = &self.shared;
        let Effect { mut at_once, gathered } = now;
        let place = Place::reserve(shared, &later)?;
        let searches = shared.state.lock().gathering.admit(gathered, shared.clock.now());
        let mut searches = Searches { shared, searches };
        at_once.merge(searches.searches.clone());
        let stamp = shared.purge(at_once, PurgeSource::Event).await?;
        searches.searches = PurgeRequest::default();
        place.fill(later);
        shared.changed.notify_one();
        Ok(stamp)
    }
}

/// Purges of searches that are under way, some of them of earlier events; taken back unless they
/// stand in the end.
struct Searches<'a> {
    shared: &'a Shared,
    searches: PurgeRequest,
}

impl Drop for Searches<'_> {
    fn drop(&mut self) {
        if !self.searches.is_empty() {
            let searches = std::mem::take(&mut self.searches);
            self.shared.state.lock().gathering.take_back(searches);
            self.shared.changed.notify_one();
        }
    }
}

/// Room for what is to wait, given back unless it is filled.
struct Place<'a> {
    shared: &'a Shared,
    events: usize,
    tags: usize,
}

impl<'a> Place<'a> {
    fn reserve(shared: &'a Shared, later: &[(Timestamp, Effect)]) -> Result<Self, Refused> {
        let (events, tags) = (later.len(), later.iter().map(|(_, effect)| effect.len()).sum());
        let mut state = shared.state.lock();
        let max_waiting = shared.max_waiting.load(Ordering::Relaxed);
        state.reserve(events, tags, shared.clock.now(), max_waiting)?;
        Ok(Self { shared, events, tags })
    }

    fn fill(mut self, later: Vec<(Timestamp, Effect)>) {
        (self.events, self.tags) = (0, 0);
        let mut state = self.shared.state.lock();
        for (moment, effect) in later {
            let due = state.due.entry(moment).or_default();
            due.events += 1;
            due.effect.merge(effect);
        }
        state.report(&self.shared.metrics);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.waiting_events -= self.events;
        state.waiting_tags -= self.tags;
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        loop {
            match self.apply_due().await {
                Some(moment) => tokio::select! {
                    () = self.clock.sleep_until(moment) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Purges what is due and tells when there will be more.
    async fn apply_due(&self) -> Option<Timestamp> {
        let request = {
            let mut state = self.state.lock();
            let request = state.take_due(self.clock.now());
            state.report(&self.metrics);
            request
        };
        // Nobody would bring it again: it is tried until it stands.
        while let Err(error) = self.purge(request.clone(), PurgeSource::Schedule).await {
            tracing::debug!(%error, tags = request.len(), "a purge that is due is put off");
            self.clock.sleep(RETRY_DUE_AFTER).await;
        }
        self.state.lock().next_moment()
    }

    async fn purge(
        &self,
        mut request: PurgeRequest,
        source: PurgeSource,
    ) -> Result<Stamp, Unacknowledged> {
        if request.is_empty() {
            return Ok(self.purger.plane().stamp());
        }
        request.deduplicate();
        let stamp = self.purger.purge(&request, source).await?;
        self.metrics.purges.with_label_values(&[source.as_str()]).inc();
        self.metrics.purged_tags.inc_by(u64::try_from(request.len()).unwrap_or(u64::MAX));
        Ok(stamp)
    }
}

impl State {
    fn reserve(
        &mut self,
        events: usize,
        tags: usize,
        now: Timestamp,
        max_waiting: usize,
    ) -> Result<(), Refused> {
        if events == 0 {
            return Ok(());
        }
        if self.waiting_events + events > max_waiting || self.waiting_tags + tags > MAX_WAITING_TAGS
        {
            let next = self.due.keys().next().copied().unwrap_or(now);
            return Err(Refused::Full { retry_after: next.saturating_since(now) });
        }
        self.waiting_events += events;
        self.waiting_tags += tags;
        Ok(())
    }

    fn take_due(&mut self, now: Timestamp) -> PurgeRequest {
        let mut effect = Effect::default();
        while let Some(first) = self.due.first_entry()
            && *first.key() <= now
        {
            let due = first.remove();
            self.waiting_events -= due.events;
            self.waiting_tags -= due.effect.len();
            effect.merge(due.effect);
        }
        let Effect { mut at_once, gathered } = effect;
        at_once.merge(self.gathering.admit(gathered, now));
        at_once.merge(self.gathering.take_due(now));
        at_once
    }

    fn next_moment(&self) -> Option<Timestamp> {
        let next_due = self.due.keys().next().copied();
        next_due.into_iter().chain(self.gathering.due_at()).min()
    }

    fn report(&self, metrics: &Metrics) {
        let waiting = self.waiting_events + usize::from(self.gathering.due_at().is_some());
        metrics.purges_scheduled.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}

/// Purges of searches, at most one a span.
#[derive(Debug)]
struct Gathering {
    span: Duration,
    /// Until when purges are gathered.
    ends_at: Timestamp,
    gathered: PurgeRequest,
}

impl Gathering {
    fn new(span: Duration) -> Self {
        Self { span, ends_at: Timestamp::default(), gathered: PurgeRequest::default() }
    }

    /// Takes a purge in, and gives back what is to be purged at once.
    fn admit(&mut self, searches: PurgeRequest, now: Timestamp) -> PurgeRequest {
        if searches.is_empty() {
            return searches;
        }
        self.gathered.merge(searches);
        // An end more than a span away is one of a clock that was set back since.
        if now >= self.ends_at || self.ends_at > now + self.span {
            return self.open_span(now);
        }
        if self.gathered.len() > MAX_GATHERED_TAGS {
            self.gathered.deduplicate();
            if self.gathered.len() > MAX_GATHERED_TAGS {
                self.gather_every_search();
            }
        }
        PurgeRequest::default()
    }

    fn due_at(&self) -> Option<Timestamp> {
        (!self.gathered.is_empty()).then_some(self.ends_at)
    }

    fn take_due(&mut self, now: Timestamp) -> PurgeRequest {
        match self.due_at() {
            Some(moment) if moment <= now => self.open_span(now),
            _ => PurgeRequest::default(),
        }
    }

    /// What was to be purged at once and could not be waits for the next try, which goes at once.
    fn take_back(&mut self, searches: PurgeRequest) {
        if !searches.is_empty() {
            self.gathered.merge(searches);
            self.ends_at = Timestamp::default();
        }
    }

    fn open_span(&mut self, now: Timestamp) -> PurgeRequest {
        self.ends_at = now + self.span;
        std::mem::take(&mut self.gathered)
    }

    fn gather_every_search(&mut self) {
        let mode = if self.gathered.hard.is_empty() { PurgeMode::Soft } else { PurgeMode::Hard };
        self.gathered = PurgeRequest::default();
        self.gathered.push(Tag::class(Class::Search), mode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tag::TagKind;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const SPAN: Duration = Duration::from_secs(60);

    fn searches(numbers: std::ops::Range<usize>, mode: PurgeMode) -> PurgeRequest {
        let mut request = PurgeRequest::default();
        for number in numbers {
            let tag = Tag::new(Class::Search, TagKind::Category, &number.to_string());
            request.push(tag, mode);
        }
        request
    }

    #[test]
    fn more_searches_than_can_be_gathered_become_every_search() {
        for (mode, tags) in [(PurgeMode::Soft, [0, 1]), (PurgeMode::Hard, [1, 0])] {
            let mut gathering = Gathering::new(SPAN);
            assert_eq!(gathering.admit(searches(0..1, mode), NOW).len(), 1);
            assert!(gathering.admit(searches(0..MAX_GATHERED_TAGS, mode), NOW).is_empty());
            // The same ones again take no room.
            assert!(gathering.admit(searches(0..MAX_GATHERED_TAGS, mode), NOW).is_empty());
            assert_eq!(gathering.gathered.len(), MAX_GATHERED_TAGS);
            let over = MAX_GATHERED_TAGS..MAX_GATHERED_TAGS + 1;
            assert!(gathering.admit(searches(over, mode), NOW).is_empty());
            let due = gathering.take_due(NOW + SPAN);
            assert_eq!([due.hard.len(), due.soft.len()], tags);
            assert_eq!([due.hard, due.soft].concat(), [Tag::class(Class::Search)]);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_hold_searches_for_longer_than_a_span() {
        let mut gathering = Gathering::new(SPAN);
        let later = NOW + Duration::from_secs(3_600);
        assert_eq!(gathering.admit(searches(0..1, PurgeMode::Soft), later).len(), 1);
        assert!(gathering.admit(searches(1..2, PurgeMode::Soft), later).is_empty());
        assert_eq!(gathering.admit(searches(2..3, PurgeMode::Soft), NOW).len(), 2);
    }

    #[test]
    fn a_purge_that_comes_after_the_end_takes_the_gathered_ones_along() {
        let mut gathering = Gathering::new(SPAN);
        gathering.admit(searches(0..1, PurgeMode::Soft), NOW);
        gathering.admit(searches(1..2, PurgeMode::Soft), NOW);
        assert_eq!(gathering.due_at(), Some(NOW + SPAN));
        assert_eq!(gathering.admit(searches(2..3, PurgeMode::Soft), NOW + SPAN).len(), 2);
        assert_eq!(gathering.due_at(), None);
    }

    #[test]
    fn the_tags_that_wait_are_bounded_too() {
        let mut state = State {
            due: BTreeMap::new(),
            waiting_events: 0,
            waiting_tags: MAX_WAITING_TAGS - 1,
            gathering: Gathering::new(SPAN),
        };
        let refused = state.reserve(1, 2, NOW, 10);
        assert_eq!(refused, Err(Refused::Full { retry_after: Duration::ZERO }));
        assert_eq!((state.waiting_events, state.waiting_tags), (0, MAX_WAITING_TAGS - 1));
    }
}
