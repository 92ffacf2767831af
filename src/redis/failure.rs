//! What a failure of a command says about the connection that it was sent over.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no connection: nothing was sent, and nothing was waited for.
    #[error("Redis cannot be reached")]
    Down,
    /// No answer within the command's limit. It may have been done.
    #[error("Redis did not answer in time")]
    TimedOut,
    /// The connection was given up while the answer was awaited. It may have been done.
    #[error("the connection to Redis was given up")]
    GivenUp,
    /// An answer, but not the one that was wanted, or a connection that broke.
    #[error("Redis failed ({})", failure.as_str())]
    Failed {
        /// What it says about the connection.
        failure: Failure,
        /// What the driver has.
        source: RedisError,
    },
}

impl LinkError {
    /// The reason, for metric labels and log fields.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::TimedOut => "timed-out",
            Self::GivenUp => "given-up",
            Self::Failed { failure, .. } => failure.as_str(),
        }
    }
}

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No answer in time.
    TimedOut,
    /// The connection is gone, or was never there.
    Lost,
    /// What came is not Redis's protocol, or not of the type that was asked for.
    Garbled,
    /// The server is no primary, or no longer: it takes no writes.
    NotPrimary,
    /// The server is loading its data, or its cluster is not whole.
    NotReady,
    /// The server's word about this command alone.
    Refused,
}

/// What a failure does to the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weight {
    /// None: it is an answer.
    Answer,
    /// So many in a row are enough.
    Counts,
    /// One is enough.
    Breaks,
}

impl Failure {
    /// For metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timed-out",
            Self::Lost => "lost",
            Self::Garbled => "garbled",
            Self::NotPrimary => "not-primary",
            Self::NotReady => "not-ready",
            Self::Refused => "refused",
        }
    }

    /// Takes a failure for what it is.
    pub(super) fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => Self::TimedOut,
            ErrorKind::Io
            | ErrorKind::AuthenticationFailed
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::MasterNameNotFoundBySentinel => Self::Lost,
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::Garbled,
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => {
                Self::NotPrimary
            }
            // Before version 7 a script's failure carries that of its command in its text.
            ErrorKind::Server(ServerErrorKind::ResponseError)
                if error.detail().is_some_and(|text| text.contains("-READONLY ")) =>
            {
                Self::NotPrimary
            }
            ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::ClusterDown) => {
                Self::NotReady
            }
            _ => Self::Refused,
        }
    }

    /// `mends_itself`: the connection is a cluster's, in which the driver replaces a node's by
    /// itself, and where one lost shard must not take the others along.
    pub(super) const fn weight(self, mends_itself: bool) -> Weight {
        match self {
            // The driver has one error for bytes that are no answer and for a value of another type
            // than was wanted. After the first it ends the connection by itself: the next command
            // finds it lost.
            Self::Refused | Self::Garbled => Weight::Answer,
            Self::TimedOut | Self::NotReady => Weight::Counts,
            Self::Lost | Self::NotPrimary if mends_itself => Weight::Counts,
            Self::Lost | Self::NotPrimary => Weight::Breaks,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use ::redis::{Value, from_redis_value, parse_redis_value};

    use super::*;

    fn server_error(line: &str) -> RedisError {
        parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap().extract_error().unwrap_err()
    }

    #[test]
    fn what_a_server_says_is_taken_for_what_it_is() {
        for (line, failure) in [
            ("READONLY You can't write against a read only replica.", Failure::NotPrimary),
            ("MASTERDOWN Link with MASTER is down", Failure::NotPrimary),
            (
                "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write",
                Failure::NotPrimary,
            ),
            ("LOADING Redis is loading the dataset in memory", Failure::NotReady),
            ("CLUSTERDOWN The cluster is down", Failure::NotReady),
            ("WRONGTYPE Operation against a key", Failure::Refused),
            ("OOM command not allowed when used memory > 'maxmemory'.", Failure::Refused),
            ("NOSCRIPT No matching script.", Failure::Refused),
            ("MISCONF Redis is configured to save RDB snapshots", Failure::Refused),
            ("NOREPLICAS Not enough good replicas to write.", Failure::Refused),
            ("NOPERM this user has no permissions", Failure::Refused),
            ("LINEAGE 7", Failure::Refused),
            ("ERR unknown command", Failure::Refused),
        ] {
            assert_eq!(Failure::of(&server_error(line)), failure, "{line}");
        }
    }

    #[test]
    fn what_the_driver_says_is_taken_for_what_it_is() {
        let io = |kind| Failure::of(&RedisError::from(io::Error::from(kind)));
        assert_eq!(io(io::ErrorKind::BrokenPipe), Failure::Lost);
        assert_eq!(io(io::ErrorKind::ConnectionReset), Failure::Lost);
        assert_eq!(io(io::ErrorKind::TimedOut), Failure::TimedOut);
        let garbage = parse_redis_value(b"what?\r\n").unwrap_err();
        assert_eq!(Failure::of(&garbage), Failure::Garbled);
        let wrong_type = from_redis_value::<u64>(Value::BulkString(b"x".to_vec())).unwrap_err();
        assert_eq!(Failure::of(&wrong_type.into()), Failure::Garbled);
    }

    #[test]
    fn only_a_clusters_connection_is_trusted_to_mend_itself() {
        for failure in [Failure::Lost, Failure::NotPrimary] {
            assert_eq!(failure.weight(false), Weight::Breaks);
            assert_eq!(failure.weight(true), Weight::Counts);
        }
        for failure in [Failure::TimedOut, Failure::NotReady] {
            assert_eq!(failure.weight(false), Weight::Counts);
        }
        for failure in [Failure::Refused, Failure::Garbled] {
            assert_eq!(failure.weight(false), Weight::Answer);
        }
    }
}
