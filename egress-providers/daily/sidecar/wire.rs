//! What the gateway and the sidecar say to each other: lines of JSON.

use pipelines::{decoder::Canvas, transcoder};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::hosted::{ProviderError, SidecarOrder, harmless};

/// What the show is called among the participants.
const NAME: &str = "Castgate";

/// Bits a second of the sound: what Daily's streams have at most is 320 000.
const AUDIO_BITS_PER_SECOND: u32 = 128_000;

/// The exit code of a sidecar in which something is broken.
pub(super) const CRASHED: i32 = 70;

/// Stands for the exit code of a sidecar that a signal ended.
pub(super) const KILLED: i32 = -1;

/// What the gateway says.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Order<'a> {
    /// First, and once.
    Join(&'a Join<'a>),
    /// With an open file: pictures and sound come from there.
    Media,
    /// Every second.
    Alive,
    /// The end of it.
    Leave,
}

/// Which call to join, and how. It holds a token, so that it is written to the sidecar and shown to nobody.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Join<'a> {
    room: &'a str,
    token: &'a str,
    proxy: Option<&'a str>,
    name: &'static str,
    width: u32,
    height: u32,
    frames_per_second: u32,
    video_bits_per_second: u32,
    audio_bits_per_second: u32,
}

pub(super) fn join<'a>(call: &'a SidecarOrder, canvas: Canvas, proxy: Option<&'a Url>) -> Join<'a> {
    let is_fast = canvas.frames_per_second() > 30;
    let usual = transcoder::Canvas::of_size((canvas.width(), canvas.height()), is_fast);
    Join {
        room: call.room.as_str(),
        token: call.token.expose(),
        proxy: proxy.map(Url::as_str),
        name: NAME,
        width: canvas.width(),
        height: canvas.height(),
        frames_per_second: canvas.frames_per_second(),
        video_bits_per_second: usual.kilobits_per_second * 1_000,
        audio_bits_per_second: AUDIO_BITS_PER_SECOND,
    }
}

/// What the sidecar says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "ev", rename_all = "lowercase")]
pub(super) enum Event {
    /// The SDK is loaded.
    Ready { sdk: String },
    /// It is in the call.
    Joined { participant: String },
    /// The call takes pictures.
    Flowing,
    /// What the SDK thinks of the network.
    Network { status: String },
    /// Every second: pictures and blocks of sound that the SDK took, and blocks that it was late for.
    Alive {
        pictures: u64,
        blocks: u64,
        dropped: u64,
    },
    /// It ends.
    Failed { code: i32, message: String },
}

/// What the sidecar's exit code means.
pub(super) fn error(code: i32, message: Option<&str>) -> ProviderError {
    let words = |otherwise: &str| message.map_or_else(|| otherwise.to_owned(), harmless);
    match code {
        10 => ProviderError::Auth,
        11 => ProviderError::NotFound("room"),
        12 => ProviderError::Unavailable {
            message: words("the call cannot be reached"),
            retry_after: None,
        },
        13 => ProviderError::Invalid(words("the settings of the call are not taken")),
        14 => ProviderError::Sidecar {
            code,
            message: words("it was told nothing for a while"),
        },
        15 => ProviderError::Sidecar {
            code,
            message: words("daily-python is not installed: run scripts/enable-daily"),
        },
        KILLED => ProviderError::Sidecar {
            code,
            message: words("it was killed, or crashed"),
        },
        _ => ProviderError::Sidecar {
            code,
            message: words("it ended without a word"),
        },
    }
}

#[cfg(test)]
mod tests {
    use broadcast::{Retry, StreamKey};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_order_to_join_says_where_how_and_who() {
        let call = SidecarOrder {
            room: Url::parse("https://castgate.daily.co/show").unwrap(),
            token: StreamKey::new("secret"),
        };
        let proxy = Url::parse("https://proxy.example/").unwrap();

        let join = join(&call, Canvas::USUAL, Some(&proxy));

        let written = serde_json::to_value(Order::Join(&join)).unwrap();
        let expected = serde_json::json!({
            "op": "join", "room": "https://castgate.daily.co/show", "token": "secret",
            "proxy": "https://proxy.example/", "name": "Castgate", "width": 1280, "height": 720,
            "framesPerSecond": 30, "videoBitsPerSecond": join.video_bits_per_second,
            "audioBitsPerSecond": 128_000,
        });
        assert_eq!(written, expected);
        assert!((2_000_000..8_000_000).contains(&join.video_bits_per_second));
        let others = [Order::Media, Order::Alive, Order::Leave]
            .map(|order| serde_json::to_string(&order).unwrap());
        assert_eq!(
            others,
            [
                r#"{"op":"media"}"#,
                r#"{"op":"alive"}"#,
                r#"{"op":"leave"}"#
            ]
        );
    }

    #[test]
    fn a_refused_token_is_not_tried_again_and_a_crash_is() {
        assert_eq!(error(10, None).retry(), Retry::Never);
        assert_eq!(error(13, None).retry(), Retry::Never);
        for code in [11, 12, 14, 15, 70, -1] {
            assert_eq!(error(code, None).retry(), Retry::Backoff, "{code}");
        }
        assert_eq!(
            error(15, None).to_string(),
            "its sidecar ended with code 15: daily-python is not installed: run scripts/enable-daily"
        );
    }

    proptest! {
        #[test]
        fn any_line_is_an_event_or_none(line: String) {
            let _ = serde_json::from_str::<Event>(&line);
        }
    }
}
