//! Pictures that repeat the one before: every macroblock is skipped, so a few bytes hold any size.

mod header;
mod skipped;

use bytes::{BufMut, Bytes, BytesMut};
use media::VideoConfig;

use self::header::LastPicture;
use super::{
    bits::{BitWriter, put_with_emulation_prevention},
    parameter_sets::{PictureOrder, PictureParameters, Sequence},
};
use crate::decoder_configuration::parameter_sets;

/// NAL unit header of a slice of a reference picture that is no keyframe, of middle importance.
const SLICE: u8 = 0x41;

/// `slice_type`: P, like all slices of the picture.
const ALL_P: u32 = 5;

/// `SliceQPY`. Nothing is quantised and no edge is filtered, but the higher it is, the surer CABAC is of skipped macroblocks.
pub(super) const QUANTISER: i32 = 51;

/// Writes pictures that follow a coded one and look like it.
///
/// They are reference pictures, so that each repeats the one before, and there may be any number of them. No keyframe is
/// among them: a decoder that has not seen the picture which they repeat shows nothing until the next keyframe.
#[derive(Debug)]
pub(crate) struct Freezer {
    sequence: Sequence,
    picture: PictureParameters,
    /// `frame_num` of the next picture.
    frame_number: u32,
    /// `pic_order_cnt_lsb` of the next picture.
    lowest_bits: u32,
    /// `delta_pic_order_cnt`, as in the latest picture.
    differences: [i32; 2],
    /// Macroblocks by CABAC, byte-aligned: the same in each picture.
    arithmetic: Vec<u8>,
}

impl Freezer {
    /// Goes on after `last`, an access unit that `config` belongs to. What is repeated is `last` if it is a reference
    /// picture, or else the reference picture before it.
    ///
    /// `None`: the stream uses something of H.264 for which this is not done (fields, slice groups, B slices,
    /// long-term or no reference pictures, colour planes apart), or makes no sense.
    pub(crate) fn new(config: &VideoConfig, last: &[u8]) -> Option<Self> {
        let (sequences, pictures) = parameter_sets(&config.decoder_configuration)?;
        let slice = first_slice(last)?;
        let id = header::picture_parameters_id(slice)?;
        let picture = pictures
            .iter()
            .filter_map(|nal| PictureParameters::parse(nal))
            .find(|picture| picture.id == id)?;
        let sequence = sequences
            .iter()
            .filter_map(|nal| Sequence::parse(nal))
            .find(|sequence| sequence.shape.id == picture.sequence_id)?;
        let is_possible = sequence.frames_only
            && !sequence.separate_planes
            && sequence.references > 0
            && !matches!(sequence.order, PictureOrder::Cycle { is_forward, .. } if !is_forward);
        if !is_possible {
            return None;
        }
        let last = LastPicture::parse(slice, &sequence, &picture)?;
        let mut freezer = Self {
            sequence,
            picture,
            frame_number: last.frame_number,
            lowest_bits: last.lowest_bits,
            differences: last.differences,
            arithmetic: if picture.is_arithmetic {
                skipped::macroblocks(sequence.macroblocks)
            } else {
                Vec::new()
            },
        };
        // A picture that is no reference has the number of the reference picture after it.
        if last.is_reference {
            freezer.count_frame();
        }
        freezer.count_order();
        Some(freezer)
    }

    /// Returns the next access unit: one NAL unit behind a 4-byte length.
    pub(crate) fn next(&mut self) -> Bytes {
        let mut bits = BitWriter::default();
        self.put_header(&mut bits);
        if self.picture.is_arithmetic {
            bits.align(true);
        } else {
            bits.put_unsigned(self.sequence.macroblocks);
            bits.put_flag(true);
        }
        let mut payload = bits.into_bytes();
        payload.extend_from_slice(&self.arithmetic);
        let mut nal = vec![SLICE];
        put_with_emulation_prevention(&mut nal, &payload);
        self.count_frame();
        self.count_order();
        let mut unit = BytesMut::with_capacity(nal.len() + 4);
        unit.put_u32(u32::try_from(nal.len()).unwrap_or(0));
        unit.put_slice(&nal);
        unit.freeze()
    }

    /// ITU-T H.264 § 7.3.3.
    fn put_header(&self, bits: &mut BitWriter) {
        let picture = &self.picture;
        bits.put_unsigned(0);
        bits.put_unsigned(ALL_P);
        bits.put_unsigned(picture.id);
        bits.put(self.frame_number, self.sequence.frame_number_bits);
        match self.sequence.order {
            PictureOrder::LowestBits(count) => {
                bits.put(self.lowest_bits, count);
                if picture.tells_bottom_order {
                    bits.put_signed(0);
                }
            }
            PictureOrder::Cycle {
                is_exact: false, ..
            } => {
                bits.put_signed(self.differences[0]);
                if picture.tells_bottom_order {
                    bits.put_signed(self.differences[1]);
                }
            }
            PictureOrder::Cycle { .. } | PictureOrder::Decoding => {}
        }
        if picture.tells_redundancy {
            bits.put_unsigned(0);
        }
        // One reference: the newest.
        bits.put_flag(picture.references > 1);
        if picture.references > 1 {
            bits.put_unsigned(0);
        }
        bits.put_flag(false);
        if picture.is_weighted {
            // No weights of its own, for luma and for both of chroma.
            let has_chroma = self.sequence.shape.chroma_format != 0;
            bits.put_unsigned(0);
            if has_chroma {
                bits.put_unsigned(0);
            }
            bits.put_flag(false);
            if has_chroma {
                bits.put_flag(false);
            }
        }
        // The oldest reference picture leaves.
        bits.put_flag(false);
        if picture.is_arithmetic {
            bits.put_unsigned(skipped::INITIALISATION);
        }
        bits.put_signed(QUANTISER - picture.quantiser);
        if picture.tells_deblocking {
            bits.put_unsigned(1);
        }
    }

    fn count_frame(&mut self) {
        self.frame_number = (self.frame_number + 1) & mask(self.sequence.frame_number_bits);
    }

    /// Two for a frame, as for its two fields.
    fn count_order(&mut self) {
        if let PictureOrder::LowestBits(count) = self.sequence.order {
            self.lowest_bits = (self.lowest_bits + 2) & mask(count);
        }
    }
}

/// At most 16 bits.
fn mask(bits: u32) -> u32 {
    (1 << bits) - 1
}

/// Returns the first slice of an access unit.
pub(super) fn first_slice(mut unit: &[u8]) -> Option<&[u8]> {
    while let Some((length, rest)) = unit.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (nal, rest) = rest.split_at_checked(length)?;
        if matches!(nal.first()? & 0x1f, 1..=5) {
            return Some(nal);
        }
        unit = rest;
    }
    None
}

#[cfg(test)]
mod tests;
