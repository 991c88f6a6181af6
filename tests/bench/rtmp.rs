//! The smallest RTMP server that takes a publisher: it reads messages, keeps only their beginnings, and answers commands.

use std::collections::HashMap;

/// Size of the handshake's blocks.
const HANDSHAKE_BYTES: usize = 1536;

/// How much of a message is kept: all of a command, the head of media.
const KEPT_BYTES: usize = 4096;

/// Largest message that is believed.
const MESSAGE_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// How often bytes are acknowledged.
const ACKNOWLEDGE_EVERY_BYTES: u64 = 1_000_000;

/// What a connection brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A publisher began under this stream name.
    Publish(String),
    /// A picture (not its configuration): timestamp in milliseconds, whole message in bytes, whether a keyframe.
    Video(u32, usize, bool),
    /// One block of sound (not its configuration).
    Audio,
}

/// One connection, without I/O.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    state: State,
    chunk_bytes: usize,
    streams: HashMap<u32, Stream>,
    received: u64,
    acknowledged: u64,
    /// Bytes to send.
    pub(crate) outgoing: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Hello,
    Echo,
    Messages,
}

#[derive(Debug, Default)]
struct Stream {
    timestamp: u32,
    delta: u32,
    extended: bool,
    length: usize,
    kind: u8,
    received: usize,
    head: Vec<u8>,
}

/// The conversation is not RTMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotRtmp;

impl Conversation {
    pub(crate) fn new() -> Self {
        Self {
            chunk_bytes: 128,
            ..Self::default()
        }
    }

    /// Takes as much of `bytes` as is complete, returns how much that was.
    pub(crate) fn handle(
        &mut self,
        bytes: &[u8],
        mut told: impl FnMut(Incoming),
    ) -> Result<usize, NotRtmp> {
        let mut taken = 0;
        while let Some(step) = self.step(&bytes[taken..], &mut told)? {
            taken += step;
        }
        self.received += u64::try_from(taken).unwrap_or_default();
        if self.state == State::Messages
            && self.received - self.acknowledged >= ACKNOWLEDGE_EVERY_BYTES
        {
            self.acknowledged = self.received;
            let sum = u32::try_from(self.received & u64::from(u32::MAX)).unwrap_or_default();
            self.send(2, 3, 0, &sum.to_be_bytes());
        }
        Ok(taken)
    }

    fn step(
        &mut self,
        bytes: &[u8],
        told: &mut impl FnMut(Incoming),
    ) -> Result<Option<usize>, NotRtmp> {
        match self.state {
            State::Hello if bytes.len() > HANDSHAKE_BYTES => {
                self.outgoing.push(3);
                self.outgoing.resize(1 + HANDSHAKE_BYTES, 0);
                self.outgoing.extend_from_slice(&bytes[1..=HANDSHAKE_BYTES]);
                self.state = State::Echo;
                Ok(Some(1 + HANDSHAKE_BYTES))
            }
            State::Echo if bytes.len() >= HANDSHAKE_BYTES => {
                self.state = State::Messages;
                Ok(Some(HANDSHAKE_BYTES))
            }
            State::Messages => self.chunk(bytes, told),
            State::Hello | State::Echo => Ok(None),
        }
    }

    /// Reads one chunk, or nothing while it is incomplete.
    fn chunk(
        &mut self,
        bytes: &[u8],
        told: &mut impl FnMut(Incoming),
    ) -> Result<Option<usize>, NotRtmp> {
        let mut cursor = Cursor { bytes, at: 0 };
        let Some(header) = cursor.basic_header() else {
            return Ok(None);
        };
        let stream = self.streams.entry(header.stream).or_default();
        let Some(next) = cursor.message_header(header.format, stream) else {
            return Ok(None);
        };
        if next.length > MESSAGE_LIMIT_BYTES {
            return Err(NotRtmp);
        }
        let part = (next.length - stream.received.min(next.length)).min(self.chunk_bytes);
        let Some(payload) = cursor.take(part) else {
            return Ok(None);
        };
        stream.timestamp = next.timestamp;
        stream.delta = next.delta;
        stream.extended = next.extended;
        stream.length = next.length;
        stream.kind = next.kind;
        let keep = KEPT_BYTES.saturating_sub(stream.head.len()).min(part);
        stream.head.extend_from_slice(&payload[..keep]);
        stream.received += part;
        let taken = cursor.at;
        if stream.received >= stream.length {
            let head = std::mem::take(&mut stream.head);
            let (kind, timestamp, length) = (stream.kind, stream.timestamp, stream.length);
            stream.received = 0;
            self.message(kind, timestamp, length, &head, told)?;
        }
        Ok(Some(taken))
    }

