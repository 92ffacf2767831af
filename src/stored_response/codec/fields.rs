//! The forms that fields are written in: numbers, spans of time, bytes.

use std::time::Duration;

use super::DecodeError;

/// Appends fields.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn with_version(version: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(version);
        Self(bytes)
    }

    pub(crate) fn number(&mut self, number: u64) {
        let mut rest = number;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                return self.0.push(low);
            }
            self.0.push(low | 0x80);
        }
    }

    pub(crate) fn len(&mut self, len: usize) {
        self.number(len as u64);
    }

    pub(crate) fn span(&mut self, span: Duration) {
        self.number(span.as_secs());
        self.number(span.subsec_nanos().into());
    }

    pub(crate) fn flag(&mut self, flag: bool) {
        self.number(flag.into());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes fields off the front of the bytes. What it gives is borrowed from them: no length that
/// they claim makes it allocate.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of what follows the version, and the version.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<(Self, u8), DecodeError> {
        let (&version, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
        Ok((Self(rest), version))
    }

    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
            self.0 = rest;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                return Err(DecodeError::Number);
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                let is_shortest = byte != 0 || shift == 0;
                return if is_shortest { Ok(number) } else { Err(DecodeError::Number) };
            }
        }
        Err(DecodeError::Number)
    }

    pub(crate) fn span(&mut self) -> Result<Duration, DecodeError> {
        const NANOS_IN_A_SECOND: u32 = 1_000_000_000;
        let seconds = self.number()?;
        match u32::try_from(self.number()?) {
            Ok(nanos) if nanos < NANOS_IN_A_SECOND => Ok(Duration::new(seconds, nanos)),
            _ => Err(DecodeError::Span),
        }
    }

    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.number()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Flag),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = usize::try_from(self.number()?).map_err(|_| DecodeError::Truncated)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Bytes that are UTF-8; `None` where they are not.
    pub(crate) fn text(&mut self) -> Result<Option<&'a str>, DecodeError> {
        Ok(std::str::from_utf8(self.bytes()?).ok())
    }

    /// How many bytes were not taken yet.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }
}
