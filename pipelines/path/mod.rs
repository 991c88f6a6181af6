//! The media path of one broadcast: packets in, H.264 and AAC out on one timeline that outlives the studios.

mod bits;
mod continuity;
mod described;
mod engine_seat;
mod freeze;
mod h264;
mod interleave;
mod loudness;
mod opus_outlet;
mod parameter_sets;
mod picture_path;
mod reorder;
mod resumption;
mod rhythm;
mod slate_player;
mod sound;
mod sound_path;
mod status;
mod studio_pictures;
mod timeline;

use std::{
    fmt,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use media::{
    AccessUnit, Fanout, MediaSink, RtpPacket, SenderReport, SourceDescription, StandIn, Subscriber,
    TrackKind,
};
use tokio::sync::watch;

pub use self::opus_outlet::{OpusPacket, OpusReader, OpusSubscriber};
pub use self::resumption::{ResumedPicture, Resumption};
pub use self::status::{
    AudioStatus, Counters, EngineStatus, Latency, Showing, SoundLevel, Status, TimelineMark,
    VideoStatus,
};
use self::{
    continuity::Continuity,
    engine_seat::EngineSeat,
    interleave::Interleave,
    opus_outlet::OpusOutlet,
    reorder::Reorder,
    sound::{Sound, nanoseconds_of_samples},
    status::Meter,
    studio_pictures::StudioPictures,
    timeline::{Nanoseconds, PictureClock, Timeline, TrackClock, alignment},
};
pub(crate) use self::{described::video_config, freeze::Freezer};
use crate::{
    audio::{SAMPLE_RATE_HZ, XaacEncoder},
    engine::{EnginePlan, Engines},
};

/// RTP clock of pictures (RFC 6184 § 5.1).
const VIDEO_RATE_HZ: u32 = 90_000;

/// How often a keyframe is wished for while nothing can be shown; the arbiter limits it further.
const WISH_PERIOD: Duration = Duration::from_secs(1);

/// How a broadcast is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathConfig {
    /// Bitrate of the AAC sound in bit/s: 160,000 (the default) or 192,000.
    pub audio_bits_per_second: u32,
    /// How much media is kept for slow destinations; 4 s by default.
    pub window: Duration,
    /// How long the studio's picture stays away before the slate is shown; 2 s by default, and at least 500 ms in any case.
    /// `None`: no slate is ever shown, and a freeze ends after a minute.
    pub slate_after: Option<Duration>,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self {
            audio_bits_per_second: 160_000,
            window: Duration::from_secs(4),
            slate_after: Some(Duration::from_secs(2)),
        }
    }
}

/// The media path of one broadcast: RTP in, access units out on one timeline that outlives the studios.
///
/// Nothing goes out before the first keyframe, or before 10 s of sound without one. From then on the sound never ends:
/// silence stands in for what no studio sends, also when there is no studio. Neither does the picture, once there was one:
/// after 500 ms without any (800 ms when the studio has two a second anyway) the last one goes on, frozen, and after [`slate_after`](PathConfig::slate_after) the slate
/// and its sound, until the studio's next keyframe. While packets of the picture come, which show that nothing moves, the
/// slate waits for 5 s.
///
/// Frozen pictures are no keyframes. Without a slate a reader that joins or falls behind in a long freeze therefore gets no
/// picture before the studio is back.
pub struct MediaPath {
    fanout: Fanout,
    status: watch::Sender<Status>,
    meter: Meter,

    timeline: Timeline,
    source: Option<Source>,
    /// When the latest studio ended.
    ended: Option<Instant>,
    keyframe_wish: bool,
    latest_wish: Option<Instant>,

    picture_order: Reorder,
    studio_pictures: StudioPictures,
    engine: EngineSeat,
    /// Width and height of the studio's latest picture.
    source_size: Option<(u32, u32)>,
    /// Timestamp of the picture that went out last.
    latest_out: Option<Nanoseconds>,
    picture_clock: TrackClock,
    picture_places: PictureClock,
    /// Whosever it was.
    latest_picture: Option<Instant>,
    continuity: Continuity,

    sound_order: Reorder,
    sound_clock: TrackClock,
    collected: Vec<Collected>,
    follows_loss: bool,
    batch_due: Option<Instant>,
    /// Gone after a failure of the encoder, which is logged once.
    sound: Option<Sound>,
    opus: OpusOutlet,
    interleave: Interleave,
    latest_silence: Option<Instant>,
    /// Whether anything has gone out.
    has_begun: bool,
}

/// A connected studio.
#[derive(Debug, Clone, Copy)]
struct Source {
    description: SourceDescription,
    since: Instant,
    latest_sound: Option<Instant>,
}

/// A sound packet that waits to be decoded.
#[derive(Debug)]
struct Collected {
    packet: RtpPacket,
    arrival: Instant,
    follows_loss: bool,
}

