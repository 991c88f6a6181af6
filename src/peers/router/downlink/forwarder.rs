//! One consumer's stream out of its producer's streams: which layer, from which keyframe on, numbered and timed. Pure;
//! time is an argument.

use std::time::Instant;

use media::{SenderReport, VideoCodec};

use super::{
    Incoming,
    numbers::Numbers,
    packet::Packet,
    times::Times,
    vp8::{self, Front, Pictures},
};
use crate::relay::{Place, Wallclock};

/// What a consumer's stream is made of.
#[derive(Debug)]
pub(super) struct Forwarder {
    video: Option<VideoCodec>,
    payload_type: u8,
    /// The layer that is to be sent; `None`: nothing.
    target: Option<u8>,
    /// The stream that is sent.
    current: Option<Current>,
    numbers: Numbers,
    times: Times,
    pictures: Pictures,
    /// What the senders of the layers told last.
    reports: Vec<Option<SenderReport>>,
    packets: u32,
    octets: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Current {
    layer: u8,
    ssrc: u32,
}

/// What is to be done with a packet.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It goes out as this.
    Send(Packet),
    /// It does not.
    Leave,
    /// It does not, and the target layer needs a keyframe.
    LeaveAndWish,
}

/// What a sender report says (RFC 3550 § 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) rtp_timestamp: u32,
    pub(super) packets: u32,
    pub(super) octets: u32,
}

impl Forwarder {
    /// `video` is the codec of pictures; `None`: sound. Nothing is sent before a target is set.
    pub(super) fn new(
        video: Option<VideoCodec>,
        payload_type: u8,
        clock_rate: u32,
        layers: u8,
        first: Place,
    ) -> Self {
        Self {
            video,
            payload_type,
            target: None,
            current: None,
            numbers: Numbers::new(first.sequence),
            times: Times::new(clock_rate, first.timestamp),
            pictures: Pictures::new(),
            reports: vec![None; usize::from(layers.max(1))],
            packets: 0,
            octets: 0,
        }
    }

    /// The layer that is to be sent. One that is sent already goes on until the other's keyframe comes.
    pub(super) fn aim(&mut self, target: Option<u8>) {
        self.target = target;
        if target.is_none() {
            self.current = None;
        }
    }

    /// The layer that is to be sent.
    pub(super) const fn target(&self) -> Option<u8> {
        self.target
    }

    /// The layer that is sent.
    pub(super) fn layer(&self) -> Option<u8> {
        self.current.map(|current| current.layer)
    }

    /// Whether a keyframe of the target is waited for.
    pub(super) fn waits(&self) -> bool {
        self.video.is_some() && self.target.is_some() && self.layer() != self.target
    }

    /// The highest temporal layer that is to be sent.
    pub(super) const fn want_temporal(&mut self, layer: Option<u8>) {
        self.pictures.want(match layer {
            Some(layer) => layer,
            None => u8::MAX,
        });
    }

    /// Whatever comes next begins a stream.
    pub(super) const fn interrupt(&mut self) {
        self.current = None;
    }

    /// The sender of a layer told how its clocks relate.
    pub(super) fn handle_report(&mut self, layer: u8, report: &SenderReport, clock: &Wallclock) {
        if let Some(place) = self.reports.get_mut(usize::from(layer)) {
            *place = Some(*report);
        }
        if self.current
            == Some(Current {
                layer,
                ssrc: report.ssrc,
            })
        {
            self.times.handle_report(report, clock);
        }
    }

    /// A packet of the producer.
    pub(super) fn handle_packet(
        &mut self,
        incoming: &Incoming<'_>,
        clock: &Wallclock,
        now: Instant,
    ) -> Verdict {
        let Some(target) = self.target else {
            return Verdict::Leave;
        };
        let packet = incoming.packet;
        let stream = Current {
            layer: incoming.layer,
            ssrc: packet.ssrc,
        };
        let is_current = self.current == Some(stream);
        if packet.payload.is_empty() {
            if is_current {
                self.numbers.leave_out(packet.sequence);
            }
            return Verdict::Leave;
        }
        if !is_current {
            if incoming.layer != target {
                return Verdict::Leave;
            }
            if self.video.is_some() && !incoming.begins_keyframe {
                return Verdict::LeaveAndWish;
            }
        }
        let descriptor = match self.video {
            Some(VideoCodec::Vp8) => match vp8::read(&packet.payload) {
                Some(descriptor) => Some(descriptor),
                None => return Verdict::Leave,
            },
            Some(VideoCodec::H264 | VideoCodec::Vp9 | VideoCodec::Av1) | None => None,
        };
        if !is_current {
            self.begin(stream, packet.timestamp, clock, now);
        }
        let mut front = Front::default();
        if let Some(descriptor) = descriptor {
            if !self.pictures.is_wanted(&descriptor) {
                self.numbers.leave_out(packet.sequence);
                return Verdict::Leave;
            }
            front = self.pictures.rewrite(&descriptor).unwrap_or_default();
        }
        let Some(sequence) = self.numbers.place(packet.sequence) else {
            return Verdict::Leave;
        };
        let packet = Packet {
            sequence,
            timestamp: self.times.place(packet.timestamp, now),
            payload_type: self.payload_type,
            marker: packet.marker,
            extensions: *incoming.extensions,
            front,
            payload: packet.payload.clone(),
        };
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::try_from(packet.payload_bytes()).unwrap_or(u32::MAX);
        self.octets = self.octets.wrapping_add(octets);
        Verdict::Send(packet)
    }

