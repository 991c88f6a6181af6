//! VP9 in RTP (RFC 9628), flexible and non-flexible mode, profile 0.

use bytes::{BufMut, BytesMut};

use super::{Assembled, Assembly, Descriptor, Malformed, check_room};
use crate::bits::Bits;

/// In a keyframe's header (VP9 bitstream § 7.2.1).
const SYNC_CODE: u32 = 0x49_83_42;

/// The colour space that says RGB, which profile 0 does not have.
const RGB: u32 = 7;

/// The most pictures that one refers to in flexible mode.
const REFERENCES_LIMIT: usize = 3;

/// The frames of one instant in the making: one for each spatial layer.
#[derive(Debug)]
pub(super) struct Frames {
    data: BytesMut,
    /// Whether a frame has begun and not ended.
    is_open: bool,
    is_keyframe: bool,
    /// Of the keyframe.
    size: Option<(u32, u32)>,
    /// Of each spatial layer, when the sender told.
    layer_sizes: Vec<(u32, u32)>,
    /// The highest spatial layer that has come.
    top_layer: u8,
}

/// A payload behind its descriptor (RFC 9628 § 4.2).
#[derive(Debug)]
struct Payload<'a> {
    number: Option<u16>,
    begins_frame: bool,
    ends_frame: bool,
    layer: u8,
    /// Empty unless the scalability structure is there and tells them.
    layer_sizes: Vec<(u32, u32)>,
    body: &'a [u8],
}

impl Frames {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            data: BytesMut::with_capacity(capacity),
            is_open: false,
            is_keyframe: false,
            size: None,
            layer_sizes: Vec::new(),
            top_layer: 0,
        }
    }
}

impl Assembly for Frames {
    fn take(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let payload = parse(payload).ok_or(Malformed)?;
        if payload.begins_frame == self.is_open {
            return Err(Malformed);
        }
        if self.data.is_empty() {
            let header = FrameHeader::parse(payload.body).ok_or(Malformed)?;
            (self.is_keyframe, self.size) = (header.size.is_some(), header.size);
        }
        check_room(self.data.len(), payload.body.len())?;
        self.data.put_slice(payload.body);
        self.is_open = !payload.ends_frame;
        self.top_layer = self.top_layer.max(payload.layer);
        if !payload.layer_sizes.is_empty() {
            self.layer_sizes = payload.layer_sizes;
        }
        Ok(())
    }

    fn is_keyframe(&self) -> bool {
        self.is_keyframe
    }

    fn finish(&mut self) -> Result<Option<Assembled>, Malformed> {
        if self.is_open {
            return Err(Malformed);
        }
        let told = self.layer_sizes.get(usize::from(self.top_layer)).copied();
        Ok(Some(Assembled {
            keyframe: self.is_keyframe,
            // With spatial layers the keyframe is the smallest of them.
            size: self.size.map(|size| told.unwrap_or(size)),
            data: std::mem::take(&mut self.data).freeze(),
        }))
    }
}

/// The front of a frame's uncompressed header (VP9 bitstream § 6.2).
#[derive(Debug)]
struct FrameHeader {
    /// Of a keyframe.
    size: Option<(u32, u32)>,
}

impl FrameHeader {
    fn parse(frame: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(frame);
        let (marker, profile) = (bits.read(2)?, bits.read(2)?);
        if marker != 2 || profile != 0 {
            return None;
        }
        let (shows_existing, is_inter) = (bits.flag()?, bits.flag()?);
        if shows_existing || is_inter {
            return Some(Self { size: None });
        }
        let _shown_and_resilient = bits.read(2)?;
        if bits.read(24)? != SYNC_CODE || bits.read(3)? == RGB {
            return None;
        }
        let _range = bits.flag()?;
        let (width, height) = (bits.read(16)? + 1, bits.read(16)? + 1);
        Some(Self {
            size: Some((width, height)),
        })
    }
}

pub(super) fn describe(payload: &[u8]) -> Descriptor {
    parse(payload)
        .map(|payload| Descriptor {
            number: payload.number,
            is_first: payload.begins_frame && payload.layer == 0,
            is_discardable: false,
        })
        .unwrap_or_default()
}

pub(super) fn begins_keyframe(payload: &[u8]) -> bool {
    parse(payload).is_some_and(|payload| {
        payload.begins_frame
            && payload.layer == 0
            && FrameHeader::parse(payload.body).is_some_and(|header| header.size.is_some())
    })
}

/// Splits a payload, which must have a body.
fn parse(payload: &[u8]) -> Option<Payload<'_>> {
    let mut reader = Reader(payload);
    let flags = reader.byte()?;
    let has = |flag| flags & flag != 0;
    let (is_predicted, is_flexible) = (has(0x40), has(0x10));
    let mut number = None;
    if has(0x80) {
        let high = reader.byte()?;
        if high & 0x80 != 0 {
            number = Some(u16::from_be_bytes([high & 0x7f, reader.byte()?]));
        }
    }
    let mut layer = 0;
    if has(0x20) {
        layer = reader.byte()? >> 1 & 7;
        if !is_flexible {
            let _base_layer_number = reader.byte()?;
        }
    }
    if is_flexible && is_predicted {
        let mut references = 1;
        while reader.byte()? & 1 != 0 {
            references += 1;
            if references > REFERENCES_LIMIT {
                return None;
            }
        }
    }
    let layer_sizes = if has(0x02) {
        reader.layer_sizes()?
    } else {
        Vec::new()
    };
    let body = reader.0;
    (!body.is_empty()).then_some(Payload {
        number,
        begins_frame: has(0x08),
        ends_frame: has(0x04),
        layer,
        layer_sizes,
        body,
    })
}

/// What has not been read of a payload.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from(u16::from_be_bytes([self.byte()?, self.byte()?])))
    }

    /// The scalability structure (RFC 9628 § 4.2.1), of which only the sizes matter here.
    fn layer_sizes(&mut self) -> Option<Vec<(u32, u32)>> {
        let flags = self.byte()?;
        let mut sizes = Vec::new();
        if flags & 0x10 != 0 {
            for _ in 0..=flags >> 5 {
                sizes.push((self.number()?, self.number()?));
            }
        }
        if flags & 0x08 != 0 {
            for _ in 0..self.byte()? {
                let references = self.byte()? >> 2 & 3;
                for _ in 0..references {
                    self.byte()?;
                }
            }
        }
        Some(sizes)
    }
}

#[cfg(test)]
#[path = "vp9_tests.rs"]
mod tests;
