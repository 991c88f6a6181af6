//! A downlink whose datagrams are read as a client reads them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{RtpPacket, VideoCodec};
use ortc::{
    CodecParameters, EncodingParameters, Fmtp, HeaderExtensionParameters, RtcpFeedback,
    RtcpParameters, RtpParameters, RtxParameters,
};
use rtc::{rtcp, rtp, shared::marshal::Unmarshal};

use super::super::{
    ConsumerKey, ConsumerSetup, Downlink, DownlinkEvent, DownlinkHands, Incoming, ProducerKey,
};
use crate::{relay::Place, router::extensions::Extensions};

pub(super) const PAYLOAD_TYPE: u8 = 101;
pub(super) const REPEAT_PAYLOAD_TYPE: u8 = 102;
pub(super) const MID: u8 = 1;
pub(super) const SEND_TIME: u8 = 4;
pub(super) const TRANSPORT_SEQUENCE: u8 = 5;
pub(super) const KEYFRAME: &[u8] = &[0x65, 1, 2, 3];
pub(super) const PICTURE: &[u8] = &[0x41, 1, 2, 3];

/// What the worker would have done.
#[derive(Default)]
pub(super) struct Hands {
    pub(super) packets: Vec<rtp::Packet>,
    pub(super) compounds: Vec<Box<dyn rtcp::Packet>>,
    pub(super) wishes: Vec<(ProducerKey, u8)>,
    pub(super) events: Vec<DownlinkEvent>,
    /// Bytes of each of the packets, with what the network adds.
    pub(super) sizes: Vec<usize>,
}

impl DownlinkHands for Hands {
    fn send_rtp(&mut self, mut datagram: &[u8]) {
        self.sizes.push(datagram.len() + 38);
        self.packets
            .push(rtp::Packet::unmarshal(&mut datagram).unwrap());
    }

    fn send_rtcp(&mut self, compound: &[u8]) {
        assert!(compound.len() <= 1200, "a compound fits a datagram");
        let mut compound = Bytes::copy_from_slice(compound);
        self.compounds
            .extend(rtcp::packet::unmarshal(&mut compound).unwrap());
    }

    fn wish_keyframe(&mut self, producer: ProducerKey, layer: u8) {
        self.wishes.push((producer, layer));
    }

    fn tell(&mut self, event: DownlinkEvent) {
        self.events.push(event);
    }
}

impl Hands {
    /// The transport-wide number of a packet.
    pub(super) fn transport_sequence(packet: &rtp::Packet) -> Option<u16> {
        let value = packet.header.get_extension(TRANSPORT_SEQUENCE)?;
        Some(u16::from_be_bytes([value[0], value[1]]))
    }
}

/// A downlink, connected, and its time.
pub(super) struct Rig {
    pub(super) downlink: Downlink,
    pub(super) hands: Hands,
    pub(super) start: Instant,
    pub(super) now: Instant,
    sequences: BTreeMap<(ProducerKey, u8), u16>,
}

