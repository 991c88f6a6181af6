//! The publishing side of an RTMP connection, from the handshake to the end, as a state machine without I/O.

use std::time::{Duration, Instant};

use broadcast::{Endpoint, Failure, Reason, Scheme};

use super::{
    amf0::{self, Value},
    black_box::What,
    chunk::{Header, INITIAL_CHUNK_BYTES, chunk_stream, message_type, write_message},
    chunk_reader::ChunkReader,
    handshake::{ClientHandshake, RANDOM_BYTES},
    refusal::{Answer, Step},
};

/// The chunk size that we write with: one chunk holds most pictures.
pub(super) const CHUNK_BYTES: usize = 65_536;

/// The longest message that a server may send. Its answers have some hundred bytes.
const SERVER_MESSAGE_BYTES: usize = 64 * 1024;

/// How many bytes we let the server send us, and ask it to take, between acknowledgements.
const WINDOW_BYTES: u32 = 2_500_000;

/// What waits to be sent to the server at most. Only a server that floods us with requests gets there.
const OUTPUT_LIMIT: usize = 256 * 1024;

const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

const CONNECT_TRANSACTION: f64 = 1.0;
const CREATE_STREAM_TRANSACTION: f64 = 4.0;
const PUBLISH_TRANSACTION: f64 = 5.0;

/// How long the steps of a conversation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepLimits {
    /// From the first byte to the end of the handshake.
    pub(super) handshake: Duration,
    /// From there to `NetStream.Publish.Start`.
    pub(super) publish: Duration,
}

/// How far a conversation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// It publishes.
    Publish,
    /// It ends when the server has given a stream, without naming the key.
    CreateStream,
}

/// A step that is over, for the black box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepTaken {
    pub(super) what: What,
    pub(super) elapsed: Duration,
    /// What the server said, without any part of the endpoint's secrets.
    pub(super) words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Handshake,
    Connecting,
    CreatingStream,
    Publishing {
        stream: u32,
    },
    /// The goal is reached.
    Live {
        stream: u32,
    },
    Closed,
}

/// One conversation. Bytes and time go in; bytes and a failure come out.
pub(super) struct Publication {
    endpoint: Endpoint,
    goal: Goal,
    limits: StepLimits,
    state: State,
    handshake: ClientHandshake,
    reader: ChunkReader,
    output: Vec<u8>,
    /// Of our own messages; the server is told once the handshake is over.
    chunk_bytes: usize,
    deadline: Option<Instant>,
    now: Instant,
    step_began: Instant,
    /// Each step is taken once.
    steps: Vec<StepTaken>,
    received_bytes: u64,
    acknowledged_bytes: u64,
    /// After how many received bytes the server wants an acknowledgement.
    window_bytes: u64,
}

impl Publication {
    /// Begins a conversation; [`poll_output`](Self::poll_output) has the first bytes.
    pub(super) fn new(
        endpoint: Endpoint,
        goal: Goal,
        limits: StepLimits,
        random: &[u8; RANDOM_BYTES],
        now: Instant,
    ) -> Self {
        let (handshake, output) = ClientHandshake::new(random);
        Self {
            endpoint,
            goal,
            limits,
            state: State::Handshake,
            handshake,
            reader: ChunkReader::new(SERVER_MESSAGE_BYTES),
            output,
            chunk_bytes: INITIAL_CHUNK_BYTES,
            deadline: Some(now + limits.handshake),
            now,
            step_began: now,
            steps: Vec::new(),
            received_bytes: 0,
            acknowledged_bytes: 0,
            window_bytes: u64::from(WINDOW_BYTES),
        }
    }

    /// The message stream to send media on, once the server publishes.
    pub(super) fn live_stream(&self) -> Option<u32> {
        if let State::Live { stream } = self.state {
            Some(stream)
        } else {
            None
        }
    }

