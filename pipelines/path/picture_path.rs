//! The picture's way: depacketised, put on the timeline, made ready by an engine, replaced when it stays away.

use std::time::Instant;

use media::AccessUnit;

use super::{
    MediaPath, WISH_PERIOD,
    reorder::InOrder,
    status::Showing,
    studio_pictures::StudioPicture,
    timeline::{Nanoseconds, PICTURE_STEP, alignment, duration, nanoseconds},
};
use crate::engine::SourcePicture;

impl MediaPath {
    pub(super) fn pump_pictures(&mut self, now: Instant) {
        while let Some(event) = self.picture_order.poll(now) {
            match event {
                InOrder::Packet(packet, arrival) => {
                    self.studio_pictures.handle_packet(&packet, arrival);
                    // VP8 and VP9 know by the packet after a loss whether anything is missing.
                    if self.studio_pictures.waits_for_keyframe() {
                        self.engine.handle_gap();
                    }
                    while let Some(picture) = self.studio_pictures.poll() {
                        self.handle_picture(packet.ssrc, picture, now);
                    }
                }
                InOrder::Lost => {
                    self.studio_pictures.handle_loss();
                    if self.studio_pictures.waits_for_keyframe() {
                        self.engine.handle_gap();
                    }
                    self.meter.status_mut().counters.losses += 1;
                }
                InOrder::Restarted => {
                    self.studio_pictures.reset();
                    self.engine.handle_gap();
                }
            }
        }
        self.pump_engine(now);
        self.wish_keyframe_if_needed(now);
    }

    /// Wishes for a keyframe when one has become necessary, and again and again while nothing can be shown without.
    fn wish_keyframe_if_needed(&mut self, now: Instant) {
        let has_picture = self
            .source
            .is_some_and(|source| source.description.video.is_some());
        let is_stuck = self.studio_pictures.waits_for_keyframe()
            && self
                .latest_wish
                .is_none_or(|latest| now >= latest + WISH_PERIOD);
        let is_wished =
            self.studio_pictures.take_keyframe_wish() | self.engine.poll_keyframe_request();
        if (is_wished || is_stuck) && has_picture {
            self.wish_keyframe(now);
        }
    }

    pub(super) fn wish_keyframe(&mut self, now: Instant) {
        self.keyframe_wish = true;
        self.latest_wish = Some(now);
        self.meter.status_mut().counters.keyframe_wishes += 1;
    }

    fn handle_picture(&mut self, ssrc: u32, picture: StudioPicture, now: Instant) {
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
        self.source_size = Some(picture.size);
        let picture = SourcePicture {
            codec: self.studio_pictures.codec(),
            timestamp: duration(place),
            keyframe: picture.keyframe,
            config: picture.config,
            size: picture.size,
            data: picture.data,
            arrival: picture.last_arrival,
        };
        self.engine.handle_picture(picture, now);
        self.pump_engine(now);
    }

    /// Sends what the engine has ready.
    pub(super) fn pump_engine(&mut self, now: Instant) {
        while let Some(picture) = self.engine.poll_picture(now) {
            // An engine that works elsewhere may bring a picture after another that stood in for it.
            let place = nanoseconds(picture.timestamp)
                .max(self.latest_out.map_or(0, |latest| latest + PICTURE_STEP));
            let absence =
                self.continuity
                    .handle_picture(place, &picture.config, &picture.data, now);
            let status = self.meter.status_mut();
            status.counters.latest_absence = absence.or(status.counters.latest_absence);
            status
                .latency
                .record(now.saturating_duration_since(picture.arrival));
            let unit = AccessUnit {
                timestamp: duration(place),
                keyframe: picture.keyframe,
                config: picture.config,
                data: picture.data,
            };
            self.send_picture(unit, place, now);
        }
    }

    /// Sends what stands in for the studio's picture, when that has stayed away.
    pub(super) fn show_substitutes(&mut self, now: Instant) {
        while let Some(substitute) = self.continuity.poll(self.latest_out.unwrap_or(0), now) {
            // What the studio's next picture refers to is no longer what a decoder has shown last.
            self.engine.require_keyframe();
            if self.engine.forwards() {
                self.studio_pictures.require_keyframe();
            }
            self.meter.start(now);
            let place = substitute
                .place
                .max(self.latest_out.map_or(0, |latest| latest + PICTURE_STEP));
            // The studio's next picture comes later.
            self.picture_places.reach(place);
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
        self.latest_out = Some(place);
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
