//! A studio's side of its session: packets and reports in, keyframes and limits asked for, statistics.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use media::{RtpPacket, SenderReport, TrackKind, VideoCodec};
use rtc::{
    peer_connection::message::RTCMessage,
    rtcp::{payload_feedbacks::picture_loss_indication::PictureLossIndication, sender_report},
    rtp,
};

use super::{
    begins_keyframe, hands::Hands, keyframes::KeyframeArbiter, limit::BitrateLimit, parts::Output,
    statistics::Statistics,
};
use crate::{PeerEvent, repair::RepairCounters};

/// Seconds from 1900 to 2^32 units a second in an NTP timestamp.
const NTP_FRACTION: u64 = 1 << 32;

/// What is particular to a studio.
pub(crate) struct Studio {
    /// The picture's codec and payload type.
    video: Option<(VideoCodec, u8)>,
    audio_payload_type: Option<u8>,
    counters: Arc<RepairCounters>,
    media_arrived: bool,
    arbiter: KeyframeArbiter,
    video_ssrc: Option<u32>,
    audio_ssrc: Option<u32>,
    limit: BitrateLimit,
    statistics: Statistics,
}

impl Studio {
    pub(crate) fn new(
        video: Option<(VideoCodec, u8)>,
        audio_payload_type: Option<u8>,
        counters: Arc<RepairCounters>,
        now: Instant,
    ) -> Self {
        Self {
            video,
            audio_payload_type,
            counters,
            media_arrived: false,
            arbiter: KeyframeArbiter::default(),
            video_ssrc: None,
            audio_ssrc: None,
            limit: BitrateLimit::default(),
            statistics: Statistics::new(now),
        }
    }

    /// The connection is up.
    pub(super) fn begin(&mut self, now: Instant) {
        self.statistics.begin(now);
    }

    /// Returns when the limit is to be told, if it is.
    pub(super) fn limit_bitrate(&mut self, limit: Option<u64>, now: Instant) -> Option<Instant> {
        self.limit.set(limit, now);
        self.limit.poll_timeout()
    }

    /// Returns when the keyframe is to be asked for, if there are pictures.
    pub(super) fn wish_keyframe(&mut self, now: Instant) -> Option<Instant> {
        self.arbiter.wish();
        self.video_ssrc.map(|_| self.arbiter.poll_timeout(now))
    }

    /// When [`act_when_due`](Self::act_when_due) is due.
    pub(super) fn poll_timeout(&self, now: Instant) -> Instant {
        let mut due = self.statistics.due();
        if self.video_ssrc.is_some() {
            due = due.min(self.arbiter.poll_timeout(now));
            due = due.min(self.limit.poll_timeout().unwrap_or(due));
        }
        due
    }

    /// Asks for a keyframe or for less, and tells the owner how it is, whatever is due.
    pub(super) fn act_when_due(&mut self, round_trip: Option<Duration>, hands: &mut Hands<'_>) {
        let now = hands.now;
        if let Some(video) = self.video_ssrc {
            if self.arbiter.take_request(now) {
                hands.write_rtcp(vec![Box::new(PictureLossIndication {
                    sender_ssrc: 1,
                    media_ssrc: video,
                })]);
            }
            let ssrcs = [Some(video), self.audio_ssrc];
            if let Some(estimate) = self.limit.take_estimate(ssrcs.into_iter().flatten(), now) {
                hands.write_rtcp(vec![Box::new(estimate)]);
            }
        }
        if let Some(statistics) = self
            .statistics
            .take_when_due(&self.counters, round_trip, now)
        {
            hands.tell(PeerEvent::Statistics(statistics));
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a non-exhaustive enum of another crate"
    )]
    pub(super) fn handle_message(
        &mut self,
        message: RTCMessage,
        hands: &mut Hands<'_>,
        act: &mut impl FnMut(Output),
    ) {
        match message {
            RTCMessage::RtpPacket(_, packet) => {
                if let Some(kind) = self.handle_packet(&packet, hands) {
                    let header = &packet.header;
                    let packet = RtpPacket {
                        sequence: header.sequence_number,
                        timestamp: header.timestamp,
                        ssrc: header.ssrc,
                        marker: header.marker,
                        payload: packet.payload,
                    };
                    act(Output::Packet(kind, packet));
                }
            }
            RTCMessage::RtcpPacket(_, packets) => {
                for report in packets
                    .iter()
                    .filter_map(|packet| packet.as_any().downcast_ref())
                {
                    self.handle_report(report, act);
                }
            }
            _ => {}
        }
    }

    /// Takes note of a packet. `None`: it is of no track.
    fn handle_packet(&mut self, packet: &rtp::Packet, hands: &mut Hands<'_>) -> Option<TrackKind> {
        let header = &packet.header;
        let kind = match self.video {
            Some((codec, number)) if number == header.payload_type => {
                if begins_keyframe(codec, &packet.payload) {
                    self.arbiter.handle_keyframe();
                }
                self.video_ssrc = Some(header.ssrc);
                TrackKind::Video
            }
            _ if self.audio_payload_type == Some(header.payload_type) => {
                self.audio_ssrc = Some(header.ssrc);
                TrackKind::Audio
            }
            _ => return None,
        };
        self.statistics.record(kind, packet.payload.len());
        if !self.media_arrived {
            self.media_arrived = true;
            hands.tell(PeerEvent::MediaArrived);
        }
        Some(kind)
    }

    fn handle_report(&self, report: &sender_report::SenderReport, act: &mut impl FnMut(Output)) {
        let kind = if self.video_ssrc == Some(report.ssrc) {
            TrackKind::Video
        } else if self.audio_ssrc == Some(report.ssrc) {
            TrackKind::Audio
        } else {
            return;
        };
        let seconds = report.ntp_time / NTP_FRACTION;
        let nanoseconds = (report.ntp_time % NTP_FRACTION) * 1_000_000_000 / NTP_FRACTION;
        let report = SenderReport {
            ssrc: report.ssrc,
            ntp_time: Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds),
            rtp_timestamp: report.rtp_time,
        };
        act(Output::Report(kind, report));
    }
}
