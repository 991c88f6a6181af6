//! The engine that forwards H.264 as it is, and turns Opus into AAC.

mod h264;
mod interleave;
mod parameter_sets;
mod reorder;
mod sound;
mod status;
mod timeline;

use std::{
    fmt,
    time::{Duration, Instant},
};

use media::{
    AccessUnit, Fanout, MediaSink, RtpPacket, SenderReport, SourceDescription, Subscriber,
    TrackKind,
};
use tokio::sync::watch;

pub use self::status::{AudioStatus, Counters, Latency, Status, VideoStatus};
use self::{
    h264::{Depacketiser, Picture},
    interleave::Interleave,
    reorder::{InOrder, Reorder},
    sound::{PlacedPacket, Sound, SoundError, samples},
    status::Meter,
    timeline::{Nanoseconds, PictureClock, Timeline, TrackClock, alignment, duration},
};
use crate::audio::{SAMPLE_RATE_HZ, XaacEncoder};

/// RTP clock of pictures (RFC 6184 § 5.1).
const VIDEO_RATE_HZ: u32 = 90_000;

/// How long sound packets are collected when no picture comes; a wake-up costs more than the work.
const SOUND_BATCH: Duration = Duration::from_millis(60);

/// The most sound packets that are collected.
const SOUND_BATCH_LIMIT: usize = 64;

/// Without any packet of sound for this long there is silence. Opus sends one every 400 ms when nothing is to be heard.
const SOUND_STALL: Duration = Duration::from_millis(500);

/// How often silence is made when no pictures come.
const SILENCE_PERIOD: Duration = Duration::from_millis(200);

/// Without a picture for this long, sound waits for none.
const PICTURE_STALL: Duration = Duration::from_secs(1);

/// How long a studio with a picture may take to its first keyframe before its sound goes out alone.
const FIRST_PICTURE: Duration = Duration::from_secs(5);

/// How often a keyframe is wished for while nothing can be shown; the arbiter limits it further.
const WISH_PERIOD: Duration = Duration::from_secs(1);

/// Sound that keeps coming too late to be used for this long is taken as the new normal.
const LATE_LIMIT: sound::Samples = SAMPLE_RATE_HZ as sound::Samples;

/// How a broadcast is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassthroughConfig {
    /// Bitrate of the AAC sound in bit/s: 160,000 (the default) or 192,000.
    pub audio_bits_per_second: u32,
    /// How much media is kept for slow destinations; 4 s by default.
    pub window: Duration,
}

impl Default for PassthroughConfig {
    fn default() -> Self {
        Self {
            audio_bits_per_second: 160_000,
            window: Duration::from_secs(4),
        }
    }
}

/// The media path of one broadcast: RTP in, access units out on one timeline that outlives the studios.
///
/// Nothing goes out before the first keyframe, or before 5 s of sound without one. From then on the sound never ends:
/// silence stands in for what no studio sends, also when there is no studio.
pub struct Passthrough {
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
    depacketiser: Depacketiser,
    picture_clock: TrackClock,
    picture_places: PictureClock,
    latest_picture: Option<Instant>,

    sound_order: Reorder,
    sound_clock: TrackClock,
    collected: Vec<Collected>,
    follows_loss: bool,
    batch_due: Option<Instant>,
    /// Gone after a failure of the encoder, which is logged once.
    sound: Option<Sound>,
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

impl fmt::Debug for Passthrough {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Passthrough")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Passthrough {
    /// Returns the engine, what makes readers of its output, and what tells how it is: once a second while a studio
    /// sends, and at once when the first keyframe goes out or the picture changes its shape.
    ///
    /// The encoder is made by the thread that handles the first sound.
    pub fn new(config: PassthroughConfig) -> (Self, Subscriber, watch::Receiver<Status>) {
        let fanout = Fanout::new(config.window);
        let subscriber = fanout.subscriber();
        let (status, observer) = watch::channel(Status::default());
        let passthrough = Self {
            fanout,
            status,
            meter: Meter::default(),
            timeline: Timeline::default(),
            source: None,
            ended: None,
            keyframe_wish: false,
            latest_wish: None,
            picture_order: Reorder::default(),
            depacketiser: Depacketiser::default(),
            picture_clock: TrackClock::new(VIDEO_RATE_HZ),
            picture_places: PictureClock::default(),
            latest_picture: None,
            sound_order: Reorder::default(),
            sound_clock: TrackClock::new(SAMPLE_RATE_HZ),
            collected: Vec::new(),
            follows_loss: false,
            batch_due: None,
            sound: Some(Sound::new(Box::new(XaacEncoder::new(
                config.audio_bits_per_second,
            )))),
            interleave: Interleave::default(),
            latest_silence: None,
            has_begun: false,
        };
        (passthrough, subscriber, observer)
    }

