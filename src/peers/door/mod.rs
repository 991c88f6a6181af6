//! The front door: an ICE-lite agent that tells which peer a datagram is for, and lets in only proven ones.
//!
//! It belongs to one worker. Pure; time is an argument.

mod reach;
pub(crate) mod stun;

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use ortc::IceProtocol;
use rand::RngExt;
pub(crate) use reach::Reach;
use rtc::crypto::RTCCrypto;
use stun::{Credentials, Untrusted};

/// Paths a peer may have proven at once: old and new address of each of two networks, with room.
const MOST_PATHS_PER_PEER: usize = 8;
/// Letters of a random ICE password: 190 bits (RFC 8445 asks for 128).
const PASSWORD_LETTERS: usize = 32;
/// Random letters of a username fragment behind the worker's number.
const FRAGMENT_LETTERS: usize = 14;

/// Where a datagram came from and where answers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Path {
    /// UDP, by the address opposite.
    Udp(SocketAddr),
    /// ICE-TCP, by our number of the connection and the address opposite.
    Tcp(u64, SocketAddr),
}

impl Path {
    pub(crate) const fn address(self) -> SocketAddr {
        match self {
            Self::Udp(address) | Self::Tcp(_, address) => address,
        }
    }
}

/// Names a peer on its worker.
pub(crate) type PeerKey = u64;

/// What the door says about a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// DTLS, SRTP or SRTCP from a proven path of this peer.
    Admit(PeerKey),
    /// A proven binding request: send `answer` back on the path. `fresh`: the path was not known before.
    Answer {
        peer: PeerKey,
        answer: Vec<u8>,
        nominates: bool,
        fresh: bool,
    },
    /// A success of the round trip probe of this peer.
    ProbeAnswer {
        peer: PeerKey,
        transaction: [u8; 12],
    },
    /// Another worker's peer is meant.
    Elsewhere(usize),
    /// Nobody we know, or not proven.
    Drop,
}

struct Guest {
    fragments: Vec<Credentials>,
    /// What its answers to probes are proven by; of clients that never tell it there are none.
    remote_password: Option<String>,
    paths: Vec<Path>,
}

/// The door of one worker.
#[derive(Default)]
pub(crate) struct Door {
    worker: usize,
    guests: HashMap<PeerKey, Guest>,
    peers_by_fragment: HashMap<String, PeerKey>,
    peers_by_path: HashMap<Path, PeerKey>,
    workers_by_path: HashMap<Path, (usize, Instant)>,
}

impl Door {
    pub(crate) fn new(worker: usize) -> Self {
        Self {
            worker,
            ..Self::default()
        }
    }

    /// Lets a peer be found by its credentials.
    pub(crate) fn admit(
        &mut self,
        peer: PeerKey,
        local: Credentials,
        remote_password: Option<String>,
    ) {
        self.peers_by_fragment.insert(local.fragment.clone(), peer);
        self.guests.insert(
            peer,
            Guest {
                fragments: vec![local],
                remote_password,
                paths: Vec::new(),
            },
        );
    }

    /// Adds credentials after an ICE restart; the old ones hold until the new ones are used.
    pub(crate) fn restart(
        &mut self,
        peer: PeerKey,
        local: Credentials,
        remote_password: Option<String>,
    ) {
        let Some(guest) = self.guests.get_mut(&peer) else {
            return;
        };
        while guest.fragments.len() > 1 {
            let unused = guest.fragments.remove(1);
            self.peers_by_fragment.remove(&unused.fragment);
        }
        if remote_password.is_some() {
            guest.remote_password = remote_password;
        }
        self.peers_by_fragment.insert(local.fragment.clone(), peer);
        guest.fragments.push(local);
    }

    /// Forgets a peer and its paths.
    pub(crate) fn dismiss(&mut self, peer: PeerKey) {
        let Some(guest) = self.guests.remove(&peer) else {
            return;
        };
        for local in guest.fragments {
            self.peers_by_fragment.remove(&local.fragment);
        }
        for path in guest.paths {
            self.peers_by_path.remove(&path);
        }
    }

    /// Forgets one path, because its connection closed.
    pub(crate) fn forget_path(&mut self, path: Path) {
        if let Some(peer) = self.peers_by_path.remove(&path)
            && let Some(guest) = self.guests.get_mut(&peer)
        {
            guest.paths.retain(|known| *known != path);
        }
    }

    /// Remembers that another worker has proven this path; the kernel gives us its datagrams.
    pub(crate) fn remember_elsewhere(&mut self, path: Path, worker: usize, until: Instant) {
        self.workers_by_path.insert(path, (worker, until));
    }

