//! The RTMP chunk stream, written: message headers, and messages cut into chunks.

use bytes::BufMut;

/// The chunk size of both sides before anybody changes it.
pub(super) const INITIAL_CHUNK_BYTES: usize = 128;

/// The timestamp from which on the extended field carries it.
pub(super) const EXTENDED: u32 = 0x00FF_FFFF;

/// Message types of the protocol itself.
pub(super) mod message_type {
    pub(in super::super) const SET_CHUNK_SIZE: u8 = 1;
    pub(in super::super) const ABORT: u8 = 2;
    pub(in super::super) const ACKNOWLEDGEMENT: u8 = 3;
    pub(in super::super) const USER_CONTROL: u8 = 4;
    pub(in super::super) const WINDOW_ACKNOWLEDGEMENT_SIZE: u8 = 5;
    pub(in super::super) const SET_PEER_BANDWIDTH: u8 = 6;
    pub(in super::super) const AUDIO: u8 = 8;
    pub(in super::super) const VIDEO: u8 = 9;
    pub(in super::super) const COMMAND_AMF3: u8 = 17;
    pub(in super::super) const DATA_AMF0: u8 = 18;
    pub(in super::super) const COMMAND_AMF0: u8 = 20;
}

/// The chunk streams that we write on.
pub(super) mod chunk_stream {
    pub(in super::super) const CONTROL: u8 = 2;
    pub(in super::super) const COMMAND: u8 = 3;
    pub(in super::super) const AUDIO: u8 = 4;
    pub(in super::super) const DATA: u8 = 5;
    pub(in super::super) const VIDEO: u8 = 6;
}

/// All of a message but its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// 2 to 63.
    pub(super) chunk_stream: u8,
    /// Milliseconds, wrapping.
    pub(super) timestamp: u32,
    pub(super) kind: u8,
    pub(super) message_stream: u32,
}

impl Header {
    /// The header of a message that belongs to the connection.
    pub(super) const fn of_connection(chunk_stream: u8, kind: u8) -> Self {
        Self {
            chunk_stream,
            timestamp: 0,
            kind,
            message_stream: 0,
        }
    }

    /// Writes the full chunk header (type 0) of a message whose body has `length` bytes (24 bits).
    pub(super) fn write(self, out: &mut impl BufMut, length: usize) {
        out.put_u8(self.chunk_stream);
        out.put_uint(u64::from(self.timestamp.min(EXTENDED)), 3);
        out.put_uint(length as u64, 3);
        out.put_u8(self.kind);
        out.put_u32_le(self.message_stream);
        self.write_extended(out);
    }

    /// Writes the header of a chunk that goes on with the message (type 3).
    pub(super) fn write_continuation(self, out: &mut impl BufMut) {
        out.put_u8(0xC0 | self.chunk_stream);
        self.write_extended(out);
    }

    fn write_extended(self, out: &mut impl BufMut) {
        if self.timestamp >= EXTENDED {
            out.put_u32(self.timestamp);
        }
    }
}

/// Writes a whole message in chunks of `chunk_bytes`.
pub(super) fn write_message(out: &mut Vec<u8>, header: Header, body: &[u8], chunk_bytes: usize) {
    header.write(out, body.len());
    for (number, piece) in body.chunks(chunk_bytes).enumerate() {
        if number > 0 {
            header.write_continuation(out);
        }
        out.extend(piece);
    }
}
