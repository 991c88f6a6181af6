//! How a broadcast is carried, and what follows when that is changed while it is live.

use broadcast::{
    BroadcastChange, BroadcastState, Destination, DestinationEvent, DestinationId, Method,
};

use egress_providers::ContributionKind;

use super::{
    handle::CommandError,
    path::{made_canvas, plan_of},
    runner::Runner,
};
use crate::{admission::Ladder, clock::now};

impl Runner {
    /// The media path takes another engine at the next picture that suits it, if there is room for that.
    pub(super) fn edit(&mut self, change: BroadcastChange) -> Result<(), CommandError> {
        let method = change.method.unwrap_or(self.method);
        let video = change.video.unwrap_or(self.video);
        let plan = plan_of(method, &video);
        let before = std::mem::replace(&mut self.method, method);
        if let Err(no_room) = self.make_room(plan, None) {
            self.method = before;
            return Err(no_room.into());
        }
        self.video = video;
        self.follow_plan();
        self.follow_method(before);
        Ok(())
    }

    /// Gives destinations to whoever is to carry them by the method of now. One key has one publisher at a time: each is
    /// closed before it is opened again.
    fn follow_method(&mut self, before: Method) {
        self.carriers.set_method(self.method);
        let lines = self.lines_by_method();
        let destinations = self.machine.destinations().iter().map(Destination::spec);
        let moving = destinations.filter(|spec| self.carriers.must_move(spec, lines));
        let moving: Vec<DestinationId> = moving.map(|spec| spec.id.clone()).collect();
        for id in moving {
            // What has ended meanwhile is not to be moved.
            let _ = self.machine.reopen_destination(&id, now());
        }
        let was_elsewhere = self.carriers.is_direct(before);
        if was_elsewhere && !self.carriers.is_direct(self.method) && self.studios.current.is_none()
        {
            self.machine.handle_studio_lost(now());
        }
        self.expect_studio_elsewhere();
    }

    /// Has the media path make pictures as they are to be made now.
    pub(super) fn follow_plan(&mut self) {
        let mut plan = plan_of(self.method, &self.video);
        let steps_down = *self.steps_down.borrow_and_update();
        if steps_down > 0 {
            let canvas = plan.canvas.or_else(|| made_canvas(&self.path.borrow()));
            plan.canvas = canvas.map(|canvas| Ladder::shape(steps_down, canvas));
        }
        let is_news = self.plan.send_if_modified(|known| {
            let is_news = *known != plan;
            *known = plan;
            is_news
        });
        if is_news {
            tracing::info!(broadcast = %self.spec.id(), method = %self.method, ?plan, "engine to be changed");
        }
    }

    /// With a provider that the studio goes to itself, nobody comes here: destinations are opened as if somebody had, and
    /// the provider waits for the studio.
    pub(super) fn expect_studio_elsewhere(&mut self) {
        if self.studio_is_elsewhere() {
            self.machine.handle_studio_connected(now());
        }
    }

    /// How the show gets to the provider that the method names; `None` where a rule chooses, which is reckoned as if it were
    /// this node.
    pub(super) fn contribution(&self) -> Option<ContributionKind> {
        self.carriers.contribution(self.method)
    }

    /// Whether the studio goes to the provider itself.
    pub(super) fn studio_is_elsewhere(&self) -> bool {
        self.carriers.is_direct(self.method)
    }

    /// The first destination that a provider has a studio's show for is the first that is heard of the studio.
    pub(super) fn handle_live_elsewhere(&mut self, event: &DestinationEvent) {
        let is_first = self.machine.state() == BroadcastState::Waiting;
        if is_first && *event == DestinationEvent::Live && self.studio_is_elsewhere() {
            self.machine.handle_media_arrived(now());
        }
    }

    /// How many connections are to be made by whoever the method says.
    pub(super) fn lines_by_method(&self) -> usize {
        let destinations = self.machine.destinations().iter();
        destinations
            .filter(|destination| {
                let spec = destination.spec();
                spec.enabled && spec.provider.is_none()
            })
            .map(|destination| destination.lines().count())
            .sum()
    }
}
