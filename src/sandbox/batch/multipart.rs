//! The multipart form (OData 4.01 Part 1 §11.7.7; RFC 2046 §5.1).
//!
//! Strict, as what two readers split in two ways is a way to smuggle requests: lines end by CRLF,
//! no line begins like a delimiter without being one, and a length that does not fit is refused.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;

use super::head::{Malformed, read_fields, read_request};
use super::media_type::MediaType;
use super::part::{
    MAX_PARTS, Part, PartAnswer, TOO_MANY, Unit, UnitAnswer, is_request_id, method_of,
};

/// RFC 2046 §5.1.1.
const MAX_BOUNDARY: usize = 70;
const NO_BOUNDARY: Malformed = "a line begins with the boundary and is none";
const CONTENT_ID: &str = "content-id";
const TRANSFER_ENCODING: &str = "content-transfer-encoding";
/// What a request in a part must not have (OData 4.01 Part 1 §11.7.7.1): credentials, what makes no
/// sense there, and codings of its transfer.
const FORBIDDEN: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "expect",
    "from",
    "max-forwards",
    "range",
    "te",
    "transfer-encoding",
];

/// The boundary of `multipart/mixed`.
pub(super) fn boundary(kind: &MediaType) -> Option<String> {
    let boundary = kind.parameter("boundary").filter(|_| kind.essence == "multipart/mixed")?;
    let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&c);
    let is_sound = (1..=MAX_BOUNDARY).contains(&boundary.len())
        && boundary.bytes().all(is_allowed)
        && !boundary.ends_with(' ');
    is_sound.then(|| boundary.to_owned())
}

/// Reads a batch. A change set may refer to what it did before, so each of its requests depends on
/// those.
pub(super) fn read(body: &Bytes, boundary: &str) -> Result<Vec<Unit>, Malformed> {
    let mut units = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    for content in split(body, boundary)? {
        let (fields, content) = read_fields(content)?;
        let kind = MediaType::of(&fields).ok_or("a part has no type")?;
        if kind.essence == "application/http" {
            units.push(Unit::One(read_part(body, &fields, content, &mut ids)?));
            continue;
        }
        let boundary =
            self::boundary(&kind).ok_or("a part is neither a request nor a change set")?;
        let mut parts: Vec<Part> = Vec::new();
        for content in split(content, &boundary)? {
            let (fields, content) = read_fields(content)?;
            let kind = MediaType::of(&fields).ok_or("a part has no type")?;
            if kind.essence != "application/http" {
                return Err("a change set holds what is no request");
            }
            let mut part = read_part(body, &fields, content, &mut ids)?;
            if part.id.is_none() {
                return Err("a request of a change set has no Content-ID");
            }
            if part.method == http::Method::GET {
                return Err("a change set holds a GET");
            }
            part.depends_on = parts.iter().filter_map(|earlier| earlier.id.clone()).collect();
            parts.push(part);
        }
        units.push(Unit::Set { group: String::new(), parts });
    }
    Ok(units)
}

/// The contents between the delimiters; preamble and epilogue mean nothing.
fn split<'b>(body: &'b [u8], boundary: &str) -> Result<Vec<&'b [u8]>, Malformed> {
    let delimiter = format!("\r\n--{boundary}");
    let delimiter = delimiter.as_bytes();
    let at_start = delimiter.get(2..).unwrap_or_default();
    let mut rest = match body.strip_prefix(at_start) {
        Some(rest) => rest,
        None => cut(body, delimiter).ok_or("its boundary does not occur")?.1,
    };
    let mut contents = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix(b"--").map(skip_blanks) {
            return match (end.is_empty() || end.starts_with(b"\r\n"), contents.is_empty()) {
                (false, _) => Err(NO_BOUNDARY),
                (true, true) => Err("it holds no part"),
                (true, false) => Ok(contents),
            };
        }
        let content = skip_blanks(rest).strip_prefix(b"\r\n").ok_or(NO_BOUNDARY)?;
        if content.starts_with(at_start) {
            return Err("a part holds nothing");
        }
        let (content, after) = cut(content, delimiter).ok_or("its last boundary is missing")?;
        if contents.len() == MAX_PARTS {
            return Err(TOO_MANY);
        }
        contents.push(content);
        rest = after;
    }
}