    fn message(
        &mut self,
        kind: u8,
        timestamp: u32,
        length: usize,
        head: &[u8],
        told: &mut impl FnMut(Incoming),
    ) -> Result<(), NotRtmp> {
        match (kind, head) {
            (1, [a, b, c, d, ..]) => {
                let size = u32::from_be_bytes([*a, *b, *c, *d]);
                self.chunk_bytes = usize::try_from(size)
                    .map_err(|_| NotRtmp)?
                    .clamp(1, 1 << 24);
            }
            (8, [_, 1, ..]) => told(Incoming::Audio),
            (9, [flags, 1, ..]) => {
                told(Incoming::Video(timestamp, length, flags >> 4 == 1));
            }
            (20, command) => self.command(command, told),
            _ => {}
        }
        Ok(())
    }

    fn command(&mut self, command: &[u8], told: &mut impl FnMut(Incoming)) {
        let mut cursor = Cursor {
            bytes: command,
            at: 0,
        };
        let (Some(name), Some(transaction)) = (cursor.string(), cursor.number()) else {
            return;
        };
        match name.as_str() {
            "connect" => {
                self.send(2, 5, 0, &2_500_000_u32.to_be_bytes());
                self.send(2, 6, 0, &[0, 0x26, 0x25, 0xa0, 2]);
                let status = object(&[
                    ("level", "status"),
                    ("code", "NetConnection.Connect.Success"),
                ]);
                let reply = [string("_result"), number(transaction), vec![5], status].concat();
                self.send(3, 20, 0, &reply);
            }
            "createStream" => {
                let reply = [string("_result"), number(transaction), vec![5], number(1.0)];
                self.send(3, 20, 0, &reply.concat());
            }
            "publish" => {
                // A null stands between the transaction and the name.
                cursor.at += 1;
                told(Incoming::Publish(cursor.string().unwrap_or_default()));
                let status = object(&[("level", "status"), ("code", "NetStream.Publish.Start")]);
                let reply = [string("onStatus"), number(0.0), vec![5], status].concat();
                self.send(3, 20, 1, &reply);
            }
            _ => {}
        }
    }

    /// Sends a message that fits into one chunk of 128 bytes, or splits it.
    fn send(&mut self, chunk_stream: u8, kind: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap_or_default();
        self.outgoing.push(chunk_stream);
        self.outgoing.extend_from_slice(&[0; 3]);
        self.outgoing.extend_from_slice(&length.to_be_bytes()[1..]);
        self.outgoing.push(kind);
        self.outgoing.extend_from_slice(&stream.to_le_bytes());
        for (index, part) in payload.chunks(128).enumerate() {
            if index > 0 {
                self.outgoing.push(0xc0 | chunk_stream);
            }
            self.outgoing.extend_from_slice(part);
        }
    }
}

struct BasicHeader {
    format: u8,
    stream: u32,
}

struct MessageHeader {
    timestamp: u32,
    delta: u32,
    extended: bool,
    length: usize,
    kind: u8,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn basic_header(&mut self) -> Option<BasicHeader> {
        let [first] = self.array()?;
        let stream = match first & 0x3f {
            0 => u32::from(self.array::<1>()?[0]) + 64,
            1 => u32::from(u16::from_le_bytes(self.array()?)) + 64,
            small => u32::from(small),
        };
        Some(BasicHeader {
            format: first >> 6,
            stream,
        })
    }

