//! Request bodies that are read whole: bounded in size and in time.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// Time for a body to arrive.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a body cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BodyError {
    /// Larger than the limit (413).
    #[error("the body is too large")]
    TooLarge,
    /// It took longer than 30 s (408).
    #[error("the body did not arrive in time")]
    Timeout,
    /// It broke off (400).
    #[error("the body broke off")]
    Broken,
}

impl BodyError {
    /// The reason, for metric labels and error codes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Timeout => "body-timeout",
            Self::Broken => "body-broken",
        }
    }

    /// The status that the client is told.
    pub const fn status(self) -> http::StatusCode {
        match self {
            Self::TooLarge => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::Timeout => http::StatusCode::REQUEST_TIMEOUT,
            Self::Broken => http::StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a body of at most `max_bytes`; one that announces more is not read at all.
///
/// # Errors
/// See [`BodyError`].
pub async fn read<B>(body: B, max_bytes: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > u64::try_from(max_bytes).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(TIMEOUT, Limited::new(body, max_bytes).collect()).await {
        Err(_) => Err(BodyError::Timeout),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Broken),
        Ok(Ok(body)) => Ok(body.to_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::{self, StreamExt as _};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    type Piece = Result<Frame<Bytes>, std::io::Error>;

    fn piece(text: &'static str) -> Piece {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let body = || StreamBody::new(stream::iter([piece("123"), piece("456")]));
        assert_eq!(read(body(), 6).await.unwrap(), "123456");
        assert_eq!(read(body(), 5).await, Err(BodyError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_arriving_is_given_up() {
        let stalled = stream::iter([piece("123")]).chain(stream::pending());
        assert_eq!(read(StreamBody::new(stalled), 6).await, Err(BodyError::Timeout));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_told_apart() {
        let broken = [piece("123"), Err(std::io::ErrorKind::ConnectionReset.into())];
        let body = StreamBody::new(stream::iter(broken));
        assert_eq!(read(body, 6).await, Err(BodyError::Broken));
    }
}
