//! A programme to publish, read from a recording, and what tests do with it.

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use broadcast::{Endpoint, Failure};
use bytes::{Buf, Bytes};
use media::{AccessUnit, AudioConfig, CodecConfig, Fanout, TrackKind, VideoConfig};
use tokio::sync::oneshot;

use crate::rtmp::{Counters, Limits, MediaHints, Place, Programme, Target, Trust, publish};

/// 2.5 s of 320×180 at 30 pictures a second, a keyframe each second, with AAC at 48 kHz.
const RECORDING: &[u8] = include_bytes!("picture_and_sound.flv");

/// Where it is.
pub(super) const RECORDING_FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/rtmp/tests/picture_and_sound.flv"
);

/// Pictures in the recording.
pub(super) const PICTURES: u64 = 75;

/// Keys of platforms look like this.
pub(super) const KEY: &str = "FB-1-0-Ab?s_bl=1&s_oil=2/x&a=%20b";

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_mins(1);

/// The access units of the recording in its order.
pub(super) fn recording() -> Vec<AccessUnit> {
    let mut rest = &RECORDING[13..];
    let mut configs: [Option<Arc<CodecConfig>>; 2] = [None, None];
    let mut units = Vec::new();
    while rest.has_remaining() {
        let kind = rest.get_u8();
        let length = usize::try_from(rest.get_uint(3)).unwrap();
        let low = rest.get_uint(3);
        let time = u64::from(rest.get_u8()) << 24 | low;
        rest.advance(3);
        let body = Bytes::copy_from_slice(&rest[..length]);
        rest.advance(length + 4);
        let (place, prefix, keyframe) = match kind {
            9 => (0, 5, body[0] >> 4 == 1),
            8 => (1, 2, true),
            _ => continue,
        };
        match body[1] {
            0 => configs[place] = Some(Arc::new(config(kind, body.slice(prefix..)))),
            1 => units.push(AccessUnit {
                timestamp: Duration::from_millis(time),
                keyframe,
                config: Arc::clone(configs[place].as_ref().unwrap()),
                data: body.slice(prefix..),
            }),
            _ => {}
        }
    }
    units
}

fn config(kind: u8, data: Bytes) -> CodecConfig {
    if kind == 9 {
        CodecConfig::Avc(VideoConfig {
            decoder_configuration: data,
            width: 320,
            height: 180,
        })
    } else {
        let audio_specific_config = data;
        CodecConfig::Aac(AudioConfig {
            audio_specific_config,
            sample_rate_hz: 48_000,
            channels: 2,
        })
    }
}

/// A destination under test.
pub(super) fn target(url: &str, key: &str, address: SocketAddr) -> Target {
    Target {
        endpoint: Endpoint::parse(url, Some(key)).unwrap(),
        addresses: vec![address],
        trust: Trust::system(),
        limits: Limits {
            handshake: Duration::from_secs(2),
            ..Limits::default()
        },
    }
}

/// The same, at the address of a receiver, which the URL's port is.
pub(super) fn plain_target(address: SocketAddr) -> Target {
    target(&format!("rtmp://{address}/live"), KEY, address)
}

/// What came of publishing.
pub(super) struct Published {
    pub(super) result: Result<(), Failure>,
    pub(super) counters: Arc<Counters>,
    pub(super) was_live: bool,
    pub(super) place: Arc<Place>,
}

/// Publishes `units` ten times as fast as they were recorded, until `done` or a failure.
pub(super) async fn publish_units(
    target: &Target,
    units: Vec<AccessUnit>,
    done: impl Fn() -> bool + Send,
) -> Published {
    let mut fanout = Fanout::new(Duration::from_secs(4));
    let counters = Arc::new(Counters::default());
    let hints = MediaHints {
        frames_per_second: Some(30.0),
        ..MediaHints::default()
    };
    let programme = Programme::new(fanout.subscriber(), hints, Arc::clone(&counters));
    let (live, is_live) = oneshot::channel();
    let mut was_live = false;
    let play = async {
        if is_live.await.is_ok() {
            was_live = true;
            let mut tick = tokio::time::interval(Duration::from_millis(3));
            for unit in units {
                let is_picture = unit.kind() == TrackKind::Video;
                fanout.push(unit);
                if is_picture {
                    tick.tick().await;
                }
            }
            until(done).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let on_live = || live.send(()).unwrap();
    let result = tokio::time::timeout(2 * PATIENCE, publish(target, &programme, on_live, play));
    let result = result.await.expect("an end in time");
    Published {
        result,
        counters,
        was_live,
        place: programme.place,
    }
}

/// Waits for a condition, and panics when it does not come true.
pub(super) async fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(
            began.elapsed() < PATIENCE,
            "the condition did not come true"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a future that must end in time.
pub(super) async fn within_patience<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("an end in time")
}
