//! What a picture looks like, in a few numbers.

use std::fmt;

/// Columns of the thumbnail.
pub const THUMBNAIL_WIDTH: usize = 32;

/// Rows of the thumbnail.
pub const THUMBNAIL_HEIGHT: usize = 18;

/// Bytes of a thumbnail.
const THUMBNAIL_BYTES: usize = THUMBNAIL_WIDTH * THUMBNAIL_HEIGHT;

/// What one picture looks like. Luma is as coded: 16 is black and 235 is white.
#[derive(Clone, PartialEq, Eq)]
pub struct PictureLook {
    /// The mean luma.
    pub mean_luma: u8,
    /// The standard deviation of the luma: 0 where all of the picture is alike.
    pub contrast: u8,
    /// The mean luma of each of 32 × 18 parts, row by row.
    pub thumbnail: [u8; THUMBNAIL_BYTES],
}

impl fmt::Debug for PictureLook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PictureLook")
            .field("mean_luma", &self.mean_luma)
            .field("contrast", &self.contrast)
            .finish_non_exhaustive()
    }
}

impl PictureLook {
    /// Bytes of a look on its way from the child.
    pub(super) const BYTES: usize = 2 + THUMBNAIL_BYTES;

    /// Looks at luma of `width` × `height` pixels, whose rows are `row` bytes apart. `None` where there are too few.
    pub(super) fn at(luma: &[u8], width: usize, height: usize, row: usize) -> Option<Self> {
        if width == 0
            || row < width
            || luma.len() < row.checked_mul(height.checked_sub(1)?)? + width
        {
            return None;
        }
        let (mut sum, mut squares) = (0_u64, 0_u64);
        for row in luma.chunks(row).take(height) {
            // Sums of a row fit 32 bits, which is twice as fast.
            let (mut row_sum, mut row_squares) = (0_u32, 0_u32);
            for &value in &row[..width] {
                row_sum += u32::from(value);
                row_squares += u32::from(value) * u32::from(value);
            }
            sum += u64::from(row_sum);
            squares += u64::from(row_squares);
        }
        let count = (width * height) as u64;
        let variance = (squares * count - sum * sum) / (count * count);
        let mut thumbnail = [0; THUMBNAIL_BYTES];
        for (place, part) in thumbnail.iter_mut().enumerate() {
            let rows = span(place / THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT, height);
            let columns = span(place % THUMBNAIL_WIDTH, THUMBNAIL_WIDTH, width);
            let pixels = (rows.len() * columns.len()) as u64;
            let sum: u64 = rows
                .flat_map(|y| &luma[y * row..][columns.clone()])
                .map(|&value| u64::from(value))
                .sum();
            *part = byte(sum / pixels);
        }
        Some(Self {
            mean_luma: byte(sum / count),
            contrast: byte(variance.isqrt()),
            thumbnail,
        })
    }

    /// Tells how different two pictures are: the mean absolute difference of their parts' luma, 0 to 255.
    pub fn difference(&self, other: &Self) -> f32 {
        let pairs = self.thumbnail.iter().zip(&other.thumbnail);
        let sum: u32 = pairs
            .map(|(one, other)| u32::from(one.abs_diff(*other)))
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "both are far below 2^24")]
        let mean = sum as f32 / THUMBNAIL_BYTES as f32;
        mean
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&[self.mean_luma, self.contrast], &self.thumbnail[..]].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let [mean_luma, contrast, parts @ ..] = bytes;
        Self {
            mean_luma: *mean_luma,
            contrast: *contrast,
            thumbnail: *parts,
        }
    }
}

/// The pixels of one of `parts` parts; at least one, also of a picture that has fewer.
fn span(part: usize, parts: usize, pixels: usize) -> std::ops::Range<usize> {
    let start = part * pixels / parts;
    start..((part + 1) * pixels / parts).max(start + 1)
}

fn byte(value: u64) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_grey_picture_has_no_contrast() {
        let look = PictureLook::at(&[90; 64 * 36], 64, 36, 64).unwrap();

        assert_eq!((look.mean_luma, look.contrast), (90, 0));
        assert_eq!(look.thumbnail, [90; THUMBNAIL_BYTES]);
        assert!(look.difference(&look).abs() < f32::EPSILON);
    }

    #[test]
    fn halves_of_black_and_white_have_all_of_it() {
        let luma: Vec<u8> = (0..64 * 36)
            .map(|place| if place % 64 < 32 { 0 } else { 200 })
            .collect();

        let look = PictureLook::at(&luma, 64, 36, 64).unwrap();

        assert_eq!((look.mean_luma, look.contrast), (100, 100));
        assert_eq!((look.thumbnail[0], look.thumbnail[31]), (0, 200));
        let black = PictureLook::at(&[0; 64 * 36], 64, 36, 64).unwrap();
        assert!((look.difference(&black) - 100.0).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn any_size_has_a_look(width in 1..70_usize, height in 1..40_usize, more in 0..9_usize, value: u8) {
            let row = width + more;

            let look = PictureLook::at(&vec![value; row * height], width, height, row).unwrap();

            prop_assert_eq!((look.mean_luma, look.contrast), (value, 0));
            let bytes: [u8; PictureLook::BYTES] = look.to_bytes().try_into().unwrap();
            prop_assert_eq!(PictureLook::from_bytes(&bytes), look);
            prop_assert_eq!(PictureLook::at(&vec![value; row * height - more - 1], width, height, row), None);
        }
    }
}
