//! The names that other media servers expose.

use broadcast::{BroadcastState, Method};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Moment, Population, Real, gauge, integer, ratio};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

/// The names that other media servers expose, for dashboards that know them.
pub(super) struct SeedMetrics {
    active_streams: Gauge,
    streaming_method: Family<MethodLabel, Gauge>,
    rooms_total: Gauge,
    rooms_active: Gauge,
    rooms_max: Gauge,
    participants_total: Gauge,
    participants_per_room: Real,
    cpu_usage_percent: Real,
    memory_usage: [Gauge; 2],
    network_bytes_sent: Gauge,
    workers_total: Gauge,
    workers_busy: Gauge,
}

impl SeedMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        for name in [
            "recordings_active",
            "recordings_completed",
            "recordings_failed",
        ] {
            gauge(
                registry,
                &format!("media_{name}"),
                "Recordings; none in this version",
            );
        }
        Self {
            active_streams: gauge(
                registry,
                "media_server_active_streams",
                "Broadcasts whose media goes out",
            ),
            streaming_method: {
                let family = Family::default();
                registry.register(
                    "media_server_streaming_method",
                    "1 when the default method is hosted, 0 when it is this process",
                    family.clone(),
                );
                family
            },
            rooms_total: gauge(
                registry,
                "media_rooms_total",
                "Broadcasts and rooms, each name once",
            ),
            rooms_active: gauge(
                registry,
                "media_rooms_active",
                "Broadcasts and rooms with somebody in them",
            ),
            rooms_max: gauge(registry, "media_rooms_max", "The most rooms at a time"),
            participants_total: gauge(
                registry,
                "media_participants_total",
                "Studios that are connected, and participants of rooms",
            ),
            participants_per_room: {
                let gauge = Real::default();
                registry.register(
                    "media_participants_per_room_avg",
                    "Studios and participants per broadcast and room",
                    gauge.clone(),
                );
                gauge
            },
            cpu_usage_percent: {
                let gauge = Real::default();
                registry.register(
                    "media_cpu_usage_percent",
                    "Load of the machine",
                    gauge.clone(),
                );
                gauge
            },
            memory_usage: [
                gauge(
                    registry,
                    "media_memory_usage_bytes",
                    "Resident memory of the process",
                ),
                gauge(
                    registry,
                    "media_memory_usage",
                    "Resident memory of the process",
                ),
            ],
            network_bytes_sent: gauge(
                registry,
                "media_network_bytes_sent",
                "Bytes handed to destinations",
            ),
            workers_total: gauge(registry, "media_workers_total", "Media threads"),
            workers_busy: gauge(
                registry,
                "media_workers_busy",
                "Media threads with a session, at most",
            ),
        }
    }

    pub(super) fn set(&self, moment: &Moment<'_>, bytes_sent: u64) {
        let population = Population::of(moment.broadcasts, moment.rooms);
        let live = moment
            .broadcasts
            .iter()
            .filter(|broadcast| broadcast.state == BroadcastState::Live)
            .count();
        self.active_streams.set(integer(live));
        let hosted = match moment.method {
            Method::Gstreamer | Method::Ffmpeg => 0,
            Method::Daily
            | Method::Livekit
            | Method::Cloudflare
            | Method::Mux
            | Method::Restream
            | Method::Hybrid => 1,
        };
        self.streaming_method
            .get_or_create(&MethodLabel {
                method: moment.method.as_str(),
            })
            .set(hosted);
        let Population {
            rooms,
            active,
            people,
        } = population;
        self.rooms_total.set(integer(rooms));
        self.rooms_active.set(integer(active));
        self.rooms_max.set(integer(moment.rooms_limit));
        self.participants_total.set(integer(people));
        self.participants_per_room.set(ratio(people, rooms));
        self.cpu_usage_percent
            .set(f64::from(moment.usage.cpu_percent));
        for gauge in &self.memory_usage {
            gauge.set(integer(moment.usage.resident_bytes));
        }
        self.network_bytes_sent.set(integer(bytes_sent));
        self.workers_total.set(integer(moment.workers));
        self.workers_busy
            .set(integer(moment.workers.min(moment.sessions)));
    }
}
