//! The run of a batch: each request through the path that a request takes alone.

use std::collections::HashMap;

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Uri};

use super::part::{Part, PartAnswer, Unit, UnitAnswer};
use super::target::Target;
use crate::sandbox::deliver::Outgoing;
use crate::sandbox::faults::Sickness;
use crate::sandbox::problem::Problem;
use crate::sandbox::request::{Asked, Destination, EntityPath, find, path_under_root};
use crate::sandbox::server::Engine;
use crate::sandbox::subject::Subject;

/// What a part has of the batch where it does not say otherwise. All but the last two by OData 4.01
/// Part 1 §8.1.3, §8.1.5, §8.2.1 to §8.2.3 and §8.2.7; of `Authorization` the standard says that no
/// part has it (§11.7.7.1), of `OUN` nothing.
const INHERITED: [&str; 8] = [
    "content-language",
    "odata-version",
    "accept",
    "accept-charset",
    "accept-language",
    "odata-maxversion",
    "authorization",
    "oun",
];

/// Why a unit could not be answered now.
#[derive(Debug)]
pub(super) enum Interruption {
    Hang(Subject),
    Reset,
}

/// What became of a request or a group that others may depend on.
#[derive(Debug)]
struct Outcome {
    has_succeeded: bool,
    /// The resource path of the entity that was answered.
    entity: Option<String>,
}

/// A batch under way.
pub(super) struct Run<'b> {
    engine: &'b Engine,
    batch: &'b Asked<'b>,
    outcomes: HashMap<String, Outcome>,
    /// How many requests of the unit were counted already: a unit may run again after a hang.
    counted: usize,
    /// Whether a fault breaks off the batch's answer.
    pub(super) is_cut: bool,
}

impl<'b> Run<'b> {
    pub(super) fn new(engine: &'b Engine, batch: &'b Asked<'b>) -> Self {
        Self { engine, batch, outcomes: HashMap::new(), counted: 0, is_cut: false }
    }

    /// Before each unit.
    pub(super) fn begin(&mut self) {
        self.counted = 0;
    }

    /// Answers a unit, or changes nothing.
    pub(super) fn unit(&mut self, unit: &Unit) -> Result<UnitAnswer, Interruption> {
        match unit {
            Unit::One(part) => self.part(0, part).map(UnitAnswer::One),
            Unit::Set { group, parts } => self.set(group, parts),
        }
    }

    fn set(&mut self, group: &str, parts: &[Part]) -> Result<UnitAnswer, Interruption> {
        let engine = self.engine;
        let mut answers = Vec::with_capacity(parts.len());
        let changed = engine.shop.carts.change_together(|| {
            for (place, part) in parts.iter().enumerate() {
                let answer = self.part(place, part).map_err(Failure::Interrupted)?;
                if !answer.status.is_success() {
                    return Err(Failure::Refused(Box::new(answer)));
                }
                answers.push(answer);
            }
            Ok(())
        });
        let group = group.to_owned();
        let answer = match changed {
            Ok(()) => UnitAnswer::Set { group: group.clone(), parts: answers },
            Err(Failure::Interrupted(interruption)) => return Err(interruption),
            Err(Failure::Refused(cause)) => {
                let parts = self.fail_set(parts, answers.len(), &cause);
                UnitAnswer::FailedSet { group: group.clone(), cause: *cause, parts }
            }
        };
        self.remember(Some(group), !answer.has_failed(), None);
        Ok(answer)
    }

    /// Every request of a set has failed with it: those before and behind the cause by 424.
    fn fail_set(&mut self, parts: &[Part], at: usize, cause: &PartAnswer) -> Vec<PartAnswer> {
        let answers = parts.iter().enumerate().map(|(place, part)| {
            self.remember(part.id.clone(), false, None);
            if place == at {
                return cause.clone();
            }
            let head = self.head_of(part);
            let asked = Asked::read(self.engine, &head);
            answer_of(part, asked.refuse(&Problem::FailedDependency))
        });
        answers.collect()
    }

