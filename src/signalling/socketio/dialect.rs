//! What a dialect is: words for what happens in a room.

use std::{collections::BTreeMap, sync::Arc};

use ::rooms::RoomEvent;
use async_trait::async_trait;
use serde_json::Value;

use super::{Ack, Outbox, Seat};
use crate::rooms::{Guest, Rooms};

/// What a client told when it connected.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Handshake {
    /// `handshake.auth` without its `token`; `null` if there was none.
    pub auth: Value,
    /// The query of the URL, such as `roomId`; without what is Engine.IO's own.
    pub query: BTreeMap<String, String>,
}

/// Whom a dialect speaks to, and about what.
#[derive(Clone)]
pub struct Caller {
    /// The rooms.
    pub rooms: Arc<dyn Rooms>,
    /// Who it is.
    pub guest: Guest,
    /// What they told when they connected.
    pub handshake: Handshake,
    /// Where events to them go.
    pub outbox: Arc<dyn Outbox>,
}

/// Whether a dialect has such an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It was handled, well or badly.
    Known,
    /// There is no such event; the connection answers and counts it.
    Unknown,
}

/// One connection's dialect, from the event by which it was told until the connection ends.
///
/// Events are handled one after another, in the order in which they came. A future of `handle` that has not ended ten
/// seconds after its event came is dropped, and the answer given in its place; so what it began must not depend on its end.
#[async_trait]
pub trait Dialect: Send {
    /// The client's place in a room. The connection takes the room's events from it, and detaches it in the end.
    fn seat(&mut self) -> &mut Seat;

    /// Handles an event of the client's. `ack` is there when the client waits for an answer.
    async fn handle(&mut self, event: &str, arguments: Vec<Value>, ack: Option<Ack>) -> Handled;

    /// Tells the client what happened in the room. After [`RoomEvent::Closed`] the seat is empty.
    async fn tell(&mut self, event: RoomEvent);

    /// The connection broke, and the seat is detached. A dialect whose client says nothing when it comes back lets go of
    /// the connection and answers `true`: it may be asked to [`reconnect`](Self::reconnect).
    fn wait(&mut self) -> bool {
        false
    }

    /// The client is back on another connection. Takes the place back, and tells what it missed; `false` if the place is
    /// gone, upon which the dialect is dropped.
    async fn reconnect(&mut self, _caller: Caller) -> bool {
        false
    }
}
