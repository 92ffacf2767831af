//! Which of a program's subjects its command line asks for.

use std::process::ExitCode;

/// Wrong usage (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// Those that are named, in the program's order; all where none is.
///
/// # Errors
/// What to exit with where a name is none of them; it has been told.
pub(crate) fn asked_for(subjects: &[&'static str]) -> Result<Vec<&'static str>, ExitCode> {
    // Cargo says `--bench`.
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(unknown) = named.iter().find(|name| !subjects.contains(&name.as_str())) {
        eprintln!("`{unknown}` is none of {}", subjects.join(", "));
        return Err(ExitCode::from(USAGE));
    }
    let is_asked_for =
        |subject: &&str| named.is_empty() || named.iter().any(|name| name == subject);
    Ok(subjects.iter().copied().filter(is_asked_for).collect())
}
