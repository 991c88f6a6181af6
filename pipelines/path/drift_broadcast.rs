//! A broadcast whose output is looked at as it comes, for hours: marks in pictures, and beeps.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "test media is small"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{MediaSink, SourceDescription, TrackKind, VideoCodec};

use super::drift_studio::{BEEP_SECONDS, MARK, Options, Studio};
use crate::{
    audio::{AacEncoder, EncoderError},
    path::{slate_tests::slate, sound::Sound, tests::Worker},
};

/// Tells where in a frame something is heard, in place of coding it.
struct Ear;

impl AacEncoder for Ear {
    fn encode(&mut self, samples: &[i16]) -> Result<Bytes, EncoderError> {
        // The tone has a peak every 24 samples.
        let mut peaks = samples.iter().step_by(12);
        let loud = peaks.position(|sample| sample.unsigned_abs() > 4_000);
        let at = loud.map_or(u16::MAX, |at| at as u16 * 6);
        Ok(Bytes::copy_from_slice(&at.to_be_bytes()))
    }

    fn audio_specific_config(&mut self) -> Result<Bytes, EncoderError> {
        Ok(Bytes::from_static(&[0x11, 0x90]))
    }

    fn delay(&self) -> usize {
        0
    }
}

/// A broadcast whose output is looked at as it comes.
pub(super) struct Broadcast {
    pub(super) worker: Worker,
    pub(super) time: Duration,
    /// When pictures were captured, and where they are on the timeline, in seconds. Those are left out that were held
    /// back by what stood in for them, and follow at once.
    pub(super) pictures: Vec<(f64, f64)>,
    /// How many there were in all.
    pub(super) count: usize,
    /// Where beeps are on the timeline.
    pub(super) beeps: Vec<f64>,
    latest: [Option<Duration>; 2],
    latest_captured: f64,
    latest_loud: f64,
    /// Between two units of the same kind.
    pub(super) longest_pause: [Duration; 2],
    _slate: tokio::sync::watch::Sender<Option<std::sync::Arc<media::StandIn>>>,
}

impl Broadcast {
    pub(super) fn new() -> Self {
        let (sender, receiver) = tokio::sync::watch::channel(Some(slate(false)));
        let mut worker = Worker::with_slate(Instant::now(), receiver);
        worker.engine.sound = Some(Sound::new(Box::new(Ear)));
        Self {
            worker,
            time: Duration::ZERO,
            pictures: Vec::new(),
            count: 0,
            beeps: Vec::new(),
            latest: [None; 2],
            latest_captured: -1.0,
            latest_loud: -10.0,
            longest_pause: [Duration::ZERO; 2],
            _slate: sender,
        }
    }

    pub(super) fn begin(&mut self, options: Options) -> Studio {
        let description = SourceDescription {
            video: options.picture.map(|_| VideoCodec::H264),
            audio: options.sound.is_some(),
        };
        let now = self.worker.start + self.time;
        self.worker.engine.handle_source_started(description, now);
        Studio::new(options, self.time)
    }

    /// Lets a studio send for so long.
    pub(super) fn play(&mut self, studio: &mut Studio, length: Duration) {
        let end = self.time + length;
        while self.time < end {
            self.time = end.min(self.time + Duration::from_secs(20));
            let script = studio.advance(self.time);
            self.worker.play(&script, Duration::ZERO);
            self.settle();
        }
    }

    pub(super) fn end_source(&mut self) {
        let now = self.worker.start + self.time;
        self.worker.engine.handle_source_ended(now);
    }

    /// Lets time pass without a studio.
    pub(super) fn wait(&mut self, length: Duration) {
        self.time += length;
        self.settle();
    }

    fn settle(&mut self) {
        self.worker.wait(self.time);
        self.worker.wakes = 0;
        for unit in std::mem::take(&mut self.worker.units) {
            let index = usize::from(unit.kind() == TrackKind::Audio);
            let at = unit.timestamp.as_secs_f64();
            let latest = self.latest[index].replace(unit.timestamp);
            assert!(latest < Some(unit.timestamp), "{latest:?} {unit:?}");
            let pause = unit
                .timestamp
                .saturating_sub(latest.unwrap_or(unit.timestamp));
            self.longest_pause[index] = self.longest_pause[index].max(pause);
            let is_held = latest.is_some() && pause < Duration::from_millis(5);
            match unit.kind() {
                TrackKind::Video => {
                    let (front, micros) = unit.data.split_at(unit.data.len() - 8);
                    if front.ends_with(MARK) {
                        let captured = u64::from_be_bytes(micros.try_into().unwrap()) as f64 / 1e6;
                        self.count += 1;
                        assert!(captured > self.latest_captured, "{captured}");
                        self.latest_captured = captured;
                        if !is_held {
                            self.pictures.push((captured, at));
                        }
                    }
                }
                TrackKind::Audio => {
                    let place = u16::from_be_bytes([unit.data[0], unit.data[1]]);
                    if place < u16::MAX {
                        let at = at + f64::from(place) / 48_000.0;
                        if at > self.latest_loud + 1.0 {
                            self.beeps.push(at);
                        }
                        self.latest_loud = at;
                    }
                }
            }
        }
    }

    /// How much later than the sound of their time pictures are on the timeline: at each beep, with its time, in seconds.
    pub(super) fn offsets(&self, drift: f64) -> Vec<(f64, f64)> {
        let period = BEEP_SECONDS / (1.0 + drift / 1e6);
        self.beeps
            .iter()
            .filter_map(|&beep| {
                let next = self.pictures.partition_point(|(_, at)| *at < beep);
                let (captured, at) = self.pictures.get(next)?;
                let seen = captured + beep - at;
                let heard = (seen / period).round() * period;
                ((at - beep) < 1.5).then_some((heard, heard - seen))
            })
            .collect()
    }

    /// Where the media is at the end, and where the wall clock, in seconds.
    pub(super) fn ahead(&self) -> f64 {
        let latest = self.latest.iter().flatten().max().unwrap();
        latest.as_secs_f64() - self.time.as_secs_f64()
    }

    /// The timestamps that came out last, of pictures and sound.
    pub(super) fn latest(&self) -> [f64; 2] {
        self.latest
            .map(|latest| latest.unwrap_or_default().as_secs_f64())
    }
}
