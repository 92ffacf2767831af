//! Every way a request is refused, with its status, its code and its text in both languages.
//!
//! The outer shape, `{"error":{"code":…,"message":"<a JSON document as a string>"}}`, is documented.
//! What the inner document holds is not; it names the exception and the localised text, which is
//! what a client shows.

use http::StatusCode;
use serde_json::{Value, json};

use super::language::Language;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Problem {
    UnknownOperation(String),
    WrongMethod { allow: &'static str },
    MalformedUrl,
    MalformedBody(String),
    BodyTooLarge,
    MissingParameter(&'static str),
    IllTypedParameter { name: &'static str, expects: &'static str },
    QueryOption { option: &'static str, why: String },
    UnknownOptions(String),
    UnknownChannel(String),
    UnknownCatalogue(i64),
    UnknownCustomer(String),
    CatalogueZeroRefused,
    NotYours,
    Unauthenticated(&'static str),
    NoSuchEntity { set: &'static str, id: String },
    EmptyCart,
    CartLine(&'static str),
    NestedBatch,
    HeaderRefused(&'static str),
    UnknownReference(String),
    FailedDependency,
    Throttled { retry_after_s: u64 },
    Sick(StatusCode),
}

impl Problem {
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::UnknownOperation(_) | Self::NoSuchEntity { .. } => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotYours => StatusCode::FORBIDDEN,
            Self::FailedDependency => StatusCode::FAILED_DEPENDENCY,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Sick(status) => *status,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The exception's name, as it stands in `TypeName` and after the namespace in `code`.
    const fn exception(&self) -> &'static str {
        match self {
            Self::UnknownOperation(_) | Self::WrongMethod { .. } => "NotSupportedException",
            Self::NoSuchEntity { .. } => "ItemNotFoundException",
            Self::NotYours => "UserAuthorizationException",
            Self::Unauthenticated(_) => "UserAuthenticationException",
            Self::Throttled { .. } => "ThrottlingException",
            Self::Sick(_) => "CommunicationException",
            Self::EmptyCart | Self::CartLine(_) => "CartValidationException",
            _ => "DataValidationException",
        }
    }

    /// The text a person reads.
    pub(crate) fn text(&self, language: Language) -> String {
        let (english, norwegian) = self.texts();
        match language {
            Language::English => english,
            Language::Norwegian => norwegian,
        }
    }

    fn texts(&self) -> (String, String) {
        match self {
            Self::UnknownOperation(name) => (
                format!("The operation '{name}' does not exist."),
                format!("Operasjonen '{name}' finnes ikke."),
            ),
            Self::WrongMethod { allow } => (
                format!("The operation is called by {allow}."),
                format!("Operasjonen kalles med {allow}."),
            ),
            Self::MalformedUrl => {
                ("The URL cannot be read.".into(), "Adressen kan ikke leses.".into())
            }
            Self::MalformedBody(why) => (
                format!("The body cannot be read: {why}"),
                format!("Innholdet kan ikke leses: {why}"),
            ),
            Self::BodyTooLarge => {
                ("The body is too large.".into(), "Innholdet er for stort.".into())
            }
            Self::MissingParameter(name) => (
                format!("The parameter '{name}' is missing."),
                format!("Parameteren '{name}' mangler."),
            ),
            Self::IllTypedParameter { name, expects } => (
                format!("The parameter '{name}' is not {expects}."),
                format!("Parameteren '{name}' har feil type ({expects})."),
            ),
            Self::QueryOption { option, why } => (
                format!("The query option '{option}' cannot be applied: {why}"),
                format!("Spørringsvalget '{option}' kan ikke brukes: {why}"),
            ),
            Self::UnknownOptions(name) => (
                format!("The query option '{name}' is not supported."),
                format!("Spørringsvalget '{name}' støttes ikke."),
            ),
            Self::UnknownChannel(id) => (
                format!("The channel '{id}' does not exist."),
                format!("Kanalen '{id}' finnes ikke."),
            ),
            Self::UnknownCatalogue(id) => (
                format!("The catalogue {id} does not exist."),
                format!("Katalogen {id} finnes ikke."),
            ),
            Self::UnknownCustomer(account) => (
                format!("The customer '{account}' does not exist."),
                format!("Kunden '{account}' finnes ikke."),
            ),
            Self::CatalogueZeroRefused => (
                "A signed-in customer cannot use the catalogue 0.".into(),
                "En innlogget kunde kan ikke bruke katalog 0.".into(),
            ),
            Self::NotYours => (
                "This belongs to another customer.".into(),
                "Dette tilhører en annen kunde.".into(),
            ),
            Self::Unauthenticated(why) => {
                (format!("Not signed in: {why}."), format!("Ikke innlogget: {why}."))
            }
            Self::NoSuchEntity { set, id } => {
                (format!("{set}('{id}') does not exist."), format!("{set}('{id}') finnes ikke."))
            }
            Self::EmptyCart => ("The cart is empty.".into(), "Handlekurven er tom.".into()),
            Self::CartLine(why) => (
                format!("The cart line is refused: {why}."),
                format!("Handlekurvlinjen er avvist: {why}."),
            ),
            Self::NestedBatch => (
                "A batch cannot stand inside a batch.".into(),
                "En batch kan ikke stå i en batch.".into(),
            ),
            Self::HeaderRefused(name) => (
                format!("The header '{name}' cannot stand here."),
                format!("Headeren '{name}' kan ikke stå her."),
            ),
            Self::UnknownReference(id) => (
                format!("'${id}' refers to no entity of a request that came before."),
                format!("'${id}' viser ikke til noe fra en tidligere forespørsel."),
            ),
            Self::FailedDependency => (
                "A request that this one depends on has failed.".into(),
                "En forespørsel som denne er avhengig av, mislyktes.".into(),
            ),
            Self::Throttled { retry_after_s } => (
                format!("Too many requests; try again in {retry_after_s} s."),
                format!("For mange forespørsler; prøv igjen om {retry_after_s} s."),
            ),
            Self::Sick(status) => (
                format!("The service is out of order ({}).", status.as_u16()),
                format!("Tjenesten er ute av drift ({}).", status.as_u16()),
            ),
        }
    }

    /// The documented error body.
    pub(crate) fn body(&self, language: Language) -> Value {
        let text = self.text(language);
        let exception = self.exception();
        let message = json!({
            "TypeName": exception,
            "Exception": {
                "ErrorResourceId": format!("Microsoft_Dynamics_Commerce_Runtime_{exception}"),
                "LocalizedMessage": text,
                "Message": self.text(Language::English),
            },
        });
        json!({
            "error": {
                "code": format!("Microsoft.Dynamics.Commerce.Runtime.{exception}"),
                "message": message.to_string(),
            },
        })
    }
}
