//! A UDP proxy that loses, delays, reorders and repeats, the same way each time for the same seed.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use socket2::SockRef;
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// As much as an unpaced keyframe and then some: the weather is to be ours, not the kernel's.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Most datagrams on the way in one direction; one more is dropped.
const DATAGRAMS_IN_FLIGHT: usize = 4096;

const DATAGRAM_BYTES: usize = 2048;

/// What happens to datagrams. The default is fair weather.
#[derive(Debug, Clone, Copy, Default)]
pub struct UdpCondition {
    /// This part of the RTP and RTCP packets is lost, 0.0 to 1.0.
    pub loss: f64,
    /// Every datagram is late by this much.
    pub delay: Duration,
    /// And by up to this much more, each by another amount: that is what reorders them.
    pub jitter: Duration,
    /// This part of the RTP and RTCP packets comes twice, 0.0 to 1.0.
    pub duplication: f64,
}

/// What has passed a proxy so far, in both directions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpTraffic {
    /// Datagrams that came in.
    pub received: u64,
    /// Of these, lost on purpose.
    pub lost: u64,
    /// Of these, sent twice.
    pub duplicated: u64,
}

#[derive(Debug, Default)]
struct Counters {
    received: AtomicU64,
    lost: AtomicU64,
    duplicated: AtomicU64,
}

/// The proxy. Each client reaches the server from a port of its own. Dropping it ends it.
#[derive(Debug)]
pub struct UdpWeather {
    address: SocketAddr,
    counters: Arc<Counters>,
    _tasks: JoinSet<()>,
}

impl UdpWeather {
    /// Listens on `address` and passes on to `server`, under one condition in both directions.
    pub async fn before(
        server: SocketAddr,
        address: SocketAddr,
        condition: UdpCondition,
        seed: u64,
    ) -> Result<Self> {
        let socket = Arc::new(bind(address).await?);
        let address = socket.local_addr()?;
        let counters = Arc::<Counters>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(
            socket,
            server,
            condition,
            seed,
            Arc::clone(&counters),
        ));
        Ok(Self {
            address,
            counters,
            _tasks: tasks,
        })
    }

    /// Where to send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has passed.
    pub fn traffic(&self) -> UdpTraffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        UdpTraffic {
            received: read(&self.counters.received),
            lost: read(&self.counters.lost),
            duplicated: read(&self.counters.duplicated),
        }
    }
}

async fn bind(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address).await?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    Ok(socket)
}

async fn serve(
    socket: Arc<UdpSocket>,
    server: SocketAddr,
    condition: UdpCondition,
    seed: u64,
    counters: Arc<Counters>,
) {
    let mut clients: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        // A port that is closed again shows as an error here; the next datagram may be well.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let sender = match clients.entry(client) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Ok(outside) = bind(SocketAddr::new(server.ip(), 0)).await else {
                    continue;
                };
                let outside = Arc::new(outside);
                let (sender, receiver) = mpsc::channel(DATAGRAMS_IN_FLIGHT);
                let direction = |salt: u64| Direction {
                    condition,
                    random: StdRng::seed_from_u64(seed ^ salt),
                    counters: Arc::clone(&counters),
                };
                tasks.spawn(direction(0).deliver(receiver, Arc::clone(&outside), server));
                tasks.spawn(answer(
                    direction(u64::MAX),
                    outside,
                    Arc::clone(&socket),
                    client,
                ));
                new.insert(sender)
            }
        };
        let _ = sender.try_send(buffer[..length].to_vec());
    }
}

/// Takes what the server sends and delivers it to the client.
async fn answer(
    direction: Direction,
    outside: Arc<UdpSocket>,
    inside: Arc<UdpSocket>,
    client: SocketAddr,
) {
    let (sender, receiver) = mpsc::channel(DATAGRAMS_IN_FLIGHT);
    let receive = async {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            if let Ok((length, _)) = outside.recv_from(&mut buffer).await {
                let _ = sender.try_send(buffer[..length].to_vec());
            }
        }
    };
    tokio::select! {
        () = receive => {}
        () = direction.deliver(receiver, inside, client) => {}
    }
}

/// One way through the weather.
struct Direction {
    condition: UdpCondition,
    random: StdRng,
    counters: Arc<Counters>,
}

impl Direction {
    async fn deliver(
        mut self,
        mut datagrams: mpsc::Receiver<Vec<u8>>,
        socket: Arc<UdpSocket>,
        to: SocketAddr,
    ) {
        let mut on_the_way = BinaryHeap::new();
        let mut number = 0_u64;
        loop {
            let next = on_the_way.peek().map(|Reverse((due, _, _))| *due);
            tokio::select! {
                datagram = datagrams.recv() => {
                    let Some(datagram) = datagram else { return };
                    for due in self.fate(&datagram, Instant::now()) {
                        number += 1;
                        on_the_way.push(Reverse((due, number, datagram.clone())));
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    if let Some(Reverse((_, _, datagram))) = on_the_way.pop() {
                        let _ = socket.send_to(&datagram, to).await;
                    }
                }
            }
        }
    }

    /// When the datagram is to arrive: never, once or twice.
    fn fate(&mut self, datagram: &[u8], now: Instant) -> Vec<Instant> {
        self.counters.received.fetch_add(1, Ordering::Relaxed);
        let mut times = vec![self.arrival(now)];
        if is_media(datagram) {
            if self.random.random_bool(self.condition.loss) {
                self.counters.lost.fetch_add(1, Ordering::Relaxed);
                times.clear();
            } else if self.random.random_bool(self.condition.duplication) {
                self.counters.duplicated.fetch_add(1, Ordering::Relaxed);
                times.push(self.arrival(now));
            }
        }
        times
    }

    fn arrival(&mut self, now: Instant) -> Instant {
        now + self.condition.delay + self.condition.jitter.mul_f64(self.random.random::<f64>())
    }
}

/// RTP and RTCP, by the first byte (RFC 7983). A handshake that is lost would only be tried again a second later.
fn is_media(datagram: &[u8]) -> bool {
    datagram
        .first()
        .is_some_and(|first| (128..192).contains(first))
}
