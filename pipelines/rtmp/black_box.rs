//! The record of one destination: the last minute in figures, and the last events in words.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use broadcast::{Endpoint, Failure, Reason};

/// How many samples are kept, one for each second of a connection.
const SAMPLES_LIMIT: usize = 60;

/// How many events are kept.
const EVENTS_LIMIT: usize = 20;

/// How many characters of an event's words are kept; a server's are among them.
const WORDS_LIMIT: usize = 200;

/// What happened to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The name was resolved, or was not.
    Dns,
    /// TCP is connected.
    Connect,
    /// TLS is established.
    Tls,
    /// The RTMP handshake is over.
    Handshake,
    /// The server answered `connect`.
    ConnectReply,
    /// The server answered `createStream`.
    CreateStream,
    /// The server answered `publish`.
    Publish,
    /// Media begin to flow.
    Live,
    /// It sends what it could not send before.
    CatchingUp,
    /// It is live again.
    CaughtUp,
    /// Pictures were left out.
    Jumped,
    /// A curtain is sent in place of the show.
    Paused,
    /// The show is sent again.
    Resumed,
    /// The server stopped taking what it is sent.
    Stalled,
    /// The server refused.
    Refused,
    /// The connection was lost, or did not come about.
    Lost,
    /// It was closed as it was asked to.
    Closed,
}

impl What {
    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Handshake => "handshake",
            Self::ConnectReply => "connectReply",
            Self::CreateStream => "createStream",
            Self::Publish => "publish",
            Self::Live => "live",
            Self::CatchingUp => "catchingUp",
            Self::CaughtUp => "caughtUp",
            Self::Jumped => "jumped",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Stalled => "stalled",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Closed => "closed",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, since 1970.
    pub at: Duration,
    /// What.
    pub what: What,
    /// How long it took, where that is known.
    pub elapsed: Option<Duration>,
    /// More about it, at most 200 characters, without control characters; empty when there is no more to tell.
    pub words: String,
}

/// How a connection stood at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// When, since 1970.
    pub at: Duration,
    /// Bytes that the kernel has taken over all connections.
    pub bytes_sent: u64,
    /// Of the last second.
    pub bits_per_second: u64,
    /// Media that the server has not acknowledged.
    pub queued: Duration,
    /// Bytes handed to the connection that the server has not acknowledged.
    pub unacknowledged_bytes: u64,
    /// TCP's smoothed round trip; zero when the kernel does not tell.
    pub round_trip: Duration,
    /// Segments sent again on this connection.
    pub retransmits: u32,
    /// TCP's congestion window in segments.
    pub congestion_window: u32,
    /// Pictures sent over all connections.
    pub frames_sent: u64,
    /// Pictures left out over all connections.
    pub frames_dropped: u64,
}

/// What a [`BlackBox`] holds: no key and no path, since it never had one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlackBoxView {
    /// `scheme://host:port` of the latest attempt, empty before the first.
    pub server: String,
    /// One for each second of a connection, oldest first, at most 60.
    pub samples: Vec<Sample>,
    /// Oldest first, at most 20.
    pub events: Vec<Event>,
}

/// The record of one destination, shared by its attempts. It is written once a second and when something happens.
#[derive(Debug, Default)]
pub struct BlackBox(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    server: String,
    samples: VecDeque<Sample>,
    events: VecDeque<Event>,
    /// Pictures left out, while that is the latest event.
    jumped: u64,
}

impl BlackBox {
    /// An attempt to reach `endpoint` begins.
    pub fn begin(&self, endpoint: &Endpoint) {
        self.record().server = endpoint.to_string();
    }

    /// Something happened. Of `words` 200 characters are kept, none of them a control character; they must not hold a secret.
    pub fn note(&self, what: What, elapsed: Option<Duration>, words: &str) {
        let mut record = self.record();
        record.jumped = 0;
        record.add(what, elapsed, words);
    }

