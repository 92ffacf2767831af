//! Whole batches: the shapes that the standard shows, and what must hold of any.

use http::StatusCode;
use proptest::prelude::*;

use super::*;
use crate::odata::ServiceRoot;

const LIMITS: Limits = Limits { parts: 8, bytes: 10_000 };

fn read_typed(content_type: &str, body: &[u8]) -> Result<Batch, BatchError> {
    let root = ServiceRoot::new(&"https://origin.test/service".parse().unwrap()).unwrap();
    let base = Base { root: &root, authority: Some("host") };
    let content_type = HeaderValue::from_str(content_type).unwrap();
    Batch::read(&content_type, &Bytes::copy_from_slice(body), base, LIMITS)
}

/// Lines as they stand here, without their indentation, ended by CRLF.
fn lines(text: &str) -> String {
    text.lines().map(|line| line.trim_start().to_owned() + "\r\n").collect()
}

fn multipart(text: &str) -> Result<Batch, BatchError> {
    read_typed("multipart/mixed; boundary=batch_1", lines(text).as_bytes())
}

fn json(text: &str) -> Result<Batch, BatchError> {
    read_typed("application/json", text.as_bytes())
}

/// The request lines of the items that may be answered from store.
fn asked(batch: &Batch) -> Vec<Option<String>> {
    let line = |request: &PartRequest| format!("{} {}", request.method, request.target);
    batch.items().iter().map(|item| item.request.as_ref().map(line)).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn answers(batch: &Batch, sent: &[usize], written: &Written) -> Result<Vec<Answer>, BatchError> {
    batch.read_answers(sent, &written.content_type, &written.body, LIMITS)
}

/// A query, a change set of two writes, another query.
const TWO_QUERIES_AND_A_CHANGE_SET: &str = "--batch_1
    Content-Type: application/http

    GET /service/Customers('ALFKI') HTTP/1.1
    Host: host


    --batch_1
    Content-Type: multipart/mixed; boundary=changeset_7

    --changeset_7
    Content-Type: application/http
    Content-ID: 1

    POST /service/Customers HTTP/1.1
    Host: host
    Content-Type: application/json
    Content-Length: 2

    {}
    --changeset_7
    Content-Type: application/http
    Content-ID: 2

    PATCH /service/Customers('ALFKI') HTTP/1.1
    Host: host
    If-Match: xxxxx
    Content-Length: 2

    {}
    --changeset_7--
    --batch_1
    Content-Type: application/http
    Content-Transfer-Encoding: binary
    Content-ID: 3

    GET Products HTTP/1.1
    OUN: 128


    --batch_1--";

#[test]
fn a_multipart_batch_is_taken_apart_at_its_items() {
    let batch = multipart(TWO_QUERIES_AND_A_CHANGE_SET).unwrap();
    let expected = [some("GET /service/Customers('ALFKI')"), None, some("GET /service/Products")];
    assert_eq!(asked(&batch), expected);
    let ids: Vec<Option<&str>> = batch.items().iter().map(|item| item.id.as_deref()).collect();
    assert_eq!(ids, [None, None, Some("3")]);
    let last = batch.items()[2].request.as_ref().unwrap();
    assert_eq!(last.headers.len(), 1);
    assert_eq!(last.headers["oun"], "128");
}

#[test]
fn line_ends_without_a_carriage_return_say_the_same() {
    let body = lines(TWO_QUERIES_AND_A_CHANGE_SET).replace('\r', "");
    let bare = read_typed("multipart/mixed; boundary=\"batch_1\"", body.as_bytes()).unwrap();
    assert_eq!(asked(&bare), asked(&multipart(TWO_QUERIES_AND_A_CHANGE_SET).unwrap()));
    let written = bare.rewrite(&[], "fresh").unwrap();
    let again = read_typed(written.content_type.to_str().unwrap(), &written.body).unwrap();
    assert_eq!(again.items(), bare.items());
}

#[test]
fn a_smaller_batch_and_its_answer_keep_order_and_ids() {
    let batch = multipart(TWO_QUERIES_AND_A_CHANGE_SET).unwrap();
    let last = batch.items()[2].request.as_ref().unwrap();
    let choices = [Choice::LeaveOut, Choice::Verbatim, Choice::Instead(last)];
    let smaller = batch.rewrite(&choices, "fresh").unwrap();
    let read = read_typed(smaller.content_type.to_str().unwrap(), &smaller.body).unwrap();
    assert_eq!(read.items()[0].raw, batch.items()[1].raw);
    assert_eq!(read.items()[1].id.as_deref(), Some("3"));
    assert_eq!(read.items()[1].request, batch.items()[2].request);

    let origin = Written {
        content_type: HeaderValue::from_static("multipart/mixed; boundary=b_243"),
        body: lines(
            "--b_243
            Content-Type: multipart/mixed; boundary=cs_12

            --cs_12
            Content-Type: application/http
            Content-ID: 1

            HTTP/1.1 204 No Content


            --cs_12--
            --b_243
            Content-Type: application/http
            Content-ID: 3

            HTTP/1.1 404 Not Found
            Content-Type: application/json
            Content-Length: 2

            {}
            --b_243--",
        )
        .into(),
    };
    let found = answers(&batch, &[1, 2], &origin).unwrap();
    assert_eq!(found.iter().map(|answer| answer.item).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(found[0].response, None);
    assert_eq!(found[1].response.as_ref().unwrap().status, StatusCode::NOT_FOUND);

    let headers = HeaderMap::from_iter([
        (http::header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (http::header::CONNECTION, HeaderValue::from_static("close")),
        (http::header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
    ]);
    let body = Bytes::from_static(b"{\"Id\":9007199254740993}");
    let own = Own { id: None, status: StatusCode::OK, headers: &headers, body: &body };
    let replies = [Reply::Own(own), Reply::Verbatim(&found[0]), Reply::Verbatim(&found[1])];
    let written = batch.write_answers(&replies, "fresh").unwrap();
    let text = String::from_utf8(written.body.to_vec()).unwrap();
    assert!(text.starts_with(
        "--fresh\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 23\r\n\r\n\
         {\"Id\":9007199254740993}\r\n--fresh\r\n"
    ));
    let read = answers(&batch, &[0, 1, 2], &written).unwrap();
    assert_eq!(read[0].response.as_ref().unwrap().body, body);
    assert_eq!((&read[1].raw, &read[2].raw), (&found[0].raw, &found[1].raw));
}

#[test]
fn what_is_no_batch_with_certainty_is_none() {
    let part =
        |fields: &str, content: &str| format!("--batch_1\n{fields}\n\n{content}\n--batch_1--");
    let http = "Content-Type: application/http";
    let get = "GET /service/Products HTTP/1.1\n\n";
    let set = "--cs\nContent-Type: multipart/mixed; boundary=x\n\n--x--\n--cs--";
    for (text, expected) in [
        (part("Content-Type: text/plain", get), BatchError::PartType),
        (part("Content-ID: 1", get), BatchError::PartType),
        (part(&format!("{http}\nContent-Transfer-Encoding: base64"), get), BatchError::PartType),
        (part(&format!("{http}\n{http}"), get), BatchError::PartHead),
        (part(&format!("{http}\nContent-ID: 1\nContent-ID: 2"), get), BatchError::PartHead),
        (part(&format!("{http}\nno colon"), get), BatchError::PartHead),
        (part(&format!("{http}\nContent-Length: 1"), get), BatchError::PartLength),
        (part(&format!("{http}\nContent-ID: <1>"), get), BatchError::Id),
        (part("Content-Type: multipart/mixed; boundary=cs", set), BatchError::TooDeep),
        (part("Content-Type: multipart/mixed; boundary=cs", "--cs"), BatchError::Unterminated),
        (part("Content-Type: multipart/mixed", "--cs--"), BatchError::Boundary),
        (part(http, "POST /service/a HTTP/1.1\nContent-Length: 9\n\n{}"), BatchError::PartLength),
    ] {
        assert_eq!(multipart(&text).err(), Some(expected), "{text}");
    }
    let folded = "--batch_1\r\nContent-Type: application/http;\r\n a=b\r\n\r\n\r\n--batch_1--";
    let read = read_typed("multipart/mixed; boundary=batch_1", folded.as_bytes());
    assert_eq!(read.err(), Some(BatchError::FoldedField));
    let one = format!("--batch_1\n{http}\nContent-ID: 1\n\n{get}\n");
    assert_eq!(multipart(&format!("{one}{one}--batch_1--")).err(), Some(BatchError::DuplicateId));
    let nine = format!("--batch_1\n{http}\n\n{get}\n").repeat(9) + "--batch_1--";
    assert_eq!(multipart(&nine).err(), Some(BatchError::TooManyParts));
    let nested = format!("--cs\n{http}\n\n{get}\n").repeat(9) + "--cs--";
    let nested = part("Content-Type: multipart/mixed; boundary=cs", &nested);
    assert_eq!(multipart(&nested).err(), Some(BatchError::TooManyParts));
    let five = format!("--cs\n{http}\n\n{get}\n").repeat(5) + "--cs--";
    let five = format!("--batch_1\nContent-Type: multipart/mixed; boundary=cs\n\n{five}\n");
    assert!(multipart(&format!("{five}--batch_1--")).is_ok());
    let ten = format!("{five}{five}--batch_1--");
    assert_eq!(multipart(&ten).err(), Some(BatchError::TooManyParts));
    for (content_type, expected) in [
        ("application/http", BatchError::ContentType),
        ("multipart/form-data; boundary=x", BatchError::ContentType),
        ("application/json; charset=utf-16", BatchError::ContentType),
        ("multipart/mixed", BatchError::Boundary),
        ("multipart/mixed; boundary=\"a{\"", BatchError::Boundary),
    ] {
        assert_eq!(read_typed(content_type, b"").err(), Some(expected), "{content_type}");
    }
    assert_eq!(read_typed("application/json", &[b' '; 10_001]).err(), Some(BatchError::TooLong));
}

#[test]
fn parts_that_are_tied_to_others_pass_with_them() {
    let part = |id: &str, head: &str| {
        format!("--batch_1\nContent-Type: application/http\nContent-ID: {id}\n\n{head}\n\n\n")
    };
    let first = part("1", "GET /service/Employees(0) HTTP/1.1");
    for (second, is_tied) in [
        ("GET /service/Products HTTP/1.1", false),
        ("GET /service/Products?$top=1 HTTP/1.1", false),
        ("GET $1/Orders HTTP/1.1", true),
        ("GET /service/Employees?$filter=Building%20eq%20$1/Building HTTP/1.1", true),
        ("PATCH /service/Employees(0) HTTP/1.1\nIf-Match: $1", true),
    ] {
        let batch = multipart(&format!("{first}{}--batch_1--", part("2", second))).unwrap();
        let expected = [is_tied, is_tied];
        let tied: Vec<bool> = batch.items().iter().map(|item| item.request.is_none()).collect();
        assert_eq!(tied, expected, "{second}");
    }
    let unread = "GET /service/a HTTP/1.1\nAuthorization: Bearer x";
    for head in [unread, "GET /service/a", "GET /service/a HTTP/1.1\nContent-ID: 7"] {
        let batch = multipart(&format!("{}--batch_1--", part("1", head))).unwrap();
        assert_eq!(asked(&batch), [None], "{head}");
    }
}

/// A query, an atomicity group of two writes of which one waits for the query, another query.
const JSON_BATCH: &str = r#"{"@a.b":1, "requests": [
    {"id":"0","method":"get","url":"/service/Customers('ALFKI')"},
    {"id":"1","atomicityGroup":"group1","dependsOn":["4"],"method":"patch","url":"Customers('ALFKI')","headers":{"Prefer":"return=minimal"},"body":{"a":1.0}},
    {"id":"2","atomicityGroup":"group1","method":"post","url":"/service/Customers","body":{}},
    {"id":"3","dependsOn":["group1"],"method":"get","url":"/service/Products"},
    {"id":"4","method":"get","url":"Products"},
    {"id":"5","method":"POST","url":"http://host/service/Products/GetByIds","headers":{"OUN":"128"},"body":{"productIds": [9007199254740993, 1.0] }}
]}"#;

#[test]
fn a_json_batch_is_taken_apart_at_its_requests() {
    let batch = json(JSON_BATCH).unwrap();
    let expected = [
        some("GET /service/Customers('ALFKI')"),
        None,
        None,
        None,
        None,
        some("POST /service/Products/GetByIds"),
    ];
    assert_eq!(asked(&batch), expected);
    let last = batch.items()[5].request.as_ref().unwrap();
    assert_eq!(last.body, r#"{"productIds": [9007199254740993, 1.0] }"#);
    assert_eq!(last.headers["oun"], "128");
    assert_eq!(last.headers["content-type"], "application/json");

    let choices = [Choice::LeaveOut, Choice::Verbatim, Choice::LeaveOut, Choice::LeaveOut];
    let smaller = batch.rewrite(&choices, "").unwrap();
    let text = String::from_utf8(smaller.body.to_vec()).unwrap();
    assert!(text.starts_with(r#"{"@a.b":1, "requests": [{"id":"1","atomicityGroup":"group1","#));
    let instead = batch.rewrite(&[Choice::LeaveOut; 5], "").unwrap();
    assert_eq!(json(std::str::from_utf8(&instead.body).unwrap()).unwrap().items().len(), 1);
    let choices = [Choice::LeaveOut; 5].into_iter().chain([Choice::Instead(last)]);
    let instead = batch.rewrite(&choices.collect::<Vec<_>>(), "").unwrap();
    assert_eq!(
        instead.body,
        concat!(
            r#"{"@a.b":1, "requests": [{"id":"5","method":"post","url":"/service/Products/GetByIds","#,
            r#""headers":{"oun":"128","content-type":"application/json"},"#,
            r#""body":{"productIds": [9007199254740993, 1.0] }}]}"#
        )
    );
}

#[test]
fn what_the_batch_says_of_its_numbers_counts_in_its_parts() {
    let strict = "application/json;IEEE754Compatible=true";
    let body = br#"{"requests":[{"id":"1","method":"post","url":"a","body":{"b":"1"}}]}"#;
    let batch = read_typed(strict, body).unwrap();
    assert_eq!(batch.items()[0].request.as_ref().unwrap().headers["content-type"], strict);
    assert_eq!(batch.rewrite(&[], "").unwrap().content_type, strict);
}

#[test]
fn answers_in_json_are_found_by_their_ids() {
    let batch = json(JSON_BATCH).unwrap();
    let origin = |body: &str| Written {
        content_type: HeaderValue::from_static("application/json;odata.metadata=minimal"),
        body: body.to_owned().into(),
    };
    let told = origin(
        r#"{"responses":[{"id":"5","status":200,"body":{"Id":1.0}}, {"id":"1","status":204,"atomicityGroup":"group1"}]}"#,
    );
    let found = answers(&batch, &[1, 5], &told).unwrap();
    assert_eq!(found.iter().map(|answer| answer.item).collect::<Vec<_>>(), [5, 1]);
    assert_eq!(found[0].response.as_ref().unwrap().body, "{\"Id\":1.0}");
    let headers = HeaderMap::new();
    let error = Bytes::from_static(b"oh");
    let own = Own { id: Some("0"), status: StatusCode::NOT_FOUND, headers: &headers, body: &error };
    let written = batch.write_answers(&[Reply::Verbatim(&found[1]), Reply::Own(own)], "").unwrap();
    assert_eq!(
        written.body,
        concat!(
            r#"{"responses":[{"id":"1","status":204,"atomicityGroup":"group1"},"#,
            r#"{"id":"0","status":404,"headers":{"content-type":"application/octet-stream"},"body":"b2g="}]}"#
        )
    );
    for (body, expected) in [
        (r#"{"responses":[{"id":"0","status":200}]}"#, BatchError::Unmatched),
        (r#"{"responses":[{"id":"1","status":2},{"id":"1","status":2}]}"#, BatchError::Unmatched),
        (r#"{"responses":[{"status":200}]}"#, BatchError::Id),
        (r#"{"responses":[],"@nextLink":"x"}"#, BatchError::Partial),
        (r#"{"responses":[{"id":"1","status":200"#, BatchError::Malformed),
        (r#"{"error":{"code":"x"}}"#, BatchError::Malformed),
    ] {
        assert_eq!(answers(&batch, &[1, 5], &origin(body)).err(), Some(expected), "{body}");
    }
}

#[test]
fn answers_in_multipart_may_end_early_and_not_late() {
    let batch = multipart(TWO_QUERIES_AND_A_CHANGE_SET).unwrap();
    let headers = HeaderMap::new();
    let body = Bytes::new();
    let own = |id| Reply::Own(Own { id, status: StatusCode::OK, headers: &headers, body: &body });
    let told = |replies: &[Reply<'_>]| batch.write_answers(replies, "b").unwrap();
    let read = |sent: &[usize], replies: &[Reply<'_>]| answers(&batch, sent, &told(replies));
    assert_eq!(read(&[1, 2], &[own(None)]).unwrap()[0].item, 1);
    assert_eq!(read(&[1, 2], &[]).unwrap(), []);
    assert_eq!(read(&[0], &[own(None), own(None)]), Err(BatchError::Unmatched));
    assert_eq!(read(&[2], &[own(Some("4"))]), Err(BatchError::Unmatched));
    let mut other_form = told(&[]);
    other_form.content_type = HeaderValue::from_static("application/json");
    assert_eq!(answers(&batch, &[0], &other_form), Err(BatchError::Unmatched));
}

#[test]
fn json_that_has_two_readings_has_none() {
    let one = |member: &str| format!(r#"{{"requests":[{{"id":"1",{member}}}]}}"#);
    use BatchError::{DuplicateId, DuplicateMember, Id, Malformed};
    for (text, expected) in [
        ("{}".to_owned(), Malformed),
        ("[]".to_owned(), Malformed),
        (r#"{"requests":{}}"#.to_owned(), Malformed),
        (r#"{"requests":[],"other":1}"#.to_owned(), Malformed),
        (r#"{"requests":[1]}"#.to_owned(), Malformed),
        (r#"{"requests":[],"requests":[]}"#.to_owned(), DuplicateMember),
        (r#"{"requests":[],"Requests":[]}"#.to_owned(), DuplicateMember),
        (r#"{"requests":[{"method":"get","url":"a"}]}"#.to_owned(), Id),
        (r#"{"requests":[{"id":1,"method":"get","url":"a"}]}"#.to_owned(), Id),
        (r#"{"requests":[{"id":"1"},{"id":"1"}]}"#.to_owned(), DuplicateId),
        (r#"{"requests":[{"id":"1"},{"id":"2","atomicityGroup":"1"}]}"#.to_owned(), DuplicateId),
        (one(r#""url":"a","URL":"b""#), DuplicateMember),
        (one(r#""headers":{"oun":"1","OUN":"2"}"#), DuplicateMember),
        (one(r#""dependsOn":"2""#), Malformed),
    ] {
        assert_eq!(json(&text).err(), Some(expected), "{text}");
    }
    let get = r#""method":"get","url":"a""#;
    for member in [
        r#""method":"get""#.to_owned(),
        r#""method":"merge","url":"a""#.to_owned(),
        r#""method":"get","Url":"a""#.to_owned(),
        format!(r#"{get},"if":"true""#),
        format!(r#"{get},"dependsOn":[]"#),
        format!(r#"{get},"atomicityGroup":null"#),
        format!(r#"{get},"body":{{}}"#),
        format!(r#"{get},"unheard":1"#),
        format!(r#"{get},"headers":{{"oun":1}}"#),
        format!(r#"{get},"headers":{{"host":"other"}}"#),
        format!(r#"{get},"headers":{{"content-length":"0"}}"#),
        format!(r#"{get},"headers":{{"authorization":"Bearer x"}}"#),
        r#""method":"post","url":"a","headers":{"content-type":"text/plain"},"body":"x""#
            .to_owned(),
    ] {
        assert_eq!(asked(&json(&one(&member)).unwrap()), [None], "{member}");
    }
    let plain = json(&one(&format!(r#"{get},"body":null,"@a.b":1"#))).unwrap();
    assert_eq!(asked(&plain), [some("GET /service/a")]);
}

#[test]
fn a_boundary_that_occurs_is_not_used() {
    let batch = multipart(TWO_QUERIES_AND_A_CHANGE_SET).unwrap();
    assert_eq!(batch.rewrite(&[], "changeset"), Err(BatchError::BoundaryTaken));
    assert_eq!(batch.rewrite(&[], "no{"), Err(BatchError::Boundary));
}

fn request() -> impl Strategy<Value = PartRequest> {
    let body = prop_oneof![
        "(\r|\n|\r\n|--|--fresh?|--fres|b|\\{|\\}|\"| ){0,12}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    ("[A-Za-z0-9/()',$=?&%-]{1,12}", any::<bool>(), "[ -~]{0,8}", body).prop_filter_map(
        "a target",
        |(below, is_post, value, body)| {
            let target = PathAndQuery::try_from(format!("/service/{below}")).ok()?;
            let value = HeaderValue::from_str(value.trim()).ok()?;
            Some(PartRequest {
                method: if is_post { Method::POST } else { Method::GET },
                target,
                headers: HeaderMap::from_iter([(http::HeaderName::from_static("x-a"), value)]),
                body: if is_post { body.into() } else { Bytes::new() },
            })
        },
    )
}

/// Texts that nearly are batches, and some that are.
fn nearly_a_batch() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("--b"),
        Just("--"),
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just(" "),
        Just("Content-Type: application/http\r\n\r\n"),
        Just("Content-Type: multipart/mixed; boundary=c\r\n\r\n"),
        Just("Content-ID: 1\r\n"),
        Just("GET a HTTP/1.1\r\n\r\n"),
        Just("HTTP/1.1 200 OK\r\n\r\n"),
        Just("--c"),
        Just("{\"requests\":["),
        Just("{\"id\":\"1\",\"method\":\"get\",\"url\":\"a\"}"),
        Just("]}"),
        Just("\u{e4}"),
    ];
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Each item is the part that was written, and asks what was asked, unless it looks tied to another.
fn is_as_written(batch: &Batch, parts: &[Bytes], requests: &[PartRequest]) {
    assert_eq!(batch.items().len(), requests.len());
    for ((item, part), request) in batch.items().iter().zip(parts).zip(requests) {
        assert_eq!(item.raw, part);
        assert!(item.request.as_ref().is_none_or(|read| read == request), "{item:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_written_in_multipart_is_read_as_it_was(
        requests in proptest::collection::vec(request(), 0..4),
    ) {
        let parts: Vec<Bytes> =
            requests.iter().map(|request| multipart::write_request(None, request)).collect();
        let Ok(written) = multipart::write(parts.iter().cloned(), "fresh") else { return Ok(()) };
        let batch = read_typed(written.content_type.to_str().unwrap(), &written.body).unwrap();
        is_as_written(&batch, &parts, &requests);
        let raws = batch.items().iter();
        let raws: Vec<Vec<u8>> =
            raws.map(|item| [b"--fresh\r\n", &item.raw[..], b"\r\n"].concat()).collect();
        prop_assert_eq!([raws.concat(), b"--fresh--\r\n".to_vec()].concat(), &written.body[..]);
    }

    #[test]
    fn what_is_written_in_json_is_read_as_it_was(
        mut requests in proptest::collection::vec(request(), 0..4),
        number in any::<i64>(),
    ) {
        for request in requests.iter_mut().filter(|request| request.method == Method::POST) {
            request.body = format!("{{ \"a\" :{number}.0 }}").into();
            request.headers.insert("content-type", json::JSON);
        }
        let parts: Vec<Bytes> = requests
            .iter()
            .zip(["1", "2", "3"])
            .map(|(request, id)| json::write_request(Some(id), request).unwrap())
            .collect();
        let body = [b"{\"requests\":[", &parts.join(&b","[..])[..], b"]}"].concat();
        let batch = read_typed("application/json", &body).unwrap();
        is_as_written(&batch, &parts, &requests);
        prop_assert_eq!(batch.rewrite(&[], "").unwrap().body, body);
    }

    #[test]
    fn nothing_that_is_read_panics_and_nothing_is_lost(
        body in prop_oneof![nearly_a_batch(), proptest::collection::vec(any::<u8>(), 0..64)],
    ) {
        for content_type in ["multipart/mixed; boundary=b", "application/json"] {
            let Ok(batch) = read_typed(content_type, &body) else { continue };
            if let Ok(written) = batch.rewrite(&[], "fresh") {
                let again = written.content_type.to_str().unwrap();
                let again = read_typed(again, &written.body).unwrap();
                prop_assert_eq!(again.items(), batch.items());
            }
            let sent: Vec<usize> = (0..batch.items().len()).collect();
            let content_type = HeaderValue::from_static(content_type);
            let _ = batch.read_answers(&sent, &content_type, &Bytes::from(body.clone()), LIMITS);
        }
    }
}
