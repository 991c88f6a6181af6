//! A packet as a consumer gets it, and its bytes: header, header extensions (RFC 8285), payload. Pure.

use bytes::Bytes;
use ortc::{
    RtpParameters,
    extension::{
        ABSOLUTE_CAPTURE_TIME, ABSOLUTE_SEND_TIME, AUDIO_LEVEL, MID, PLAYOUT_DELAY,
        TRANSPORT_SEQUENCE,
    },
};

use super::vp8::Front;
use crate::router::extensions::{Extensions, ORIENTATION};

const VERSION: u8 = 2 << 6;
const EXTENSION: u8 = 0x10;
const MARKER: u8 = 0x80;
/// What one-byte headers can name and hold (RFC 8285 § 4.2).
const HIGHEST_SHORT_ID: u8 = 14;
const LONGEST_SHORT_VALUE: usize = 16;
const SHORT_PROFILE: u16 = 0xbede;
const LONG_PROFILE: u16 = 0x1000;

/// A packet on its way to a consumer. Its payload is shared by all consumers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    pub(super) extensions: Extensions,
    /// What stands in place of the payload's beginning.
    pub(super) front: Front,
    pub(super) payload: Bytes,
}

impl Packet {
    /// Bytes of the payload as it goes out.
    pub(super) fn payload_bytes(&self) -> usize {
        self.front.bytes().len() + self.payload.len() - usize::from(self.front.replaced)
    }
}

/// What the moment of sending adds to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    /// Units of 2^-18 s, 24 bits.
    pub(super) send_time: u32,
    pub(super) transport_sequence: u16,
}

/// The stream in which a packet goes: its own, or the one of repeated packets (RFC 4588).
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    /// As it was first sent.
    Media {
        /// Of the consumer.
        ssrc: u32,
    },
    /// Again.
    Repeated {
        /// Of the repeated packets.
        ssrc: u32,
        /// Of the repeated packets.
        payload_type: u8,
        /// The next number there.
        sequence: u16,
    },
}

/// The consumer's ids of the header extensions that we write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ExtensionIds {
    mid: Option<(u8, Vec<u8>)>,
    send_time: Option<u8>,
    transport_sequence: Option<u8>,
    audio_level: Option<u8>,
    orientation: Option<u8>,
    capture_time: Option<u8>,
    playout_delay: Option<u8>,
    is_long: bool,
}

impl ExtensionIds {
    /// Those of these parameters. Ids outside 1 to 255 do not exist; 15 does not in one-byte headers.
    pub(super) fn new(parameters: &RtpParameters) -> Self {
        let id_of = |uri: &str| {
            let known = parameters
                .header_extensions
                .iter()
                .find(|extension| extension.uri == uri && extension.id > 0);
            known.map(|extension| extension.id)
        };
        let mid = parameters.mid.as_deref().unwrap_or_default().as_bytes();
        let mut ids = Self {
            mid: id_of(MID)
                .filter(|_| !mid.is_empty() && u8::try_from(mid.len()).is_ok())
                .map(|id| (id, mid.to_vec())),
            send_time: id_of(ABSOLUTE_SEND_TIME),
            transport_sequence: id_of(TRANSPORT_SEQUENCE),
            audio_level: id_of(AUDIO_LEVEL),
            orientation: id_of(ORIENTATION),
            capture_time: id_of(ABSOLUTE_CAPTURE_TIME),
            playout_delay: id_of(PLAYOUT_DELAY),
            is_long: false,
        };
        let is_long_id = |id: &Option<u8>| id.is_some_and(|id| id > HIGHEST_SHORT_ID);
        ids.is_long = [
            ids.mid.as_ref().map(|(id, _)| *id),
            ids.send_time,
            ids.transport_sequence,
            ids.audio_level,
            ids.orientation,
            ids.capture_time,
            ids.playout_delay,
        ]
        .iter()
        .any(is_long_id)
            || mid.len() > LONGEST_SHORT_VALUE;
        ids
    }

    /// Whether packets carry transport-wide numbers.
    pub(super) const fn has_transport_sequence(&self) -> bool {
        self.transport_sequence.is_some()
    }

