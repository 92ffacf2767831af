//! The last field, the body: as it is, or compressed.

use bytes::Bytes;
use zstd::zstd_safe;

use super::DecodeError;
use super::fields::{Reader, Writer};

/// zstd's own default. On a search page of 200 kB the next level takes three times as long to save
/// a twentieth of the bytes, and level 1 spares ten microseconds.
const LEVEL: i32 = 3;

/// A body in the form in which it is written.
pub(super) struct Packed<'a> {
    plain: &'a [u8],
    frame: Option<Vec<u8>>,
}

impl<'a> Packed<'a> {
    /// Compresses the body; one that does not become smaller is written plain.
    pub(super) fn new(plain: &'a [u8]) -> Self {
        Self { plain, frame: compress(plain) }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.len(self.plain.len());
        writer.flag(self.frame.is_some());
        writer.bytes(self.bytes());
    }

    fn bytes(&self) -> &[u8] {
        self.frame.as_deref().unwrap_or(self.plain)
    }
}

fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    // Room for fewer bytes than the body has: a frame that saves none does not fit.
    let mut frame = Vec::with_capacity(plain.len().checked_sub(1)?);
    zstd_safe::compress(&mut frame, plain, LEVEL).ok()?;
    (frame.len() < plain.len()).then_some(frame)
}

/// The body of version 1.
pub(super) fn read_v1(mut reader: Reader<'_>, max_bytes: usize) -> Result<Bytes, DecodeError> {
    let plain = reader.bytes()?;
    reader.finish()?;
    if plain.len() > max_bytes {
        return Err(DecodeError::BodyTooLarge);
    }
    Ok(Bytes::copy_from_slice(plain))
}

/// The body of version 2.
pub(super) fn read_v2(mut reader: Reader<'_>, max_bytes: usize) -> Result<Bytes, DecodeError> {
    let len = usize::try_from(reader.number()?).map_err(|_| DecodeError::BodyTooLarge)?;
    if len > max_bytes {
        return Err(DecodeError::BodyTooLarge);
    }
    let is_compressed = reader.flag()?;
    let bytes = reader.bytes()?;
    reader.finish()?;
    match is_compressed {
        true => decompress(bytes, len),
        false if bytes.len() == len => Ok(Bytes::copy_from_slice(bytes)),
        false => Err(DecodeError::BodyLength),
    }
}