    /// Takes what is to be sent, if anything. Between two calls media messages may be sent, each whole.
    pub(super) fn poll_output(&mut self) -> Option<Vec<u8>> {
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output))
    }

    /// Takes the steps that are over since the last call.
    pub(super) fn take_steps(&mut self) -> Vec<StepTaken> {
        std::mem::take(&mut self.steps)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        self.deadline = None;
        let within = |limit: Duration| format!("within {} s", limit.as_secs_f32());
        Err(match self.state {
            State::Handshake => Failure::new(
                Reason::HandshakeFailed,
                format!(
                    "the server did not finish the handshake {}",
                    within(self.limits.handshake)
                ),
            ),
            State::Connecting
            | State::CreatingStream
            | State::Publishing { .. }
            | State::Live { .. }
            | State::Closed => Failure::new(
                Reason::PublishRefused,
                format!(
                    "the server did not agree to publish {}",
                    within(self.limits.publish)
                ),
            ),
        })
    }

    /// Takes bytes from the server.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8], now: Instant) -> Result<(), Failure> {
        self.received_bytes += bytes.len() as u64;
        self.now = now;
        let mut bytes = bytes;
        if self.state == State::Handshake {
            let rest = self
                .handshake
                .handle_bytes(bytes, &mut self.output)
                .map_err(|error| Failure::new(Reason::HandshakeFailed, error.to_string()))?;
            let Some(rest) = rest else { return Ok(()) };
            bytes = rest;
            self.step(What::Handshake, String::new());
            self.connect(now);
        }
        self.reader.push(bytes);
        while let Some(message) = self.reader.next().map_err(|error| self.not_rtmp(&error))? {
            self.handle_message(message.kind, &message.body)?;
            if self.output.len() > OUTPUT_LIMIT {
                return Err(Failure::new(
                    Reason::ClosedByPeer,
                    "the server asked more than it takes answers",
                ));
            }
        }
        self.acknowledge();
        Ok(())
    }

    /// The server closed the connection, or it broke.
    pub(super) fn handle_end(&mut self, error: Option<&std::io::Error>) -> Failure {
        let how = match error {
            None => "the server closed the connection".to_owned(),
            Some(error) => format!("the connection broke ({error})"),
        };
        let (reason, when) = match self.state {
            State::Handshake => (Reason::HandshakeFailed, " during the handshake"),
            State::Connecting => (
                Reason::ClosedByPeer,
                " in answer to the application; it may be unknown there",
            ),
            State::CreatingStream => (Reason::ClosedByPeer, " before it gave a stream"),
            State::Publishing { .. } => (
                Reason::ClosedByPeer,
                " in answer to the stream key; it may be wrong",
            ),
            State::Live { .. } | State::Closed => (Reason::ClosedByPeer, ""),
        };
        self.state = State::Closed;
        Failure::new(reason, how + when)
    }

    /// Ends the conversation in order; the last bytes are in [`poll_output`](Self::poll_output).
    pub(super) fn close(&mut self) {
        let stream = match self.state {
            State::Publishing { stream } | State::Live { stream } => Some(stream),
            State::Handshake | State::Connecting | State::CreatingStream | State::Closed => None,
        };
        self.state = State::Closed;
        self.deadline = None;
        let Some(stream) = stream else { return };
        if self.goal == Goal::Publish {
            self.command(0, "FCUnpublish", 6.0, &[Value::Null, self.key()]);
        }
        self.command(
            0,
            "deleteStream",
            7.0,
            &[Value::Null, Value::Number(f64::from(stream))],
        );
    }

    fn connect(&mut self, now: Instant) {
        self.state = State::Connecting;
        self.deadline = Some(now + self.limits.publish);
        let size = u32::try_from(CHUNK_BYTES).unwrap_or(u32::MAX);
        self.control(message_type::SET_CHUNK_SIZE, &size.to_be_bytes());
        self.chunk_bytes = CHUNK_BYTES;
        self.control(
            message_type::WINDOW_ACKNOWLEDGEMENT_SIZE,
            &WINDOW_BYTES.to_be_bytes(),
        );
        let address = Value::String(address(&self.endpoint));
        let properties = [
            ("app", Value::string(self.endpoint.application().expose())),
            ("type", Value::string("nonprivate")),
            ("flashVer", Value::string("FMLE/3.0 (compatible; Castgate)")),
            ("swfUrl", address.clone()),
            ("tcUrl", address),
        ];
        let properties = properties
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        self.command(
            0,
            "connect",
            CONNECT_TRANSACTION,
            &[Value::Object(properties)],
        );
    }

    fn step(&mut self, what: What, words: String) {
        self.steps.push(StepTaken {
            what,
            elapsed: self.now.saturating_duration_since(self.step_began),
            words,
        });
        self.step_began = self.now;
    }

    fn create_stream(&mut self) {
        self.state = State::CreatingStream;
        if self.goal == Goal::Publish {
            self.command(0, "releaseStream", 2.0, &[Value::Null, self.key()]);
            self.command(0, "FCPublish", 3.0, &[Value::Null, self.key()]);
        }
        self.command(0, "createStream", CREATE_STREAM_TRANSACTION, &[Value::Null]);
    }

    fn publish(&mut self, stream: u32) {
        if self.goal == Goal::CreateStream {
            self.state = State::Live { stream };
            self.deadline = None;
            return;
        }
        self.state = State::Publishing { stream };
        let arguments = [Value::Null, self.key(), Value::string("live")];
        self.command(stream, "publish", PUBLISH_TRANSACTION, &arguments);
    }

    fn key(&self) -> Value {
        Value::string(self.endpoint.stream_key().expose())
    }

    fn handle_message(&mut self, kind: u8, body: &[u8]) -> Result<(), Failure> {
        match kind {
            message_type::WINDOW_ACKNOWLEDGEMENT_SIZE => {
                if let Some(bytes) = body.first_chunk() {
                    self.window_bytes = u64::from(u32::from_be_bytes(*bytes).max(1));
                }
                Ok(())
            }
            message_type::SET_PEER_BANDWIDTH => {
                if body
                    .first_chunk::<4>()
                    .is_some_and(|window| *window != WINDOW_BYTES.to_be_bytes())
                {
                    let window = WINDOW_BYTES.to_be_bytes();
                    self.control(message_type::WINDOW_ACKNOWLEDGEMENT_SIZE, &window);
                }
                Ok(())
            }
            message_type::USER_CONTROL => {
                if let Some((event, rest)) = body.split_first_chunk()
                    && u16::from_be_bytes(*event) == PING_REQUEST
                    && let Some(time) = rest.first_chunk::<4>()
                {
                    let body = [&PING_RESPONSE.to_be_bytes()[..], time].concat();
                    self.control(message_type::USER_CONTROL, &body);
                }
                Ok(())
            }
            message_type::COMMAND_AMF0 => self.handle_command(body),
            // The AMF3 form of a command is AMF0 behind one byte.
            message_type::COMMAND_AMF3 => self.handle_command(body.get(1..).unwrap_or_default()),
            _ => Ok(()),
        }
    }

    fn handle_command(&mut self, body: &[u8]) -> Result<(), Failure> {
        let values = amf0::decode(body).map_err(|error| self.not_rtmp(&error))?;
        let name = values.first().and_then(Value::as_str).unwrap_or_default();
        let transaction = values.get(1).and_then(Value::as_number).unwrap_or_default();
        let is = |expected: f64| (transaction - expected).abs() < 0.5;
        match (name, self.state) {
            ("_result", State::Connecting) if is(CONNECT_TRANSACTION) => {
                let answer = Answer::find(&values);
                self.step(What::ConnectReply, answer.said(&self.endpoint));
                if answer.level == "error" {
                    return Err(answer.failure(Step::Connect, &self.endpoint));
                }
                self.create_stream();
                Ok(())
            }
            ("_result", State::CreatingStream) if is(CREATE_STREAM_TRANSACTION) => {
                let Some(stream) = values
                    .get(3)
                    .and_then(Value::as_number)
                    .and_then(stream_number)
                else {
                    return Err(Failure::new(
                        Reason::PublishRefused,
                        "the server gave no stream",
                    ));
                };
                self.step(What::CreateStream, String::new());
                self.publish(stream);
                Ok(())
            }
            ("_error", State::Connecting) if is(CONNECT_TRANSACTION) => {
                Err(self.refused(Step::Connect, &values))
            }
            ("_error", State::CreatingStream) if is(CREATE_STREAM_TRANSACTION) => {
                Err(self.refused(Step::CreateStream, &values))
            }
            ("_error", State::Publishing { .. }) if is(PUBLISH_TRANSACTION) => {
                Err(self.refused(Step::Publish, &values))
            }
            ("onStatus", _) => self.handle_status(&Answer::find(&values)),
            ("close", _) => Err(Failure::new(
                Reason::ClosedByPeer,
                "the server asked to close the connection",
            )),
            // Answers to releaseStream and FCPublish, which servers may refuse or not know, and news.
            _ => Ok(()),
        }
    }

    fn refused(&mut self, step: Step, values: &[Value]) -> Failure {
        let answer = Answer::find(values);
        self.step(step.what(), answer.said(&self.endpoint));
        answer.failure(step, &self.endpoint)
    }

    fn handle_status(&mut self, answer: &Answer<'_>) -> Result<(), Failure> {
        let step = match self.state {
            State::Handshake | State::Connecting => Step::Connect,
            State::CreatingStream => Step::CreateStream,
            State::Publishing { .. } | State::Live { .. } => Step::Publish,
            State::Closed => return Ok(()),
        };
        if answer.level == "error" || answer.code == "NetStream.Publish.BadName" {
            self.step(step.what(), answer.said(&self.endpoint));
            return Err(answer.failure(step, &self.endpoint));
        }
        match (self.state, answer.code) {
            (State::Publishing { stream }, "NetStream.Publish.Start") => {
                self.state = State::Live { stream };
                self.deadline = None;
                self.step(What::Publish, answer.said(&self.endpoint));
                Ok(())
            }
            (
                State::Live { .. },
                "NetStream.Unpublish.Success" | "NetConnection.Connect.Closed",
            ) => Err(Failure::new(
                Reason::ClosedByPeer,
                "the server ended the stream",
            )),
            _ => Ok(()),
        }
    }

    fn acknowledge(&mut self) {
        // Half a window early, so that a server that stops at its window never does.
        if (self.received_bytes - self.acknowledged_bytes) * 2 >= self.window_bytes {
            self.acknowledged_bytes = self.received_bytes;
            let bytes = self.received_bytes.to_be_bytes();
            self.control(message_type::ACKNOWLEDGEMENT, &bytes[4..]);
        }
    }

    fn control(&mut self, message_type: u8, body: &[u8]) {
        let header = Header::of_connection(chunk_stream::CONTROL, message_type);
        write_message(&mut self.output, header, body, self.chunk_bytes);
    }

    fn command(&mut self, message_stream: u32, name: &str, transaction: f64, rest: &[Value]) {
        let mut body = amf0::encode(&[Value::string(name), Value::Number(transaction)]);
        body.extend(amf0::encode(rest));
        let header = Header {
            message_stream,
            ..Header::of_connection(chunk_stream::COMMAND, message_type::COMMAND_AMF0)
        };
        write_message(&mut self.output, header, &body, self.chunk_bytes);
    }

    fn not_rtmp(&self, error: &dyn std::error::Error) -> Failure {
        let reason = match self.state {
            State::Handshake | State::Connecting => Reason::HandshakeFailed,
            State::CreatingStream | State::Publishing { .. } => Reason::PublishRefused,
            State::Live { .. } | State::Closed => Reason::ClosedByPeer,
        };
        Failure::new(
            reason,
            format!("the server does not speak RTMP as we know it: {error}"),
        )
    }
}

/// A message stream as AMF0 writes it.
fn stream_number(number: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to fit"
    )]
    (number >= 0.0 && number <= f64::from(u32::MAX)).then_some(number as u32)
}

/// `scheme://host[:port]/application`, without a port that is the scheme's own.
fn address(endpoint: &Endpoint) -> String {
    let scheme = endpoint.scheme();
    let own_port = match scheme {
        Scheme::Rtmp => ":1935",
        Scheme::Rtmps => ":443",
    };
    let server = endpoint.to_string();
    let server = server.strip_suffix(own_port).unwrap_or(&server);
    format!("{server}/{}", endpoint.application().expose())
}

#[cfg(test)]
#[path = "publish_tests.rs"]
mod tests;
