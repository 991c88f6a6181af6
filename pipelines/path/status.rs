//! What a media path tells about itself, once a second.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use media::{AccessUnit, CodecConfig, TrackKind, VideoCodec};

use crate::engine::{EngineKind, EngineState};

/// A snapshot of a broadcast's media path.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Whether media has begun to go out, with a keyframe unless there is only sound: destinations have something to begin with.
    pub is_live: bool,
    /// The picture, once there was one.
    pub video: Option<VideoStatus>,
    /// The sound that comes in, once there was some.
    pub audio: Option<AudioStatus>,
    /// What has happened since the beginning.
    pub counters: Counters,
    /// How far pictures are moved from where they arrived, to be in step with the sound. In nanoseconds, positive is later.
    pub correction_nanoseconds: i64,
    /// How far pictures still are from being in step with the sound, in nanoseconds; positive: they would have to be later.
    /// `None` while it is not known: without believable sender reports, or unless picture and sound come in.
    pub out_of_step_nanoseconds: Option<i64>,
    /// Time between a picture's last packet and its way out.
    pub latency: Latency,
    /// What goes out now.
    pub showing: Showing,
    /// How loud the studio's sound is, while a studio with sound is connected; all of it, not what stands in for it.
    pub sound_level: Option<SoundLevel>,
    /// Who makes the pictures, once a studio with a picture was connected.
    pub engine: Option<EngineStatus>,
    /// Pictures a second that the studio means to send: the median of its latest pictures, by its own clock.
    pub nominal_frames_per_second: Option<f64>,
    /// How its timeline runs, once it does.
    pub timeline: Option<TimelineMark>,
}

/// Where a timeline is, by the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineMark {
    pub(super) origin: Instant,
    /// In nanoseconds.
    pub(super) ahead: i64,
}

impl TimelineMark {
    /// The place of this moment, as far as is known now: a timeline goes as the studio's sound does, nearly.
    pub fn position(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.origin);
        let ahead = Duration::from_nanos(self.ahead.unsigned_abs());
        if self.ahead < 0 {
            since.saturating_sub(ahead)
        } else {
            since + ahead
        }
    }
}

/// Who makes the studio's pictures ready to go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineStatus {
    /// Which engine.
    pub kind: EngineKind,
    /// Whether what goes out is the studio's own coding.
    pub forwards: bool,
    /// What the studio sends, or sent.
    pub codec: Option<VideoCodec>,
    /// Width and height of the studio's picture in pixels, once known.
    pub source_size: Option<(u32, u32)>,
    /// How it is.
    pub state: EngineState,
    /// How often a process of it was replaced, since the beginning.
    pub restarts: u64,
}

/// What goes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Showing {
    /// No picture: not yet, or there is none that could stand in.
    #[default]
    Nothing,
    /// What the studio sends.
    Studio,
    /// The studio's last picture.
    Freeze,
    /// The slate.
    Slate,
}

impl Showing {
    /// Everything that can be shown.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::Studio, Self::Freeze, Self::Slate];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Studio => "studio",
            Self::Freeze => "freeze",
            Self::Slate => "slate",
        }
    }
}

/// How loud sound is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoundLevel {
    /// Root mean square of the last second in decibels of full scale, at least −120.
    pub decibels: f64,
    /// For how long it has been below −60 decibels, in whole seconds.
    pub quiet_for: Duration,
}

/// What the picture is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoStatus {
    /// Cropped width in pixels.
    pub width: u32,
    /// Cropped height in pixels.
    pub height: u32,
    /// The studio's pictures in the last second.
    pub frames_per_second: f64,
    /// Bits in the last second, in kb/s, without packet headers.
    pub bitrate_kbps: u32,
    /// Between the studio's last two keyframes.
    pub keyframe_interval: Option<Duration>,
}

/// What the incoming sound is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioStatus {
    /// 1 or 2, as coded.
    pub channels: u8,
    /// Bits in the last second, in kb/s, without packet headers.
    pub bitrate_kbps: u32,
}

/// Counts since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Pictures that went out, whosever they are.
    pub pictures: u64,
    /// AAC frames that went out.
    pub sounds: u64,
    /// Pictures that came damaged, or that needed a lost one.
    pub pictures_dropped: u64,
    /// Times that packets were given up, of both tracks.
    pub losses: u64,
    /// Samples of sound that were made up.
    pub concealed_samples: u64,
    /// AAC frames of silence in place of a source's sound.
    pub silent_frames: u64,
    /// Keyframes that were wished for.
    pub keyframe_wishes: u64,
    /// Studios that have been connected.
    pub sources: u64,
    /// Times that the studio's picture stayed away until something was to stand in.
    pub freezes: u64,
    /// Pictures that went out and were the studio's last one, frozen.
    pub freeze_pictures: u64,
    /// Pictures that went out and were the slate's.
    pub slate_pictures: u64,
    /// For how long the studio's picture had stayed away when it came back the latest time.
    pub latest_absence: Option<Duration>,
    /// The longest time between two pictures that went out, on the timeline.
    pub longest_gap: Duration,
}

/// A histogram of the time that pictures waited here after their last packet had come. Computing is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// How many pictures waited at most as long as the same place in [`Self::BOUNDS`] says; in the last place, longer.
    pub counts: [u64; 10],
    /// The longest.
    pub longest: Duration,
}

impl Latency {
    /// Upper bounds of [`counts`](Self::counts).
    pub const BOUNDS: [Duration; 9] = [
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(20),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(200),
        Duration::from_millis(500),
    ];