    /// Forgets other workers' paths that have not been proven again.
    pub(crate) fn forget_expired(&mut self, now: Instant) {
        self.workers_by_path.retain(|_, (_, until)| *until > now);
    }

    /// Judges a datagram.
    pub(crate) fn judge(&mut self, datagram: &[u8], path: Path, crypto: &dyn RTCCrypto) -> Verdict {
        // RFC 7983: 0 to 3 is STUN, 20 to 63 DTLS, 128 to 191 RTP and RTCP.
        match datagram.first() {
            Some(0..=3) => self.judge_stun(datagram, path, crypto),
            Some(20..=63 | 128..=191) => match self.peers_by_path.get(&path) {
                Some(peer) => Verdict::Admit(*peer),
                None => self
                    .workers_by_path
                    .get(&path)
                    .map_or(Verdict::Drop, |(worker, _)| Verdict::Elsewhere(*worker)),
            },
            _ => Verdict::Drop,
        }
    }

    fn judge_stun(&mut self, datagram: &[u8], path: Path, crypto: &dyn RTCCrypto) -> Verdict {
        let Some(mut message) = Untrusted::decode(datagram) else {
            return Verdict::Drop;
        };
        if let Some(transaction) = message.success_transaction() {
            let Some(peer) = self.peers_by_path.get(&path) else {
                return self
                    .workers_by_path
                    .get(&path)
                    .map_or(Verdict::Drop, |(worker, _)| Verdict::Elsewhere(*worker));
            };
            let password = self
                .guests
                .get(peer)
                .and_then(|guest| guest.remote_password.as_ref());
            let proven = password.is_some_and(|password| message.verify(password, crypto));
            return if proven {
                Verdict::ProbeAnswer {
                    peer: *peer,
                    transaction: transaction.0,
                }
            } else {
                Verdict::Drop
            };
        }
        let Some(fragment) = message.local_fragment() else {
            return Verdict::Drop;
        };
        let Some(peer) = self.peers_by_fragment.get(&fragment).copied() else {
            return match worker_of_fragment(&fragment) {
                Some(worker) if worker != self.worker => Verdict::Elsewhere(worker),
                _ => Verdict::Drop,
            };
        };
        let Some(guest) = self.guests.get_mut(&peer) else {
            return Verdict::Drop;
        };
        let Some(position) = guest
            .fragments
            .iter()
            .position(|local| local.fragment == fragment)
        else {
            return Verdict::Drop;
        };
        let password = guest.fragments[position].password.clone();
        let Some(request) = message.authenticate(&password, crypto) else {
            return Verdict::Drop;
        };
        let Some(answer) = request.answer(path.address(), &password, crypto) else {
            return Verdict::Drop;
        };
        if request.claims_control_is_ours {
            return Verdict::Answer {
                peer,
                answer,
                nominates: false,
                fresh: false,
            };
        }
        if position > 0 {
            let old = guest.fragments.remove(0);
            self.peers_by_fragment.remove(&old.fragment);
        }
        let fresh = !guest.paths.contains(&path);
        if fresh {
            if guest.paths.len() >= MOST_PATHS_PER_PEER {
                let oldest = guest.paths.remove(0);
                self.peers_by_path.remove(&oldest);
            }
            guest.paths.push(path);
            if let Some(previous) = self.peers_by_path.insert(path, peer)
                && previous != peer
                && let Some(previous) = self.guests.get_mut(&previous)
            {
                previous.paths.retain(|known| *known != path);
            }
        }
        Verdict::Answer {
            peer,
            answer,
            nominates: request.nominates,
            fresh,
        }
    }
}

/// New credentials whose fragment names the worker.
pub(crate) fn new_credentials(worker: usize) -> Credentials {
    Credentials {
        fragment: format!("{worker:02x}{}", letters(FRAGMENT_LETTERS)),
        password: letters(PASSWORD_LETTERS),
    }
}

/// The priority of our candidate of the address at `index`: the local preference falls with each further one.
pub(crate) fn candidate_priority(protocol: IceProtocol, index: usize) -> u32 {
    let kind: u32 = match protocol {
        // RFC 8445 § 5.1.2.1 for a host candidate.
        IceProtocol::Udp => 126,
        // RFC 6544 § 4.2: below UDP, direction preference of a passive candidate.
        IceProtocol::Tcp => 90,
    };
    let preference = 65_535 - u32::try_from(index).unwrap_or(u32::MAX).min(1000);
    // The last eight bits are of component 1.
    (kind << 24) | (preference << 8) | 255
}

/// How long another worker's proof of a path is trusted; consent is renewed each 2 to 5 s.
pub(crate) const ELSEWHERE_LIFETIME: Duration = Duration::from_mins(1);

