//! H.264 sequence and picture parameter sets: what a decoder must know, and how large the picture is.
#![expect(
    clippy::cast_possible_truncation,
    reason = "counts, depths and lengths are limited where they are read"
)]

use bytes::{BufMut, Bytes, BytesMut};
use media::VideoConfig;

/// The largest width and height that are taken for a real canvas.
const DIMENSION_LIMIT: u32 = 4_096;

/// The longest parameter set; real ones have 10 to 60 bytes.
const LENGTH_LIMIT: usize = 1_024;

/// The most parameter sets of a kind that are kept; browsers send one of each. The oldest leaves first.
const SETS_LIMIT: usize = 8;

/// A parameter set that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a parameter set is not valid")]
pub(super) struct BadParameterSet;

/// The parameter sets in force.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    sequence: Vec<(u32, Bytes)>,
    picture: Vec<(u32, Bytes)>,
    /// What the latest sequence parameter set says.
    shape: Option<Shape>,
}

/// What a sequence parameter set says about the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    id: u32,
    width: u32,
    height: u32,
    chroma_format: u32,
    luma_depth: u32,
    chroma_depth: u32,
}

impl ParameterSets {
    /// Takes a sequence parameter set NAL unit; returns whether anything changed.
    pub(super) fn take_sequence(&mut self, nal: &[u8]) -> Result<bool, BadParameterSet> {
        if let (Some(shape), Some((id, known))) = (self.shape, self.sequence.last())
            && shape.id == *id
            && known[..] == *nal
        {
            return Ok(false);
        }
        let shape = parse_sequence(nal).ok_or(BadParameterSet)?;
        let changed = keep(&mut self.sequence, shape.id, nal)? || self.shape != Some(shape);
        self.shape = Some(shape);
        Ok(changed)
    }

    /// Takes a picture parameter set NAL unit; returns whether anything changed.
    pub(super) fn take_picture(&mut self, nal: &[u8]) -> Result<bool, BadParameterSet> {
        let id = parse_picture(nal).ok_or(BadParameterSet)?;
        keep(&mut self.picture, id, nal)
    }

    /// Returns the configuration for a container, once both kinds are known.
    pub(super) fn configuration(&self) -> Option<VideoConfig> {
        let shape = self.shape?;
        let (_, sequence) = self.sequence.last()?;
        if self.picture.is_empty() {
            return None;
        }
        let profile = sequence[1];
        let mut record = BytesMut::with_capacity(64);
        // Version, profile, compatibility, level, and lengths of 4 bytes.
        record.put_slice(&[1, profile, sequence[2], sequence[3], 0xff]);
        record.put_u8(0xe0 | self.sequence.len() as u8);
        put_all(&mut record, &self.sequence);
        record.put_u8(self.picture.len() as u8);
        put_all(&mut record, &self.picture);
        if matches!(profile, 100 | 110 | 122 | 144) {
            record.put_u8(0xfc | shape.chroma_format as u8);
            record.put_u8(0xf8 | shape.luma_depth as u8);
            record.put_u8(0xf8 | shape.chroma_depth as u8);
            record.put_u8(0);
        }
        Some(VideoConfig {
            decoder_configuration: record.freeze(),
            width: shape.width,
            height: shape.height,
        })
    }
}

fn put_all(record: &mut BytesMut, sets: &[(u32, Bytes)]) {
    for (_, set) in sets {
        record.put_u16(set.len() as u16);
        record.put_slice(set);
    }
}

/// Keeps a set as the newest of its kind; returns whether it is new.
fn keep(sets: &mut Vec<(u32, Bytes)>, id: u32, nal: &[u8]) -> Result<bool, BadParameterSet> {
    if nal.len() > LENGTH_LIMIT {
        return Err(BadParameterSet);
    }
    if let Some(place) = sets.iter().position(|(known, _)| *known == id) {
        let known = sets.remove(place);
        if known.1[..] == *nal {
            sets.push(known);
            return Ok(false);
        }
    } else if sets.len() == SETS_LIMIT {
        sets.remove(0);
    }
    sets.push((id, Bytes::copy_from_slice(nal)));
    Ok(true)
}

fn parse_picture(nal: &[u8]) -> Option<u32> {
    let payload = without_emulation_prevention(nal.get(1..)?);
    let mut bits = Bits::new(&payload);
    let id = bits.unsigned()?;
    let sequence_id = bits.unsigned()?;
    (id <= 255 && sequence_id <= 31).then_some(id)
}