impl Rig {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let mut hands = Hands::default();
        let mut downlink = Downlink::new(now);
        downlink.begin(now, &mut hands);
        Self {
            downlink,
            hands,
            start: now,
            now,
            sequences: BTreeMap::new(),
        }
    }

    /// Time passes, with whatever falls due.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.downlink.poll_timeout().filter(|due| *due <= until) {
            let before = (self.now, due);
            self.now = due.max(self.now);
            self.downlink.handle_timeout(self.now, &mut self.hands);
            let after = self.downlink.poll_timeout();
            assert!(
                after.is_none_or(|after| after > self.now),
                "{before:?} {after:?}"
            );
        }
        self.now = until;
    }

    pub(super) fn add(&mut self, setup: ConsumerSetup) {
        self.downlink.add(setup, self.now, &mut self.hands);
    }

    /// The next packet of a producer's layer. Its SSRC tells both.
    pub(super) fn give(&mut self, producer: ProducerKey, layer: u8, payload: &'static [u8]) {
        let packet = self.next(producer, layer, Bytes::from_static(payload));
        self.give_packet(producer, layer, &packet);
    }

    /// The same, filled up with zeroes to so many bytes.
    pub(super) fn give_sized(
        &mut self,
        producer: ProducerKey,
        layer: u8,
        begin: &[u8],
        bytes: usize,
    ) {
        let mut payload = begin.to_vec();
        payload.resize(bytes.max(begin.len()), 0);
        let packet = self.next(producer, layer, payload.into());
        self.give_packet(producer, layer, &packet);
    }

    pub(super) fn give_packet(&mut self, producer: ProducerKey, layer: u8, packet: &RtpPacket) {
        let incoming = Incoming {
            producer,
            layer,
            packet,
            extensions: &Extensions::default(),
            begins_keyframe: packet.payload.first() == Some(&KEYFRAME[0]),
        };
        self.downlink
            .handle_packet(&incoming, self.now, &mut self.hands);
    }

    fn next(&mut self, producer: ProducerKey, layer: u8, payload: Bytes) -> RtpPacket {
        let sequence = self.sequences.entry((producer, layer)).or_insert(7);
        *sequence = sequence.wrapping_add(1);
        let passed = (self.now - self.start).as_millis() * 90;
        RtpPacket {
            sequence: *sequence,
            timestamp: u32::try_from(passed).unwrap(),
            ssrc: producer * 10 + u32::from(layer),
            marker: true,
            payload,
        }
    }

    /// The client tells something.
    pub(super) fn tell(&mut self, packet: impl rtcp::Packet + 'static) {
        let packets: Vec<Box<dyn rtcp::Packet>> = vec![Box::new(packet)];
        self.downlink
            .handle_rtcp(&packets, self.now, &mut self.hands);
    }

    /// What the owner heard of layers since the last time.
    pub(super) fn changes(&mut self) -> Vec<(ConsumerKey, Option<u8>)> {
        let events = std::mem::take(&mut self.hands.events);
        let changes = events.into_iter().filter_map(|event| match event {
            DownlinkEvent::LayersChanged(consumer, layer) => Some((consumer, layer)),
            DownlinkEvent::Bandwidth(_) => None,
        });
        changes.collect()
    }
}

/// Pictures of a producer, to the consumer of the same number; the SSRC is 1000 more.
pub(super) fn pictures(number: u32, layers: u8) -> ConsumerSetup {
    let codec = |kind: &str, payload_type, parameters: &str, feedback: &[(&str, &str)]| {
        let feedback = feedback.iter().map(|(kind, parameter)| RtcpFeedback {
            kind: (*kind).to_owned(),
            parameter: (*parameter).to_owned(),
        });
        CodecParameters {
            mime_type: format!("video/{kind}"),
            payload_type,
            clock_rate: 90_000,
            channels: None,
            parameters: serde_json::from_str::<Fmtp>(parameters).unwrap(),
            rtcp_feedback: feedback.collect(),
        }
    };
    let feedback = [("nack", ""), ("nack", "pli"), ("transport-cc", "")];
    ConsumerSetup {
        key: number,
        producer: number,
        clock: 1,
        first: Place {
            sequence: 65_500,
            timestamp: 1_000_000,
        },
        video: Some(VideoCodec::H264),
        clock_rate: 90_000,
        layers,
        rtp: RtpParameters {
            mid: Some(number.to_string()),
            codecs: vec![
                codec("H264", PAYLOAD_TYPE, "{}", &feedback),
                codec("rtx", REPEAT_PAYLOAD_TYPE, r#"{"apt":101}"#, &[]),
            ],
            header_extensions: extensions(),
            encodings: vec![EncodingParameters {
                ssrc: Some(1000 + number),
                rtx: Some(RtxParameters {
                    ssrc: 2000 + number,
                }),
                ..EncodingParameters::default()
            }],
            rtcp: RtcpParameters {
                cname: Some("somebody".to_owned()),
                ..RtcpParameters::default()
            },
            msid: None,
        },
        paused: false,
        producer_paused: false,
    }
}

/// Sound of a producer, likewise.
pub(super) fn sound(number: u32) -> ConsumerSetup {
    let mut setup = pictures(number, 1);
    setup.video = None;
    setup.clock_rate = 48_000;
    setup.rtp.codecs.truncate(1);
    setup.rtp.codecs[0].mime_type = "audio/opus".to_owned();
    setup.rtp.codecs[0].rtcp_feedback.clear();
    setup.rtp.encodings[0].rtx = None;
    setup
}

fn extensions() -> Vec<HeaderExtensionParameters> {
    let uris = [
        (MID, "urn:ietf:params:rtp-hdrext:sdes:mid"),
        (
            SEND_TIME,
            "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        ),
        (
            TRANSPORT_SEQUENCE,
            "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        ),
    ];
    uris.iter()
        .map(|(id, uri)| HeaderExtensionParameters {
            uri: (*uri).to_owned(),
            id: *id,
            encrypt: false,
            parameters: Fmtp::new(),
        })
        .collect()
}