/// Without the blanks and tabs that may follow a boundary.
fn skip_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    line.get(blanks..).unwrap_or_default()
}

/// What stands before and behind the first occurrence.
fn cut<'b>(bytes: &'b [u8], needle: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let at = bytes.windows(needle.len()).position(|window| window == needle)?;
    Some((bytes.get(..at)?, bytes.get(at + needle.len()..)?))
}

/// One request. `fields` are those of its part, `content` what the part holds.
fn read_part(
    body: &Bytes,
    fields: &HeaderMap,
    content: &[u8],
    ids: &mut Vec<String>,
) -> Result<Part, Malformed> {
    let is_plain = |value: &http::HeaderValue| {
        let known: [&[u8]; 3] = [b"binary", b"8bit", b"7bit"];
        known.iter().any(|coding| value.as_bytes().eq_ignore_ascii_case(coding))
    };
    if !fields.get_all(TRANSFER_ENCODING).iter().all(is_plain) {
        return Err("a part has a Content-Transfer-Encoding that is not binary");
    }
    let id = read_id(fields, ids)?;
    let request = read_request(content)?;
    let method = method_of(request.method).ok_or("a part has a method that is not batched")?;
    let content = limit(&request.headers, request.body)?;
    Ok(Part {
        id,
        method,
        url: request.url.to_owned(),
        forbidden: FORBIDDEN.into_iter().find(|name| request.headers.contains_key(*name)),
        headers: request.headers,
        body: body.slice_ref(content),
        depends_on: Vec::new(),
        has_condition: false,
    })
}

fn read_id(fields: &HeaderMap, ids: &mut Vec<String>) -> Result<Option<String>, Malformed> {
    let mut lines = fields.get_all(CONTENT_ID).iter();
    let Some(id) = lines.next() else { return Ok(None) };
    let id = id.to_str().ok().filter(|id| is_request_id(id)).map(str::to_owned);
    let id = id.filter(|_| lines.next().is_none()).ok_or("a Content-ID identifies nothing")?;
    if ids.contains(&id) {
        return Err("a Content-ID occurs twice");
    }
    ids.push(id.clone());
    Ok(Some(id))
}

/// The content as long as its head says; empty lines may follow it.
fn limit<'b>(headers: &HeaderMap, content: &'b [u8]) -> Result<&'b [u8], Malformed> {
    const MISFIT: Malformed = "a part is not as long as its Content-Length says";
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lines.next() else { return Ok(content) };
    let length = length.to_str().ok().filter(|text| text.bytes().all(|c| c.is_ascii_digit()));
    let length = length.and_then(|text| text.parse().ok()).filter(|_| lines.next().is_none());
    let (content, after) = content.split_at_checked(length.ok_or(MISFIT)?).ok_or(MISFIT)?;
    if after.iter().all(|byte| matches!(byte, b'\r' | b'\n')) { Ok(content) } else { Err(MISFIT) }
}

/// A boundary that nobody can foresee, so that no body holds it.
pub(super) fn new_boundary(name: &str) -> String {
    format!("{name}_{:032x}", rand::random::<u128>())
}

/// The answers, in the structure of the batch; a change set that failed has one for all.
pub(super) fn write(answers: &[UnitAnswer], boundary: &str) -> Bytes {
    let mut out = BytesMut::new();
    for answer in answers {
        put(&mut out, &["--", boundary, "\r\n"]);
        match answer {
            UnitAnswer::One(part) => write_part(&mut out, part, part.id.as_deref()),
            UnitAnswer::FailedSet { cause, .. } => write_part(&mut out, cause, None),
            UnitAnswer::Set { parts, .. } => {
                let inner = new_boundary("changesetresponse");
                put(&mut out, &["Content-Type: multipart/mixed; boundary=", &inner, "\r\n\r\n"]);
                for part in parts {
                    put(&mut out, &["--", &inner, "\r\n"]);
                    write_part(&mut out, part, part.id.as_deref());
                }
                put(&mut out, &["--", &inner, "--\r\n"]);
            }
        }
    }
    put(&mut out, &["--", boundary, "--\r\n"]);
    out.freeze()
}

