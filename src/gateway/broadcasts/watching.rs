//! What a broadcast's task does when its media path tells something, and once a second.

use broadcast::{Change, DestinationState, LineName};
use pipelines::path::{Showing, Status};

use super::{
    carriers::Carried,
    runner::Runner,
    vigil::{RequiredLine, Second},
};
use crate::clock::now;

impl Runner {
    /// The media path told how it is. Returns whether that is news to whoever watches.
    pub(super) fn handle_path(&mut self) -> bool {
        let status = self.path.borrow_and_update().clone();
        let before = (self.shown, self.machine.state());
        self.shown = status.showing;
        self.slate.follow(&status);
        self.compare(&status);
        before != (self.shown, self.machine.state())
    }

    /// A second has passed.
    pub(super) async fn handle_second(&mut self) {
        self.carriers.measure();
        let at = now();
        let status = self.path.borrow().clone();
        self.vigil.count_stand_ins(&status, &self.metrics);
        self.vigil
            .count_engine_restarts(self.spec.id(), &status, &self.metrics);
        let sees_studio = self.studios.current.is_some() && status.showing == Showing::Studio;
        if sees_studio && self.vigil.wants_look(at) {
            self.lookout.look();
        }
        self.compare(&status);
        let required = self.required_lines();
        let second = Second {
            status: &status,
            studio: self.studios.current.as_ref(),
            required: &required,
        };
        let change = self.vigil.handle_second(&second, at);
        if let (Some(change), Some(sink)) = (change, self.sink) {
            let limit = change.limit();
            tracing::info!(broadcast = %self.spec.id(), ?limit, "studio asked for another bitrate");
            self.peers.limit_bitrate(sink, limit).await;
        }
    }

    /// Alarms that were raised or cleared, as changes to tell.
    pub(super) fn alarm_changes(&mut self, changes: &mut Vec<Change>) {
        while let Some(alarm) = self.vigil.poll_alarm() {
            if alarm.raised {
                self.metrics.alarm_raised(alarm.alarm);
            }
            changes.push(Change::Alarm(alarm));
        }
    }

    /// Tells the machine whether anything of the studio goes out.
    fn compare(&mut self, status: &Status) {
        if !status.is_live {
            return;
        }
        let is_heard = self
            .studios
            .current
            .as_ref()
            .is_some_and(|studio| studio.statistics.audio_bits_per_second > 0);
        match status.showing {
            Showing::Studio => self.machine.handle_media_flows(),
            Showing::Slate | Showing::Nothing if is_heard => self.machine.handle_media_flows(),
            Showing::Slate | Showing::Nothing => self.machine.handle_media_stopped(now()),
            Showing::Freeze => {}
        }
    }

    /// The connections that the show is pointless without, as far as they are up.
    fn required_lines(&self) -> Vec<RequiredLine> {
        let required = self
            .machine
            .destinations()
            .iter()
            .filter(|destination| destination.spec().required);
        let live = required.filter(|destination| destination.state() == DestinationState::Live);
        live.filter_map(|destination| {
            let id = (destination.spec().id.clone(), LineName::Primary);
            let Carried { counters, .. } = self.carriers.carried(&id)?;
            Some(RequiredLine {
                queue: counters.queued(),
                acknowledged_bits_per_second: counters.acknowledged_bits_per_second(),
                dropped: counters.frames_dropped(),
                id,
            })
        })
        .collect()
    }
}
