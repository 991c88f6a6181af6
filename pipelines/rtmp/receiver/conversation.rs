//! The receiving side of an RTMP connection as a state machine without I/O.

use bytes::Bytes;
use media::TrackKind;

use crate::rtmp::{
    amf0::{self, Amf0Error, Value},
    chunk::{Header, INITIAL_CHUNK_BYTES, chunk_stream, message_type, write_message},
    chunk_reader::{ChunkError, ChunkReader},
    handshake::{HandshakeError, RANDOM_BYTES, ServerHandshake},
};

/// The longest message that is taken: a picture of 1 s at 64 Mb/s.
const MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// After how many bytes each side acknowledges.
const WINDOW_BYTES: u32 = 2_500_000;

/// The chunk size of our answers.
const CHUNK_BYTES: u32 = 4_096;

/// The one message stream that a connection gets.
const MESSAGE_STREAM: u32 = 1;

const STREAM_BEGIN: u16 = 0;

/// What a client did. Those that want an answer get it by the method of the same name.
pub(in crate::rtmp) enum Event {
    /// `connect`; answer with [`Conversation::answer_connect`].
    Connect { application: String },
    /// `publish`; answer with [`Conversation::answer_publish`].
    Publish { stream_key: String },
    /// A message with picture or sound.
    Media {
        kind: TrackKind,
        timestamp_ms: u32,
        body: Bytes,
    },
    /// `onMetaData`.
    Metadata {
        timestamp_ms: u32,
        values: Vec<Value>,
    },
    /// `FCUnpublish`.
    Unpublish,
    /// `deleteStream` or `closeStream`.
    Delete,
    /// Something against the rules that need not end the connection.
    Violation(String),
}

