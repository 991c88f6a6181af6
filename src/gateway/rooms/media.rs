//! What participants do with media: the room is asked, a worker does it, and the room notes it.

use ortc::{
    ConsumerSsrcs, DtlsParameters, IceParameters, ProducerMapping, RtpParameters, can_consume,
    consumable, consumer,
};
use peers::router::{ConsumerOrder, ProducerOrder};
use rooms::{
    ConsumeOrder, ConsumerId, ConsumerStatistics, ConsumerView, Direction, Layers, NewConsumer,
    NewProducer, Place, ProduceOrder, ProducerId, ProducerView, RoomError, TransportId,
    TransportStates, TransportView,
};
use uuid::Uuid;

use super::{task::RoomTask, words::of_ortc};
use crate::clock::now;

impl RoomTask {
    pub(super) async fn create_transport(
        &mut self,
        place: Place,
        direction: Direction,
    ) -> Result<TransportView, RoomError> {
        self.room.check_transport(place, direction)?;
        let open = Self::within(self.peers.open_transport(self.router)).await?;
        let view = TransportView {
            id: TransportId::new(open.session.as_str()),
            ice_parameters: open.ice,
            ice_candidates: open.candidates,
            dtls_parameters: open.dtls,
        };
        self.keep_transport(&view.id, open.session);
        self.events.add(view.id.clone(), open.events);
        self.room.add_transport(place, direction, view.clone())?;
        Ok(view)
    }

    pub(super) async fn connect_transport(
        &mut self,
        place: Place,
        transport: &TransportId,
        dtls: DtlsParameters,
    ) -> Result<(), RoomError> {
        self.room.use_transport(place, transport)?;
        let session = self.session(transport)?;
        Self::within(self.peers.connect_transport(&session, dtls)).await
    }

    pub(super) async fn restart_ice(
        &mut self,
        place: Place,
        transport: &TransportId,
    ) -> Result<IceParameters, RoomError> {
        self.room.use_transport(place, transport)?;
        let session = self.session(transport)?;
        let ice = Self::within(self.peers.restart_transport(&session)).await?;
        self.room.set_ice_parameters(transport, ice.clone());
        Ok(ice)
    }

    pub(super) fn transport_states(
        &self,
        place: Place,
        transport: &TransportId,
    ) -> Result<TransportStates, RoomError> {
        self.room.transport_states(place, transport)
    }

    pub(super) async fn produce(
        &mut self,
        place: Place,
        mut order: ProduceOrder,
    ) -> Result<ProducerView, RoomError> {
        let transport = self.room.plan_produce(place, &order)?;
        let router = self.room.capabilities();
        let mapping = ProducerMapping::new(&order.rtp, router).map_err(|error| of_ortc(&error))?;
        if order.rtp.kind() != Some(order.kind) {
            let why = "the kind is not that of the codecs".to_owned();
            return Err(RoomError::Malformed(why));
        }
        let consumable = consumable(order.kind, &order.rtp, router, &mapping);
        let session = self.session(&transport)?;
        let id = ProducerId::new(Uuid::new_v4().to_string());
        let wanted = ProducerOrder {
            id: id.as_str().to_owned(),
            kind: order.kind,
            rtp: std::mem::take(&mut order.rtp),
            paused: order.paused,
        };
        Self::within(self.peers.produce(&session, wanted)).await?;
        let new = NewProducer {
            id,
            transport,
            consumable,
        };
        self.room.add_producer(place, order, new)
    }

    pub(super) async fn pause_producer(
        &mut self,
        place: Place,
        producer: &ProducerId,
        paused: bool,
    ) -> Result<(), RoomError> {
        let (_, transport) = self.room.own_producer(place, producer)?;
        let session = self.session(&transport)?;
        let pausing = self
            .peers
            .pause_producer(&session, producer.as_str(), paused);
        Self::within(pausing).await?;
        self.room.set_producer_paused(producer, paused, now());
        Ok(())
    }

