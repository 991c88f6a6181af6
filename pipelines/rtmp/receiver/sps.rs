//! The size of an H.264 picture, from its sequence parameter set (ITU-T H.264 § 7.3.2.1.1).

/// Reads width and height after cropping, in pixels. `None` when it is not a valid parameter set.
///
/// `sps` is the NAL unit with its header byte and its emulation prevention bytes.
pub(super) fn picture_size(sps: &[u8]) -> Option<(u32, u32)> {
    let payload = without_emulation_prevention(sps.get(1..)?);
    let mut bits = Bits {
        bytes: &payload,
        position: 0,
    };
    let profile = bits.read(8)?;
    bits.read(16)?;
    bits.exponential_golomb()?;
    let mut chroma_format = 1;
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        chroma_format = bits.exponential_golomb()?;
        if chroma_format == 3 {
            bits.read(1)?;
        }
        bits.exponential_golomb()?;
        bits.exponential_golomb()?;
        bits.read(1)?;
        if bits.read(1)? == 1 {
            let lists = if chroma_format == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.read(1)? == 1 {
                    bits.skip_scaling_list(if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.exponential_golomb()?;
    match bits.exponential_golomb()? {
        0 => {
            bits.exponential_golomb()?;
        }
        1 => {
            bits.read(1)?;
            bits.exponential_golomb()?;
            bits.exponential_golomb()?;
            let count = bits.exponential_golomb()?;
            if count > 255 {
                return None;
            }
            for _ in 0..count {
                bits.exponential_golomb()?;
            }
        }
        _ => {}
    }
    bits.exponential_golomb()?;
    bits.read(1)?;
    let width_macroblocks = bits.exponential_golomb()?.checked_add(1)?;
    let height_map_units = bits.exponential_golomb()?.checked_add(1)?;
    let frames_only = bits.read(1)?;
    if frames_only == 0 {
        bits.read(1)?;
    }
    bits.read(1)?;
    let field_factor = 2 - frames_only;
    let mut width = width_macroblocks.checked_mul(16)?;
    let mut height = height_map_units
        .checked_mul(16)?
        .checked_mul(field_factor)?;
    if bits.read(1)? == 1 {
        let (unit_x, unit_y) = match chroma_format {
            0 | 3 => (1, field_factor),
            1 => (2, 2 * field_factor),
            _ => (2, field_factor),
        };
        let mut crop = |unit: u32| {
            let (before, after) = (bits.exponential_golomb()?, bits.exponential_golomb()?);
            before.checked_add(after)?.checked_mul(unit)
        };
        width = width.checked_sub(crop(unit_x)?)?;
        height = height.checked_sub(crop(unit_y)?)?;
    }
    (width > 0 && height > 0).then_some((width, height))
}

fn without_emulation_prevention(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.bytes.get(self.position / 8)?;
            let bit = byte >> (7 - self.position % 8) & 1;
            self.position += 1;
            Some(value << 1 | u32::from(bit))
        })
    }

    fn exponential_golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1_u32 << zeros) - 1 + self.read(zeros)?)
    }

    fn signed_exponential_golomb(&mut self) -> Option<i64> {
        let code = i64::from(self.exponential_golomb()?);
        Some(if code % 2 == 0 {
            -code / 2
        } else {
            (code + 1) / 2
        })
    }

    fn skip_scaling_list(&mut self, size: u32) -> Option<()> {
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..size {
            if next != 0 {
                next = (last + self.signed_exponential_golomb()?).rem_euclid(256);
            }
            if next != 0 {
                last = next;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_size_of_cropped_1080_lines_is_read() {
        // x264, High, 1920×1080.
        let sps = [
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00,
            0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
        ];

        assert_eq!(picture_size(&sps), Some((1_920, 1_080)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = picture_size(&bytes);
        }
    }
}
