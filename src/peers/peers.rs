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
    door::{PeerKey, new_credentials, stun::Credentials},
    fragment,
    repair::RepairCounters,
    router::identity::Identity,
    session::{
        Role, SessionParts, Studio, answer,
        inner::InnerPeer,
        offer::{Offer, Side},
        setup,
    },
    worker::{
        self, COMMAND_QUEUE, Command, Directory, Place, Shared, Worker, socket,
        socket::WorkerSocket, tcp,
    },
};

/// The most workers; a username fragment names one with two hexadecimal digits.
const MOST_WORKERS: usize = 256;
/// Events that may wait for a session's owner; statistics beyond are lost.
pub(crate) const EVENT_QUEUE: usize = 64;
/// ICE-TCP connections for each session, since a browser tries some in parallel.
const TCP_CONNECTIONS_PER_SESSION: usize = 2;

/// The workers. Cloning shares them.
#[derive(Clone)]
pub struct Peers {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    workers: Vec<mpsc::Sender<Command>>,
    pub(crate) shared: Arc<Shared>,
    local_address: SocketAddr,
    pub(crate) announced: Vec<SocketAddr>,
    pub(crate) sessions_limit: usize,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    tcp_stop: Mutex<Option<oneshot::Sender<()>>>,
}

/// A session's place, before its worker has it.
pub(crate) struct Berth {
    /// Whom the place is given back to.
    shared: Option<Arc<Shared>>,
    pub(crate) worker: usize,
    pub(crate) session: PeerKey,
    pub(crate) id: SessionId,
    pub(crate) local: Credentials,
}

impl Berth {
    /// The session's worker has its place now.
    pub(crate) fn keep(mut self) -> SessionId {
        self.shared = None;
        self.id.clone()
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.directory.forget_session(self.session);
        }
    }
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
        let identity = Identity::new(crypto.crypto()).map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            directory: Directory::default(),
            identity,
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

    /// How many sessions of studios there are now.
    pub fn sessions(&self) -> usize {
        self.inner.shared.directory.studios()
    }

    /// How many sessions of viewers there are now.
    pub fn viewers(&self) -> usize {
        self.inner.shared.directory.viewers()
    }

    /// How many transports of rooms there are now.
    pub fn transports(&self) -> usize {
        self.inner.shared.directory.transports()
    }

    /// How many panics ended a session or a media path. Each is a bug of ours.
    pub fn panics(&self) -> u64 {
        self.inner.shared.panics.load(Ordering::Relaxed)
    }

    /// Places a broadcast's media path on a worker, where it stays until [`detach`](Self::detach): on that of the router
    /// of the same name, if there is one.
    pub async fn attach(&self, name: &str, media: Box<dyn MediaSink>) -> SinkId {
        let directory = &self.inner.shared.directory;
        let sink = SinkId(directory.next_key());
        let worker = directory.place_sink(sink, name, self.workers());
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
    ///
    /// Of the offer's video codecs the first in `accepts` is chosen.
    pub async fn publish(
        &self,
        sink: SinkId,
        offer: &str,
        accepts: &[VideoCodec],
    ) -> Result<Published, OfferError> {
        let offer = Offer::parse(offer, Side::Studio, accepts)?;
        let place = Place::Studio {
            limit: self.inner.sessions_limit,
        };
        let berth = self.berth(sink, place)?;
        let inner = InnerPeer::new(berth.local.clone());
        let counters = Arc::new(RepairCounters::default());
        let now = Instant::now();
        let (connection, sdp) = setup::answer_studio(&offer, &berth.local, &inner, &counters, now)
            .map_err(|error| OfferError::Malformed(error.to_string()))?;
        let answer = answer::rewrite(&sdp, &offer, &self.inner.announced);
        let video = offer
            .video
            .first()
            .map(|video| (video.codec, video.line.payload_type));
        let source = SourceDescription {
            video: video.map(|(codec, _)| codec),
            audio: offer.audio.is_some(),
        };
        let audio = offer.audio.map(|audio| audio.payload_type);
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let parts = SessionParts {
            connection,
            inner,
            local: berth.local.clone(),
            remote: offer.remote,
            role: Role::Studio(Box::new(Studio::new(video, audio, counters, now))),
            events,
        };
        let etag = berth.local.fragment.clone();
        let session = self.open(sink, berth, Some(source), parts).await?;
        Ok(Published {
            session,
            answer,
            etag,
            source,
            events: receiver,
        })
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

    /// Takes a place for a session of `sink`, which is given back when the berth is dropped.
    pub(crate) fn berth(&self, sink: SinkId, place: Place) -> Result<Berth, OfferError> {
        let worker = self.inner.shared.directory.worker_of_sink(sink);
        self.berth_on(worker.ok_or(OfferError::NoSuchSink)?, place)
    }

    /// Takes a place for a session on `worker`, which is given back when the berth is dropped.
    pub(crate) fn berth_on(&self, worker: usize, place: Place) -> Result<Berth, OfferError> {
        let directory = &self.inner.shared.directory;
        let session = directory.next_key();
        let id = SessionId(new_session_id());
        if !directory.place_session(id.as_str(), session, worker, place) {
            return Err(OfferError::Full);
        }
        Ok(Berth {
            shared: Some(Arc::clone(&self.inner.shared)),
            worker,
            session,
            id,
            local: new_credentials(worker),
        })
    }

    /// Hands a session to its worker, which then owns its place.
    pub(crate) async fn open(
        &self,
        sink: SinkId,
        berth: Berth,
        source: Option<SourceDescription>,
        parts: SessionParts,
    ) -> Result<SessionId, OfferError> {
        let (opened, answer) = oneshot::channel();
        let command = Command::Open {
            session: berth.session,
            sink,
            source,
            parts: Box::new(parts),
            opened,
        };
        self.command(berth.worker, command).await;
        answer.await.unwrap_or(Err(OfferError::NoSuchSink))?;
        Ok(berth.keep())
    }

    pub(crate) async fn command(&self, worker: usize, command: Command) {
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