fn write_part(out: &mut BytesMut, part: &PartAnswer, id: Option<&str>) {
    put(out, &["Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"]);
    if let Some(id) = id {
        put(out, &["Content-ID: ", id, "\r\n"]);
    }
    let reason = part.status.canonical_reason().unwrap_or_default();
    put(out, &["\r\nHTTP/1.1 ", part.status.as_str(), " ", reason, "\r\n"]);
    for (name, value) in &part.headers {
        put(out, &[name.as_str(), ": "]);
        out.put_slice(value.as_bytes());
        put(out, &["\r\n"]);
    }
    if part.status != http::StatusCode::NO_CONTENT {
        put(out, &["content-length: ", &part.body.len().to_string(), "\r\n"]);
    }
    put(out, &["\r\n"]);
    out.put_slice(&part.body);
    put(out, &["\r\n"]);
}

fn put(out: &mut BytesMut, texts: &[&str]) {
    for text in texts {
        out.put_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINES: [&str; 12] = [
        "--b",
        "--b--",
        "--c",
        "--c--",
        "",
        "Content-Type: application/http",
        "Content-Type: multipart/mixed; boundary=c",
        "Content-ID: 1",
        "POST $1/Checkout HTTP/1.1",
        "GET http://a:1/Commerce/Carts HTTP/1.1",
        "Content-Length: 2",
        "{}",
    ];

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(
            lines in prop::collection::vec(prop::sample::select(&LINES[..]), 0..40),
            noise in prop::collection::vec(any::<u8>(), 0..64),
            at in any::<prop::sample::Index>(),
        ) {
            let mut body = lines.join("\r\n").into_bytes();
            let at = at.index(body.len() + 1);
            let _ = read(&body.clone().into(), "b");
            body.splice(at..at, noise);
            let _ = read(&body.into(), "b");
        }
    }

    fn contents(body: &str) -> Result<Vec<&str>, Malformed> {
        let contents = split(body.as_bytes(), "b")?;
        Ok(contents.into_iter().map(|content| std::str::from_utf8(content).unwrap()).collect())
    }

    #[test]
    fn a_body_is_split_at_its_boundary_alone() {
        assert_eq!(contents("--b\r\n\r\none\r\n--b--"), Ok(vec!["\r\none"]));
        let whole = "before\r\n--b \t\r\n\r\none --b\r\n\r\n--b\r\n\r\n\r\n--b-- \r\n--b\r\nafter";
        assert_eq!(contents(whole), Ok(vec!["\r\none --b\r\n", "\r\n"]));
    }

    #[test]
    fn what_is_not_delimited_in_one_way_is_refused() {
        for body in [
            "",
            "--b--",
            "--b--\r\n",
            "--b\r\n\r\none",
            "--b\r\n\r\none\r\n--b\r\n",
            "--b\r\n--b--",
            "--b\r\n--b\r\n\r\none\r\n--b--",
            "--b\r\n\r\none\n--b--",
            "--b\n\none\n--b--",
            "--b\r\n\r\none\r\n--bb\r\n\r\n\r\n--b--",
            "--b\r\n\r\none\r\n--b--x",
            "--bx\r\n\r\none\r\n--b--",
            "x--b\r\n\r\none",
        ] {
            assert!(contents(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_part_is_as_long_as_its_length_says() {
        let content = |length: &'static str, content: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_LENGTH, http::HeaderValue::from_static(length));
            limit(&headers, content.as_bytes())
        };
        assert_eq!(content("2", "{}\r\n\r\n"), Ok(&b"{}"[..]));
        assert_eq!(content("0", ""), Ok(&b""[..]));
        for (length, body) in [("3", "{}"), ("1", "{}"), ("+2", "{}"), ("", "{}"), ("2, 2", "{}")] {
            assert!(content(length, body).is_err(), "{length}");
        }
    }
}
