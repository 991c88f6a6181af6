//! What is counted of renditions.

use pipelines::rendition::RenditionStatus;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::{counter, gauge};

/// The counters of renditions.
pub(super) struct RenditionMetrics {
    active: Gauge,
    restarts: Counter,
    frames: Counter,
    freeze_frames: Counter,
    frames_dropped: Counter,
}

impl RenditionMetrics {
    pub(super) fn new(own: &mut Registry) -> Self {
        Self {
            active: gauge(own, "renditions_active", "Renditions that are being made"),
            restarts: counter(
                own,
                "rendition_restarts",
                "Processes of renditions that died or hung",
            ),
            frames: counter(own, "rendition_frames", "Pictures of renditions"),
            freeze_frames: counter(
                own,
                "rendition_freeze_frames",
                "Pictures of renditions that repeat the one before, because none came in time",
            ),
            frames_dropped: counter(
                own,
                "rendition_frames_dropped",
                "Pictures that renditions lost, because a process was too slow or away",
            ),
        }
    }
}

impl super::Metrics {
    pub(crate) fn rendition_begun(&self) {
        self.renditions.active.inc();
    }

    pub(crate) fn rendition_ended(&self) {
        self.renditions.active.dec();
    }

    /// Adds what became of a rendition between two moments.
    pub(crate) fn add_rendition(&self, before: &RenditionStatus, after: &RenditionStatus) {
        let own = &self.renditions;
        let more = |value: fn(&RenditionStatus) -> u64| value(after).saturating_sub(value(before));
        own.restarts.inc_by(more(|status| status.restarts));
        own.frames.inc_by(more(|status| status.pictures));
        own.freeze_frames
            .inc_by(more(|status| status.freeze_pictures));
        own.frames_dropped.inc_by(more(|status| status.dropped));
    }
}
