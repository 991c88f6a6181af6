//! The picture's way through the engine: depacketised, put on the timeline, replaced when it stays away.

use std::time::Instant;

use media::AccessUnit;

use super::{
    MediaPath, WISH_PERIOD,
    h264::Picture,
    reorder::InOrder,
    status::Showing,
    timeline::{Nanoseconds, alignment, duration},
};

impl MediaPath {
    pub(super) fn pump_pictures(&mut self, now: Instant) {
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
        self.wish_keyframe_if_needed(now);
    }

    /// Wishes for a keyframe when one has become necessary, and again and again while nothing can be shown without.
    fn wish_keyframe_if_needed(&mut self, now: Instant) {
        let has_picture = self
            .source
            .is_some_and(|source| source.description.video.is_some());
        let is_stuck = self.depacketiser.waits_for_keyframe()
            && self
                .latest_wish
                .is_none_or(|latest| now >= latest + WISH_PERIOD);
        if (self.depacketiser.take_keyframe_wish() || is_stuck) && has_picture {
            self.wish_keyframe(now);
        }
    }

    pub(super) fn wish_keyframe(&mut self, now: Instant) {
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
        self.continuity
            .record_rhythm(placed.place, placed.is_new_anchor);
        let place = self.picture_places.settle(placed.place);
        let absence = self
            .continuity
            .handle_picture(place, &picture.config, &picture.data, now);
        let status = self.meter.status_mut();
        status.counters.latest_absence = absence.or(status.counters.latest_absence);
        status
            .latency
            .record(now.saturating_duration_since(picture.last_arrival));
        let unit = AccessUnit {
            timestamp: duration(place),
            keyframe: picture.keyframe,
            config: picture.config,
            data: picture.data,
        };
        self.send_picture(unit, place, now);
    }

    /// Sends what stands in for the studio's picture, when that has stayed away.
    pub(super) fn show_substitutes(&mut self, now: Instant) {
        let latest = |engine: &Self| engine.picture_places.latest().unwrap_or(0);
        while let Some(substitute) = self.continuity.poll(latest(self), now) {
            // What the studio's next picture refers to is no longer what a decoder has shown last.
            self.depacketiser.require_keyframe();
            self.meter.start(now);
            let place = self.picture_places.put(substitute.place);
            let unit = AccessUnit {
                timestamp: duration(place),
                keyframe: substitute.keyframe,
                config: substitute.config,
                data: substitute.data,
            };
            self.send_picture(unit, place, now);
            self.wish_keyframe_if_needed(now);
        }
        self.tell_of_change();
    }

    /// Sends a picture with the sound of before it.
    fn send_picture(&mut self, unit: AccessUnit, place: Nanoseconds, now: Instant) {
        self.decode_sound(now);
        self.fill_silence(place, now);
        while let Some(unit) = self.interleave.pop_until(unit.timestamp) {
            // Before the first keyframe nobody listens.
            if self.has_begun {
                self.send(unit);
            }
        }
        self.latest_picture = Some(now);
        self.send(unit);
    }

    /// Tells at once when something else is shown than before.
    pub(super) fn tell_of_change(&mut self) {
        if self.showing() != self.meter.status().showing {
            self.tell();
        }
    }

    /// What goes out now. Sound alone is the studio's.
    pub(super) fn showing(&self) -> Showing {
        match self.continuity.showing() {
            Showing::Nothing
                if self.has_begun && self.latest_picture.is_none() && self.source.is_some() =>
            {
                Showing::Studio
            }
            showing @ (Showing::Nothing | Showing::Studio | Showing::Freeze | Showing::Slate) => {
                showing
            }
        }
    }

    pub(super) fn realign(&mut self) {
        if let Some(correction) = alignment(&self.picture_clock, &self.sound_clock) {
            self.picture_places.aim(correction);
        }
    }
}
