//! A room's way to platforms: one lane beside the room's task, so that a platform that takes its time holds nobody up.

use std::{sync::Arc, time::Duration};

use broadcast::{BroadcastId, Method};
use futures_util::future::BoxFuture;
use ortc::MediaKind;
use rooms::{EgressOrder, EgressView, Place, ProducerId, RoomDestination, RoomError};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{codec::video_codec, lane::Lane, pass::Pass, task::RoomTask};
use crate::broadcasts::{Broadcasts, CompositeOrder, StudioIdentity};

/// How many orders may wait for a lane; they come from people who press a button.
const ORDERS_LIMIT: usize = 8;

/// How much news may wait for the room's task, which reads at once.
const NEWS_LIMIT: usize = 64;

/// How long a start or a stop may take. Clients give up after 10 s.
const EGRESS_TIMEOUT: Duration = Duration::from_secs(8);

/// What becomes of a room's programme.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EgressNews {
    /// It goes out.
    Began,
    /// A destination works, by its label.
    Live(String),
    /// It goes out no more, for the reason in words.
    Ended(String),
}

/// What a lane is to do.
pub(super) enum LaneOrder {
    Start(Box<Wish>, oneshot::Sender<Result<EgressView, RoomError>>),
    Stop(oneshot::Sender<()>),
}

/// A programme as it is asked for, with producers that are there.
pub(super) struct Wish {
    pub(super) destinations: Vec<RoomDestination>,
    pub(super) composite: CompositeOrder,
}

/// The room's end of its lane.
pub(super) struct EgressLane {
    orders: Option<mpsc::Sender<LaneOrder>>,
    news: mpsc::Receiver<EgressNews>,
}

impl EgressLane {
    /// A lane, and what runs it until the room lets go of it.
    pub(super) fn new(
        room: Arc<BroadcastId>,
        broadcasts: Broadcasts,
        method: Method,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (orders, order_queue) = mpsc::channel(ORDERS_LIMIT);
        let (news, news_queue) = mpsc::channel(NEWS_LIMIT);
        let lane = Lane::new(room, broadcasts, method, order_queue, news);
        let near = Self {
            orders: Some(orders),
            news: news_queue,
        };
        (near, lane.run())
    }

    /// The next news; never comes once the lane has ended. Cancel-safe.
    pub(super) async fn next_news(&mut self) -> EgressNews {
        match self.news.recv().await {
            Some(news) => news,
            None => std::future::pending().await,
        }
    }

    /// Ends the programme, if it goes out, without waiting for that.
    pub(super) fn close(&mut self) {
        self.orders = None;
        self.news.close();
    }

    /// Gives an order; `LimitReached` when too many wait.
    fn order(&self, order: LaneOrder) -> Result<(), RoomError> {
        let Some(orders) = &self.orders else {
            return Err(RoomError::NoSuchRoom);
        };
        orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                RoomError::LimitReached(format!("{ORDERS_LIMIT} waiting orders of a programme"))
            }
            mpsc::error::TrySendError::Closed(_) => RoomError::NoSuchRoom,
        })
    }
}

impl RoomTask {
    /// Checks what the room knows, and gives the order. The answer is waited for elsewhere.
    pub(super) fn plan_egress(
        &mut self,
        place: Place,
        order: EgressOrder,
        pass: &Pass,
    ) -> Result<BoxFuture<'static, Result<EgressView, RoomError>>, RoomError> {
        self.room.check_place(place)?;
        if order.video.is_none() && order.audio.is_none() {
            return Err(RoomError::Egress(
                "neither a composed picture nor a mixed sound is named".to_owned(),
            ));
        }
        let video = match &order.video {
            Some(producer) => {
                let id = self.composite(producer, MediaKind::Video)?;
                let codec = video_codec(self.room.consumable(producer)?);
                let codec = codec.ok_or_else(|| {
                    RoomError::Unsupported("the codec of the composed picture".to_owned())
                })?;
                Some((id, codec))
            }
            None => None,
        };
        let audio = match &order.audio {
            Some(producer) => Some(self.composite(producer, MediaKind::Audio)?),
            None => None,
        };
        let wish = Wish {
            destinations: order.destinations,
            composite: CompositeOrder {
                router: self.router,
                video,
                audio,
                studio: StudioIdentity {
                    subject: pass.subject().map(str::to_owned),
                    operator: pass.may_take_over(),
                    resume_token: None,
                },
            },
        };
        let (reply, answer) = oneshot::channel();
        self.egress.order(LaneOrder::Start(Box::new(wish), reply))?;
        Ok(Box::pin(async move {
            match timeout(EGRESS_TIMEOUT, answer).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(RoomError::NoSuchRoom),
                Err(_) => Err(RoomError::Timeout),
            }
        }))
    }

    /// Has the programme end. That goes on also when it takes longer than anybody waits.
    pub(super) fn plan_stop(
        &mut self,
        place: Place,
    ) -> Result<BoxFuture<'static, Result<(), RoomError>>, RoomError> {
        self.room.check_place(place)?;
        let (reply, answer) = oneshot::channel();
        self.egress.order(LaneOrder::Stop(reply))?;
        Ok(Box::pin(async move {
            let _ = timeout(EGRESS_TIMEOUT, answer).await;
            Ok(())
        }))
    }

    fn composite(&self, producer: &ProducerId, kind: MediaKind) -> Result<String, RoomError> {
        let (view, _) = self.room.producer(producer).map_err(|_| {
            RoomError::Egress("what is to go out is not sent in this room".to_owned())
        })?;
        if view.kind != kind {
            return Err(RoomError::Egress(
                "the picture must be a picture and the sound a sound".to_owned(),
            ));
        }
        Ok(producer.as_str().to_owned())
    }
}