    fn part(&mut self, place: usize, part: &Part) -> Result<PartAnswer, Interruption> {
        let mut head = self.head_of(part);
        let target = self.admit(part).map(|uri| head.uri = uri);
        let asked = Asked::read(self.engine, &head);
        let found =
            target.and_then(|()| path_under_root(&head.uri)).and_then(|path| find(&head, path));
        let sickness = if matches!(found, Err(Problem::FailedDependency)) {
            None
        } else {
            self.strike(place, Destination::subject(&found))?
        };
        let response = match sickness {
            Some(status) => Err(Problem::Sick(status)),
            None => found.and_then(|found| asked.answer(self.engine, found, &part.body)),
        };
        let response = response.unwrap_or_else(|problem| asked.refuse(&problem));
        let entity = response.extensions().get::<EntityPath>().map(|path| path.0.clone());
        let answer = answer_of(part, response);
        self.remember(part.id.clone(), answer.status.is_success(), entity);
        Ok(answer)
    }

    /// Counts the request and meets the fault that is aimed at it.
    fn strike(
        &mut self,
        place: usize,
        subject: Subject,
    ) -> Result<Option<StatusCode>, Interruption> {
        if place >= self.counted {
            self.counted = place + 1;
            self.engine.stats.count_in_batch(subject);
        }
        match self.engine.faults.ail(subject) {
            None => Ok(None),
            Some(Sickness::Status(status)) => Ok(Some(status)),
            Some(Sickness::Truncate) => {
                self.is_cut = true;
                Ok(None)
            }
            Some(Sickness::Hang) => Err(Interruption::Hang(subject)),
            Some(Sickness::Reset) => Err(Interruption::Reset),
        }
    }

    /// The part's head, with what it inherits and the batch's URL in the place of its own.
    fn head_of(&self, part: &Part) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = part.method.clone();
        head.uri = self.batch.parts.uri.clone();
        head.headers = part.headers.clone();
        for name in INHERITED {
            if head.headers.contains_key(name) {
                continue;
            }
            for value in self.batch.parts.headers.get_all(name) {
                head.headers.append(name, value.clone());
            }
        }
        if !head.headers.contains_key("host")
            && let Ok(host) = HeaderValue::from_str(&self.batch.host)
        {
            head.headers.insert("host", host);
        }
        head
    }

    /// Whether the part may run, and where its URL leads.
    fn admit(&self, part: &Part) -> Result<Uri, Problem> {
        let has_succeeded =
            |id: &String| self.outcomes.get(id).is_some_and(|outcome| outcome.has_succeeded);
        if part.has_condition || !part.depends_on.iter().all(has_succeeded) {
            return Err(Problem::FailedDependency);
        }
        if let Some(name) = part.forbidden {
            return Err(Problem::HeaderRefused(name));
        }
        let own_path = self.batch.parts.uri.path();
        let root = own_path.rsplit_once('/').map_or("", |(root, _)| root);
        let url = match Target::parse(&part.url).ok_or(Problem::MalformedUrl)? {
            Target::Absolute(url) | Target::Path(url) => url.to_owned(),
            Target::Relative(url) => format!("{root}/{url}"),
            Target::Reference { id, rest } => {
                let entity = self.entity_of(part, id);
                let entity = entity.ok_or_else(|| Problem::UnknownReference(id.to_owned()))?;
                format!("{root}/{entity}{rest}")
            }
        };
        url.parse().map_err(|_| Problem::MalformedUrl)
    }

    fn entity_of(&self, part: &Part, id: &str) -> Option<&str> {
        let is_near = part.depends_on.iter().any(|other| other == id);
        self.outcomes.get(id).filter(|_| is_near)?.entity.as_deref()
    }

    fn remember(&mut self, id: Option<String>, has_succeeded: bool, entity: Option<String>) {
        if let Some(id) = id {
            self.outcomes.insert(id, Outcome { has_succeeded, entity });
        }
    }
}

/// Why a set did not come to its end.
enum Failure {
    Interrupted(Interruption),
    Refused(Box<PartAnswer>),
}

fn answer_of(part: &Part, response: Response<Outgoing>) -> PartAnswer {
    let (head, body) = response.into_parts();
    let id = part.id.clone();
    PartAnswer { id, status: head.status, headers: head.headers, body: body.into_bytes() }
}
