//! Requests that came before, byte for byte.
//!
//! The servers and browsers of a storefront ask for the same things in the same words. To read such
//! a request (its head, its path, its body, its key) costs several times what is left of a hit:
//! benches/README.md has the figures. So each worker keeps the bytes of requests whose answers
//! can be given again, and what of the answer's head stays the same. When the same bytes come, the
//! handler's [`Repeat`] decides whether the answer still holds, and it goes out without being read.
//!
//! Fields that the handler never looks at (a trace's, a CDN's) are left out of what is compared, else
//! no two requests that are traced would be the same.
//!
//! The table is a cache of fixed places, and of at most so many bytes: four places for each value of
//! a hash's lowest bits. Of a full four, each newcomer takes a use from all, and the place of one that
//! has none left; where it is bytes that are missing, a hand goes round and does the same. So what
//! comes once does not push out what comes often.

use std::cell::{Cell, RefCell};
use std::hash::BuildHasher;
use std::io::Write;
use std::rc::Rc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, StatusCode};
use memchr::memchr;

use super::exchange::HeadLimits;
use super::raw::RawRequest;

/// Requests past this length are not kept. Those that ask for a listing's worth of products are
/// shorter.
pub(super) const MAX_REQUEST_BYTES: usize = 4 << 10;

/// What a place is taken to cost, for how many places there are.
const BYTES_A_PLACE: usize = 1 << 10;

/// Places that a request may stand in.
const WAYS: usize = 4;

/// Uses that are remembered of an entry.
const MOST_USES: u8 = 3;

/// How far the hand goes for one newcomer.
const STEPS: usize = 32;

/// The most places: each is looked at once a second.
const MAX_PLACES: usize = 1 << 16;

/// How many are looked at before requests have their turn again.
const SWEPT_AT_ONCE: usize = 512;

/// An answer that can be given again to the same request, as long as it says so each time.
pub trait Repeat {
    /// Answers this request, and counts that: writes those fields of the head that change, each with
    /// its line end, and returns the body. `None` where it has to be handled like any other.
    fn answer(&self, request: RawRequest<'_>, fields: &mut Vec<u8>) -> Option<&Bytes>;

    /// Whether it is one of the fields that [`Repeat::answer`] writes.
    fn writes(&self, name: &HeaderName) -> bool;

    /// Whether it will never be given again, so that what it holds is to be let go.
    fn is_over(&self) -> bool;

    /// Bytes that nobody else holds.
    fn own_bytes(&self) -> usize;
}

/// A worker's requests whose answers can be given again.
pub(super) struct Repeats {
    hasher: RandomState,
    /// Names of fields that are left out, in lower case.
    unread: &'static [&'static str],
    limits: Cell<HeadLimits>,
    places: RefCell<Vec<Option<Entry>>>,
    /// Bytes that entries may still take.
    room: Cell<usize>,
    hand: Cell<usize>,
    essence: RefCell<Vec<u8>>,
    head: RefCell<Vec<u8>>,
}

struct Entry {
    hash: u64,
    /// The request without the fields that are left out.
    essence: Box<[u8]>,
    known: Known,
    uses: Cell<u8>,
}

/// What is known of an answer that can be given again.
pub(super) struct Known {
    /// The status line and the fields that stay.
    head: Box<[u8]>,
    repeat: Rc<dyn Repeat>,
}

impl Known {
    /// Writes what stays of a head. `None` where that is not known here: HTTP/1.1 wants a date.
    pub(super) fn of(
        status: StatusCode,
        headers: &HeaderMap,
        body_bytes: Option<u64>,
        repeat: Rc<dyn Repeat>,
    ) -> Option<Self> {
        const OF_THE_CONNECTION: [HeaderName; 3] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];
        /// Ordinary heads fit without growing.
        const HEAD_BYTES: usize = 1024;
        if !headers.contains_key(DATE) {
            return None;
        }
        let reason = status.canonical_reason().unwrap_or_default();
        let mut head = Vec::with_capacity(HEAD_BYTES);
        // Writing to a Vec cannot fail.
        let _ = write!(head, "HTTP/1.1 {} {reason}\r\n", status.as_u16());
        for (name, value) in headers {
            if OF_THE_CONNECTION.contains(name) || repeat.writes(name) {
                continue;
            }
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        if let Some(length) = body_bytes {
            let _ = write!(head, "content-length: {length}\r\n");
        }
        Some(Self { head: head.into(), repeat })
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.essence.len() + self.known.head.len() + self.known.repeat.own_bytes()
    }
}

