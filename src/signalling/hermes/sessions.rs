//! All sessions, and the tasks that listen for their ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use broadcast::BroadcastId;
use ortc::MediaKind;
use rooms::{Direction, JoinOrder, RoomError, RoomEvent};
use serde_json::json;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::session::{Seat, Session, SessionId};
use crate::{
    IceServer,
    rest::Refusal,
    rooms::{Guest, Rooms},
    socketio::Payload,
};

/// How long a client may take from opening a session until its transport works. No socket tells that it has gone before.
pub(super) const CONNECT_PATIENCE: Duration = Duration::from_mins(1);

/// All sessions of this node. Dropping it ends the tasks that listen.
pub(super) struct Sessions {
    rooms: Arc<dyn Rooms>,
    limit: usize,
    table: Mutex<Table>,
    listeners: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Table {
    by_id: HashMap<SessionId, Arc<Session>>,
    /// Places that are being taken.
    opening: usize,
}

/// A session that has begun, and what its client is told besides.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    pub(super) ice_servers: Vec<IceServer>,
}

impl Sessions {
    /// No sessions yet, and at most `limit` ever at a time.
    pub(super) fn new(rooms: Arc<dyn Rooms>, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            rooms,
            limit,
            table: Mutex::default(),
            listeners: Mutex::default(),
        })
    }

    /// The rooms.
    pub(super) fn rooms(&self) -> &dyn Rooms {
        &*self.rooms
    }

    /// Begins a session. One of the same user, channel and medium, which the same client opened, ends.
    pub(super) async fn open(
        self: &Arc<Self>,
        guest: &Guest,
        body: &Payload,
    ) -> Result<Opened, Refusal> {
        let room = body.room("channelId")?;
        let seat = Seat {
            channel: room.as_str().to_owned(),
            user: body.name("userId")?.to_owned(),
            media: medium(body)?,
            subject: guest.subject.clone(),
        };
        if let Some(old) = self.of_seat(&seat) {
            self.end(&old).await;
        }
        let _place = self.reserve()?;
        self.begin(guest, room, seat).await
    }

    /// Reads a session. One of somebody else is one that is not there.
    pub(super) fn find(&self, guest: &Guest, id: &str) -> Result<Arc<Session>, Refusal> {
        self.table()
            .by_id
            .get(id)
            .filter(|session| session.seat.subject == guest.subject)
            .cloned()
            .ok_or(Refusal::NoSuchSession)
    }

    /// Ends a session.
    pub(super) async fn end(&self, session: &Session) {
        self.table().by_id.remove(&session.id);
        session.member.leave().await;
    }

    /// A user may have a session for sound and one for pictures: each is a participant of a name of its own, whose
    /// details name the user.
    async fn begin(
        self: &Arc<Self>,
        guest: &Guest,
        room: BroadcastId,
        seat: Seat,
    ) -> Result<Opened, Refusal> {
        let order = JoinOrder {
            room,
            participant: None,
            display_name: Some(seat.user.clone()),
            details: json!({ "userId": seat.user, "type": seat.media }),
        };
        let membership = self.rooms.join(guest, order).await?;
        let member = membership.member;
        let transport = match member.create_transport(Direction::Both).await {
            Ok(transport) => transport,
            Err(error) => {
                member.leave().await;
                return Err(error.into());
            }
        };
        let session = Arc::new(Session {
            id: new_id(),
            seat,
            member,
            transport,
            begun: Instant::now(),
            capabilities: membership.room.capabilities,
            number: u64::from(rand::random::<u32>()),
            consumers: Mutex::default(),
            negotiated: tokio::sync::Mutex::default(),
        });
        self.table()
            .by_id
            .insert(session.id.clone(), Arc::clone(&session));
        self.listen(Arc::clone(&session), membership.events);
        Ok(Opened {
            session,
            ice_servers: self.rooms.ice_servers(guest),
        })
    }

    fn of_seat(&self, seat: &Seat) -> Option<Arc<Session>> {
        let table = self.table();
        table
            .by_id
            .values()
            .find(|known| known.seat == *seat)
            .cloned()
    }

    fn reserve(self: &Arc<Self>) -> Result<Place, Refusal> {
        let mut table = self.table();
        if table.by_id.len() + table.opening >= self.limit {
            return Err(Refusal::TooManySessions(self.limit));
        }
        table.opening += 1;
        Ok(Place(Arc::clone(self)))
    }

    /// Listens until the session's transport or its room has ended, or the client has not come in time: nothing else tells that a client has gone.
    fn listen(self: &Arc<Self>, session: Arc<Session>, events: mpsc::Receiver<RoomEvent>) {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while listeners.try_join_next().is_some() {}
        listeners.spawn(listen(Arc::downgrade(self), session, events));
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Place(Arc<Sessions>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.table().opening -= 1;
    }
}

async fn listen(
    sessions: Weak<Sessions>,
    session: Arc<Session>,
    mut events: mpsc::Receiver<RoomEvent>,
) {
    let mut patience = Some(session.begun + CONNECT_PATIENCE);
    loop {
        // Cancel-safe: a channel.
        let next = match patience {
            Some(until) => timeout_at(until, events.recv()).await.unwrap_or_default(),
            None => events.recv().await,
        };
        let own = &session.transport.id;
        match next {
            Some(RoomEvent::TransportConnected(transport)) if transport == *own => patience = None,
            Some(RoomEvent::ConsumerClosed { consumer, .. }) => session.forget(&consumer),
            Some(RoomEvent::TransportClosed(transport, _)) if transport == *own => break,
            Some(RoomEvent::Closed(_)) | None => break,
            Some(_) => {}
        }
    }
    match sessions.upgrade() {
        Some(sessions) => sessions.end(&session).await,
        None => session.member.leave().await,
    }
}

fn medium(body: &Payload) -> Result<MediaKind, RoomError> {
    match body.text("type") {
        Some("audio") => Ok(MediaKind::Audio),
        Some("video") => Ok(MediaKind::Video),
        Some(_) | None => Err(RoomError::Malformed(
            "type: must be audio or video".to_owned(),
        )),
    }
}

/// A UUID of version 4.
fn new_id() -> SessionId {
    let version = 0x4 << 76;
    let variant = 0x2 << 62;
    let bits = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | version | variant;
    let hex = format!("{bits:032x}");
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| &hex[group]);
    groups.join("-")
}
