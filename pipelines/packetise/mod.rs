//! Whole coded pictures to RTP packets: H.264 (RFC 6184, packetization mode 1), VP8 (RFC 7741) and VP9 (RFC 9628).

mod h264;
mod vp;

use bytes::{BufMut, Bytes, BytesMut};
use media::{CodecConfig, VideoCodec};

pub(crate) use self::h264::nal_units;

/// Payload bytes of a packet that goes over a network, so that it fits into an MTU of 1280 with what stands around it.
pub const NETWORK_PAYLOAD_BYTES: usize = 1_200;

/// The fewest payload bytes that leave room for the headers of every codec and for parameter sets.
const LEAST_PAYLOAD_BYTES: usize = 64;

/// Bytes of an RTP header without extensions (RFC 3550 § 5.1).
const HEADER_BYTES: usize = 12;

/// The picture id of VP8 and VP9 has 15 bits here.
const PICTURE_ID_MASK: u16 = 0x7fff;

/// A picture as an engine is given it.
#[derive(Debug, Clone, Copy)]
pub struct Coded<'a> {
    /// In the clock of 90 kHz, wraps.
    pub rtp_timestamp: u32,
    /// Whether a decoder can begin here.
    pub keyframe: bool,
    /// H.264: the parameters in force, which go in front of each keyframe.
    pub config: Option<&'a CodecConfig>,
    /// H.264: NAL units behind 4-byte lengths; VP8 and VP9: the frame.
    pub data: &'a [u8],
}

/// What the packets of a stream have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Synchronisation source.
    pub ssrc: u32,
    /// 0 to 127.
    pub payload_type: u8,
    /// The sequence number of the first packet.
    pub sequence: u16,
    /// The most bytes of a payload, at least 64.
    pub payload_bytes: usize,
}

/// Makes the packets of one stream.
#[derive(Debug)]
pub struct Packetiser {
    codec: VideoCodec,
    stream: Stream,
    picture_id: u16,
    packet: BytesMut,
    /// Packets that were made, ever.
    packets: u32,
    /// Payload bytes of them, ever.
    octets: u32,
}

impl Packetiser {
    /// `None` for AV1, whose packets nobody here makes.
    pub fn new(codec: VideoCodec, stream: Stream) -> Option<Self> {
        match codec {
            VideoCodec::H264 | VideoCodec::Vp8 | VideoCodec::Vp9 => Some(Self {
                codec,
                stream: Stream {
                    payload_type: stream.payload_type & 0x7f,
                    payload_bytes: stream.payload_bytes.max(LEAST_PAYLOAD_BYTES),
                    ..stream
                },
                picture_id: stream.sequence & PICTURE_ID_MASK,
                packet: BytesMut::new(),
                packets: 0,
                octets: 0,
            }),
            VideoCodec::Av1 => None,
        }
    }

    /// Hands each packet of a picture to `send`, the last one with the marker. Nothing for a picture without data.
    pub fn packetise(&mut self, picture: &Coded<'_>, mut send: impl FnMut(&[u8])) {
        let limit = self.stream.payload_bytes;
        let timestamp = picture.rtp_timestamp;
        match self.codec {
            VideoCodec::H264 => h264::payloads(picture, limit, &mut |parts, is_last| {
                send(self.packet(timestamp, parts, is_last));
            }),
            VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1 => {
                let id = self.picture_id;
                self.picture_id = (id + 1) & PICTURE_ID_MASK;
                let descriptor = if self.codec == VideoCodec::Vp8 {
                    vp::vp8
                } else {
                    vp::vp9
                };
                vp::payloads(picture, id, limit, descriptor, &mut |parts, is_last| {
                    send(self.packet(timestamp, parts, is_last));
                });
            }
        }
    }

    /// Makes the packet of an H.264 access unit delimiter (ITU-T H.264 § 7.3.2.4), which ends the picture before it.
    pub fn delimiter(&mut self, rtp_timestamp: u32) -> &[u8] {
        self.packet(rtp_timestamp, &[&[0x09, 0xf0]], false)
    }

    /// Makes a sender report (RFC 3550 § 6.4.1): at `ntp` (seconds since 1900 in 32.32 bits) the clock showed this.
    pub fn sender_report(&self, ntp: u64, rtp_timestamp: u32) -> Bytes {
        let mut report = BytesMut::with_capacity(28);
        // Version 2, no report blocks, 6 words behind the first.
        report.put_slice(&[0x80, 200, 0, 6]);
        report.put_u32(self.stream.ssrc);
        report.put_u64(ntp);
        report.put_u32(rtp_timestamp);
        report.put_u32(self.packets);
        report.put_u32(self.octets);
        report.freeze()
    }

    fn packet(&mut self, timestamp: u32, parts: &[&[u8]], marker: bool) -> &[u8] {
        self.packet.clear();
        self.packet
            .reserve(HEADER_BYTES + self.stream.payload_bytes);
        self.packet.put_u8(0x80);
        self.packet
            .put_u8(u8::from(marker) << 7 | self.stream.payload_type);
        self.packet.put_u16(self.stream.sequence);
        self.packet.put_u32(timestamp);
        self.packet.put_u32(self.stream.ssrc);
        for part in parts {
            self.packet.put_slice(part);
        }
        self.stream.sequence = self.stream.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::try_from(self.packet.len() - HEADER_BYTES).unwrap_or_default();
        self.octets = self.octets.wrapping_add(octets);
        &self.packet
    }
}

#[cfg(test)]
mod tests;
