//! The RTMP chunk stream, read: a bounded reader that joins chunks to messages.

use bytes::{Buf, Bytes, BytesMut};

use super::chunk::{EXTENDED, INITIAL_CHUNK_BYTES, message_type};

/// The largest chunk size: no message is longer (its length has 24 bits).
const LARGEST_CHUNK_BYTES: usize = 0x00FF_FFFF;

/// How many chunk streams one peer may use. Real ones use fewer than ten.
const CHUNK_STREAMS_LIMIT: usize = 64;

/// A message as the peer sent it.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Message {
    /// Milliseconds, wrapping.
    pub(super) timestamp: u32,
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) body: Bytes,
}

/// Why bytes are not a chunk stream that we go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChunkError {
    #[error("a chunk stream begins without a full header")]
    NoHeader,
    #[error("a message of {0} bytes is too long")]
    MessageTooLong(usize),
    #[error("unfinished messages hold more than {0} bytes")]
    TooMuchUnfinished(usize),
    #[error("more than {CHUNK_STREAMS_LIMIT} chunk streams are in use")]
    TooManyStreams,
    #[error("{0} is not a chunk size")]
    ChunkSize(u32),
    #[error("a protocol control message is malformed")]
    Control,
}

/// Joins chunks to messages. It obeys chunk sizes and aborts itself.
///
/// Unfinished messages hold at most twice `message_bytes_limit` together.
pub(super) struct ChunkReader {
    input: BytesMut,
    chunk_bytes: usize,
    message_bytes_limit: usize,
    unfinished_bytes: usize,
    /// Index of the stream whose chunk is being read, and how much of the chunk is missing.
    current: Option<(usize, usize)>,
    streams: Vec<Incoming>,
    interrupted: u64,
}

struct Incoming {
    id: u32,
    timestamp: u32,
    /// What a type 3 header adds when it begins a message.
    delta: u32,
    extended: bool,
    length: usize,
    kind: u8,
    message_stream: u32,
    /// The begun message.
    body: Option<BytesMut>,
}

impl ChunkReader {
    /// A reader that refuses messages of more than `message_bytes_limit` bytes.
    pub(super) fn new(message_bytes_limit: usize) -> Self {
        Self {
            input: BytesMut::new(),
            chunk_bytes: INITIAL_CHUNK_BYTES,
            message_bytes_limit,
            unfinished_bytes: 0,
            current: None,
            streams: Vec::new(),
            interrupted: 0,
        }
    }

    /// Takes bytes from the peer. Call [`next`](Self::next) until it returns `None` before the next piece.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// How many messages were given up for a new one on the same chunk stream, against the rules.
    pub(super) const fn interrupted(&self) -> u64 {
        self.interrupted
    }

    /// Returns the next whole message.
    pub(super) fn next(&mut self) -> Result<Option<Message>, ChunkError> {
        loop {
            let Some((index, missing)) = self.current else {
                match self.begin_chunk()? {
                    Some(current) => self.current = Some(current),
                    None => return Ok(None),
                }
                continue;
            };
            let taken = missing.min(self.input.len());
            if taken < missing && taken == 0 {
                return Ok(None);
            }
            let stream = &mut self.streams[index];
            let body = stream.body.get_or_insert_with(BytesMut::new);
            body.extend_from_slice(&self.input[..taken]);
            self.input.advance(taken);
            self.unfinished_bytes += taken;
            if self.unfinished_bytes > 2 * self.message_bytes_limit {
                return Err(ChunkError::TooMuchUnfinished(2 * self.message_bytes_limit));
            }
            if taken < missing {
                self.current = Some((index, missing - taken));
                return Ok(None);
            }
            self.current = None;
            if body.len() < stream.length {
                continue;
            }
            self.unfinished_bytes -= body.len();
            let message = Message {
                timestamp: stream.timestamp,
                kind: stream.kind,
                stream: stream.message_stream,
                body: stream.body.take().unwrap_or_default().freeze(),
            };
            if !self.obey(&message)? {
                return Ok(Some(message));
            }
        }
    }

