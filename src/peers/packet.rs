//! RTP packets as bytes (RFC 3550 § 5.1), and how to tell them from RTCP on the same port.

use bytes::{BufMut, Bytes, BytesMut};
use media::RtpPacket;

/// Of a header without contributing sources and extensions.
const HEADER_BYTES: usize = 12;
const VERSION: u8 = 2;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const MARKER: u8 = 0x80;
/// Second bytes of RTCP (RFC 5761 § 4).
const RTCP: std::ops::RangeInclusive<u8> = 192..=223;

/// A packet with what stands in its header beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) payload_type: u8,
    pub(crate) packet: RtpPacket,
    /// The form of the header extensions (RFC 8285), and they, if there are some.
    pub(crate) extensions: Option<(u16, Bytes)>,
}

/// Whether a datagram is RTCP, if it is either.
pub(crate) fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|byte| RTCP.contains(byte))
}

/// The payload type and SSRC of a datagram that has an RTP header, sealed or not.
pub(crate) fn peek(datagram: &[u8]) -> Option<(u8, u32)> {
    let &[first, second, _, _, _, _, _, _, a, b, c, d, ..] = datagram else {
        return None;
    };
    (first >> 6 == VERSION && !RTCP.contains(&second))
        .then(|| (second & !MARKER, u32::from_be_bytes([a, b, c, d])))
}

/// Reads a packet. `None`: it is none.
pub(crate) fn parse(datagram: &Bytes) -> Option<Arrived> {
    let (payload_type, ssrc) = peek(datagram)?;
    let first = datagram[0];
    let mut begin = HEADER_BYTES + usize::from(first & 0x0f) * 4;
    let mut extensions = None;
    if first & EXTENSION != 0 {
        let head = datagram.get(begin..begin + 4)?;
        let profile = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
        begin += 4;
        if begin + length > datagram.len() {
            return None;
        }
        extensions = Some((profile, datagram.slice(begin..begin + length)));
        begin += length;
    }
    let mut end = datagram.len();
    if first & PADDING != 0 {
        let padding = usize::from(*datagram.last()?);
        if padding == 0 {
            return None;
        }
        end = end.checked_sub(padding)?;
    }
    if begin > end {
        return None;
    }
    Some(Arrived {
        payload_type,
        packet: RtpPacket {
            sequence: u16::from_be_bytes([datagram[2], datagram[3]]),
            timestamp: u32::from_be_bytes([datagram[4], datagram[5], datagram[6], datagram[7]]),
            ssrc,
            marker: datagram[1] & MARKER != 0,
            payload: datagram.slice(begin..end),
        },
        extensions,
    })
}

/// Writes a packet with a plain header.
pub(crate) fn write(payload_type: u8, packet: &RtpPacket) -> BytesMut {
    let mut datagram = BytesMut::with_capacity(HEADER_BYTES + packet.payload.len());
    datagram.put_u8(VERSION << 6);
    datagram.put_u8(payload_type | if packet.marker { MARKER } else { 0 });
    datagram.put_u16(packet.sequence);
    datagram.put_u32(packet.timestamp);
    datagram.put_u32(packet.ssrc);
    datagram.put_slice(&packet.payload);
    datagram
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(payload: &[u8]) -> RtpPacket {
        RtpPacket {
            sequence: 0x1234,
            timestamp: 0xdead_beef,
            ssrc: 0xcafe_babe,
            marker: true,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = write(96, &packet(b"picture")).freeze();

        let read = parse(&written).unwrap();

        assert_eq!(read.payload_type, 96);
        assert_eq!(read.packet, packet(b"picture"));
        assert_eq!(peek(&written), Some((96, 0xcafe_babe)));
    }

    #[test]
    fn padding_extensions_and_contributors_are_left_out() {
        let mut datagram = write(96, &packet(b"")).to_vec();
        datagram[0] |= PADDING | EXTENSION | 1;
        datagram.extend([9, 9, 9, 9]);
        datagram.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        datagram.extend(b"picture");
        datagram.extend([0, 0, 3]);

        let read = parse(&Bytes::from(datagram)).unwrap();

        assert_eq!(&read.packet.payload[..], b"picture");
        let (profile, elements) = read.extensions.unwrap();
        assert_eq!((profile, &elements[..]), (0xbede, &[1, 2, 3, 4][..]));
    }

    #[test]
    fn rtcp_is_told_from_rtp() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]));
        assert!(is_rtcp(&[0x81, 206, 0, 2]));
        assert!(!is_rtcp(&write(96, &packet(b"x"))));
        assert_eq!(peek(&[0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn what_ends_early_is_refused() {
        let whole = write(96, &packet(b"")).to_vec();
        for length in 0..whole.len() {
            assert_eq!(parse(&Bytes::copy_from_slice(&whole[..length])), None);
        }
        let mut padded = write(96, &packet(b"abc")).to_vec();
        padded[0] |= PADDING;
        for (last, taken) in [(0, false), (3, true), (15, false), (16, false)] {
            *padded.last_mut().unwrap() = last;
            assert_eq!(
                parse(&Bytes::from(padded.clone())).is_some(),
                taken,
                "{last}"
            );
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64), first in 0x80_u8..0xc0) {
            let _ = parse(&Bytes::from(bytes.clone()));
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            let _ = (is_rtcp(&bytes), parse(&Bytes::from(bytes)));
        }
    }
}
