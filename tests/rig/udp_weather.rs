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
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// As much as an unpaced keyframe and then some: the weather is to be ours, not the kernel's.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Most datagrams on the way in one direction; one more is dropped.
const DATAGRAMS_IN_FLIGHT: usize = 4096;

const DATAGRAM_BYTES: usize = 2048;

/// What a home router keeps for a slow link.
const LONGEST_QUEUE: Duration = Duration::from_millis(300);

/// What happens to datagrams. The default is fair weather.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct UdpCondition {
    /// This part of the RTP and RTCP packets is lost, 0.0 to 1.0.
    pub loss: f64,
    /// At this part of them a burst begins, in which the next [`burst_length`](Self::burst_length) are lost too.
    pub bursts: f64,
    /// RTP and RTCP packets in a row that a burst takes with it.
    pub burst_length: u32,
    /// Nothing passes at all, not even connectivity checks.
    pub away: bool,
    /// Every datagram is late by this much.
    pub delay: Duration,
    /// And by up to this much more, each by another amount: that is what reorders them.
    pub jitter: Duration,
    /// This part of the RTP and RTCP packets comes twice, 0.0 to 1.0.
    pub duplication: f64,
    /// Each client receives no more than this; what would wait for longer than 300 ms is lost.
    pub downlink_kbps: Option<u32>,
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
    condition: watch::Sender<UdpCondition>,
    outside: watch::Sender<u64>,
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
        let (condition, watched) = watch::channel(condition);
        let (outside, moves) = watch::channel(0);
        let mut tasks = JoinSet::new();
        let weather = Weather {
            server,
            condition: watched,
            seed,
            counters: Arc::clone(&counters),
            moves,
        };
        tasks.spawn(serve(socket, weather));
        Ok(Self {
            address,
            condition,
            outside,
            counters,
            _tasks: tasks,
        })
    }

    /// Changes the weather, in both directions.
    pub fn set(&self, condition: UdpCondition) {
        self.condition.send_replace(condition);
    }

    /// Gives every client another port on the server's side, as a router does that has forgotten or was replaced.
    pub fn change_addresses(&self) {
        self.outside.send_modify(|moves| *moves += 1);
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

/// What all ways through the proxy share.
#[derive(Clone)]
struct Weather {
    server: SocketAddr,
    condition: watch::Receiver<UdpCondition>,
    seed: u64,
    counters: Arc<Counters>,
    moves: watch::Receiver<u64>,
}

impl Weather {
    fn direction(&self, salt: u64, is_downlink: bool) -> Direction {
        Direction {
            is_downlink,
            free_at: None,
            condition: self.condition.clone(),
            random: StdRng::seed_from_u64(self.seed ^ salt),
            counters: Arc::clone(&self.counters),
            burst: 0,
        }
    }
}

async fn serve(socket: Arc<UdpSocket>, weather: Weather) {
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
                let (sender, receiver) = mpsc::channel(DATAGRAMS_IN_FLIGHT);
                tasks.spawn(relay(
                    weather.clone(),
                    receiver,
                    Arc::clone(&socket),
                    client,
                ));
                new.insert(sender)
            }
        };
        let _ = sender.try_send(buffer[..length].to_vec());
    }
}

/// Carries one client's datagrams both ways, from another port after each move.
async fn relay(
    mut weather: Weather,
    mut from_client: mpsc::Receiver<Vec<u8>>,
    inside: Arc<UdpSocket>,
    client: SocketAddr,
) {
    let (mut up, mut down) = (
        weather.direction(0, false),
        weather.direction(u64::MAX, true),
    );
    loop {
        weather.moves.borrow_and_update();
        let Ok(outside) = bind(SocketAddr::new(weather.server.ip(), 0)).await else {
            return;
        };
        let (sender, mut from_server) = mpsc::channel(DATAGRAMS_IN_FLIGHT);
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
            () = up.deliver(&mut from_client, &outside, weather.server) => return,
            () = down.deliver(&mut from_server, &inside, client) => {}
            moved = weather.moves.changed() => if moved.is_err() { return },
        }
    }
}

/// One way through the weather.
struct Direction {
    condition: watch::Receiver<UdpCondition>,
    random: StdRng,
    counters: Arc<Counters>,
    is_downlink: bool,
    /// When the slow link has sent what it has.
    free_at: Option<Instant>,
    /// Packets that the present burst is still to take.
    burst: u32,
}

impl Direction {
    async fn deliver(
        &mut self,
        datagrams: &mut mpsc::Receiver<Vec<u8>>,
        socket: &UdpSocket,
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
        let condition = *self.condition.borrow();
        let Some(now) = self.pass_bottleneck(&condition, datagram.len(), now) else {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            return Vec::new();
        };
        let mut times = vec![self.arrival(&condition, now)];
        if condition.away || is_media(datagram) && self.is_lost(&condition) {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            times.clear();
        } else if is_media(datagram) && self.random.random_bool(condition.duplication) {
            self.counters.duplicated.fetch_add(1, Ordering::Relaxed);
            times.push(self.arrival(&condition, now));
        }
        times
    }

    /// When the slow link has let through this much more, if there is room for it.
    fn pass_bottleneck(
        &mut self,
        condition: &UdpCondition,
        bytes: usize,
        now: Instant,
    ) -> Option<Instant> {
        let Some(kbps) = condition.downlink_kbps.filter(|_| self.is_downlink) else {
            return Some(now);
        };
        let from = self.free_at.map_or(now, |free_at| free_at.max(now));
        if from - now > LONGEST_QUEUE {
            return None;
        }
        let bits = u32::try_from(bytes * 8).unwrap_or(u32::MAX);
        let through = from + Duration::from_secs(1) * bits / (kbps * 1000);
        self.free_at = Some(through);
        Some(through)
    }

    fn is_lost(&mut self, condition: &UdpCondition) -> bool {
        if self.burst > 0 {
            self.burst -= 1;
            return true;
        }
        if condition.bursts > 0.0 && self.random.random_bool(condition.bursts) {
            self.burst = condition.burst_length;
            return true;
        }
        self.random.random_bool(condition.loss)
    }

    fn arrival(&mut self, condition: &UdpCondition, now: Instant) -> Instant {
        now + condition.delay + condition.jitter.mul_f64(self.random.random::<f64>())
    }
}

/// RTP and RTCP, by the first byte (RFC 7983). A handshake that is lost would only be tried again a second later.
fn is_media(datagram: &[u8]) -> bool {
    datagram
        .first()
        .is_some_and(|first| (128..192).contains(first))
}
