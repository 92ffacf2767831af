//! The HTTP messages in a multipart batch (RFC 9112): a head, and a body that its part ends.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, MAX_FORWARDS, RANGE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use memchr::{memchr_iter, memmem};

use super::{BatchError, PartResponse};
use crate::framing;

/// The most fields that a part may have.
const MAX_FIELDS: usize = 64;

/// A request in a part, its target as it was written.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The fields of a MIME part, and what follows the empty line after them.
///
/// # Errors
/// When they cannot be read.
pub(super) fn read_fields(part: &Bytes) -> Result<(HeaderMap, Bytes), BatchError> {
    let head_len = head_len(part)?.ok_or(BatchError::PartHead)?;
    let (head, content) = part.split_at_checked(head_len).ok_or(BatchError::PartHead)?;
    let mut lines = [httparse::EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(head, &mut lines) {
        Ok(httparse::Status::Complete((len, lines))) if len == head_len => {
            let headers = fields(lines).ok_or(BatchError::PartHead)?;
            Ok((headers, part.slice_ref(content)))
        }
        _ => Err(BatchError::PartHead),
    }
}

/// The request in a part. None where its head cannot be read, or asks for what a part has no place
/// for: such a part is for the origin to read.
///
/// # Errors
/// When readers could differ in where its head or its body ends. One that goes by a length which is
/// not its part's takes the next parts for a piece of it, and answers to them are answers to others.
pub(super) fn read_request(content: &Bytes) -> Result<Option<Request>, BatchError> {
    let Some(head_len) = head_len(content)? else { return unread(content) };
    let mut lines = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut lines);
    let is_whole = is_whole(parsed.parse(content), head_len, content);
    let (true, Some(method), Some(url)) = (is_whole, parsed.method, parsed.path) else {
        return unread(content);
    };
    let (Ok(method), Some(headers)) =
        (Method::from_bytes(method.as_bytes()), fields(parsed.headers))
    else {
        return unread(content);
    };
    // A part has an end of its own: chunks are not needed, and could end elsewhere (§11.7.7.1).
    if !framing::is_sound(&headers) || headers.contains_key(TRANSFER_ENCODING) {
        return Err(BatchError::PartLength);
    }
    let body = body(content.slice(head_len..), &headers)?;
    let is_plain = !has_no_place(&headers) && (body.is_empty() || takes_body(&method));
    let request = Request { method, url: url.to_owned(), headers, body };
    Ok(is_plain.then_some(request))
}

/// Leaves a head to the origin, as long as it says nothing of a length and its last line has an end.
fn unread(content: &[u8]) -> Result<Option<Request>, BatchError> {
    let lower = content.to_ascii_lowercase();
    if [&b"content-length"[..], b"transfer-encoding"]
        .iter()
        .any(|n| memmem::find(&lower, n).is_some())
    {
        return Err(BatchError::PartLength);
    }
    if content.ends_with(b"\n") { Ok(None) } else { Err(BatchError::PartHead) }
}

/// The response in a part. None where there is no certainty about it.
pub(super) fn read_response(content: &Bytes) -> Option<PartResponse> {
    let head_len = head_len(content).ok()??;
    let mut lines = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut lines);
    if !is_whole(parsed.parse(content), head_len, content) {
        return None;
    }
    let status = StatusCode::from_u16(parsed.code?).ok()?;
    let mut headers = fields(parsed.headers)?;
    if !framing::is_sound(&headers) || headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let body = body(content.slice(head_len..), &headers).ok()?;
    headers.remove(CONTENT_LENGTH);
    Some(PartResponse { status, headers, body })
}

/// Whether a request asks for what no part may ask for (OData 4.01 Protocol §11.7.7.1), or for what
/// is between two ends of a connection.
pub(super) fn has_no_place(headers: &HeaderMap) -> bool {
    const NO_PLACE: [HeaderName; 8] =
        [CONNECTION, EXPECT, MAX_FORWARDS, RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    NO_PLACE.iter().any(|name| headers.contains_key(name))
}

/// Whether requests of the method have a body of a meaning.
pub(super) fn takes_body(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::DELETE].contains(method)
}

/// A head that httparse and our own search for its empty line end at one place. httparse passes over
/// empty lines in front, which others may take for the head.
fn is_whole(parsed: httparse::Result<usize>, head_len: usize, content: &[u8]) -> bool {
    let starts_empty = matches!(content.first(), Some(b'\r' | b'\n'));
    !starts_empty && matches!(parsed, Ok(httparse::Status::Complete(len)) if len == head_len)
}