    pub(super) async fn consume(
        &mut self,
        place: Place,
        order: ConsumeOrder,
    ) -> Result<ConsumerView, RoomError> {
        let sent = self.room.consumable(&order.producer)?;
        if !can_consume(sent, &order.capabilities) {
            return Err(RoomError::CannotConsume);
        }
        let plan = self.room.plan_consume(place, &order)?;
        let ssrcs = ConsumerSsrcs {
            ssrc: plan.ssrc,
            rtx: plan.rtx_ssrc,
        };
        let rtp = consumer(&plan.consumable, &order.capabilities, ssrcs, &plan.mid)
            .map_err(|error| of_ortc(&error))?;
        let session = self.session(&plan.transport)?;
        let id = ConsumerId::new(Uuid::new_v4().to_string());
        let wanted = ConsumerOrder {
            id: id.as_str().to_owned(),
            producer: order.producer.as_str().to_owned(),
            rtp: rtp.clone(),
            paused: order.paused,
        };
        Self::within(self.peers.consume(&session, wanted)).await?;
        let new = NewConsumer {
            id: id.clone(),
            producer: order.producer,
            transport: plan.transport,
            rtp,
            paused: order.paused,
        };
        let facts = self.room.add_consumer(place, new)?;
        Ok(ConsumerView {
            id,
            producer: facts.producer.id,
            producer_participant: facts.producer.participant,
            kind: facts.producer.kind,
            rtp: facts.rtp,
            paused: facts.paused,
            producer_paused: facts.producer.paused,
            app_data: facts.producer.app_data,
            transport: facts.transport,
        })
    }

    pub(super) async fn pause_consumer(
        &mut self,
        place: Place,
        consumer: &ConsumerId,
        paused: bool,
    ) -> Result<(), RoomError> {
        let facts = self.room.own_consumer(place, consumer)?;
        let session = self.session(&facts.transport.id)?;
        let pausing = self
            .peers
            .pause_consumer(&session, consumer.as_str(), paused);
        Self::within(pausing).await?;
        self.room.set_consumer_paused(consumer, paused);
        Ok(())
    }

    pub(super) async fn prefer_layers(
        &mut self,
        place: Place,
        consumer: &ConsumerId,
        layers: Layers,
    ) -> Result<(), RoomError> {
        let facts = self.room.own_consumer(place, consumer)?;
        let session = self.session(&facts.transport.id)?;
        let Layers { spatial, temporal } = layers;
        let preferring = self
            .peers
            .prefer_layers(&session, consumer.as_str(), spatial, temporal);
        Self::within(preferring).await
    }

    pub(super) async fn consumer_statistics(
        &mut self,
        place: Place,
        id: &ConsumerId,
    ) -> Result<ConsumerStatistics, RoomError> {
        let facts = self.room.own_consumer(place, id)?;
        let session = self.session(&facts.transport.id)?;
        let counting = self.peers.consumer_counters(&session, id.as_str());
        let counted = Self::within(counting).await?;
        let producer_session = self.session(&facts.producer_transport)?;
        let counting = self
            .peers
            .producer_counters(&producer_session, facts.producer.id.as_str());
        let received = Self::within(counting).await?;
        Ok(ConsumerStatistics {
            consumer: id.clone(),
            producer: facts.producer.id,
            transport: facts.transport.id,
            states: facts.states,
            kind: facts.producer.kind,
            paused: facts.paused,
            ssrc: ssrc_of(&facts.rtp),
            mime_type: mime_type_of(&facts.rtp),
            packets_sent: counted.packets,
            bytes_sent: counted.bytes,
            bits_per_second: counted.bits_per_second,
            packets_repeated: counted.repeated,
            packets_lost: counted.lost,
            keyframe_requests: counted.keyframe_requests,
            round_trip: counted.round_trip,
            spatial_layer: counted.spatial_layer,
            producer_bytes: received.bytes,
        })
    }
}

/// A consumer has one encoding, which we have made.
fn ssrc_of(rtp: &RtpParameters) -> u32 {
    let encoding = rtp.encodings.first();
    encoding
        .and_then(|encoding| encoding.ssrc)
        .unwrap_or_default()
}

fn mime_type_of(rtp: &RtpParameters) -> String {
    let codec = rtp.codecs.first();
    codec
        .map(|codec| codec.mime_type.clone())
        .unwrap_or_default()
}
