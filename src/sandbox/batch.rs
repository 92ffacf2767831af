//! `$batch`: several requests in one (OData 4.01 Part 1 §11.7; JSON Format 4.01 §19).
//!
//! A batch is read as a whole before anything runs, so that a malformed one changes nothing. Its
//! units, single requests and change sets, then run strictly in order. A change set runs without
//! waiting for anything, with the carts to itself: where it meets a fault that hangs, it is taken
//! back, the hang is sat out, and it runs again.

mod form;
mod head;
mod json;
mod media_type;
mod multipart;
mod part;
mod preference;
mod run;
mod target;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderName, HeaderValue, Response};

use self::form::Form;
use self::part::{MAX_PARTS, TOO_MANY, Unit, UnitAnswer};
use self::preference::ContinueOnError;
use self::run::{Interruption, Run};
use super::deliver::Outgoing;
use super::identity::authenticate;
use super::problem::Problem;
use super::request::Asked;
use super::server::Engine;
use super::wire::Reset;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Answers a batch.
pub(crate) async fn answer(
    engine: &Engine,
    reset: &Reset,
    batch: &Asked<'_>,
    body: &Bytes,
) -> Result<Response<Outgoing>, Problem> {
    let headers = &batch.parts.headers;
    check_headers(engine, headers)?;
    let form = Form::of(headers)?;
    let units = form.read(body)?;
    if units.iter().map(Unit::size).sum::<usize>() > MAX_PARTS {
        return Err(Problem::MalformedBody(TOO_MANY.into()));
    }
    let preference = ContinueOnError::of(headers);
    let mut run = Run::new(engine, batch);
    let mut answers = Vec::with_capacity(units.len());
    for unit in &units {
        let answer = answer_unit(&mut run, engine, reset, unit).await;
        let is_over = answer.has_failed() && !preference.goes_on(matches!(form, Form::Json));
        answers.push(answer);
        if is_over {
            break;
        }
    }
    let mut response = form.write(&answers, headers);
    if let Some(applied) = preference.applied() {
        response.headers_mut().insert(PREFERENCE_APPLIED, HeaderValue::from_static(applied));
    }
    Ok(if run.is_cut { response.map(Outgoing::cut_half_way) } else { response })
}

/// What the standard forbids on a batch (§8.2.4, §8.2.5), and credentials that are none.
fn check_headers(engine: &Engine, headers: &HeaderMap) -> Result<(), Problem> {
    for (name, shown) in [(IF_MATCH, "If-Match"), (IF_NONE_MATCH, "If-None-Match")] {
        if headers.contains_key(name) {
            return Err(Problem::HeaderRefused(shown));
        }
    }
    if let Some(credentials) = headers.get(AUTHORIZATION) {
        let credentials = credentials.to_str().map_err(|_| Problem::MalformedUrl)?;
        authenticate(credentials, engine.clock.now())?;
    }
    Ok(())
}

async fn answer_unit(run: &mut Run<'_>, engine: &Engine, reset: &Reset, unit: &Unit) -> UnitAnswer {
    run.begin();
    loop {
        match run.unit(unit) {
            Ok(answer) => return answer,
            Err(Interruption::Hang(subject)) => engine.faults.sit_out_hang_of(subject).await,
            Err(Interruption::Reset) => reset.now().await,
        }
    }
}