impl Repeats {
    /// A table of at most so many bytes; of none where that is too little for one request. The fields
    /// that are `unread`, in lower case, are those that change no answer of the handler's. A request
    /// past the limits is none of the table's.
    pub(super) fn new(
        max_bytes: usize,
        unread: &'static [&'static str],
        limits: HeadLimits,
    ) -> Self {
        let sets = (max_bytes / (BYTES_A_PLACE * WAYS)).checked_ilog2();
        let places = sets.map_or(0, |power| (WAYS << power).min(MAX_PLACES));
        Self {
            hasher: RandomState::default(),
            unread,
            limits: Cell::new(limits),
            places: RefCell::new((0..places).map(|_| None).collect()),
            room: Cell::new(max_bytes),
            hand: Cell::new(0),
            essence: RefCell::default(),
            head: RefCell::default(),
        }
    }

    /// A request past these is none of the table's, from now on.
    pub(super) fn set_limits(&self, limits: HeadLimits) {
        self.limits.set(limits);
    }

    /// Whether nothing is ever kept.
    pub(super) fn is_off(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// Gives the answer to this request once more, if it is known and still holds: `give` gets its
    /// head and its body.
    pub(super) fn answer<T>(
        &self,
        request: RawRequest<'_>,
        give: impl FnOnce(&[u8], &Bytes) -> T,
    ) -> Option<T> {
        let mut essence = self.essence.borrow_mut();
        let (hash, first) = self.find_set(request.bytes(), &mut essence)?;
        let places = self.places.borrow();
        let set = places.get(first..first + WAYS)?;
        let is_it = |entry: &&Entry| entry.hash == hash && *entry.essence == **essence;
        let entry = set.iter().flatten().find(is_it)?;
        let mut head = self.head.borrow_mut();
        head.clear();
        head.extend_from_slice(&entry.known.head);
        let body = entry.known.repeat.answer(request, &mut head)?;
        head.extend_from_slice(b"\r\n");
        entry.uses.set(entry.uses.get().saturating_add(1).min(MOST_USES));
        Some(give(&head, body))
    }

    /// Keeps an answer, in the place of the one that was known of the same request, of one that is
    /// over, or of one that is used less.
    pub(super) fn keep(&self, request: &[u8], known: Known) {
        let mut essence = self.essence.borrow_mut();
        let Some((hash, first)) = self.find_set(request, &mut essence) else { return };
        let entry = Entry { hash, essence: (**essence).into(), known, uses: Cell::new(1) };
        let mut places = self.places.borrow_mut();
        self.make_room(&mut places, entry.bytes());
        let Some(set) = places.get_mut(first..first + WAYS) else { return };
        let Some(place) = place_for(set, &entry) else { return };
        let freed = place.as_ref().map_or(0, Entry::bytes);
        let Some(room) = (self.room.get() + freed).checked_sub(entry.bytes()) else { return };
        self.room.set(room);
        *place = Some(entry);
    }

    /// Lets go of what is used least until there is room for so many bytes, or for as long as one
    /// newcomer is worth.
    fn make_room(&self, places: &mut [Option<Entry>], bytes: usize) {
        for _ in 0..STEPS {
            if self.room.get() >= bytes {
                return;
            }
            let at = self.hand.get();
            self.hand.set(if at + 1 < places.len() { at + 1 } else { 0 });
            let Some(place) = places.get_mut(at) else { return };
            let Some(entry) = place else { continue };
            match entry.uses.get().checked_sub(1) {
                Some(left) => entry.uses.set(left),
                None => self.let_go(place),
            }
        }
    }

    /// Lets go of what will never be given again, from one place on for as many as are looked at
    /// without keeping requests waiting. Returns where to go on, if there is more.
    pub(super) fn sweep(&self, from: usize) -> Option<usize> {
        let mut places = self.places.borrow_mut();
        for place in places.iter_mut().skip(from).take(SWEPT_AT_ONCE) {
            if place.as_ref().is_some_and(|entry| entry.known.repeat.is_over()) {
                self.let_go(place);
            }
        }
        let next = from + SWEPT_AT_ONCE;
        (next < places.len()).then_some(next)
    }

    fn let_go(&self, place: &mut Option<Entry>) {
        let freed = place.take().map_or(0, |entry| entry.bytes());
        self.room.set(self.room.get() + freed);
    }

    /// Writes the essence of a request; returns its hash, and the first of the places for it.
    fn find_set(&self, request: &[u8], essence: &mut Vec<u8>) -> Option<(u64, usize)> {
        let last_set = (self.places.borrow().len() / WAYS).checked_sub(1)?;
        let fields = write_essence(request, self.unread, essence)?;
        let limits = self.limits.get();
        if fields > limits.fields || request.len() > limits.bytes {
            return None;
        }
        let hash = self.hasher.hash_one(&**essence);
        // The number of sets is a power of two, so this is the hash's lowest bits.
        let set = usize::try_from(hash).unwrap_or_default() & last_set;
        Some((hash, set * WAYS))
    }
}

