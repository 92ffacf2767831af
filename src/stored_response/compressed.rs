//! A stored body's compressed forms, each made once, for the first client that asks for it: mostly the
//! one whose request filled the cache.
//!
//! Compressing takes milliseconds, so it happens off the serving threads. Who comes before it is done
//! waits for it rather than doing it again.

use std::io::Write;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::OnceCell;

use crate::allocated::allocated;
use crate::caching::accept_encoding::{Coding, Preferences};

/// A body below this size fits one packet either way.
const WORTH_COMPRESSING_BYTES: usize = 1_024;
/// Level 6 is zlib's own compromise between time and size.
const GZIP_LEVEL: u32 = 6;
/// Quality 5 is where Brotli's cost per byte starts to climb steeply.
const BROTLI_QUALITY: u32 = 5;
/// A window of 4 MiB: what browsers accept, and enough for a page of products.
const BROTLI_WINDOW_LOG: u32 = 22;
const BUFFER_BYTES: usize = 16 << 10;

type Encoder = fn(&[Bytes]) -> std::io::Result<Vec<u8>>;

/// The forms of a body that is worth compressing; without them it is sent in no other form.
#[derive(Debug)]
pub(super) struct Compressed {
    is_worth_it: bool,
    /// Since the first was asked for.
    forms: OnceLock<Box<Forms>>,
}

/// Each absent until it was made; `None` inside when it is not worth its bytes.
#[derive(Debug, Default)]
struct Forms {
    gzip: OnceCell<Option<Bytes>>,
    brotli: OnceCell<Option<Bytes>>,
}

impl Compressed {
    /// Of a body of that length.
    pub(super) fn of(plain_len: usize) -> Self {
        Self { is_worth_it: plain_len >= WORTH_COMPRESSING_BYTES, forms: OnceLock::new() }
    }

    /// Of a body that is sent in no other form.
    pub(super) const fn never() -> Self {
        Self { is_worth_it: false, forms: OnceLock::new() }
    }

    /// The body in that coding, if the coding saves bytes.
    pub(super) async fn form(
        &self,
        coding: Coding,
        plain_len: usize,
        plain: impl FnOnce() -> Vec<Bytes>,
    ) -> Option<Bytes> {
        if !self.is_worth_it {
            return None;
        }
        let forms = self.forms.get_or_init(Box::default);
        let (form, encode): (_, Encoder) = match coding {
            Coding::Identity => return None,
            Coding::Gzip => (&forms.gzip, gzip),
            Coding::Brotli => (&forms.brotli, brotli),
        };
        let made = form.get_or_init(|| async {
            let plain = plain();
            let encoded = tokio::task::spawn_blocking(move || encode(&plain)).await;
            match encoded {
                // Copied, since a buffer that is cut leaves a hole behind it for as long as the form
                // is stored.
                Ok(Ok(bytes)) if bytes.len() < plain_len => Some(Bytes::copy_from_slice(&bytes)),
                Ok(Ok(_)) => None,
                Ok(Err(error)) => {
                    tracing::warn!(%error, coding = coding.as_str(), "a body could not be compressed");
                    None
                }
                Err(error) => {
                    tracing::error!(%error, coding = coding.as_str(), "compressing did not end");
                    None
                }
            }
        });
        made.await.clone()
    }

    /// What the forms that were made occupy, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let Some(forms) = self.forms.get() else { return 0 };
        let made = [&forms.gzip, &forms.brotli].into_iter().filter_map(|form| form.get()?.as_ref());
        let made = made.map(|form| allocated(form.len()) + super::SHARED_BYTES);
        allocated(size_of::<Forms>()) + made.sum::<usize>()
    }
}

/// Compresses a body that is made for one client, where that is worth it: below this many bytes the
/// time that it takes is more than what the bytes take on the way.
const WORTH_COMPRESSING_ONCE_BYTES: usize = 32 << 10;
/// Level 1 takes a third of the time of level 6 and gives a body a fifth larger.
const GZIP_LEVEL_ONCE: u32 = 1;

/// A body for one client alone, in the best coding that is worth its time.
pub async fn in_passing(preferences: Preferences, plain: Bytes) -> (Coding, Bytes) {
    let takes_gzip = preferences.compressed().any(|coding| coding == Coding::Gzip);
    if plain.len() < WORTH_COMPRESSING_ONCE_BYTES || !takes_gzip {
        return (Coding::Identity, plain);
    }
    let pieces = [plain.clone()];
    let encoded = tokio::task::spawn_blocking(move || gzip_at(GZIP_LEVEL_ONCE, &pieces)).await;
    match encoded {
        Ok(Ok(bytes)) if bytes.len() < plain.len() => (Coding::Gzip, bytes.into()),
        _ => (Coding::Identity, plain),
    }
}

fn gzip(plain: &[Bytes]) -> std::io::Result<Vec<u8>> {
    gzip_at(GZIP_LEVEL, plain)
}

fn gzip_at(level: u32, plain: &[Bytes]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    for chunk in plain {
        encoder.write_all(chunk)?;
    }
    encoder.finish()
}

fn brotli(plain: &[Bytes]) -> std::io::Result<Vec<u8>> {
    let mut encoder =
        brotli::CompressorWriter::new(Vec::new(), BUFFER_BYTES, BROTLI_QUALITY, BROTLI_WINDOW_LOG);
    for chunk in plain {
        encoder.write_all(chunk)?;
    }
    encoder.flush()?;
    Ok(encoder.into_inner())
}
