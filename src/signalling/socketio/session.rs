//! One client's connection: its events in order, and the room's.

use std::{sync::Arc, time::Duration};

use ::rooms::RoomEvent;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};

use super::{
    Caller, Dialect, Handled,
    choice::Hint,
    counts::{Counters, count},
    inbox::{Incoming, read},
    waiting::{Owner, Waiting},
};

/// How long after an event its answer is given at the latest. Clients of all dialects wait for ten seconds or longer.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// How a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// It works.
    Open,
    /// The client went on purpose.
    Left,
    /// It broke, or is to be ended.
    Broken,
}

pub(super) struct Session {
    stage: Stage,
    events: mpsc::Receiver<Incoming>,
    line: watch::Receiver<Line>,
    counters: Arc<Counters>,
    owner: Option<Owner>,
    waiting: Arc<Waiting>,
}

/// A dialect is told by the first event that belongs to one, and stays.
enum Stage {
    Listening(Box<Caller>, Hint),
    Speaking(Box<dyn Dialect>),
}

enum Next {
    Incoming(Incoming),
    Room(RoomEvent),
    Line,
}

impl Session {
    pub(super) fn new(
        caller: Caller,
        hint: Hint,
        events: mpsc::Receiver<Incoming>,
        line: watch::Receiver<Line>,
        counters: Arc<Counters>,
        waiting: Arc<Waiting>,
    ) -> Self {
        Self {
            owner: Owner::of(&caller),
            waiting,
            stage: Stage::Listening(Box::new(caller), hint),
            events,
            line,
            counters,
        }
    }

    /// Runs until the connection ends, or the place in the room.
    pub(super) async fn run(mut self) {
        self.reconnect().await;
        loop {
            match self.next().await {
                Next::Incoming(incoming) => self.handle(incoming).await,
                Next::Room(event) => {
                    let last = matches!(event, RoomEvent::Closed(_));
                    if let Stage::Speaking(dialect) = &mut self.stage {
                        dialect.tell(event).await;
                    }
                    if last {
                        return;
                    }
                }
                Next::Line => return self.end().await,
            }
        }
    }

    /// Every arm loses nothing when another is taken.
    async fn next(&mut self) -> Next {
        let room = async {
            match &mut self.stage {
                Stage::Speaking(dialect) => dialect.seat().next_event().await,
                Stage::Listening(..) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.line.wait_for(|line| *line != Line::Open) => Next::Line,
            event = room => Next::Room(event),
            Some(incoming) = self.events.recv() => Next::Incoming(incoming),
        }
    }

    async fn handle(&mut self, incoming: Incoming) {
        let ack = incoming.ack.clone();
        let fail = |text| {
            if let Some(ack) = ack {
                ack.fail(text);
            }
        };
        let Some((name, arguments)) = read(&incoming.text) else {
            count(&self.counters.unknown_events);
            return fail("unknown event");
        };
        if let Stage::Listening(caller, hint) = &self.stage
            && let Some(dialect) = hint.dialect(&name, arguments.first(), incoming.ack.is_some())
        {
            self.stage = Stage::Speaking(dialect.open(Caller::clone(caller)));
        }
        let Stage::Speaking(dialect) = &mut self.stage else {
            count(&self.counters.unknown_events);
            return fail("unknown event");
        };
        let deadline = incoming.arrived + ANSWER_PATIENCE;
        let handling = dialect.handle(&name, arguments, incoming.ack.clone());
        match timeout_at(deadline, handling).await {
            Ok(Handled::Known) => fail("the request has no answer"),
            Ok(Handled::Unknown) => {
                count(&self.counters.unknown_events);
                fail("unknown event");
            }
            Err(_) => {
                count(&self.counters.late);
                fail("the request took too long");
            }
        }
    }

    /// Goes on with the dialect of the connection before, if the client had one and its place is still there.
    async fn reconnect(&mut self) {
        let Stage::Listening(caller, _) = &self.stage else {
            return;
        };
        let before = self
            .owner
            .as_ref()
            .and_then(|owner| self.waiting.take(owner));
        let Some(mut dialect) = before else {
            return;
        };
        let back = dialect.reconnect(Caller::clone(caller));
        if timeout_at(Instant::now() + ANSWER_PATIENCE, back).await == Ok(true) {
            self.stage = Stage::Speaking(dialect);
        }
    }

    async fn end(self) {
        let left = *self.line.borrow() == Line::Left;
        let Stage::Speaking(mut dialect) = self.stage else {
            return;
        };
        if left {
            return dialect.seat().leave().await;
        }
        dialect.seat().detach();
        if let Some(owner) = self.owner
            && dialect.wait()
        {
            self.waiting.put(owner, dialect);
        }
    }
}
