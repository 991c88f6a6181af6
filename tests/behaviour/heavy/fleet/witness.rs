//! A platform that lets anybody publish at any time, and remembers who did so in which order.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use pipelines::rtmp::receiver::{Receiver, ReceiverHandle, StreamId, StreamReport};
use tokio::{task::JoinSet, time::interval};

/// How often it is looked who has sent something.
const LOOK: Duration = Duration::from_millis(10);

/// Who sent in which order: of each key the publications, a new entry whenever it is another than before.
type Order = Arc<Mutex<HashMap<String, Vec<StreamId>>>>;

/// A strict receiver under observation. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Witness {
    receiver: Receiver,
    order: Order,
    _tasks: JoinSet<()>,
}

/// How one publication followed another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// The last picture's time of the one before.
    pub(super) from: Duration,
    /// The first picture's time of the one after.
    pub(super) to: Duration,
}

impl Change {
    /// For how long viewers had no new picture, by the pictures' own times; zero when the later begins before the end.
    pub(super) fn gap(self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

impl Witness {
    pub(super) async fn start() -> Result<Self> {
        let receiver = Receiver::bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
        let order = Order::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(watch(receiver.handle(), Arc::clone(&order)));
        Ok(Self {
            receiver,
            order,
            _tasks: tasks,
        })
    }

    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.receiver.local_address()
    }

    /// What was published under a key and brought a picture, oldest first.
    pub(super) fn shows(&self, key: &str) -> Vec<StreamReport> {
        let streams = self.receiver.streams().into_iter();
        streams
            .filter(|report| report.stream_key.expose() == key && report.video.cadence.frames > 0)
            .collect()
    }

    /// Fails when somebody sent under a key after somebody else had begun to, or broke a rule of RTMP.
    pub(super) fn check_one_at_a_time(&self, key: &str) -> Result<()> {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let order = order.get(key).context("nobody came")?;
        ensure!(
            order.is_sorted_by(|before, after| before < after),
            "'{key}' was published to by turns: {order:?}"
        );
        for report in self.shows(key) {
            // Whoever is cut off without a goodbye may be so by a reset.
            let broken = report.violations.iter();
            let broken = broken.filter(|words| !words.contains("Connection reset"));
            ensure!(broken.count() == 0, "{:?}", report.violations);
        }
        Ok(())
    }

    /// The changes from one publication to the next. Times that go back are an error.
    pub(super) fn changes(&self, key: &str) -> Result<Vec<Change>> {
        let shows = self.shows(key);
        let changes = shows.windows(2).map(|pair| {
            let from = pair[0].video.cadence.last.context("no picture")?;
            let to = pair[1].video.cadence.first.context("no picture")?;
            ensure!(from < to, "'{key}' goes back from {from:?} to {to:?}");
            Ok(Change { from, to })
        });
        changes.collect()
    }
}

async fn watch(receiver: ReceiverHandle, order: Order) {
    let mut bytes: HashMap<StreamId, u64> = HashMap::new();
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        for report in receiver.streams() {
            let before = bytes.insert(report.id, report.bytes).unwrap_or_default();
            if report.bytes == before {
                continue;
            }
            let mut order = order.lock().unwrap_or_else(PoisonError::into_inner);
            let senders = order.entry(report.stream_key.expose().to_owned());
            let senders = senders.or_default();
            if senders.last() != Some(&report.id) {
                senders.push(report.id);
            }
        }
    }
}
