//! What is counted, and its Prometheus text. No label ever holds an id.

mod admission;
mod continuity;
mod engines;
mod fleet;
mod providers;
mod renditions;
mod rooms;
mod seeds;
mod sockets;

use std::{collections::HashMap, fmt, sync::atomic::AtomicU64, time::Duration};

use ::rooms::RoomFigures;
use broadcast::{Alarm, BroadcastId, BroadcastState, DestinationState, Method, Provider, Reason};
use egress_providers::hosted::BreakerState;
use pipelines::{engine::EngineKind, path::Showing};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use signalling::socketio::SocketCounts;

use self::{
    admission::AdmissionMetrics, continuity::ContinuityMetrics, engines::EngineMetrics,
    fleet::FleetMetrics, providers::ProviderMetrics, renditions::RenditionMetrics,
    rooms::RoomMetrics, seeds::SeedMetrics, sockets::SocketMetrics,
};
use crate::{
    admission::Figures,
    broadcasts::{DestinationSnapshot, Snapshot},
    system::Usage,
};

pub(crate) use self::{fleet::FleetFigures, providers::WebhookOutcome, rooms::Population};

type Real = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabel {
    method: &'static str,
    status: u16,
}

/// What a destination had sent at some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EgressTotals {
    /// Bytes handed to the network.
    pub bytes: u64,
    /// Pictures.
    pub frames: u64,
    /// Pictures left out.
    pub dropped: u64,
}

