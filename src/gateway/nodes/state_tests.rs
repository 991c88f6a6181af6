use broadcast::{
    AfterCut, BackupMode, BroadcastId, DestinationId, Endpoint, Platform, Provider, Rendition,
    SlateSpec,
};
use proptest::prelude::*;

use super::*;

fn destination(id: &str) -> DestinationSpec {
    DestinationSpec {
        id: DestinationId::new(id).unwrap(),
        platform: Platform::new("custom").unwrap(),
        endpoint: Endpoint::parse("rtmp://host:1936/live", Some("a?key=/1")).unwrap(),
        backup: Some(Endpoint::parse("rtmps://[::1]/live//two", None).unwrap()),
        backup_mode: BackupMode::Simultaneous,
        required: true,
        enabled: false,
        paused: true,
        after_cut: AfterCut::CatchUp,
        rendition: Some(Rendition::new(640, 360, 24, 600).unwrap()),
        provider: Some(Provider::Mux),
    }
}

fn kept() -> KeptBroadcast {
    let id = BroadcastId::new("show").unwrap();
    let slate = SlateSpec::new(
        Some(false),
        Some("Ünder \"way\"".to_owned()),
        Some(0),
        Some(720),
    );
    let asked = BroadcastSpec::new(id, Method::Ffmpeg, false, vec![destination("asked")]);
    let milliseconds = |time| Timestamp::from_millisecond(time).unwrap();
    KeptBroadcast {
        asked: asked
            .unwrap()
            .with_production(true)
            .with_slate(slate.unwrap()),
        method: Method::Hybrid,
        video: VideoSpec {
            transcode: true,
            canvas: Some("720p-medium".parse().unwrap()),
        },
        destinations: vec![destination("one"), destination("two")],
        started: true,
        created_at: milliseconds(1_700_000_000_123),
        show: Some(KeptShow {
            zero: milliseconds(1_700_000_001_000),
            first_live: Some(milliseconds(1_700_000_001_234)),
            picture: Some(KeptPicture {
                width: 1_280,
                height: 720,
                frames_per_second: Some(30),
            }),
        }),
        resume_tokens: vec![StreamKey::new("token")],
    }
}

#[test]
fn everything_that_is_written_down_is_read_back() {
    let plain = KeptBroadcast {
        show: None,
        resume_tokens: Vec::new(),
        destinations: Vec::new(),
        ..kept()
    };

    for kept in [kept(), plain] {
        assert_eq!(KeptBroadcast::from_bytes(&kept.to_bytes()), Ok(kept));
    }
}

#[test]
fn what_makes_no_sense_is_refused_without_quoting_it() {
    let text = String::from_utf8(kept().to_bytes().to_vec()).unwrap();
    let wrong = text.replace("\"started\":true", "\"started\":\"a?key=/1\"");

    let error = KeptBroadcast::from_bytes(wrong.as_bytes()).unwrap_err();

    assert!(!error.to_string().contains("a?key"), "{error}");
}

#[test]
fn nothing_of_a_key_is_shown() {
    let shown = format!("{:?}", kept());

    assert!(
        !shown.contains("a?key") && !shown.contains("token\""),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn nothing_that_is_read_is_trusted(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = KeptBroadcast::from_bytes(&bytes);
    }

    #[test]
    fn what_was_cut_off_is_refused(place in any::<prop::sample::Index>()) {
        let bytes = kept().to_bytes();

        prop_assert!(KeptBroadcast::from_bytes(&bytes[..place.index(bytes.len())]).is_err());
    }
}
