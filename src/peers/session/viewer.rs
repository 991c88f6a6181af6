//! A viewer's side of its session (draft-ietf-wish-whep): the studio's packets out, beginning with a keyframe, lost ones
//! again, clocks told.

use std::time::{Duration, Instant};

use media::{RtpPacket, SenderReport, SourceDescription, TrackKind, VideoCodec};
use rtc::{
    peer_connection::message::RTCMessage,
    rtcp::{
        payload_feedbacks::{
            full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
        },
        sender_report,
        source_description::{
            SdesType, SourceDescription as Names, SourceDescriptionChunk, SourceDescriptionItem,
        },
        transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack},
    },
    rtp,
};

use super::{begins_keyframe, hands::Hands, setup::STREAM};
use crate::relay::{History, Place, Relay, Sent, Wallclock};

/// How often the receiver is told how its clocks relate.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const VIDEO_CLOCK_HZ: u32 = 90_000;
const AUDIO_CLOCK_HZ: u32 = 48_000;

/// A video codec that the viewer negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ViewerCodec {
    pub(crate) codec: VideoCodec,
    pub(crate) payload_type: u8,
    pub(crate) retransmission: Option<u8>,
}

/// How the viewer gets pictures.
#[derive(Debug)]
pub(crate) struct ViewerVideo {
    pub(crate) ssrc: u32,
    pub(crate) retransmission_ssrc: u32,
    pub(crate) codecs: Vec<ViewerCodec>,
}

/// How the viewer gets sound.
#[derive(Debug)]
pub(crate) struct ViewerAudio {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
}

/// What is particular to a viewer.
pub(crate) struct Viewer {
    video: Option<Pictures>,
    audio: Option<Sound>,
    clock: Wallclock,
    report_due: Option<Instant>,
    keyframe_wished: bool,
    misfit: Option<&'static str>,
}

struct Pictures {
    negotiated: ViewerVideo,
    /// The codec of the current studio.
    codec: Option<ViewerCodec>,
    /// Nothing goes out before a keyframe.
    waits: bool,
    relay: Relay,
    history: History,
    retransmission_sequence: u16,
}

struct Sound {
    negotiated: ViewerAudio,
    is_on: bool,
    relay: Relay,
}

impl Viewer {
    pub(crate) fn new(
        video: Option<ViewerVideo>,
        audio: Option<ViewerAudio>,
        now: Instant,
    ) -> Self {
        let first = || Place {
            sequence: rand::random(),
            timestamp: rand::random(),
        };
        Self {
            video: video.map(|negotiated| Pictures {
                negotiated,
                codec: None,
                waits: true,
                relay: Relay::new(VIDEO_CLOCK_HZ, first()),
                history: History::new(),
                retransmission_sequence: rand::random(),
            }),
            audio: audio.map(|negotiated| Sound {
                negotiated,
                is_on: false,
                relay: Relay::new(AUDIO_CLOCK_HZ, first()),
            }),
            clock: Wallclock::new(now),
            report_due: None,
            keyframe_wished: false,
            misfit: None,
        }
    }

    /// The connection is up.
    pub(super) fn begin(&mut self, now: Instant) {
        self.report_due = Some(now);
        self.keyframe_wished = true;
    }

    /// A studio has begun to send. One whose pictures the viewer cannot take makes it a [`misfit`](Self::misfit).
    pub(super) fn handle_source_started(&mut self, source: SourceDescription) {
        self.handle_source_ended();
        if let Some(audio) = &mut self.audio {
            audio.is_on = source.audio;
        }
        if let (Some(video), Some(codec)) = (&mut self.video, source.video) {
            video.codec = video
                .negotiated
                .codecs
                .iter()
                .find(|negotiated| negotiated.codec == codec)
                .copied();
            if video.codec.is_none() {
                self.misfit = Some(cannot_take(codec));
            }
            self.keyframe_wished = true;
        }
    }

    /// The studio is gone. What it was sent last stays in the history.
    pub(super) fn handle_source_ended(&mut self) {
        self.clock.handle_source_change();
        if let Some(video) = &mut self.video {
            video.codec = None;
            video.waits = true;
            video.relay.handle_source_change();
        }
        if let Some(audio) = &mut self.audio {
            audio.is_on = false;
            audio.relay.handle_source_change();
        }
    }

    /// The studio sent a packet.
    pub(super) fn relay_packet(
        &mut self,
        kind: TrackKind,
        packet: &RtpPacket,
        hands: &mut Hands<'_>,
    ) {
        match kind {
            TrackKind::Video => self.relay_picture(packet, hands),
            TrackKind::Audio => self.relay_sound(packet, hands),
        }
    }

    /// The studio told how its clocks relate.
    pub(super) fn relay_report(&mut self, kind: TrackKind, report: &SenderReport, now: Instant) {
        self.clock.handle_report(report, now);
        let relay = match kind {
            TrackKind::Video => self.video.as_mut().map(|video| &mut video.relay),
            TrackKind::Audio => self.audio.as_mut().map(|audio| &mut audio.relay),
        };
        if let Some(relay) = relay {
            relay.handle_report(*report);
        }
    }

    /// The viewer asks for packets again, or for a keyframe. It sends no media.
    pub(super) fn handle_message(&mut self, message: RTCMessage, hands: &mut Hands<'_>) {
        let RTCMessage::RtcpPacket(_, packets) = message else {
            return;
        };
        for packet in &packets {
            let packet = packet.as_any();
            if let Some(missing) = packet.downcast_ref::<TransportLayerNack>() {
                self.send_again(missing, hands);
            }
            self.keyframe_wished |=
                packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>();
        }
    }

