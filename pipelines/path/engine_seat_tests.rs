//! Engines are changed at a picture: none is missing, none comes twice.

use std::sync::Arc;

use bytes::Bytes;
use media::{CodecConfig, VideoConfig};

use super::*;
use crate::engine::{EngineMaker, EngineMethod};

/// Pictures that are under way in an engine that works elsewhere.
const UNDER_WAY: usize = 3;

/// An engine that is always three pictures behind, and makes keyframes as it is asked to.
#[derive(Debug)]
struct Behind {
    under_way: VecDeque<EnginePicture>,
    needs_keyframe: bool,
    has_ended: bool,
}

impl Engine for Behind {
    fn kind(&self) -> EngineKind {
        EngineKind::Gstreamer
    }

    fn handle_picture(&mut self, picture: SourcePicture, _now: Instant) {
        self.under_way.push_back(EnginePicture {
            timestamp: picture.timestamp,
            keyframe: std::mem::take(&mut self.needs_keyframe),
            config: config(2),
            data: picture.data,
            arrival: picture.arrival,
        });
    }

    fn handle_gap(&mut self) {}

    fn require_keyframe(&mut self) {
        self.needs_keyframe = true;
    }

    fn handle_end(&mut self) {
        self.has_ended = true;
    }

    fn poll_picture(&mut self) -> Option<EnginePicture> {
        (self.has_ended || self.under_way.len() > UNDER_WAY)
            .then(|| self.under_way.pop_front())
            .flatten()
    }

    fn poll_keyframe_request(&mut self) -> bool {
        false
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {
        // What it still has comes when it is woken.
    }

    fn state(&self) -> EngineState {
        EngineState::Running
    }
}

#[derive(Debug)]
struct Maker;

impl EngineMaker for Maker {
    fn takes(&self, _codec: VideoCodec) -> bool {
        true
    }

    fn make(&self, _order: &EngineOrder, _waker: &Waker) -> Box<dyn Engine> {
        Box::new(Behind {
            under_way: VecDeque::new(),
            needs_keyframe: true,
            has_ended: false,
        })
    }
}

/// Parameters that tell who made a picture: 1, the studio; 2, an engine.
fn config(maker: u8) -> Arc<CodecConfig> {
    Arc::new(CodecConfig::Avc(VideoConfig {
        decoder_configuration: Bytes::from(vec![maker]),
        width: 640,
        height: 360,
    }))
}

fn maker(picture: &EnginePicture) -> u8 {
    match &*picture.config {
        CodecConfig::Avc(config) => config.decoder_configuration[0],
        CodecConfig::Aac(_) => 0,
    }
}

const fn at(number: u64) -> Duration {
    Duration::from_millis(33 * number)
}

/// A studio of 30 pictures a second, and the seat that it feeds.
struct Studio {
    start: Instant,
    seat: EngineSeat,
    plan: watch::Sender<EnginePlan>,
    number: u64,
    out: Vec<EnginePicture>,
}

impl Studio {
    fn new() -> Self {
        let (plan, reader) = watch::channel(EnginePlan::default());
        let engines = Engines::default()
            .with_gstreamer(Arc::new(Maker))
            .with_ffmpeg(Arc::new(Maker));
        let mut seat = EngineSeat::new(engines, reader);
        seat.handle_source_started(Some(VideoCodec::H264));
        Self {
            start: Instant::now(),
            seat,
            plan,
            number: 0,
            out: Vec::new(),
        }
    }

    fn plan(&self, transcode: bool) {
        self.plan.send_replace(EnginePlan {
            transcode,
            ..EnginePlan::default()
        });
    }

    fn now(&self) -> Instant {
        self.start + at(self.number)
    }

    /// Sends pictures, with a keyframe whenever one is wished for.
    fn send(&mut self, count: u64) {
        for _ in 0..count {
            let keyframe = self.number == 0 || self.seat.poll_keyframe_request();
            let picture = SourcePicture {
                codec: VideoCodec::H264,
                timestamp: at(self.number),
                keyframe,
                config: Some(config(1)),
                size: (640, 360),
                data: Bytes::from(self.number.to_be_bytes().to_vec()),
                arrival: self.now(),
            };
            self.seat.handle_picture(picture, self.now());
            self.read();
            self.number += 1;
        }
    }

    fn read(&mut self) {
        while let Some(picture) = self.seat.poll_picture(self.now()) {
            self.out.push(picture);
        }
    }

    /// Where another engine begins, by the number of the picture.
    fn changes(&self) -> Vec<(u64, u8)> {
        let mut changes = Vec::new();
        for picture in &self.out {
            let number = u64::from_be_bytes(picture.data[..].try_into().unwrap());
            if changes
                .last()
                .is_none_or(|(_, latest)| *latest != maker(picture))
            {
                assert!(picture.keyframe, "{number}");
                changes.push((number, maker(picture)));
            }
        }
        changes
    }

    fn assert_complete(&self) {
        let numbers = self
            .out
            .iter()
            .map(|picture| u64::from_be_bytes(picture.data[..].try_into().unwrap()));
        assert!(
            numbers.clone().eq(0..numbers.len() as u64),
            "{:?}",
            numbers.collect::<Vec<_>>()
        );
    }
}

#[test]
fn an_engine_takes_over_at_a_keyframe_and_no_picture_is_missing_or_twice() {
    let mut studio = Studio::new();
    studio.send(10);
    studio.plan(true);

    studio.send(50);

    studio.assert_complete();
    let changes = studio.changes();
    assert_eq!(
        changes.iter().map(|(_, maker)| *maker).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(studio.seat.kind(), Some(EngineKind::Gstreamer));
}

#[test]
fn the_last_pictures_of_a_slow_engine_come_before_those_of_a_fast_one() {
    let mut studio = Studio::new();
    studio.plan(true);
    studio.send(40);
    studio.plan(false);

    studio.send(60);

    // It gives what it held back when it is told that nothing comes any more.
    studio.assert_complete();
    assert_eq!(studio.out.len(), 100);
    assert_eq!(studio.changes().last().map(|(_, maker)| *maker), Some(1));
    assert_eq!(studio.seat.kind(), Some(EngineKind::Passthrough));
}

#[test]
fn a_change_that_is_taken_back_leaves_everything_as_it_was() {
    let mut studio = Studio::new();
    studio.send(10);
    studio.plan(true);
    studio.send(2);
    studio.plan(false);

    studio.send(40);

    studio.assert_complete();
    assert_eq!(studio.changes(), [(0, 1)]);
}

#[test]
fn a_studio_with_the_same_codec_keeps_the_engine() {
    let mut studio = Studio::new();
    studio.plan(true);
    studio.send(1);
    studio.seat.handle_source_started(Some(VideoCodec::Vp8));
    let first = format!("{:?}", studio.seat.current);

    studio.seat.handle_source_started(Some(VideoCodec::Vp8));

    assert_eq!(format!("{:?}", studio.seat.current), first);
    assert_eq!(studio.seat.kind(), Some(EngineKind::Gstreamer));
    studio.plan.send_replace(EnginePlan {
        method: EngineMethod::Ffmpeg,
        ..EnginePlan::default()
    });
    studio.seat.handle_source_started(Some(VideoCodec::Vp8));
    assert_eq!(studio.seat.kind(), Some(EngineKind::Ffmpeg));
}
