//! Bit strings as H.264 has them: written, and kept free of what looks like a start code.

pub(super) use crate::bits::Bits;

/// Takes out each 3 that follows two zeros; reads at most `limit` bytes.
pub(super) fn without_emulation_prevention(payload: &[u8], limit: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(payload.len().min(limit));
    let mut zeros = 0;
    for &byte in payload.iter().take(limit) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain.push(byte);
    }
    plain
}

/// Appends `plain` with a 3 after any two zeros that a byte of at most 3 follows, or the end.
pub(super) fn put_with_emulation_prevention(output: &mut Vec<u8>, plain: &[u8]) {
    let mut zeros = 0;
    for &byte in plain {
        if zeros == 2 && byte <= 3 {
            output.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        output.push(byte);
    }
    if zeros > 0 {
        output.push(3);
    }
}

/// Writes a bit string.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are used in the last byte; 0 means all.
    used: u32,
}

impl BitWriter {
    pub(super) fn put_flag(&mut self, bit: bool) {
        if self.used == 0 {
            self.bytes.push(0);
        }
        if let (true, Some(byte)) = (bit, self.bytes.last_mut()) {
            *byte |= 0x80 >> self.used;
        }
        self.used = (self.used + 1) % 8;
    }

    /// The lowest `count` bits of `value`.
    pub(super) fn put(&mut self, value: u32, count: u32) {
        for place in (0..count).rev() {
            self.put_flag(value >> place & 1 == 1);
        }
    }

    /// An Exp-Golomb number below 2³² − 1.
    pub(super) fn put_unsigned(&mut self, value: u32) {
        let code = value.saturating_add(1);
        let zeros = code.ilog2();
        self.put(0, zeros);
        self.put(code, zeros + 1);
    }

    /// A signed Exp-Golomb number.
    pub(super) fn put_signed(&mut self, value: i32) {
        let double = value.unsigned_abs().saturating_mul(2);
        self.put_unsigned(if value > 0 { double - 1 } else { double });
    }

    /// Fills the last byte.
    pub(super) fn align(&mut self, bit: bool) {
        while self.used != 0 {
            self.put_flag(bit);
        }
    }

    /// Returns the whole bytes; the last one is filled with zeros.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            numbers in prop::collection::vec((0..u32::MAX, (i32::MIN + 1)..=i32::MAX, 0..=32_u32), 0..20),
        ) {
            let mut writer = BitWriter::default();
            for &(unsigned, signed, count) in &numbers {
                writer.put_unsigned(unsigned.min(u32::MAX - 2));
                writer.put_signed(signed);
                writer.put(unsigned, count);
            }
            writer.align(true);
            let bytes = writer.into_bytes();
            let mut bits = Bits::new(&bytes);
            for (unsigned, signed, count) in numbers {
                prop_assert_eq!(bits.unsigned(), Some(unsigned.min(u32::MAX - 2)));
                prop_assert_eq!(bits.signed(), Some(signed));
                let mask = if count == 32 { u32::MAX } else { (1 << count) - 1 };
                prop_assert_eq!(bits.read(count), Some(unsigned & mask));
            }
            prop_assert!(bytes.len() * 8 - bits.position() < 8);
        }

        #[test]
        fn nothing_looks_like_a_start_code_and_all_comes_back(
            plain in prop::collection::vec(prop_oneof![3 => Just(0_u8), 2 => 0..5_u8, 1 => any::<u8>()], 0..100),
        ) {
            let mut escaped = Vec::new();
            put_with_emulation_prevention(&mut escaped, &plain);

            prop_assert!(escaped.windows(3).all(|bytes| bytes[0] != 0 || bytes[1] != 0 || bytes[2] > 2));
            prop_assert!(escaped.last() != Some(&0));
            let mut back = without_emulation_prevention(&escaped, usize::MAX);
            if plain.last() == Some(&0) && back.len() > plain.len() {
                back.pop();
            }
            prop_assert_eq!(back, plain);
        }
    }
}
