//! What links are for, and what is sent over them: the closed sets of their metrics' labels.

/// What a link is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Stored responses.
    Tier,
    /// Purges.
    Purge,
    /// What a node says and asks of its place among the others.
    Beat,
    /// The log of purges, by commands that block until there is something to read.
    Follow,
}

impl Role {
    /// For metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tier => "tier",
            Self::Purge => "purge",
            Self::Beat => "beat",
            Self::Follow => "follow",
        }
    }
}

/// What is asked of a Redis, named by its purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Is anybody there?
    Ping,
    /// What the server is and how it is set up.
    Inspect,
    /// Read a stored response.
    Get,
    /// Write a stored response.
    Set,
    /// Remove a stored response.
    Delete,
    /// Take the lease on a fetch.
    Lease,
    /// Give a lease back.
    Release,
    /// Purge tags.
    Purge,
    /// Make sure that the plane is the one that is known.
    Beat,
    /// Find out what stands, and begin a lineage where it must be.
    Begin,
    /// Read the marks of tags.
    Scan,
    /// Forget old marks.
    Forget,
    /// Read the log of purges.
    Follow,
    /// Wait for replicas.
    Wait,
    /// What other nodes have applied.
    Fleet,
}

impl Command {
    /// Every one, in the order of their discriminants.
    pub const ALL: [Self; 15] = [
        Self::Ping,
        Self::Inspect,
        Self::Get,
        Self::Set,
        Self::Delete,
        Self::Lease,
        Self::Release,
        Self::Purge,
        Self::Beat,
        Self::Begin,
        Self::Scan,
        Self::Forget,
        Self::Follow,
        Self::Wait,
        Self::Fleet,
    ];

    /// For metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Inspect => "inspect",
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Lease => "lease",
            Self::Release => "release",
            Self::Purge => "purge",
            Self::Beat => "beat",
            Self::Begin => "begin",
            Self::Scan => "scan",
            Self::Forget => "forget",
            Self::Follow => "follow",
            Self::Wait => "wait",
            Self::Fleet => "fleet",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_listed_at_its_place() {
        assert_eq!(Command::ALL.map(|command| command as usize), std::array::from_fn(|at| at));
        assert_eq!(Command::Fleet as usize + 1, Command::ALL.len());
    }
}
