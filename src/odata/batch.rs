//! `$batch`: many requests in one (OData 4.01 Protocol §11.7, JSON Format §19).
//!
//! A batch is taken apart so that the parts that are reads can be answered from store, what is
//! left can be sent to the origin as a smaller batch of the same form, and the answers can be put
//! together in the order and form that the client expects. Here is only the text of it, pure: what
//! a part is worth, and where its answer comes from, is for others to say.
//!
//! Two rules decide what is done with a text that can be read in more than one way:
//!
//! * Where two readers could differ in **where a part ends, or which part an id means**, the whole
//!   batch is refused ([`BatchError`]): it passes untouched.
//! * Where they could differ in **what one part asks**, or where a part is tied to another (a change
//!   set, an atomicity group, a dependency, a reference `$id`), that part has no
//!   [`request`](Item::request): it goes to the origin byte for byte, and so does each part that it
//!   is tied to.
//!
//! A multipart batch is worked off in its order (§11.7.7.5): a read that stands behind a write may
//! see what the write did. That too is for the caller to mind.

mod answer;
mod boundary;
mod head;
mod inheritance;
mod json;
mod json_body;
mod media_type;
mod message;
mod multipart;
mod reference;
mod target;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Own, PartResponse, Reply};
pub use boundary::Boundary;
pub use head::{Preferences, check_head};
pub use inheritance::inherit;
pub use target::Base;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};

use media_type::MediaType;

/// How a batch is written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// `multipart/mixed`: a part is a MIME body part.
    Multipart {
        /// What stands between the parts.
        boundary: Boundary,
    },
    /// `application/json`: a part is an object of a list.
    Json,
}

impl Form {
    /// # Errors
    /// When the content type is neither of the two, or the boundary is not a legal one.
    pub fn read(content_type: &HeaderValue) -> Result<Self, BatchError> {
        let media_type = MediaType::read(content_type).ok_or(BatchError::ContentType)?;
        match media_type.essence() {
            "multipart/mixed" => Ok(Self::Multipart { boundary: Boundary::of(&media_type)? }),
            "application/json" if media_type.is_utf8() => Ok(Self::Json),
            _ => Err(BatchError::ContentType),
        }
    }

    const fn is_same_kind(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Multipart { .. }, Self::Multipart { .. }) | (Self::Json, Self::Json)
        )
    }
}

/// How much a batch may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Requests or responses, those in change sets too.
    pub parts: usize,
    /// Bytes of the whole body.
    pub bytes: usize,
}

/// A batch request, taken apart.
#[derive(Clone, Debug)]
pub struct Batch {
    form: Form,
    content_type: HeaderValue,
    items: Vec<Item>,
    envelope: json::Envelope,
}

/// What stands at one place of a batch: a request, or a change set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The part as it came: MIME fields and content, or the text of the JSON object.
    pub raw: Bytes,
    /// `Content-ID`, or `id`; the answer has to name it.
    pub id: Option<String>,
    /// What it asks; none where it must reach the origin as it came, if it is sent at all.
    pub request: Option<PartRequest>,
}

/// A request as it would stand outside of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartRequest {
    /// The method.
    pub method: Method,
    /// Absolute path and query, whichever of the three forms of URL was used. It lies below the
    /// service root.
    pub target: PathAndQuery,
    /// Its own fields, those of framing and `Host` apart. See [`inherit`] for the batch's.
    pub headers: HeaderMap,
    /// Its body. In a JSON batch, the text of the member as it came.
    pub body: Bytes,
}

/// What becomes of an item in a smaller batch.
#[derive(Clone, Copy, Debug)]
pub enum Choice<'a> {
    /// It is answered otherwise.
    LeaveOut,
    /// It is sent as it came.
    Verbatim,
    /// This is sent in its place, under its id.
    Instead(&'a PartRequest),
}

/// A message that has been put together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// The value of `Content-Type`.
    pub content_type: HeaderValue,
    /// The whole body.
    pub body: Bytes,
}

