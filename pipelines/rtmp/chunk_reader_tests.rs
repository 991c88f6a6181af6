use proptest::prelude::*;

use super::*;
use crate::rtmp::chunk::{Header, chunk_stream, write_message};

fn read_all(reader: &mut ChunkReader, bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    reader.push(bytes);
    std::iter::from_fn(|| reader.next().transpose()).collect()
}

fn header(timestamp: u32) -> Header {
    Header {
        chunk_stream: 6,
        timestamp,
        kind: message_type::VIDEO,
        message_stream: 1,
    }
}

fn message(timestamp: u32, body: &[u8]) -> Message {
    Message {
        timestamp,
        kind: message_type::VIDEO,
        stream: 1,
        body: Bytes::copy_from_slice(body),
    }
}

#[test]
fn a_continuation_repeats_the_extended_timestamp() {
    let mut bytes = Vec::new();
    write_message(&mut bytes, header(0x0100_0000), &[5; 200], 128);

    assert_eq!(bytes.len(), 16 + 128 + 5 + 72);
    assert_eq!(bytes[16 + 128..][..5], [0xC6, 1, 0, 0, 0]);
    let read = read_all(&mut ChunkReader::new(1_000), &bytes);
    assert_eq!(read, Ok(vec![message(0x0100_0000, &[5; 200])]));
}

#[test]
fn short_headers_add_to_the_timestamp() {
    let mut bytes = Vec::new();
    write_message(&mut bytes, header(1_000), &[1], 128);
    bytes.extend([0x46, 0, 0, 40, 0, 0, 2, 9, 7, 7]);
    bytes.extend([0x86, 0, 0, 20, 8, 8]);
    bytes.extend([0xC6, 9, 9]);

    let read = read_all(&mut ChunkReader::new(1_000), &bytes).unwrap();

    let times: Vec<u32> = read.iter().map(|message| message.timestamp).collect();
    assert_eq!(times, [1_000, 1_040, 1_060, 1_080]);
    assert_eq!(read[3].body[..], [9, 9]);
}

#[test]
fn chunks_of_two_streams_interleave() {
    let audio = Header {
        chunk_stream: 4,
        kind: message_type::AUDIO,
        ..header(3)
    };
    let mut bytes = Vec::new();
    header(2).write(&mut bytes, 150);
    bytes.extend([1; 128]);
    write_message(&mut bytes, audio, &[2; 10], 128);
    header(2).write_continuation(&mut bytes);
    bytes.extend([1; 22]);

    let read = read_all(&mut ChunkReader::new(1_000), &bytes).unwrap();

    assert_eq!((read[0].timestamp, read[0].body.len()), (3, 10));
    assert_eq!(read[1], message(2, &[1; 150]));
}

#[test]
fn a_message_may_have_the_limit_and_no_more() {
    let mut bytes = Vec::new();
    write_message(&mut bytes, header(0), &[0; 1_000], 128);
    assert_eq!(
        read_all(&mut ChunkReader::new(1_000), &bytes)
            .unwrap()
            .len(),
        1
    );

    let mut bytes = Vec::new();
    header(0).write(&mut bytes, 1_001);
    let read = read_all(&mut ChunkReader::new(1_000), &bytes);
    assert_eq!(read, Err(ChunkError::MessageTooLong(1_001)));
}

#[test]
fn unfinished_messages_together_are_bounded() {
    let mut reader = ChunkReader::new(100);
    for chunk_stream in 3..5 {
        let mut bytes = Vec::new();
        Header {
            chunk_stream,
            ..header(0)
        }
        .write(&mut bytes, 100);
        bytes.extend([0; 99]);
        // A chunk size of 99 would end the chunk here, so that another stream may begin.
        reader.chunk_bytes = 99;
        assert_eq!(read_all(&mut reader, &bytes), Ok(vec![]));
    }
    let mut bytes = Vec::new();
    Header {
        chunk_stream: 5,
        ..header(0)
    }
    .write(&mut bytes, 100);
    bytes.extend([0; 3]);

    assert_eq!(
        read_all(&mut reader, &bytes),
        Err(ChunkError::TooMuchUnfinished(200))
    );
}

#[test]
fn sixty_four_chunk_streams_are_enough() {
    let mut reader = ChunkReader::new(100);
    let mut begin = |id: u8| {
        let mut bytes = vec![0, id];
        bytes.extend([0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0]);
        read_all(&mut reader, &bytes)
    };
    for id in 0..64 {
        assert_eq!(begin(id).unwrap().len(), 1);
    }

    assert_eq!(begin(64), Err(ChunkError::TooManyStreams));
}

#[test]
fn the_peer_sets_its_chunk_size_and_aborts_its_messages() {
    let control = |kind| Header::of_connection(chunk_stream::CONTROL, kind);
    let mut bytes = Vec::new();
    header(0).write(&mut bytes, 200);
    bytes.extend([0; 128]);
    write_message(
        &mut bytes,
        control(message_type::ABORT),
        &6_u32.to_be_bytes(),
        128,
    );
    write_message(
        &mut bytes,
        control(message_type::SET_CHUNK_SIZE),
        &[0, 0, 16, 0],
        128,
    );
    write_message(&mut bytes, header(7), &[3; 4_000], 4_096);

    let mut reader = ChunkReader::new(10_000);
    let read = read_all(&mut reader, &bytes);

    assert_eq!(read, Ok(vec![message(7, &[3; 4_000])]));
    assert_eq!((reader.unfinished_bytes, reader.interrupted()), (0, 0));
}

#[test]
fn no_peer_has_a_chunk_size_of_zero() {
    let control = Header::of_connection(chunk_stream::CONTROL, message_type::SET_CHUNK_SIZE);
    let mut bytes = Vec::new();
    write_message(&mut bytes, control, &[0; 4], 128);

    assert_eq!(
        read_all(&mut ChunkReader::new(10), &bytes),
        Err(ChunkError::ChunkSize(0))
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_any_pieces(
        bodies in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..600)), 1..8),
        chunk_bytes in 1_usize..700,
        piece in 1_usize..400,
    ) {
        let control = Header::of_connection(2, message_type::SET_CHUNK_SIZE);
        let size = u32::try_from(chunk_bytes).unwrap().to_be_bytes();
        let mut bytes = Vec::new();
        write_message(&mut bytes, control, &size, INITIAL_CHUNK_BYTES);
        for (timestamp, body) in &bodies {
            write_message(&mut bytes, header(*timestamp), body, chunk_bytes);
        }

        let mut reader = ChunkReader::new(600);
        let mut read = Vec::new();
        for piece in bytes.chunks(piece) {
            read.extend(read_all(&mut reader, piece).unwrap());
        }

        let sent: Vec<Message> =
            bodies.iter().map(|(timestamp, body)| message(*timestamp, body)).collect();
        prop_assert_eq!(read, sent);
        prop_assert_eq!(reader.unfinished_bytes, 0);
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_hoard(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
    ) {
        let mut reader = ChunkReader::new(512);
        for piece in pieces {
            if read_all(&mut reader, &piece).is_err() {
                break;
            }
            prop_assert!(reader.unfinished_bytes <= 1_024);
            prop_assert!(reader.input.len() < 18);
        }
    }
}
