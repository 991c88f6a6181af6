//! What a broadcast looks after once a second: alarms about what comes in, and how much the studio is to send.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use broadcast::{
    AlarmChange, Alarms, BroadcastId, Governor, GovernorInput, LimitChange, Look, Measurement,
    PacketCounts, RequiredFlow,
};
use peers::{IngestStatistics, SessionId};
use pipelines::{inspection::PictureLook, path::Status};

use super::{carriers::LineId, studio::Studio};
use crate::{broadcasts::AlarmSnapshot, clock::WallClock, metrics::Metrics};

/// How often a keyframe of a broadcast is looked at. Decoding one takes some milliseconds of a child's time.
pub(super) const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// A connection of a required destination, and what it has done so far.
#[derive(Debug, Clone)]
pub(super) struct RequiredLine {
    pub(super) id: LineId,
    pub(super) queue: Duration,
    pub(super) acknowledged_bits_per_second: u64,
    /// Pictures that it was too slow for, ever.
    pub(super) dropped: u64,
}

/// What a broadcast knows about itself at the end of a second.
pub(super) struct Second<'a> {
    pub(super) status: &'a Status,
    pub(super) studio: Option<&'a Studio>,
    /// Those that are live.
    pub(super) required: &'a [RequiredLine],
}

/// The alarms and the governor of one broadcast, with what they remember.
#[derive(Default)]
pub(super) struct Vigil {
    alarms: Alarms,
    governor: Governor,
    /// What the session had received when it was last looked at.
    received: Option<(SessionId, IngestStatistics)>,
    dropped: HashMap<LineId, u64>,
    look: Option<(PictureLook, Look)>,
    latest_look: Option<Instant>,
    stood_in: [u64; 2],
    engine_restarts: u64,
}

impl Vigil {
    /// Whether a keyframe is to be looked at now. Asking is noted.
    pub(super) fn wants_look(&mut self, now: Instant) -> bool {
        let is_due = self
            .latest_look
            .is_none_or(|latest| now >= latest + LOOK_PERIOD);
        if is_due {
            self.latest_look = Some(now);
        }
        is_due
    }

    /// A keyframe of the studio's was looked at.
    pub(super) fn handle_look(&mut self, picture: PictureLook, now: Instant) {
        let change = self
            .look
            .as_ref()
            .map(|(before, look)| (picture.difference(before), now - look.at));
        let look = Look {
            at: now,
            mean_luma: picture.mean_luma,
            contrast: picture.contrast,
            change,
        };
        self.look = Some((picture, look));
    }

    /// A second has passed. Returns what the studio is to send from now on, if that has changed.
    pub(super) fn handle_second(
        &mut self,
        second: &Second<'_>,
        now: Instant,
    ) -> Option<LimitChange> {
        if second.studio.is_none() {
            self.look = None;
        }
        let packets = self.count_packets(second.studio);
        let ingest = second.studio.map(|studio| {
            let statistics = studio.statistics;
            statistics.video_bits_per_second + statistics.audio_bits_per_second
        });
        let status = second.status;
        let measurement = Measurement {
            // A studio of which nothing comes is as good as gone; that is said by other means.
            studio_connected: ingest.is_some_and(|bits| bits > 0),
            frames_per_second: status.video.map(|video| video.frames_per_second),
            nominal_frames_per_second: status.nominal_frames_per_second,
            keyframe_interval: status.video.and_then(|video| video.keyframe_interval),
            keyframe_age: None,
            look: self.look.as_ref().map(|(_, look)| *look),
            silent_for: status.sound_level.map(|level| level.quiet_for),
            packets,
            ingest_bits_per_second: ingest,
            out_of_step: status
                .out_of_step_nanoseconds
                .map(|offset| Duration::from_nanos(offset.unsigned_abs())),
        };
        self.alarms.handle_measurement(&measurement, now);
        let required = self.flows(second.required);
        let input = GovernorInput {
            ingest_bits_per_second: ingest?,
            required: &required,
        };
        self.governor.handle_second(&input, now)
    }

    /// Counts the pictures that stood in for the studio's since the last time.
    pub(super) fn count_stand_ins(&mut self, status: &Status, metrics: &Metrics) {
        use pipelines::path::Showing;
        let counters = &status.counters;
        let kinds = [Showing::Freeze, Showing::Slate];
        let totals = [counters.freeze_pictures, counters.slate_pictures];
        for (place, (kind, total)) in kinds.into_iter().zip(totals).enumerate() {
            let new = total.saturating_sub(self.stood_in[place]);
            if new > 0 {
                metrics.stood_in(kind, new);
            }
            self.stood_in[place] = total;
        }
    }

    /// Counts the processes of engines that were replaced since the last time, and says so.
    pub(super) fn count_engine_restarts(
        &mut self,
        broadcast: &BroadcastId,
        status: &Status,
        metrics: &Metrics,
    ) {
        let Some(engine) = &status.engine else { return };
        let new = engine.restarts.saturating_sub(self.engine_restarts);
        self.engine_restarts = engine.restarts;
        if new > 0 {
            let kind = engine.kind.as_str();
            tracing::error!(%broadcast, engine = kind, processes = new, fault = "gateway", "an engine's process was replaced");
            metrics.engine_restarted(engine.kind, new);
        }
    }

    /// What has changed since this was last asked.
    pub(super) fn poll_alarm(&mut self) -> Option<AlarmChange> {
        self.alarms.poll_change()
    }

    /// Whether an alarm is raised.
    pub(super) fn has_alarms(&self) -> bool {
        !self.alarms.active().is_empty()
    }

    /// What is raised now.
    pub(super) fn active(&self, clock: &WallClock) -> Vec<AlarmSnapshot> {
        let active = self.alarms.active().into_iter();
        active
            .map(|alarm| AlarmSnapshot {
                alarm: alarm.alarm,
                message: alarm.message,
                since: clock.at(alarm.since),
            })
            .collect()
    }

    /// The limit in force, in bit/s.
    pub(super) const fn bitrate_limit(&self) -> Option<u64> {
        self.governor.limit()
    }

    fn count_packets(&mut self, studio: Option<&Studio>) -> Option<PacketCounts> {
        let studio = studio?;
        let new = studio.statistics;
        let before = self.received.replace((studio.session.clone(), new));
        let (_, old) = before.filter(|(session, _)| *session == studio.session)?;
        Some(PacketCounts {
            received: new.packets_received.saturating_sub(old.packets_received),
            lost: new.packets_lost.saturating_sub(old.packets_lost),
            recovered: new.packets_recovered.saturating_sub(old.packets_recovered),
        })
    }

    fn flows(&mut self, required: &[RequiredLine]) -> Vec<RequiredFlow> {
        let flows = required
            .iter()
            .map(|line| {
                let before = self.dropped.get(&line.id).copied();
                RequiredFlow {
                    queue: line.queue,
                    bits_per_second_acknowledged: line.acknowledged_bits_per_second,
                    dropped_pictures: before
                        .map_or(0, |before| line.dropped.saturating_sub(before)),
                }
            })
            .collect();
        self.dropped = required
            .iter()
            .map(|line| (line.id.clone(), line.dropped))
            .collect();
        flows
    }
}
