//! A participant's hold on its room.

use async_trait::async_trait;
use broadcast::BroadcastId;
use ortc::{DtlsParameters, IceParameters};
use rooms::{
    ConsumeOrder, ConsumerId, ConsumerStatistics, ConsumerView, Direction, EgressOrder, EgressView,
    Layers, ParticipantId, Place, ProduceOrder, ProducerId, ProducerView, RoomError, RoomView,
    TransportId, TransportStates, TransportView,
};
use serde_json::Value;
use signalling::rooms::Member;
use tokio_util::task::TaskTracker;

use super::{handle::RoomHandle, pass::Pass, registry::Outside};
use crate::clock::now;
use std::sync::Arc;

/// A place in a room, for the dialect that holds it.
pub(super) struct Seat {
    pub(super) room: RoomHandle,
    pub(super) place: Place,
    pub(super) participant: ParticipantId,
    pub(super) pass: Pass,
    pub(super) outside: Arc<Outside>,
    pub(super) tasks: TaskTracker,
}

/// Has the room's task do something with the place; a room that has ended has nobody in it.
macro_rules! ask {
    ($seat:expr, $task:ident, $place:ident, $job:expr) => {{
        let $place = $seat.place;
        let asked = $seat
            .room
            .ask(move |$task| Box::pin(async move { $job }))
            .await;
        asked.map_err(|error| match error {
            RoomError::NoSuchRoom => RoomError::NotJoined,
            error => error,
        })
    }};
}

#[async_trait]
impl Member for Seat {
    fn participant(&self) -> &ParticipantId {
        &self.participant
    }

    fn room(&self) -> &BroadcastId {
        &self.room.id
    }

    async fn view(&self) -> Result<RoomView, RoomError> {
        ask!(self, task, place, {
            task.room.check_place(place)?;
            Ok(task.room.view())
        })
    }

    async fn create_transport(&self, direction: Direction) -> Result<TransportView, RoomError> {
        ask!(
            self,
            task,
            place,
            task.create_transport(place, direction).await
        )
    }

    async fn connect_transport(
        &self,
        transport: &TransportId,
        dtls: DtlsParameters,
    ) -> Result<(), RoomError> {
        let transport = transport.clone();
        ask!(self, task, place, {
            task.connect_transport(place, &transport, dtls).await
        })
    }

    async fn restart_ice(&self, transport: &TransportId) -> Result<IceParameters, RoomError> {
        let transport = transport.clone();
        ask!(self, task, place, task.restart_ice(place, &transport).await)
    }

    async fn transport_states(
        &self,
        transport: &TransportId,
    ) -> Result<TransportStates, RoomError> {
        let transport = transport.clone();
        ask!(self, task, place, task.transport_states(place, &transport))
    }

    async fn close_transport(&self, transport: &TransportId) -> Result<(), RoomError> {
        let transport = transport.clone();
        ask!(self, task, place, {
            task.room.close_transport(place, &transport, now())
        })
    }

    async fn produce(&self, order: ProduceOrder) -> Result<ProducerView, RoomError> {
        self.pass.check_produce()?;
        ask!(self, task, place, task.produce(place, order).await)
    }

    async fn pause_producer(&self, producer: &ProducerId, paused: bool) -> Result<(), RoomError> {
        let producer = producer.clone();
        ask!(self, task, place, {
            task.pause_producer(place, &producer, paused).await
        })
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<(), RoomError> {
        let producer = producer.clone();
        ask!(self, task, place, {
            task.room.close_producer(place, &producer, now())
        })
    }

    async fn consume(&self, order: ConsumeOrder) -> Result<ConsumerView, RoomError> {
        ask!(self, task, place, task.consume(place, order).await)
    }

    async fn pause_consumer(&self, consumer: &ConsumerId, paused: bool) -> Result<(), RoomError> {
        let consumer = consumer.clone();
        ask!(self, task, place, {
            task.pause_consumer(place, &consumer, paused).await
        })
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<(), RoomError> {
        let consumer = consumer.clone();
        ask!(
            self,
            task,
            place,
            task.room.close_consumer(place, &consumer)
        )
    }

    async fn prefer_layers(&self, consumer: &ConsumerId, layers: Layers) -> Result<(), RoomError> {
        let consumer = consumer.clone();
        ask!(self, task, place, {
            task.prefer_layers(place, &consumer, layers).await
        })
    }

    async fn consumer_statistics(
        &self,
        consumer: &ConsumerId,
    ) -> Result<ConsumerStatistics, RoomError> {
        let consumer = consumer.clone();
        ask!(self, task, place, {
            task.consumer_statistics(place, &consumer).await
        })
    }

    async fn report_audio_level(&self, level: f64) -> Result<(), RoomError> {
        ask!(self, task, place, {
            task.room.report_audio_level(place, level, now())
        })
    }

    async fn tell(&self, topic: &'static str, content: Value) -> Result<(), RoomError> {
        ask!(self, task, place, task.room.tell(place, topic, content))
    }

    async fn start_egress(&self, order: EgressOrder) -> Result<EgressView, RoomError> {
        self.pass.check_direct(&self.room.id)?;
        let order = self.outside.check_egress(order)?;
        let studio = self.pass.clone();
        let starting = ask!(self, task, place, task.plan_egress(place, order, &studio))?;
        starting.await
    }

    async fn stop_egress(&self) -> Result<(), RoomError> {
        self.pass.check_direct(&self.room.id)?;
        let stopping = ask!(self, task, place, task.plan_stop(place))?;
        stopping.await
    }

    async fn leave(&self) {
        // Whoever is not in the room has left it.
        let _ = ask!(self, task, place, {
            task.room.leave(place, now());
            Ok(())
        });
    }

    fn detach(&self) {
        let place = self.place;
        let is_noted = self.room.hint(move |task| {
            Box::pin(async move {
                task.room.detach(place, now());
            })
        });
        if !is_noted && self.room.is_alive() {
            let room = self.room.clone();
            self.tasks.spawn(async move {
                let detaching = room.ask(move |task| {
                    Box::pin(async move {
                        task.room.detach(place, now());
                        Ok(())
                    })
                });
                // A room that has ended, or is broken, has nobody in it.
                let _ = detaching.await;
            });
        }
    }
}

impl Drop for Seat {
    /// Whoever lets go of a place without leaving has lost their connection.
    fn drop(&mut self) {
        self.detach();
    }
}
