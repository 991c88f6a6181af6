//! Which path a peer is sent to, and whether it still wants to hear from us (RFC 7675). Pure; time is an argument.

use std::time::{Duration, Instant};

use super::Path;

/// How long a peer may be silent (RFC 7675 § 5.1).
pub(crate) const CONSENT_LIFETIME: Duration = Duration::from_secs(30);
/// How long a path may go unproven while another is proven: browsers check theirs at least every 2.5 s.
const PATH_PATIENCE: Duration = Duration::from_secs(3);

/// The way to one peer.
#[derive(Debug)]
pub(crate) struct Reach {
    path: Option<Path>,
    /// When the peer last proved that path.
    path_proven: Instant,
    last_consent: Instant,
}

impl Reach {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            path: None,
            path_proven: now,
            last_consent: now,
        }
    }

    /// The peer has proven `path`. The nominated one is used; where a peer nominates once and never again, as the
    /// `webrtc` crate does, the one that it goes on proving: its NAT has given it another port.
    pub(crate) fn handle_consent(&mut self, path: Path, nominates: bool, now: Instant) {
        self.last_consent = now;
        let is_abandoned = now.saturating_duration_since(self.path_proven) >= PATH_PATIENCE;
        if nominates || self.path.is_none() || is_abandoned {
            self.path = Some(path);
        }
        if self.path == Some(path) {
            self.path_proven = now;
        }
    }

    /// Where the peer is sent to, once it has proven where it is.
    pub(crate) const fn path(&self) -> Option<Path> {
        self.path
    }

    /// When the peer last proved any path; in the beginning when it was made.
    pub(crate) const fn last_consent(&self) -> Instant {
        self.last_consent
    }

    /// When the peer has been silent for too long.
    pub(crate) fn expires(&self) -> Instant {
        self.last_consent + CONSENT_LIFETIME
    }
}
