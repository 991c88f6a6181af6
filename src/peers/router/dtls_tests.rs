use ortc::DtlsFingerprint;
use proptest::prelude::*;

use super::*;
use crate::srtp::{Opener, Sealer};

struct End {
    identity: Identity,
    handshake: Handshake,
    keys: Option<Keys>,
    closed: bool,
}

fn crypto() -> Arc<dyn RTCCryptoProvider> {
    rtc::crypto::default_provider().unwrap()
}

impl End {
    fn new() -> Self {
        Self {
            identity: Identity::new(crypto().crypto()).unwrap(),
            handshake: Handshake::default(),
            keys: None,
            closed: false,
        }
    }

    fn connect(&mut self, parameters: &DtlsParameters, now: Instant) -> Result<(), RouterError> {
        self.handshake
            .connect(parameters, &self.identity, &crypto(), now)?;
        while let Some(step) = self.handshake.replay(now) {
            self.note(step);
        }
        Ok(())
    }

    fn note(&mut self, step: Step) {
        match step {
            Step::Finished(keys) => self.keys = Some(keys),
            Step::Closed => self.closed = true,
            Step::Nothing => {}
            Step::Failed(reason) => panic!("{reason}"),
        }
    }

    fn hear(&mut self, datagram: &[u8], now: Instant) {
        let step = self.handshake.handle_datagram(datagram, now);
        self.note(step);
    }
}

fn told(end: &End, role: DtlsRole) -> DtlsParameters {
    DtlsParameters {
        role,
        ..end.identity.parameters()
    }
}

/// Carries datagrams to and fro until nobody has anything to say.
fn talk(one: &mut End, other: &mut End, now: Instant) {
    loop {
        let forth: Vec<_> = std::iter::from_fn(|| one.handshake.poll_transmit()).collect();
        let back: Vec<_> = std::iter::from_fn(|| other.handshake.poll_transmit()).collect();
        if forth.is_empty() && back.is_empty() {
            return;
        }
        for datagram in forth {
            other.hear(&datagram, now);
        }
        for datagram in back {
            one.hear(&datagram, now);
        }
    }
}

fn connected() -> (End, End, Instant) {
    let now = Instant::now();
    let (mut server, mut client) = (End::new(), End::new());
    server
        .connect(&told(&client, DtlsRole::Client), now)
        .unwrap();
    client
        .connect(&told(&server, DtlsRole::Server), now)
        .unwrap();
    talk(&mut server, &mut client, now);
    (server, client, now)
}

#[test]
fn both_ends_come_to_the_same_keys() {
    let (server, client, _) = connected();
    let (server, client) = (server.keys.unwrap(), client.keys.unwrap());
    let packet = [0x80, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 5, 1, 2, 3];

    for (sending, receiving) in [
        (client.sending, server.receiving),
        (server.sending, client.receiving),
    ] {
        let sealed = Sealer::new(&sending, &crypto())
            .unwrap()
            .seal_rtp(&packet)
            .unwrap();
        let mut opener = Opener::new(receiving, 8, crypto()).unwrap();
        assert_eq!(&opener.open_rtp(&sealed, 5).unwrap()[..], packet);
    }
}

#[test]
fn a_certificate_that_was_not_told_is_refused() {
    let now = Instant::now();
    let (mut server, mut client, other) = (End::new(), End::new(), End::new());
    server
        .connect(&told(&other, DtlsRole::Client), now)
        .unwrap();
    client
        .connect(&told(&server, DtlsRole::Server), now)
        .unwrap();

    talk(&mut server, &mut client, now);

    assert!(server.keys.is_none() && client.keys.is_none());
}

#[test]
fn what_came_before_the_fingerprint_is_replayed() {
    let now = Instant::now();
    let (mut server, mut client) = (End::new(), End::new());
    client
        .connect(&told(&server, DtlsRole::Server), now)
        .unwrap();
    talk(&mut server, &mut client, now);
    assert!(!server.handshake.is_begun());

    server
        .connect(&told(&client, DtlsRole::Client), now)
        .unwrap();
    talk(&mut server, &mut client, now);

    assert!(server.keys.is_some() && client.keys.is_some());
}