    /// When [`act_when_due`](Self::act_when_due) is due, once connected.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.report_due
    }

    /// Tells the viewer how its clocks relate.
    pub(super) fn act_when_due(&mut self, hands: &mut Hands<'_>) {
        if self.report_due.is_none_or(|due| hands.now < due) {
            return;
        }
        self.report_due = Some(hands.now + REPORT_INTERVAL);
        let video = self
            .video
            .as_ref()
            .map(|video| (video.negotiated.ssrc, &video.relay));
        let audio = self
            .audio
            .as_ref()
            .map(|audio| (audio.negotiated.ssrc, &audio.relay));
        for (ssrc, relay) in video.into_iter().chain(audio) {
            if let Some(told) = relay.report(&self.clock, hands.now) {
                let report = sender_report::SenderReport {
                    ssrc,
                    ntp_time: told.ntp_time,
                    rtp_time: told.rtp_timestamp,
                    packet_count: told.packets,
                    octet_count: told.octets,
                    ..Default::default()
                };
                hands.write_rtcp(vec![Box::new(report), Box::new(name(ssrc))]);
            }
        }
    }

    /// Takes a pending wish for a keyframe.
    pub(super) const fn take_keyframe_wish(&mut self) -> bool {
        std::mem::replace(&mut self.keyframe_wished, false)
    }

    /// Why the viewer cannot stay, if so.
    pub(super) const fn misfit(&self) -> Option<&'static str> {
        self.misfit
    }

    fn relay_picture(&mut self, packet: &RtpPacket, hands: &mut Hands<'_>) {
        let Some(video) = &mut self.video else { return };
        let Some(codec) = video.codec else { return };
        if video.waits {
            if !begins_keyframe(codec.codec, &packet.payload) {
                self.keyframe_wished = true;
                return;
            }
            video.waits = false;
            self.report_due = Some(hands.now);
        }
        let Some(place) = video.relay.handle_packet(packet, &self.clock, hands.now) else {
            return;
        };
        let sent = Sent {
            sequence: place.sequence,
            timestamp: place.timestamp,
            payload_type: codec.payload_type,
            marker: packet.marker,
            payload: packet.payload.clone(),
        };
        hands.write_rtp(outgoing(video.negotiated.ssrc, &sent));
        video.history.push(sent);
    }

    fn relay_sound(&mut self, packet: &RtpPacket, hands: &mut Hands<'_>) {
        let Some(audio) = self.audio.as_mut().filter(|audio| audio.is_on) else {
            return;
        };
        let Some(place) = audio.relay.handle_packet(packet, &self.clock, hands.now) else {
            return;
        };
        let sent = Sent {
            sequence: place.sequence,
            timestamp: place.timestamp,
            payload_type: audio.negotiated.payload_type,
            marker: packet.marker,
            payload: packet.payload.clone(),
        };
        hands.write_rtp(outgoing(audio.negotiated.ssrc, &sent));
    }

    /// By RTX (RFC 4588) where it was negotiated, else as it was.
    fn send_again(&mut self, missing: &TransportLayerNack, hands: &mut Hands<'_>) {
        let Some(video) = self
            .video
            .as_mut()
            .filter(|video| video.negotiated.ssrc == missing.media_ssrc)
        else {
            return;
        };
        let sequences = missing.nacks.iter().flat_map(NackPair::packet_list);
        for sequence in sequences {
            let Some(sent) = video.history.take(sequence, hands.now) else {
                continue;
            };
            let repair = video
                .negotiated
                .codecs
                .iter()
                .find(|codec| codec.payload_type == sent.payload_type)
                .and_then(|codec| codec.retransmission);
            let packet = match repair {
                Some(payload_type) => {
                    video.retransmission_sequence = video.retransmission_sequence.wrapping_add(1);
                    let wrapped = Sent {
                        sequence: video.retransmission_sequence,
                        payload_type,
                        payload: [&sent.sequence.to_be_bytes()[..], &sent.payload]
                            .concat()
                            .into(),
                        ..sent.clone()
                    };
                    outgoing(video.negotiated.retransmission_ssrc, &wrapped)
                }
                None => outgoing(video.negotiated.ssrc, sent),
            };
            hands.write_rtp(packet);
        }
    }
}

const fn cannot_take(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "the studio sends H.264, which the viewer did not negotiate",
        VideoCodec::Vp8 => "the studio sends VP8, which the viewer did not negotiate",
        VideoCodec::Vp9 => "the studio sends VP9, which the viewer did not negotiate",
        VideoCodec::Av1 => "the studio sends AV1, which the viewer did not negotiate",
    }
}

fn outgoing(ssrc: u32, sent: &Sent) -> rtp::Packet {
    rtp::Packet {
        header: rtp::header::Header {
            version: 2,
            marker: sent.marker,
            payload_type: sent.payload_type,
            sequence_number: sent.sequence,
            timestamp: sent.timestamp,
            ssrc,
            ..Default::default()
        },
        payload: sent.payload.clone(),
    }
}

fn name(ssrc: u32) -> Names {
    Names {
        chunks: vec![SourceDescriptionChunk {
            source: ssrc,
            items: vec![SourceDescriptionItem {
                sdes_type: SdesType::SdesCname,
                text: STREAM.into(),
            }],
        }],
    }
}
