//! What is counted of the engines that make pictures.

use std::sync::Arc;

use pipelines::engine::{EngineKind, EngineState};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{gauge, integer};
use crate::broadcasts::Snapshot;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EngineLabel {
    engine: &'static str,
}

/// The counters of engines.
pub(super) struct EngineMetrics {
    broadcasts: Family<EngineLabel, Gauge>,
    restarts: Family<EngineLabel, Counter>,
    failing: Gauge,
}

impl EngineMetrics {
    pub(super) fn new(own: &mut Registry) -> Self {
        let metrics = Self {
            broadcasts: Family::default(),
            restarts: Family::default(),
            failing: gauge(
                own,
                "engines_failing",
                "Broadcasts whose engine has died or hung and brought nothing forth since",
            ),
        };
        own.register(
            "broadcasts_by_engine",
            "Broadcasts by who makes their pictures",
            metrics.broadcasts.clone(),
        );
        own.register(
            "engine_restarts",
            "Processes of engines that were replaced because they died or hung",
            metrics.restarts.clone(),
        );
        metrics
    }

    pub(super) fn restarted(&self, kind: EngineKind, times: u64) {
        let engine = kind.as_str();
        self.restarts
            .get_or_create(&EngineLabel { engine })
            .inc_by(times);
    }

    pub(super) fn set(&self, broadcasts: &[Arc<Snapshot>]) {
        let engines = || {
            let engine = |broadcast: &Arc<Snapshot>| broadcast.egress.engine;
            broadcasts.iter().filter_map(engine)
        };
        for kind in EngineKind::ALL {
            let engine = kind.as_str();
            let count = engines().filter(|engine| engine.kind == kind).count();
            self.broadcasts
                .get_or_create(&EngineLabel { engine })
                .set(integer(count));
        }
        let failing = engines()
            .filter(|engine| matches!(engine.state, EngineState::Failing(_)))
            .count();
        self.failing.set(integer(failing));
    }
}
