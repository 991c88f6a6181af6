//! The handle to the workers: starts them, places broadcasts on them, answers offers.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use media::{MediaSink, SourceDescription, VideoCodec};
use rand::RngExt;
use tokio::sync::{mpsc, oneshot};

use crate::{
    IceRestart, OfferError, PeersConfig, Published, SessionError, SessionId, SinkId,
    door::new_credentials,
    fragment,
    repair::RepairCounters,
    session::{SessionParts, answer, inner::InnerPeer, offer::Offer, setup},
    worker::{
        self, COMMAND_QUEUE, Command, Directory, Shared, Worker, socket,
        socket::WorkerSocket,
        tcp,
        watchers::{PacketWatcher, WatcherKey},
    },
};

/// The most workers; a username fragment names one with two hexadecimal digits.
const MOST_WORKERS: usize = 256;
/// Events that may wait for a session's owner; statistics beyond are lost.
const EVENT_QUEUE: usize = 64;
/// ICE-TCP connections for each session, since a browser tries some in parallel.
const TCP_CONNECTIONS_PER_SESSION: usize = 2;

/// The workers. Cloning shares them.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    workers: Vec<mpsc::Sender<Command>>,
    shared: Arc<Shared>,
    local_address: SocketAddr,
    announced: Vec<SocketAddr>,
    sessions_limit: usize,
    next_worker: AtomicU64,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    tcp_stop: Mutex<Option<oneshot::Sender<()>>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Peers({} workers on {})",
            self.inner.workers.len(),
            self.inner.local_address
        )
    }
}

