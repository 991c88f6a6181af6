//! A TCP proxy that can be told how the network is to misbehave.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Result;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// Most chunks on the way in one direction; when it is full, the sender is not read from.
const CHUNKS_IN_FLIGHT: usize = 64;

const CHUNK_BYTES: usize = 16 * 1024;

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
    /// Connections stay open, what is sent vanishes, nothing comes back.
    HalfOpen,
    /// Connections are closed in good order.
    Cut,
    /// Connections are reset.
    Reset,
}

/// The proxy. Dropping it ends all its connections.
#[derive(Debug)]
pub struct TcpWeather {
    address: SocketAddr,
    condition: watch::Sender<TcpCondition>,
    _tasks: JoinSet<()>,
}

impl TcpWeather {
    /// Listens on a free port of loopback and passes on to `server`.
    pub async fn before(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (condition, watched) = watch::channel(TcpCondition::Clear);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, watched));
        Ok(Self {
            address,
            condition,
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
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    condition: watch::Receiver<TcpCondition>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                connections.spawn(connect(client, server, condition.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(
    mut client: TcpStream,
    server: SocketAddr,
    mut condition: watch::Receiver<TcpCondition>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = carry(from_client, to_server, condition.clone());
        let down = carry(from_server, to_client, condition.clone());
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
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

async fn carry(from: ReadHalf<'_>, to: WriteHalf<'_>, condition: watch::Receiver<TcpCondition>) {
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    tokio::join!(
        read_chunks(from, sender, condition.clone()),
        write_chunks(to, receiver, condition)
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
        let read = tokio::select! {
            changed = condition.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut buffer), if now != TcpCondition::Stalled => read,
        };
        let Ok(length @ 1..) = read else { return };
        let delay = match now {
            TcpCondition::HalfOpen => continue,
            TcpCondition::Delayed(delay) => delay,
            TcpCondition::Clear
            | TcpCondition::Slow(_)
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
    condition: watch::Receiver<TcpCondition>,
) {
    while let Some((due, bytes)) = chunks.recv().await {
        sleep_until(due).await;
        let now = *condition.borrow();
        if let TcpCondition::Slow(bytes_per_second) = now {
            let bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            sleep(Duration::from_secs(bytes.into()) / bytes_per_second).await;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
