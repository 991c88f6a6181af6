//! Bit strings as the headers of H.264, VP9 and AV1 have them.

/// Reads a bit string from the front; `None` at its end.
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// At most 32 bits.
    pub(crate) fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// An Exp-Golomb number of at most 31 leading zeros: `ue(v)` of H.264, `uvlc` of AV1.
    pub(crate) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1_u32 << zeros) - 1 + self.read(zeros)?)
    }

    /// A signed Exp-Golomb number.
    pub(crate) fn signed(&mut self) -> Option<i32> {
        let code = i64::from(self.unsigned()?);
        let value = if code % 2 == 0 {
            -(code / 2)
        } else {
            code / 2 + 1
        };
        i32::try_from(value).ok()
    }

    /// How many bits have been read.
    #[cfg(test)]
    pub(crate) fn position(&self) -> usize {
        self.position
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
        assert_eq!(bits.unsigned(), Some(2));
        assert_eq!(bits.read(10), None);
        assert_eq!(Bits::new(&[0; 9]).unsigned(), None, "33 bits at most");
    }
}