    fn collect_sound(&mut self, now: Instant) {
        while let Some(event) = self.sound_order.poll(now) {
            match event {
                InOrder::Packet(packet, arrival) if !packet.payload.is_empty() => {
                    self.meter.record_opus(&packet.payload);
                    let follows_loss = std::mem::take(&mut self.follows_loss);
                    self.collected.push(Collected {
                        packet,
                        arrival,
                        follows_loss,
                    });
                    self.batch_due.get_or_insert(now + SOUND_BATCH);
                    if let Some(source) = &mut self.source {
                        source.latest_sound = Some(now);
                    }
                }
                InOrder::Packet(..) => {}
                InOrder::Lost | InOrder::Restarted => {
                    self.follows_loss = true;
                    self.meter.status_mut().counters.losses += 1;
                }
            }
        }
        if self.collected.len() >= SOUND_BATCH_LIMIT {
            self.decode_sound(now);
        }
    }

    /// Places, decodes and encodes what has been collected.
    fn decode_sound(&mut self, now: Instant) {
        self.batch_due = None;
        let mut collected = std::mem::take(&mut self.collected);
        for Collected {
            packet,
            arrival,
            follows_loss,
        } in collected.drain(..)
        {
            let Some(sound) = &mut self.sound else { break };
            let head = sound.head().map_or(0, nanoseconds_of_samples);
            let fresh = self.timeline.position(arrival).unwrap_or(0);
            let placed = self
                .sound_clock
                .place(packet.ssrc, packet.timestamp, arrival, fresh);
            let mut place = placed.place;
            if placed.is_new_anchor {
                sound.begin_source();
                // What silence has been made for is not to be cut.
                self.sound_clock.shift((head - fresh).max(0));
                place = place.max(head);
            }
            let place = samples(place);
            let result = sound.place(&PlacedPacket {
                payload: &packet.payload,
                place,
                follows_loss,
            });
            let late = sound.late();
            let excess = if late > LATE_LIMIT {
                sound.head().unwrap_or(place) - place
            } else {
                0
            };
            if excess > 0 {
                sound.begin_source();
                self.sound_clock.shift(nanoseconds_of_samples(excess));
            }
            if placed.is_new_anchor || excess > 0 {
                self.realign();
            }
            self.check_sound(result);
        }
        self.collected = collected;
        self.queue_sound(now);
    }

    fn check_sound(&mut self, result: Result<(), SoundError>) {
        if let Err(error) = result {
            tracing::error!(%error, fault = "gateway", "sound ended");
            self.sound = None;
        }
    }

    fn queue_sound(&mut self, now: Instant) {
        let Some(sound) = &mut self.sound else { return };
        for unit in sound.drain() {
            if let Some(unit) = self.interleave.push(unit, now)
                && self.has_begun
            {
                self.meter.record_unit(&unit);
                self.fanout.push(unit);
            }
        }
    }

    /// Makes silence up to a place, if no source gives sound.
    fn fill_silence(&mut self, until: Nanoseconds, now: Instant) {
        if self.silent_since().is_none_or(|since| now < since) {
            return;
        }
        if let Some(sound) = &mut self.sound {
            let result = sound.fill_silence(samples(until) + sound.delay());
            self.latest_silence = Some(now);
            self.check_sound(result);
            self.queue_sound(now);
        }
    }

    /// From when on there is to be silence in place of sound that does not come.
    fn silent_since(&self) -> Option<Instant> {
        match self.source {
            Some(source) if source.description.audio => {
                Some(source.latest_sound.unwrap_or(source.since) + SOUND_STALL)
            }
            Some(source) => Some(source.since),
            None => self.ended,
        }
    }

    /// When silence is due that no picture brings about.
    fn silence_due(&self) -> Option<Instant> {
        if !self.has_begun || self.sound.is_none() {
            return None;
        }
        let since = self.silent_since()?;
        let latest = self.latest_silence.max(self.latest_picture);
        Some(latest.map_or(since, |latest| since.max(latest + SILENCE_PERIOD)))
    }

    fn pump_pictures(&mut self, now: Instant) {
        while let Some(event) = self.picture_order.poll(now) {
            match event {
                InOrder::Packet(packet, arrival) => {
                    self.depacketiser.handle_packet(&packet, arrival);
                    while let Some(picture) = self.depacketiser.poll() {
                        self.handle_picture(packet.ssrc, picture, now);
                    }
                }
                InOrder::Lost => {
                    self.depacketiser.handle_loss();
                    self.meter.status_mut().counters.losses += 1;
                }
                InOrder::Restarted => self.depacketiser.reset(),
            }
        }
        let is_stuck = self.depacketiser.waits_for_keyframe()
            && self
                .latest_wish
                .is_none_or(|latest| now >= latest + WISH_PERIOD);
        if self.depacketiser.take_keyframe_wish() || is_stuck {
            self.wish_keyframe(now);
        }
    }

