//! AV1 in RTP (AV1 RTP payload specification 1.0), to a temporal unit in the low-overhead format.

use bytes::{BufMut, BytesMut};

use super::{Assembled, Assembly, Malformed, check_room};
use crate::bits::Bits;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;
const TILE_LIST: u8 = 8;

/// In an OBU's first byte: a size follows.
const HAS_SIZE: u8 = 0x02;

/// In an OBU's first byte: a second byte of header follows.
const HAS_EXTENSION: u8 = 0x04;

/// The longest size of the format that says less than 2^32 (AV1 § 4.10.5).
const SIZE_BYTES_LIMIT: usize = 5;

/// The OBUs of one instant in the making.
#[derive(Debug)]
pub(super) struct TemporalUnit {
    data: BytesMut,
    /// The OBU that goes on in the next packet.
    fragment: Option<BytesMut>,
    /// Told by a sequence header.
    size: Option<(u32, u32)>,
    /// Of the first frame, which the others of this instant build upon.
    frame: Option<FirstFrame>,
}

/// What the first frame of a temporal unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstFrame {
    Key,
    Other,
}

impl TemporalUnit {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            data: BytesMut::with_capacity(capacity),
            fragment: None,
            size: None,
            frame: None,
        }
    }

    /// Takes an OBU, or a part of one.
    fn take_element(&mut self, element: &[u8], goes_on: bool) -> Result<(), Malformed> {
        let fragment_length = self.fragment.as_ref().map_or(0, BytesMut::len);
        let room = element.len() + SIZE_BYTES_LIMIT;
        check_room(self.data.len() + fragment_length, room)?;
        match (self.fragment.take(), goes_on) {
            (None, false) => self.take_obu(element),
            (None, true) => {
                self.fragment = Some(BytesMut::from(element));
                Ok(())
            }
            (Some(mut fragment), _) => {
                fragment.put_slice(element);
                if goes_on {
                    self.fragment = Some(fragment);
                    return Ok(());
                }
                self.take_obu(&fragment)
            }
        }
    }

    /// Takes a whole OBU and gives it a size field.
    fn take_obu(&mut self, obu: &[u8]) -> Result<(), Malformed> {
        let obu = Obu::parse(obu)?;
        match obu.kind() {
            TEMPORAL_DELIMITER | TILE_LIST => return Ok(()),
            SEQUENCE_HEADER => self.size = Some(sequence_size(obu.body).ok_or(Malformed)?),
            FRAME | FRAME_HEADER if self.frame.is_none() => {
                self.frame = Some(FirstFrame::parse(obu.body)?);
            }
            _ => {}
        }
        self.data.put_u8(obu.header | HAS_SIZE);
        self.data.extend(obu.extension);
        put_size(&mut self.data, obu.body.len());
        self.data.put_slice(obu.body);
        Ok(())
    }
}

impl Assembly for TemporalUnit {
    fn take(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let elements = Elements::parse(payload)?;
        if elements.continues != self.fragment.is_some() {
            return Err(Malformed);
        }
        let goes_on = elements.goes_on;
        let mut elements = elements.peekable();
        while let Some(element) = elements.next() {
            let is_last = elements.peek().is_none();
            self.take_element(element?, is_last && goes_on)?;
        }
        Ok(())
    }

    fn is_keyframe(&self) -> bool {
        self.size.is_some() && self.frame != Some(FirstFrame::Other)
    }

    fn finish(&mut self) -> Result<Option<Assembled>, Malformed> {
        if self.fragment.is_some() {
            return Err(Malformed);
        }
        let Some(frame) = self.frame else {
            return Ok(None);
        };
        // A decoder needs the sequence header, too.
        let size = self.size.filter(|_| frame == FirstFrame::Key);
        Ok(Some(Assembled {
            keyframe: size.is_some(),
            size,
            data: std::mem::take(&mut self.data).freeze(),
        }))
    }
}

/// Whether a sequence header begins in it: each keyframe follows one.
pub(super) fn begins_keyframe(payload: &[u8]) -> bool {
    let Ok(elements) = Elements::parse(payload) else {
        return false;
    };
    let continued = usize::from(elements.continues);
    elements.skip(continued).any(|element| {
        element.is_ok_and(|element| {
            element
                .first()
                .is_some_and(|header| kind(*header) == SEQUENCE_HEADER)
        })
    })
}

