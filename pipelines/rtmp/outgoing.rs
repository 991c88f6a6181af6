//! What waits to be written: headers of our own and shared media bytes, without copying the media.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

use super::{chunk::Header, publish::CHUNK_BYTES};

/// How many pieces one vectored write takes. A picture with its sound has about ten.
const SLICES_PER_WRITE: usize = 64;

/// Room for the headers of some batches.
const HEADERS_BYTES: usize = 4 * 1024;

/// The queue of one destination.
///
/// Its owner bounds it: media are appended only while it is empty, one batch at a time.
#[derive(Default)]
pub(super) struct Outgoing {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// Where headers are written; pieces share it.
    headers: BytesMut,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that wait.
    pub(super) const fn len(&self) -> usize {
        self.bytes
    }

    /// Appends bytes that are chunks already.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.pieces.push_back(bytes);
        }
    }

    /// Appends a message with `prefix` and `media` as its body, in chunks of [`CHUNK_BYTES`].
    pub(super) fn push_message(&mut self, header: Header, prefix: &[u8], mut media: Bytes) {
        if self.headers.capacity() < 64 {
            self.headers.reserve(HEADERS_BYTES);
        }
        header.write(&mut self.headers, prefix.len() + media.len());
        self.headers.extend_from_slice(prefix);
        let mut room = CHUNK_BYTES - prefix.len();
        loop {
            let headers = self.headers.split().freeze();
            self.push(headers);
            self.push(media.split_to(room.min(media.len())));
            if media.is_empty() {
                return;
            }
            header.write_continuation(&mut self.headers);
            room = CHUNK_BYTES;
        }
    }

    /// The front of the queue as slices for one write.
    pub(super) fn slices(&self) -> ([IoSlice<'_>; SLICES_PER_WRITE], usize) {
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
        let count = self.pieces.len().min(SLICES_PER_WRITE);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        (slices, count)
    }

    /// Forgets the first `written` bytes.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.pieces.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rtmp::chunk::{message_type, write_message};

    fn header(timestamp: u32) -> Header {
        Header {
            chunk_stream: 6,
            timestamp,
            kind: message_type::VIDEO,
            message_stream: 1,
        }
    }

    #[test]
    fn a_picture_of_one_chunk_is_its_header_and_its_own_bytes() {
        let media = Bytes::from(vec![5; 1_000]);
        let mut outgoing = Outgoing::default();

        outgoing.push_message(header(1), &[0; 5], media.clone());

        let (slices, count) = outgoing.slices();
        assert_eq!((count, slices[0].len()), (2, 17));
        assert_eq!(slices[1].as_ptr(), media.as_ptr());
    }

    proptest! {
        #[test]
        fn whatever_the_writes_the_bytes_are_those_of_the_messages(
            messages in prop::collection::vec((any::<u32>(), 0_usize..200_000), 1..5),
            mut write in 1_usize..100_000,
        ) {
            let mut outgoing = Outgoing::default();
            let mut expected = Vec::new();
            for (timestamp, length) in messages {
                let media = vec![7; length];
                let body = [&[1, 2, 3, 4, 5][..], &media].concat();
                write_message(&mut expected, header(timestamp), &body, CHUNK_BYTES);
                outgoing.push_message(header(timestamp), &body[..5], Bytes::from(media));
            }
            prop_assert_eq!(outgoing.len(), expected.len());

            let mut written: Vec<u8> = Vec::new();
            while !outgoing.is_empty() {
                let (slices, count) = outgoing.slices();
                let mut left = write;
                for slice in &slices[..count] {
                    let taken = left.min(slice.len());
                    written.extend_from_slice(&slice[..taken]);
                    left -= taken;
                }
                outgoing.advance(write - left);
                write = write / 2 + 5_000;
            }

            prop_assert!(written == expected);
            prop_assert_eq!(outgoing.len(), 0);
        }
    }
}