    /// What to report at this moment of the receiver's wall clock. `None`: nothing went out.
    pub(super) fn standing(&self, ours: i64) -> Option<Standing> {
        Some(Standing {
            rtp_timestamp: self.times.standing(ours)?,
            packets: self.packets,
            octets: self.octets,
        })
    }

    fn begin(&mut self, stream: Current, timestamp: u32, clock: &Wallclock, now: Instant) {
        let report = self
            .reports
            .get(usize::from(stream.layer))
            .copied()
            .flatten()
            .filter(|report| report.ssrc == stream.ssrc);
        self.current = Some(stream);
        self.numbers.interrupt();
        self.pictures.interrupt();
        self.times.begin(timestamp, report, clock, now);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use bytes::Bytes;
    use media::RtpPacket;
    use proptest::prelude::*;

    use super::*;
    use crate::router::extensions::Extensions;

    const KEYFRAME: &[u8] = &[0x65, 1, 2];
    const PICTURE: &[u8] = &[0x41, 1, 2];

    struct Rig {
        forwarder: Forwarder,
        clock: Wallclock,
        start: Instant,
        extensions: Extensions,
    }

    impl Rig {
        fn new(video: Option<VideoCodec>, target: Option<u8>) -> Self {
            let start = Instant::now();
            let first = Place {
                sequence: 65_000,
                timestamp: 1000,
            };
            let mut forwarder = Forwarder::new(video, 101, 90_000, 3, first);
            forwarder.aim(target);
            Self {
                forwarder,
                clock: Wallclock::new(start),
                start,
                extensions: Extensions::default(),
            }
        }

        /// The SSRC of a layer is 100 more than its number.
        fn give(&mut self, layer: u8, sequence: u16, payload: &'static [u8], at: u64) -> Verdict {
            let packet = RtpPacket {
                sequence,
                timestamp: u32::from(layer) * 7777 + u32::try_from(at).unwrap() * 90,
                ssrc: 100 + u32::from(layer),
                marker: true,
                payload: Bytes::from_static(payload),
            };
            let incoming = Incoming {
                producer: 1,
                layer,
                packet: &packet,
                extensions: &self.extensions,
                begins_keyframe: payload == KEYFRAME,
            };
            let now = self.start + Duration::from_millis(at);
            self.forwarder.handle_packet(&incoming, &self.clock, now)
        }

        /// The number and time of what goes out.
        fn sent(
            &mut self,
            layer: u8,
            sequence: u16,
            payload: &'static [u8],
            at: u64,
        ) -> Option<(u16, u32)> {
            match self.give(layer, sequence, payload, at) {
                Verdict::Send(packet) => Some((packet.sequence, packet.timestamp)),
                Verdict::Leave | Verdict::LeaveAndWish => None,
            }
        }
    }

    #[test]
    fn pictures_begin_with_a_keyframe_of_the_target() {
        let mut rig = Rig::new(Some(VideoCodec::H264), Some(1));

        assert!(matches!(rig.give(1, 10, PICTURE, 0), Verdict::LeaveAndWish));
        assert!(matches!(rig.give(0, 10, KEYFRAME, 0), Verdict::Leave));
        assert!(rig.forwarder.waits());
        assert_eq!(rig.sent(1, 11, KEYFRAME, 0), Some((65_000, 1000)));
        assert_eq!(rig.sent(1, 12, PICTURE, 10), Some((65_001, 1900)));
        assert!(!rig.forwarder.waits());
    }

    #[test]
    fn the_old_layer_goes_on_until_the_new_ones_keyframe() {
        let mut rig = Rig::new(Some(VideoCodec::H264), Some(0));
        rig.sent(0, 10, KEYFRAME, 0);
        rig.forwarder.aim(Some(2));

        assert!(matches!(
            rig.give(2, 500, PICTURE, 10),
            Verdict::LeaveAndWish
        ));
        assert_eq!(rig.sent(0, 11, PICTURE, 20), Some((65_001, 2800)));
        assert_eq!(rig.sent(2, 501, KEYFRAME, 30), Some((65_002, 3700)));
        assert_eq!(rig.forwarder.layer(), Some(2));
        assert_eq!(rig.sent(0, 12, PICTURE, 40), None);
        assert_eq!(rig.sent(2, 502, PICTURE, 40), Some((65_003, 4600)));
    }

    #[test]
    fn a_pause_leaves_no_gap_but_its_time() {
        let mut rig = Rig::new(Some(VideoCodec::H264), Some(0));
        rig.sent(0, 10, KEYFRAME, 0);
        rig.forwarder.aim(None);
        assert_eq!(rig.sent(0, 11, PICTURE, 10), None);

        rig.forwarder.aim(Some(0));

        assert!(matches!(
            rig.give(0, 500, PICTURE, 900),
            Verdict::LeaveAndWish
        ));
        assert_eq!(rig.sent(0, 501, KEYFRAME, 1000), Some((65_001, 91_000)));
    }

    #[test]
    fn sound_begins_with_whatever_comes_and_padding_leaves_no_gap() {
        let mut rig = Rig::new(None, Some(0));

        assert_eq!(rig.sent(0, 10, PICTURE, 0), Some((65_000, 1000)));
        assert_eq!(rig.sent(0, 11, &[], 0), None);
        assert_eq!(rig.sent(0, 12, PICTURE, 20), Some((65_001, 2800)));
    }

    #[test]
    fn vp8_keeps_its_pictures_in_order_over_layers() {
        let mut rig = Rig::new(Some(VideoCodec::Vp8), Some(0));
        let extended = |verdict: Verdict| match verdict {
            Verdict::Send(packet) => packet.front.bytes().to_vec(),
            Verdict::Leave | Verdict::LeaveAndWish => panic!("it was left out"),
        };
        let packet =
            |picture: u8| -> &'static [u8] { vec![0x90, 0x80, 0x80 | 1, picture, 0x10].leak() };
        // Keyframes are told by the caller here.
        let keyframe = |rig: &mut Rig, layer: u8, payload: &'static [u8]| {
            let packet = RtpPacket {
                sequence: 9,
                timestamp: 0,
                ssrc: 100 + u32::from(layer),
                marker: true,
                payload: Bytes::from_static(payload),
            };
            let incoming = Incoming {
                producer: 1,
                layer,
                packet: &packet,
                extensions: &Extensions::default(),
                begins_keyframe: true,
            };
            rig.forwarder
                .handle_packet(&incoming, &rig.clock, rig.start)
        };

        let first = extended(keyframe(&mut rig, 0, packet(0x11)));
        let second = extended(rig.give(0, 10, packet(0x12), 0));
        rig.forwarder.aim(Some(1));
        let third = extended(keyframe(&mut rig, 1, packet(0x99)));

        assert_eq!(first, [0x90, 0x80, 0x80, 1]);
        assert_eq!(second, [0x90, 0x80, 0x80, 2]);
        assert_eq!(third, [0x90, 0x80, 0x80, 3]);
    }

