//! Whose packets are taken: the first sender that fits, until it has been silent. Pure; time is an argument.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// How long the pinned sender must have been silent before another may take its place: one that was started anew has
/// another port.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sender of one stream.
#[derive(Debug, Clone)]
pub(super) struct Pin {
    ip: Option<IpAddr>,
    port: Option<u16>,
    /// Whether packets prove that they are the sender's.
    authenticated: bool,
    pinned: Option<SocketAddr>,
    last: Option<Instant>,
}

impl Pin {
    /// `ip` and `port`: the only ones that are taken, if they are known before.
    pub(super) fn new(ip: Option<IpAddr>, port: Option<u16>, authenticated: bool) -> Self {
        Self {
            ip: ip.map(|ip| ip.to_canonical()),
            port,
            authenticated,
            pinned: None,
            last: None,
        }
    }

    /// The sender, once it has sent.
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        self.pinned
    }

    /// Whether a packet from there may be the sender's, if it fits otherwise.
    pub(super) fn admits(&self, from: SocketAddr, now: Instant) -> bool {
        if self.ip.is_some_and(|ip| ip != from.ip().to_canonical())
            || self.port.is_some_and(|port| port != from.port())
        {
            return false;
        }
        match self.pinned {
            None => true,
            Some(pinned) if pinned == from => true,
            Some(pinned) => {
                let silent = self
                    .last
                    .is_none_or(|last| now.saturating_duration_since(last) >= PATIENCE);
                silent && (self.authenticated || pinned.ip() == from.ip())
            }
        }
    }

    /// Whether RTCP from there may be the sender's: the same address, whatever the port.
    pub(super) fn admits_reports(&self, from: SocketAddr) -> bool {
        match (self.pinned, self.ip) {
            (Some(pinned), _) => pinned.ip() == from.ip(),
            (None, Some(ip)) => ip == from.ip().to_canonical(),
            (None, None) => false,
        }
    }

    /// A packet from there fitted. Returns whether the sender is another than before.
    pub(super) fn take(&mut self, from: SocketAddr, now: Instant) -> bool {
        self.last = Some(now);
        self.pinned.replace(from) != Some(from)
    }

    /// The sender is gone: whoever comes next may be it.
    pub(super) const fn release(&mut self) {
        self.pinned = None;
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], port))
    }

    #[test]
    fn the_first_sender_is_pinned_and_others_are_not_admitted() {
        let now = Instant::now();
        let mut pin = Pin::new(None, None, false);
        assert!(pin.admits(address(1, 5000), now));
        assert!(!pin.admits_reports(address(1, 5001)));

        assert!(pin.take(address(1, 5000), now));

        assert!(pin.admits(address(1, 5000), now));
        assert!(!pin.admits(address(1, 5002), now));
        assert!(!pin.admits(address(2, 5000), now));
        assert!(pin.admits_reports(address(1, 5001)));
        assert!(!pin.admits_reports(address(2, 5001)));
        assert!(!pin.take(address(1, 5000), now));
    }

    #[test]
    fn a_sender_that_was_started_anew_is_taken_after_a_silence() {
        let now = Instant::now();
        let mut pin = Pin::new(None, None, false);
        pin.take(address(1, 5000), now);
        let before = now + PATIENCE.saturating_sub(Duration::from_millis(1));
        let later = now + PATIENCE;

        assert!(!pin.admits(address(1, 6000), before));
        assert!(pin.admits(address(1, 6000), later));
        assert!(!pin.admits(address(2, 5000), later), "another machine");
        assert!(pin.take(address(1, 6000), later));
    }

    #[test]
    fn whoever_authenticates_may_move_to_another_machine() {
        let now = Instant::now();
        let mut pin = Pin::new(None, None, true);
        pin.take(address(1, 5000), now);

        assert!(!pin.admits(address(2, 5000), now));
        assert!(pin.admits(address(2, 5000), now + PATIENCE));
    }

    #[test]
    fn a_given_source_is_the_only_one() {
        let now = Instant::now();
        let by_ip = Pin::new(Some(address(1, 0).ip()), None, false);
        let by_both = Pin::new(Some(address(1, 0).ip()), Some(5000), false);

        assert!(by_ip.admits(address(1, 7), now) && !by_ip.admits(address(2, 7), now));
        assert!(by_both.admits(address(1, 5000), now) && !by_both.admits(address(1, 7), now));
        assert!(by_ip.admits_reports(address(1, 5001)));
    }

    #[test]
    fn a_released_pin_takes_anybody() {
        let now = Instant::now();
        let mut pin = Pin::new(None, None, false);
        pin.take(address(1, 5000), now);

        pin.release();

        assert!(pin.admits(address(2, 6000), now));
        assert_eq!(pin.address(), None);
    }
}
