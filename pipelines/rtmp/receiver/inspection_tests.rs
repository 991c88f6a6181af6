use broadcast::StreamKey;
use proptest::prelude::*;

use super::*;
use crate::rtmp::receiver::StreamId;

/// 320×180 by x264.
const DECODER_CONFIGURATION: [u8; 38] = [
    0x01, 0x42, 0xC0, 0x0D, 0xFF, 0xE1, 0x00, 0x17, 0x67, 0x42, 0xC0, 0x0D, 0xDA, 0x05, 0x06, 0x7E,
    0x7C, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0F, 0x03, 0xC5, 0x0A, 0xA8, 0x01,
    0x00, 0x04, 0x68, 0xCE, 0x3C, 0x80,
];
const IDR: [u8; 6] = [0, 0, 0, 2, 0x65, 0x88];
const INTER: [u8; 6] = [0, 0, 0, 2, 0x41, 0x9A];

struct Stream {
    inspection: Inspection,
    report: StreamReport,
    now: Instant,
}

impl Stream {
    fn new() -> Self {
        let report = StreamReport::new(StreamId(1), "live".to_owned(), StreamKey::new("key"));
        Self {
            inspection: Inspection::default(),
            report,
            now: Instant::now(),
        }
    }

    /// A stream that has announced picture and sound.
    fn announced() -> Self {
        let mut stream = Self::new();
        stream.video(0, [0x17, 0, 0, 0, 0], &DECODER_CONFIGURATION);
        stream.audio(0, [AAC, 0], &[0x11, 0x90]);
        stream
    }

    fn video(&mut self, time: u32, prefix: [u8; 5], data: &[u8]) {
        self.send(TrackKind::Video, time, &[&prefix, data].concat());
    }

    fn audio(&mut self, time: u32, prefix: [u8; 2], data: &[u8]) {
        self.send(TrackKind::Audio, time, &[&prefix, data].concat());
    }

    fn send(&mut self, kind: TrackKind, time: u32, body: &[u8]) -> bool {
        let body = Bytes::copy_from_slice(body);
        let report = &mut self.report;
        self.inspection
            .handle_media(kind, time, &body, self.now, report)
            .is_some()
    }

    fn violations(&self) -> Vec<&str> {
        self.report.violations.iter().map(String::as_str).collect()
    }
}

#[test]
fn a_good_stream_has_no_violations_and_true_figures() {
    let mut stream = Stream::announced();

    stream.audio(100, [AAC, 1], &[1, 2]);
    stream.video(120, [0x17, 1, 0, 0, 0], &IDR);
    stream.video(160, [0x27, 1, 0, 0, 0], &INTER);
    stream.audio(150, [AAC, 1], &[1, 2]);
    stream.video(2_120, [0x17, 1, 0, 0, 0], &IDR);

    assert_eq!(stream.violations(), Vec::<&str>::new());
    let report = &stream.report;
    assert_eq!((report.video.width, report.video.height), (320, 180));
    assert_eq!(
        (report.video.cadence.frames, report.video.keyframes),
        (3, 2)
    );
    assert_eq!(
        report.video.cadence.longest_gap,
        Duration::from_millis(1_960)
    );
    assert_eq!(
        report.video.longest_keyframe_interval,
        Some(Duration::from_secs(2))
    );
    assert_eq!(report.audio.cadence.longest_gap, Duration::from_millis(50));
    assert_eq!(report.audio_video_offset_ms, Some(-1_970));
}

#[test]
fn each_broken_rule_is_named() {
    let broken = |break_it: fn(&mut Stream)| {
        let mut stream = Stream::announced();
        break_it(&mut stream);
        stream.report.violations.concat()
    };
    let keyframe = [0x17, 1, 0, 0, 0];

    assert!(broken(|s| s.video(5, [0x27, 1, 0, 0, 0], &INTER)).contains("not a keyframe at 5 ms"));
    assert!(broken(|s| s.video(5, [0x17, 1, 0, 0, 0], &INTER)).contains("disagree"));
    assert!(broken(|s| s.video(5, [0x17, 1, 0, 0, 40], &IDR)).contains("composition offset"));
    assert!(broken(|s| s.video(5, [0x17, 1, 0, 0, 0], &IDR[..5])).contains("longer than its"));
    assert!(broken(|s| s.video(5, [0x17, 1, 0, 0, 0], &[0, 0, 0])).contains("cut off"));
    assert!(broken(|s| s.video(5, [0x17, 1, 0, 0, 0], &[])).contains("no slice"));
    assert!(broken(|s| s.video(5, [0x12, 1, 0, 0, 0], &IDR)).contains("not AVC"));
    assert!(broken(|s| s.audio(5, [AAC, 1], &[])).contains("empty"));
    assert!(broken(|s| s.audio(5, [AAC, 1], &[0xFF, 0xF1, 0])).contains("ADTS"));
    assert!(broken(|s| s.audio(5, [0x2F, 1], &[1])).contains("not AAC"));
    assert!(broken(|s| s.audio(5, [AAC, 0], &[0x2B, 0x90])).contains("not AAC-LC"));
    let mut stream = Stream::new();
    stream.video(0, keyframe, &IDR);
    stream.audio(0, [AAC, 1], &[1]);
    assert_eq!(stream.report.violations_count, 2);
    assert!(
        stream
            .violations()
            .iter()
            .all(|words| words.contains("before its sequence header"))
    );
}

#[test]
fn a_track_that_goes_back_is_a_violation_and_a_wrap_is_not() {
    let mut stream = Stream::announced();
    stream.inspection.clock = None;

    stream.video(u32::MAX - 10, [0x17, 1, 0, 0, 0], &IDR);
    stream.video(22, [0x27, 1, 0, 0, 0], &INTER);
    assert_eq!(stream.report.violations_count, 0);
    stream.video(21, [0x27, 1, 0, 0, 0], &INTER);

    assert_eq!(stream.report.violations_count, 1);
    assert_eq!(
        stream.report.video.cadence.longest_gap,
        Duration::from_millis(33)
    );
}

proptest! {
    #[test]
    fn no_media_make_the_inspection_panic(
        messages in prop::collection::vec(
            (any::<bool>(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..60)),
            0..30,
        ),
        bodies_begin_well in any::<bool>(),
    ) {
        let mut stream = Stream::announced();
        for (is_video, time, mut body) in messages {
            let kind = if is_video { TrackKind::Video } else { TrackKind::Audio };
            if bodies_begin_well && body.len() > 2 {
                body[0] = if is_video { 0x17 } else { AAC };
                body[1] &= 1;
            }
            stream.send(kind, time, &body);
        }
    }
}