    /// Writes a packet into an emptied `datagram`.
    pub(super) fn write(
        &self,
        packet: &Packet,
        stream: Stream,
        stamp: Stamp,
        datagram: &mut Vec<u8>,
    ) {
        let (ssrc, payload_type, sequence) = match stream {
            Stream::Media { ssrc } => (ssrc, packet.payload_type, packet.sequence),
            Stream::Repeated {
                ssrc,
                payload_type,
                sequence,
            } => (ssrc, payload_type, sequence),
        };
        datagram.clear();
        datagram.push(VERSION);
        datagram.push(payload_type | if packet.marker { MARKER } else { 0 });
        datagram.extend(sequence.to_be_bytes());
        datagram.extend(packet.timestamp.to_be_bytes());
        datagram.extend(ssrc.to_be_bytes());
        self.write_extensions(&packet.extensions, stamp, datagram);
        if matches!(stream, Stream::Repeated { .. }) {
            datagram.extend(packet.sequence.to_be_bytes());
        }
        datagram.extend(packet.front.bytes());
        datagram.extend(&packet.payload[usize::from(packet.front.replaced)..]);
    }

    fn write_extensions(&self, extensions: &Extensions, stamp: Stamp, datagram: &mut Vec<u8>) {
        let begin = datagram.len();
        let profile = if self.is_long {
            LONG_PROFILE
        } else {
            SHORT_PROFILE
        };
        datagram.extend(profile.to_be_bytes());
        datagram.extend([0, 0]);
        let elements = datagram.len();
        if let Some((id, mid)) = &self.mid {
            self.write_element(*id, &[mid], datagram);
        }
        if let Some(id) = self.send_time {
            let [_, time @ ..] = stamp.send_time.to_be_bytes();
            self.write_element(id, &[&time], datagram);
        }
        if let Some(id) = self.transport_sequence {
            self.write_element(id, &[&stamp.transport_sequence.to_be_bytes()], datagram);
        }
        if let (Some(id), Some(level)) = (self.audio_level, extensions.audio_level) {
            self.write_element(id, &[&[level]], datagram);
        }
        if let (Some(id), Some(orientation)) = (self.orientation, extensions.orientation) {
            self.write_element(id, &[&[orientation]], datagram);
        }
        if let (Some(id), Some((time, offset))) = (self.capture_time, &extensions.capture_time) {
            let offset = offset.as_ref().map_or(&[][..], |offset| &offset[..]);
            self.write_element(id, &[time, offset], datagram);
        }
        if let (Some(id), Some(delay)) = (self.playout_delay, &extensions.playout_delay) {
            self.write_element(id, &[delay], datagram);
        }
        let length = datagram.len() - elements;
        if length == 0 {
            datagram.truncate(begin);
            return;
        }
        let words = length.div_ceil(4);
        datagram.resize(elements + words * 4, 0);
        let words = u16::try_from(words).unwrap_or(0).to_be_bytes();
        datagram[begin + 2..elements].copy_from_slice(&words);
        datagram[0] |= EXTENSION;
    }

