//! Contribution by RTMP(S): what our own destinations get, once, to the provider.

use std::sync::Arc;

use async_trait::async_trait;
use broadcast::{AfterCut, Endpoint, Failure, Reason};
use pipelines::rtmp::{self, Limits, Place, Programme, Target, Trust};
use tokio::{net::lookup_host, sync::watch, time::timeout};

use super::{Contribute, Contribution, ContributionOrder, ProviderError};

/// Brings shows to providers that take RTMP(S).
#[derive(Debug, Clone)]
pub struct Push {
    trust: Trust,
    limits: Limits,
}

impl Push {
    /// Trusts `trust` and keeps `limits`.
    pub const fn new(trust: Trust, limits: Limits) -> Self {
        Self { trust, limits }
    }

    async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<std::net::SocketAddr>, Failure> {
        let failed = |words: String| Failure::new(Reason::DnsFailed, words);
        let looked_up = lookup_host((endpoint.host(), endpoint.port()));
        match timeout(self.limits.connect, looked_up).await {
            Ok(Ok(addresses)) => Ok(addresses.collect()),
            Ok(Err(error)) => Err(failed(format!("the name has no address ({error})"))),
            Err(_) => Err(failed("the name was not resolved in time".to_owned())),
        }
    }
}

#[async_trait]
impl Contribute for Push {
    async fn carry(&self, order: ContributionOrder) -> Result<(), ProviderError> {
        let Contribution::Push(endpoint) = order.contribution else {
            return Err(ProviderError::Protocol(
                "a contribution that is not RTMP".to_owned(),
            ));
        };
        let publishing = async {
            let addresses = self.resolve(&endpoint).await?;
            let target = Target {
                endpoint,
                addresses,
                trust: self.trust.clone(),
                limits: self.limits,
            };
            let programme = Programme {
                media: order.show.media,
                hints: order.hints,
                counters: order.counters,
                // What the provider missed is older than what its destinations still wait for.
                after_cut: AfterCut::Jump,
                place: Arc::new(Place::default()),
                curtain: watch::channel(None).1,
                black_box: order.black_box,
                permit: order.show.permit,
            };
            let on_live = || order.flowing.notify_one();
            rtmp::publish(&target, &programme, on_live, order.stop.cancelled()).await
        };
        publishing.await.map_err(ProviderError::Contribution)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use broadcast::BroadcastId;
    use media::Fanout;
    use pipelines::{
        Permit,
        path::OpusSubscriber,
        rtmp::{
            MediaHints,
            receiver::{Behaviour, Behaviours, Ending, Receiver},
        },
    };
    use tokio::time::timeout;

    use super::*;
    use crate::Show;

    const PATIENCE: Duration = Duration::from_mins(1);

    async fn receiver() -> Receiver {
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        Receiver::bind(address).await.unwrap()
    }

    fn order(url: &str, fanout: &Fanout) -> ContributionOrder {
        ContributionOrder {
            broadcast: BroadcastId::new("show").unwrap(),
            contribution: Contribution::Push(Endpoint::parse(url, Some("canary")).unwrap()),
            show: Show {
                media: fanout.subscriber(),
                opus: OpusSubscriber::default(),
                keyframe_wanted: Arc::default(),
                permit: Permit::unlimited(),
            },
            hints: MediaHints::default(),
            counters: Arc::default(),
            black_box: Arc::default(),
            flowing: Arc::default(),
            stop: tokio_util::sync::CancellationToken::new(),
        }
    }

    fn push() -> Push {
        Push::new(Trust::with_roots([]), Limits::default())
    }

    #[tokio::test]
    async fn it_says_when_the_show_flows_and_goodbye_when_it_is_asked_to() {
        let (receiver, fanout) = (receiver().await, Fanout::new(PATIENCE));
        let port = receiver.local_address().port();
        let order = order(&format!("rtmp://localhost:{port}/live"), &fanout);
        let (flowing, stop) = (Arc::clone(&order.flowing), order.stop.clone());
        let stopping = async {
            flowing.notified().await;
            stop.cancel();
        };

        let push = push();
        let carried = async { tokio::join!(push.carry(order), stopping) };
        let (carried, ()) = timeout(PATIENCE, carried).await.unwrap();

        assert_eq!(carried, Ok(()));
        let stream = receiver.streams().remove(0);
        assert_eq!(stream.stream_key.expose(), "canary");
        assert_eq!(stream.ending, Some(Ending::Deleted));
    }

    #[tokio::test]
    async fn the_end_of_the_media_is_no_failure() {
        let (receiver, fanout) = (receiver().await, Fanout::new(PATIENCE));
        let address = receiver.local_address();
        let order = order(&format!("rtmp://{address}/live"), &fanout);
        drop(fanout);

        let carried = timeout(PATIENCE, push().carry(order)).await.unwrap();

        assert_eq!(carried, Ok(()));
    }

    #[tokio::test]
    async fn a_refusal_is_told_as_one_of_the_way_and_without_the_key() {
        let (receiver, fanout) = (receiver().await, Fanout::new(PATIENCE));
        let default = Behaviour::RefusePublish;
        receiver.set_behaviours(Behaviours {
            default,
            ..Behaviours::default()
        });
        let address = receiver.local_address();
        let order = order(&format!("rtmp://{address}/live"), &fanout);

        let refused = timeout(PATIENCE, push().carry(order)).await.unwrap();

        let Err(ProviderError::Contribution(failure)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(failure.reason, Reason::KeyRefused);
        assert!(!format!("{failure:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_told() {
        let fanout = Fanout::new(PATIENCE);
        let order = order("rtmp://nowhere.invalid/live", &fanout);

        let failed = timeout(PATIENCE, push().carry(order)).await.unwrap();

        let Err(ProviderError::Contribution(failure)) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(failure.reason, Reason::DnsFailed);
    }
}
