//! The heads inside a multipart batch: those of its parts, and those of the requests in them.

use http::{HeaderMap, HeaderName, HeaderValue};
use httparse::{EMPTY_HEADER, Header, Status};

/// Why a batch cannot be read.
pub(super) type Malformed = &'static str;

const MAX_FIELDS: usize = 64;
const BROKEN: Malformed = "a part's head cannot be read";

/// A request as it is written in a part.
#[derive(Debug)]
pub(super) struct WrittenRequest<'b> {
    pub(super) method: &'b str,
    pub(super) url: &'b str,
    pub(super) headers: HeaderMap,
    pub(super) body: &'b [u8],
}

/// The fields at the beginning of a part, and what follows them.
pub(super) fn read_fields(part: &[u8]) -> Result<(HeaderMap, &[u8]), Malformed> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(part, &mut fields) {
        Ok(Status::Complete((length, fields))) => Ok((collect(fields)?, behind(part, length)?)),
        _ => Err(BROKEN),
    }
}

/// The request that a part of type `application/http` holds.
pub(super) fn read_request(content: &[u8]) -> Result<WrittenRequest<'_>, Malformed> {
    if content.starts_with(b"\r") || content.starts_with(b"\n") {
        return Err(BROKEN);
    }
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(Status::Complete(length)) = request.parse(content) else { return Err(BROKEN) };
    let (Some(method), Some(url)) = (request.method, request.path) else { return Err(BROKEN) };
    let body = behind(content, length)?;
    Ok(WrittenRequest { method, url, headers: collect(request.headers)?, body })
}

/// What follows a head; its lines must end by CRLF, though the parser takes less.
fn behind(whole: &[u8], length: usize) -> Result<&[u8], Malformed> {
    let (head, rest) = whole.split_at_checked(length).ok_or(BROKEN)?;
    let mut before = 0;
    for byte in head {
        if *byte == b'\n' && before != b'\r' {
            return Err(BROKEN);
        }
        before = *byte;
    }
    Ok(rest)
}

fn collect(fields: &[Header<'_>]) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::new();
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BROKEN)?;
        headers.append(name, HeaderValue::from_bytes(field.value).map_err(|_| BROKEN)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_with_whatever_form_its_url_has() {
        for url in ["/Commerce/Carts('a')", "Carts", "$1/Checkout?x=1", "http://a/Commerce/Carts"] {
            let written = format!("POST {url} HTTP/1.1\r\nOUN:  128 \r\n\r\n{{}}");
            let request = read_request(written.as_bytes()).unwrap();
            assert_eq!((request.method, request.url, request.body), ("POST", url, &b"{}"[..]));
            assert_eq!(request.headers["oun"], "128");
        }
    }

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_refused() {
        for request in [
            "",
            "\r\nGET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\r\nA: b\n\r\n",
            "GET / HTTP/1.1\r\nA: b",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/2\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
        ] {
            assert!(read_request(request.as_bytes()).is_err(), "{request:?}");
        }
        let many = "A: b\r\n".repeat(MAX_FIELDS + 1) + "\r\n";
        assert!(read_fields(many.as_bytes()).is_err());
        assert!(read_fields(b"A: b\r\n").is_err());
        assert_eq!(read_fields(b"\r\nx").unwrap().1, b"x");
    }
}