    /// Writes one element, of parts that are 1 to 16 bytes together unless headers are long.
    fn write_element(&self, id: u8, parts: &[&[u8]], datagram: &mut Vec<u8>) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let length = u8::try_from(length).unwrap_or(0);
        if self.is_long {
            datagram.extend([id, length]);
        } else {
            datagram.push(id << 4 | length.saturating_sub(1));
        }
        for part in parts {
            datagram.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use ortc::HeaderExtensionParameters;
    use proptest::prelude::*;
    use rtc::{
        rtp,
        shared::marshal::{Marshal, Unmarshal},
    };

    use super::*;

    fn parameters(mid: &str, extensions: &[(&str, u8)]) -> RtpParameters {
        RtpParameters {
            mid: Some(mid.to_owned()),
            header_extensions: extensions
                .iter()
                .map(|(uri, id)| HeaderExtensionParameters {
                    uri: (*uri).to_owned(),
                    id: *id,
                    encrypt: false,
                    parameters: ortc::Fmtp::new(),
                })
                .collect(),
            ..RtpParameters::default()
        }
    }

    fn packet(extensions: Extensions) -> Packet {
        Packet {
            sequence: 0x1234,
            timestamp: 0xdead_beef,
            payload_type: 101,
            marker: true,
            extensions,
            front: Front::default(),
            payload: Bytes::from_static(b"picture"),
        }
    }

    const STAMP: Stamp = Stamp {
        send_time: 0x01_0203,
        transport_sequence: 0xabcd,
    };

    fn written(ids: &ExtensionIds, packet: &Packet, stream: Stream) -> rtp::Packet {
        let mut datagram = vec![1, 2, 3];
        ids.write(packet, stream, STAMP, &mut datagram);
        let read = rtp::Packet::unmarshal(&mut &datagram[..]).unwrap();
        assert_eq!(
            read.marshal().unwrap().len(),
            datagram.len(),
            "nothing is left over"
        );
        read
    }

    #[test]
    fn extensions_get_the_consumers_ids() {
        let extensions = Extensions {
            audio_level: Some(0x8a),
            orientation: Some(2),
            playout_delay: Some([1, 2, 3]),
            capture_time: Some(([7; 8], Some([8; 8]))),
            send_time: Some(99),
        };
        let all = [
            (MID, 1),
            (ABSOLUTE_SEND_TIME, 4),
            (TRANSPORT_SEQUENCE, 5),
            (AUDIO_LEVEL, 6),
            (ORIENTATION, 8),
            (ABSOLUTE_CAPTURE_TIME, 10),
            (PLAYOUT_DELAY, 11),
        ];
        for shift in [0, 100] {
            let ids: Vec<_> = all.iter().map(|(uri, id)| (*uri, id + shift)).collect();
            let ids = ExtensionIds::new(&parameters("17", &ids));

            let read = written(&ids, &packet(extensions), Stream::Media { ssrc: 77 });

            let value = |id: u8| read.header.get_extension(id + shift).unwrap().to_vec();
            assert_eq!(value(1), b"17");
            assert_eq!(value(4), [1, 2, 3]);
            assert_eq!(value(5), [0xab, 0xcd]);
            assert_eq!(value(6), [0x8a]);
            assert_eq!(value(8), [2]);
            assert_eq!(value(10), [[7; 8], [8; 8]].concat());
            assert_eq!(value(11), [1, 2, 3]);
            assert_eq!(&read.payload[..], b"picture");
            let header = &read.header;
            assert_eq!((header.ssrc, header.payload_type), (77, 101));
            assert_eq!(
                (header.sequence_number, header.timestamp),
                (0x1234, 0xdead_beef)
            );
            assert!(header.marker);
        }
    }

    #[test]
    fn what_was_not_negotiated_or_did_not_come_is_not_sent() {
        let none = ExtensionIds::new(&parameters("1", &[]));
        let some = ExtensionIds::new(&parameters("", &[(MID, 1), (AUDIO_LEVEL, 6)]));
        let loud = Extensions {
            audio_level: Some(1),
            ..Extensions::default()
        };

        for (ids, extensions) in [(&none, loud), (&some, Extensions::default())] {
            let read = written(ids, &packet(extensions), Stream::Media { ssrc: 1 });
            assert!(!read.header.extension);
        }
    }

    #[test]
    fn a_repeated_packet_names_its_first_number() {
        let ids = ExtensionIds::new(&parameters("1", &[(MID, 1)]));
        let stream = Stream::Repeated {
            ssrc: 78,
            payload_type: 102,
            sequence: 5,
        };

        let read = written(&ids, &packet(Extensions::default()), stream);

        assert_eq!(&read.payload[..], b"\x12\x34picture");
        let header = &read.header;
        assert_eq!((header.ssrc, header.payload_type), (78, 102));
        assert_eq!((header.sequence_number, header.timestamp), (5, 0xdead_beef));
    }

    proptest! {
        #[test]
        fn any_ids_and_names_make_a_readable_packet(
            mid in "[a-z0-9]{0,40}", ids in prop::collection::vec(1..=255_u8, 7), level: Option<u8>, offset: Option<[u8; 8]>
        ) {
            let uris = [MID, ABSOLUTE_SEND_TIME, TRANSPORT_SEQUENCE, AUDIO_LEVEL, ORIENTATION, ABSOLUTE_CAPTURE_TIME, PLAYOUT_DELAY];
            let extensions: Vec<_> = uris.into_iter().zip(ids).collect();
            let ids = ExtensionIds::new(&parameters(&mid, &extensions));
            let packet = packet(Extensions {
                audio_level: level,
                capture_time: Some(([1; 8], offset)),
                ..Extensions::default()
            });

            let read = written(&ids, &packet, Stream::Media { ssrc: 1 });

            prop_assert_eq!(&read.payload[..], b"picture");
        }
    }
}