    /// The attempt failed.
    pub fn note_failure(&self, failure: &Failure, elapsed: Option<Duration>) {
        let what = match failure.reason {
            Reason::WriteStalled => What::Stalled,
            Reason::AppRefused
            | Reason::KeyRefused
            | Reason::PublishRefused
            | Reason::ForbiddenAddress => What::Refused,
            Reason::DnsFailed => What::Dns,
            Reason::ConnectRefused
            | Reason::ConnectTimeout
            | Reason::TlsFailed
            | Reason::HandshakeFailed
            | Reason::ClosedByPeer
            | Reason::UnsupportedCodec
            | Reason::EngineFailed
            | _ => What::Lost,
        };
        self.note(what, elapsed, &failure.to_string());
    }

    /// What it holds now.
    pub fn view(&self) -> BlackBoxView {
        let record = self.record();
        BlackBoxView {
            server: record.server.clone(),
            samples: record.samples.iter().copied().collect(),
            events: record.events.iter().cloned().collect(),
        }
    }

    /// Pictures were left out. What follows one another is one event, so that a slow server does not push out the others.
    pub(super) fn note_jump(&self, pictures: u64) {
        let mut record = self.record();
        if record.jumped > 0 {
            record.events.pop_back();
        }
        let total = record.jumped + pictures;
        record.add(What::Jumped, None, &format!("pictures left out: {total}"));
        record.jumped = total;
    }

    pub(super) fn sample(&self, sample: Sample) {
        let mut record = self.record();
        if record.samples.len() == SAMPLES_LIMIT {
            record.samples.pop_front();
        }
        record.samples.push_back(sample);
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn add(&mut self, what: What, elapsed: Option<Duration>, words: &str) {
        if self.events.len() == EVENTS_LIMIT {
            self.events.pop_front();
        }
        let words = words.chars().filter(|c| !c.is_control());
        self.events.push_back(Event {
            at: since_1970(),
            what,
            elapsed,
            words: words.take(WORDS_LIMIT).collect(),
        });
    }
}

/// What a clock on the wall shows.
pub(super) fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_last_events_and_samples() {
        let black_box = BlackBox::default();
        for number in 0..100 {
            black_box.note(What::Connect, None, &number.to_string());
            black_box.sample(Sample {
                bytes_sent: number,
                ..Sample::default()
            });
        }

        let view = black_box.view();

        assert_eq!((view.events.len(), view.samples.len()), (20, 60));
        assert_eq!(view.events[0].words, "80");
        assert_eq!(view.samples[0].bytes_sent, 40);
    }

    #[test]
    fn words_are_bounded_and_hold_no_control_characters() {
        let black_box = BlackBox::default();
        let words = format!("a\r\nb\u{1b}[31m{}", "é".repeat(5_000));

        black_box.note(What::Publish, Some(Duration::from_millis(3)), &words);

        let event = black_box.view().events.remove(0);
        assert!(event.words.starts_with("ab[31mé"));
        assert_eq!(event.words.chars().count(), 200);
    }

    #[test]
    fn jumps_in_a_row_are_one_event() {
        let black_box = BlackBox::default();
        black_box.note(What::Live, None, "");
        for _ in 0..50 {
            black_box.note_jump(2);
        }
        black_box.note(What::Paused, None, "");
        black_box.note_jump(1);

        let events = black_box.view().events;

        let words: Vec<&str> = events.iter().map(|event| &*event.words).collect();
        assert_eq!(
            words,
            ["", "pictures left out: 100", "", "pictures left out: 1"]
        );
    }

    #[test]
    fn the_server_is_shown_without_path_and_key() {
        let black_box = BlackBox::default();
        let endpoint = Endpoint::parse("rtmps://host/secret-app", Some("secret-key")).unwrap();

        black_box.begin(&endpoint);

        assert_eq!(black_box.view().server, "rtmps://host:443");
        assert!(!format!("{black_box:?}").contains("secret"));
    }
}
