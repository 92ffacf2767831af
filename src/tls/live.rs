//! A listener's TLS as it stands now, and how it follows its files.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;

use super::{FileProblem, Files, FilesDigest};
use crate::clock::{Clock, Timestamp};
use crate::config::ListenerTls;
use crate::metrics::Metrics;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why a listener has no TLS to start with: everything that is wrong with its files.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct UnusableTls(pub Vec<FileProblem>);

/// What a listener's handshakes are made with. Those that come take what stands; connections that
/// are open go on with what they began with.
pub struct LiveTls {
    listener: &'static str,
    settings: ListenerTls,
    config: ArcSwap<ServerConfig>,
    /// The files as they were last looked at, usable or not: a change is tried once.
    seen: Mutex<FilesDigest>,
    metrics: Metrics,
}

/// Without the configuration, which holds the key.
impl fmt::Debug for LiveTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTls").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl LiveTls {
    /// Loads a listener's files.
    ///
    /// # Errors
    /// Where they cannot be used.
    pub fn load(
        listener: &'static str,
        settings: ListenerTls,
        metrics: Metrics,
        now: Timestamp,
    ) -> Result<Self, UnusableTls> {
        let files = Files::read(&settings);
        let loaded = files.load(&settings).map_err(UnusableTls)?;
        let live = Self {
            listener,
            settings,
            config: ArcSwap::new(loaded.config),
            seen: Mutex::new(files.digest()),
            metrics,
        };
        live.tell_expiry(loaded.expires_s, now);
        live.metrics.tls_files_usable.with_label_values(&[listener]).set(1);
        // So that they can be watched before the first of either.
        live.metrics.tls_handshake_failures.with_label_values(&[listener]);
        for outcome in ["ok", "failed"] {
            live.metrics.tls_reloads.with_label_values(&[listener, outcome]);
        }
        Ok(live)
    }

    /// What the next handshake is made with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Counts a handshake that came to nothing.
    pub fn count_failure(&self) {
        self.metrics.tls_handshake_failures.with_label_values(&[self.listener]).inc();
    }

    /// Looks at the files from time to time and takes over what has changed. Never returns.
    pub async fn follow(self: Arc<Self>, clock: Clock) {
        loop {
            clock.sleep(LOOK_EVERY).await;
            let (live, now) = (Arc::clone(&self), clock.now());
            // A file system may keep a read waiting.
            let _ = tokio::task::spawn_blocking(move || live.look(now)).await;
        }
    }

    fn look(&self, now: Timestamp) {
        let files = Files::read(&self.settings);
        let digest = files.digest();
        if std::mem::replace(&mut *self.seen.lock(), digest) == digest {
            return;
        }
        let outcome = match files.load(&self.settings) {
            Ok(loaded) => {
                self.config.store(loaded.config);
                tracing::info!(listener = self.listener, "TLS files changed: taken over");
                self.tell_expiry(loaded.expires_s, now);
                "ok"
            }
            Err(problems) => {
                let error = UnusableTls(problems);
                tracing::error!(
                    listener = self.listener,
                    %error,
                    "TLS files changed and cannot be used: the old ones stand",
                );
                "failed"
            }
        };
        self.metrics.tls_reloads.with_label_values(&[self.listener, outcome]).inc();
        let is_usable = i64::from(outcome == "ok");
        self.metrics.tls_files_usable.with_label_values(&[self.listener]).set(is_usable);
    }

    fn tell_expiry(&self, expires_s: Option<i64>, now: Timestamp) {
        let Some(expires_s) = expires_s else { return };
        self.metrics.tls_certificate_expiry.with_label_values(&[self.listener]).set(expires_s);
        let now_s = i64::try_from(now.as_millis() / 1_000).unwrap_or(i64::MAX);
        if expires_s <= now_s {
            tracing::warn!(listener = self.listener, "the certificate has expired");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TlsVersion;
    use rcgen::{CertificateParams, KeyPair};
    use std::fs;

    const NOW: Timestamp = Timestamp::from_millis(1_777_284_000_000);

    #[test]
    fn each_state_of_the_files_is_tried_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        let write = |key: &KeyPair| {
            let certificate = CertificateParams::default().self_signed(key).unwrap();
            fs::write(path("c.pem"), certificate.pem()).unwrap();
        };
        let key = KeyPair::generate().unwrap();
        write(&key);
        fs::write(path("k.pem"), key.serialize_pem()).unwrap();
        let settings = ListenerTls {
            certificate: path("c.pem"),
            private_key: path("k.pem"),
            client_ca: None,
            minimum_version: TlsVersion::Tls12,
        };
        let metrics = Metrics::new().unwrap();
        let live = LiveTls::load("storefront", settings, metrics.clone(), NOW).unwrap();
        let look = || {
            live.look(NOW);
            live.look(NOW);
            ["ok", "failed"].map(|outcome| {
                metrics.tls_reloads.with_label_values(&["storefront", outcome]).get()
            })
        };
        let config = live.config();
        let usable = || metrics.tls_files_usable.with_label_values(&["storefront"]).get();
        assert_eq!(look(), [0, 0], "nothing has changed");
        assert_eq!(usable(), 1);
        write(&KeyPair::generate().unwrap());
        assert_eq!(look(), [0, 1], "another key's certificate");
        fs::remove_file(path("k.pem")).unwrap();
        assert_eq!(look(), [0, 2], "and no key at all");
        assert_eq!(usable(), 0);
        assert!(Arc::ptr_eq(&config, &live.config()), "the old pair stands");
        let key = KeyPair::generate().unwrap();
        write(&key);
        fs::write(path("k.pem"), key.serialize_pem()).unwrap();
        assert_eq!((look(), usable()), ([1, 2], 1));
        assert!(!Arc::ptr_eq(&config, &live.config()));
    }
}