    fn message_header(&mut self, format: u8, before: &Stream) -> Option<MessageHeader> {
        let mut header = MessageHeader {
            timestamp: before.timestamp,
            delta: before.delta,
            extended: before.extended,
            length: before.length,
            kind: before.kind,
        };
        let mut time = 0;
        if format < 3 {
            let [a, b, c] = self.array()?;
            time = u32::from_be_bytes([0, a, b, c]);
            header.extended = time == 0x00ff_ffff;
        }
        if format < 2 {
            let [a, b, c, kind] = self.array()?;
            header.length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
            header.kind = kind;
        }
        if format == 0 {
            self.take(4)?;
        }
        if header.extended {
            time = u32::from_be_bytes(self.array()?);
        }
        match format {
            0 => {
                header.timestamp = time;
                header.delta = 0;
            }
            1 | 2 => {
                header.timestamp = before.timestamp.wrapping_add(time);
                header.delta = time;
            }
            // A new message without a header repeats the last step; a further chunk of one changes nothing.
            _ if before.received == 0 => {
                header.timestamp = before.timestamp.wrapping_add(before.delta);
            }
            _ => {}
        }
        Some(header)
    }

    fn string(&mut self) -> Option<String> {
        let [2, high, low] = self.array()? else {
            return None;
        };
        let text = self.take(usize::from(u16::from_be_bytes([high, low])))?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn number(&mut self) -> Option<f64> {
        let [0] = self.array()? else { return None };
        Some(f64::from_be_bytes(self.array()?))
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.extend(counted(text));
    bytes
}

fn counted(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or_default();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

fn number(value: f64) -> Vec<u8> {
    [&[0][..], &value.to_be_bytes()].concat()
}

fn object(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = vec![3];
    for (name, value) in fields {
        bytes.extend(counted(name));
        bytes.extend(string(value));
    }
    bytes.extend([0, 0, 9]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_handshake() -> Conversation {
        let mut conversation = Conversation::new();
        let mut hello = vec![3];
        hello.resize(1 + 2 * HANDSHAKE_BYTES, 7);
        assert_eq!(conversation.handle(&hello, |_| {}), Ok(hello.len()));
        conversation.outgoing.clear();
        conversation
    }

    fn all(conversation: &mut Conversation, bytes: &[u8], step: usize) -> Vec<Incoming> {
        let (mut told, mut pending) = (Vec::new(), Vec::new());
        for part in bytes.chunks(step) {
            pending.extend_from_slice(part);
            let taken = conversation
                .handle(&pending, |event| told.push(event))
                .unwrap();
            pending.drain(..taken);
        }
        assert!(pending.is_empty());
        told
    }

    #[test]
    fn the_handshake_echoes() {
        let mut conversation = Conversation::new();
        let mut hello = vec![3];
        hello.resize(1 + HANDSHAKE_BYTES, 9);

        conversation.handle(&hello, |_| {}).unwrap();

        assert_eq!(conversation.outgoing.len(), 1 + 2 * HANDSHAKE_BYTES);
        assert!(
            conversation.outgoing[1 + HANDSHAKE_BYTES..]
                .iter()
                .all(|&byte| byte == 9)
        );
    }

    #[test]
    fn pictures_are_counted_however_they_are_cut() {
        // 200 bytes of keyframe in two chunks, then one of the same length 33 ms later.
        let mut bytes = vec![0x04, 0, 0, 40, 0, 0, 200, 9, 1, 0, 0, 0, 0x17, 1];
        bytes.extend([0; 126]);
        bytes.push(0xc4);
        bytes.extend([0; 72]);
        bytes.extend([0x84, 0, 0, 33, 0x27, 1]);
        bytes.extend([0; 126]);
        bytes.push(0xc4);
        bytes.extend([0; 72]);

        for step in [1, 7, 1000] {
            let told = all(&mut after_handshake(), &bytes, step);

            assert_eq!(
                told,
                [
                    Incoming::Video(40, 200, true),
                    Incoming::Video(73, 200, false)
                ]
            );
        }
    }

    #[test]
    fn a_publisher_is_answered() {
        let command = [string("publish"), number(5.0), vec![5], string("key?a=b")].concat();
        let mut bytes = vec![
            0x03,
            0,
            0,
            0,
            0,
            0,
            u8::try_from(command.len()).unwrap(),
            20,
            1,
            0,
            0,
            0,
        ];
        bytes.extend(command);
        let mut conversation = after_handshake();

        let told = all(&mut conversation, &bytes, 1000);

        assert_eq!(told, [Incoming::Publish("key?a=b".to_owned())]);
        assert!(!conversation.outgoing.is_empty());
    }
}