impl fmt::Debug for MediaPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MediaPath")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl MediaPath {
    /// Returns the engine, what makes readers of its output, and what tells how it is: once a second while a studio
    /// sends or something stands in, and at once when the first keyframe goes out, when the picture changes its shape,
    /// and when something else is shown.
    ///
    /// `slate` may come and change at any time. What is shown gives way to a newer one at the end of its loop, and stays
    /// when the slate is taken away. The encoder is made by the thread that handles the first sound.
    pub fn new(
        config: PathConfig,
        slate: watch::Receiver<Option<Arc<StandIn>>>,
    ) -> (Self, Subscriber, watch::Receiver<Status>) {
        let fanout = Fanout::new(config.window);
        let subscriber = fanout.subscriber();
        let (status, observer) = watch::channel(Status::default());
        let path = Self {
            fanout,
            status,
            meter: Meter::default(),
            timeline: Timeline::default(),
            source: None,
            ended: None,
            keyframe_wish: false,
            latest_wish: None,
            picture_order: Reorder::default(),
            studio_pictures: StudioPictures::default(),
            engine: EngineSeat::new(Engines::default(), watch::channel(EnginePlan::default()).1),
            source_size: None,
            latest_out: None,
            picture_clock: TrackClock::new(VIDEO_RATE_HZ),
            picture_places: PictureClock::default(),
            latest_picture: None,
            continuity: Continuity::new(slate, config.slate_after),
            sound_order: Reorder::default(),
            sound_clock: TrackClock::new(SAMPLE_RATE_HZ),
            collected: Vec::new(),
            follows_loss: false,
            batch_due: None,
            sound: Some(Sound::new(Box::new(XaacEncoder::new(
                config.audio_bits_per_second,
            )))),
            opus: OpusOutlet::new(),
            interleave: Interleave::default(),
            latest_silence: None,
            has_begun: false,
        };
        (path, subscriber, observer)
    }

    /// The same with more engines than the one that forwards H.264. The plan may change at any time: another engine takes
    /// over at a picture, and nobody sees it.
    #[must_use]
    pub fn with_engines(mut self, engines: Engines, plan: watch::Receiver<EnginePlan>) -> Self {
        self.engine = EngineSeat::new(engines, plan);
        self
    }

    /// What makes readers of the sound as Opus, which costs nothing while there is none.
    pub fn opus(&self) -> OpusSubscriber {
        self.opus.subscriber()
    }

    fn send(&mut self, unit: AccessUnit) {
        self.has_begun = true;
        let showing = self.showing();
        let is_news = self.meter.record_unit(&unit, showing);
        self.fanout.push(unit);
        if is_news || showing != self.meter.status().showing {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let sound = self.sound.as_ref().map(Sound::counters);
        let (dropped, correction) = (
            self.studio_pictures.dropped(),
            self.picture_places.correction(),
        );
        let engine = self.engine.kind().map(|kind| EngineStatus {
            kind,
            forwards: self.engine.forwards(),
            codec: self.engine.codec(),
            source_size: self.source_size,
            state: self.engine.state(),
            restarts: self.engine.restarts(),
        });
        let showing = self.showing();
        let has_picture = self.latest_picture.is_some();
        let status = self.meter.status_mut();
        if status.showing == Showing::Studio && showing != Showing::Studio && has_picture {
            status.counters.freezes += 1;
        }
        status.showing = showing;
        status.counters.pictures_dropped = dropped;
        status.correction_nanoseconds = correction;
        status.engine = engine;
        status.timeline = self.timeline.mark();
        if let Some(sound) = sound {
            status.counters.concealed_samples = sound.concealed_samples;
            status.counters.silent_frames = sound.silent_frames;
        }
        self.status.send_replace(self.meter.status().clone());
    }

    /// When the running second is to be closed. While something stands in, its pictures are often enough.
    fn meter_due(&self) -> Option<Instant> {
        match self.continuity.showing() {
            Showing::Freeze | Showing::Slate => None,
            Showing::Studio | Showing::Nothing => self.meter.poll_timeout(),
        }
    }

    /// Closes the running second of what is measured.
    fn measure(&mut self, now: Instant) {
        let Some(since) = self.meter.since() else {
            return;
        };
        let source = self.source.filter(|source| source.description.audio);
        let sound_level = match (&mut self.sound, source) {
            (Some(sound), Some(_)) => Some(sound.loudness().read(since, now)),
            (Some(_) | None, _) => None,
        };
        let is_recent = |latest: Option<Instant>| latest.is_some_and(|latest| latest >= since);
        let both_flow = self.showing() == Showing::Studio
            && is_recent(self.latest_picture)
            && source.is_some_and(|source| is_recent(source.latest_sound));
        let error = alignment(&self.picture_clock, &self.sound_clock)
            .filter(|_| both_flow)
            .map(|correction| self.picture_places.error(correction));
        self.meter.close(now);
        let status = self.meter.status_mut();
        status.sound_level = sound_level;
        status.out_of_step_nanoseconds = error;
        status.nominal_frames_per_second = self.continuity.frames_per_second();
    }

    /// Forgets all that belongs to a studio; what is on the timeline stays.
    fn end_source(&mut self, now: Instant) {
        if self.source.take().is_none() {
            return;
        }
        self.ended = Some(now);
        self.decode_sound(now);
        if !self.has_begun {
            self.interleave = Interleave::default();
        }
        self.studio_pictures.reset();
        (self.picture_order, self.sound_order) = (Reorder::default(), Reorder::default());
        self.picture_clock.reset();
        self.sound_clock.reset();
        self.follows_loss = false;
        self.keyframe_wish = false;
        self.latest_wish = None;
        let pictures_end = self.picture_places.latest().unwrap_or(0);
        let sound_end = self
            .sound
            .as_ref()
            .and_then(Sound::head)
            .map_or(0, nanoseconds_of_samples);
        self.timeline.advance_to(pictures_end.max(sound_end), now);
        if let Some(sound) = &mut self.sound {
            sound.loudness().reset();
        }
        self.meter.forget_keyframe();
        let status = self.meter.status_mut();
        (status.sound_level, status.out_of_step_nanoseconds) = (None, None);
        self.continuity.handle_source_ended(now);
        self.tell();
    }
}