/// Writes a request without the fields that are left out, and tells how many it came with; `None`
/// where its head has no end.
///
/// What is left out must be a field that would be let in: nothing else is, and so not the first line.
/// A head with other line ends, whose end is elsewhere than it seems here, has no essence.
fn write_essence(request: &[u8], unread: &[&str], essence: &mut Vec<u8>) -> Option<usize> {
    essence.clear();
    let (mut from, mut at, mut lines) = (0, 0, 0_usize);
    loop {
        let end = at + memchr(b'\n', request.get(at..)?)? + 1;
        let line = request.get(at..end)?;
        if line == b"\r\n" {
            essence.extend_from_slice(request.get(from..)?);
            return lines.checked_sub(1);
        }
        if !line.ends_with(b"\r\n") {
            return None;
        }
        lines += 1;
        if lines > 1 && is_unread(line, unread) {
            essence.extend_from_slice(request.get(from..at)?);
            from = end;
        }
        at = end;
    }
}

fn is_unread(line: &[u8], unread: &[&str]) -> bool {
    let Some(colon) = memchr(b':', line) else { return false };
    let (name, value) = line.split_at(colon);
    let is_it =
        |unread: &&str| unread.len() == name.len() && unread.as_bytes().eq_ignore_ascii_case(name);
    let Some(value) = value.strip_suffix(b"\r\n") else { return false };
    unread.iter().any(is_it) && value.iter().all(|&byte| byte >= b' ' && byte != 0x7f)
}

fn place_for<'s>(set: &'s mut [Option<Entry>], entry: &Entry) -> Option<&'s mut Option<Entry>> {
    let is_same = |held: &Entry| held.hash == entry.hash && held.essence == entry.essence;
    let is_free = |held: &Entry| is_same(held) || held.known.repeat.is_over();
    if let Some(at) = set.iter().position(|held| held.as_ref().is_none_or(is_free)) {
        let same = set.iter().position(|held| held.as_ref().is_some_and(is_same));
        return set.get_mut(same.unwrap_or(at));
    }
    let mut unused = None;
    for (at, held) in set.iter().enumerate() {
        let Some(held) = held else { continue };
        match held.uses.get().checked_sub(1) {
            Some(left) => held.uses.set(left),
            None => unused = Some(at),
        }
    }
    unused.and_then(|at| set.get_mut(at))
}

#[cfg(test)]
mod tests {
    use super::super::Peer;
    use super::*;
    use http::HeaderValue;
    use http::header::{AGE, SERVER};

    const LIMITS: HeadLimits = HeadLimits { bytes: 1_000, fields: 5 };

    struct Answer {
        body: Bytes,
        holds: Cell<bool>,
        own_bytes: usize,
    }

