//! `$batch`, taken apart and put together again.

use bytes::Bytes;
use csu_edge::odata::batch::{
    Answer, Base, Batch, Choice, Form, Item, Limits, Own, PartRequest, PartResponse, Reply, Written,
};
use csu_edge::proxy::fields::remove_hop_by_hop;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::ROOT;

const LIMITS: Limits = Limits { parts: 100, bytes: 1 << 20 };

/// The batches that an input is taken for the answer to.
const ASKED_IN_MULTIPART: &str = "--a\n\
    Content-Type: application/http\nContent-ID: 1\n\nGET A HTTP/1.1\n\n\n--a\n\
    Content-Type: application/http\n\nGET B HTTP/1.1\n\n\n--a--";
const ASKED_IN_JSON: &str = r#"{"requests":[{"id":"1","method":"get","url":"A"},
    {"id":"2","method":"get","url":"B"}]}"#;

/// An input is a content type in a line, and a body.
pub fn batch(input: &[u8]) {
    let Some(end) = input.iter().position(|&byte| byte == b'\n') else { return };
    let Ok(content_type) = HeaderValue::from_bytes(&input[..end]) else { return };
    let body = Bytes::copy_from_slice(&input[end + 1..]);
    if let Ok(batch) = read(&content_type, &body) {
        every_part_is_a_piece_of_the_body(&batch, &body);
        what_is_left_alone_stays_as_it_is(&batch);
        what_is_written_asks_the_same(&batch);
        what_is_left_out_leaves_the_others(&batch);
    }
    is_an_answer(&content_type, &body);
}

fn read(content_type: &HeaderValue, body: &Bytes) -> Result<Batch, &'static str> {
    let base = Base { root: &ROOT, authority: Some("shop.test") };
    Batch::read(content_type, body, base, LIMITS).map_err(|error| error.as_str())
}

/// The items of a batch that was written; none where the boundary occurred in a part.
fn read_again(batch: &Batch, choices: &[Choice<'_>]) -> Option<Vec<Item>> {
    let Written { content_type, body } = batch.rewrite(choices, "a-fresh-boundary").ok()?;
    let again = read(&content_type, &body).expect("what is written can be read");
    Some(again.items().to_vec())
}

fn every_part_is_a_piece_of_the_body(batch: &Batch, body: &Bytes) {
    let mut from = 0;
    for Item { raw, request, .. } in batch.items() {
        let start = raw.as_ptr().addr() - body.as_ptr().addr();
        assert!(raw.is_empty() || start >= from, "in order, and no byte in two parts");
        from = start.max(from) + raw.len();
        let target = request.as_ref().map(|request| request.target.path());
        assert!(target.is_none_or(|path| ROOT.relative(path).is_some()), "{target:?}");
    }
    assert!(from <= body.len());
}

fn what_is_left_alone_stays_as_it_is(batch: &Batch) {
    if let Some(items) = read_again(batch, &[]) {
        assert_eq!(items, batch.items());
    }
}

fn what_is_written_asks_the_same(batch: &Batch) {
    let choice = |item: &'_ Item| match item.request.clone() {
        Some(request) => Ok(request),
        None => Err(()),
    };
    let requests: Vec<Result<PartRequest, ()>> = batch.items().iter().map(choice).collect();
    let choices: Vec<Choice<'_>> = requests
        .iter()
        .map(|request| request.as_ref().map_or(Choice::Verbatim, Choice::Instead))
        .collect();
    let Some(items) = read_again(batch, &choices) else { return };
    assert_eq!(items.len(), requests.len());
    for ((item, before), request) in items.iter().zip(batch.items()).zip(requests) {
        assert_eq!(item.id, before.id);
        match (request, &item.request) {
            (Ok(mut request), Some(again)) => {
                remove_hop_by_hop(&mut request.headers);
                assert_eq!(*again, request);
            }
            (Err(()), _) => assert_eq!(item.raw, before.raw),
            // A field's name may look like a reference in lower case.
            (Ok(request), None) => {
                assert!(request.headers.keys().any(|n| n.as_str().contains('$')))
            }
        }
    }
}

fn what_is_left_out_leaves_the_others(batch: &Batch) {
    let is_kept = |i: usize| i % 2 == 1;
    let choice = |i| if is_kept(i) { Choice::Verbatim } else { Choice::LeaveOut };
    let choices: Vec<Choice<'_>> = (0..batch.items().len()).map(choice).collect();
    let Some(items) = read_again(batch, &choices) else { return };
    let kept = batch.items().iter().enumerate().filter(|(i, _)| is_kept(*i));
    assert!(items.iter().map(|item| &item.raw).eq(kept.map(|(_, item)| &item.raw)));
}

fn is_an_answer(content_type: &HeaderValue, body: &Bytes) {
    let Ok(form) = Form::read(content_type) else { return };
    let asked = match form {
        Form::Multipart { .. } => ("multipart/mixed; boundary=a", ASKED_IN_MULTIPART),
        Form::Json => ("application/json", ASKED_IN_JSON),
    };
    let asked = read(&HeaderValue::from_static(asked.0), &Bytes::from_static(asked.1.as_bytes()));
    let asked = asked.expect("a batch");
    let Ok(answers) = asked.read_answers(&[0, 1], content_type, body, LIMITS) else { return };
    let verbatim: Vec<Reply<'_>> = answers.iter().map(Reply::Verbatim).collect();
    if let Some(again) = answered_again(&asked, &verbatim, &answers) {
        assert_eq!(again, answers);
    }
    let own = |answer: &'_ Answer| answer.response.clone().map(|response| (answer.item, response));
    let own: Option<Vec<(usize, PartResponse)>> = answers.iter().map(own).collect();
    let Some(own) = own else { return };
    let replies: Vec<Reply<'_>> = own
        .iter()
        .map(|(item, PartResponse { status, headers, body })| {
            let id = asked.items()[*item].id.as_deref();
            Reply::Own(Own { id, status: *status, headers, body })
        })
        .collect();
    let Some(again) = answered_again(&asked, &replies, &answers) else { return };
    for (again, (item, before)) in again.iter().zip(&own) {
        assert_eq!(again.item, *item);
        says_the_same(again.response.as_ref().expect("ours can be read"), before);
    }
}

fn answered_again(asked: &Batch, replies: &[Reply<'_>], answers: &[Answer]) -> Option<Vec<Answer>> {
    let Written { content_type, body } = asked.write_answers(replies, "a-fresh-boundary").ok()?;
    let sent: Vec<usize> = answers.iter().map(|answer| answer.item).collect();
    Some(asked.read_answers(&sent, &content_type, &body, LIMITS).expect("what is written is read"))
}

fn says_the_same(again: &PartResponse, before: &PartResponse) {
    assert_eq!(again.status, before.status);
    let has_body = ![StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&again.status);
    assert!(!has_body || again.body == before.body);
    let mut headers: HeaderMap = before.headers.clone();
    remove_hop_by_hop(&mut headers);
    for name in headers.keys().filter(|name| *name != "trailer" && *name != "content-type") {
        assert_eq!(again.headers.get_all(name), headers.get_all(name), "{name}");
    }
}
