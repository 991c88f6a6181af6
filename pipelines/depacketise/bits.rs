//! Bit strings as VP9 and AV1 have them in their headers.

/// Reads a bit string from the front; `None` at its end.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// At most 32 bits.
    pub(super) fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// A number of variable length (`uvlc`, AV1 § 4.10.3).
    pub(super) fn variable(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1_u32 << zeros) - 1 + self.read(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_up_to_the_end_and_not_beyond() {
        let mut bits = Bits::new(&[0b1010_0110, 0b1000_0000]);

        assert_eq!(bits.flag(), Some(true));
        assert_eq!(bits.read(3), Some(0b010));
        assert_eq!(bits.variable(), Some(2));
        assert_eq!(bits.read(10), None);
        assert_eq!(Bits::new(&[0; 9]).variable(), None, "33 bits at most");
    }
}