    impl Repeat for Answer {
        fn answer(&self, _: RawRequest<'_>, fields: &mut Vec<u8>) -> Option<&Bytes> {
            fields.extend_from_slice(b"age: 7\r\n");
            self.holds.get().then_some(&self.body)
        }

        fn writes(&self, name: &HeaderName) -> bool {
            *name == AGE
        }

        fn is_over(&self) -> bool {
            !self.holds.get()
        }

        fn own_bytes(&self) -> usize {
            self.own_bytes
        }
    }

    fn answer(body: &'static str) -> Rc<Answer> {
        let (holds, own_bytes) = (Cell::new(true), 0);
        Rc::new(Answer { body: Bytes::from_static(body.as_bytes()), holds, own_bytes })
    }

    fn known(answer: &Rc<Answer>) -> Known {
        let mut headers = HeaderMap::new();
        for (name, value) in [(DATE, "now"), (AGE, "1"), (SERVER, "a"), (CONTENT_LENGTH, "9")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let repeat = Rc::clone(answer) as Rc<dyn Repeat>;
        Known::of(StatusCode::OK, &headers, Some(answer.body.len() as u64), repeat).unwrap()
    }

    fn raw(request: &[u8]) -> RawRequest<'_> {
        RawRequest::new(request, Peer::new(([127, 0, 0, 1], 1).into()))
    }

    /// A request for that path.
    fn request(path: &str) -> Vec<u8> {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").into_bytes()
    }

    fn given(repeats: &Repeats, path: &str) -> Option<String> {
        let whole = |head: &[u8], body: &Bytes| String::from_utf8([head, body].concat()).unwrap();
        repeats.answer(raw(&request(path)), whole)
    }

    #[test]
    fn what_stays_of_a_head_is_kept_and_what_changes_is_written_anew() {
        let repeats = Repeats::new(1 << 16, &[], LIMITS);
        let answer = answer("one");
        repeats.keep(&request("GET /"), known(&answer));
        let whole =
            "HTTP/1.1 200 OK\r\ndate: now\r\nserver: a\r\ncontent-length: 3\r\nage: 7\r\n\r\none";
        assert_eq!(given(&repeats, "GET /").as_deref(), Some(whole));
        assert_eq!(given(&repeats, "GET /a"), None);
        answer.holds.set(false);
        assert_eq!(given(&repeats, "GET /"), None);
    }

    #[test]
    fn an_answer_without_a_date_is_not_kept() {
        let repeat = answer("one") as Rc<dyn Repeat>;
        assert!(Known::of(StatusCode::OK, &HeaderMap::new(), None, repeat).is_none());
    }

    #[test]
    fn a_newer_answer_takes_the_place_of_the_one_before() {
        let repeats = Repeats::new(1 << 16, &[], LIMITS);
        repeats.keep(&request("GET /"), known(&answer("one")));
        let room = repeats.room.get();
        repeats.keep(&request("GET /"), known(&answer("two")));
        assert!(given(&repeats, "GET /").unwrap().ends_with("two"));
        assert_eq!(repeats.room.get(), room);
    }

    #[test]
    fn what_comes_once_does_not_push_out_what_comes_often() {
        // One set of places, so that all want the same.
        let repeats = Repeats::new(BYTES_A_PLACE * WAYS, &[], LIMITS);
        for path in ["a", "b", "c", "d"] {
            repeats.keep(&request(path), known(&answer("one")));
        }
        let mut kept = 0;
        for other in 0..20 {
            for _ in 0..2 {
                kept += usize::from(given(&repeats, "a").is_some());
            }
            repeats.keep(&request(&format!("other {other}")), known(&answer("one")));
        }
        assert_eq!(kept, 40, "it was there each time");
        assert!(["b", "c", "d"].iter().any(|unused| given(&repeats, unused).is_none()));
    }

    fn large() -> Rc<Answer> {
        let (body, holds) = (Bytes::from_static(b"large"), Cell::new(true));
        Rc::new(Answer { body, holds, own_bytes: 20_000 })
    }