    fn wish_keyframe(&mut self, now: Instant) {
        self.keyframe_wish = true;
        self.latest_wish = Some(now);
        self.meter.status_mut().counters.keyframe_wishes += 1;
    }

    fn handle_picture(&mut self, ssrc: u32, picture: Picture, now: Instant) {
        let after_latest = self.picture_places.latest().map_or(0, |latest| latest + 1);
        let fresh = self
            .timeline
            .position(picture.first_arrival)
            .unwrap_or(0)
            .max(after_latest);
        let placed =
            self.picture_clock
                .place(ssrc, picture.rtp_timestamp, picture.first_arrival, fresh);
        if placed.is_new_anchor {
            self.picture_places.jump(0);
            self.realign();
        }
        let place = self.picture_places.settle(placed.place);
        let timestamp = duration(place);
        self.decode_sound(now);
        self.fill_silence(place, now);
        while let Some(unit) = self.interleave.pop_until(timestamp) {
            // Before the first keyframe nobody listens.
            if self.has_begun {
                self.send(unit);
            }
        }
        self.latest_picture = Some(now);
        self.meter
            .status_mut()
            .latency
            .record(now.saturating_duration_since(picture.last_arrival));
        self.send(AccessUnit {
            timestamp,
            keyframe: picture.keyframe,
            config: picture.config,
            data: picture.data,
        });
    }

    /// Lets sound go that has waited for a picture in vain.
    fn release_sound(&mut self, now: Instant) {
        let expects_picture = self.source.is_some_and(|source| {
            source.description.video.is_some()
                && !self.has_begun
                && now < source.since + FIRST_PICTURE
        });
        let waits_for_picture = expects_picture
            || self
                .latest_picture
                .is_some_and(|latest| now < latest + PICTURE_STALL);
        if waits_for_picture && self.interleave.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        while let Some(unit) = if waits_for_picture {
            self.interleave.pop_overdue(now)
        } else {
            self.interleave.pop()
        } {
            if !expects_picture {
                self.send(unit);
            }
        }
    }

    fn send(&mut self, unit: AccessUnit) {
        self.has_begun = true;
        let is_news = self.meter.record_unit(&unit);
        self.fanout.push(unit);
        if is_news {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let sound = self.sound.as_ref().map(Sound::counters);
        let (dropped, correction) = (
            self.depacketiser.dropped(),
            self.picture_places.correction(),
        );
        let status = self.meter.status_mut();
        status.counters.pictures_dropped = dropped;
        status.correction_nanoseconds = correction;
        if let Some(sound) = sound {
            status.counters.concealed_samples = sound.concealed_samples;
            status.counters.silent_frames = sound.silent_frames;
        }
        self.status.send_replace(self.meter.status().clone());
    }

    fn realign(&mut self) {
        if let Some(correction) = alignment(&self.picture_clock, &self.sound_clock) {
            self.picture_places.aim(correction);
        }
    }

    /// Forgets all that belongs to a studio; what is on the timeline stays.
    fn end_source(&mut self, now: Instant) {
        if self.source.take().is_none() {
            return;
        }
        self.ended = Some(now);
        self.decode_sound(now);
        self.depacketiser.reset();
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
        self.tell();
    }
}

impl MediaSink for Passthrough {
    fn handle_source_started(&mut self, description: SourceDescription, now: Instant) {
        self.end_source(now);
        self.source = Some(Source {
            description,
            since: now,
            latest_sound: None,
        });
        self.meter.status_mut().counters.sources += 1;
        if description.video.is_some() {
            self.wish_keyframe(now);
        }
    }

    fn handle_packet(&mut self, kind: TrackKind, packet: RtpPacket, now: Instant) {
        if self.source.is_none() {
            return;
        }
        self.timeline.start(now);
        self.meter.start(now);
        match kind {
            TrackKind::Video => {
                self.picture_order.push(packet, now);
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
            self.sound_order.poll_timeout(),
            self.batch_due,
            self.interleave.poll_timeout(),
            self.silence_due(),
            self.meter.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.collect_sound(now);
        self.pump_pictures(now);
        if self.batch_due.is_some_and(|due| now >= due) {
            self.decode_sound(now);
        }
        if self.silence_due().is_some_and(|due| now >= due)
            && let Some(position) = self.timeline.position(now)
        {
            self.fill_silence(position, now);
        }
        self.release_sound(now);
        if self.meter.poll_timeout().is_some_and(|due| now >= due) {
            self.meter.close(now);
            self.tell();
        }
    }

    fn poll_keyframe_request(&mut self) -> bool {
        std::mem::take(&mut self.keyframe_wish) && self.source.is_some()
    }
}

fn nanoseconds_of_samples(place: sound::Samples) -> Nanoseconds {
    (i128::from(place) * 1_000_000_000 / i128::from(SAMPLE_RATE_HZ)) as i64
}

#[cfg(test)]
mod end_to_end_tests;
#[cfg(test)]
#[path = "studio_tests.rs"]
mod tests;
