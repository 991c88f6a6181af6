//! A place in a room in memory.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
};

use ::rooms::{
    ConsumeOrder, ConsumerId, ConsumerStatistics, ConsumerView, Direction, EgressOrder, EgressView,
    Layers, ParticipantId, ProduceOrder, ProducerId, ProducerView, RoomError, RoomEvent, RoomView,
    TransportId, TransportState, TransportStates, TransportView,
};
use async_trait::async_trait;
use broadcast::BroadcastId;
use ortc::{
    DtlsFingerprint, DtlsParameters, DtlsRole, IceCandidate, IceParameters, IceProtocol,
    RtpParameters,
};
use serde_json::Value;

use super::{Place, Room, State, Transport};
use crate::rooms::Member;

/// The most that may be told, as the contract has it.
const TOLD_BYTES: usize = 4 * 1024;

pub(super) struct MemoryMember {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) room: BroadcastId,
    pub(super) participant: ParticipantId,
    pub(super) turn: u64,
}

impl MemoryMember {
    fn with<T>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.failures.pop_front() {
            Some(failure) => Err(failure),
            None => act(&mut state),
        }
    }

    fn in_room<T>(
        &self,
        act: impl FnOnce(&mut Room) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        self.with(|state| {
            let room = state.rooms.get_mut(self.room.as_str());
            let room = room.ok_or(RoomError::NotJoined)?;
            let place = room.place(&self.participant);
            if place.is_none_or(|place| place.turn != self.turn) {
                return Err(RoomError::NotJoined);
            }
            act(room)
        })
    }

    fn on_place<T>(
        &self,
        act: impl FnOnce(&mut Place) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        self.in_room(|room| act(room.place(&self.participant).ok_or(RoomError::NotJoined)?))
    }

    fn on_transport<T>(
        &self,
        id: &TransportId,
        act: impl FnOnce(&mut Transport) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        self.on_place(|place| {
            let transport = place.transports.iter_mut().find(|known| known.id == *id);
            act(transport.ok_or(RoomError::NoSuchTransport)?)
        })
    }

    fn on_producer<T>(
        &self,
        id: &ProducerId,
        act: impl FnOnce(&mut ProducerView) -> T,
    ) -> Result<T, RoomError> {
        self.in_room(|room| {
            let own = |(producer, _): &&mut (ProducerView, TransportId)| {
                producer.id == *id && producer.participant == self.participant
            };
            let producer = room.producers.iter_mut().find(own);
            Ok(act(&mut producer.ok_or(RoomError::NoSuchProducer)?.0))
        })
    }

    fn on_consumer<T>(
        &self,
        id: &ConsumerId,
        act: impl FnOnce(&mut ConsumerView) -> T,
    ) -> Result<T, RoomError> {
        self.on_place(|place| {
            let consumer = place.consumers.iter_mut().find(|known| known.id == *id);
            Ok(act(consumer.ok_or(RoomError::NoSuchConsumer)?))
        })
    }

    fn counted(&self, what: &'static str) -> String {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{what}-{}", state.next(what))
    }
}

#[async_trait]
impl Member for MemoryMember {
    fn participant(&self) -> &ParticipantId {
        &self.participant
    }

    fn room(&self) -> &BroadcastId {
        &self.room
    }

    async fn view(&self) -> Result<RoomView, RoomError> {
        self.in_room(|room| Ok(room.view()))
    }

    async fn create_transport(&self, direction: Direction) -> Result<TransportView, RoomError> {
        self.on_place(|_| Ok(()))?;
        let id = TransportId::new(self.counted("transport"));
        self.on_place(|place| {
            place.transports.push(Transport {
                id: id.clone(),
                direction,
                dtls: None,
                restarts: 0,
            });
            Ok(transport_view(&id))
        })
    }

    async fn connect_transport(
        &self,
        transport: &TransportId,
        dtls: DtlsParameters,
    ) -> Result<(), RoomError> {
        self.on_transport(transport, |transport| match &transport.dtls {
            Some(known) if *known != dtls => Err(RoomError::AlreadyConnected),
            Some(_) | None => {
                transport.dtls = Some(dtls);
                Ok(())
            }
        })
    }

    async fn restart_ice(&self, transport: &TransportId) -> Result<IceParameters, RoomError> {
        self.on_transport(transport, |transport| {
            transport.restarts += 1;
            Ok(ice_parameters(&format!("restart{}", transport.restarts)))
        })
    }

    async fn transport_states(
        &self,
        transport: &TransportId,
    ) -> Result<TransportStates, RoomError> {
        self.on_transport(transport, |transport| Ok(states(transport)))
    }

