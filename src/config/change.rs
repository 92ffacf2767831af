//! From one configuration to the next while a node runs: what it cannot take over, and by what two
//! configurations are told apart.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};

use super::Config;

/// Bytes of a digest that are shown.
const DIGEST_BYTES: usize = 16;

/// Declares the settings that a node keeps until it is started anew.
macro_rules! needs_restart {
    ($($key:literal: $($field:ident).+;)*) => {
        /// Settings that a running node cannot change, as they stand in a file. A table's name
        /// stands for all that is in it.
        pub const NEEDS_RESTART: &[&str] = &[$($key),*];

        /// Puts those settings back to what is in force, and tells which of them differed.
        fn keep_until_restart(config: &mut Config, in_force: &Config) -> Vec<&'static str> {
            let mut kept = Vec::new();
            $(
                if config.$($field).+ != in_force.$($field).+ {
                    config.$($field).+.clone_from(&in_force.$($field).+);
                    kept.push($key);
                }
            )*
            kept
        }
    };
}

needs_restart! {
    "listen.storefront": listen.storefront;
    "listen.ingest": listen.ingest;
    "listen.control": listen.control;
    "listen.workers": listen.workers;
    "listen.handover": listen.handover;
    "listen.handover_timeout": listen.handover_timeout;
    "tls.storefront": tls.storefront;
    "tls.ingest": tls.ingest;
    "tls.control": tls.control;
    // What answers are stored under, and what connections are made by.
    "origin.service_root": origin.service_root;
    "origin.tls_roots": origin.tls_roots;
    "origin.ca_file": origin.ca_file;
    "origin.connect_timeout": origin.connect_timeout;
    "origin.idle_timeout": origin.idle_timeout;
    "origin.idle_connections": origin.idle_connections;
    // Stored answers link by it.
    "storefront.public_root": storefront.public_root;
    "memory.max_bytes": memory.max_bytes;
    "redis": redis;
    "purge.max_tags": purge.max_tags;
    "purge.max_urls": purge.max_urls;
    "log.format": log.format;
    "access_log": access_log;
    "traces": traces;
}

impl Config {
    /// This configuration as far as a node can take it over that runs by another; and the settings
    /// that differ and stay as they are until the node is started anew.
    #[must_use]
    pub fn taken_over_from(mut self, in_force: &Self) -> (Self, Vec<&'static str>) {
        let mut kept = keep_until_restart(&mut self, in_force);
        // A file whose listener is on loopback needs no credentials; the one that is open may not be.
        if self.ingest_is_open_to_anyone() && !in_force.ingest_is_open_to_anyone() {
            self.ingest.hmac_secrets.clone_from(&in_force.ingest.hmac_secrets);
            self.ingest.bearer_tokens.clone_from(&in_force.ingest.bearer_tokens);
            kept.extend(["ingest.hmac_secrets", "ingest.bearer_tokens"]);
        }
        (self, kept)
    }

    /// Tells configurations apart, and nothing of their secrets: those are not in it, so it stays the
    /// same where nothing but the value of a secret has changed. The same on every node of a version.
    pub fn digest(&self) -> String {
        // Written out, a secret shows that there is one.
        let digest = digest(&SHA256, format!("{self:?}").as_bytes());
        let shown = digest.as_ref().iter().take(DIGEST_BYTES);
        shown.fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn ingest_is_open_to_anyone(&self) -> bool {
        let asks_pushers = self.tls.ingest.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        !self.listen.ingest.ip().to_canonical().is_loopback()
            && !asks_pushers
            && self.ingest.hmac_secrets.is_empty()
            && self.ingest.bearer_tokens.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Secret};
    use std::time::Duration;

    fn config() -> Config {
        Config::for_origin("http://rs/Commerce".parse().unwrap())
    }

    #[test]
    fn what_needs_a_restart_stays_and_is_named_and_the_rest_is_taken_over() {
        let mut in_force = config();
        in_force.ingest.bearer_tokens = vec![Secret::new("one".to_owned())];
        let mut next = config();
        next.listen.workers = in_force.listen.workers + 1;
        next.listen.drain_for = Duration::from_secs(1);
        next.origin = Origin {
            fetch_timeout: Duration::from_secs(7),
            connect_timeout: Duration::from_secs(7),
            ..Origin::at("http://other/Commerce".parse().unwrap())
        };
        next.limits.fetches = 3;
        next.ingest.bearer_tokens = vec![Secret::new("another".to_owned())];
        let (taken, kept) = next.clone().taken_over_from(&in_force);
        assert_eq!(kept, ["listen.workers", "origin.service_root", "origin.connect_timeout"]);
        next.listen.workers = in_force.listen.workers;
        next.origin.service_root = in_force.origin.service_root.clone();
        next.origin.connect_timeout = in_force.origin.connect_timeout;
        assert_eq!(taken, next);
        assert_eq!(taken.clone().taken_over_from(&taken), (taken, Vec::new()));
    }

    #[test]
    fn an_ingest_listener_that_stays_open_to_others_keeps_its_credentials() {
        let mut in_force = config();
        in_force.ingest.bearer_tokens = vec![Secret::new("token".to_owned())];
        let mut next = config();
        next.listen.ingest = "127.0.0.1:8090".parse().unwrap();
        let (taken, kept) = next.taken_over_from(&in_force);
        assert_eq!(kept, ["listen.ingest", "ingest.hmac_secrets", "ingest.bearer_tokens"]);
        assert_eq!(taken.ingest.bearer_tokens, in_force.ingest.bearer_tokens);
    }

    #[test]
    fn the_digest_tells_settings_apart_and_secrets_not() {
        let with = |secret: &str, fetches| {
            let mut config = config();
            config.ingest.hmac_secrets = vec![Secret::new(secret.to_owned())];
            config.limits.fetches = fetches;
            config.digest()
        };
        assert_eq!(with("one", 1), with("two", 1));
        assert_ne!(with("one", 1), with("one", 2));
        assert_eq!(with("one", 1).len(), 2 * DIGEST_BYTES);
    }
}