    #[test]
    fn reports_follow_the_layer_that_is_sent() {
        let mut rig = Rig::new(Some(VideoCodec::H264), Some(0));
        let start = rig.clock.ours(rig.start);
        assert_eq!(rig.forwarder.standing(start), None);
        rig.sent(0, 10, KEYFRAME, 0);

        let standing = rig.forwarder.standing(start + 1_000_000_000).unwrap();

        assert_eq!((standing.packets, standing.octets), (1, 3));
        assert_eq!(standing.rtp_timestamp, 91_000);
        let report = |ssrc| SenderReport {
            ssrc,
            ntp_time: Duration::from_secs(50),
            rtp_timestamp: 180_000,
        };
        rig.clock.handle_report(&report(100), rig.start);
        rig.forwarder.handle_report(0, &report(77), &rig.clock);
        assert_eq!(rig.forwarder.standing(start).unwrap().rtp_timestamp, 1000);
        rig.forwarder.handle_report(0, &report(100), &rig.clock);
        assert_eq!(
            rig.forwarder.standing(start).unwrap().rtp_timestamp,
            181_000
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_numbers_never_repeat_nor_run_backwards_over_layers(
            events in prop::collection::vec((0..12_u8, 0..3_u8, -5_i16..20, any::<bool>()), 1..300)
        ) {
            let mut rig = Rig::new(Some(VideoCodec::H264), Some(0));
            let mut sequences = [0_u16; 3];
            let mut seen = HashSet::new();
            let mut highest = 64_999_i64;
            let mut floor = highest;
            for (at, (event, layer, step, key)) in (0_u64..).zip(events) {
                match event {
                    0 => rig.forwarder.aim(Some(layer)),
                    1 => rig.forwarder.aim(None),
                    2 => rig.forwarder.interrupt(),
                    _ => {}
                }
                let sequence = &mut sequences[usize::from(layer)];
                *sequence = sequence.wrapping_add_signed(step);
                let payload = if key { KEYFRAME } else { PICTURE };
                let before = rig.forwarder.current;
                let Some((number, _)) = rig.sent(layer, *sequence, payload, at * 10) else {
                    continue;
                };
                let wire = u16::try_from(highest.rem_euclid(1 << 16)).unwrap();
                let index = highest + i64::from(number.wrapping_sub(wire).cast_signed());
                if before != rig.forwarder.current {
                    prop_assert!(key, "a stream begins with a keyframe");
                    floor = highest;
                }
                prop_assert!(index > floor, "behind the stream before");
                prop_assert!(seen.insert(index), "given before");
                highest = highest.max(index);
            }
        }
    }
}