/// One frame, and nothing else, of a body of exactly `len` bytes. They are all that is allocated
/// beside the decoder's own fixed state: a frame that is read in one piece needs no window, however
/// large the one that it names.
fn decompress(frame: &[u8], len: usize) -> Result<Bytes, DecodeError> {
    let frame_len = zstd_safe::find_frame_compressed_size(frame);
    if frame_len != Ok(frame.len()) || frame.len() >= len {
        return Err(DecodeError::Compressed);
    }
    let said = zstd_safe::get_frame_content_size(frame).map_err(|_| DecodeError::Compressed)?;
    if said != Some(len as u64) {
        return Err(DecodeError::BodyLength);
    }
    let mut plain = Vec::with_capacity(len);
    zstd_safe::decompress(&mut plain, frame).map_err(|_| DecodeError::Compressed)?;
    if plain.len() != len {
        return Err(DecodeError::BodyLength);
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const MAX_BYTES: usize = 1 << 20;

    /// A frame of bytes that are all the same.
    fn frame(len: usize) -> Vec<u8> {
        compress(&vec![b'a'; len]).unwrap()
    }

    /// What is read of a field of these parts.
    fn read(len: u64, form: u64, bytes: &[u8]) -> Result<Bytes, DecodeError> {
        let mut writer = Writer::with_version(2, 0);
        writer.number(len);
        writer.number(form);
        writer.bytes(bytes);
        let field = writer.finish();
        read_v2(Reader::new(&field).unwrap().0, MAX_BYTES)
    }

    #[test]
    fn a_body_is_compressed_where_that_saves_bytes() {
        let written = |plain: &[u8]| {
            let mut writer = Writer::with_version(2, 0);
            let packed = Packed::new(plain);
            packed.write(&mut writer);
            let field = writer.finish();
            assert!(packed.len() < field.len());
            let read = read_v2(Reader::new(&field).unwrap().0, MAX_BYTES);
            assert_eq!(read.unwrap(), plain);
            field
        };
        assert_eq!(written(b""), b"\x02\0\0\0");
        assert_eq!(written(b"{}"), b"\x02\x02\0\x02{}");
        let random: Vec<u8> = (0..255).collect();
        assert_eq!(written(&random), [b"\x02\xff\x01\0\xff\x01", &random[..]].concat());
        let repeated = written(&[b'a'; 1_000]);
        assert!(repeated.starts_with(b"\x02\xe8\x07\x01") && repeated.len() < 50, "{repeated:x?}");
    }

    #[test]
    fn a_plain_body_is_as_long_as_it_is_said_to_be() {
        assert_eq!(read(2, 0, b"[]").unwrap(), "[]");
        assert_eq!(read(1, 0, b"[]"), Err(DecodeError::BodyLength));
        assert_eq!(read(3, 0, b"[]"), Err(DecodeError::BodyLength));
        assert_eq!(read(2, 2, b"[]"), Err(DecodeError::Flag));
    }

    #[test]
    fn a_frame_holds_exactly_the_body() {
        let whole = frame(1_000);
        assert_eq!(read(1_000, 1, &whole).unwrap(), vec![b'a'; 1_000]);
        assert_eq!(read(999, 1, &whole), Err(DecodeError::BodyLength));
        assert_eq!(read(1_001, 1, &whole), Err(DecodeError::BodyLength));
        for len in 0..whole.len() {
            assert_eq!(read(1_000, 1, &whole[..len]), Err(DecodeError::Compressed), "{len} bytes");
        }
        for more in [&b"\0"[..], &whole, b"\x50\x2a\x4d\x18\0\0\0\0"] {
            let longer = [&whole, more].concat();
            assert_eq!(read(1_000, 1, &longer), Err(DecodeError::Compressed), "{more:x?}");
            assert_eq!(read(2_000, 1, &longer), Err(DecodeError::Compressed), "{more:x?}");
        }
    }

    #[test]
    fn what_is_no_frame_of_the_body_is_refused() {
        assert_eq!(read(9, 1, b""), Err(DecodeError::Compressed));
        assert_eq!(read(9, 1, b"not zstd"), Err(DecodeError::Compressed));
        let skipped = b"\x50\x2a\x4d\x18\x04\0\0\0skip";
        assert_eq!(read(1_000, 1, skipped), Err(DecodeError::BodyLength));
        let mut no_smaller = Vec::with_capacity(zstd_safe::compress_bound(2));
        zstd_safe::compress(&mut no_smaller, b"{}", LEVEL).unwrap();
        assert_eq!(read(2, 1, &no_smaller), Err(DecodeError::Compressed));
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(&[b'a'; 1_000]).unwrap();
        let says_no_length = encoder.finish().unwrap();
        assert_eq!(read(1_000, 1, &says_no_length), Err(DecodeError::BodyLength));
    }

    #[test]
    fn a_frame_that_lies_about_its_length_is_refused() {
        // The length less 256, in two bytes after the magic number and the descriptor.
        for lie in [999_u16, 1_001] {
            let mut frame = frame(1_000);
            frame[5..7].copy_from_slice(&(lie - 256).to_le_bytes());
            assert_eq!(zstd_safe::get_frame_content_size(&frame).unwrap(), Some(lie.into()));
            assert_eq!(read(lie.into(), 1, &frame), Err(DecodeError::Compressed));
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_given_room() {
        let bomb = frame(64 << 20);
        assert!(bomb.len() < 10_000);
        assert_eq!(read(64 << 20, 1, &bomb), Err(DecodeError::BodyTooLarge));
        assert_eq!(read(MAX_BYTES as u64, 1, &bomb), Err(DecodeError::BodyLength));
        for form in [0, 1] {
            assert_eq!(read(u64::MAX, form, &bomb), Err(DecodeError::BodyTooLarge));
            assert_eq!(read(MAX_BYTES as u64 + 1, form, b"[]"), Err(DecodeError::BodyTooLarge));
        }
        let largest = frame(MAX_BYTES);
        assert_eq!(read(MAX_BYTES as u64, 1, &largest).unwrap().len(), MAX_BYTES);
    }
}
