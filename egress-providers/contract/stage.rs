//! What a test of sessions is played on: a show, orders for it, and a contribution that goes where it is told.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use broadcast::{AfterCut, BroadcastId, DestinationId, Endpoint, LineName, Reason};
use media::Fanout;
use pipelines::rtmp::{BlackBox, Curtain, MediaHints};
use tokio::{sync::watch, time::timeout};

use super::scripted::Scripted;
use crate::{
    DestinationEvent, DestinationOrder, Hot, OpenDestination, Show,
    hosted::{
        Contribute, Contribution, ContributionOrder, Hosted, HostedParts, MemoryHandles, Owner,
        ProviderError, Unobserved,
    },
};

pub(super) const PATIENCE: Duration = Duration::from_mins(10);

/// Brings shows nowhere, and says that it does.
#[derive(Debug, Default)]
pub(super) struct Courier {
    /// How the next attempts end before they flow.
    pub(super) failures: Mutex<VecDeque<ProviderError>>,
    /// Tells attempts that flow to fail.
    pub(super) cut: Mutex<Option<tokio_util::sync::CancellationToken>>,
    pub(super) attempts: Mutex<u32>,
    /// Where each attempt went.
    pub(super) hosts: Mutex<Vec<String>>,
    pub(super) at_work: Mutex<u32>,
    media_have_ended: AtomicBool,
}

impl Courier {
    /// The show is over.
    pub(super) fn end(&self) {
        self.media_have_ended.store(true, Relaxed);
        if let Some(cut) = self.cut.lock().unwrap().take() {
            cut.cancel();
        }
    }
}

#[async_trait]
impl Contribute for Courier {
    async fn carry(&self, order: ContributionOrder) -> Result<(), ProviderError> {
        *self.attempts.lock().unwrap() += 1;
        if let Contribution::Push(endpoint) = &order.contribution {
            self.hosts.lock().unwrap().push(endpoint.host().to_owned());
        }
        if let Some(error) = self.failures.lock().unwrap().pop_front() {
            return Err(error);
        }
        *self.at_work.lock().unwrap() += 1;
        let cut = tokio_util::sync::CancellationToken::new();
        *self.cut.lock().unwrap() = Some(cut.clone());
        order.flowing.notify_one();
        let result = tokio::select! {
            () = order.stop.cancelled() => Ok(()),
            () = cut.cancelled() => {
                if self.media_have_ended.load(Relaxed) { Ok(()) } else { Err(lost()) }
            }
        };
        *self.at_work.lock().unwrap() -= 1;
        result
    }
}

pub(super) fn lost() -> ProviderError {
    ProviderError::Contribution(broadcast::Failure::new(
        broadcast::Reason::ClosedByPeer,
        "the connection was closed",
    ))
}

pub(super) struct Stage {
    pub(super) api: Arc<Scripted>,
    pub(super) courier: Arc<Courier>,
    pub(super) store: Arc<MemoryHandles>,
    pub(super) hosted: Arc<Hosted>,
    pub(super) fanout: Fanout,
}

impl Stage {
    /// Time stands still but for what is waited for.
    pub(super) fn new(hot: Hot) -> Self {
        tokio::time::pause();
        let ingest = Endpoint::parse("rtmp://ingest.example/live", Some("canary-ingest")).unwrap();
        let api = Arc::new(Scripted::new(hot, ingest));
        let courier = Arc::new(Courier::default());
        let store = Arc::new(MemoryHandles::default());
        let parts = HostedParts {
            api: Arc::clone(&api) as _,
            contribute: Arc::clone(&courier) as _,
            owner: Owner::new("node1").unwrap(),
            store: Arc::clone(&store) as _,
            observer: Arc::new(Unobserved),
        };
        Self {
            api,
            courier,
            store,
            hosted: Arc::new(Hosted::new(parts)),
            fanout: Fanout::new(Duration::from_secs(10)),
        }
    }

    pub(super) fn order(&self, broadcast: &str, destination: &str) -> Ordered {
        let (curtain, inlet) = watch::channel(None);
        let url = format!("rtmp://{destination}.example/app");
        let black_box = Arc::new(BlackBox::default());
        let order = DestinationOrder {
            broadcast: BroadcastId::new(broadcast).unwrap(),
            destination: DestinationId::new(destination).unwrap(),
            line: LineName::Primary,
            endpoint: Endpoint::parse(&url, Some(&format!("canary-{destination}"))).unwrap(),
            addresses: Vec::new(),
            show: Show {
                media: self.fanout.subscriber(),
                opus: pipelines::path::OpusSubscriber::default(),
                keyframe_wanted: Arc::default(),
                permit: pipelines::Permit::unlimited(),
            },
            rendition: None,
            media: self.fanout.subscriber(),
            hints: MediaHints::default(),
            counters: Arc::default(),
            after_cut: AfterCut::default(),
            place: Arc::default(),
            curtain: inlet,
            black_box: Arc::clone(&black_box),
        };
        Ordered {
            order,
            curtain,
            black_box,
        }
    }

    pub(super) async fn open(&self, destination: &str) -> OpenDestination {
        use crate::EgressProvider as _;
        let ordered = self.order("show", destination);
        self.hosted.open(ordered.order).await.unwrap()
    }

    /// Opens destinations and waits until they are live.
    pub(super) async fn live(&self, destinations: &[&str]) -> Vec<OpenDestination> {
        let mut open = Vec::new();
        for destination in destinations {
            open.push(self.open(destination).await);
        }
        for one in &mut open {
            assert_eq!(next(one).await, DestinationEvent::Connecting);
            assert_eq!(next(one).await, DestinationEvent::Live);
        }
        open
    }

    /// Whom the provider sends to.
    pub(super) fn sends(&self) -> Vec<String> {
        let memory = self.api.memory();
        let rooms = memory.rooms.values();
        rooms.flat_map(|room| room.sends.keys().cloned()).collect()
    }

    pub(super) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let reached = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap();
    }
}

/// An order, and what its broadcast keeps of it.
pub(super) struct Ordered {
    pub(super) order: DestinationOrder,
    pub(super) curtain: watch::Sender<Option<Arc<Curtain>>>,
    pub(super) black_box: Arc<BlackBox>,
}

pub(super) async fn next(open: &mut OpenDestination) -> DestinationEvent {
    timeout(PATIENCE, open.next_event()).await.unwrap().unwrap()
}

/// Why a destination was lost, if it was.
pub(super) fn reason(event: &DestinationEvent) -> Option<Reason> {
    match event {
        DestinationEvent::Lost(failure) => Some(failure.reason),
        DestinationEvent::Connecting | DestinationEvent::Live | DestinationEvent::Closed => None,
    }
}
