//! Where lines go, and what is done where they do not get there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::config::AccessLogTo;

/// Which file it is: moved to another name it stays the same.
type Identity = (u64, u64);

/// Where lines go.
pub(super) enum Destination {
    /// Standard output, by a descriptor of its own: nobody else waits where this blocks.
    Stdout(File),
    /// A file.
    File {
        path: PathBuf,
        /// `None` before the first line, and after a failure.
        open: Option<(File, Identity)>,
    },
}

/// What was not written.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Bytes that were.
    pub(super) written: usize,
    pub(super) error: io::Error,
}

impl Destination {
    /// Opens it, so that a file that cannot be written is told at the start. A pipe that has a name is
    /// left to the writer: to open it takes until somebody reads.
    pub(super) fn open(to: &AccessLogTo) -> io::Result<Self> {
        match to {
            AccessLogTo::Stdout => {
                Ok(Self::Stdout(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
            }
            AccessLogTo::File(path) => {
                let is_pipe = fs::metadata(path).is_ok_and(|at| at.file_type().is_fifo());
                let open = if is_pipe { None } else { Some(append_to(path)?) };
                Ok(Self::File { path: path.clone(), open })
            }
        }
    }

    /// Has a file opened anew.
    pub(super) fn reopen(&mut self) {
        if let Self::File { open, .. } = self {
            *open = None;
        }
    }

    /// Writes all of it, as long as that takes.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let fail = |error| Unwritten { written: 0, error };
        match self {
            Self::Stdout(file) => write_all(file, lines),
            Self::File { path, open } => {
                if open.as_ref().is_some_and(|(_, held)| identity_at(path).as_ref() != Some(held)) {
                    *open = None;
                }
                let (file, _) = match open {
                    Some(open) => open,
                    None => open.insert(append_to(path).map_err(fail)?),
                };
                write_all(file, lines)
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<(File, Identity)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let identity = identity(&file.metadata()?);
    Ok((file, identity))
}

fn identity_at(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().as_ref().map(identity)
}

fn identity(file: &fs::Metadata) -> Identity {
    (file.dev(), file.ino())
}

fn write_all(file: &mut File, lines: &[u8]) -> Result<(), Unwritten> {
    let mut written = 0;
    while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return Err(Unwritten { written, error: ErrorKind::WriteZero.into() }),
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A pipe that is full, and that somebody has set not to block.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut pipe = [PollFd::new(file, PollFlags::OUT)];
                match poll(&mut pipe, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(Unwritten { written, error: error.into() }),
                }
            }
            Err(error) => return Err(Unwritten { written, error }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[test]
    fn what_does_not_block_is_waited_for_until_it_takes_all() {
        const BYTES: usize = 4 << 20;
        let (to, mut from) = UnixStream::pair().unwrap();
        to.set_nonblocking(true).unwrap();
        let reading = thread::spawn(move || {
            let mut read = Vec::new();
            from.read_to_end(&mut read).unwrap();
            read.len()
        });
        let mut to = File::from(OwnedFd::from(to));
        write_all(&mut to, &vec![b'x'; BYTES]).unwrap();
        drop(to);
        assert_eq!(reading.join().unwrap(), BYTES);
    }
}
