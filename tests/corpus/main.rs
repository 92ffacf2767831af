//! Every input that is kept for the fuzz targets, replayed through the properties that they check:
//! the corpora, and what once broke a property.

#![allow(clippy::expect_used, reason = "a test ends where it fails")]

mod properties;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// Checks every input of one target; names those that break a property.
fn replay(target: &str, property: fn(&[u8])) {
    let mut replayed = 0;
    let mut broken = Vec::new();
    for kind in ["corpus", "regressions"] {
        for path in
            files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target))
        {
            let input = fs::read(&path).expect("the input can be read");
            if catch_unwind(|| property(&input)).is_err() {
                broken.push(path);
            }
            replayed += 1;
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(replayed >= 10, "the corpus of {target} is not there");
}

/// The files of a directory, in order; none where it does not exist.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the directory can be read").path()).collect();
    files.sort_unstable();
    files
}

#[test]
fn the_url_corpus_holds() {
    replay("url", properties::url);
}

#[test]
fn the_batch_corpus_holds() {
    replay("batch", properties::batch);
}

#[test]
fn the_body_corpus_holds() {
    replay("body", properties::body);
}

#[test]
fn the_cache_control_corpus_holds() {
    replay("cache_control", properties::cache_control);
}

#[test]
fn the_codec_corpus_holds() {
    replay("codec", properties::codec);
}

#[test]
fn the_events_corpus_holds() {
    replay("events", properties::events);
}

#[test]
fn the_vary_corpus_holds() {
    replay("vary", properties::vary);
}

/// A target that is added without its corpus, or the other way round, would never be replayed.
#[test]
fn every_target_is_replayed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let stems = |directory: &str| -> Vec<String> {
        let of = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        files(&fuzz.join(directory)).iter().filter_map(of).collect()
    };
    let replayed = ["batch", "body", "cache_control", "codec", "events", "url", "vary"];
    assert_eq!(stems("fuzz_targets"), replayed);
    assert_eq!(stems("corpus"), replayed);
}
