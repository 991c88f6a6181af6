//! What a participant of the rooms in memory may do.

use std::time::Duration;

use ::rooms::{
    ConsumeOrder, ConsumerId, ConsumerStatistics, ConsumerView, Direction, EgressOrder, EgressView,
    Layers, ParticipantId, ProduceOrder, ProducerId, ProducerView, RoomError, RoomEvent, RoomView,
    TransportId, TransportState, TransportStates, TransportView,
};
use async_trait::async_trait;
use broadcast::BroadcastId;
use ortc::{ConsumerSsrcs, DtlsParameters, IceParameters, RtpParameters};
use serde_json::{Value, json};

use super::{Participant, Room, StandInRooms, State, Transport, owned};
use crate::rooms::Member;

pub(super) struct StandInMember {
    pub(super) rooms: StandInRooms,
    pub(super) room: BroadcastId,
    pub(super) participant: ParticipantId,
}

impl StandInMember {
    /// Does something in the room, unless it is to fail.
    fn act<T>(
        &self,
        action: impl FnOnce(&mut Room, &ParticipantId) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        let mut state = self.rooms.lock();
        state.check()?;
        let room = state.room(&self.room);
        room.participant(&self.participant)?;
        action(room, &self.participant)
    }

    fn own<T>(
        &self,
        action: impl FnOnce(&mut Participant) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        self.act(|room, own| action(room.participant(own)?))
    }

    fn name(&self, kind: &str) -> String {
        self.rooms.lock().name(kind)
    }

    fn note(&self, order: String) {
        let state: &mut State = &mut self.rooms.lock();
        state.orders.push(order);
    }
}

#[async_trait]
impl Member for StandInMember {
    fn participant(&self) -> &ParticipantId {
        &self.participant
    }

    fn room(&self) -> &BroadcastId {
        &self.room
    }

    async fn view(&self) -> Result<RoomView, RoomError> {
        self.act(|room, _| Ok(room.view(&self.room)))
    }

    async fn create_transport(&self, direction: Direction) -> Result<TransportView, RoomError> {
        self.own(|_| Ok(()))?;
        let id = TransportId::new(self.name("transport"));
        self.own(|own| {
            own.transports.push(Transport {
                id: id.clone(),
                direction,
                dtls: None,
            });
            Ok(transport(&id))
        })
    }

    async fn connect_transport(
        &self,
        transport: &TransportId,
        dtls: DtlsParameters,
    ) -> Result<(), RoomError> {
        self.own(|own| {
            let transport = find(own, transport)?;
            match transport.dtls.replace(dtls.clone()) {
                Some(before) if before != dtls => Err(RoomError::AlreadyConnected),
                Some(_) | None => Ok(()),
            }
        })
    }

    async fn restart_ice(&self, transport: &TransportId) -> Result<IceParameters, RoomError> {
        self.own(|own| find(own, transport).map(drop))?;
        Ok(IceParameters {
            username_fragment: "restarted".to_owned(),
            password: "secret".to_owned(),
            ice_lite: true,
        })
    }

    async fn transport_states(
        &self,
        transport: &TransportId,
    ) -> Result<TransportStates, RoomError> {
        self.own(|own| {
            let connected = find(own, transport)?.dtls.is_some();
            let state = if connected {
                TransportState::Connected
            } else {
                TransportState::New
            };
            Ok(TransportStates {
                ice: state,
                dtls: state,
            })
        })
    }

    async fn close_transport(&self, transport: &TransportId) -> Result<(), RoomError> {
        self.own(|own| {
            find(own, transport)?;
            own.transports.retain(|each| each.id != *transport);
            Ok(())
        })
    }

