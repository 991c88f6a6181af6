//! Reads an `AVCDecoderConfigurationRecord` (ISO 14496-15 § 5.3.3.1).

/// NAL units, of a record that lends them.
pub(crate) type NalUnits<'a> = Vec<&'a [u8]>;

/// Returns the sequence and the picture parameter sets; `None` for a record that is cut off.
pub(crate) fn parameter_sets(record: &[u8]) -> Option<(NalUnits<'_>, NalUnits<'_>)> {
    let mut rest = record.get(5..)?;
    let mut all = |mask: u8| {
        let (count, mut tail) = rest.split_first()?;
        let mut sets = Vec::new();
        for _ in 0..count & mask {
            let (length, body) = tail.split_first_chunk::<2>()?;
            let (set, body) = body.split_at_checked(u16::from_be_bytes(*length).into())?;
            sets.push(set);
            tail = body;
        }
        rest = tail;
        Some(sets)
    };
    Some((all(0x1f)?, all(0xff)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_found_and_a_record_that_is_cut_off_is_refused() {
        let record = [1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 66, 1, 0, 1, 0x68];

        let sets = parameter_sets(&record).unwrap();
        assert_eq!(sets, (vec![&[0x67, 66][..]], vec![&[0x68][..]]));
        for length in 0..record.len() {
            assert_eq!(parameter_sets(&record[..length]), None, "{length}");
        }
    }
}
