//! A link's metrics, each looked up by its labels once.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::{Histogram, IntGauge};

use super::{Command, Failure, LinkError, Role, State};
use crate::metrics::{Counter, Metrics};

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Ok,
    Down,
    TimedOut,
    GivenUp,
    Lost,
    Garbled,
    NotPrimary,
    NotReady,
    Refused,
}

impl Outcome {
    const COUNT: usize = Self::Refused as usize + 1;

    pub(super) const fn of<T>(result: &Result<T, LinkError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(LinkError::Down) => Self::Down,
            Err(LinkError::TimedOut) => Self::TimedOut,
            Err(LinkError::GivenUp) => Self::GivenUp,
            Err(LinkError::Failed { failure, .. }) => match failure {
                Failure::TimedOut => Self::TimedOut,
                Failure::Lost => Self::Lost,
                Failure::Garbled => Self::Garbled,
                Failure::NotPrimary => Self::NotPrimary,
                Failure::NotReady => Self::NotReady,
                Failure::Refused => Self::Refused,
            },
        }
    }
}

/// A series appears with its first event: most of the combinations never happen.
pub(super) struct Tally {
    metrics: Metrics,
    role: Role,
    commands: [[OnceLock<Counter>; Outcome::COUNT]; Command::ALL.len()],
    seconds: [OnceLock<Histogram>; Command::ALL.len()],
    state: IntGauge,
}

impl Tally {
    pub(super) fn new(metrics: Metrics, role: Role) -> Self {
        let state = metrics.redis_breaker_state.with_label_values(&[role.as_str()]);
        state.set(State::Open.as_number());
        Self {
            metrics,
            role,
            commands: [const { [const { OnceLock::new() }; Outcome::COUNT] }; Command::ALL.len()],
            seconds: [const { OnceLock::new() }; Command::ALL.len()],
            state,
        }
    }

    /// A command ended; `took` where it was sent.
    pub(super) fn count<T>(
        &self,
        command: Command,
        result: &Result<T, LinkError>,
        took: Option<Duration>,
    ) {
        let label = match result {
            Ok(_) => "ok",
            Err(error) => error.as_str(),
        };
        let outcome = Outcome::of(result) as usize;
        if let Some(counter) = self.commands.get(command as usize).and_then(|of| of.get(outcome)) {
            let labels = [self.role.as_str(), command.as_str(), label];
            counter.get_or_init(|| self.metrics.redis_commands.with_label_values(&labels)).inc();
        }
        if let (Some(took), Some(seconds)) = (took, self.seconds.get(command as usize)) {
            let family = &self.metrics.redis_command_seconds;
            seconds
                .get_or_init(|| family.with_label_values(&[command.as_str()]))
                .observe(took.as_secs_f64());
        }
    }

    pub(super) fn state(&self, state: State) {
        self.state.set(state.as_number());
    }

    pub(super) fn replaced(&self, reason: &str) {
        let labels = [self.role.as_str(), reason];
        self.metrics.redis_connections_replaced.with_label_values(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each, so that a link that is added to the enums is added to the page too.
    #[test]
    fn every_label_is_in_the_operators_page() {
        let page = include_str!("../../docs/operations.md");
        let (_, told) = page.split_once("\n### Redis\n").unwrap();
        let told = told.split("Worth an alert").next().unwrap();
        let failures = [
            Failure::TimedOut,
            Failure::Lost,
            Failure::Garbled,
            Failure::NotPrimary,
            Failure::NotReady,
            Failure::Refused,
        ];
        let names = Command::ALL
            .map(Command::as_str)
            .into_iter()
            .chain([Role::Tier, Role::Purge, Role::Follow].map(Role::as_str))
            .chain(failures.map(Failure::as_str))
            .chain([LinkError::Down.as_str(), LinkError::GivenUp.as_str(), "ok"]);
        for name in names {
            assert!(told.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn commands_are_counted_by_how_they_ended() {
        let metrics = Metrics::new().unwrap();
        let tally = Tally::new(metrics.clone(), Role::Tier);
        tally.count(Command::Get, &Ok(()), Some(Duration::from_millis(1)));
        tally.count::<()>(Command::Get, &Err(LinkError::Down), None);
        tally.count::<()>(Command::Get, &Err(LinkError::Down), None);
        let counted =
            |outcome| metrics.redis_commands.with_label_values(&["tier", "get", outcome]).get();
        assert_eq!((counted("ok"), counted("down")), (1, 2));
        let seconds = metrics.redis_command_seconds.with_label_values(&["get"]);
        assert_eq!(seconds.get_sample_count(), 1, "what was not sent took no time");
    }
}
