//! Our own RTMP publisher as a provider: one task per destination.

use async_trait::async_trait;
use broadcast::Failure;
use pipelines::rtmp::{self, Limits, Programme, Target, Trust};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    DestinationEvent, DestinationOrder, EgressProvider, LetGo, OpenDestination,
    open_destination::Attempt,
};

/// Publishes from this process. Dropping it closes its destinations without waiting.
#[derive(Debug)]
pub struct Own {
    trust: Trust,
    limits: Limits,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Own {
    /// A provider that trusts `trust` and keeps `limits`.
    pub fn new(trust: Trust, limits: Limits) -> Self {
        Self {
            trust,
            limits,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// How many destinations have not ended.
    pub fn open_destinations(&self) -> usize {
        self.tasks.len()
    }
}

#[async_trait]
impl EgressProvider for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    async fn open(&self, order: DestinationOrder) -> Result<OpenDestination, Failure> {
        let (open, attempt) =
            OpenDestination::new(order.counters.clone(), self.stop.child_token(), LetGo::Now);
        let span = tracing::info_span!(
            "destination",
            broadcast = %order.broadcast,
            destination = %order.destination,
        );
        let target = Target {
            endpoint: order.endpoint,
            addresses: order.addresses,
            trust: self.trust.clone(),
            limits: self.limits,
        };
        let programme = Programme {
            media: order.media,
            hints: order.hints,
            counters: order.counters,
            after_cut: order.after_cut,
            place: order.place,
            curtain: order.curtain,
            black_box: order.black_box,
            permit: order.show.permit,
        };
        self.tasks
            .spawn(carry(target, programme, attempt).instrument(span));
        Ok(open)
    }

    async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn carry(target: Target, programme: Programme, attempt: Attempt) {
    attempt.tell(DestinationEvent::Connecting);
    let on_live = || {
        tracing::debug!(server = %target.endpoint, "destination took the stream");
        attempt.tell(DestinationEvent::Live);
    };
    let ended = rtmp::publish(&target, &programme, on_live, attempt.stop.cancelled()).await;
    attempt.tell(match ended {
        Ok(()) => DestinationEvent::Closed,
        Err(failure) => {
            tracing::debug!(error = %failure, "destination failed");
            DestinationEvent::Lost(failure)
        }
    });
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, sync::Arc, time::Duration};

    use broadcast::{AfterCut, BroadcastId, DestinationId, Endpoint, LineName, Reason};
    use bytes::Bytes;
    use media::{AccessUnit, CodecConfig, Fanout, VideoConfig};
    use pipelines::{
        Permit,
        rtmp::{
            MediaHints,
            receiver::{Behaviour, Behaviours, Ending, Receiver},
        },
    };
    use tokio::{sync::watch, time::timeout};

    use super::*;
    use crate::Show;

    const PATIENCE: Duration = Duration::from_mins(1);

    async fn receiver() -> Receiver {
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        Receiver::bind(address).await.unwrap()
    }

    fn order(receiver: &Receiver, fanout: &Fanout) -> DestinationOrder {
        let address = receiver.local_address();
        DestinationOrder {
            broadcast: BroadcastId::new("show").unwrap(),
            destination: DestinationId::new("platform").unwrap(),
            line: LineName::Primary,
            endpoint: Endpoint::parse(&format!("rtmp://{address}/live"), Some("key")).unwrap(),
            addresses: vec![address],
            show: Show {
                media: fanout.subscriber(),
                opus: pipelines::path::OpusSubscriber::default(),
                keyframe_wanted: Arc::default(),
                permit: Permit::unlimited(),
            },
            rendition: None,
            media: fanout.subscriber(),
            hints: MediaHints::default(),
            counters: Arc::default(),
            after_cut: AfterCut::default(),
            place: Arc::default(),
            curtain: watch::channel(None).1,
            black_box: Arc::default(),
        }
    }

    /// One of many pictures that together fill a connection that nobody reads.
    const PICTURE_BYTES: usize = 100_000;

    fn picture(number: u64) -> AccessUnit {
        let decoder_configuration = Bytes::from_static(&[1, 66, 0, 30, 255, 225]);
        let config = VideoConfig {
            decoder_configuration,
            width: 320,
            height: 180,
        };
        AccessUnit {
            timestamp: Duration::from_millis(number * 33),
            keyframe: true,
            config: Arc::new(CodecConfig::Avc(config)),
            data: Bytes::from(vec![7; PICTURE_BYTES]),
        }
    }

    async fn events(open: &mut OpenDestination, count: usize) -> Vec<DestinationEvent> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(timeout(PATIENCE, open.next_event()).await.unwrap().unwrap());
        }
        events
    }

