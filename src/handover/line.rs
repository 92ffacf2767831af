//! A Unix socket as the two processes use it: lines of text, some with sockets along.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::MAX_SOCKETS;

/// Sockets that go with one line. Linux takes 253.
pub(super) const SOCKETS_A_LINE: usize = 64;

/// The longest line: a piece of a purge, whose tags have at most some hundred bytes each.
const LINE_BYTES: usize = 1 << 20;

const ANCILLARY_BYTES: usize = rustix::cmsg_space!(ScmRights(SOCKETS_A_LINE));

/// Why a connection between the two is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It broke off, or could not be used.
    #[error("the connection between the two processes failed: {0}")]
    Io(#[from] io::Error),
    /// What came is longer than anything that is said.
    #[error("a line of more than {LINE_BYTES} bytes came")]
    TooLong,
    /// What came is no text.
    #[error("what came is not text")]
    NoText,
    /// Sockets were sent and did not come: this process may have no more files open.
    #[error("not every socket came: this process may not have so many files open (`ulimit -n`)")]
    Truncated,
    /// More came than a node has.
    #[error("more than {MAX_SOCKETS} sockets came")]
    TooManySockets,
}

/// A connection to the other process.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    received: Vec<u8>,
    sockets: VecDeque<OwnedFd>,
}

impl Line {
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self { stream, received: Vec::new(), sockets: VecDeque::new() }
    }

    /// Whose process the other one is.
    pub(super) fn peer_uid(&self) -> Result<u32, LineError> {
        Ok(self.stream.peer_cred()?.uid())
    }

    /// Says a line. Not to be given up in between.
    pub(super) async fn say(&mut self, text: &str) -> Result<(), LineError> {
        self.say_with(text, &[]).await
    }

    /// Says a line that brings sockets, at most [`SOCKETS_A_LINE`].
    pub(super) async fn say_with(
        &mut self,
        text: &str,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<(), LineError> {
        let line = format!("{text}\n");
        let (mut rest, mut along) = (line.as_bytes(), sockets);
        while !rest.is_empty() {
            let send = || {
                let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                if !along.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(along)) {
                    return Err(io::Error::other("too many sockets for one line"));
                }
                let sent = sendmsg(
                    &self.stream,
                    &[IoSlice::new(rest)],
                    &mut ancillary,
                    SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
                );
                Ok(sent?)
            };
            let sent = self.stream.async_io(Interest::WRITABLE, send).await?;
            // They go with the first byte, however many follow.
            along = &[];
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// The next line, or `None` where the other one says no more. May be given up and begun again.
    pub(super) async fn hear(&mut self) -> Result<Option<String>, LineError> {
        loop {
            if let Some(end) = self.received.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=end).collect();
                line.pop();
                return String::from_utf8(line).map(Some).map_err(|_| LineError::NoText);
            }
            if self.received.len() > LINE_BYTES {
                return Err(LineError::TooLong);
            }
            if self.receive().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn receive(&mut self) -> Result<usize, LineError> {
        let mut bytes = [0; 4096];
        let (received, came) = (&mut self.received, &mut self.sockets);
        let receive = || {
            let mut space = [MaybeUninit::uninit(); ANCILLARY_BYTES];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let mut into = [IoSliceMut::new(&mut bytes)];
            let message = recvmsg(&self.stream, &mut into, &mut ancillary, flags)?;
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(sockets) = message {
                    came.extend(sockets);
                }
            }
            Ok((message.bytes, message.flags))
        };
        let outcome = self.stream.async_io(Interest::READABLE, receive).await;
        let (count, flags) = match outcome {
            Ok(outcome) => outcome,
            // The other one ended with something unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        if flags.contains(ReturnFlags::CTRUNC) {
            return Err(LineError::Truncated);
        }
        if came.len() > MAX_SOCKETS {
            return Err(LineError::TooManySockets);
        }
        received.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// So many of the sockets that have come; `None` where they are fewer.
    pub(super) fn sockets(&mut self, count: usize) -> Option<Vec<OwnedFd>> {
        (self.sockets.len() >= count).then(|| self.sockets.drain(..count).collect())
    }
}
