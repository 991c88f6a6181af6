//! What is counted of Socket.IO connections.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use signalling::socketio::SocketCounts;

use super::{counter, gauge, integer};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// Connections and their events.
pub(super) struct SocketMetrics {
    connections: Gauge,
    connected: Counter,
    refusals: Family<OutcomeLabel, Counter>,
    events: Counter,
    faults: Family<OutcomeLabel, Counter>,
}

impl SocketMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let family = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<OutcomeLabel, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        Self {
            connections: gauge(
                registry,
                "socketio_connections_active",
                "Socket.IO connections",
            ),
            connected: counter(
                registry,
                "socketio_connections",
                "Socket.IO connections that were let in",
            ),
            refusals: family(
                registry,
                "socketio_refusals",
                "Socket.IO connections that were not let in",
            ),
            events: counter(registry, "socketio_events", "Events of Socket.IO clients"),
            faults: family(
                registry,
                "socketio_faults",
                "Events that were dropped or late, and clients that did not read",
            ),
        }
    }

    pub(super) fn set(&self, connections: usize, counts: &SocketCounts) {
        self.connections.set(integer(connections));
        follow(&self.connected, counts.connected);
        follow(&self.events, counts.events);
        let outcome = |family: &Family<OutcomeLabel, Counter>, outcome, count| {
            follow(&family.get_or_create(&OutcomeLabel { outcome }), count);
        };
        outcome(&self.refusals, "refused", counts.refused);
        outcome(&self.refusals, "unauthenticated", counts.unauthenticated);
        outcome(&self.faults, "unknown", counts.unknown_events);
        outcome(&self.faults, "flooded", counts.flooded);
        outcome(&self.faults, "late", counts.late);
        outcome(&self.faults, "stalled", counts.stalled);
    }
}

/// Brings a counter to where the count is, which only grows.
pub(super) fn follow(counter: &Counter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}
