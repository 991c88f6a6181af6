//! Server-sent events of a broadcast: what it looks like now, then every change with its reason.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::{Event, KeepAlive, Sse};
use broadcast::{BroadcastState, Change, DestinationState, LineName};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::{broadcast as fan, watch};
use utoipa::ToSchema;

use super::wire::{BroadcastBody, FailureBody};
use crate::broadcasts::{BroadcastHandle, DatedChange, Snapshot};

/// How often a silent stream shows that it lives; clients give up after 45 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The data of every event.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventBody {
    /// What changed; absent in `snapshot` and `statistics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<ChangeBody>,
    /// The whole broadcast, with the change in it.
    broadcast: BroadcastBody,
}

/// One change of state.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ChangeBody {
    /// The destination that changed; absent when it is the broadcast itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    /// `backup` when it is the second of two simultaneous connections that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'static str>,
    /// The alarm that was raised or cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm: Option<&'static str>,
    /// The new state; `removed` for a destination that is gone; `raised` or `cleared` for an alarm.
    state: &'static str,
    /// Why, as a stable word; for an alarm a sentence for the show's host.
    reason: String,
    /// The loss, when the reason is `lost`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureBody>,
    at: String,
}

/// What names this node in the bodies.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    pub(super) base: String,
    pub(super) node: String,
}

struct Watcher {
    changes: Option<fan::Receiver<Arc<DatedChange>>>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    naming: Naming,
    /// How many changes the client knows of; `None` before the first snapshot.
    known: Option<u64>,
}

/// Streams until the broadcast has ended or the client goes. A client that is too slow is given a whole snapshot.
pub(super) fn stream_events(
    handle: &BroadcastHandle,
    naming: Naming,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let watcher = Watcher {
        changes: handle.changes(),
        snapshots: handle.watch(),
        naming,
        known: None,
    };
    let events = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok(event), watcher))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

enum News {
    Change(Arc<DatedChange>),
    Missed,
    Counters,
}

impl Watcher {
    async fn next(&mut self) -> Option<Event> {
        if self.known.is_none() {
            return self.whole("snapshot");
        }
        loop {
            let changes = self.changes.as_mut()?;
            // Both arms are cancel-safe. Changes first: a snapshot that comes with one is told by it.
            let news = tokio::select! {
                biased;
                change = changes.recv() => match change {
                    Ok(change) => News::Change(change),
                    Err(fan::error::RecvError::Lagged(_)) => News::Missed,
                    Err(fan::error::RecvError::Closed) => return None,
                },
                Ok(()) = self.snapshots.changed() => News::Counters,
            };
            match news {
                News::Change(change) if self.known.is_some_and(|known| change.number > known) => {
                    return self.changed(&change);
                }
                News::Change(_) => {}
                News::Missed => return self.whole("snapshot"),
                News::Counters => {
                    if self.known == Some(self.snapshots.borrow().changes) {
                        return self.whole("statistics");
                    }
                }
            }
        }
    }

    fn changed(&mut self, change: &DatedChange) -> Option<Event> {
        self.known = Some(change.number);
        // The snapshot of this change is told hereby, and not again as statistics.
        self.snapshots.mark_unchanged();
        self.end_after(&change.snapshot);
        let body = EventBody {
            change: Some(ChangeBody::new(change)),
            broadcast: self.body(&change.snapshot),
        };
        event(kind(&change.change), change.number, &body)
    }

    fn whole(&mut self, name: &str) -> Option<Event> {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        self.known = Some(snapshot.changes);
        self.end_after(&snapshot);
        let body = EventBody {
            change: None,
            broadcast: self.body(&snapshot),
        };
        event(name, snapshot.changes, &body)
    }

    /// Nothing follows the end. Its own change is the last of several with the same snapshot.
    fn end_after(&mut self, snapshot: &Snapshot) {
        if snapshot.state == BroadcastState::Ended && self.known == Some(snapshot.changes) {
            self.changes = None;
        }
    }

    fn body(&self, snapshot: &Snapshot) -> BroadcastBody {
        BroadcastBody::new(snapshot, &self.naming.base, &self.naming.node)
    }
}

fn event(name: &str, number: u64, body: &EventBody) -> Option<Event> {
    let event = Event::default().event(name).id(number.to_string());
    event.json_data(body).ok()
}

const fn kind(change: &Change) -> &'static str {
    match change {
        Change::Broadcast { .. } => "broadcast",
        Change::Destination { .. } => "destination",
        Change::Alarm(_) => "alarm",
    }
}

impl ChangeBody {
    fn new(dated: &DatedChange) -> Self {
        let at = dated.at.to_string();
        match &dated.change {
            Change::Broadcast { state, cause } => Self {
                destination: None,
                line: None,
                alarm: None,
                state: state.as_str(),
                reason: cause.as_str().to_owned(),
                error: None,
                at,
            },
            Change::Destination {
                id,
                line,
                state,
                cause,
                failure,
            } => Self {
                destination: Some(id.to_string()),
                line: (*line == LineName::Backup).then(|| line.as_str()),
                alarm: None,
                state: state.map_or("removed", DestinationState::as_str),
                reason: cause.as_str().to_owned(),
                error: failure
                    .as_ref()
                    .map(|failure| FailureBody::new(failure, None)),
                at,
            },
            Change::Alarm(change) => Self {
                destination: None,
                line: None,
                alarm: Some(change.alarm.code()),
                state: if change.raised { "raised" } else { "cleared" },
                reason: change.message.clone(),
                error: None,
                at,
            },
        }
    }
}