/// The OBU elements of a payload behind its aggregation header (§ 4.4).
struct Elements<'a> {
    /// Z: the first one is the rest of what the packet before began.
    continues: bool,
    /// Y: the last one goes on in the next packet.
    goes_on: bool,
    /// W: how many there are; 0 if each has its length in front.
    count: u8,
    taken: u8,
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let (&header, rest) = payload.split_first().ok_or(Malformed)?;
        if rest.is_empty() {
            return Err(Malformed);
        }
        Ok(Self {
            continues: header & 0x80 != 0,
            goes_on: header & 0x40 != 0,
            count: header >> 4 & 3,
            taken: 0,
            rest,
        })
    }

    fn split(&mut self) -> Result<&'a [u8], Malformed> {
        self.taken = self.taken.saturating_add(1);
        if self.count > 0 && self.taken == self.count {
            return Ok(std::mem::take(&mut self.rest));
        }
        let (length, tail) = split_size(self.rest).ok_or(Malformed)?;
        let (element, tail) = tail.split_at_checked(length).ok_or(Malformed)?;
        self.rest = tail;
        Ok(element)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.count > 0 && self.taken < self.count && self.rest.is_empty() {
            self.taken = self.count;
            return Some(Err(Malformed));
        }
        if self.rest.is_empty() {
            return None;
        }
        let element = self.split();
        if element.is_err() {
            (self.rest, self.count) = (&[], 0);
        }
        Some(element)
    }
}

/// An open bitstream unit (AV1 § 5.3).
struct Obu<'a> {
    header: u8,
    extension: Option<u8>,
    body: &'a [u8],
}

impl<'a> Obu<'a> {
    fn parse(obu: &'a [u8]) -> Result<Self, Malformed> {
        let (&header, mut body) = obu.split_first().ok_or(Malformed)?;
        if header & 0x80 != 0 {
            return Err(Malformed);
        }
        let mut extension = None;
        if header & HAS_EXTENSION != 0 {
            let (&second, tail) = body.split_first().ok_or(Malformed)?;
            (extension, body) = (Some(second), tail);
        }
        if header & HAS_SIZE != 0 {
            let (size, tail) = split_size(body).ok_or(Malformed)?;
            if size != tail.len() {
                return Err(Malformed);
            }
            body = tail;
        }
        Ok(Self {
            header,
            extension,
            body,
        })
    }

    fn kind(&self) -> u8 {
        kind(self.header)
    }
}

fn kind(header: u8) -> u8 {
    header >> 3 & 15
}

impl FirstFrame {
    /// Reads the front of a frame header (AV1 § 5.9.2), which is not that of a still picture.
    fn parse(body: &[u8]) -> Result<Self, Malformed> {
        // show_existing_frame 0, frame_type KEY_FRAME, show_frame 1.
        match body.first().ok_or(Malformed)? & 0xf0 {
            0x10 => Ok(Self::Key),
            _ => Ok(Self::Other),
        }
    }
}

/// Reads the largest size of a sequence's frames from its header (AV1 § 5.5.1).
fn sequence_size(header: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(header);
    let (_profile, _still) = (bits.read(3)?, bits.flag()?);
    // A still picture, reduced in another way, is not video.
    if bits.flag()? {
        return None;
    }
    let mut delay_bits = None;
    if bits.flag()? {
        let (_tick, _scale) = (bits.read(32)?, bits.read(32)?);
        if bits.flag()? {
            bits.unsigned()?;
        }
        if bits.flag()? {
            delay_bits = Some(bits.read(5)? + 1);
            let _others = (bits.read(32)?, bits.read(10)?);
        }
    }
    let has_display_delay = bits.flag()?;
    for _ in 0..=bits.read(5)? {
        let _layers = bits.read(12)?;
        if bits.read(5)? > 7 {
            bits.flag()?;
        }
        if let Some(delay_bits) = delay_bits
            && bits.flag()?
        {
            let _delays = (bits.read(delay_bits)?, bits.read(delay_bits)?, bits.flag()?);
        }
        if has_display_delay && bits.flag()? {
            bits.read(4)?;
        }
    }
    let (width_bits, height_bits) = (bits.read(4)? + 1, bits.read(4)? + 1);
    Some((bits.read(width_bits)? + 1, bits.read(height_bits)? + 1))
}

/// Splits a size (`leb128`, AV1 § 4.10.5) off the front.
fn split_size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(SIZE_BYTES_LIMIT).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lowest seven bits are meant"
)]
fn put_size(data: &mut BytesMut, mut size: usize) {
    while size > 0x7f {
        data.put_u8(size as u8 | 0x80);
        size >>= 7;
    }
    data.put_u8(size as u8);
}

#[cfg(test)]
#[path = "av1_tests.rs"]
mod tests;
