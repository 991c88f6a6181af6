//! Reads the number that the synthetic studio draws along the upper edge of its pictures.

/// Blocks in a row: two that mark the beginning, the number, its check, two that mark the end.
pub(super) const BLOCKS: usize = 24;

/// The row's part of the picture's height is one of so many.
pub(super) const HEIGHT_DIVISOR: u32 = 20;

const NUMBER_BITS: usize = 16;

/// Darker than this is black, brighter than the other white; between, the block is not one of ours.
const BLACK_BELOW: u8 = 90;
const WHITE_ABOVE: u8 = 160;

/// The number, if the blocks (mean brightness from left to right) hold one.
pub(super) fn read(blocks: &[u8]) -> Option<u16> {
    let bits: Vec<bool> = blocks
        .iter()
        .map(|&brightness| match brightness {
            0..BLACK_BELOW => Some(false),
            WHITE_ABOVE.. => Some(true),
            BLACK_BELOW..WHITE_ABOVE => None,
        })
        .collect::<Option<_>>()?;
    let marked = bits.len() == BLOCKS && bits[0] && !bits[1] && !bits[22] && bits[23];
    if !marked {
        return None;
    }
    let number = |bits: &[bool]| {
        bits.iter()
            .fold(0_u16, |number, &bit| number << 1 | u16::from(bit))
    };
    let gray = number(&bits[2..2 + NUMBER_BITS]);
    let check = number(&bits[2 + NUMBER_BITS..22]);
    let counter = (0..NUMBER_BITS).fold(0, |counter, shift| counter ^ gray >> shift);
    let expected = (0..4).fold(0b0101, |check, nibble| {
        check ^ counter >> (4 * nibble) & 0xf
    });
    (check == expected).then_some(counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str) -> Vec<u8> {
        text.chars()
            .map(|block| match block {
                'W' => 230,
                '.' => 20,
                _ => 128,
            })
            .collect()
    }

    #[test]
    fn numbers_are_read_as_the_studio_writes_them() {
        assert_eq!(read(&blocks("W..............WWW.....W")), Some(5));
        assert_eq!(read(&blocks("W..............W.W..WW.W")), Some(6));
    }

    #[test]
    fn what_is_grey_unmarked_or_wrong_is_no_number() {
        for text in [
            "W..............WWW.?...W",
            "...............WWW.....W",
            "W..............WWW....W",
            "W..............WWW..W..W",
            "WWWWWWWWWWWWWWWWWWWWWWWW",
            "........................",
        ] {
            assert_eq!(read(&blocks(text)), None, "{text}");
        }
    }
}
