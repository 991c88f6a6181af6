//! A destination that a provider carries: what happens to it, and how to end it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadcast::{Failure, Reason};
use pipelines::rtmp::Counters;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Room for all events of one attempt, so that telling one never waits.
const EVENTS_LIMIT: usize = 4;

/// What happens to a destination, in this order; `Lost` or `Closed` is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationEvent {
    /// The attempt has begun.
    Connecting,
    /// The server takes the media.
    Live,
    /// It has failed.
    Lost(Failure),
    /// It has ended as it was asked to, or because the media have ended.
    Closed,
}

/// When nobody publishes to the destination on behalf of an attempt any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetGo {
    /// From its end on.
    Now,
    /// That long after its end, since the provider could not be asked, or takes its time: until then nobody else may
    /// publish there.
    After(Duration),
}

impl LetGo {
    /// No sooner than `pause` after the end.
    #[must_use]
    pub(crate) fn at_least(self, pause: Duration) -> Self {
        let after = match self {
            Self::Now => Duration::ZERO,
            Self::After(after) => after,
        };
        match after.max(pause) {
            Duration::ZERO => Self::Now,
            after => Self::After(after),
        }
    }
}

/// One attempt. Dropping it closes it without waiting.
#[derive(Debug)]
pub struct OpenDestination {
    let_go: Arc<Mutex<LetGo>>,
    events: mpsc::Receiver<DestinationEvent>,
    counters: Arc<Counters>,
    stop: DropGuard,
    has_ended: bool,
}

/// The provider's side of an [`OpenDestination`].
#[derive(Debug)]
pub(crate) struct Attempt {
    let_go: Arc<Mutex<LetGo>>,
    events: mpsc::Sender<DestinationEvent>,
    pub(crate) stop: CancellationToken,
}

impl OpenDestination {
    /// An attempt that ends when `stop` is cancelled. `let_go` holds until [`Attempt::set_let_go`].
    pub(crate) fn new(
        counters: Arc<Counters>,
        stop: CancellationToken,
        let_go: LetGo,
    ) -> (Self, Attempt) {
        let (sender, events) = mpsc::channel(EVENTS_LIMIT);
        let let_go = Arc::new(Mutex::new(let_go));
        let attempt = Attempt {
            let_go: Arc::clone(&let_go),
            events: sender,
            stop: stop.clone(),
        };
        (
            Self {
                let_go,
                events,
                counters,
                stop: stop.drop_guard(),
                has_ended: false,
            },
            attempt,
        )
    }

    /// Returns what happens next, `None` after the last event. Cancel-safe.
    pub async fn next_event(&mut self) -> Option<DestinationEvent> {
        if self.has_ended {
            return None;
        }
        let event = self.events.recv().await.unwrap_or_else(|| {
            let words = "the destination's task ended unexpectedly";
            DestinationEvent::Lost(Failure::new(Reason::EngineFailed, words))
        });
        self.has_ended = matches!(event, DestinationEvent::Lost(_) | DestinationEvent::Closed);
        Some(event)
    }

    /// What has been sent.
    pub const fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// From when on somebody else may publish to the destination; to be asked at its end.
    ///
    /// Of an attempt that is dropped before it has told its end it says the worst that may be.
    pub fn let_go(&self) -> LetGo {
        *self.let_go.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks it to end in order; [`DestinationEvent::Closed`] follows within the limit for closing.
    pub fn close(&self) {
        self.stop.token().cancel();
    }
}

impl Attempt {
    /// What is known of the destination has changed.
    pub(crate) fn set_let_go(&self, let_go: LetGo) {
        *self.let_go.lock().unwrap_or_else(PoisonError::into_inner) = let_go;
    }

    pub(crate) fn tell(&self, event: DestinationEvent) {
        // Nobody listens any more, or there is room: an attempt has three events at most.
        let _ = self.events.try_send(event);
    }
}