impl MediaSink for MediaPath {
    fn handle_attached(&mut self, waker: &Waker) {
        self.engine.attach(waker);
    }

    fn handle_source_started(&mut self, description: SourceDescription, now: Instant) {
        self.end_source(now);
        self.source = Some(Source {
            description,
            since: now,
            latest_sound: None,
        });
        self.meter.status_mut().counters.sources += 1;
        self.engine.handle_source_started(description.video);
        if let Some(codec) = description.video {
            self.studio_pictures.begin(codec);
            self.wish_keyframe(now);
        }
        self.tell_of_change();
    }

    fn handle_packet(&mut self, kind: TrackKind, packet: RtpPacket, now: Instant) {
        if self.source.is_none() {
            return;
        }
        self.timeline.start(now);
        self.meter.start(now);
        match kind {
            TrackKind::Video => {
                self.continuity.handle_packet(now);
                // Some encoders repeat the parameter sets in front of each slice of a keyframe: those begin nothing.
                let begins_anew = self.studio_pictures.waits_for_keyframe()
                    && self.studio_pictures.begins_keyframe(&packet.payload)
                    && !self.studio_pictures.is_within(packet.timestamp);
                let (sequence, timestamp) = (packet.sequence, packet.timestamp);
                self.picture_order.push(packet, now);
                if begins_anew {
                    self.picture_order.skip_to(sequence, timestamp);
                }
                self.pump_pictures(now);
            }
            TrackKind::Audio => {
                self.sound_order.push(packet, now);
                self.collect_sound(now);
            }
        }
    }

    fn handle_sender_report(&mut self, kind: TrackKind, report: SenderReport, _now: Instant) {
        match kind {
            TrackKind::Video => self.picture_clock.handle_report(report),
            TrackKind::Audio => self.sound_clock.handle_report(report),
        }
        self.realign();
    }

    fn handle_source_ended(&mut self, now: Instant) {
        self.end_source(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [
            self.picture_order.poll_timeout(),
            self.engine.poll_timeout(),
            self.sound_order.poll_timeout(),
            self.batch_due,
            self.interleave.poll_timeout(),
            self.silence_due(),
            self.continuity.poll_timeout(),
            self.meter_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.collect_sound(now);
        self.engine.handle_timeout(now);
        self.pump_pictures(now);
        if self.batch_due.is_some_and(|due| now >= due) {
            self.decode_sound(now);
        }
        self.show_substitutes(now);
        if self.silence_due().is_some_and(|due| now >= due)
            && let Some(position) = self.timeline.position(now)
        {
            self.fill_silence(position, now);
        }
        self.release_sound(now);
        if self.meter.poll_timeout().is_some_and(|due| now >= due) {
            self.measure(now);
            self.tell();
        }
    }

    fn poll_keyframe_request(&mut self) -> bool {
        std::mem::take(&mut self.keyframe_wish) && self.source.is_some()
    }
}

#[cfg(test)]
mod continuity_tests;
#[cfg(test)]
mod end_to_end_tests;
#[cfg(test)]
mod flapping_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod slate_tests;
#[cfg(test)]
mod status_tests;
#[cfg(test)]
#[path = "studio_tests.rs"]
mod tests;
