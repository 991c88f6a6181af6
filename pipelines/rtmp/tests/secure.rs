use std::{net::SocketAddr, time::Duration};

use broadcast::Reason;
use rcgen::CertifiedKey;

use super::programme::{KEY, PICTURES, publish_units, recording, target, until, within_patience};
use crate::rtmp::{
    Target, Trust,
    receiver::{Behaviour, Behaviours, Ending, Receiver, ReceiverOptions, TlsIdentity},
};

/// A receiver with a certificate for `localhost`, and that certificate.
async fn receiver(behaviour: Behaviour) -> (Receiver, Vec<u8>) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = cert.der().to_vec();
    let options = ReceiverOptions {
        behaviours: Behaviours {
            default: behaviour,
            ..Behaviours::default()
        },
        tls: Some(TlsIdentity {
            certificates: vec![certificate.clone()],
            private_key: signing_key.serialize_der(),
        }),
        ..ReceiverOptions::default()
    };
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    (
        Receiver::bind_with(address, options).await.unwrap(),
        certificate,
    )
}

fn secure_target(receiver: &Receiver, host: &str, trust: Trust) -> Target {
    let address = receiver.local_address();
    let url = format!("rtmps://{host}:{}/live", address.port());
    Target {
        trust,
        ..target(&url, KEY, address)
    }
}

#[tokio::test]
async fn everything_arrives_over_tls() {
    let (receiver, certificate) = receiver(Behaviour::Accept).await;
    let target = secure_target(&receiver, "localhost", Trust::with_roots([certificate]));
    let frames = || {
        receiver
            .streams()
            .first()
            .map_or(0, |report| report.video.cadence.frames)
    };

    let published = publish_units(&target, recording(), || frames() == PICTURES).await;
    within_patience(until(|| receiver.streams()[0].ending.is_some())).await;

    assert_eq!(published.result, Ok(()));
    let report = &receiver.streams()[0];
    assert_eq!(report.violations, Vec::<String>::new());
    assert_eq!(
        (report.ending, report.stream_key.expose()),
        (Some(Ending::Deleted), KEY)
    );
}

#[tokio::test]
async fn how_far_a_server_came_is_known_over_tls_too() {
    let (receiver, certificate) = receiver(Behaviour::CloseAfter(60_000)).await;
    let target = secure_target(&receiver, "localhost", Trust::with_roots([certificate]));

    let published = publish_units(&target, recording(), || false).await;
    within_patience(until(|| receiver.streams()[0].ending.is_some())).await;

    assert_eq!(published.result.unwrap_err().reason, Reason::ClosedByPeer);
    let sent = published.counters.frames_sent();
    let sent = Duration::from_secs(1) * u32::try_from(sent).unwrap() / 30;
    let reached = published.place.acknowledged().unwrap();
    assert!(
        reached > Duration::ZERO && reached <= sent,
        "{reached:?} {sent:?}"
    );
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (receiver, _) = receiver(Behaviour::Accept).await;
    let target = secure_target(&receiver, "localhost", Trust::system());

    let published = publish_units(&target, Vec::new(), || true).await;

    assert_eq!(published.result.unwrap_err().reason, Reason::TlsFailed);
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let (receiver, certificate) = receiver(Behaviour::Accept).await;
    let trust = Trust::with_roots([certificate]);
    let target = secure_target(&receiver, "other.example", trust);

    let published = publish_units(&target, Vec::new(), || true).await;

    assert_eq!(published.result.unwrap_err().reason, Reason::TlsFailed);
}

#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let receiver = Receiver::bind(address).await.unwrap();
    let mut target = secure_target(&receiver, "localhost", Trust::system());
    target.limits.handshake = Duration::from_millis(500);

    let published = publish_units(&target, Vec::new(), || true).await;

    assert_eq!(published.result.unwrap_err().reason, Reason::TlsFailed);
}
