//! What is counted of rooms in which people meet.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ::rooms::RoomFigures;
use broadcast::BroadcastId;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::{counter, gauge, integer};
use crate::broadcasts::{ROOM_PROTOCOL, Snapshot};

/// Who is on this node, in the words of servers that know no difference between a broadcast and a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Population {
    /// Broadcasts and rooms, each name once.
    pub(crate) rooms: usize,
    /// Those with somebody in them.
    pub(crate) active: usize,
    /// Studios, and participants of rooms. A room's programme is nobody.
    pub(crate) people: usize,
}

impl Population {
    /// Counts.
    pub(crate) fn of(
        broadcasts: &[Arc<Snapshot>],
        rooms: &HashMap<BroadcastId, RoomFigures>,
    ) -> Self {
        let studios: Vec<&BroadcastId> = broadcasts
            .iter()
            .filter(|broadcast| broadcast.studio_connected)
            .filter(|broadcast| {
                let ingest = broadcast.ingest.as_ref();
                ingest.is_none_or(|ingest| ingest.protocol != ROOM_PROTOCOL)
            })
            .map(|broadcast| &broadcast.id)
            .collect();
        let names = broadcasts.iter().map(|broadcast| &broadcast.id);
        let names: HashSet<&BroadcastId> = names.chain(rooms.keys()).collect();
        let peopled = rooms
            .iter()
            .filter(|(_, figures)| figures.participants > 0)
            .map(|(name, _)| name);
        let active: HashSet<&BroadcastId> = peopled.chain(studios.iter().copied()).collect();
        let participants: usize = rooms.values().map(|room| room.participants).sum();
        Self {
            rooms: names.len(),
            active: active.len(),
            people: studios.len() + participants,
        }
    }
}

/// How many rooms there are, and how much is in all of them.
pub(super) struct RoomMetrics {
    opened: Counter,
    rooms: Gauge,
    participants: Gauge,
    transports: Gauge,
    producers: Gauge,
    consumers: Gauge,
}

impl RoomMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            opened: counter(registry, "rooms_opened", "Rooms that were opened"),
            rooms: gauge(registry, "rooms_active", "Rooms in which people meet"),
            participants: gauge(
                registry,
                "room_participants",
                "Participants of all rooms, those included whose connection has just broken",
            ),
            transports: gauge(
                registry,
                "room_transports",
                "WebRTC transports of all participants",
            ),
            producers: gauge(registry, "room_producers", "Tracks that participants send"),
            consumers: gauge(
                registry,
                "room_consumers",
                "Tracks that participants receive",
            ),
        }
    }

    pub(super) fn opened(&self) {
        self.opened.inc();
    }

    pub(super) fn set(&self, rooms: &HashMap<BroadcastId, RoomFigures>) {
        let sum =
            |count: fn(&RoomFigures) -> usize| integer(rooms.values().map(count).sum::<usize>());
        self.rooms.set(integer(rooms.len()));
        self.participants.set(sum(|room| room.participants));
        self.transports.set(sum(|room| room.transports));
        self.producers.set(sum(|room| room.producers));
        self.consumers.set(sum(|room| room.consumers));
    }
}
