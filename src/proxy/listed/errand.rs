//! What is to be found out for a list of things, and for each of them alone.

use std::sync::Arc;

use crate::operation::{Decomposition, Operation};
use crate::proxy::errand::{OperationErrand, Part};
use crate::proxy::identity::Asker;
use crate::purge::Strictness;
use crate::question::{ListedQuestion, Question, Unit};

/// A list of things to be found out of an operation, for whom.
#[derive(Debug)]
pub struct ListedErrand {
    /// The operation, which has a [`Decomposition`].
    pub operation: Arc<Operation>,
    /// The question.
    pub question: ListedQuestion,
    /// Who asks.
    pub asker: Asker,
    /// The service root as the client knows it.
    pub public_root: Box<str>,
}

impl ListedErrand {
    /// How its answer comes apart.
    pub fn decomposition(&self) -> Option<&Decomposition> {
        self.operation.decomposition.as_ref()
    }

    /// What its answer is held to where it is not known whether it was purged.
    pub fn strictness(&self) -> Strictness {
        Strictness::of(Some(self.operation.class))
    }

    /// The same, for one thing of the list: to be kept for longer than its request, without the rest.
    pub fn only(&self, unit: &Unit) -> Arc<Self> {
        Arc::new(Self {
            operation: Arc::clone(&self.operation),
            question: self.question.only(unit),
            asker: self.asker.clone(),
            public_root: self.public_root.clone(),
        })
    }

    /// The errand for one thing of the list.
    pub fn alone(&self, unit: &Unit) -> Option<Arc<OperationErrand>> {
        let question = self.question.alone(unit)?;
        Some(Arc::new(self.errand(question, Part::Piece(unit.id.clone()))))
    }

    /// The errand for the whole list, kept as it was asked.
    pub fn as_asked(self: &Arc<Self>) -> Option<Arc<OperationErrand>> {
        let question = self.question.as_asked()?;
        let part = match self.question.units() {
            [unit] => Part::Piece(unit.id.clone()),
            _ => Part::WholeOf(Arc::clone(self)),
        };
        Some(Arc::new(self.errand(question, part)))
    }

    fn errand(&self, question: Question, part: Part) -> OperationErrand {
        OperationErrand {
            operation: Arc::clone(&self.operation),
            question,
            asker: self.asker.clone(),
            public_root: self.public_root.clone(),
            part,
        }
    }
}