#[test]
fn only_so_much_waits_for_the_fingerprint() {
    let now = Instant::now();
    let mut server = End::new();

    for _ in 0..100 {
        server.hear(&[22; 1200], now);
    }

    assert_eq!(server.handshake.early.len(), EARLY_LIMIT);
}

#[test]
fn a_lost_flight_is_sent_again() {
    let mut now = Instant::now();
    let (mut server, mut client) = (End::new(), End::new());
    server
        .connect(&told(&client, DtlsRole::Client), now)
        .unwrap();
    client
        .connect(&told(&server, DtlsRole::Server), now)
        .unwrap();
    // The first of each is lost.
    assert!(client.handshake.poll_transmit().is_some());

    now = client.handshake.poll_timeout().unwrap();
    client.handshake.handle_timeout(now);
    talk(&mut server, &mut client, now);

    assert!(server.keys.is_some() && client.keys.is_some());
}

#[test]
fn a_good_bye_is_heard_and_nothing_after_it() {
    let (mut server, mut client, now) = connected();
    let (fresh, mut late) = (End::new(), End::new());
    late.connect(&told(&fresh, DtlsRole::Server), now).unwrap();

    client.handshake.close(now);
    talk(&mut server, &mut client, now);
    assert!(server.closed);
    let hello = late.handshake.poll_transmit().unwrap();
    server.hear(&hello, now);

    assert!(server.handshake.poll_transmit().is_none());
}

#[test]
fn the_same_fingerprint_again_is_no_error_and_another_is() {
    let now = Instant::now();
    let (mut server, client, other) = (End::new(), End::new(), End::new());
    let mut parameters = told(&client, DtlsRole::Client);
    server.connect(&parameters, now).unwrap();

    parameters.fingerprints[0].value = parameters.fingerprints[0].value.to_lowercase();
    assert_eq!(server.connect(&parameters, now), Ok(()));
    assert_eq!(
        server.connect(&told(&other, DtlsRole::Client), now),
        Err(RouterError::AlreadyConnected)
    );
}

#[test]
fn fingerprints_that_are_none_are_refused() {
    let now = Instant::now();
    let fingerprint = |algorithm: &str, value: String| DtlsFingerprint {
        algorithm: algorithm.to_owned(),
        value,
    };
    let whole = ["AB"; 32].join(":");
    for fingerprints in [
        vec![],
        vec![fingerprint("sha-1", ["AB"; 20].join(":"))],
        vec![fingerprint("sha-256", "AB".to_owned())],
        vec![fingerprint("sha-256", whole.replace("AB", "XY"))],
        vec![fingerprint("sha-256", whole.clone()); 17],
    ] {
        let parameters = DtlsParameters {
            role: DtlsRole::Client,
            fingerprints,
        };
        assert!(matches!(
            End::new().connect(&parameters, now),
            Err(RouterError::Malformed(_))
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_datagrams_never_panic(
        datagrams in prop::collection::vec((20u8..64, prop::collection::vec(any::<u8>(), 0..200)), 1..20)
    ) {
        let now = Instant::now();
        let (mut server, client) = (End::new(), End::new());
        server.connect(&told(&client, DtlsRole::Client), now).unwrap();
        for (first, rest) in datagrams {
            let mut datagram = vec![first];
            datagram.extend(rest);
            server.hear(&datagram, now);
        }
        prop_assert!(server.keys.is_none());
    }

    #[test]
    fn a_damaged_handshake_never_panics(damage in prop::collection::vec((any::<u16>(), any::<u8>()), 1..10)) {
        let now = Instant::now();
        let (mut server, mut client) = (End::new(), End::new());
        server.connect(&told(&client, DtlsRole::Client), now).unwrap();
        client.connect(&told(&server, DtlsRole::Server), now).unwrap();
        for (place, value) in damage {
            while let Some(mut datagram) = client.handshake.poll_transmit() {
                let place = usize::from(place) % datagram.len();
                datagram[place] = value;
                server.hear(&datagram, now);
            }
            while let Some(datagram) = server.handshake.poll_transmit() {
                client.hear(&datagram, now);
            }
        }
    }
}