/// How long the head is, its empty line included. None where there is no empty line.
fn head_len(text: &[u8]) -> Result<Option<usize>, BatchError> {
    let mut start = 0;
    for end in memchr_iter(b'\n', text) {
        let line = text.get(start..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.contains(&b'\r') {
            return Err(BatchError::BareCarriageReturn);
        }
        if start > 0 && matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(BatchError::FoldedField);
        }
        start = end + 1;
        if line.is_empty() {
            return Ok(Some(start));
        }
    }
    Ok(None)
}

fn fields(lines: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(line.value).ok()?;
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}

/// The body, of what follows the head. Some clients end a part with more line ends than the one that
/// is the boundary's: those are not the body's, where its length is given or nothing else is there.
fn body(rest: Bytes, headers: &HeaderMap) -> Result<Bytes, BatchError> {
    let are_line_ends = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
    let Some(length) = headers.get(CONTENT_LENGTH) else {
        return Ok(if are_line_ends(&rest) { Bytes::new() } else { rest });
    };
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    let length: usize = length.ok_or(BatchError::PartLength)?;
    match rest.split_at_checked(length) {
        Some((_, behind)) if are_line_ends(behind) => Ok(rest.slice(..length)),
        _ => Err(BatchError::PartLength),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(content: &str) -> Result<Option<(String, String)>, BatchError> {
        let read = read_request(&Bytes::from(content.to_owned()))?;
        Ok(read.map(|request| (request.url, String::from_utf8(request.body.to_vec()).unwrap())))
    }

    #[test]
    fn a_body_ends_with_its_part_or_its_length() {
        for (content, body) in [
            ("GET /a HTTP/1.1\r\nHost: h\r\n\r\n", ""),
            ("GET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\n\r\n", ""),
            ("GET /a HTTP/1.1\n\n", ""),
            ("POST /a HTTP/1.1\r\n\r\n{}\r\n", "{}\r\n"),
            ("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}\r\n", "{}"),
            ("POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", ""),
        ] {
            let expected = ("/a".to_owned(), body.to_owned());
            assert_eq!(request(content), Ok(Some(expected)), "{content:?}");
        }
    }

    #[test]
    fn where_readers_could_differ_the_batch_is_refused() {
        use BatchError::{BareCarriageReturn, FoldedField, PartHead, PartLength};
        for (content, expected) in [
            ("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}", PartLength),
            ("POST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\n{}", PartLength),
            ("POST /a HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", PartLength),
            ("POST /a HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}", PartLength),
            (
                "POST /a HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                PartLength,
            ),
            ("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", PartLength),
            ("POST /a\r\nContent-Length: 100\r\n\r\n{}\r\n", PartLength),
            ("POST /a HTTP/1.1\r\ncontent-LENGTH : 100\r\n\r\n{}\r\n", PartLength),
            ("POST /a HTTP/1.1\r\nContent-Length: 100\r\n", PartLength),
            ("", PartHead),
            ("GET /a HTTP/1.1", PartHead),
            ("GET /a HTTP/1.1\r\nHost: h", PartHead),
            ("GET /a HTTP/1.1\r\nA: b\r\n c\r\n\r\n", FoldedField),
            ("GET /a HTTP/1.1\r\n A: b\r\n\r\n", FoldedField),
            ("GET /a HTTP/1.1\r\nA: b\rc: d\r\n\r\n", BareCarriageReturn),
        ] {
            assert_eq!(request(content), Err(expected), "{content:?}");
        }
    }

    #[test]
    fn a_head_that_has_no_one_reading_is_left_to_the_origin() {
        for content in [
            "GET /a HTTP/1.1\r\nHost: h\r\n",
            "GET /a\r\nHost: h\r\n\r\n",
            "\r\nGET /a HTTP/1.1\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET /a HTTP/2.0\r\n\r\n",
            "GET /a HTTP/1.1\r\nName : v\r\n\r\n",
            "GET /a HTTP/1.1\r\nno colon\r\n\r\n",
            "GET /a HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            "GET /a HTTP/1.1\r\nRange: bytes=0-1\r\n\r\n",
            "GET /a HTTP/1.1\r\nConnection: oun\r\n\r\n",
            "GET /a HTTP/1.1\r\n\r\nbody",
        ] {
            assert_eq!(request(content), Ok(None), "{content:?}");
        }
    }

    #[test]
    fn a_response_is_read_where_it_is_certain() {
        let read = |content: &str| read_response(&Bytes::from(content.to_owned()));
        let response =
            read("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\n{}\r\n")
                .unwrap();
        assert_eq!((response.status, &*response.body), (StatusCode::OK, &b"{}"[..]));
        assert_eq!(response.headers.len(), 1);
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n\r\n").unwrap().body, "");
        for content in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "200 OK\r\n\r\n",
        ] {
            assert_eq!(read(content), None, "{content:?}");
        }
    }
}
