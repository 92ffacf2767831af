//! `traceparent` (W3C Trace Context §3.2): which trace a message is part of, and who sent it.

use std::fmt;

use super::TRACEPARENT;

/// The length of a value of version 00, and of what every later version begins with.
const LENGTH: usize = 55;

/// A field's value, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span that the message was sent in.
    pub span_id: [u8; 8],
    /// Whether the sender may have recorded it.
    pub is_sampled: bool,
}

impl TraceParent {
    /// Reads the field's value. `None` for one that is not by the rules: then a trace begins anew
    /// (§3.2.2.3 and §4.3).
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let [version] = hex(bytes.get(..2)?)?;
        let is_whole = match version {
            0 => bytes.len() == LENGTH,
            0xff => false,
            // A later one may say more, behind another dash.
            _ => bytes.get(LENGTH).is_none_or(|byte| *byte == b'-'),
        };
        let dashes = [2, 35, 52].iter().all(|&at| bytes.get(at) == Some(&b'-'));
        let trace_id = hex(bytes.get(3..35)?)?;
        let span_id = hex(bytes.get(36..52)?)?;
        let [flags] = hex(bytes.get(53..LENGTH)?)?;
        let is_some = trace_id != [0; 16] && span_id != [0; 8];
        (is_whole && dashes && is_some).then_some(Self {
            trace_id,
            span_id,
            is_sampled: flags & 1 == 1,
        })
    }

    /// Reads it off a message, whose lines of a field `values` has. Of two nobody knows which one counts.
    pub fn of<'v, V: Iterator<Item = &'v str>>(values: impl Fn(&'static str) -> V) -> Option<Self> {
        let mut lines = values(TRACEPARENT);
        let (first, second) = (lines.next()?, lines.next());
        if second.is_none() { Self::parse(first.trim()) } else { None }
    }
}

/// The field's value.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace_id), u64::from_be_bytes(self.span_id));
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.is_sampled))
    }
}

/// Digits in lower case: others are not by the rules.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut bytes = [0; N];
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_value_is_read_and_written_as_it_was() {
        let parent = TraceParent::parse(VALUE).unwrap();
        assert_eq!(parent.trace_id[0], 0x4b);
        assert_eq!(parent.span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
        assert!(parent.is_sampled);
        assert_eq!(parent.to_string(), VALUE);
        let unsampled = VALUE.replace("-01", "-00");
        assert_eq!(TraceParent::parse(&unsampled).unwrap().to_string(), unsampled);
        // Of the flags only the first is known.
        assert!(TraceParent::parse(&VALUE.replace("-01", "-ff")).unwrap().is_sampled);
        assert!(!TraceParent::parse(&VALUE.replace("-01", "-02")).unwrap().is_sampled);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for (value, is_read) in [
            (VALUE.replacen("00", "01", 1), true),
            (VALUE.replacen("00", "fe", 1) + "-more", true),
            (VALUE.replacen("00", "01", 1) + "more", false),
            (VALUE.replacen("00", "ff", 1), false),
        ] {
            assert_eq!(TraceParent::parse(&value).is_some(), is_read, "{value}");
        }
    }

    #[test]
    fn what_is_not_by_the_rules_begins_anew() {
        for value in [
            String::new(),
            VALUE[..54].to_owned(),
            format!("{VALUE}-00"),
            VALUE.to_ascii_uppercase(),
            VALUE.replace('-', "_"),
            VALUE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            VALUE.replace("00f067aa0ba902b7", &"0".repeat(16)),
            VALUE.replace("4b", "4g"),
            VALUE.replace("4b", "\u{e9}"),
        ] {
            assert_eq!(TraceParent::parse(&value), None, "{value}");
        }
    }

    #[test]
    fn of_two_none_counts() {
        let of = |lines: &'static [&'static str]| TraceParent::of(|_| lines.iter().copied());
        assert!(of(&[VALUE]).is_some());
        assert_eq!(of(&[VALUE, VALUE]), None);
        assert_eq!(of(&[]), None);
    }
}
