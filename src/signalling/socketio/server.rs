//! The Socket.IO server: who may connect, and what carries the events.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use socketioxide::{
    ParserConfig, SocketIo,
    adapter::Adapter,
    extract::{AckSender, SocketRef, TryData},
    handler::{ConnectHandler as _, FromMessageParts, Value as Raw},
    socket::DisconnectReason,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    Ack, Caller, Gone, Outbox, SocketCounts,
    choice::{self, Hint, NAMESPACES},
    connections::{Connection, Connections, Refusal},
    counts::{Counters, count},
    handshake::{handshake, token},
    inbox::Inbox,
    session::{Line, Session},
};
use crate::{BODY_PATIENCE, Origins, rooms::Rooms};

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

/// How often a client that does not read is put out again, once a second: as long as it may take to answer a ping.
const FAREWELLS: u32 = 90;

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
    /// Whether the server ends.
    ending: watch::Sender<bool>,
}

/// Serves Socket.IO at `/socket.io`, on the namespace `/` and one for each dialect.
///
/// The router needs [`ConnectInfo<SocketAddr>`] in its requests. Nothing outside may limit how long its answers take: a
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
        shared: Arc::clone(&shared),
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
        listen(socket, inbox, &line);
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
        let session = Session::new(caller, hint, events, line_of_session, counters);
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
        let mut farewell = Farewell(Some(socket));
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
                farewell.0.take();
            }
        });
    }

    fn sessions(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts what the socket says into `inbox`, and its end onto `line`. What is given to the socket must not hold it.
fn listen(socket: &SocketRef, inbox: Inbox, line: &Arc<watch::Sender<Line>>) {
    let inbox = Arc::new(inbox);
    let flooded = Arc::clone(line);
    socket.on_fallback(move |event: Said, ack: AckSender| {
        let ack = event.answered.then(|| {
            Ack::new(move |content| {
                // It fails when the client is gone.
                let _ = ack.send(&content);
            })
        });
        if inbox.offer(event.text, ack, Instant::now()).is_err() {
            flooded.send_replace(Line::Broken);
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

/// Ends a connection from our side when its session has ended, and even when that broke.
struct Farewell(Option<SocketRef>);

impl Farewell {
    /// A client that does not read has no room for the word; then it is said again later.
    async fn put_out(&mut self) {
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

struct SocketOutbox {
    socket: SocketRef,
    line: Arc<watch::Sender<Line>>,
    counters: Arc<Counters>,
}

impl Outbox for SocketOutbox {
    fn emit(&self, event: &str, content: Option<Value>) -> Result<(), Gone> {
        let sent = match content {
            Some(content) => self.socket.emit(event, &content),
            None => self.socket.emit::<[Value; 0]>(event, &[]),
        };
        sent.map_err(|_| {
            let stalled = self.socket.connected();
            let first = self.line.send_if_modified(|line| {
                let open = *line == Line::Open;
                if open {
                    *line = Line::Broken;
                }
                open
            });
            if stalled && first {
                count(&self.counters.stalled);
            }
            Gone
        })
    }
}

#[derive(Clone)]
struct Gate {
    origins: Origins,
    shared: Arc<Shared>,
}

/// Lets handshakes through that may be, and bodies that come in time.
async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if request.method() == Method::POST {
        let answer = timeout(BODY_PATIENCE, next.run(request)).await;
        return answer.unwrap_or_else(|_| refusal(StatusCode::REQUEST_TIMEOUT, "Timeout"));
    }
    let query = request.uri().query().unwrap_or_default();
    if query.split('&').any(|pair| pair.starts_with("sid=")) {
        return next.run(request).await;
    }
    if !may_connect(&gate.origins, &request) {
        count(&gate.shared.counters.refused);
        return refusal(StatusCode::FORBIDDEN, "Forbidden");
    }
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let Some(ConnectInfo(address)) = address.copied() else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error");
    };
    match gate.shared.connections.open(address.ip()) {
        Ok(connection) => {
            request.extensions_mut().insert(Arc::new(connection));
            next.run(request).await
        }
        Err(why) => {
            count(&gate.shared.counters.refused);
            match why {
                Refusal::Full => refusal(StatusCode::SERVICE_UNAVAILABLE, "Too many connections"),
                Refusal::Address => refusal(StatusCode::TOO_MANY_REQUESTS, "Too many connections"),
            }
        }
    }
}

/// Browsers do not ask before they open a WebSocket, so it is looked at here.
fn may_connect(origins: &Origins, request: &Request) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return true;
    };
    let own = |origin: &str| {
        let host = request.headers().get(header::HOST);
        let (_, authority) = origin.split_once("://").unwrap_or_default();
        host.is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()))
    };
    origin
        .to_str()
        .is_ok_and(|origin| origins.allows(origin) || own(origin))
}

/// An error as Engine.IO tells it.
fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "code": 4, "message": message }))).into_response()
}

/// Clients may send cookies, which are not looked at; so the origin is repeated and never `*`.
fn cors(origins: Origins) -> CorsLayer {
    let allowed = AllowOrigin::predicate(move |origin: &HeaderValue, _| {
        origin.to_str().is_ok_and(|origin| origins.allows(origin))
    });
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
}
