//! What was received on one publish, and how well.

use std::time::Duration;

use broadcast::StreamKey;

/// How many violations are kept in words; the rest are counted.
const VIOLATIONS_LIMIT: usize = 32;

/// How many keyframe intervals are kept.
const INTERVALS_LIMIT: usize = 256;

/// How long a stream may take to settle before its gaps count as settled ones.
const SETTLING: Duration = Duration::from_secs(1);

/// Names one publish on one receiver: 1 for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// How a publish ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `FCUnpublish` alone.
    Unpublished,
    /// `deleteStream` or `closeStream`, as an orderly publisher ends.
    Deleted,
    /// The connection ended without a word, or the receiver cut it.
    Cut,
}

/// One publish. `Debug` does not show the key.
#[derive(Debug, Clone)]
pub struct StreamReport {
    /// Which publish.
    pub id: StreamId,
    /// The application as the publisher named it.
    pub application: String,
    /// The key, byte for byte.
    pub stream_key: StreamKey,
    /// The encoder by `onMetaData`.
    pub encoder: Option<String>,
    /// The picture.
    pub video: VideoReport,
    /// The sound.
    pub audio: AudioReport,
    /// The last sound's timestamp minus the last picture's, when the last picture came, in milliseconds.
    pub audio_video_offset_ms: Option<i64>,
    /// The one farthest from zero so far.
    pub worst_audio_video_offset_ms: Option<i64>,
    /// Bytes of the media messages.
    pub bytes: u64,
    /// What was against the rules, in words, the first 32.
    pub violations: Vec<String>,
    /// How often something was against the rules.
    pub violations_count: u64,
    /// How it ended; `None` while it goes on.
    pub ending: Option<Ending>,
}

/// The picture of a publish.
#[derive(Debug, Clone, Default)]
pub struct VideoReport {
    /// `H.264` once its parameters have come.
    pub codec: Option<&'static str>,
    /// Picture width by the parameter set, in pixels.
    pub width: u32,
    /// Picture height by the parameter set, in pixels.
    pub height: u32,
    /// How often parameters came.
    pub configurations: u64,
    /// Keyframes among the frames.
    pub keyframes: u64,
    /// Times between keyframes by their timestamps, the first 256.
    pub keyframe_intervals: Vec<Duration>,
    /// The longest of all.
    pub longest_keyframe_interval: Option<Duration>,
    /// Cadence.
    pub cadence: Cadence,
}

/// The sound of a publish.
#[derive(Debug, Clone, Default)]
pub struct AudioReport {
    /// `AAC` once its parameters have come.
    pub codec: Option<&'static str>,
    /// Samples a second.
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u8,
    /// How often parameters came.
    pub configurations: u64,
    /// Cadence.
    pub cadence: Cadence,
}

/// How evenly a track came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cadence {
    /// Coded frames.
    pub frames: u64,
    /// Timestamp of the first.
    pub first: Option<Duration>,
    /// Timestamp of the last.
    pub last: Option<Duration>,
    /// The longest time between the timestamps of two successive frames.
    pub longest_gap: Duration,
    /// The same, of frames later than the first second.
    pub longest_settled_gap: Duration,
    /// The longest time between the arrivals of two successive frames later than the first second.
    pub longest_arrival_gap: Duration,
}

impl StreamReport {
    pub(super) fn new(id: StreamId, application: String, stream_key: StreamKey) -> Self {
        Self {
            id,
            application,
            stream_key,
            encoder: None,
            video: VideoReport::default(),
            audio: AudioReport::default(),
            audio_video_offset_ms: None,
            worst_audio_video_offset_ms: None,
            bytes: 0,
            violations: Vec::new(),
            violations_count: 0,
            ending: None,
        }
    }

    pub(super) fn violate(&mut self, words: impl Into<String>) {
        self.violations_count += 1;
        if self.violations.len() < VIOLATIONS_LIMIT {
            self.violations.push(words.into());
        }
    }
}

impl VideoReport {
    pub(super) fn add_keyframe_interval(&mut self, interval: Duration) {
        if self.keyframe_intervals.len() < INTERVALS_LIMIT {
            self.keyframe_intervals.push(interval);
        }
        self.longest_keyframe_interval = self.longest_keyframe_interval.max(Some(interval));
    }
}

impl Cadence {
    /// Counts a frame. `arrival_gap` is the time since the arrival of the one before.
    pub(super) fn add(&mut self, timestamp: Duration, arrival_gap: Duration) {
        self.frames += 1;
        let first = *self.first.get_or_insert(timestamp);
        let gap = self
            .last
            .map_or(Duration::ZERO, |last| timestamp.saturating_sub(last));
        self.longest_gap = self.longest_gap.max(gap);
        if timestamp.saturating_sub(first) > SETTLING {
            self.longest_settled_gap = self.longest_settled_gap.max(gap);
            self.longest_arrival_gap = self.longest_arrival_gap.max(arrival_gap);
        }
        self.last = Some(timestamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_shows_nothing_of_the_key() {
        let key = StreamKey::new("live_1234567_wxyz");
        let report = StreamReport::new(StreamId(1), "live".to_owned(), key);

        assert!(!format!("{report:?}").contains("wxyz"));
    }

    #[test]
    fn violations_are_bounded_and_counted() {
        let mut report = StreamReport::new(StreamId(1), String::new(), StreamKey::new("k"));

        for _ in 0..100 {
            report.violate("bad");
        }

        assert_eq!(
            (report.violations.len(), report.violations_count),
            (32, 100)
        );
    }
}
