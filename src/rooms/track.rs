//! The tracks of a room: who sends what, and who receives it.

use std::time::Instant;

use ortc::{MediaKind, RtpParameters};
use serde_json::Value;

use crate::{
    ConsumeOrder, ConsumerId, Direction, Effect, Layers, ParticipantId, Place, ProduceOrder,
    ProducerId, ProducerView, Room, RoomError, RoomEvent, TransportId, TransportStates,
    TransportView, canonical::canonical_name, room::check_application,
};

/// A track that somebody sends.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) number: u64,
    pub(crate) participant: ParticipantId,
    pub(crate) transport: TransportId,
    pub(crate) paused: bool,
    id: ProducerId,
    kind: MediaKind,
    is_screen: bool,
    app_data: Value,
    consumable: RtpParameters,
}

impl Producer {
    pub(crate) fn view(&self) -> ProducerView {
        ProducerView {
            id: self.id.clone(),
            participant: self.participant.clone(),
            kind: self.kind,
            is_screen: self.is_screen,
            paused: self.paused,
            is_simulcast: self.consumable.encodings.len() > 1,
            app_data: self.app_data.clone(),
        }
    }
}

/// A track that somebody receives.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) participant: ParticipantId,
    pub(crate) transport: TransportId,
    producer: ProducerId,
    rtp: RtpParameters,
    paused: bool,
}

/// A track that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct NewProducer {
    /// Its name.
    pub id: ProducerId,
    /// Where it comes.
    pub transport: TransportId,
    /// How others can get it.
    pub consumable: RtpParameters,
}

/// How a track can be received.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumePlan {
    /// On which transport.
    pub transport: TransportId,
    /// How it can be got by whoever can take it.
    pub consumable: RtpParameters,
    /// The SSRC that it is to have.
    pub ssrc: u32,
    /// The SSRC of what repeats it.
    pub rtx_ssrc: u32,
    /// The section of SDP that it is to have: no other consumer of this transport has or had it.
    pub mid: String,
}

/// Somebody receives a track.
#[derive(Debug, Clone, PartialEq)]
pub struct NewConsumer {
    /// Its name.
    pub id: ConsumerId,
    /// Of what.
    pub producer: ProducerId,
    /// Where.
    pub transport: TransportId,
    /// How.
    pub rtp: RtpParameters,
    /// Whether it begins paused.
    pub paused: bool,
}

/// What is known of a consumer.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsumerFacts {
    /// Of what.
    pub producer: ProducerView,
    /// Where the producer's media come.
    pub producer_transport: TransportId,
    /// On which transport.
    pub transport: TransportView,
    /// How far that is.
    pub states: TransportStates,
    /// How it is sent.
    pub rtp: RtpParameters,
    /// Whether it is paused by its receiver.
    pub paused: bool,
}

impl Room {
    /// Whether a track may be sent, and on which transport.
    pub fn plan_produce(
        &mut self,
        place: Place,
        order: &ProduceOrder,
    ) -> Result<TransportId, RoomError> {
        check_application("what is told of a track", &order.app_data)?;
        let participant = self.participant(place)?.id.clone();
        let transport = match &order.transport {
            Some(transport) => transport.clone(),
            None => self.choose_transport(place, Direction::Send)?,
        };
        self.use_transport(place, &transport)?;
        let count = self
            .producers
            .values()
            .filter(|producer| producer.participant == participant)
            .count();
        if count >= self.limits.producers {
            return Err(RoomError::LimitReached(format!(
                "{} sent tracks of a participant",
                self.limits.producers
            )));
        }
        Ok(transport)
    }