    async fn close_transport(&self, transport: &TransportId) -> Result<(), RoomError> {
        self.on_transport(transport, |_| Ok(()))?;
        self.in_room(|room| {
            room.close_producers(|_, of| of == transport);
            if let Some(place) = room.place(&self.participant) {
                place.transports.retain(|known| known.id != *transport);
                place
                    .consumers
                    .retain(|consumer| consumer.transport.id != *transport);
            }
            Ok(())
        })
    }

    async fn produce(&self, order: ProduceOrder) -> Result<ProducerView, RoomError> {
        let transport = self.on_place(|place| {
            let fits = |transport: &&Transport| match &order.transport {
                Some(id) => transport.id == *id,
                None => transport.direction != Direction::Receive,
            };
            let missing = match &order.transport {
                Some(_) => RoomError::NoSuchTransport,
                None => RoomError::NoTransport,
            };
            let transport = place.transports.iter().find(fits).ok_or(missing)?;
            Ok(transport.id.clone())
        })?;
        let id = ProducerId::new(self.counted("producer"));
        self.in_room(|room| {
            let view = ProducerView {
                id,
                participant: self.participant.clone(),
                kind: order.kind,
                is_screen: order.is_screen,
                paused: order.paused,
                is_simulcast: order.rtp.encodings.len() > 1,
                app_data: order.app_data,
            };
            room.producers.push((view.clone(), transport));
            room.tell_others(&self.participant, &RoomEvent::ProducerAdded(view.clone()));
            Ok(view)
        })
    }

