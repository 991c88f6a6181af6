//! Datagrams that wait to be sent together to one client.

/// Datagrams behind each other. Emptied by each [`take_runs`](Self::take_runs).
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where each datagram ends.
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn push(&mut self, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.ends.push(self.bytes.len());
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Gives all datagrams in order, in runs in which all but the last, which may be shorter, have the same length: what
    /// the kernel can be given at once (UDP GSO). A run has at most `most` datagrams and `most_bytes` bytes, unless it has
    /// one.
    pub(crate) fn take_runs(
        &mut self,
        most: usize,
        most_bytes: usize,
        mut give: impl FnMut(&[u8], usize),
    ) {
        let mut begin = 0;
        let mut run: Option<(usize, usize, usize)> = None;
        for &end in &self.ends {
            let length = end - begin;
            run = match run {
                Some((from, count, size))
                    if count < most
                        && length <= size
                        && begin - from == count * size
                        && end - from <= most_bytes =>
                {
                    Some((from, count + 1, size))
                }
                done => {
                    if let Some((from, _, size)) = done {
                        give(&self.bytes[from..begin], size);
                    }
                    Some((begin, 1, length))
                }
            };
            begin = end;
        }
        if let Some((from, _, size)) = run {
            give(&self.bytes[from..begin], size);
        }
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runs(lengths: &[usize], most: usize) -> Vec<(usize, usize)> {
        let mut batch = Batch::default();
        for &length in lengths {
            batch.push(&vec![1; length]);
        }
        let mut runs = Vec::new();
        batch.take_runs(most, 60_000, |bytes, size| runs.push((bytes.len(), size)));
        assert!(batch.is_empty());
        runs
    }

    #[test]
    fn equal_ones_and_a_shorter_last_one_go_together() {
        assert_eq!(
            runs(&[1200, 1200, 300, 100, 100], 64),
            [(2700, 1200), (200, 100)]
        );
        assert_eq!(runs(&[100, 1200], 64), [(100, 100), (1200, 1200)]);
        assert_eq!(runs(&[100; 5], 2), [(200, 100), (200, 100), (100, 100)]);
        assert!(runs(&[], 64).is_empty());
    }

    proptest! {
        #[test]
        fn every_datagram_comes_out_once_and_in_order(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..40),
            most in 1usize..8,
            most_bytes in 1usize..60,
        ) {
            let mut batch = Batch::default();
            for datagram in &datagrams {
                batch.push(datagram);
            }
            let mut seen: Vec<Vec<u8>> = Vec::new();
            batch.take_runs(most, most_bytes, |bytes, size| {
                let run: Vec<_> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
                assert!(run.len() <= most && (run.len() == 1 || bytes.len() <= most_bytes));
                seen.extend(run);
            });
            prop_assert_eq!(seen, datagrams);
        }
    }
}