    #[test]
    fn what_is_used_least_makes_room_and_no_more_bytes_are_held_than_there_are() {
        let repeats = Repeats::new(1 << 16, &[], LIMITS);
        for round in 0..10 {
            repeats.keep(&request(&format!("{round}")), known(&large()));
            assert!(round == 0 || given(&repeats, "0").is_some(), "it is used each time");
        }
        let is_held = |round: &i32| given(&repeats, &format!("{round}")).is_some();
        assert!((1..10).filter(is_held).count() <= 2);
    }

    #[test]
    fn a_sweep_lets_go_of_what_is_over() {
        let repeats = Repeats::new(1 << 16, &[], LIMITS);
        let room = repeats.room.get();
        let large = large();
        repeats.keep(&request("large"), known(&large));
        repeats.sweep(0);
        assert!(given(&repeats, "large").is_some());
        large.holds.set(false);
        repeats.sweep(0);
        assert_eq!((Rc::strong_count(&large), repeats.room.get()), (1, room));
    }

    #[test]
    fn fields_that_are_not_read_make_no_difference_and_all_others_do() {
        let repeats = Repeats::new(1 << 16, &["traceparent"], LIMITS);
        let with = |fields: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\nbody");
        let knows =
            |fields: &str| repeats.answer(raw(with(fields).as_bytes()), |_, _| ()).is_some();
        repeats.keep(with("traceparent: 1\r\naccept: b\r\n").as_bytes(), known(&answer("one")));
        for same in [
            "accept: b\r\n",
            "accept: b\r\nTraceParent:2\r\n",
            "traceparent: 3\r\naccept: b\r\ntraceparent: \u{e9}\r\n",
        ] {
            assert!(knows(same), "{same:?}");
        }
        for other in [
            "",
            "accept: c\r\n",
            "accept: b\r\ntraceparents: 1\r\n",
            "accept: b\r\ntraceparent : 1\r\n",
            "accept: b\r\n traceparent: 1\r\n",
            "accept: b\r\ntraceparent: a\u{1}b\r\n",
            "accept: b\r\ntraceparent: a\rb\r\n",
            "accept: b\r\ntraceparent: a\n",
            "accept: b\r\ntraceparent: a\r\n b\r\n",
            "accept: b\r\n\r\ntraceparent: a\r\n",
        ] {
            assert!(!knows(other), "{other:?}");
        }
        let known_by = |request: &str| repeats.answer(raw(request.as_bytes()), |_, _| ()).is_some();
        assert!(!known_by(&format!("traceparent: 1\r\n{}", with("accept: b\r\n"))));
    }

    #[test]
    fn a_head_whose_lines_end_otherwise_is_not_kept() {
        let repeats = Repeats::new(1 << 16, &["cookie"], LIMITS);
        // Its head ends where no line is empty here, and its body has one.
        let request = "POST / HTTP/1.1\nhost: a\ncontent-length: 13\n\ncookie: a\r\n\r\n";
        repeats.keep(request.as_bytes(), known(&answer("one")));
        assert!(repeats.answer(raw(request.as_bytes()), |_, _| ()).is_none());
    }

    #[test]
    fn a_request_past_the_limits_is_not_answered_though_it_says_nothing_new() {
        let repeats = Repeats::new(1 << 16, &["via"], LIMITS);
        let with = |fields: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        repeats.keep(with("").as_bytes(), known(&answer("one")));
        let line = "via: 1.1 a\r\n";
        for (fields, is_known) in [
            (line.repeat(4), true),
            (line.repeat(5), false),
            (format!("via: {}\r\n", "a".repeat(900)), true),
            (format!("via: {}\r\n", "a".repeat(1_000)), false),
        ] {
            let given = repeats.answer(raw(with(&fields).as_bytes()), |_, _| ());
            assert_eq!(given.is_some(), is_known, "{fields}");
        }
    }

    #[test]
    fn without_room_for_a_single_request_nothing_is_kept() {
        let repeats = Repeats::new(BYTES_A_PLACE, &[], LIMITS);
        assert!(repeats.is_off());
        repeats.keep(&request("GET /"), known(&answer("one")));
        assert_eq!(given(&repeats, "GET /"), None);
        repeats.sweep(0);
    }
}