    async fn pause_producer(&self, producer: &ProducerId, paused: bool) -> Result<(), RoomError> {
        let view = self.on_producer(producer, |producer| {
            producer.paused = paused;
            producer.clone()
        })?;
        self.in_room(|room| {
            room.tell_others(
                &self.participant,
                &RoomEvent::ProducerPaused(view.clone(), paused),
            );
            for place in &room.places {
                let of = place
                    .consumers
                    .iter()
                    .filter(|consumer| consumer.producer == *producer);
                for consumer in of {
                    let _ = place.events.try_send(RoomEvent::ConsumerPaused {
                        consumer: consumer.id.clone(),
                        participant: self.participant.clone(),
                        paused,
                    });
                }
            }
            Ok(())
        })
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<(), RoomError> {
        self.on_producer(producer, |_| ())?;
        self.in_room(|room| {
            room.close_producers(|known, _| known.id == *producer);
            Ok(())
        })
    }

    async fn consume(&self, order: ConsumeOrder) -> Result<ConsumerView, RoomError> {
        self.in_room(|room| {
            let known =
                |(producer, _): &&(ProducerView, TransportId)| producer.id == order.producer;
            room.producers
                .iter()
                .find(known)
                .map(|_| ())
                .ok_or(RoomError::NoSuchProducer)
        })?;
        if order.capabilities.codecs.is_empty() {
            return Err(RoomError::CannotConsume);
        }
        let transport = self.on_place(|place| {
            let fits = |transport: &&Transport| match &order.transport {
                Some(id) => transport.id == *id,
                None => transport.direction != Direction::Send,
            };
            let missing = match &order.transport {
                Some(_) => RoomError::NoSuchTransport,
                None => RoomError::NoTransport,
            };
            let transport = place.transports.iter().find(fits).ok_or(missing)?;
            Ok(transport.id.clone())
        })?;
        let id = ConsumerId::new(self.counted("consumer"));
        self.in_room(|room| {
            let known =
                |(producer, _): &&(ProducerView, TransportId)| producer.id == order.producer;
            let (producer, _) = room
                .producers
                .iter()
                .find(known)
                .ok_or(RoomError::NoSuchProducer)?;
            let view = ConsumerView {
                id,
                producer: producer.id.clone(),
                producer_participant: producer.participant.clone(),
                kind: producer.kind,
                rtp: RtpParameters {
                    mid: Some("0".to_owned()),
                    ..RtpParameters::default()
                },
                paused: order.paused,
                producer_paused: producer.paused,
                app_data: producer.app_data.clone(),
                transport: transport_view(&transport),
            };
            let place = room.place(&self.participant).ok_or(RoomError::NotJoined)?;
            place.consumers.push(view.clone());
            Ok(view)
        })
    }

    async fn pause_consumer(&self, consumer: &ConsumerId, paused: bool) -> Result<(), RoomError> {
        self.on_consumer(consumer, |consumer| consumer.paused = paused)
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<(), RoomError> {
        self.on_consumer(consumer, |_| ())?;
        self.on_place(|place| {
            place.consumers.retain(|known| known.id != *consumer);
            Ok(())
        })
    }

    async fn prefer_layers(&self, consumer: &ConsumerId, _: Layers) -> Result<(), RoomError> {
        self.on_consumer(consumer, |_| ())
    }

    async fn consumer_statistics(
        &self,
        consumer: &ConsumerId,
    ) -> Result<ConsumerStatistics, RoomError> {
        let view = self.on_consumer(consumer, |consumer| consumer.clone())?;
        let states = self.on_transport(&view.transport.id, |transport| Ok(states(transport)))?;
        Ok(ConsumerStatistics {
            consumer: view.id,
            producer: view.producer,
            transport: view.transport.id,
            states,
            kind: view.kind,
            paused: view.paused,
            ssrc: 1111,
            mime_type: "video/H264".to_owned(),
            packets_sent: 120,
            bytes_sent: 96_000,
            bits_per_second: 64_000,
            packets_repeated: 3,
            packets_lost: 5,
            keyframe_requests: 1,
            round_trip: Some(std::time::Duration::from_millis(20)),
            spatial_layer: None,
            producer_bytes: 97_000,
        })
    }

    async fn report_audio_level(&self, level: f64) -> Result<(), RoomError> {
        let speaker = (level > 0.01).then(|| self.participant.clone());
        self.in_room(|room| {
            let event = RoomEvent::ActiveSpeaker(speaker, super::a_moment());
            room.tell_others(&self.participant, &event);
            Ok(())
        })
    }

    async fn tell(&self, topic: &'static str, content: Value) -> Result<(), RoomError> {
        if content.to_string().len() > TOLD_BYTES {
            return Err(RoomError::Malformed("it is too long".to_owned()));
        }
        self.in_room(|room| {
            let participant = self.participant.clone();
            let event = RoomEvent::Told {
                participant,
                topic,
                content,
            };
            room.tell_others(&self.participant, &event);
            Ok(())
        })
    }

    async fn start_egress(&self, order: EgressOrder) -> Result<EgressView, RoomError> {
        self.in_room(|room| {
            if order.destinations.is_empty() {
                return Err(RoomError::Egress("there are no destinations".to_owned()));
            }
            let known = |id: &ProducerId| room.producers.iter().any(|(known, _)| known.id == *id);
            for producer in [&order.video, &order.audio] {
                if !producer.as_ref().is_some_and(known) {
                    return Err(RoomError::NoSuchProducer);
                }
            }
            let already = room.egress.is_some();
            let egress = room.egress.get_or_insert(order);
            let labels = egress.destinations.iter();
            Ok(EgressView {
                already,
                destinations: labels.map(|one| one.label.clone()).collect(),
            })
        })
    }

    async fn stop_egress(&self) -> Result<(), RoomError> {
        self.in_room(|room| {
            room.egress = None;
            Ok(())
        })
    }

    async fn leave(&self) {
        let left = self.in_room(|room| {
            room.leave(&self.participant);
            Ok(())
        });
        // Whoever was put out before has left.
        drop(left);
    }

    fn detach(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let room = state.rooms.get_mut(self.room.as_str());
        if let Some(place) = room.and_then(|room| room.place(&self.participant))
            && place.turn == self.turn
        {
            place.is_attached = false;
        }
    }
}

fn states(transport: &Transport) -> TransportStates {
    let state = if transport.dtls.is_some() {
        TransportState::Connected
    } else {
        TransportState::New
    };
    TransportStates {
        ice: state,
        dtls: state,
    }
}

fn transport_view(id: &TransportId) -> TransportView {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    TransportView {
        id: id.clone(),
        ice_parameters: ice_parameters("ufrag"),
        ice_candidates: vec![IceCandidate {
            foundation: "udpcandidate".to_owned(),
            priority: 1_076_558_079,
            ip: address,
            address,
            protocol: IceProtocol::Udp,
            port: 40_000,
            kind: "host".to_owned(),
            tcp_type: None,
        }],
        dtls_parameters: DtlsParameters {
            role: DtlsRole::Auto,
            fingerprints: vec![DtlsFingerprint {
                algorithm: "sha-256".to_owned(),
                value: "AA:BB".to_owned(),
            }],
        },
    }
}

fn ice_parameters(ufrag: &str) -> IceParameters {
    IceParameters {
        username_fragment: ufrag.to_owned(),
        password: "password".to_owned(),
        ice_lite: true,
    }
}
