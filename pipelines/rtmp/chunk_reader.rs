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
#[path = "chunk_reader_tests.rs"]
mod tests;