/// What is known only when somebody asks for the metrics.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// All broadcasts.
    pub broadcasts: &'a [std::sync::Arc<Snapshot>],
    /// WebRTC sessions.
    pub sessions: usize,
    /// Media threads.
    pub workers: usize,
    /// Panics that the media threads survived.
    pub worker_panics: u64,
    /// What the process and the machine use.
    pub usage: &'a Usage,
    /// Method of the broadcasts that name none.
    pub method: Method,
    /// The room of the node.
    pub room: Figures,
    /// How much is in each of the rooms in which people meet.
    pub rooms: &'a HashMap<BroadcastId, RoomFigures>,
    /// The most rooms at a time.
    pub rooms_limit: usize,
    /// Whether each hosted provider is asked.
    pub breakers: &'a [(Provider, BreakerState)],
    /// Socket.IO connections.
    pub connections: usize,
    /// What was counted of them.
    pub sockets: SocketCounts,
    /// The other nodes.
    pub(crate) fleet: &'a FleetFigures,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    broadcasts: Family<StateLabel, Gauge>,
    broadcasts_created: Counter,
    broadcasts_ended: Counter,
    destinations: Family<StateLabel, Gauge>,
    destination_failures: Family<ReasonLabel, Counter>,
    destination_open: Histogram,
    studios: Gauge,
    studio_connections: Counter,
    whip_answer: Histogram,
    go_live: Histogram,
    egress_bytes: Counter,
    egress_frames: Counter,
    egress_frames_dropped: Counter,
    panics: Counter,
    worker_panics: Gauge,
    http_requests: Family<AnswerLabel, Counter>,
    sessions: Gauge,
    resident: Gauge,
    cpu_seconds: Real,
    threads: Gauge,
    admission: AdmissionMetrics,
    continuity: ContinuityMetrics,
    engines: EngineMetrics,
    fleet: FleetMetrics,
    providers: ProviderMetrics,
    renditions: RenditionMetrics,
    rooms: RoomMetrics,
    sockets: SocketMetrics,
    seeds: SeedMetrics,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix("castgate");
        let metrics = Self {
            broadcasts: gauges(own, "broadcasts_active", "Broadcasts by state"),
            broadcasts_created: counter(own, "broadcasts_created", "Broadcasts that were created"),
            broadcasts_ended: counter(own, "broadcasts_ended", "Broadcasts that have ended"),
            destinations: gauges(own, "destinations_active", "Destinations by state"),
            destination_failures: {
                let family = Family::default();
                own.register(
                    "destination_failures",
                    "Losses of destinations by reason",
                    family.clone(),
                );
                family
            },
            destination_open: seconds(
                own,
                "destination_open",
                "From the wish to the server's consent to publish",
            ),
            studios: gauge(own, "studios_connected", "Studios that are connected"),
            studio_connections: counter(own, "studio_connections", "Studios that have connected"),
            whip_answer: seconds(own, "whip_answer", "From an offer to its answer"),
            go_live: seconds(
                own,
                "go_live",
                "From an offer to the first destination that is live",
            ),
            egress_bytes: {
                let counter = Counter::default();
                own.register_with_unit(
                    "egress",
                    "Handed to destinations",
                    Unit::Bytes,
                    counter.clone(),
                );
                counter
            },
            egress_frames: counter(own, "egress_frames", "Pictures handed to destinations"),
            egress_frames_dropped: counter(
                own,
                "egress_frames_dropped",
                "Pictures left out because a destination was too slow",
            ),
            panics: counter(
                own,
                "panics",
                "Broadcasts, connections and requests that broke",
            ),
            worker_panics: gauge(
                own,
                "worker_panics",
                "Sessions and media paths that broke on a media thread",
            ),
            http_requests: {
                let family = Family::default();
                own.register("http_requests", "Answered requests", family.clone());
                family
            },
            sessions: gauge(own, "sessions_active", "WebRTC sessions"),
            resident: gauge(own, "resident_bytes", "Resident memory of the process"),
            cpu_seconds: {
                let gauge = Real::default();
                own.register(
                    "cpu_seconds",
                    "User and system time of the process",
                    gauge.clone(),
                );
                gauge
            },
            threads: gauge(own, "threads", "Threads of the process"),
            admission: AdmissionMetrics::new(own),
            continuity: ContinuityMetrics::new(own),
            engines: EngineMetrics::new(own),
            fleet: FleetMetrics::new(own),
            providers: ProviderMetrics::new(own),
            renditions: RenditionMetrics::new(own),
            rooms: RoomMetrics::new(own),
            sockets: SocketMetrics::new(own),
            seeds: SeedMetrics::new(&mut registry),
            registry,
        };
        for state in BroadcastState::ALL {
            metrics
                .broadcasts
                .get_or_create(&StateLabel {
                    state: state.as_str(),
                })
                .set(0);
        }
        for state in DestinationState::ALL {
            metrics
                .destinations
                .get_or_create(&StateLabel {
                    state: state.as_str(),
                })
                .set(0);
        }
        metrics
    }

    pub(crate) fn broadcast_created(&self) {
        self.broadcasts_created.inc();
    }

    pub(crate) fn broadcast_ended(&self) {
        self.broadcasts_ended.inc();
    }

    pub(crate) fn studio_connected(&self) {
        self.studio_connections.inc();
    }

    pub(crate) fn whip_answered(&self, elapsed: Duration) {
        self.whip_answer.observe(elapsed.as_secs_f64());
    }

    pub(crate) fn went_live(&self, elapsed: Duration) {
        self.go_live.observe(elapsed.as_secs_f64());
    }

    pub(crate) fn destination_opened(&self, elapsed: Duration) {
        self.destination_open.observe(elapsed.as_secs_f64());
    }

    pub(crate) fn destination_lost(&self, reason: Reason) {
        self.destination_failures
            .get_or_create(&ReasonLabel {
                reason: reason.code(),
            })
            .inc();
    }

    pub(crate) fn add_egress(&self, before: EgressTotals, after: EgressTotals) {
        self.egress_bytes
            .inc_by(after.bytes.saturating_sub(before.bytes));
        self.egress_frames
            .inc_by(after.frames.saturating_sub(before.frames));
        self.egress_frames_dropped
            .inc_by(after.dropped.saturating_sub(before.dropped));
    }

    pub(crate) fn alarm_raised(&self, alarm: Alarm) {
        self.continuity.alarm_raised(alarm);
    }

    /// Counts processes of an engine that were replaced.
    pub(crate) fn engine_restarted(&self, kind: EngineKind, times: u64) {
        self.engines.restarted(kind, times);
    }

    /// Counts pictures of a kind that stood in for a studio's.
    pub(crate) fn stood_in(&self, showing: Showing, pictures: u64) {
        self.continuity.stood_in(showing, pictures);
    }

    /// A node was looked for, and found or not.
    pub(crate) fn assigned(&self, elapsed: Duration, is_found: bool) {
        self.fleet.assigned(elapsed, is_found);
    }

    pub(crate) fn room_opened(&self) {
        self.rooms.opened();
    }

    pub(crate) fn slate_coded(&self) {
        self.continuity.slate_coded();
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    pub(crate) fn answered(&self, method: &axum::http::Method, status: u16) {
        const METHODS: [&str; 6] = ["GET", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD"];
        let method = METHODS
            .into_iter()
            .find(|known| *known == method.as_str())
            .unwrap_or("other");
        self.http_requests
            .get_or_create(&AnswerLabel { method, status })
            .inc();
    }

    /// How many broadcasts, connections and requests broke.
    pub fn panics(&self) -> u64 {
        self.panics.get()
    }

    /// Writes everything in the `OpenMetrics` text format.
    pub fn write(&self, moment: &Moment<'_>) -> Result<String, fmt::Error> {
        for state in BroadcastState::ALL {
            let count = moment
                .broadcasts
                .iter()
                .filter(|broadcast| broadcast.state == state)
                .count();
            self.broadcasts
                .get_or_create(&StateLabel {
                    state: state.as_str(),
                })
                .set(integer(count));
        }
        let destinations = || {
            moment
                .broadcasts
                .iter()
                .flat_map(|broadcast| &broadcast.destinations)
                .flat_map(DestinationSnapshot::lines)
        };
        for state in DestinationState::ALL {
            let count = destinations().filter(|line| line.state == state).count();
            self.destinations
                .get_or_create(&StateLabel {
                    state: state.as_str(),
                })
                .set(integer(count));
        }
        self.admission.set(&moment.room);
        self.continuity.set(moment.broadcasts);
        self.engines.set(moment.broadcasts);
        self.fleet.set(moment.fleet);
        self.providers.set_breakers(moment.breakers);
        self.rooms.set(moment.rooms);
        self.sockets.set(moment.connections, &moment.sockets);
        self.studios.set(integer(
            moment
                .broadcasts
                .iter()
                .filter(|broadcast| broadcast.studio_connected)
                .count(),
        ));
        self.sessions.set(integer(moment.sessions));
        self.worker_panics.set(integer(moment.worker_panics));
        self.resident.set(integer(moment.usage.resident_bytes));
        self.cpu_seconds.set(moment.usage.cpu_seconds());
        self.threads.set(integer(moment.usage.threads));
        self.seeds.set(moment, self.egress_bytes.get());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Family<StateLabel, Gauge> {
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn seconds(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = Histogram::new([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}

fn integer(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn ratio(part: usize, whole: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if whole == 0 {
        0.0
    } else {
        number(part) / number(whole)
    }
}