    /// Notes a track, which is on a worker by now, and tells the others of it.
    pub fn add_producer(
        &mut self,
        place: Place,
        order: ProduceOrder,
        new: NewProducer,
    ) -> Result<ProducerView, RoomError> {
        self.own_transport(place, &new.transport)?;
        let mut consumable = new.consumable;
        let siblings = self
            .producers
            .values()
            .filter(|producer| producer.transport == new.transport)
            .filter_map(|producer| producer.consumable.rtcp.cname.as_deref());
        let name = canonical_name(siblings, consumable.rtcp.cname.as_deref(), &new.id);
        consumable.rtcp.cname = Some(name);
        let producer = Producer {
            number: self.next_number(),
            participant: self.participant(place)?.id.clone(),
            transport: new.transport,
            paused: order.paused,
            id: new.id.clone(),
            kind: order.kind,
            is_screen: order.is_screen,
            app_data: order.app_data,
            consumable,
        };
        let view = producer.view();
        self.producers.insert(new.id, producer);
        self.tell_others(place, &RoomEvent::ProducerAdded(view.clone()));
        Ok(view)
    }

    /// Any track of the room, and the transport that it comes on.
    pub fn producer(&self, id: &ProducerId) -> Result<(ProducerView, TransportId), RoomError> {
        let producer = self.producers.get(id).ok_or(RoomError::NoSuchProducer)?;
        Ok((producer.view(), producer.transport.clone()))
    }

    /// How a track can be got by whoever can take it.
    pub fn consumable(&self, id: &ProducerId) -> Result<&RtpParameters, RoomError> {
        let producer = self.producers.get(id).ok_or(RoomError::NoSuchProducer)?;
        Ok(&producer.consumable)
    }

    /// A participant's own track, as [`producer`](Self::producer).
    pub fn own_producer(
        &self,
        place: Place,
        id: &ProducerId,
    ) -> Result<(ProducerView, TransportId), RoomError> {
        let participant = &self.participant(place)?.id;
        let (view, transport) = self.producer(id)?;
        if view.participant == *participant {
            Ok((view, transport))
        } else {
            Err(RoomError::NoSuchProducer)
        }
    }

    /// A track is paused (`true`) or goes on, as its worker knows by now. The same again is no news.
    pub fn set_producer_paused(&mut self, id: &ProducerId, paused: bool, now: Instant) {
        let Some(producer) = self.producers.get_mut(id) else {
            return;
        };
        if std::mem::replace(&mut producer.paused, paused) == paused {
            return;
        }
        let view = producer.view();
        if paused {
            self.speakers.forget_producer(id);
        }
        if let Some(place) = self.place_of(&view.participant) {
            self.tell_others(place, &RoomEvent::ProducerPaused(view.clone(), paused));
        }
        for (consumer, owner) in self.consumers_of(id) {
            let event = RoomEvent::ConsumerPaused {
                consumer,
                participant: view.participant.clone(),
                paused,
            };
            self.tell_participant(&owner, event);
        }
        self.look_who_speaks(now);
    }

    /// A participant ends their own track.
    pub fn close_producer(
        &mut self,
        place: Place,
        id: &ProducerId,
        now: Instant,
    ) -> Result<(), RoomError> {
        let (_, transport) = self.own_producer(place, id)?;
        self.end_producer(id);
        self.want(Effect::CloseProducer(transport, id.clone()));
        self.look_who_speaks(now);
        Ok(())
    }

    /// Whether a track may be received, and how. The order's capabilities are not looked at.
    pub fn plan_consume(
        &mut self,
        place: Place,
        order: &ConsumeOrder,
    ) -> Result<ConsumePlan, RoomError> {
        let participant = self.participant(place)?.id.clone();
        let consumable = self.consumable(&order.producer)?.clone();
        let transport = match &order.transport {
            Some(transport) => transport.clone(),
            None => self.choose_transport(place, Direction::Receive)?,
        };
        self.use_transport(place, &transport)?;
        let count = self
            .consumers
            .values()
            .filter(|consumer| consumer.participant == participant)
            .count();
        if count >= self.limits.consumers {
            return Err(RoomError::LimitReached(format!(
                "{} received tracks of a participant",
                self.limits.consumers
            )));
        }
        let section = self.transports.get_mut(&transport).map_or(0, |transport| {
            let section = transport.sections;
            transport.sections += 1;
            section
        });
        let (ssrc, rtx_ssrc) = self.next_ssrcs();
        Ok(ConsumePlan {
            transport,
            consumable,
            ssrc,
            rtx_ssrc,
            mid: section.to_string(),
        })
    }

