//! A picture of skipped macroblocks by CABAC (ITU-T H.264 § 9.3.4).

use super::{super::bits::BitWriter, QUANTISER};

/// `cabac_init_idc`: the table of initial probabilities. In this one skipping is the likeliest.
pub(super) const INITIALISATION: u32 = 0;

/// The least probable symbol's share of the range, for each probability from [`FIRST_STATE`] on (table 9-44).
const SHARES: [[u32; 4]; 21] = [
    [16, 20, 23, 27],
    [15, 19, 22, 25],
    [14, 18, 21, 24],
    [14, 17, 20, 23],
    [13, 16, 19, 22],
    [12, 15, 18, 21],
    [12, 14, 17, 20],
    [11, 14, 16, 19],
    [11, 13, 15, 18],
    [10, 12, 15, 17],
    [10, 12, 14, 16],
    [9, 11, 13, 15],
    [9, 11, 12, 14],
    [8, 10, 12, 14],
    [8, 9, 11, 13],
    [7, 9, 11, 12],
    [7, 9, 10, 12],
    [7, 8, 10, 11],
    [6, 8, 9, 11],
    [6, 7, 9, 10],
    [6, 7, 8, 9],
];

/// The state of context 11 (`mb_skip_flag` between skipped neighbours) at the beginning, where "skipped" is the more
/// probable symbol: slope 23 and offset 33 (table 9-13) at our quantiser, less 64 (§ 9.3.1.1).
const FIRST_STATE: i32 = ((23 * QUANTISER) >> 4) + 33 - 64;

const _: () = assert!(FIRST_STATE == 42, "the table of shares begins there");

/// Returns the slice data of `count` skipped macroblocks, at least one, with the trailing bits.
pub(super) fn macroblocks(count: u32) -> Vec<u8> {
    let mut encoder = Encoder {
        low: 0,
        range: 510,
        is_first: true,
        outstanding: 0,
        bits: BitWriter::default(),
    };
    let mut state = 0;
    for number in 1..=count {
        encoder.put_probable(&SHARES[state]);
        state = (state + 1).min(SHARES.len() - 1);
        encoder.put_end(number == count);
    }
    encoder.bits.align(false);
    encoder.bits.into_bytes()
}

/// The arithmetic encoder, as far as nothing improbable comes.
struct Encoder {
    low: u32,
    range: u32,
    is_first: bool,
    outstanding: u32,
    bits: BitWriter,
}

impl Encoder {
    /// The more probable symbol.
    fn put_probable(&mut self, shares: &[u32; 4]) {
        self.range -= match self.range >> 6 & 3 {
            0 => shares[0],
            1 => shares[1],
            2 => shares[2],
            _ => shares[3],
        };
        self.renormalise();
    }

    /// `end_of_slice_flag`; the last one brings the stop bit with it.
    fn put_end(&mut self, is_end: bool) {
        self.range -= 2;
        if is_end {
            self.low += self.range;
            self.range = 2;
            self.renormalise();
            self.put_bit(self.low >> 9 & 1 == 1);
            self.bits.put(self.low >> 7 & 3 | 1, 2);
        } else {
            self.renormalise();
        }
    }

    fn renormalise(&mut self) {
        while self.range < 256 {
            if self.low < 256 {
                self.put_bit(false);
            } else if self.low >= 512 {
                self.low -= 512;
                self.put_bit(true);
            } else {
                self.low -= 256;
                self.outstanding += 1;
            }
            self.range <<= 1;
            self.low <<= 1;
        }
    }

    fn put_bit(&mut self, bit: bool) {
        if !std::mem::take(&mut self.is_first) {
            self.bits.put_flag(bit);
        }
        while self.outstanding > 0 {
            self.bits.put_flag(!bit);
            self.outstanding -= 1;
        }
    }
}