    async fn produce(&self, order: ProduceOrder) -> Result<ProducerView, RoomError> {
        self.own(|own| match &order.transport {
            Some(transport) => find(own, transport).map(drop),
            None if own.transports.is_empty() => Err(RoomError::NoTransport),
            None => Ok(()),
        })?;
        if order.rtp.codecs.is_empty() {
            return Err(RoomError::Unsupported("no codec".to_owned()));
        }
        let id = ProducerId::new(self.name("producer"));
        let negotiates = self.rooms.lock().negotiates;
        let consumable = negotiates
            .then(|| super::consumable(order.kind, &order.rtp))
            .flatten();
        self.act(|room, own| {
            let view = ProducerView {
                id,
                participant: own.clone(),
                kind: order.kind,
                is_screen: order.is_screen,
                paused: order.paused,
                is_simulcast: order.rtp.encodings.len() > 1,
                app_data: order.app_data,
            };
            if let Some(consumable) = consumable {
                room.consumable_by_producer
                    .insert(view.id.clone(), consumable);
            }
            room.producers.push(view.clone());
            room.tell_others(own, &RoomEvent::ProducerAdded(view.clone()));
            Ok(view)
        })
    }

    async fn pause_producer(&self, producer: &ProducerId, paused: bool) -> Result<(), RoomError> {
        self.act(|room, own| {
            let mut producers = room.producers.iter_mut();
            let view = producers.find(|each| each.id == *producer && each.participant == *own);
            let view = view.ok_or(RoomError::NoSuchProducer)?;
            view.paused = paused;
            let view = view.clone();
            room.tell_others(own, &RoomEvent::ProducerPaused(view, paused));
            Ok(())
        })
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<(), RoomError> {
        self.act(|room, own| {
            let mut producers = room.producers.iter();
            let index = producers.position(|each| each.id == *producer && each.participant == *own);
            let view = room
                .producers
                .remove(index.ok_or(RoomError::NoSuchProducer)?);
            room.tell_others(own, &RoomEvent::ProducerClosed(view));
            Ok(())
        })
    }

    async fn consume(&self, order: ConsumeOrder) -> Result<ConsumerView, RoomError> {
        let on = self.own(|own| {
            if let Some(id) = &order.transport {
                return find(own, id).map(|each| each.id.clone());
            }
            let fit = |each: &&Transport| each.direction != Direction::Send;
            let found = own.transports.iter().find(fit);
            found
                .map(|each| each.id.clone())
                .ok_or(RoomError::NoTransport)
        })?;
        let id = ConsumerId::new(self.name("consumer"));
        self.act(|room, own| {
            let mut producers = room.producers.iter();
            let producer = producers.find(|each| each.id == order.producer);
            let producer = producer.ok_or(RoomError::NoSuchProducer)?;
            if order.capabilities.codecs.is_empty() {
                return Err(RoomError::CannotConsume);
            }
            let view = ConsumerView {
                id,
                producer: producer.id.clone(),
                producer_participant: producer.participant.clone(),
                kind: producer.kind,
                rtp: received(room, &order),
                paused: order.paused,
                producer_paused: producer.paused,
                app_data: producer.app_data.clone(),
                transport: transport(&on),
            };
            room.consumers.push((own.clone(), view.clone()));
            Ok(view)
        })
    }

    async fn pause_consumer(&self, consumer: &ConsumerId, paused: bool) -> Result<(), RoomError> {
        self.act(|room, own| {
            let index = owned(&room.consumers, own, consumer).ok_or(RoomError::NoSuchConsumer)?;
            room.consumers[index].1.paused = paused;
            Ok(())
        })
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<(), RoomError> {
        self.act(|room, own| {
            let index = owned(&room.consumers, own, consumer).ok_or(RoomError::NoSuchConsumer)?;
            room.consumers.remove(index);
            Ok(())
        })
    }

    async fn prefer_layers(&self, consumer: &ConsumerId, layers: Layers) -> Result<(), RoomError> {
        self.act(|room, own| {
            owned(&room.consumers, own, consumer).ok_or(RoomError::NoSuchConsumer)?;
            Ok(())
        })?;
        self.note(format!("layers {consumer} {layers:?}"));
        Ok(())
    }

    async fn consumer_statistics(
        &self,
        consumer: &ConsumerId,
    ) -> Result<ConsumerStatistics, RoomError> {
        self.act(|room, own| {
            let index = owned(&room.consumers, own, consumer).ok_or(RoomError::NoSuchConsumer)?;
            let view = &room.consumers[index].1;
            Ok(ConsumerStatistics {
                consumer: view.id.clone(),
                producer: view.producer.clone(),
                transport: view.transport.id.clone(),
                states: TransportStates {
                    ice: TransportState::Connected,
                    dtls: TransportState::Connected,
                },
                kind: view.kind,
                paused: view.paused,
                ssrc: 7,
                mime_type: "audio/opus".to_owned(),
                packets_sent: 50,
                bytes_sent: 5000,
                bits_per_second: 40_000,
                packets_repeated: 2,
                packets_lost: 1,
                keyframe_requests: 0,
                round_trip: Some(Duration::from_millis(20)),
                spatial_layer: None,
                producer_bytes: 6000,
            })
        })
    }

    async fn report_audio_level(&self, level: f64) -> Result<(), RoomError> {
        self.own(|_| Ok(()))?;
        self.note(format!("level {level}"));
        Ok(())
    }

    async fn tell(&self, topic: &'static str, content: Value) -> Result<(), RoomError> {
        self.act(|room, own| {
            let told = RoomEvent::Told {
                participant: own.clone(),
                topic,
                content,
            };
            room.tell_others(own, &told);
            Ok(())
        })
    }

    async fn start_egress(&self, order: EgressOrder) -> Result<EgressView, RoomError> {
        self.act(|room, _| {
            if order.video.is_none() && order.audio.is_none() {
                return Err(RoomError::Egress("there is nothing to send".to_owned()));
            }
            Ok(EgressView {
                already: std::mem::replace(&mut room.egress, true),
                destinations: order
                    .destinations
                    .into_iter()
                    .map(|each| each.label)
                    .collect(),
            })
        })
    }

    async fn stop_egress(&self) -> Result<(), RoomError> {
        self.act(|room, _| {
            if std::mem::take(&mut room.egress) {
                for each in &room.participants {
                    each.tell(RoomEvent::EgressEnded("stopped".to_owned()));
                }
            }
            Ok(())
        })
    }

    async fn leave(&self) {
        // Who has left already need not again.
        let _ = self.act(|room, own| {
            room.remove(own);
            Ok(())
        });
    }

    fn detach(&self) {
        let _ = self.own(|own| {
            own.events = None;
            Ok(())
        });
    }
}

/// How a track is received: as [`ortc`] has it, if that is wanted and both know its codec; else in name only.
fn received(room: &Room, order: &ConsumeOrder) -> RtpParameters {
    let ssrcs = ConsumerSsrcs { ssrc: 7, rtx: 8 };
    let consumable = room.consumable_by_producer.get(&order.producer);
    consumable
        .and_then(|track| ortc::consumer(track, &order.capabilities, ssrcs, "0").ok())
        .unwrap_or_else(|| RtpParameters {
            mid: Some("0".to_owned()),
            ..RtpParameters::default()
        })
}

fn find<'a>(
    participant: &'a mut Participant,
    id: &TransportId,
) -> Result<&'a mut Transport, RoomError> {
    let mut transports = participant.transports.iter_mut();
    let found = transports.find(|each| each.id == *id);
    found.ok_or(RoomError::NoSuchTransport)
}

fn transport(id: &TransportId) -> TransportView {
    let view = json!({ "usernameFragment": "fragment", "password": "secret", "iceLite": true });
    let dtls = json!({ "role": "auto", "fingerprints": [] });
    TransportView {
        id: id.clone(),
        ice_parameters: serde_json::from_value(view).expect("ICE parameters"),
        ice_candidates: Vec::new(),
        dtls_parameters: serde_json::from_value(dtls).expect("DTLS parameters"),
    }
}
