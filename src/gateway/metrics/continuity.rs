//! What is counted of slates, alarms, and destinations under fire.

use std::sync::Arc;

use broadcast::Alarm;
use pipelines::path::Showing;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{counter, gauge, integer};
use crate::broadcasts::{DestinationSnapshot, Snapshot};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlarmLabel {
    alarm: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShowingLabel {
    showing: &'static str,
}

/// The counters of continuity.
pub(super) struct ContinuityMetrics {
    alarms_active: Family<AlarmLabel, Gauge>,
    alarms_raised: Family<AlarmLabel, Counter>,
    showing: Family<ShowingLabel, Gauge>,
    stand_in_frames: Family<ShowingLabel, Counter>,
    slates_coded: Counter,
    limits_active: Gauge,
    held_back: Gauge,
    paused: Gauge,
}

impl ContinuityMetrics {
    pub(super) fn new(own: &mut Registry) -> Self {
        let metrics = Self {
            alarms_active: Family::default(),
            alarms_raised: Family::default(),
            showing: Family::default(),
            stand_in_frames: Family::default(),
            slates_coded: counter(
                own,
                "slates_coded",
                "Slates that were coded for a live picture, or found coded",
            ),
            limits_active: gauge(
                own,
                "bitrate_limits_active",
                "Studios that are asked to send less, because a required destination cannot keep up",
            ),
            held_back: gauge(
                own,
                "destinations_held_back",
                "Connections that wait for longer than usual, because earlier ones were short",
            ),
            paused: gauge(
                own,
                "destinations_paused",
                "Destinations that are sent the slate in place of the show",
            ),
        };
        own.register(
            "alarms_active",
            "Broadcasts with this alarm",
            metrics.alarms_active.clone(),
        );
        own.register(
            "alarms_raised",
            "Alarms that were raised",
            metrics.alarms_raised.clone(),
        );
        own.register(
            "broadcasts_showing",
            "Broadcasts by what goes out",
            metrics.showing.clone(),
        );
        own.register(
            "stand_in_frames",
            "Pictures that went out in place of a studio's",
            metrics.stand_in_frames.clone(),
        );
        metrics
    }

    pub(super) fn alarm_raised(&self, alarm: Alarm) {
        let alarm = alarm.code();
        self.alarms_raised
            .get_or_create(&AlarmLabel { alarm })
            .inc();
    }

    pub(super) fn stood_in(&self, showing: Showing, pictures: u64) {
        let showing = showing.as_str();
        self.stand_in_frames
            .get_or_create(&ShowingLabel { showing })
            .inc_by(pictures);
    }

    pub(super) fn slate_coded(&self) {
        self.slates_coded.inc();
    }

    pub(super) fn set(&self, broadcasts: &[Arc<Snapshot>]) {
        for each in Alarm::ALL {
            let raised = |broadcast: &&Arc<Snapshot>| {
                broadcast.alarms.iter().any(|alarm| alarm.alarm == each)
            };
            let alarm = each.code();
            self.alarms_active
                .get_or_create(&AlarmLabel { alarm })
                .set(integer(broadcasts.iter().filter(raised).count()));
        }
        for each in Showing::ALL {
            let shown = |broadcast: &&Arc<Snapshot>| broadcast.showing == each;
            let showing = each.as_str();
            self.showing
                .get_or_create(&ShowingLabel { showing })
                .set(integer(broadcasts.iter().filter(shown).count()));
        }
        let limited = |broadcast: &&Arc<Snapshot>| broadcast.bitrate_limit.is_some();
        self.limits_active
            .set(integer(broadcasts.iter().filter(limited).count()));
        let destinations = || {
            broadcasts
                .iter()
                .flat_map(|broadcast| &broadcast.destinations)
        };
        let lines = destinations().flat_map(DestinationSnapshot::lines);
        self.held_back
            .set(integer(lines.filter(|line| line.held_back).count()));
        self.paused.set(integer(
            destinations()
                .filter(|destination| destination.paused)
                .count(),
        ));
    }
}