impl Batch {
    /// Takes a batch apart. `base` is where it was sent to.
    ///
    /// # Errors
    /// [`BatchError`] where it can be read in more than one way, or in none.
    pub fn read(
        content_type: &HeaderValue,
        body: &Bytes,
        base: Base<'_>,
        limits: Limits,
    ) -> Result<Self, BatchError> {
        let form = Form::read(content_type)?;
        if body.len() > limits.bytes {
            return Err(BatchError::TooLong);
        }
        let (envelope, drafts) = match &form {
            Form::Multipart { boundary } => {
                let drafts = multipart::read_requests(body, boundary, base, limits.parts)?;
                (json::Envelope::default(), drafts)
            }
            Form::Json => json::read_requests(body, content_type, base, limits.parts)?,
        };
        let items = reference::settle(drafts)?;
        Ok(Self { form, content_type: content_type.clone(), items, envelope })
    }

    /// How it is written down.
    pub const fn form(&self) -> &Form {
        &self.form
    }

    /// What is in it, in the client's order.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Writes a smaller batch of the same form and order: a choice for each item, and a boundary
    /// for the multipart form. Items beyond the choices are sent as they came.
    ///
    /// # Errors
    /// When the boundary is no legal one or occurs in a part, or a field cannot be written.
    pub fn rewrite(&self, choices: &[Choice<'_>], boundary: &str) -> Result<Written, BatchError> {
        let choices = choices.iter().copied().chain(std::iter::repeat(Choice::Verbatim));
        let chosen = self.items.iter().zip(choices);
        match &self.form {
            Form::Multipart { .. } => {
                let part = |(item, choice): (&Item, Choice<'_>)| match choice {
                    Choice::LeaveOut => None,
                    Choice::Verbatim => Some(item.raw.clone()),
                    Choice::Instead(request) => {
                        Some(multipart::write_request(item.id.as_deref(), request))
                    }
                };
                multipart::write(chosen.filter_map(part), boundary)
            }
            Form::Json => {
                let part = |(item, choice): (&Item, Choice<'_>)| match choice {
                    Choice::LeaveOut => None,
                    Choice::Verbatim => Some(Ok(item.raw.clone())),
                    Choice::Instead(request) => {
                        Some(json::write_request(item.id.as_deref(), request))
                    }
                };
                let parts: Vec<Bytes> = chosen.filter_map(part).collect::<Result<_, _>>()?;
                // What it says of numbers (IEEE754Compatible) stays true.
                let content_type = self.content_type.clone();
                Ok(Written { content_type, body: self.envelope.write(&parts) })
            }
        }
    }

    /// Takes the origin's answer to a smaller batch apart. `sent` names the items that were in it,
    /// in order.
    ///
    /// In a multipart answer, the answers stand in the order of what was sent and may end early,
    /// where an error stopped the origin; in a JSON answer they stand in any order, with their ids.
    ///
    /// # Errors
    /// [`BatchError`] where it cannot be told which answer belongs to what.
    pub fn read_answers(
        &self,
        sent: &[usize],
        content_type: &HeaderValue,
        body: &Bytes,
        limits: Limits,
    ) -> Result<Vec<Answer>, BatchError> {
        let form = Form::read(content_type)?;
        if body.len() > limits.bytes {
            return Err(BatchError::TooLong);
        }
        if !self.form.is_same_kind(&form) {
            return Err(BatchError::Unmatched);
        }
        let found = match &form {
            Form::Multipart { boundary } => {
                multipart::read_responses(body, boundary, limits.parts)?
            }
            Form::Json => json::read_responses(body, limits.parts)?,
        };
        answer::assign(&self.form, &self.items, sent, found)
    }

    /// Writes the answer to the client, in the form of the batch and the order of `replies`.
    ///
    /// # Errors
    /// When the boundary is no legal one or occurs in a part, or a field cannot be written.
    pub fn write_answers(
        &self,
        replies: &[Reply<'_>],
        boundary: &str,
    ) -> Result<Written, BatchError> {
        match &self.form {
            Form::Multipart { .. } => {
                multipart::write(replies.iter().map(multipart::write_reply), boundary)
            }
            Form::Json => {
                let parts: Vec<Bytes> =
                    replies.iter().map(json::write_reply).collect::<Result<_, _>>()?;
                let body = json::Envelope::of_answers().write(&parts);
                Ok(Written { content_type: json::JSON, body })
            }
        }
    }
}

/// Why a batch, or the answer to one, is not taken apart or not put together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum BatchError {
    /// Neither of the two forms.
    #[error("the content type is not that of a batch")]
    ContentType,
    /// No boundary, one that RFC 2046 does not allow, or a line that only begins as one.
    #[error("the boundary, or a line that begins with it, cannot be read")]
    Boundary,
    /// The boundary that was to be used occurs in a part.
    #[error("the boundary occurs in a part")]
    BoundaryTaken,
    /// The closing boundary is missing.
    #[error("the closing boundary is missing")]
    Unterminated,
    /// Boundaries end in CRLF and in LF.
    #[error("the boundaries end in two kinds of line end")]
    LineEnds,
    /// A carriage return that ends no line.
    #[error("a carriage return stands alone")]
    BareCarriageReturn,
    /// A field that goes on in the next line.
    #[error("a field is folded")]
    FoldedField,
    /// The MIME fields of a part cannot be read.
    #[error("the fields of a part cannot be read")]
    PartHead,
    /// A part that is neither a request nor a change set, or is encoded.
    #[error("a part is neither a request nor a change set")]
    PartType,
    /// A part whose length is said to be another, or is said twice.
    #[error("the length of a part can be read in two ways")]
    PartLength,
    /// More parts than allowed.
    #[error("too many parts")]
    TooManyParts,
    /// More bytes than allowed.
    #[error("too long")]
    TooLong,
    /// A change set within a change set.
    #[error("nested deeper than a change set")]
    TooDeep,
    /// JSON that is not of the form that the standard gives.
    #[error("the JSON is not that of a batch")]
    Malformed,
    /// Two members of one name, letter case apart.
    #[error("a member is named twice")]
    DuplicateMember,
    /// An id that is missing, or is not an identifier.
    #[error("an id is missing or cannot be read")]
    Id,
    /// Two parts of one id.
    #[error("an id is given twice")]
    DuplicateId,
    /// An answer that does not belong to what was sent.
    #[error("the answer does not match what was sent")]
    Unmatched,
    /// An answer that goes on elsewhere.
    #[error("the answer is a part of one")]
    Partial,
    /// A field's value that is not text, where only text can stand.
    #[error("a field cannot be written")]
    Field,
    /// The batch's body is compressed.
    #[error("the batch is compressed")]
    ContentEncoding,
    /// One moment is asked for: what is in store is of several.
    #[error("isolation is asked for")]
    Isolation,
    /// The answer may come later, elsewhere.
    #[error("an asynchronous answer is asked for")]
    RespondAsync,
    /// An answer in another form is asked for.
    #[error("an answer in another form is asked for")]
    Accept,
    /// The preferences cannot be read.
    #[error("the preferences cannot be read")]
    Prefer,
}

impl BatchError {
    /// The reason as it stands in `Cache-Status` and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContentType => "batch-content-type",
            Self::Boundary => "batch-boundary",
            Self::BoundaryTaken => "batch-boundary-taken",
            Self::Unterminated => "batch-unterminated",
            Self::LineEnds => "batch-line-ends",
            Self::BareCarriageReturn => "batch-bare-carriage-return",
            Self::FoldedField => "batch-folded-field",
            Self::PartHead => "batch-part-head",
            Self::PartType => "batch-part-type",
            Self::PartLength => "batch-part-length",
            Self::TooManyParts => "batch-too-many-parts",
            Self::TooLong => "batch-too-long",
            Self::TooDeep => "batch-too-deep",
            Self::Malformed => "batch-malformed",
            Self::DuplicateMember => "batch-duplicate-member",
            Self::Id => "batch-id",
            Self::DuplicateId => "batch-duplicate-id",
            Self::Unmatched => "batch-unmatched",
            Self::Partial => "batch-partial",
            Self::Field => "batch-field",
            Self::ContentEncoding => "batch-content-encoding",
            Self::Isolation => "batch-isolation",
            Self::RespondAsync => "batch-respond-async",
            Self::Accept => "batch-accept",
            Self::Prefer => "batch-prefer",
        }
    }
}