    /// Reads a chunk's header: which stream goes on, and how many bytes the chunk has.
    fn begin_chunk(&mut self) -> Result<Option<(usize, usize)>, ChunkError> {
        let Some(parsed) = ChunkHeader::parse(&self.input, |id| {
            self.streams
                .iter()
                .find(|stream| stream.id == id)
                .is_some_and(|stream| stream.extended)
        }) else {
            return Ok(None);
        };
        let index = match self
            .streams
            .iter()
            .position(|stream| stream.id == parsed.chunk_stream)
        {
            Some(index) => index,
            None if parsed.form != 0 => return Err(ChunkError::NoHeader),
            None if self.streams.len() == CHUNK_STREAMS_LIMIT => {
                return Err(ChunkError::TooManyStreams);
            }
            None => {
                self.streams.push(Incoming {
                    id: parsed.chunk_stream,
                    timestamp: 0,
                    delta: 0,
                    extended: false,
                    length: 0,
                    kind: 0,
                    message_stream: 0,
                    body: None,
                });
                self.streams.len() - 1
            }
        };
        let stream = &mut self.streams[index];
        if parsed.form != 3
            && let Some(given_up) = stream.body.take()
        {
            self.unfinished_bytes -= given_up.len();
            self.interrupted += 1;
        }
        stream.apply(&parsed);
        if stream.length > self.message_bytes_limit {
            return Err(ChunkError::MessageTooLong(stream.length));
        }
        self.input.advance(parsed.bytes);
        let body = stream.body.get_or_insert_with(BytesMut::new);
        Ok(Some((
            index,
            (stream.length - body.len()).min(self.chunk_bytes),
        )))
    }

    /// Obeys messages that are about the chunk stream itself; tells whether this was one.
    fn obey(&mut self, message: &Message) -> Result<bool, ChunkError> {
        let number = || {
            let bytes = message.body.first_chunk().ok_or(ChunkError::Control)?;
            Ok(u32::from_be_bytes(*bytes))
        };
        match message.kind {
            message_type::SET_CHUNK_SIZE => {
                let size = number()?;
                if size == 0 || size >= 0x8000_0000 {
                    return Err(ChunkError::ChunkSize(size));
                }
                self.chunk_bytes = (size as usize).min(LARGEST_CHUNK_BYTES);
                Ok(true)
            }
            message_type::ABORT => {
                let id = number()?;
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id)
                    && let Some(body) = stream.body.take()
                {
                    self.unfinished_bytes -= body.len();
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl Incoming {
    fn apply(&mut self, header: &ChunkHeader) {
        self.extended = header.extended;
        if header.form <= 1 {
            self.length = header.length;
            self.kind = header.kind;
        }
        match header.form {
            0 => {
                self.timestamp = header.time;
                self.delta = header.time;
                self.message_stream = header.message_stream;
            }
            1 | 2 => {
                self.delta = header.time;
                self.timestamp = self.timestamp.wrapping_add(header.time);
            }
            _ if self.body.is_none() => {
                self.timestamp = self.timestamp.wrapping_add(self.delta);
            }
            _ => {}
        }
    }
}

/// A chunk's header as it stands on the wire; only the fields of its form are set.
#[derive(Default)]
struct ChunkHeader {
    form: u8,
    chunk_stream: u32,
    /// Timestamp or difference.
    time: u32,
    extended: bool,
    length: usize,
    kind: u8,
    message_stream: u32,
    /// Bytes of the header itself.
    bytes: usize,
}

impl ChunkHeader {
    /// Reads a header, or `None` when bytes are missing.
    fn parse(input: &[u8], was_extended: impl Fn(u32) -> bool) -> Option<Self> {
        let mut rest = input;
        let first = rest.try_get_u8().ok()?;
        let mut header = Self {
            form: first >> 6,
            ..Self::default()
        };
        header.chunk_stream = match first & 0x3F {
            0 => 64 + u32::from(rest.try_get_u8().ok()?),
            1 => 64 + u32::from(rest.try_get_u16_le().ok()?),
            id => u32::from(id),
        };
        if header.form <= 2 {
            header.time = u32::try_from(rest.try_get_uint(3).ok()?).ok()?;
            header.extended = header.time == EXTENDED;
        } else {
            header.extended = was_extended(header.chunk_stream);
        }
        if header.form <= 1 {
            header.length = usize::try_from(rest.try_get_uint(3).ok()?).ok()?;
            header.kind = rest.try_get_u8().ok()?;
        }
        if header.form == 0 {
            header.message_stream = rest.try_get_u32_le().ok()?;
        }
        if header.extended {
            let time = rest.try_get_u32().ok()?;
            if header.form <= 2 {
                header.time = time;
            }
        }
        header.bytes = input.len() - rest.len();
        Some(header)
    }
}

#[cfg(test)]
mod tests {
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
}
