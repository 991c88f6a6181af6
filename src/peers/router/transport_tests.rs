use std::net::SocketAddr;

use super::*;
use crate::router::{dtls, uplink::FromClient};

/// A transport, its client's handshake, and what the owner was told.
struct Rig {
    transport: Transport,
    events: mpsc::Receiver<TransportEvent>,
    ours: Identity,
    theirs: Identity,
    client: dtls::Handshake,
    client_keys: Option<Keys>,
    now: Instant,
}

fn path() -> Path {
    Path::Udp(SocketAddr::from(([192, 0, 2, 1], 4000)))
}

fn crypto() -> Arc<dyn RTCCryptoProvider> {
    rtc::crypto::default_provider().unwrap()
}

impl Rig {
    fn new() -> Self {
        let (sender, events) = mpsc::channel(64);
        let now = Instant::now();
        Self {
            transport: Transport::new(1, sender, crypto(), now),
            events,
            ours: Identity::new(crypto().crypto()).unwrap(),
            theirs: Identity::new(crypto().crypto()).unwrap(),
            client: dtls::Handshake::default(),
            client_keys: None,
            now,
        }
    }

    fn connected() -> Self {
        let mut rig = Self::new();
        rig.transport.handle_consent(path(), true, rig.now);
        rig.connect();
        rig.talk();
        assert!(rig.transport.is_connected() && rig.client_keys.is_some());
        rig
    }

    fn connect(&mut self) {
        let role = |parameters: DtlsParameters, role| DtlsParameters { role, ..parameters };
        let server = role(self.ours.parameters(), ortc::DtlsRole::Server);
        self.client
            .connect(&server, &self.theirs, &crypto(), self.now)
            .unwrap();
        let client = role(self.theirs.parameters(), ortc::DtlsRole::Client);
        self.transport
            .connect(&client, &self.ours, self.now)
            .unwrap();
    }

    /// Carries the handshake to its end.
    fn talk(&mut self) {
        let mut out = Vec::new();
        loop {
            let mut quiet = true;
            while let Some(datagram) = self.client.poll_transmit() {
                quiet = false;
                self.transport
                    .handle_datagram(&datagram, self.now, &mut out);
            }
            for datagram in self.sent() {
                quiet = false;
                if let Step::Finished(keys) = self.client.handle_datagram(&datagram, self.now) {
                    self.client_keys = Some(keys);
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// What is to be sent to the client now.
    fn sent(&mut self) -> Vec<Vec<u8>> {
        self.transport.settle(self.now);
        let mut sent = Vec::new();
        let datagrams = &mut self.transport.outbox().datagrams;
        datagrams.take_runs(1, 0, |datagram, _| sent.push(datagram.to_vec()));
        sent
    }

    /// Lets time pass, as the worker does. Returns why it ended, if it did, and after how many seconds.
    fn pass(&mut self, seconds: u64) -> Option<(&'static str, u64)> {
        let began = self.now;
        let end = began + Duration::from_secs(seconds);
        loop {
            if let Some(reason) = self.transport.settle(self.now) {
                return Some((reason, (self.now - began).as_secs()));
            }
            let next = self.transport.deadline();
            assert!(next > self.now, "it spins");
            if next > end {
                self.now = end;
                return None;
            }
            self.now = next;
            self.transport.handle_timeout(self.now);
        }
    }
}

#[test]
fn one_whose_client_never_comes_waits_as_long_as_it_is_let() {
    let mut rig = Rig::new();

    assert_eq!(rig.pass(24 * 3600), None);

    assert_eq!(rig.transport.progress(), TransportProgress::New);
}

#[test]
fn one_whose_client_falls_silent_ends_after_half_a_minute() {
    let mut rig = Rig::connected();
    assert_eq!(rig.pass(20), None);
    rig.transport.handle_consent(path(), false, rig.now);

    assert_eq!(rig.pass(60), Some(("the client stopped answering", 30)));
}

#[test]
fn a_handshake_that_does_not_end_in_time_has_failed() {
    let mut rig = Rig::new();
    rig.transport.handle_consent(path(), true, rig.now);
    assert_eq!(rig.pass(8), None);
    rig.connect();

    assert_eq!(rig.pass(60), Some(("the DTLS handshake failed", 10)));
}

#[test]
fn the_owner_is_told_of_each_step_once() {
    let mut rig = Rig::new();
    rig.pass(1);
    rig.transport.handle_consent(path(), true, rig.now);
    rig.pass(1);
    rig.connect();
    rig.transport.settle(rig.now);
    rig.talk();
    rig.transport.handle_consent(path(), true, rig.now);
    rig.pass(1);

    let mut told = Vec::new();
    while let Ok(event) = rig.events.try_recv() {
        told.push(event);
    }
    let steps = [
        TransportProgress::Reachable,
        TransportProgress::Handshaking,
        TransportProgress::Connected,
    ];
    assert_eq!(told, steps.map(TransportEvent::Progress));
}

#[test]
fn a_step_that_the_owner_could_not_be_told_is_told_later() {
    let mut rig = Rig::new();
    let filler = TransportEvent::Bandwidth(1);
    while rig.transport.events.try_send(filler.clone()).is_ok() {}
    rig.transport.handle_consent(path(), true, rig.now);
    rig.transport.settle(rig.now);

    while rig.events.try_recv().is_ok_and(|event| event == filler) {}
    rig.transport.settle(rig.now);

    assert_eq!(
        rig.events.try_recv(),
        Ok(TransportEvent::Progress(TransportProgress::Reachable))
    );
}

#[test]
fn media_before_the_handshake_and_forged_ones_after_it_are_left_out() {
    let packet = [0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5, 1, 2, 3];
    let report = [0x80, 200, 0, 1, 0, 0, 0, 9];
    let mut came: Vec<FromClient> = Vec::new();
    for mut rig in [Rig::new(), Rig::connected()] {
        let now = rig.now;
        rig.transport.handle_consent(path(), true, now);
        rig.transport.handle_datagram(&packet, now, &mut came);
        rig.transport.handle_datagram(&report, now, &mut came);
        rig.transport.handle_datagram(&[], now, &mut came);
        assert!(came.is_empty());
        assert!(rig.sent().is_empty());
    }
}