/// The worker that a fragment names.
pub(crate) fn worker_of_fragment(fragment: &str) -> Option<usize> {
    usize::from_str_radix(fragment.get(..2)?, 16).ok()
}

fn letters(count: usize) -> String {
    let mut random = rand::rng();
    (0..count)
        .map(|_| char::from(random.sample(rand::distr::Alphanumeric)))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtc::crypto::default_provider;

    use super::{stun::nominating_request, *};

    const DTLS: [u8; 3] = [22, 254, 253];

    fn path(port: u16) -> Path {
        Path::Udp(SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn studio() -> Credentials {
        Credentials {
            fragment: "studio".into(),
            password: "the studio's password".into(),
        }
    }

    #[test]
    fn dtls_is_admitted_only_from_a_proven_path() {
        let provider = default_provider().unwrap();
        let mut door = Door::new(0);
        let local = new_credentials(0);
        door.admit(7, local.clone(), Some(studio().password));
        assert_eq!(door.judge(&DTLS, path(1), provider.crypto()), Verdict::Drop);

        let request = nominating_request(&studio(), &local, provider.crypto()).unwrap();
        let verdict = door.judge(&request, path(1), provider.crypto());

        assert!(matches!(
            verdict,
            Verdict::Answer {
                peer: 7,
                nominates: true,
                fresh: true,
                ..
            }
        ));
        assert_eq!(
            door.judge(&DTLS, path(1), provider.crypto()),
            Verdict::Admit(7)
        );
        assert_eq!(door.judge(&DTLS, path(2), provider.crypto()), Verdict::Drop);
    }

    #[test]
    fn a_dismissed_peer_is_not_known_any_more() {
        let provider = default_provider().unwrap();
        let mut door = Door::new(0);
        let local = new_credentials(0);
        door.admit(7, local.clone(), Some(studio().password));
        let request = nominating_request(&studio(), &local, provider.crypto()).unwrap();
        door.judge(&request, path(1), provider.crypto());

        door.dismiss(7);

        assert_eq!(
            door.judge(&request, path(1), provider.crypto()),
            Verdict::Drop
        );
        assert_eq!(door.judge(&DTLS, path(1), provider.crypto()), Verdict::Drop);
    }

    #[test]
    fn a_request_for_another_workers_peer_is_handed_over() {
        let provider = default_provider().unwrap();
        let mut door = Door::new(0);
        let request =
            nominating_request(&studio(), &new_credentials(3), provider.crypto()).unwrap();

        assert_eq!(
            door.judge(&request, path(1), provider.crypto()),
            Verdict::Elsewhere(3)
        );
    }

    #[test]
    fn after_a_restart_old_credentials_hold_until_the_new_ones_are_used() {
        let provider = default_provider().unwrap();
        let mut door = Door::new(0);
        let (old, new) = (new_credentials(0), new_credentials(0));
        door.admit(7, old.clone(), Some(studio().password));
        door.restart(7, new.clone(), None);
        let with_old = nominating_request(&studio(), &old, provider.crypto()).unwrap();
        let with_new = nominating_request(&studio(), &new, provider.crypto()).unwrap();

        assert!(matches!(
            door.judge(&with_old, path(1), provider.crypto()),
            Verdict::Answer { .. }
        ));
        assert!(matches!(
            door.judge(&with_new, path(2), provider.crypto()),
            Verdict::Answer { .. }
        ));
        assert_eq!(
            door.judge(&with_old, path(3), provider.crypto()),
            Verdict::Drop
        );
    }

    #[test]
    fn a_peer_has_at_most_eight_paths() {
        let provider = default_provider().unwrap();
        let mut door = Door::new(0);
        let local = new_credentials(0);
        door.admit(7, local.clone(), Some(studio().password));
        let request = nominating_request(&studio(), &local, provider.crypto()).unwrap();
        for port in 1..=9 {
            door.judge(&request, path(port), provider.crypto());
        }

        assert_eq!(door.judge(&DTLS, path(1), provider.crypto()), Verdict::Drop);
        assert_eq!(
            door.judge(&DTLS, path(2), provider.crypto()),
            Verdict::Admit(7)
        );
        assert_eq!(door.peers_by_path.len(), MOST_PATHS_PER_PEER);
    }

    proptest! {
        #[test]
        fn garbage_is_dropped(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let provider = default_provider().unwrap();
            let mut door = Door::new(0);
            door.admit(7, new_credentials(0), Some("x".into()));
            prop_assert_eq!(door.judge(&bytes, path(1), provider.crypto()), Verdict::Drop);
        }
    }
}