/// Why a client cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(in crate::rtmp) enum ConversationError {
    #[error("the handshake failed: {0}")]
    Handshake(#[from] HandshakeError),
    #[error("the chunk stream is broken: {0}")]
    Chunk(#[from] ChunkError),
    #[error("a command is broken: {0}")]
    Command(#[from] Amf0Error),
}

/// One connection's conversation.
pub(in crate::rtmp) struct Conversation {
    handshake: Option<ServerHandshake>,
    reader: ChunkReader,
    interrupted: u64,
    output: Vec<u8>,
    chunk_bytes: usize,
    received_bytes: u64,
    acknowledged_bytes: u64,
    has_stream: bool,
    is_publishing: bool,
    connect_transaction: f64,
    violation: Option<String>,
}

impl Conversation {
    pub(in crate::rtmp) fn new(random: &[u8; RANDOM_BYTES]) -> Self {
        Self {
            handshake: Some(ServerHandshake::new(random)),
            reader: ChunkReader::new(MESSAGE_BYTES),
            interrupted: 0,
            output: Vec::new(),
            chunk_bytes: INITIAL_CHUNK_BYTES,
            received_bytes: 0,
            acknowledged_bytes: 0,
            has_stream: false,
            is_publishing: false,
            connect_transaction: 1.0,
            violation: None,
        }
    }

    /// Takes bytes; then [`poll_event`](Self::poll_event) until there are no more.
    pub(in crate::rtmp) fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), ConversationError> {
        self.received_bytes += bytes.len() as u64;
        let Some(handshake) = &mut self.handshake else {
            self.reader.push(bytes);
            self.acknowledge();
            return Ok(());
        };
        if let Some(client) = handshake.handle_bytes(bytes, &mut self.output)? {
            if !client.echoed {
                self.violation = Some("C2 does not repeat S1".to_owned());
            }
            self.reader.push(client.rest);
            self.handshake = None;
        }
        Ok(())
    }

    /// Takes what is to be sent.
    pub(in crate::rtmp) fn poll_output(&mut self) -> Option<Vec<u8>> {
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output))
    }

    /// Returns what the client did next.
    pub(in crate::rtmp) fn poll_event(&mut self) -> Result<Option<Event>, ConversationError> {
        loop {
            if let Some(words) = self.violation.take() {
                return Ok(Some(Event::Violation(words)));
            }
            let Some(message) = self.reader.next()? else {
                return Ok(None);
            };
            if self.reader.interrupted() > self.interrupted {
                self.interrupted = self.reader.interrupted();
                self.violation = Some("a message was not finished".to_owned());
            }
            let kind = match message.kind {
                message_type::AUDIO => TrackKind::Audio,
                message_type::VIDEO => TrackKind::Video,
                message_type::DATA_AMF0 => {
                    let values = amf0::decode(&message.body)?;
                    return Ok(Some(Event::Metadata {
                        timestamp_ms: message.timestamp,
                        values,
                    }));
                }
                message_type::COMMAND_AMF0 => {
                    if let Some(event) = self.handle_command(message.stream, &message.body)? {
                        return Ok(Some(event));
                    }
                    continue;
                }
                message_type::ACKNOWLEDGEMENT
                | message_type::USER_CONTROL
                | message_type::WINDOW_ACKNOWLEDGEMENT_SIZE
                | message_type::SET_PEER_BANDWIDTH => continue,
                other => {
                    self.violation = Some(format!("message type {other} is not expected"));
                    continue;
                }
            };
            if !self.is_publishing || message.stream != MESSAGE_STREAM {
                self.violation = Some("media came on a stream that is not published".to_owned());
                continue;
            }
            let (timestamp_ms, body) = (message.timestamp, message.body);
            return Ok(Some(Event::Media {
                kind,
                timestamp_ms,
                body,
            }));
        }
    }

    /// Lets the client in, or not.
    pub(in crate::rtmp) fn answer_connect(&mut self, accept: bool) {
        let (name, information) = if accept {
            let code = "NetConnection.Connect.Success";
            (
                "_result",
                information("status", code, "Connection succeeded."),
            )
        } else {
            let code = "NetConnection.Connect.Rejected";
            (
                "_error",
                information("error", code, "The application is refused."),
            )
        };
        if accept {
            let window = WINDOW_BYTES.to_be_bytes();
            self.control(message_type::WINDOW_ACKNOWLEDGEMENT_SIZE, &window);
            self.control(
                message_type::SET_PEER_BANDWIDTH,
                &[&window[..], &[2]].concat(),
            );
            self.control(message_type::SET_CHUNK_SIZE, &CHUNK_BYTES.to_be_bytes());
            self.chunk_bytes = CHUNK_BYTES as usize;
        }
        let transaction = Value::Number(self.connect_transaction);
        self.command(
            0,
            &[Value::string(name), transaction, Value::Null, information],
        );
    }

    /// Lets the client publish, or not.
    pub(in crate::rtmp) fn answer_publish(&mut self, accept: bool) {
        let information = if accept {
            let begin = [
                &STREAM_BEGIN.to_be_bytes()[..],
                &MESSAGE_STREAM.to_be_bytes(),
            ]
            .concat();
            self.control(message_type::USER_CONTROL, &begin);
            information("status", "NetStream.Publish.Start", "Publishing.")
        } else {
            information(
                "error",
                "NetStream.Publish.BadName",
                "The stream name is refused.",
            )
        };
        self.is_publishing = accept;
        let values = [
            Value::string("onStatus"),
            Value::Number(0.0),
            Value::Null,
            information,
        ];
        self.command(MESSAGE_STREAM, &values);
    }

    fn handle_command(
        &mut self,
        message_stream: u32,
        body: &[u8],
    ) -> Result<Option<Event>, ConversationError> {
        let values = amf0::decode(body)?;
        let text = |place: usize| values.get(place).and_then(Value::as_str);
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or_default();
        match text(0).unwrap_or_default() {
            "connect" => {
                self.connect_transaction = transaction;
                let application = values
                    .get(2)
                    .and_then(|properties| properties.member("app"));
                let application = application.and_then(Value::as_str).unwrap_or_default();
                Ok(Some(Event::Connect {
                    application: application.to_owned(),
                }))
            }
            "createStream" => {
                self.has_stream = true;
                let stream = Value::Number(f64::from(MESSAGE_STREAM));
                let result = Value::string("_result");
                self.command(
                    0,
                    &[result, Value::Number(transaction), Value::Null, stream],
                );
                Ok(None)
            }
            "FCPublish" => {
                let code = "NetStream.Publish.Start";
                let information = information("status", code, "FCPublish succeeded.");
                let name = Value::string("onFCPublish");
                self.command(0, &[name, Value::Number(0.0), Value::Null, information]);
                Ok(None)
            }
            "publish" => {
                if !self.has_stream || message_stream != MESSAGE_STREAM {
                    self.violation = Some("publish came on a stream that was not made".to_owned());
                }
                if text(4) != Some("live") {
                    self.violation = Some("the publish type is not live".to_owned());
                }
                let stream_key = text(3).unwrap_or_default().to_owned();
                Ok(Some(Event::Publish { stream_key }))
            }
            "FCUnpublish" => Ok(Some(Event::Unpublish)),
            "deleteStream" | "closeStream" => {
                self.is_publishing = false;
                Ok(Some(Event::Delete))
            }
            // `releaseStream`, and whatever else clients like to call.
            _ => Ok(None),
        }
    }

    fn acknowledge(&mut self) {
        if self.received_bytes - self.acknowledged_bytes >= u64::from(WINDOW_BYTES) {
            self.acknowledged_bytes = self.received_bytes;
            let bytes = self.received_bytes.to_be_bytes();
            self.control(message_type::ACKNOWLEDGEMENT, &bytes[4..]);
        }
    }

    fn control(&mut self, message_type: u8, body: &[u8]) {
        let header = Header::of_connection(chunk_stream::CONTROL, message_type);
        write_message(&mut self.output, header, body, self.chunk_bytes);
    }

    fn command(&mut self, message_stream: u32, values: &[Value]) {
        let header = Header {
            message_stream,
            ..Header::of_connection(chunk_stream::COMMAND, message_type::COMMAND_AMF0)
        };
        write_message(
            &mut self.output,
            header,
            &amf0::encode(values),
            self.chunk_bytes,
        );
    }
}

fn information(level: &str, code: &str, description: &str) -> Value {
    let members = [
        ("level", level),
        ("code", code),
        ("description", description),
    ];
    let members = members.map(|(name, text)| (name.to_owned(), Value::string(text)));
    Value::Object(members.into())
}
