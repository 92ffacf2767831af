//! A request that is answered without being read: its bytes, for who wants to know something of it
//! all the same.

use memchr::memchr;

use super::Peer;

/// A request of HTTP/1.1 as it came, whose head is whole and ends its lines with CRLF.
#[derive(Clone, Copy)]
pub struct RawRequest<'r> {
    bytes: &'r [u8],
    peer: Peer,
}

impl<'r> RawRequest<'r> {
    pub(super) const fn new(bytes: &'r [u8], peer: Peer) -> Self {
        Self { bytes, peer }
    }

    pub(super) const fn bytes(self) -> &'r [u8] {
        self.bytes
    }

    /// Who sent it.
    pub const fn peer(self) -> Peer {
        self.peer
    }

    /// The values of a field, line by line; those that are no text are left out.
    pub fn values(self, name: &'static str) -> impl Iterator<Item = &'r str> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let line = rest.get(..memchr(b'\n', rest)?)?;
            rest = rest.get(line.len() + 1..)?;
            (line != b"\r").then_some(line)
        })
        .skip(1)
        .filter_map(move |line| {
            let (field, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?;
            let is_it = field.eq_ignore_ascii_case(name.as_bytes());
            is_it.then(|| std::str::from_utf8(value.trim_ascii()).ok())?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_head_alone() {
        let request = "GET / HTTP/1.1\r\nhost: a\r\nX-A:  1 \r\nx-ab: 2\r\nx-a:3\r\n\r\nx-a: 4\r\n";
        let peer = Peer::new(([127, 0, 0, 1], 1).into());
        let raw = RawRequest::new(request.as_bytes(), peer);
        assert_eq!(raw.values("x-a").collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(raw.values("get / http/1.1\r\nhost").count(), 0);
        assert_eq!(raw.values("x-b").count(), 0);
    }
}