impl Peers {
    /// Binds the UDP port and the TCP port of the same number, and starts the workers.
    ///
    /// An unspecified listen address needs `announced` addresses, else nobody could reach it.
    pub fn start(config: PeersConfig) -> io::Result<Self> {
        let count = config.workers.clamp(1, MOST_WORKERS);
        if config.announced.is_empty() && config.listen.ip().is_unspecified() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an announced address is needed",
            ));
        }
        let (first, tcp_listener) = bind_both(config.listen)?;
        let local_address = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..count {
            sockets.push(socket::bind(local_address)?);
        }
        let announced = if config.announced.is_empty() {
            vec![local_address.ip()]
        } else {
            config.announced
        };
        let crypto = rtc::crypto::default_provider().map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            directory: Directory::default(),
            crypto,
            panics: AtomicU64::new(0),
        });
        let (workers, queues): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(COMMAND_QUEUE)).unzip();
        let mut threads = Vec::new();
        for (index, (socket, queue)) in sockets.into_iter().zip(queues).enumerate() {
            threads.push(start_worker(
                index,
                socket,
                queue,
                workers.clone(),
                Arc::clone(&shared),
            )?);
        }
        let (tcp_stop, stop) = oneshot::channel();
        let limit = config
            .sessions_limit
            .saturating_mul(TCP_CONNECTIONS_PER_SESSION)
            .clamp(1, 65_536);
        threads.push(start_tcp(tcp_listener, workers.clone(), limit, stop)?);
        Ok(Self {
            inner: Arc::new(Inner {
                workers,
                shared,
                local_address,
                announced: announced
                    .into_iter()
                    .map(|ip| SocketAddr::new(ip, local_address.port()))
                    .collect(),
                sessions_limit: config.sessions_limit,
                next_worker: AtomicU64::new(0),
                threads: Mutex::new(threads),
                tcp_stop: Mutex::new(Some(tcp_stop)),
            }),
        })
    }

    /// The bound address.
    pub fn local_address(&self) -> SocketAddr {
        self.inner.local_address
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.inner.workers.len()
    }

    /// How many sessions there are now.
    pub fn sessions(&self) -> usize {
        self.inner.shared.directory.sessions()
    }

    /// How many panics ended a session or a media path. Each is a bug of ours.
    pub fn panics(&self) -> u64 {
        self.inner.shared.panics.load(Ordering::Relaxed)
    }

    /// Places a broadcast's media path on a worker, where it stays until [`detach`](Self::detach).
    pub async fn attach(&self, media: Box<dyn MediaSink>) -> SinkId {
        let turn = self.inner.next_worker.fetch_add(1, Ordering::Relaxed);
        let worker = usize::try_from(turn % self.inner.workers.len() as u64).unwrap_or(0);
        let sink = SinkId(self.inner.shared.directory.next_key());
        self.inner.shared.directory.place_sink(sink, worker);
        self.command(worker, Command::Attach { sink, media }).await;
        sink
    }

    /// Ends the sink and its sessions.
    pub async fn detach(&self, sink: SinkId) {
        let Some(worker) = self.inner.shared.directory.worker_of_sink(sink) else {
            return;
        };
        let (done, ended) = oneshot::channel();
        self.command(worker, Command::Detach { sink, done }).await;
        let _ = ended.await;
    }

    /// Answers an offer with a session that feeds `sink`. An earlier session of the same sink is ended once this one connects.
    pub async fn publish(&self, sink: SinkId, offer: &str) -> Result<Published, OfferError> {
        let offer = Offer::parse(offer)?;
        let worker = self
            .inner
            .shared
            .directory
            .worker_of_sink(sink)
            .ok_or(OfferError::NoSuchSink)?;
        let session = self.inner.shared.directory.next_key();
        let id = SessionId(new_session_id());
        if !self.inner.shared.directory.place_session(
            id.as_str(),
            session,
            worker,
            self.inner.sessions_limit,
        ) {
            return Err(OfferError::Full);
        }
        let opened = self.open(sink, worker, session, &id, offer).await;
        if opened.is_err() {
            self.inner.shared.directory.forget_session(session);
        }
        opened
    }

    /// Takes trickled candidates. An ICE-lite agent does not need them, but the fragment is checked.
    pub fn trickle(&self, session: &SessionId, text: &str) -> Result<(), SessionError> {
        fragment::parse(text)?;
        match self.inner.shared.directory.find_session(session.as_str()) {
            Some(_) => Ok(()),
            None => Err(SessionError::NoSuchSession),
        }
    }

    /// Gives the session new ICE credentials; the old ones hold until the new ones are used.
    pub async fn restart_ice(
        &self,
        session: &SessionId,
        text: &str,
    ) -> Result<IceRestart, SessionError> {
        let remote = fragment::parse(text)?.ok_or_else(|| {
            SessionError::Malformed("ice-ufrag and ice-pwd are needed to restart".to_owned())
        })?;
        let (key, worker) = self
            .inner
            .shared
            .directory
            .find_session(session.as_str())
            .ok_or(SessionError::NoSuchSession)?;
        let local = new_credentials(worker);
        let restart = IceRestart {
            fragment: answer::restart_fragment(&local, &self.inner.announced),
            etag: local.fragment.clone(),
        };
        let (done, known) = oneshot::channel();
        self.command(
            worker,
            Command::RestartIce {
                session: key,
                local,
                remote,
                done,
            },
        )
        .await;
        if known.await.unwrap_or(false) {
            Ok(restart)
        } else {
            Err(SessionError::NoSuchSession)
        }
    }

    /// Ends a session. Ending an ended one is no error.
    pub async fn close(&self, session: &SessionId) {
        let Some((key, worker)) = self.inner.shared.directory.find_session(session.as_str()) else {
            return;
        };
        let (done, ended) = oneshot::channel();
        self.command(worker, Command::Close { session: key, done })
            .await;
        let _ = ended.await;
    }

    /// Asks the studio of `sink` for a keyframe; the arbiter limits how often.
    pub async fn request_keyframe(&self, sink: SinkId) {
        if let Some(worker) = self.inner.shared.directory.worker_of_sink(sink) {
            self.command(worker, Command::RequestKeyframe { sink })
                .await;
        }
    }

    /// Asks the studio of `sink`, and every one after it, to send at most `limit` bit/s, pictures and sound together, by
    /// REMB, until another limit is set; `None`: as much as it wants.
    pub async fn limit_bitrate(&self, sink: SinkId, limit: Option<u64>) {
        if let Some(worker) = self.inner.shared.directory.worker_of_sink(sink) {
            self.command(worker, Command::LimitBitrate { sink, limit })
                .await;
        }
    }

    /// Gives `watcher` a copy of what the current studio of `sink` sends, until it is removed or the sink is detached.
    /// `None`: the sink is gone, or has [`WATCHERS_LIMIT`](worker::watchers::WATCHERS_LIMIT) already.
    pub(crate) async fn add_watcher(
        &self,
        sink: SinkId,
        watcher: Box<dyn PacketWatcher>,
    ) -> Option<WatcherKey> {
        let worker = self.inner.shared.directory.worker_of_sink(sink)?;
        let key = self.inner.shared.directory.next_key();
        let (added, answer) = oneshot::channel();
        self.command(
            worker,
            Command::AddWatcher {
                sink,
                key,
                watcher,
                added,
            },
        )
        .await;
        answer.await.unwrap_or(false).then_some(key)
    }

    /// Drops a watcher. Removing one that is gone is no error.
    pub(crate) async fn remove_watcher(&self, sink: SinkId, key: WatcherKey) {
        if let Some(worker) = self.inner.shared.directory.worker_of_sink(sink) {
            let (removed, done) = oneshot::channel();
            self.command(worker, Command::RemoveWatcher { sink, key, removed })
                .await;
            let _ = done.await;
        }
    }

    /// Ends all sessions and sinks, and joins the threads.
    pub async fn shutdown(&self) {
        if let Some(stop) = self
            .inner
            .tcp_stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            let _ = stop.send(());
        }
        for worker in 0..self.inner.workers.len() {
            let (done, ended) = oneshot::channel();
            self.command(worker, Command::Shutdown { done }).await;
            let _ = ended.await;
        }
        let threads = std::mem::take(
            &mut *self
                .inner
                .threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for thread in threads {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    async fn open(
        &self,
        sink: SinkId,
        worker: usize,
        session: u64,
        id: &SessionId,
        offer: Offer,
    ) -> Result<Published, OfferError> {
        let local = new_credentials(worker);
        let inner = InnerPeer::new(local.clone());
        let counters = Arc::new(RepairCounters::default());
        let (connection, sdp) = setup::answer(&offer, &local, &inner, &counters, Instant::now())
            .map_err(|error| OfferError::Malformed(error.to_string()))?;
        let answer = answer::rewrite(&sdp, &offer, &self.inner.announced);
        let source = SourceDescription {
            video: offer.video.as_ref().map(|_| VideoCodec::H264),
            audio: offer.audio.is_some(),
        };
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let etag = local.fragment.clone();
        let parts = Box::new(SessionParts {
            connection,
            inner,
            local,
            remote: offer.remote,
            video_payload_type: offer.video.map(|video| video.payload_type),
            audio_payload_type: offer.audio.map(|audio| audio.payload_type),
            counters,
            events,
        });
        let (opened, known) = oneshot::channel();
        self.command(
            worker,
            Command::Open {
                session,
                sink,
                source,
                parts,
                opened,
            },
        )
        .await;
        if !known.await.unwrap_or(false) {
            return Err(OfferError::NoSuchSink);
        }
        Ok(Published {
            session: id.clone(),
            answer,
            etag,
            source,
            events: receiver,
        })
    }

    async fn command(&self, worker: usize, command: Command) {
        if let Some(queue) = self.inner.workers.get(worker)
            && queue.send(command).await.is_err()
        {
            tracing::debug!(worker, "command to an ended worker");
        }
    }
}

/// 128 random bits as hexadecimal digits: whoever knows the session's URL may end it.
fn new_session_id() -> String {
    format!("{:032x}", rand::rng().random::<u128>())
}

/// Binds UDP, and TCP on the same number; with port 0 until both are free.
fn bind_both(address: SocketAddr) -> io::Result<(std::net::UdpSocket, std::net::TcpListener)> {
    const ATTEMPTS: usize = 16;
    for attempt in 1.. {
        let udp = socket::bind(address)?;
        match std::net::TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(_) if address.port() == 0 && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the loop ends by returning")
}

fn start_worker(
    index: usize,
    socket: std::net::UdpSocket,
    queue: mpsc::Receiver<Command>,
    workers: Vec<mpsc::Sender<Command>>,
    shared: Arc<Shared>,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let socket = {
        let _entered = runtime.enter();
        WorkerSocket::new(socket)?
    };
    thread::Builder::new()
        .name(format!("media-{index}"))
        .spawn(move || {
            runtime.block_on(worker::run(
                Worker::new(index, socket, workers, shared),
                queue,
            ));
        })
}

fn start_tcp(
    listener: std::net::TcpListener,
    workers: Vec<mpsc::Sender<Command>>,
    limit: usize,
    stop: oneshot::Receiver<()>,
) -> io::Result<thread::JoinHandle<()>> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    thread::Builder::new()
        .name("ice-tcp".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = tcp::accept(listener, workers, limit) => {}
                    _ = stop => {}
                }
            });
        })
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
