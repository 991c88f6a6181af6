//! Which codecs are taken of real offers.

use media::VideoCodec;
use proptest::prelude::*;

use super::{
    codecs::ChosenVideo,
    offer::{Offer, Side, tests::CHROME_OFFER},
};
use crate::OfferError;

fn without(codecs: &[&str]) -> String {
    let kept: Vec<&str> = CHROME_OFFER
        .lines()
        .filter(|line| !codecs.iter().any(|codec| line.contains(codec)))
        .collect();
    kept.join("\r\n") + "\r\n"
}

fn viewing() -> String {
    CHROME_OFFER.replace("a=sendonly", "a=recvonly")
}

fn chosen(text: &str, side: Side, accepts: &[VideoCodec]) -> Vec<ChosenVideo> {
    Offer::parse(text, side, accepts).unwrap().video
}

#[test]
fn constrained_baseline_with_its_retransmission_is_chosen_from_chrome() {
    let offer = Offer::parse(CHROME_OFFER, Side::Studio, &VideoCodec::ALL).unwrap();

    let [video] = &offer.video[..] else {
        panic!("{:?}", offer.video);
    };
    assert_eq!(video.codec, VideoCodec::H264);
    assert_eq!(
        (video.line.payload_type, video.line.retransmission),
        (108, Some(109))
    );
    assert_eq!(
        video.line.parameters,
        "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e02a;x-google-start-bitrate=2500"
    );
    assert_eq!(
        video.line.feedback,
        ["goog-remb", "nack", "nack pli", "ccm fir", "transport-cc"]
    );
    assert_eq!(offer.audio.unwrap().payload_type, 111);
}

#[test]
fn each_codec_of_chrome_is_chosen_with_its_retransmission_and_parameters() {
    let cases = [
        (VideoCodec::Vp8, 96, 97, "x-google-start-bitrate=2500"),
        (
            VideoCodec::Vp9,
            98,
            99,
            "profile-id=0;x-google-start-bitrate=2500",
        ),
        (
            VideoCodec::Av1,
            45,
            46,
            "level-idx=5;profile=0;tier=0;x-google-start-bitrate=2500",
        ),
    ];
    for (codec, payload_type, repair, parameters) in cases {
        let video = chosen(CHROME_OFFER, Side::Studio, &[codec]);

        assert_eq!(video.len(), 1);
        assert_eq!(video[0].codec, codec);
        let line = &video[0].line;
        assert_eq!(
            (line.payload_type, line.retransmission),
            (payload_type, Some(repair))
        );
        assert_eq!(line.parameters, parameters);
        assert_eq!(line.feedback.len(), 5);
    }
}

#[test]
fn the_first_accepted_codec_that_is_offered_wins() {
    let preferred = [VideoCodec::Av1, VideoCodec::Vp8];

    let video = chosen(&without(&["AV1/90000"]), Side::Studio, &preferred);

    assert_eq!(video[0].codec, VideoCodec::Vp8);
    let video = chosen(&without(&["H264"]), Side::Studio, &VideoCodec::ALL);
    assert_eq!(video[0].codec, VideoCodec::Vp8);
}

#[test]
fn vp9_of_another_profile_is_not_taken() {
    let only_profile_2 = without(&["a=rtpmap:98 "]);

    let refused = Offer::parse(&only_profile_2, Side::Studio, &[VideoCodec::Vp9]);

    assert!(matches!(refused, Err(OfferError::UnsupportedCodec(_))));
}

#[test]
fn av1_of_another_level_is_answered_with_that_level() {
    let offer = CHROME_OFFER.replace(
        "a=fmtp:45 level-idx=5;profile=0;tier=0",
        "a=fmtp:45 level-idx=13;profile=0;tier=1",
    );
    let video = chosen(&offer, Side::Studio, &[VideoCodec::Av1]);
    assert!(
        video[0]
            .line
            .parameters
            .starts_with("level-idx=13;profile=0;tier=1")
    );

    let nonsense = CHROME_OFFER.replace("level-idx=5;profile=0;tier=0", "level-idx=99\";tier=x");
    let video = chosen(&nonsense, Side::Studio, &[VideoCodec::Av1]);
    assert!(
        video[0]
            .line
            .parameters
            .starts_with("level-idx=5;profile=0;tier=0")
    );
}

#[test]
fn an_offer_without_any_known_codec_is_told_what_is_supported() {
    let unknown = without(&["H264", "VP8", "VP9", "AV1"]);

    let Err(OfferError::UnsupportedCodec(what)) =
        Offer::parse(&unknown, Side::Studio, &VideoCodec::ALL)
    else {
        panic!("it was taken");
    };

    for name in [
        "H264/90000",
        "VP8/90000",
        "VP9/90000",
        "AV1/90000",
        "offered: rtx/90000",
    ] {
        assert!(what.contains(name), "{what}");
    }
}

#[test]
fn a_viewer_is_answered_with_every_codec_it_knows_and_no_bandwidth_estimation() {
    let offer = Offer::parse(&viewing(), Side::Viewer, &VideoCodec::ALL).unwrap();

    let codecs: Vec<VideoCodec> = offer.video.iter().map(|video| video.codec).collect();
    assert_eq!(codecs, VideoCodec::ALL);
    for video in &offer.video {
        assert_eq!(video.line.feedback, ["nack", "nack pli", "ccm fir"]);
        assert!(video.line.retransmission.is_some());
        assert!(!video.line.parameters.contains("x-google"));
    }
    assert!(offer.audio.unwrap().feedback.is_empty());
}

#[test]
fn a_viewer_must_receive_and_a_studio_must_send() {
    let viewer = Offer::parse(CHROME_OFFER, Side::Viewer, &VideoCodec::ALL);
    let studio = Offer::parse(&viewing(), Side::Studio, &VideoCodec::ALL);

    assert!(viewer.err().unwrap().to_string().contains("recvonly"));
    assert!(studio.err().unwrap().to_string().contains("sendonly"));
}

#[test]
fn what_mediasoup_describes_is_taken_as_vp8() {
    let sending = include_str!("../fixtures/mediasoup-vp8-sending.sdp");
    let receiving = include_str!("../fixtures/mediasoup-vp8-receiving.sdp");

    let studio = chosen(sending, Side::Studio, &VideoCodec::ALL);
    let viewer = chosen(receiving, Side::Viewer, &VideoCodec::ALL);

    for (video, payload_types) in [(studio, (96, Some(97))), (viewer, (101, Some(102)))] {
        assert_eq!(video.len(), 1);
        assert_eq!(video[0].codec, VideoCodec::Vp8);
        let line = &video[0].line;
        assert_eq!((line.payload_type, line.retransmission), payload_types);
    }
}

proptest! {
    #[test]
    fn hostile_format_parameters_never_panic_and_never_reach_the_answer(parameters in "[ -~]{0,60}") {
        let offer = CHROME_OFFER.replace("level-idx=5;profile=0;tier=0", &parameters);
        if let Ok(offer) = Offer::parse(&offer, Side::Studio, &[VideoCodec::Av1, VideoCodec::Vp8]) {
            let line = &offer.video[0].line;
            let known = line.parameters.split(';').all(|pair| {
                let (name, value) = pair.split_once('=').unwrap();
                ["level-idx", "profile", "tier", "x-google-start-bitrate"].contains(&name)
                    && value.parse::<u32>().is_ok()
            });
            prop_assert!(known, "{}", line.parameters);
        }
    }
}