/// ITU-T H.264 § 7.3.2.1.1.
fn parse_sequence(nal: &[u8]) -> Option<Shape> {
    let payload = without_emulation_prevention(nal.get(1..)?);
    let mut bits = Bits::new(&payload);
    let profile = bits.read(8)?;
    bits.read(16)?;
    let id = bits.unsigned().filter(|&id| id <= 31)?;
    let (mut chroma_format, mut luma_depth, mut chroma_depth) = (1, 0, 0);
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        chroma_format = bits.unsigned().filter(|&format| format <= 3)?;
        if chroma_format == 3 {
            bits.read(1)?;
        }
        luma_depth = bits.unsigned().filter(|&depth| depth <= 6)?;
        chroma_depth = bits.unsigned().filter(|&depth| depth <= 6)?;
        bits.read(1)?;
        if bits.flag()? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.unsigned()
        .filter(|&frame_number_bits| frame_number_bits <= 12)?;
    match bits.unsigned()? {
        0 => {
            bits.unsigned().filter(|&count_bits| count_bits <= 12)?;
        }
        1 => {
            bits.read(1)?;
            bits.unsigned()?;
            bits.unsigned()?;
            for _ in 0..bits.unsigned().filter(|&frames| frames <= 255)? {
                bits.unsigned()?;
            }
        }
        2 => {}
        _ => return None,
    }
    bits.unsigned().filter(|&references| references <= 16)?;
    bits.read(1)?;
    let macroblocks_wide = bits
        .unsigned()
        .filter(|&count| count < DIMENSION_LIMIT / 16)?
        + 1;
    let map_units_high = bits
        .unsigned()
        .filter(|&count| count < DIMENSION_LIMIT / 16)?
        + 1;
    let frames_only = bits.flag()?;
    if !frames_only {
        bits.read(1)?;
    }
    bits.read(1)?;
    let fields = if frames_only { 1 } else { 2 };
    let (width, height) = (macroblocks_wide * 16, map_units_high * 16 * fields);
    let (mut cropped_width, mut cropped_height) = (0, 0);
    if bits.flag()? {
        let (unit_wide, unit_high) = match chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let mut side = |unit: u32| {
            Some(
                bits.unsigned()?
                    .checked_add(bits.unsigned()?)?
                    .checked_mul(unit),
            )
        };
        cropped_width = side(unit_wide)??;
        cropped_height = side(unit_high * fields)??;
    }
    let width = width
        .checked_sub(cropped_width)
        .filter(|width| (1..=DIMENSION_LIMIT).contains(width))?;
    let height = height
        .checked_sub(cropped_height)
        .filter(|height| (1..=DIMENSION_LIMIT).contains(height))?;
    Some(Shape {
        id,
        width,
        height,
        chroma_format,
        luma_depth,
        chroma_depth,
    })
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// Takes out each 3 that follows two zeros.
fn without_emulation_prevention(payload: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(payload.len().min(LENGTH_LIMIT));
    let mut zeros = 0;
    for &byte in payload.iter().take(LENGTH_LIMIT) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

/// Reads a bit string from the front; `None` at its end.
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// An Exp-Golomb number of at most 31 leading zeros.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1_u32 << zeros) - 1 + self.read(zeros)?)
    }

    fn signed(&mut self) -> Option<i32> {
        let code = i64::from(self.unsigned()?);
        let value = if code % 2 == 0 {
            -(code / 2)
        } else {
            code / 2 + 1
        };
        // Deltas beyond a byte are not valid, and would overflow the sum.
        i32::try_from(value)
            .ok()
            .filter(|value| (-128..=127).contains(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 1920×1080, High, by x264.
    const FULL_HD: [u8; 27] = [
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00,
        0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
    ];
    /// 640×360, Constrained Baseline, by Chromium.
    const CHROME: [u8; 13] = [
        0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x17, 0xfc, 0xb0, 0x0f, 0x08,
    ];
    const PICTURE: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];

    #[test]
    fn a_cropped_picture_has_its_visible_size() {
        let mut sets = ParameterSets::default();
        assert_eq!(sets.take_sequence(&FULL_HD), Ok(true));
        assert_eq!(sets.take_picture(&PICTURE), Ok(true));

        let configuration = sets.configuration().unwrap();

        assert_eq!((configuration.width, configuration.height), (1_920, 1_080));
        let record = &configuration.decoder_configuration;
        assert_eq!(record[..6], [1, 0x64, 0, 0x28, 0xff, 0xe1]);
        assert_eq!(record[record.len() - 4..], [0xfd, 0xf8, 0xf8, 0]);
    }

    #[test]
    fn only_a_change_counts_as_one() {
        let mut sets = ParameterSets::default();
        sets.take_sequence(&FULL_HD).unwrap();
        sets.take_picture(&PICTURE).unwrap();

        assert_eq!(sets.take_sequence(&FULL_HD), Ok(false));
        assert_eq!(sets.take_picture(&PICTURE), Ok(false));
        assert_eq!(sets.take_sequence(&CHROME), Ok(true));
        let configuration = sets.configuration().unwrap();
        assert_eq!((configuration.width, configuration.height), (640, 360));
        assert_eq!(
            configuration.decoder_configuration[5], 0xe1,
            "the one with the same id is replaced"
        );
    }

    #[test]
    fn a_giant_or_truncated_picture_is_refused() {
        let mut sets = ParameterSets::default();

        for length in 0..8 {
            assert_eq!(sets.take_sequence(&FULL_HD[..length]), Err(BadParameterSet));
        }
        // Baseline, id 0, 4-bit counts, and 65,536 macroblocks of width.
        assert_eq!(
            sets.take_sequence(&[0x67, 0x42, 0, 0x1e, 0xf4, 0x00, 0x00, 0x80, 0x00, 0x40]),
            Err(BadParameterSet)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_sane_picture_or_an_error(
            sequence in prop::collection::vec(any::<u8>(), 0..80),
            cut in 0..27_usize,
            flip in (0..27_usize, any::<u8>()),
            picture in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut damaged = FULL_HD;
            damaged[flip.0] ^= flip.1;
            let mut sets = ParameterSets::default();
            let _ = sets.take_picture(&PICTURE);
            for nal in [&sequence[..], &FULL_HD[..cut], &damaged[..]] {
                let _ = sets.take_sequence(nal);
                let _ = sets.take_picture(&picture);
                if let Some(configuration) = sets.configuration() {
                    prop_assert!((1..=4_096).contains(&configuration.width));
                    prop_assert!((1..=4_096).contains(&configuration.height));
                }
            }
        }
    }
}
