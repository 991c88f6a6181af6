//! A TCP proxy that can be told how the network is to misbehave.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// Most chunks on the way in one direction; when it is full, the sender is not read from.
const CHUNKS_IN_FLIGHT: usize = 64;

const CHUNK_BYTES: usize = 16 * 1024;

/// What the kernel may hold for the proxy: little, so that a sender soon notices that nobody reads.
const RECEIVE_BUFFER_BYTES: u32 = 64 * 1024;

/// A slow connection is read this often, so that it is smooth and a change of the weather shows at once.
const SLOW_STEPS_PER_SECOND: u32 = 20;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 64;

/// What the network does to connections, those that are open and those to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpCondition {
    /// All passes at once.
    Clear,
    /// All passes, later by this much.
    Delayed(Duration),
    /// At most so many bytes a second in each direction.
    Slow(u32),
    /// Connections stay open and nobody reads: the sender's buffers fill.
    Stalled,
    /// Connections stay open, what is sent is acknowledged and vanishes, nothing comes back.
    ///
    /// Where nothing is acknowledged either, see `Namespace::black_hole`.
    HalfOpen,
    /// Connections are closed in good order.
    Cut,
    /// Connections are reset.
    Reset,
}

/// What has passed one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpTraffic {
    /// Bytes from the client to the server.
    pub up: u64,
    /// Bytes from the server to the client.
    pub down: u64,
    /// Whether it is still there.
    pub open: bool,
}

#[derive(Debug, Default)]
struct Counters {
    up: AtomicU64,
    down: AtomicU64,
    closed: AtomicBool,
}

type Connections = Arc<Mutex<Vec<Arc<Counters>>>>;

/// The proxy. Dropping it ends all its connections.
#[derive(Debug)]
pub struct TcpWeather {
    address: SocketAddr,
    condition: watch::Sender<TcpCondition>,
    connections: Connections,
    _tasks: JoinSet<()>,
}

impl TcpWeather {
    /// Listens on a free port of loopback and passes on to `server`.
    pub fn before(server: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        let (condition, watched) = watch::channel(TcpCondition::Clear);
        let connections = Connections::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, watched, Arc::clone(&connections)));
        Ok(Self {
            address,
            condition,
            connections,
            _tasks: tasks,
        })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather, for open connections too.
    pub fn set(&self, condition: TcpCondition) {
        self.condition.send_replace(condition);
    }

    /// What has passed each connection so far, oldest first.
    pub fn connections(&self) -> Vec<TcpTraffic> {
        let connections = self.connections.lock();
        connections
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|counters| TcpTraffic {
                up: counters.up.load(Ordering::Relaxed),
                down: counters.down.load(Ordering::Relaxed),
                open: !counters.closed.load(Ordering::Relaxed),
            })
            .collect()
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    condition: watch::Receiver<TcpCondition>,
    connections: Connections,
) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                let counters = Arc::<Counters>::default();
                connections
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Arc::clone(&counters));
                let condition = condition.clone();
                tasks.spawn(async move {
                    connect(client, server, condition, &counters).await;
                    counters.closed.store(true, Ordering::Relaxed);
                });
            }
            Some(_) = tasks.join_next() => {}
        }
    }
}

async fn connect(
    mut client: TcpStream,
    server: SocketAddr,
    mut condition: watch::Receiver<TcpCondition>,
    counters: &Counters,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = carry(from_client, to_server, condition.clone(), &counters.up);
        let down = carry(from_server, to_client, condition.clone(), &counters.down);
        let end = condition
            .wait_for(|condition| matches!(condition, TcpCondition::Cut | TcpCondition::Reset));
        tokio::select! {
            _ = async { tokio::join!(up, down) } => None,
            end = end => end.ok().map(|condition| *condition),
        }
    };
    if end == Some(TcpCondition::Reset) {
        for stream in [&client, &server] {
            // Closing without lingering is what sends RST.
            let _ = stream.set_zero_linger();
        }
    }
}

async fn carry(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    condition: watch::Receiver<TcpCondition>,
    passed: &AtomicU64,
) {
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    tokio::join!(
        read_chunks(from, sender, condition),
        write_chunks(to, receiver, passed)
    );
}

/// What was read, and when it is due at the other end.
type Chunk = (Instant, Vec<u8>);

async fn read_chunks(
    mut from: ReadHalf<'_>,
    sender: mpsc::Sender<Chunk>,
    mut condition: watch::Receiver<TcpCondition>,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let now = *condition.borrow_and_update();
        let limit = match now {
            TcpCondition::Slow(rate) => (rate / SLOW_STEPS_PER_SECOND) as usize,
            TcpCondition::Clear
            | TcpCondition::Delayed(_)
            | TcpCondition::Stalled
            | TcpCondition::HalfOpen
            | TcpCondition::Cut
            | TcpCondition::Reset => CHUNK_BYTES,
        };
        let part = &mut buffer[..limit.clamp(1, CHUNK_BYTES)];
        let read = tokio::select! {
            changed = condition.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(part), if now != TcpCondition::Stalled => read,
        };
        let Ok(length @ 1..) = read else { return };
        let delay = match now {
            TcpCondition::HalfOpen => continue,
            TcpCondition::Delayed(delay) => delay,
            TcpCondition::Slow(bytes_per_second) => {
                let bytes = u32::try_from(length).unwrap_or(u32::MAX);
                sleep(Duration::from_secs(bytes.into()) / bytes_per_second.max(1)).await;
                Duration::ZERO
            }
            TcpCondition::Clear
            | TcpCondition::Stalled
            | TcpCondition::Cut
            | TcpCondition::Reset => Duration::ZERO,
        };
        let chunk = (Instant::now() + delay, buffer[..length].to_vec());
        if sender.send(chunk).await.is_err() {
            return;
        }
    }
}

async fn write_chunks(
    mut to: WriteHalf<'_>,
    mut chunks: mpsc::Receiver<Chunk>,
    passed: &AtomicU64,
) {
    while let Some((due, bytes)) = chunks.recv().await {
        sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
        passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
    let _ = to.shutdown().await;
}
