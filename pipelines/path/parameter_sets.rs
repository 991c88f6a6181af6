//! H.264 sequence and picture parameter sets: what a decoder must know, and how large the picture is.
#![expect(
    clippy::cast_possible_truncation,
    reason = "counts, depths and lengths are limited where they are read"
)]

use bytes::{BufMut, Bytes, BytesMut};
use media::VideoConfig;

use super::bits::{Bits, without_emulation_prevention};

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
pub(super) struct Shape {
    pub(super) id: u32,
    width: u32,
    height: u32,
    pub(super) chroma_format: u32,
    luma_depth: u32,
    chroma_depth: u32,
}

/// What a sequence parameter set says, as far as a slice header depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    pub(super) shape: Shape,
    /// Whether the colour planes are coded as pictures of their own.
    pub(super) separate_planes: bool,
    /// Bits of `frame_num`.
    pub(super) frame_number_bits: u32,
    pub(super) order: PictureOrder,
    /// Reference pictures that the decoder keeps.
    pub(super) references: u32,
    /// Macroblocks in a frame.
    pub(super) macroblocks: u32,
    /// Whether there are no fields.
    pub(super) frames_only: bool,
}

/// How the order of output is told (ITU-T H.264 § 8.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PictureOrder {
    /// Type 0: the lowest bits are in each slice header.
    LowestBits(u32),
    /// Type 1: expected from a cycle.
    Cycle {
        /// Whether slice headers tell no difference from what is expected.
        is_exact: bool,
        /// Whether what is expected goes forward from each reference picture to the next.
        is_forward: bool,
    },
    /// Type 2: as decoded.
    Decoding,
}

/// What a picture parameter set says, as far as a slice header depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are flags of the format"
)]
pub(super) struct PictureParameters {
    pub(super) id: u32,
    pub(super) sequence_id: u32,
    /// CABAC, else CAVLC.
    pub(super) is_arithmetic: bool,
    /// Whether slice headers tell of the bottom field's order.
    pub(super) tells_bottom_order: bool,
    /// Entries of reference list 0, unless a slice says otherwise.
    pub(super) references: u32,
    /// Whether P slices hold a table of weights.
    pub(super) is_weighted: bool,
    /// The slices' quantiser before their difference; negative for deep samples.
    pub(super) quantiser: i32,
    /// Whether slice headers tell how to deblock.
    pub(super) tells_deblocking: bool,
    /// Whether slice headers tell a redundant picture's number.
    pub(super) tells_redundancy: bool,
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
        let shape = Sequence::parse(nal).ok_or(BadParameterSet)?.shape;
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
    let payload = without_emulation_prevention(nal.get(1..)?, LENGTH_LIMIT);
    let mut bits = Bits::new(&payload);
    let id = bits.unsigned()?;
    let sequence_id = bits.unsigned()?;
    (id <= 255 && sequence_id <= 31).then_some(id)
}

impl PictureParameters {
    /// ITU-T H.264 § 7.3.2.2, up to what a slice header depends on. `None` also for slice groups, whose map is not read.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let payload = without_emulation_prevention(nal.get(1..)?, LENGTH_LIMIT);
        let mut bits = Bits::new(&payload);
        let id = bits.unsigned().filter(|&id| id <= 255)?;
        let sequence_id = bits.unsigned().filter(|&id| id <= 31)?;
        let is_arithmetic = bits.flag()?;
        let tells_bottom_order = bits.flag()?;
        bits.unsigned()
            .filter(|&further_groups| further_groups == 0)?;
        let references = bits.unsigned().filter(|&further| further <= 31)? + 1;
        bits.unsigned().filter(|&further| further <= 31)?;
        let is_weighted = bits.flag()?;
        bits.read(2)?;
        let quantiser = 26 + bits.signed().filter(|from| (-62..=25).contains(from))?;
        bits.signed()?;
        bits.signed()?;
        let tells_deblocking = bits.flag()?;
        bits.read(1)?;
        Some(Self {
            id,
            sequence_id,
            is_arithmetic,
            tells_bottom_order,
            references,
            is_weighted,
            quantiser,
            tells_deblocking,
            tells_redundancy: bits.flag()?,
        })
    }
}

impl Sequence {
    /// ITU-T H.264 § 7.3.2.1.1.
    pub(super) fn parse(nal: &[u8]) -> Option<Self> {
        let payload = without_emulation_prevention(nal.get(1..)?, LENGTH_LIMIT);
        let mut bits = Bits::new(&payload);
        let profile = bits.read(8)?;
        bits.read(16)?;
        let id = bits.unsigned().filter(|&id| id <= 31)?;
        let (mut chroma_format, mut luma_depth, mut chroma_depth) = (1, 0, 0);
        let mut separate_planes = false;
        if matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            chroma_format = bits.unsigned().filter(|&format| format <= 3)?;
            if chroma_format == 3 {
                separate_planes = bits.flag()?;
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
        let frame_number_bits = bits.unsigned().filter(|&further| further <= 12)? + 4;
        let order = PictureOrder::parse(&mut bits)?;
        let references = bits.unsigned().filter(|&references| references <= 16)?;
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
        let shape = Shape {
            id,
            width,
            height,
            chroma_format,
            luma_depth,
            chroma_depth,
        };
        Some(Self {
            shape,
            separate_planes,
            frame_number_bits,
            order,
            references,
            macroblocks: macroblocks_wide * map_units_high * fields,
            frames_only,
        })
    }
}

impl PictureOrder {
    fn parse(bits: &mut Bits<'_>) -> Option<Self> {
        match bits.unsigned()? {
            0 => Some(Self::LowestBits(
                bits.unsigned().filter(|&further| further <= 12)? + 4,
            )),
            1 => {
                let is_exact = bits.flag()?;
                bits.signed()?;
                bits.signed()?;
                let count = bits.unsigned().filter(|&frames| frames <= 255)?;
                let mut is_forward = count > 0;
                for _ in 0..count {
                    is_forward &= bits.signed()? > 0;
                }
                Some(Self::Cycle {
                    is_exact,
                    is_forward,
                })
            }
            2 => Some(Self::Decoding),
            _ => None,
        }
    }
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            // Deltas beyond a byte are not valid, and would overflow the sum.
            let delta = bits.signed().filter(|delta| (-128..=127).contains(delta))?;
            next = (last + delta).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
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