    pub(super) fn record(&mut self, waited: Duration) {
        let place = Self::BOUNDS.partition_point(|bound| *bound < waited);
        self.counts[place] += 1;
        self.longest = self.longest.max(waited);
    }
}

/// How often the rates are measured.
const PERIOD: Duration = Duration::from_secs(1);

/// Measures rates over each second.
#[derive(Debug, Default)]
pub(super) struct Meter {
    status: Status,
    since: Option<Instant>,
    pictures: u32,
    video_bytes: u64,
    audio_bytes: u64,
    audio_channels: u8,
    /// Anything that was measured but the studio's pictures and sounds.
    others: u32,
    latest_picture: Option<Duration>,
    latest_keyframe: Option<Duration>,
    latest_config: Option<Arc<CodecConfig>>,
}

impl Meter {
    /// Counts a unit on its way out, a picture as one of what is being shown; returns whether somebody should know at once.
    pub(super) fn record_unit(&mut self, unit: &AccessUnit, showing: Showing) -> bool {
        let was_live = std::mem::replace(&mut self.status.is_live, true);
        let is_new_shape = match unit.kind() {
            TrackKind::Video => self.record_picture(unit, showing),
            TrackKind::Audio => {
                self.status.counters.sounds += 1;
                false
            }
        };
        !was_live || is_new_shape
    }

    fn record_picture(&mut self, unit: &AccessUnit, showing: Showing) -> bool {
        let counters = &mut self.status.counters;
        counters.pictures += 1;
        if let Some(latest) = self.latest_picture.replace(unit.timestamp) {
            let gap = unit.timestamp.saturating_sub(latest);
            counters.longest_gap = counters.longest_gap.max(gap);
        }
        match showing {
            Showing::Studio | Showing::Nothing => self.record_studio_picture(unit),
            Showing::Freeze => {
                counters.freeze_pictures += 1;
                self.others += 1;
                false
            }
            Showing::Slate => {
                counters.slate_pictures += 1;
                self.others += 1;
                // The time since the keyframe before is not the studio's cadence.
                self.latest_keyframe = None;
                false
            }
        }
    }

    fn record_studio_picture(&mut self, unit: &AccessUnit) -> bool {
        self.pictures += 1;
        self.video_bytes += unit.data.len() as u64;
        let is_same = self
            .latest_config
            .as_ref()
            .is_some_and(|latest| Arc::ptr_eq(latest, &unit.config));
        if !is_same && let CodecConfig::Avc(config) = &*unit.config {
            let video = self.status.video.get_or_insert(VideoStatus {
                width: 0,
                height: 0,
                frames_per_second: 0.0,
                bitrate_kbps: 0,
                keyframe_interval: None,
            });
            (video.width, video.height) = (config.width, config.height);
            self.latest_config = Some(Arc::clone(&unit.config));
        }
        if unit.keyframe {
            let interval = self
                .latest_keyframe
                .map(|latest| unit.timestamp.saturating_sub(latest));
            self.latest_keyframe = Some(unit.timestamp);
            if let Some(video) = &mut self.status.video {
                video.keyframe_interval = interval.or(video.keyframe_interval);
            }
        }
        !is_same
    }

    /// Counts an incoming Opus packet.
    pub(super) fn record_opus(&mut self, payload: &[u8]) {
        self.audio_bytes += payload.len() as u64;
        if let Some(configuration) = payload.first() {
            // RFC 6716 § 3.1: the stereo bit.
            self.audio_channels = 1 + (configuration >> 2 & 1);
        }
    }

    /// What is told next, for changes.
    pub(super) fn status_mut(&mut self) -> &mut Status {
        &mut self.status
    }

    /// What is told next.
    pub(super) fn status(&self) -> &Status {
        &self.status
    }

    /// A studio has ended; the next one's keyframes are another cadence.
    pub(super) fn forget_keyframe(&mut self) {
        self.latest_keyframe = None;
    }

    /// When the measuring of the running second began.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Begins to measure.
    pub(super) fn start(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// When rates are due, while something is being measured.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.since? + PERIOD)
    }

    /// Closes the second; nothing was measured in it → no more are due until [`start`](Self::start).
    pub(super) fn close(&mut self, now: Instant) {
        let Some(since) = self.since else { return };
        let seconds = now
            .saturating_duration_since(since)
            .as_secs_f64()
            .max(f64::MIN_POSITIVE);
        let kbps = |bytes: u64| kilobits_per_second(bytes, seconds);
        let is_idle = self.pictures == 0
            && self.video_bytes == 0
            && self.audio_bytes == 0
            && self.others == 0;
        if let Some(video) = &mut self.status.video {
            video.frames_per_second = f64::from(self.pictures) / seconds;
            video.bitrate_kbps = kbps(self.video_bytes);
        }
        if self.audio_channels > 0 {
            self.status.audio = Some(AudioStatus {
                channels: self.audio_channels,
                bitrate_kbps: kbps(self.audio_bytes),
            });
        }
        (self.pictures, self.video_bytes, self.audio_bytes) = (0, 0, 0);
        self.others = 0;
        self.since = if is_idle { None } else { Some(now) };
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the bytes of about a second; the cast to u32 saturates"
)]
fn kilobits_per_second(bytes: u64, seconds: f64) -> u32 {
    (bytes as f64 * 8.0 / 1_000.0 / seconds).round() as u32
}
