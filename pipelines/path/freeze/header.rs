//! The slice header of the picture that others are to follow (ITU-T H.264 § 7.3.3).

use super::super::{
    bits::{Bits, without_emulation_prevention},
    parameter_sets::{PictureOrder, PictureParameters, Sequence},
};

/// The most bytes of a slice that its header is looked for in; with 32 weights it has about 200.
const LENGTH_LIMIT: usize = 1_024;

/// The most entries of a list in a header that are read; there are at most 66 valid ones.
const ENTRIES_LIMIT: usize = 66;

/// What must be known of a picture to go on after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastPicture {
    pub(super) is_reference: bool,
    pub(super) frame_number: u32,
    /// `pic_order_cnt_lsb`; 0 unless the sequence has it.
    pub(super) lowest_bits: u32,
    /// `delta_pic_order_cnt`; 0 unless the sequence has it.
    pub(super) differences: [i32; 2],
}

/// Returns which picture parameter set a slice is of.
pub(super) fn picture_parameters_id(slice: &[u8]) -> Option<u32> {
    let payload = without_emulation_prevention(slice.get(1..)?, LENGTH_LIMIT);
    let mut bits = Bits::new(&payload);
    bits.unsigned()?;
    bits.unsigned()?;
    bits.unsigned()
}

impl LastPicture {
    /// Reads the header of a P or an I slice. `None`: another kind, or one that leaves no newest short-term reference picture.
    pub(super) fn parse(
        slice: &[u8],
        sequence: &Sequence,
        picture: &PictureParameters,
    ) -> Option<Self> {
        let (&header, rest) = slice.split_first()?;
        let (is_reference, is_keyframe) = (header & 0x60 != 0, header & 0x1f == 5);
        if !matches!(header & 0x1f, 1 | 5) {
            return None;
        }
        let payload = without_emulation_prevention(rest, LENGTH_LIMIT);
        let mut bits = Bits::new(&payload);
        let last =
            Self::parse_before_marking(&mut bits, is_reference, is_keyframe, sequence, picture)?;
        if is_reference && !keeps_short_term(&mut bits, is_keyframe)? {
            return None;
        }
        Some(last)
    }

    fn parse_before_marking(
        bits: &mut Bits<'_>,
        is_reference: bool,
        is_keyframe: bool,
        sequence: &Sequence,
        picture: &PictureParameters,
    ) -> Option<Self> {
        bits.unsigned()?;
        let is_predicted = match bits.unsigned()? {
            0 | 5 => true,
            2 | 7 => false,
            _ => return None,
        };
        bits.unsigned()?;
        let frame_number = bits.read(sequence.frame_number_bits)?;
        if is_keyframe {
            bits.unsigned()?;
        }
        let (mut lowest_bits, mut differences) = (0, [0; 2]);
        match sequence.order {
            PictureOrder::LowestBits(count) => {
                lowest_bits = bits.read(count)?;
                if picture.tells_bottom_order {
                    bits.signed()?;
                }
            }
            PictureOrder::Cycle {
                is_exact: false, ..
            } => {
                differences[0] = bits.signed()?;
                if picture.tells_bottom_order {
                    differences[1] = bits.signed()?;
                }
            }
            PictureOrder::Cycle { .. } | PictureOrder::Decoding => {}
        }
        if picture.tells_redundancy {
            bits.unsigned().filter(|&number| number == 0)?;
        }
        if is_predicted {
            skip_references(bits, sequence, picture)?;
        }
        Some(Self {
            is_reference,
            frame_number,
            lowest_bits,
            differences,
        })
    }
}

/// How many references, in what order, of what weights.
fn skip_references(
    bits: &mut Bits<'_>,
    sequence: &Sequence,
    picture: &PictureParameters,
) -> Option<()> {
    let references = if bits.flag()? {
        bits.unsigned().filter(|&further| further <= 31)? + 1
    } else {
        picture.references
    };
    if bits.flag()? {
        entries(bits, |bits, operation| match operation {
            0..=2 => bits.unsigned().map(|_| true),
            3 => Some(false),
            _ => None,
        })?;
    }
    if picture.is_weighted {
        let has_chroma = sequence.shape.chroma_format != 0;
        bits.unsigned()?;
        if has_chroma {
            bits.unsigned()?;
        }
        for _ in 0..references {
            if bits.flag()? {
                bits.signed()?;
                bits.signed()?;
            }
            if has_chroma && bits.flag()? {
                for _ in 0..4 {
                    bits.signed()?;
                }
            }
        }
    }
    Some(())
}

/// Returns whether the picture is the newest of the short-term reference pictures, under its own number.
fn keeps_short_term(bits: &mut Bits<'_>, is_keyframe: bool) -> Option<bool> {
    if is_keyframe {
        bits.read(1)?;
        return Some(!bits.flag()?);
    }
    let mut keeps = true;
    if bits.flag()? {
        entries(bits, |bits, operation| {
            match operation {
                0 => return Some(false),
                1 | 2 | 4 => _ = bits.unsigned()?,
                3 => _ = (bits.unsigned()?, bits.unsigned()?),
                // Everything is forgotten, or this one becomes a long-term picture.
                5 => keeps = false,
                6 => (_, keeps) = (bits.unsigned()?, false),
                _ => return None,
            }
            Some(true)
        })?;
    }
    Some(keeps)
}

/// Reads entries that begin with a number, as long as `entry` says that there are more.
fn entries(
    bits: &mut Bits<'_>,
    mut entry: impl FnMut(&mut Bits<'_>, u32) -> Option<bool>,
) -> Option<()> {
    for _ in 0..=ENTRIES_LIMIT {
        let operation = bits.unsigned()?;
        if !entry(bits, operation)? {
            return Some(());
        }
    }
    None
}

/// Where it says how a reference picture that is no keyframe is kept, in bits behind the NAL unit's header.
#[cfg(test)]
pub(super) fn marking_position(
    nal: &[u8],
    sequence: &Sequence,
    picture: &PictureParameters,
) -> usize {
    let payload = without_emulation_prevention(&nal[1..], LENGTH_LIMIT);
    let mut bits = Bits::new(&payload);
    LastPicture::parse_before_marking(&mut bits, true, false, sequence, picture)
        .expect("a slice of a test");
    bits.position()
}
