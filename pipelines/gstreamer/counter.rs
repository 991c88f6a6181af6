//! A picture's number as big black and white blocks along its upper edge, which survives two codecs.

/// Blocks in a row: two that mark the beginning, the number, its check, two that mark the end.
const BLOCKS: usize = 24;

/// The number is told modulo 2 to this power: half an hour at 30 a second.
const NUMBER_BITS: usize = 16;

const CHECK_BITS: usize = 4;

/// The row takes this part of the picture's height.
const HEIGHT_DIVISOR: usize = 20;

/// Video white and black (limited range).
const WHITE: u8 = 235;
const BLACK: u8 = 16;

/// Draws the row into a picture's luma, and takes the colour out of its chroma.
pub(crate) fn draw(number: u64, width: usize, luma: &mut [u8], chroma: [&mut [u8]; 2]) {
    let blocks = blocks(number);
    let white_at = |column: usize, width: usize| blocks[column * BLOCKS / width];
    let height = (luma.len() / width / HEIGHT_DIVISOR).max(2);
    for row in luma.chunks_exact_mut(width).take(height) {
        for (column, pixel) in row.iter_mut().enumerate() {
            *pixel = if white_at(column, width) {
                WHITE
            } else {
                BLACK
            };
        }
    }
    for plane in chroma {
        for row in plane.chunks_exact_mut(width / 2).take(height.div_ceil(2)) {
            row.fill(128);
        }
    }
}

/// White or black from left to right. The number is in Gray code, so that few blocks change from one to the next.
fn blocks(number: u64) -> [bool; BLOCKS] {
    let number = number % (1 << NUMBER_BITS);
    let gray = number ^ (number >> 1);
    let check = (0..4).fold(0b0101, |check, nibble| {
        check ^ ((number >> (4 * nibble)) & 0xf)
    });
    let mut blocks = [false; BLOCKS];
    blocks[0] = true;
    for bit in 0..NUMBER_BITS {
        blocks[2 + bit] = (gray >> (NUMBER_BITS - 1 - bit)) & 1 == 1;
    }
    for bit in 0..CHECK_BITS {
        blocks[2 + NUMBER_BITS + bit] = (check >> (CHECK_BITS - 1 - bit)) & 1 == 1;
    }
    blocks[BLOCKS - 1] = true;
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: u64) -> String {
        blocks(number)
            .map(|white| if white { 'W' } else { '.' })
            .iter()
            .collect()
    }

    #[test]
    fn the_row_begins_and_ends_with_marks_and_tells_number_and_check() {
        // 5 is 7 in Gray code, and 0101 ^ 0101 is its check.
        assert_eq!(text(5), "W..............WWW.....W");
        // 6 is 5 in Gray code, and 0101 ^ 0110 is 0011.
        assert_eq!(text(6), "W..............W.W..WW.W");
    }
}
