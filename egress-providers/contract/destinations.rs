//! What a broadcast may expect of every provider, our own and hosted ones: the same of all.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use broadcast::{AfterCut, BroadcastId, DestinationId, Endpoint, LineName};
use media::Fanout;
use pipelines::rtmp::{Limits, MediaHints, Trust, receiver::Receiver};
use tokio::{sync::watch, time::timeout};

use super::{bench::Bench, stage::Courier};
use crate::{
    DestinationEvent, DestinationOrder, EgressProvider, LetGo, Own, Show,
    hosted::{Hosted, HostedParts, MemoryHandles, Owner, Unobserved},
};

const PATIENCE: Duration = Duration::from_mins(1);

/// A provider, and what is there of it.
struct Subject {
    provider: Arc<dyn EgressProvider>,
    hosted: Option<(Arc<Hosted>, Bench)>,
    receiver: Receiver,
    fanout: Fanout,
    /// When a key is let go of after a destination was closed in order.
    let_go: LetGo,
}

impl Subject {
    async fn own() -> Self {
        let own = Own::new(Trust::with_roots([]), Limits::default());
        Self::with(Arc::new(own), None).await
    }

    async fn hosted(bench: Bench) -> Self {
        let api = bench.remote.client();
        let let_go = LetGo::Now.at_least(api.lets_go_within());
        let hosted = Arc::new(Hosted::new(HostedParts {
            api,
            contribute: Arc::new(Courier::default()),
            owner: Owner::new("node1").unwrap(),
            store: Arc::new(MemoryHandles::default()),
            observer: Arc::new(Unobserved),
        }));
        Self {
            let_go,
            ..Self::with(Arc::clone(&hosted) as _, Some((hosted, bench))).await
        }
    }

    async fn with(provider: Arc<dyn EgressProvider>, hosted: Option<(Arc<Hosted>, Bench)>) -> Self {
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        Self {
            provider,
            hosted,
            receiver: Receiver::bind(address).await.unwrap(),
            fanout: Fanout::new(PATIENCE),
            let_go: LetGo::Now,
        }
    }

    fn order(&self, destination: &str) -> DestinationOrder {
        // A hosted provider resolves names itself, and refuses those of this machine.
        let (url, address) = (
            format!("rtmp://{destination}.example/live"),
            self.receiver.local_address(),
        );
        DestinationOrder {
            broadcast: BroadcastId::new("show").unwrap(),
            destination: DestinationId::new(destination).unwrap(),
            line: LineName::Primary,
            endpoint: Endpoint::parse(&url, Some(destination)).unwrap(),
            addresses: vec![address],
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
            curtain: watch::channel(None).1,
            black_box: Arc::default(),
        }
    }

    /// Waits for something while the provider's webhooks are handed over, each once.
    async fn while_told<T>(&self, waited_for: impl Future<Output = T>) -> T {
        let telling = async {
            let Some((hosted, bench)) = &self.hosted else {
                return std::future::pending().await;
            };
            let mut told = 0;
            loop {
                for delivery in bench.remote.webhooks().into_iter().skip(told) {
                    told += 1;
                    let headers = delivery.headers.into_iter().collect();
                    let now = std::time::SystemTime::now();
                    if let Ok(event) = hosted.webhook(&headers, &delivery.body, now) {
                        hosted.wake(&event);
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            reached = timeout(PATIENCE, waited_for) => reached.unwrap(),
            () = telling => unreachable!("it tells for ever"),
        }
    }

    async fn is_left(&self) -> bool {
        match &self.hosted {
            Some((_, bench)) => !bench.remote.left().await.is_empty(),
            None => self
                .receiver
                .streams()
                .iter()
                .any(|stream| stream.ending.is_none()),
        }
    }

    async fn until_nothing_is_left(&self) {
        let gone = async {
            while self.is_left().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap();
    }
}

async fn two_destinations_go_live_and_close(subject: Subject) {
    let mut open = Vec::new();
    for destination in ["a", "b"] {
        let order = subject.order(destination);
        open.push(subject.provider.open(order).await.unwrap());
    }
    for one in &mut open {
        let told = subject.while_told(async {
            [one.next_event().await, one.next_event().await].map(Option::unwrap)
        });
        let begin = [DestinationEvent::Connecting, DestinationEvent::Live];
        assert_eq!(told.await, begin);
    }
    assert!(subject.is_left().await, "nothing is there to be closed");

    for one in &mut open {
        one.close();
    }
    for one in &mut open {
        let told = subject.while_told(one.next_event()).await;
        assert_eq!(told, Some(DestinationEvent::Closed));
        assert_eq!(one.next_event().await, None);
        assert_eq!(one.let_go(), subject.let_go);
    }

    subject.until_nothing_is_left().await;
}

async fn what_nobody_holds_is_closed(subject: Subject) {
    let mut open = subject.provider.open(subject.order("a")).await.unwrap();
    subject
        .while_told(async { while open.next_event().await != Some(DestinationEvent::Live) {} })
        .await;

    drop(open);

    subject.until_nothing_is_left().await;
}

async fn shutting_down_ends_everything(subject: Subject) {
    let mut open = subject.provider.open(subject.order("a")).await.unwrap();
    subject
        .while_told(async { while open.next_event().await != Some(DestinationEvent::Live) {} })
        .await;

    timeout(PATIENCE, subject.provider.shutdown())
        .await
        .unwrap();

    assert_eq!(open.next_event().await, Some(DestinationEvent::Closed));
    subject.until_nothing_is_left().await;
}

macro_rules! every_provider {
    ($($provider:ident),*) => {
        $(
            mod $provider {
                use super::Subject;

                #[tokio::test]
                async fn two_destinations_go_live_and_close() {
                    super::two_destinations_go_live_and_close(Subject::$provider().await).await;
                }

                #[tokio::test]
                async fn what_nobody_holds_is_closed() {
                    super::what_nobody_holds_is_closed(Subject::$provider().await).await;
                }

                #[tokio::test]
                async fn shutting_down_ends_everything() {
                    super::shutting_down_ends_everything(Subject::$provider().await).await;
                }
            }
        )*
    };
}

macro_rules! hosted {
    ($($provider:ident),*) => {
        impl Subject {
            $(
                async fn $provider() -> Self {
                    Self::hosted(Bench::$provider().await).await
                }
            )*
        }

        every_provider!(own, $($provider),*);
    };
}

hosted!(
    livekit, cloudflare, mux, daily, media_mtx, oven, livepeer, api_video
);
