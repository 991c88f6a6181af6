//! One client's socket, as the session sees it: events go in, words go out, and it ends.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use socketioxide::{
    SendError, SocketError,
    adapter::Adapter,
    extract::{AckSender, SocketRef},
    handler::{FromMessageParts, Value as Raw},
    socket::DisconnectReason,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    Ack, Gone, Outbox,
    counts::{Counters, count},
    inbox::Inbox,
    session::Line,
};

/// How often a client that does not read is put out again, once a second: as long as it may take to answer a ping.
const FAREWELLS: u32 = 90;

/// Puts what the socket says into `inbox`, and its end onto `line`. What is given to the socket must not hold it.
pub(super) fn listen(
    socket: &SocketRef,
    inbox: Inbox,
    line: &Arc<watch::Sender<Line>>,
    counters: &Arc<Counters>,
) {
    let inbox = Arc::new(inbox);
    let answering = Arc::clone(line);
    let counting = Arc::clone(counters);
    socket.on_fallback(move |event: Said, ack: AckSender| {
        let ack = event.answered.then(|| {
            let (line, counters) = (Arc::clone(&answering), Arc::clone(&counting));
            Ack::new(move |content| {
                if let Err(error) = ack.send(&content) {
                    give_up(&line, is_full(&error), &counters);
                }
            })
        });
        if inbox.offer(event.text, ack, Instant::now()).is_err() {
            answering.send_replace(Line::Broken);
        }
        std::future::ready(())
    });
    let line = Arc::clone(line);
    socket.on_disconnect(move |reason: DisconnectReason| {
        let left = reason == DisconnectReason::ClientNSDisconnect;
        line.send_replace(if left { Line::Left } else { Line::Broken });
        std::future::ready(())
    });
}

/// Ends a line on which nothing can be said any more: what is lost, an answer or a word of the room, the client would wait
/// for in vain. `stalled`: because the client does not read.
fn give_up(line: &watch::Sender<Line>, stalled: bool, counters: &Counters) {
    let first = line.send_if_modified(|line| {
        let open = *line == Line::Open;
        if open {
            *line = Line::Broken;
        }
        open
    });
    if stalled && first {
        count(&counters.stalled);
    }
}

/// Whether there is no room for what is said because the client does not read. Asking the socket afterwards tells less: it
/// counts as connected for a moment after its connection broke.
const fn is_full(error: &SendError) -> bool {
    !matches!(error, SendError::Socket(SocketError::Closed))
}

/// Ends a connection from our side when its session has ended, and even when that broke.
pub(super) struct Farewell(Option<SocketRef>);

impl Farewell {
    pub(super) const fn of(socket: SocketRef) -> Self {
        Self(Some(socket))
    }

    /// Says nothing.
    pub(super) fn forgo(&mut self) {
        self.0 = None;
    }

    /// A client that does not read has no room for the word; then it is said again later.
    pub(super) async fn put_out(&mut self) {
        for _ in 0..FAREWELLS {
            if self.0.as_ref().is_none_or(disconnected) {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // What is left is for the next ping to find out.
            disconnected(socket);
        }
    }
}

/// Tells the client of the end, unless it has come or there is no room for it.
fn disconnected(socket: &SocketRef) -> bool {
    !socket.connected() || socket.clone().disconnect().is_ok()
}

/// An event as it came.
struct Said {
    text: String,
    answered: bool,
}

impl<A: Adapter> FromMessageParts<A> for Said {
    type Error = std::convert::Infallible;

    fn from_message_parts(
        _: &Arc<socketioxide::socket::Socket<A>>,
        value: &mut Raw,
        ack: &Option<i64>,
    ) -> Result<Self, Self::Error> {
        let text = match value {
            Raw::Str(text, _) => text.as_str().to_owned(),
            Raw::Bytes(_) => String::new(),
        };
        Ok(Self {
            text,
            answered: ack.is_some(),
        })
    }
}

pub(super) struct SocketOutbox {
    pub(super) socket: SocketRef,
    pub(super) line: Arc<watch::Sender<Line>>,
    pub(super) counters: Arc<Counters>,
}

impl Outbox for SocketOutbox {
    fn emit(&self, event: &str, content: Option<Value>) -> Result<(), Gone> {
        let sent = match content {
            Some(content) => self.socket.emit(event, &content),
            None => self.socket.emit::<[Value; 0]>(event, &[]),
        };
        sent.map_err(|error| {
            give_up(&self.line, is_full(&error), &self.counters);
            Gone
        })
    }
}