    async fn ending(receiver: &Receiver) -> Option<Ending> {
        let ended = async {
            loop {
                if let Some(ending) = receiver.streams().first().and_then(|report| report.ending) {
                    return ending;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ended).await.ok()
    }

    #[tokio::test]
    async fn a_destination_connects_goes_live_and_closes() {
        let (receiver, fanout) = (receiver().await, Fanout::new(PATIENCE));
        let provider = Own::new(Trust::system(), Limits::default());

        let mut open = provider.open(order(&receiver, &fanout)).await.unwrap();
        let begin = events(&mut open, 2).await;
        open.close();
        let end = events(&mut open, 1).await;

        assert_eq!(
            begin,
            [DestinationEvent::Connecting, DestinationEvent::Live]
        );
        assert_eq!(end, [DestinationEvent::Closed]);
        assert_eq!(open.next_event().await, None);
        assert_eq!(ending(&receiver).await, Some(Ending::Deleted));
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_its_reason() {
        let (receiver, fanout) = (receiver().await, Fanout::new(PATIENCE));
        let default = Behaviour::RefusePublish;
        receiver.set_behaviours(Behaviours {
            default,
            ..Behaviours::default()
        });
        let provider = Own::new(Trust::system(), Limits::default());

        let mut open = provider.open(order(&receiver, &fanout)).await.unwrap();
        let events = events(&mut open, 2).await;

        assert!(
            matches!(&events[1], DestinationEvent::Lost(failure) if failure.reason == Reason::KeyRefused)
        );
        assert_eq!(open.next_event().await, None);
    }

    #[tokio::test]
    async fn a_destination_that_nobody_holds_closes_in_order() {
        let (receiver, fanout) = (receiver().await, Fanout::new(PATIENCE));
        let provider = Own::new(Trust::system(), Limits::default());
        let mut open = provider.open(order(&receiver, &fanout)).await.unwrap();
        events(&mut open, 2).await;

        drop(open);

        assert_eq!(ending(&receiver).await, Some(Ending::Deleted));
    }

    #[tokio::test]
    async fn shutting_down_ends_all_destinations_in_order() {
        let (receiver, fanout) = (receiver().await, Fanout::new(PATIENCE));
        let provider = Own::new(Trust::system(), Limits::default());
        let mut open = provider.open(order(&receiver, &fanout)).await.unwrap();
        events(&mut open, 2).await;

        timeout(PATIENCE, provider.shutdown()).await.unwrap();

        assert_eq!(provider.open_destinations(), 0);
        assert_eq!(events(&mut open, 1).await, [DestinationEvent::Closed]);
        assert_eq!(ending(&receiver).await, Some(Ending::Deleted));
    }

    #[tokio::test]
    async fn a_stalled_and_a_refused_destination_do_not_touch_a_good_one() {
        let (receiver, mut fanout) = (receiver().await, Fanout::new(PATIENCE));
        let by_application = [
            ("stalled".to_owned(), Behaviour::StallAfter(50_000)),
            ("refused".to_owned(), Behaviour::RefuseConnect),
        ];
        let by_application = by_application.into();
        receiver.set_behaviours(Behaviours {
            by_application,
            ..Behaviours::default()
        });
        let provider = Own::new(Trust::system(), Limits::default());
        let mut destinations = Vec::new();
        for application in ["stalled", "refused", "live"] {
            let url = format!("rtmp://{}/{application}", receiver.local_address());
            let endpoint = Endpoint::parse(&url, Some("key")).unwrap();
            let order = DestinationOrder {
                endpoint,
                ..order(&receiver, &fanout)
            };
            let mut open = provider.open(order).await.unwrap();
            let told = events(&mut open, 2).await;
            destinations.push((open, told));
        }

        for number in 0..300 {
            fanout.push(picture(number));
            tokio::task::yield_now().await;
        }
        let good = destinations[2].0.counters();
        let sent = async {
            while good.bytes_sent() < 300 * PICTURE_BYTES as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, sent).await.unwrap();

        assert_eq!((good.frames_sent(), good.frames_dropped()), (300, 0));
        assert!(destinations[0].0.counters().bytes_sent() < good.bytes_sent());
        assert!(
            matches!(&destinations[1].1[1], DestinationEvent::Lost(failure)
            if failure.reason == Reason::AppRefused)
        );
    }

    #[tokio::test]
    async fn the_end_of_the_media_closes_the_destination() {
        let (receiver, fanout) = (receiver().await, Fanout::new(PATIENCE));
        let provider = Own::new(Trust::system(), Limits::default());
        let mut open = provider.open(order(&receiver, &fanout)).await.unwrap();
        events(&mut open, 2).await;

        drop(fanout);

        assert_eq!(events(&mut open, 1).await, [DestinationEvent::Closed]);
    }
}
