//! What is counted of the nodes, and of this one among them.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{StateLabel, counter, gauge, gauges, integer, sockets::follow};

/// An assignment is one step of the registry: a millisecond on loopback.
const ASSIGN_SECONDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0, 3.0];

/// The nodes as this one knows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FleetFigures {
    /// Take broadcasts.
    pub(crate) open: usize,
    /// Live and take no more.
    pub(crate) draining: usize,
    /// Died within the last minute.
    pub(crate) dead: usize,
    /// Whether the registry answers; a process alone needs none.
    pub(crate) reachable: bool,
    /// How often this node was cut off.
    pub(crate) fenced: u64,
    /// How many broadcasts it has taken over.
    pub(crate) adopted: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

pub(super) struct FleetMetrics {
    nodes: Family<StateLabel, Gauge>,
    reachable: Gauge,
    assign: Histogram,
    assignments: Family<OutcomeLabel, Counter>,
    fenced: Counter,
    adopted: Counter,
}

impl FleetMetrics {
    pub(super) fn new(own: &mut Registry) -> Self {
        let assign = Histogram::new(ASSIGN_SECONDS);
        own.register_with_unit(
            "assign",
            "From the question for a node to the answer",
            Unit::Seconds,
            assign.clone(),
        );
        let assignments = Family::<OutcomeLabel, Counter>::default();
        own.register(
            "assignments",
            "Questions for a node by outcome",
            assignments.clone(),
        );
        for outcome in ["found", "none"] {
            drop(assignments.get_or_create(&OutcomeLabel { outcome }));
        }
        Self {
            nodes: gauges(own, "fleet_nodes", "Nodes by state, as this one knows them"),
            reachable: gauge(
                own,
                "registry_reachable",
                "1: the registry answers, or the process is alone; 0: it does not",
            ),
            assign,
            assignments,
            fenced: counter(
                own,
                "fenced",
                "Times that this node stopped sending because another may have taken over",
            ),
            adopted: counter(
                own,
                "adoptions",
                "Broadcasts that this node has taken over from dead nodes",
            ),
        }
    }

    pub(super) fn assigned(&self, elapsed: Duration, is_found: bool) {
        self.assign.observe(elapsed.as_secs_f64());
        let outcome = if is_found { "found" } else { "none" };
        self.assignments
            .get_or_create(&OutcomeLabel { outcome })
            .inc();
    }

    pub(super) fn set(&self, figures: &FleetFigures) {
        let states = [
            ("open", figures.open),
            ("draining", figures.draining),
            ("dead", figures.dead),
        ];
        for (state, count) in states {
            let gauge = self.nodes.get_or_create(&StateLabel { state });
            gauge.set(integer(count));
        }
        self.reachable.set(i64::from(figures.reachable));
        follow(&self.fenced, figures.fenced);
        follow(&self.adopted, figures.adopted);
    }
}
