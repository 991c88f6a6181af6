//! Pictures and sound as RTP packets.

use std::time::Duration;

use bytes::Bytes;
use media::{AccessUnit, RtpPacket, SenderReport, VideoCodec};
use pipelines::{
    packetise::{Coded, NETWORK_PAYLOAD_BYTES, Packetiser, Stream},
    path::OpusPacket,
};

/// RTP clock of pictures (RFC 6184 § 5.1).
const VIDEO_HZ: u128 = 90_000;

/// RTP clock of Opus (RFC 7587 § 4.1).
const AUDIO_HZ: u128 = 48_000;

const NANOSECONDS: u128 = 1_000_000_000;

/// Bytes of an RTP header without extensions (RFC 3550 § 5.1).
const HEADER_BYTES: usize = 12;

/// The picture on its way out. SSRC and payload type are the connection's business.
#[derive(Debug)]
pub(super) struct PictureTrack {
    packetiser: Packetiser,
    base: u32,
}

/// The sound on its way out.
#[derive(Debug)]
pub(super) struct SoundTrack {
    sequence: u16,
    base: u32,
}

impl PictureTrack {
    /// A track that begins at `sequence`, and whose clock shows `base` where the timeline begins.
    pub(super) fn new(sequence: u16, base: u32) -> Option<Self> {
        let stream = Stream {
            ssrc: 0,
            payload_type: 0,
            sequence,
            payload_bytes: NETWORK_PAYLOAD_BYTES,
        };
        let packetiser = Packetiser::new(VideoCodec::H264, stream)?;
        Some(Self { packetiser, base })
    }

    /// Hands out the packets of a picture. Parameter sets go in front of each keyframe.
    pub(super) fn packets(&mut self, picture: &AccessUnit, mut hand_out: impl FnMut(RtpPacket)) {
        let timestamp = clock(self.base, picture.timestamp, VIDEO_HZ);
        let coded = Coded {
            rtp_timestamp: timestamp,
            keyframe: picture.keyframe,
            config: Some(&picture.config),
            data: &picture.data,
        };
        self.packetiser.packetise(&coded, |packet| {
            if let Some(([_, second, high, low, ..], payload)) =
                packet.split_first_chunk::<HEADER_BYTES>()
            {
                hand_out(RtpPacket {
                    sequence: u16::from_be_bytes([*high, *low]),
                    timestamp,
                    ssrc: 0,
                    marker: second & 0x80 != 0,
                    payload: Bytes::copy_from_slice(payload),
                });
            }
        });
    }

    /// What the clock shows at a place on the timeline.
    pub(super) fn report(&self, ntp_time: Duration, place: Duration) -> SenderReport {
        SenderReport {
            ssrc: 0,
            ntp_time,
            rtp_timestamp: clock(self.base, place, VIDEO_HZ),
        }
    }
}

impl SoundTrack {
    /// As the picture's.
    pub(super) const fn new(sequence: u16, base: u32) -> Self {
        Self { sequence, base }
    }

    /// Returns a packet of sound as one of RTP.
    pub(super) fn packet(&mut self, sound: OpusPacket) -> RtpPacket {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        RtpPacket {
            sequence,
            timestamp: self.base.wrapping_add(low(u128::from(sound.place))),
            ssrc: 0,
            marker: false,
            payload: sound.data,
        }
    }

    /// What the clock shows at a place on the timeline.
    pub(super) fn report(&self, ntp_time: Duration, place: Duration) -> SenderReport {
        SenderReport {
            ssrc: 0,
            ntp_time,
            rtp_timestamp: clock(self.base, place, AUDIO_HZ),
        }
    }
}

fn clock(base: u32, place: Duration, hz: u128) -> u32 {
    base.wrapping_add(low(place.as_nanos() * hz / NANOSECONDS))
}

#[expect(clippy::cast_possible_truncation, reason = "RTP clocks wrap")]
const fn low(ticks: u128) -> u32 {
    ticks as u32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use media::{CodecConfig, VideoConfig};

    use super::*;

    /// A configuration with one set of each kind.
    const RECORD: &[u8] = &[
        1, 66, 0, 30, 0xff, 0xe1, 0, 4, 0x67, 66, 0, 30, 1, 0, 2, 0x68, 1,
    ];

    fn picture(timestamp: Duration, keyframe: bool, bytes: usize) -> AccessUnit {
        let mut data = u32::try_from(bytes).unwrap().to_be_bytes().to_vec();
        data.push(if keyframe { 0x65 } else { 0x41 });
        data.resize(4 + bytes, 7);
        AccessUnit {
            timestamp,
            keyframe,
            config: Arc::new(CodecConfig::Avc(VideoConfig {
                decoder_configuration: Bytes::from_static(RECORD),
                width: 640,
                height: 360,
            })),
            data: data.into(),
        }
    }

    fn packets(track: &mut PictureTrack, picture: &AccessUnit) -> Vec<RtpPacket> {
        let mut packets = Vec::new();
        track.packets(picture, |packet| packets.push(packet));
        packets
    }

    #[test]
    fn parameter_sets_go_in_front_of_each_keyframe_and_of_no_other_picture() {
        let mut track = PictureTrack::new(65_535, 0).unwrap();

        let keyframe = packets(&mut track, &picture(Duration::ZERO, true, 100));
        let other = packets(&mut track, &picture(Duration::from_secs(1), false, 100));

        assert_eq!(keyframe.len(), 2);
        assert_eq!(
            keyframe[0].payload[..],
            [0x78, 0, 4, 0x67, 66, 0, 30, 0, 2, 0x68, 1]
        );
        assert_eq!(keyframe[1].payload[0], 0x65);
        let markers: Vec<bool> = keyframe.iter().map(|packet| packet.marker).collect();
        assert_eq!(markers, [false, true]);
        assert_eq!((keyframe[0].sequence, keyframe[1].sequence), (65_535, 0));
        assert_eq!(other.len(), 1);
        assert_eq!((other[0].sequence, other[0].timestamp), (1, 90_000));
    }

    #[test]
    fn both_clocks_show_the_same_place_whenever_they_wrap() {
        let mut pictures = PictureTrack::new(0, u32::MAX - 10).unwrap();
        let mut sounds = SoundTrack::new(0, u32::MAX - 20);
        let place = Duration::from_secs(100_000);

        let picture = packets(&mut pictures, &picture(place, false, 10));
        let sound = sounds.packet(OpusPacket {
            place: 100_000 * 48_000,
            data: Bytes::from_static(&[0xfc, 1]),
        });

        assert_eq!(
            picture[0].timestamp,
            pictures.report(Duration::ZERO, place).rtp_timestamp
        );
        assert_eq!(
            sound.timestamp,
            sounds.report(Duration::ZERO, place).rtp_timestamp
        );
    }
}
