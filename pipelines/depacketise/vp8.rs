//! VP8 in RTP (RFC 7741).

use bytes::{BufMut, BytesMut};

use super::{Assembled, Assembly, Descriptor, Malformed, check_room};

/// In front of the size in a keyframe's header (RFC 6386 § 9.1).
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

/// The frame in the making.
#[derive(Debug)]
pub(super) struct Frame {
    data: BytesMut,
}

/// A payload behind its descriptor (RFC 7741 § 4.2).
#[derive(Debug, Clone, Copy)]
struct Payload<'a> {
    descriptor: Descriptor,
    body: &'a [u8],
}

impl Frame {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            data: BytesMut::with_capacity(capacity),
        }
    }

    /// Reads a keyframe's size, without the scaling that is only a wish.
    fn size(&self) -> Result<(u32, u32), Malformed> {
        let [
            _,
            _,
            _,
            a,
            b,
            c,
            width_low,
            width_high,
            height_low,
            height_high,
            ..,
        ] = self.data[..]
        else {
            return Err(Malformed);
        };
        let number = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
        let size = (
            number(width_low, width_high),
            number(height_low, height_high),
        );
        if [a, b, c] == START_CODE && size.0 > 0 && size.1 > 0 {
            Ok(size)
        } else {
            Err(Malformed)
        }
    }
}

impl Assembly for Frame {
    fn take(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let payload = parse(payload).ok_or(Malformed)?;
        if payload.descriptor.is_first != self.data.is_empty() {
            return Err(Malformed);
        }
        check_room(self.data.len(), payload.body.len())?;
        self.data.put_slice(payload.body);
        Ok(())
    }

    fn is_keyframe(&self) -> bool {
        self.data.first().is_some_and(|tag| is_keyframe(*tag))
    }

    fn finish(&mut self) -> Result<Option<Assembled>, Malformed> {
        let keyframe = self.is_keyframe();
        let size = if keyframe { Some(self.size()?) } else { None };
        Ok(Some(Assembled {
            keyframe,
            size,
            data: std::mem::take(&mut self.data).freeze(),
        }))
    }
}

pub(super) fn describe(payload: &[u8]) -> Descriptor {
    parse(payload)
        .map(|payload| payload.descriptor)
        .unwrap_or_default()
}

pub(super) fn begins_keyframe(payload: &[u8]) -> bool {
    parse(payload).is_some_and(|payload| {
        payload.descriptor.is_first && payload.body.first().is_some_and(|tag| is_keyframe(*tag))
    })
}

/// The lowest bit of a frame is 0 in keyframes (RFC 6386 § 9.1).
fn is_keyframe(tag: u8) -> bool {
    tag & 1 == 0
}

/// Splits a payload, which must have a body.
fn parse(payload: &[u8]) -> Option<Payload<'_>> {
    let (&first, mut rest) = payload.split_first()?;
    let mut descriptor = Descriptor {
        number: None,
        // The first partition (PID 0) starts (S) here.
        is_first: first & 0x17 == 0x10,
        is_discardable: first & 0x20 != 0,
    };
    if first & 0x80 != 0 {
        let (&extension, tail) = rest.split_first()?;
        rest = tail;
        if extension & 0x80 != 0 {
            let (&high, tail) = rest.split_first()?;
            rest = tail;
            if high & 0x80 != 0 {
                let (&low, tail) = rest.split_first()?;
                rest = tail;
                descriptor.number = Some(u16::from_be_bytes([high & 0x7f, low]));
            }
        }
        // Numbers of temporal layers, then the layer and the keyframe that it builds upon.
        let skipped = usize::from(extension & 0x40 != 0) + usize::from(extension & 0x30 != 0);
        rest = rest.get(skipped..)?;
    }
    (!rest.is_empty()).then_some(Payload {
        descriptor,
        body: rest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYFRAME: [u8; 11] = [
        0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x01, 7,
    ];

    fn payload(descriptor: &[u8], body: &[u8]) -> Vec<u8> {
        [descriptor, body].concat()
    }

    fn assemble(payloads: &[Vec<u8>]) -> Result<Option<Assembled>, Malformed> {
        let mut frame = Frame::with_capacity(0);
        for payload in payloads {
            frame.take(payload)?;
        }
        frame.finish()
    }

    #[test]
    fn a_keyframe_tells_its_size_without_its_scale() {
        let picture = assemble(&[
            payload(&[0x10], &KEYFRAME[..5]),
            payload(&[0x00], &KEYFRAME[5..]),
        ])
        .unwrap()
        .unwrap();

        assert!(picture.keyframe);
        assert_eq!(picture.size, Some((640, 360)));
        assert_eq!(picture.data, KEYFRAME[..]);
    }

    #[test]
    fn another_frame_tells_none() {
        let picture = assemble(&[payload(&[0x10], &[0x31, 1, 2])])
            .unwrap()
            .unwrap();

        assert!(!picture.keyframe);
        assert_eq!(picture.size, None);
    }

    #[test]
    fn every_extension_is_skipped() {
        for (descriptor, number) in [
            (&[0x10][..], None),
            (&[0x90, 0x00], None),
            (&[0x90, 0x80, 0x45], None),
            (&[0x90, 0x80, 0xc5, 0x67], Some(0x4567)),
            (&[0x90, 0x40, 0x99], None),
            (&[0x90, 0x20, 0x99], None),
            (&[0x90, 0x10, 0x99], None),
            (&[0x90, 0xf0, 0x81, 0x02, 0x99, 0x99], Some(0x0102)),
        ] {
            let whole = payload(descriptor, &KEYFRAME);
            let parsed = parse(&whole).unwrap();
            assert_eq!(parsed.body, KEYFRAME, "{descriptor:x?}");
            assert_eq!(parsed.descriptor.number, number, "{descriptor:x?}");
            assert!(begins_keyframe(&whole), "{descriptor:x?}");
            assert!(
                parse(descriptor).is_none(),
                "{descriptor:x?} without a body"
            );
        }
    }

    #[test]
    fn only_the_first_partition_begins_a_frame() {
        assert!(!begins_keyframe(&payload(&[0x11], &KEYFRAME)));
        assert!(!begins_keyframe(&payload(&[0x00], &KEYFRAME)));
        assert!(!begins_keyframe(&payload(&[0x10], &[0x31])));
        let (first, second) = (payload(&[0x10], &KEYFRAME), payload(&[0x11], &[1]));
        assert!(assemble(&[first.clone(), second.clone()]).is_ok());
        assert_eq!(
            assemble(&[second, first.clone()]).err(),
            Some(Malformed),
            "it begins in the middle"
        );
        assert_eq!(
            assemble(&[first.clone(), first]).err(),
            Some(Malformed),
            "it begins twice"
        );
    }

    #[test]
    fn a_keyframe_without_its_code_or_size_is_refused() {
        let mut codeless = KEYFRAME;
        codeless[3] = 0;
        let mut sizeless = KEYFRAME;
        (sizeless[6], sizeless[7]) = (0, 0x40);
        for wrong in [&codeless[..], &sizeless, &KEYFRAME[..9]] {
            assert_eq!(
                assemble(&[payload(&[0x10], wrong)]).err(),
                Some(Malformed),
                "{wrong:x?}"
            );
        }
    }
}
