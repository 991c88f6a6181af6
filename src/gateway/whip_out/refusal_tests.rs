//! Tests of WHIP out against servers that refuse, and against none.

use std::{
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use egress_providers::{
    Show,
    hosted::{Contribute, ProviderError},
};
use media::{AccessUnit, CodecConfig, Fanout, VideoConfig};
use pipelines::path::OpusSubscriber;
use tokio::{net::TcpListener, time::timeout};

use super::{
    WhipOut,
    tests::{DEADLINE, Server, TOKEN, order},
};

/// A show of one picture, which nobody keeps up.
fn still_life() -> (Fanout, Show) {
    let mut fanout = Fanout::new(Duration::from_secs(4));
    let config = CodecConfig::Avc(VideoConfig {
        decoder_configuration: Bytes::new(),
        width: 2,
        height: 2,
    });
    fanout.push(AccessUnit {
        timestamp: Duration::ZERO,
        keyframe: true,
        config: Arc::new(config),
        data: Bytes::from_static(&[0, 0, 0, 1, 0x65]),
    });
    let show = Show {
        media: fanout.subscriber(),
        opus: OpusSubscriber::default(),
        keyframe_wanted: Arc::default(),
        permit: pipelines::Permit::unlimited(),
    };
    (fanout, show)
}

#[tokio::test]
async fn a_refusal_is_one_error_that_says_what_to_do_and_no_secret() {
    let (_server, base) = Server::start().await;
    let (_fanout, show) = still_life();
    let wait = Some(Duration::from_secs(7));
    for (status, expected) in [
        (401, "ProviderAuth"),
        (403, "ProviderForbidden"),
        (404, "ProviderNotFound"),
        (406, "ProviderInvalid"),
        (409, "ProviderConflict"),
        (429, "ProviderRateLimited"),
        (503, "ProviderUnavailable"),
    ] {
        let order = order(format!("{base}/refuse/{status}"), &show);

        let error = timeout(DEADLINE, WhipOut.carry(order)).await.unwrap();

        let error = error.unwrap_err();
        assert_eq!(format!("{:?}", error.reason()), expected);
        assert_eq!(
            error.retry_after(),
            wait.filter(|_| matches!(status, 429 | 503))
        );
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
    }
}

#[tokio::test]
async fn a_provider_that_takes_no_picture_is_told_apart_and_let_go() {
    let (server, base) = Server::start().await;
    let (_fanout, show) = still_life();

    let refused = WhipOut.carry(order(format!("{base}/deaf"), &show)).await;

    let Err(ProviderError::Invalid(words)) = refused else {
        panic!("{refused:?}");
    };
    assert!(words.contains("Video"), "{words}");
    assert_eq!(server.ended.load(Relaxed), 1);
}

#[tokio::test]
async fn nobody_there_is_a_loss_that_is_tried_again() {
    let (_fanout, show) = still_life();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);

    let lost = WhipOut
        .carry(order(format!("http://{address}/w/{TOKEN}"), &show))
        .await;

    let lost = lost.unwrap_err();
    assert!(matches!(lost, ProviderError::Contribution(_)), "{lost:?}");
    assert_eq!(lost.retry(), broadcast::Retry::Backoff);
    assert!(!format!("{lost} {lost:?}").contains(TOKEN), "{lost:?}");
}