    /// Notes that somebody receives a track, which is on a worker by now.
    pub fn add_consumer(
        &mut self,
        place: Place,
        new: NewConsumer,
    ) -> Result<ConsumerFacts, RoomError> {
        let participant = self.participant(place)?.id.clone();
        self.own_transport(place, &new.transport)?;
        if !self.producers.contains_key(&new.producer) {
            return Err(RoomError::NoSuchProducer);
        }
        let consumer = Consumer {
            participant,
            transport: new.transport,
            producer: new.producer,
            rtp: new.rtp,
            paused: new.paused,
        };
        self.consumers.insert(new.id.clone(), consumer);
        self.own_consumer(place, &new.id)
    }

    /// What is known of a participant's own consumer.
    pub fn own_consumer(&self, place: Place, id: &ConsumerId) -> Result<ConsumerFacts, RoomError> {
        let participant = &self.participant(place)?.id;
        let consumer = self
            .consumers
            .get(id)
            .filter(|consumer| consumer.participant == *participant)
            .ok_or(RoomError::NoSuchConsumer)?;
        let transport = self.own_transport(place, &consumer.transport)?;
        let (producer, producer_transport) = self.producer(&consumer.producer)?;
        Ok(ConsumerFacts {
            producer,
            producer_transport,
            states: self.transport_states(place, &consumer.transport)?,
            transport: transport.view.clone(),
            rtp: consumer.rtp.clone(),
            paused: consumer.paused,
        })
    }

    /// A consumer is paused by its receiver (`true`) or goes on, as its worker knows by now.
    pub fn set_consumer_paused(&mut self, id: &ConsumerId, paused: bool) {
        if let Some(consumer) = self.consumers.get_mut(id) {
            consumer.paused = paused;
        }
    }

    /// A participant receives a track no more.
    pub fn close_consumer(&mut self, place: Place, id: &ConsumerId) -> Result<(), RoomError> {
        let facts = self.own_consumer(place, id)?;
        self.consumers.remove(id);
        self.want(Effect::CloseConsumer(facts.transport.id, id.clone()));
        Ok(())
    }

    /// A consumer gets other layers now; `None`: nothing, for want of bandwidth.
    pub fn handle_layers(&mut self, id: &ConsumerId, spatial: Option<u8>) {
        if let Some(consumer) = self.consumers.get(id) {
            let owner = consumer.participant.clone();
            let layers = spatial.map(|spatial| Layers {
                spatial,
                temporal: None,
            });
            let event = RoomEvent::LayersChanged {
                consumer: id.clone(),
                layers,
            };
            self.tell_participant(&owner, event);
        }
    }

    /// Forgets a track and its consumers, and tells those who received it and the others. Its worker is not told of the
    /// track itself.
    pub(crate) fn end_producer(&mut self, id: &ProducerId) {
        let Some(producer) = self.producers.remove(id) else {
            return;
        };
        self.speakers.forget_producer(id);
        let view = producer.view();
        for (consumer, owner) in self.consumers_of(id) {
            if let Some(known) = self.consumers.remove(&consumer) {
                self.want(Effect::CloseConsumer(known.transport, consumer.clone()));
            }
            let event = RoomEvent::ConsumerClosed {
                consumer,
                producer: id.clone(),
                participant: view.participant.clone(),
                kind: view.kind,
            };
            self.tell_participant(&owner, event);
        }
        match self.place_of(&view.participant) {
            Some(place) => self.tell_others(place, &RoomEvent::ProducerClosed(view)),
            None => self.tell_all(&RoomEvent::ProducerClosed(view)),
        }
    }

    /// In no particular order.
    fn consumers_of(&self, producer: &ProducerId) -> Vec<(ConsumerId, ParticipantId)> {
        self.consumers
            .iter()
            .filter(|(_, consumer)| consumer.producer == *producer)
            .map(|(id, consumer)| (id.clone(), consumer.participant.clone()))
            .collect()
    }
}
