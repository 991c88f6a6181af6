//! The Socket.IO server: who may connect, and what carries the events.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, middleware};
use serde_json::Value;
use socketioxide::{
    ParserConfig, SocketIo,
    extract::{SocketRef, TryData},
    handler::ConnectHandler as _,
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{
    Caller, SocketCounts,
    choice::{self, Hint, NAMESPACES},
    connections::{Connection, Connections},
    counts::{Counters, count},
    gate::{Gate, cors, guard},
    handshake::{handshake, token},
    inbox::Inbox,
    session::{Line, Session},
    socket::{Farewell, SocketOutbox, listen},
    waiting::Waiting,
};
use crate::{Origins, rooms::Rooms};

/// The largest event, in bytes. The capabilities of a browser have 16 KiB.
pub const PAYLOAD_LIMIT_BYTES: usize = 256 * 1024;

/// How many packets may wait for a client that does not read. Who comes into a room of fifty that send all they may is
/// told of eight hundred tracks at once.
const UNREAD_LIMIT: usize = 1024;

/// How often clients are asked whether they live, as they were by the servers that they were written for.
const PING_INTERVAL: Duration = Duration::from_secs(25);

/// How long they may take to answer.
const PING_TIMEOUT: Duration = Duration::from_mins(1);

/// How long a client may be connected without asking to be let in.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// How long it may take to find out who somebody is.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(10);

/// How long connections may take to end when the gateway does.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// How Socket.IO is served.
#[derive(Debug, Clone)]
pub struct SocketSettings {
    /// Whose pages may connect.
    pub origins: Origins,
    /// How many connections there may be.
    pub connections: usize,
    /// How many there may be from one address; an IPv6 /64 counts as one.
    pub connections_per_address: usize,
}

impl SocketSettings {
    /// 5000 connections, as many as a hundred rooms of fifty need; 250 from one address, as an office has.
    pub const fn new(origins: Origins) -> Self {
        Self {
            origins,
            connections: 5000,
            connections_per_address: 250,
        }
    }
}

/// The running server. Dropping it ends no connection; [`shutdown`](Self::shutdown) does.
pub struct SocketServer {
    io: SocketIo,
    shared: Arc<Shared>,
}

struct Shared {
    rooms: Arc<dyn Rooms>,
    connections: Arc<Connections>,
    counters: Arc<Counters>,
    sessions: Mutex<JoinSet<()>>,
    waiting: Arc<Waiting>,
    /// Whether the server ends.
    ending: watch::Sender<bool>,
}

/// Serves Socket.IO at `/socket.io`, on the namespace `/` and one for each dialect.
///
/// The router needs [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo) in its requests. Nothing outside may limit how long its answers take: a
/// poll waits for up to 25 s.
pub fn router(rooms: Arc<dyn Rooms>, settings: SocketSettings) -> (Router, SocketServer) {
    let (service, io) = SocketIo::builder()
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .connect_timeout(CONNECT_PATIENCE)
        .max_payload(PAYLOAD_LIMIT_BYTES as u64)
        .ws_max_message_size(PAYLOAD_LIMIT_BYTES)
        .ws_max_frame_size(PAYLOAD_LIMIT_BYTES)
        .max_buffer_size(UNREAD_LIMIT)
        // No dialect sends binary.
        .with_parser(
            ParserConfig::common()
                .max_incoming_binaries(1)
                .max_incoming_binary_buf_size(PAYLOAD_LIMIT_BYTES),
        )
        .build_svc();
    let shared = Arc::new(Shared {
        rooms,
        connections: Connections::new(settings.connections, settings.connections_per_address),
        counters: Arc::default(),
        sessions: Mutex::default(),
        waiting: Arc::default(),
        ending: watch::Sender::new(false),
    });
    for namespace in std::iter::once("/").chain(NAMESPACES) {
        let admitting = Arc::clone(&shared);
        let beginning = Arc::clone(&shared);
        let admit = move |socket: SocketRef, TryData(auth): TryData<Value>| {
            let shared = Arc::clone(&admitting);
            async move { shared.admit(&socket, auth.unwrap_or_default()).await }
        };
        let begin = move |socket: SocketRef| {
            beginning.begin(socket);
            std::future::ready(())
        };
        io.ns(namespace, begin.with(admit));
    }
    let gate = Gate {
        origins: settings.origins.clone(),
        connections: Arc::clone(&shared.connections),
        counters: Arc::clone(&shared.counters),
        ending: shared.ending.subscribe(),
    };
    let router = Router::new()
        .route_service("/socket.io", service.clone())
        .route_service("/socket.io/", service)
        .layer(middleware::from_fn_with_state(gate, guard))
        .layer(cors(settings.origins));
    (router, SocketServer { io, shared })
}

impl SocketServer {
    /// What was counted since the start.
    pub fn counts(&self) -> SocketCounts {
        self.shared.counters.read()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.shared.connections.count()
    }

    /// Ends all connections, within some seconds. What their clients had in rooms is kept for a while by the rooms, and
    /// the clients connect again as soon as they can.
    pub async fn shutdown(&self) {
        self.shared.ending.send_replace(true);
        let mut sessions = std::mem::take(&mut *self.shared.sessions());
        let closing = async {
            while sessions.join_next().await.is_some() {}
            // It calls no handler for the end of a socket, so the sessions must have ended before.
            self.io.close().await;
        };
        if timeout(SHUTDOWN_PATIENCE, closing).await.is_err() {
            tracing::debug!("connections were given up at the end");
        }
    }
}

/// Why somebody is not let in, as `connect_error` tells it.
#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// What waits between being let in and being told so.
type Prepared = Arc<Mutex<Option<Session>>>;

impl Shared {
    /// Finds out who it is, and takes events from now on: the client may send some before `begin` is called.
    async fn admit(&self, socket: &SocketRef, auth: Value) -> Result<(), Refused> {
        let parts = socket.req_parts();
        let connection = parts.extensions.get::<Arc<Connection>>();
        if !connection.is_some_and(|connection| connection.may_ask()) {
            return Err(Refused("Too many attempts"));
        }
        let token = token(&auth, &parts.headers);
        let handshake = handshake(auth, &parts.uri);
        let hint = Hint::of(socket.ns(), &handshake);
        let refused = || {
            count(&self.counters.unauthenticated);
            Refused(choice::refusal(hint, &handshake, token != Ok(None)))
        };
        let token = token.as_ref().map_err(|()| refused())?;
        let guest = timeout(ADMISSION_PATIENCE, self.rooms.admit(token.as_ref())).await;
        let guest = guest.map_err(|_| refused())?.map_err(|error| {
            tracing::debug!(%error, "a client was not let in");
            refused()
        })?;
        let (inbox, events) = Inbox::new(Arc::clone(&self.counters));
        let (line, line_of_session) = watch::channel(Line::Open);
        let line = Arc::new(line);
        listen(socket, inbox, &line, &self.counters);
        let caller = Caller {
            rooms: Arc::clone(&self.rooms),
            guest,
            handshake,
            outbox: Arc::new(SocketOutbox {
                socket: socket.clone(),
                line: Arc::clone(&line),
                counters: Arc::clone(&self.counters),
            }),
        };
        let counters = Arc::clone(&self.counters);
        let waiting = Arc::clone(&self.waiting);
        let session = Session::new(caller, hint, events, line_of_session, counters, waiting);
        let prepared: Prepared = Arc::new(Mutex::new(Some(session)));
        socket.extensions.insert(prepared);
        Ok(())
    }

    /// Runs the session of a client that has been let in.
    fn begin(&self, socket: SocketRef) {
        let prepared = socket.extensions.remove::<Prepared>();
        let prepared = prepared.and_then(|prepared| {
            let mut prepared = prepared.lock().unwrap_or_else(PoisonError::into_inner);
            prepared.take()
        });
        let Some(session) = prepared else {
            return;
        };
        count(&self.counters.connected);
        let mut sessions = self.sessions();
        while sessions.try_join_next().is_some() {}
        let mut farewell = Farewell::of(socket);
        let mut ending = self.ending.subscribe();
        sessions.spawn(async move {
            let life = async {
                session.run().await;
                farewell.put_out().await;
            };
            let over = async { ending.wait_for(|ending| *ending).await.is_ok() };
            let over = tokio::select! {
                () = life => false,
                over = over => over,
            };
            // A client that is put out does not come back by itself; one whose server has gone does.
            if over {
                farewell.forgo();
            }
        });
    }

    fn sessions(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
