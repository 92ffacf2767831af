//! A request under the service root, whether it came alone or inside a batch: where it leads, and
//! what it is answered.

use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, HOST};
use http::request::Parts;
use http::{Method, Response, StatusCode, Uri};
use serde_json::{Map, Value};

use super::answers::Answer;
use super::call::{Call, validate};
use super::deliver::{Addresses, MetadataLevel, Outgoing, refuse, render, respond, respond_bytes};
use super::identity::authenticate;
use super::language::Language;
use super::metadata;
use super::operations::{Resolved, check_key, resolve};
use super::problem::Problem;
use super::server::Engine;
use super::subject::Subject;
use super::url::{Query, parse_path, resolve as resolve_aliases, resolve_literal};

/// The service root's path, compared without regard to case.
pub(crate) const SERVICE_ROOT: &str = "Commerce";

/// In a response's extensions: the resource path of the entity that was answered.
#[derive(Clone, Debug)]
pub(crate) struct EntityPath(pub(crate) String);

/// What a path under the service root leads to.
pub(crate) enum Destination {
    ServiceDocument,
    Metadata,
    Health,
    Batch,
    Operation(Resolved),
}

impl Destination {
    pub(crate) fn subject(found: &Result<Self, Problem>) -> Subject {
        match found {
            Ok(Self::Operation(resolved)) => Subject::Operation(resolved.index),
            Ok(Self::Batch) => Subject::Batch,
            _ => Subject::Other,
        }
    }
}

/// Splits a path into its first segment and what follows.
pub(crate) fn split_root(path: &str) -> (&str, &str) {
    let path = path.trim_start_matches('/');
    path.split_once('/').unwrap_or((path, ""))
}

/// What follows the service root.
pub(crate) fn path_under_root(uri: &Uri) -> Result<&str, Problem> {
    let (root, path) = split_root(uri.path());
    let is_ours = root.eq_ignore_ascii_case(SERVICE_ROOT);
    if is_ours { Ok(path) } else { Err(Problem::UnknownOperation(root.to_owned())) }
}

/// Where a path under the service root leads.
pub(crate) fn find(parts: &Parts, path: &str) -> Result<Destination, Problem> {
    match path {
        "" => Ok(Destination::ServiceDocument),
        "$metadata" | "%24metadata" => Ok(Destination::Metadata),
        "healthcheck" => Ok(Destination::Health),
        "$batch" | "%24batch" if parts.method == Method::POST => Ok(Destination::Batch),
        "$batch" | "%24batch" => Err(Problem::WrongMethod { allow: "POST" }),
        _ => {
            let segments = parse_path(path).ok_or(Problem::MalformedUrl)?;
            resolve(&parts.method, segments).map(Destination::Operation)
        }
    }
}

/// What a request's head says, whatever it asks for.
pub(crate) struct Asked<'r> {
    pub(crate) parts: &'r Parts,
    /// As the client named it: of the URL, else of the header.
    pub(crate) host: String,
    language: Language,
    level: MetadataLevel,
    addresses: Addresses,
}

impl<'r> Asked<'r> {
    pub(crate) fn read(engine: &Engine, parts: &'r Parts) -> Self {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let own_address = engine.address.to_string();
        let host = authority.or_else(|| header(HOST)).unwrap_or(&own_address);
        Self {
            parts,
            language: Language::negotiate(header(ACCEPT_LANGUAGE).unwrap_or_default()),
            level: MetadataLevel::of(&parts.headers),
            addresses: Addresses {
                service_root: format!("http://{host}/{SERVICE_ROOT}"),
                request: format!("http://{host}{}", parts.uri.path()),
            },
            host: host.to_owned(),
        }
    }

    pub(crate) fn refuse(&self, problem: &Problem) -> Response<Outgoing> {
        refuse(problem, self.language, self.level, &self.parts.headers)
    }

    pub(crate) fn answer(
        &self,
        engine: &Engine,
        destination: Destination,
        body: &Bytes,
    ) -> Result<Response<Outgoing>, Problem> {
        let headers = &self.parts.headers;
        match destination {
            Destination::Operation(resolved) => self.call(engine, resolved, body),
            Destination::Metadata => {
                let document = Bytes::from(metadata::csdl());
                Ok(respond_bytes(StatusCode::OK, Some(document), "application/xml", headers))
            }
            Destination::Health => {
                let well = Bytes::from_static(b"OK");
                Ok(respond_bytes(StatusCode::OK, Some(well), "text/plain", headers))
            }
            Destination::ServiceDocument => {
                let document = metadata::service_document(&self.addresses.service_root);
                Ok(respond(StatusCode::OK, Some(&document), self.level, headers))
            }
            Destination::Batch => Err(Problem::NestedBatch),
        }
    }

    fn call(
        &self,
        engine: &Engine,
        resolved: Resolved,
        body: &Bytes,
    ) -> Result<Response<Outgoing>, Problem> {
        let headers = &self.parts.headers;
        let header = |name: &str| match headers.get(name) {
            None => Ok(None),
            Some(value) => value.to_str().map(Some).map_err(|_| Problem::MalformedUrl),
        };
        let Resolved { operation, entity_key, arguments, .. } = resolved;
        let caller = match header(AUTHORIZATION.as_str())? {
            None => None,
            Some(credentials) => Some(authenticate(credentials, engine.clock.now())?),
        };
        let query = Query::parse(self.parts.uri.query().unwrap_or_default())
            .ok_or(Problem::MalformedUrl)?;
        let entity_key = match entity_key {
            None => None,
            Some(key) => Some(resolve_literal(key, &query).ok_or(Problem::MalformedUrl)?),
        };
        check_key(operation, entity_key.as_ref())?;
        let parameters = if operation.is_action {
            read_parameters(body)?
        } else {
            resolve_aliases(arguments, &query).ok_or(Problem::MalformedUrl)?
        };
        validate(operation.parameters, &parameters)?;
        let operating_unit = header("OUN")?;
        let call =
            Call::new(&engine.shop, operating_unit, self.language, caller, entity_key, parameters)?;
        let answer: Answer<'_> = (operation.answer)(&call)?;
        let entity = answer.path().map(EntityPath);
        let (status, value) =
            render(answer, &query, engine.page_size, self.level, &self.addresses)?;
        let mut response = respond(status, value.as_ref(), self.level, headers);
        if let Some(entity) = entity {
            response.extensions_mut().insert(entity);
        }
        Ok(response)
    }
}

/// An action's parameters: a JSON object, or nothing for one that needs none.
fn read_parameters(body: &Bytes) -> Result<Map<String, Value>, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|error| Problem::MalformedBody(error.to_string()))
}
