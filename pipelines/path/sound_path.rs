//! The sound's way through the engine: collected, decoded in batches, replaced by silence, put before its picture.

use std::time::{Duration, Instant};

use super::{
    Collected, MediaPath,
    reorder::InOrder,
    sound::{PlacedPacket, Samples, SoundError, nanoseconds_of_samples, samples},
    timeline::Nanoseconds,
};
use crate::audio::SAMPLE_RATE_HZ;

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
const FIRST_PICTURE: Duration = Duration::from_secs(10);

/// Sound that keeps coming too late to be used for this long is taken as the new normal.
const LATE_LIMIT: Samples = SAMPLE_RATE_HZ as Samples;

impl MediaPath {
    pub(super) fn collect_sound(&mut self, now: Instant) {
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
    pub(super) fn decode_sound(&mut self, now: Instant) {
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
            self.opus.place(place, follows_loss, &packet.payload);
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
            self.check_sound(result);
        }
        self.timeline.follow(&self.sound_clock);
        self.realign();
        self.collected = collected;
        self.queue_sound(now);
    }

    pub(super) fn check_sound(&mut self, result: Result<(), SoundError>) {
        if let Err(error) = result {
            tracing::error!(%error, fault = "gateway", "sound ended");
            self.sound = None;
        }
    }

    pub(super) fn queue_sound(&mut self, now: Instant) {
        let showing = self.showing();
        let Some(sound) = &mut self.sound else { return };
        for unit in sound.drain() {
            if let Some(unit) = self.interleave.push(unit, now)
                && self.has_begun
            {
                self.meter.record_unit(&unit, showing);
                self.fanout.push(unit);
            }
        }
    }

    /// Makes silence up to a place, or goes on with the slate's sound, if no source gives sound.
    pub(super) fn fill_silence(&mut self, until: Nanoseconds, now: Instant) {
        if self.silent_since().is_none_or(|since| now < since) {
            return;
        }
        self.opus.fill(samples(until), self.continuity.sound());
        if let Some(sound) = &mut self.sound {
            let until = samples(until) + sound.lead();
            let result = match self.continuity.sound() {
                Some(slate) => sound.fill_loop(until, slate),
                None => sound.fill_silence(until),
            };
            self.latest_silence = Some(now);
            self.check_sound(result);
            self.queue_sound(now);
        }
    }

    /// From when on there is to be silence in place of sound that does not come.
    pub(super) fn silent_since(&self) -> Option<Instant> {
        match self.source {
            Some(source) if source.description.audio => {
                Some(source.latest_sound.unwrap_or(source.since) + SOUND_STALL)
            }
            Some(source) => Some(source.since),
            None => self.ended,
        }
    }

    /// When silence is due that no picture brings about.
    pub(super) fn silence_due(&self) -> Option<Instant> {
        if !self.has_begun || self.sound.is_none() {
            return None;
        }
        let since = self.silent_since()?;
        let latest = self.latest_silence.max(self.latest_picture);
        Some(latest.map_or(since, |latest| since.max(latest + SILENCE_PERIOD)))
    }

    /// Lets sound go that has waited for a picture in vain.
    pub(super) fn release_sound(&mut self, now: Instant) {
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
}
