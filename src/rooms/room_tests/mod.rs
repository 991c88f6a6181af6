//! A room for tests, and those who are in it.

mod coming;
mod tracks;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant, SystemTime},
};

use broadcast::BroadcastId;
use ortc::{
    DtlsParameters, DtlsRole, EncodingParameters, IceParameters, MediaKind, RtpCapabilities,
    RtpParameters,
};
use serde_json::{Value, json};

use crate::{
    Arrival, ConsumeOrder, ConsumerId, Direction, EMPTY_ROOM_PATIENCE, Effect, JoinOrder,
    NewConsumer, NewProducer, NewRoom, ParticipantId, Place, ProduceOrder, ProducerId,
    RECONNECT_PATIENCE, Room, RoomError, RoomEvent, RoomFigures, RoomLimits, TransportId,
    TransportState, TransportStates, TransportView,
};

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn empty_room(limits: RoomLimits, now: Instant) -> Room {
    let new = NewRoom {
        id: BroadcastId::new("room").unwrap(),
        capabilities: RtpCapabilities::default(),
        limits,
        created: SystemTime::UNIX_EPOCH,
        first_ssrc: 1000,
    };
    Room::new(new, now)
}

pub(crate) fn order() -> JoinOrder {
    JoinOrder {
        room: BroadcastId::new("room").unwrap(),
        participant: None,
        display_name: None,
        details: Value::Null,
    }
}

pub(crate) fn join(room: &mut Room, name: &str, now: Instant) -> Result<Arrival, RoomError> {
    room.join(&ParticipantId::new(name), order(), None, now)
}

pub(crate) fn view(id: &TransportId) -> TransportView {
    TransportView {
        id: id.clone(),
        ice_parameters: IceParameters {
            username_fragment: "fragment".to_owned(),
            password: "password".to_owned(),
            ice_lite: true,
        },
        ice_candidates: vec![ortc::IceCandidate {
            foundation: "udpcandidate".to_owned(),
            priority: 1,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            protocol: ortc::IceProtocol::Udp,
            port: 40000,
            kind: "host".to_owned(),
            tcp_type: None,
        }],
        dtls_parameters: DtlsParameters {
            role: DtlsRole::Auto,
            fingerprints: Vec::new(),
        },
    }
}

pub(crate) fn open(
    room: &mut Room,
    place: Place,
    direction: Direction,
    name: &str,
) -> Result<TransportId, RoomError> {
    room.check_transport(place, direction)?;
    let id = TransportId::new(name);
    room.add_transport(place, direction, view(&id))?;
    Ok(id)
}

pub(crate) fn produce(
    room: &mut Room,
    place: Place,
    kind: MediaKind,
    name: &str,
) -> Result<ProducerId, RoomError> {
    let order = ProduceOrder {
        transport: None,
        kind,
        rtp: RtpParameters::default(),
        app_data: json!({"source": name}),
        is_screen: false,
        paused: false,
    };
    let transport = room.plan_produce(place, &order)?;
    let new = NewProducer {
        id: ProducerId::new(name),
        transport,
        consumable: RtpParameters {
            encodings: vec![EncodingParameters::default()],
            ..RtpParameters::default()
        },
    };
    Ok(room.add_producer(place, order, new)?.id)
}

pub(crate) fn consume(
    room: &mut Room,
    place: Place,
    producer: &ProducerId,
    name: &str,
) -> Result<ConsumerId, RoomError> {
    let order = ConsumeOrder {
        producer: producer.clone(),
        capabilities: RtpCapabilities::default(),
        transport: None,
        paused: false,
    };
    let plan = room.plan_consume(place, &order)?;
    let id = ConsumerId::new(name);
    let new = NewConsumer {
        id: id.clone(),
        producer: producer.clone(),
        transport: plan.transport,
        rtp: RtpParameters::default(),
        paused: false,
    };
    room.add_consumer(place, new)?;
    Ok(id)
}

pub(crate) fn effects(room: &mut Room) -> Vec<Effect> {
    std::iter::from_fn(|| room.poll_effect()).collect()
}

/// What whoever has this place is told.
pub(crate) fn told(effects: &[Effect], place: Place) -> Vec<RoomEvent> {
    let mut events = Vec::new();
    for effect in effects {
        if let Effect::Tell(to, event) = effect
            && *to == place
        {
            events.push(event.clone());
        }
    }
    events
}

/// Anna with both transports sends sound, Bert with both receives it.
pub(crate) struct Duet {
    pub(crate) room: Room,
    pub(crate) start: Instant,
    pub(crate) anna: Place,
    pub(crate) bert: Place,
    pub(crate) sound: ProducerId,
    pub(crate) hears: ConsumerId,
}

pub(crate) fn duet() -> Duet {
    let start = Instant::now();
    let mut room = empty_room(RoomLimits::default(), start);
    let anna = join(&mut room, "anna", start).unwrap().place;
    let bert = join(&mut room, "bert", start).unwrap().place;
    for (place, name) in [(anna, "anna"), (bert, "bert")] {
        open(&mut room, place, Direction::Send, &format!("{name} sends")).unwrap();
        open(
            &mut room,
            place,
            Direction::Receive,
            &format!("{name} receives"),
        )
        .unwrap();
    }
    let sound = produce(&mut room, anna, MediaKind::Audio, "sound").unwrap();
    let hears = consume(&mut room, bert, &sound, "hears").unwrap();
    effects(&mut room);
    Duet {
        room,
        start,
        anna,
        bert,
        sound,
        hears,
    }
}
