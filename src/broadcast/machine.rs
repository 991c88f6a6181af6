//! The brain of a broadcast: what happened and when goes in, what to do comes out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    Attempt, BroadcastSpec, BroadcastState, Cause, Change, DESTINATIONS_LIMIT, Destination,
    DestinationEvent, DestinationId, DestinationSpec, DestinationState, Effect, Failure, Line,
    LineName, SlateSpec, SpecError,
    line::{Aim, Step},
    retry::Jitter,
};

mod edits;

/// How long destinations stay open without a studio and without a slate.
///
/// A reload of the page or a change of network takes up to 20 s; Facebook gives a silent publisher up after
/// about 60 s, and nobody gains by keeping a connection that the platform has given up.
pub const STUDIO_GRACE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Studio {
    /// It has never come, or stayed away for too long.
    Absent,
    /// It may come back.
    Away {
        since: Instant,
    },
    Connected,
}

/// One broadcast: pure, with time as an argument and jitter from a seed.
///
/// After every call of a `handle_` or command function, perform [`poll_effect`](Self::poll_effect) until it is
/// empty, then wait for the next event or for [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Machine {
    state: BroadcastState,
    studio: Studio,
    slate: SlateSpec,
    /// Since when nothing of a studio goes out, once something has.
    silent_since: Option<Instant>,
    /// Whether anything has gone out, so that there is something to go on with.
    has_begun: bool,
    started: bool,
    first_live: Option<Instant>,
    destinations: Vec<Destination>,
    effects: VecDeque<Effect>,
    jitter: Jitter,
    attempts: u64,
}

impl Machine {
    /// A broadcast that waits for its studio.
    pub fn new(spec: &BroadcastSpec, jitter_seed: u64, now: Instant) -> Self {
        let mut machine = Self {
            state: BroadcastState::Waiting,
            studio: Studio::Absent,
            slate: spec.slate().clone(),
            silent_since: None,
            has_begun: false,
            started: spec.auto_start(),
            first_live: None,
            destinations: Vec::new(),
            effects: VecDeque::new(),
            jitter: Jitter::new(jitter_seed),
            attempts: 0,
        };
        for destination in spec.destinations() {
            let aim = machine.aim(destination.enabled);
            machine
                .destinations
                .push(Destination::new(destination.clone(), aim, now));
        }
        machine
    }

    /// A broadcast that was on air in another process and goes on in this one: its studio is away and may come back, what
    /// stands in for it goes out, and destinations open.
    ///
    /// Without a slate it waits for the studio, for [`STUDIO_GRACE`] as if it had just been lost.
    pub fn resume(
        spec: &BroadcastSpec,
        first_live: Option<Instant>,
        jitter_seed: u64,
        now: Instant,
    ) -> Self {
        let mut machine = Self {
            studio: Studio::Away { since: now },
            has_begun: true,
            first_live,
            ..Self::new(spec, jitter_seed, now)
        };
        if machine.has_stand_in() {
            machine.silent_since = Some(now);
            machine.enter(BroadcastState::Slate, Cause::Adopted);
        }
        machine.pursue_all(Cause::Adopted, now);
        machine
    }

    /// Where the broadcast stands.
    pub const fn state(&self) -> BroadcastState {
        self.state
    }

    /// Whether destinations are to be open when there is a studio.
    pub const fn started(&self) -> bool {
        self.started
    }

    /// When the studio's media first came.
    pub const fn first_live(&self) -> Option<Instant> {
        self.first_live
    }

    /// All destinations in the order in which they were added.
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    /// The destination of this name.
    pub fn destination(&self, id: &DestinationId) -> Option<&Destination> {
        self.destinations
            .iter()
            .find(|destination| destination.spec().id == *id)
    }

    /// Takes the next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When the broadcast ends unless the studio comes back.
    pub fn ends_at(&self) -> Option<Instant> {
        let since = self.silent_since.filter(|_| self.has_stand_in())?;
        Some(since + self.slate.limit())
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended() {
            return None;
        }
        self.destinations
            .iter()
            .filter_map(Destination::retry_at)
            .chain(self.grace_ends_at())
            .chain(self.ends_at())
            .min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ends_at().is_some_and(|at| at <= now) {
            self.end_because(Cause::SlateOver, now);
            return;
        }
        if self.grace_ends_at().is_some_and(|at| at <= now) {
            self.studio = Studio::Absent;
            self.pursue_all(Cause::StudioAbsent, now);
        }
        self.pursue_all(Cause::PauseOver, now);
    }

    /// The studio's session is up: destinations open now, in parallel to its first keyframe.
    ///
    /// A second call is a studio that took over.
    pub fn handle_studio_connected(&mut self, now: Instant) {
        if self.ended() {
            return;
        }
        self.studio = Studio::Connected;
        for index in 0..self.destinations.len() {
            let before = self.states(index);
            self.destinations[index].forgive_studio(now);
            self.pursue_from(index, before, Cause::StudioConnected, now);
        }
    }

    /// The first packet of the studio's came. When a slate stands in for it, that stays until [`handle_media_flows`](Self::handle_media_flows).
    pub fn handle_media_arrived(&mut self, now: Instant) {
        if self.ended() || self.studio != Studio::Connected {
            return;
        }
        self.first_live.get_or_insert(now);
        if self.state == BroadcastState::Waiting {
            self.silent_since = None;
            self.enter(BroadcastState::Live, Cause::MediaArrived);
        }
    }

    /// Nothing of the connected studio goes out any more; the slate does.
    pub fn handle_media_stopped(&mut self, now: Instant) {
        if self.state == BroadcastState::Live && self.has_stand_in() {
            self.silent_since = Some(now);
            self.enter(BroadcastState::Slate, Cause::MediaStopped);
        }
    }

    /// The studio's media goes out. Only after this can anything stand in for it.
    pub fn handle_media_flows(&mut self) {
        if self.ended() || self.studio != Studio::Connected {
            return;
        }
        self.has_begun = true;
        if self.state == BroadcastState::Slate {
            self.silent_since = None;
            self.enter(BroadcastState::Live, Cause::MediaReturned);
        }
    }

    /// The studio is gone. With a slate the show goes on for [`SlateSpec::limit`], then the broadcast ends.
    /// Without, what is open stays open for [`STUDIO_GRACE`], and nothing new is opened.
    pub fn handle_studio_lost(&mut self, now: Instant) {
        if self.ended() || self.studio != Studio::Connected {
            return;
        }
        self.studio = Studio::Away { since: now };
        if self.has_stand_in() {
            self.silent_since.get_or_insert(now);
            self.enter(BroadcastState::Slate, Cause::StudioLost);
        } else {
            self.enter(BroadcastState::Waiting, Cause::StudioLost);
        }
        self.pursue_all(Cause::StudioLost, now);
    }

    /// A destination reports. What is late or unknown is ignored.
    pub fn handle_destination(
        &mut self,
        id: &DestinationId,
        attempt: Attempt,
        event: DestinationEvent,
        now: Instant,
    ) {
        let Some(destination) = self
            .destinations
            .iter_mut()
            .find(|destination| destination.spec().id == *id)
        else {
            return;
        };
        match event {
            DestinationEvent::Live => {
                if let Some(line) = destination.handle_live(attempt, now) {
                    self.tell(id.clone(), line, Cause::Accepted, None);
                }
            }
            DestinationEvent::Lost(failure) => {
                if let Some(line) =
                    destination.handle_lost(attempt, failure.clone(), &mut self.jitter, now)
                {
                    self.tell(id.clone(), line, Cause::Lost, Some(failure));
                    let is_away = self.studio != Studio::Connected;
                    let cause = if is_away {
                        Cause::StudioLost
                    } else {
                        Cause::PauseOver
                    };
                    self.pursue(id, cause, now);
                }
            }
        }
    }

    /// Opens all destinations, now or once the studio is there. One that failed stays failed until it is edited.
    pub fn start(&mut self, now: Instant) -> Result<(), SpecError> {
        self.check_not_ended()?;
        self.started = true;
        self.pursue_all(Cause::Started, now);
        Ok(())
    }

    /// Closes all destinations; the studio stays.
    pub fn stop(&mut self, now: Instant) -> Result<(), SpecError> {
        self.check_not_ended()?;
        self.started = false;
        self.pursue_all(Cause::Stopped, now);
        Ok(())
    }

    /// Adds a destination, which opens at once if the broadcast is under way.
    pub fn add_destination(
        &mut self,
        spec: DestinationSpec,
        now: Instant,
    ) -> Result<(), SpecError> {
        self.check_not_ended()?;
        if self.destination(&spec.id).is_some() {
            return Err(SpecError::DestinationExists(spec.id));
        }
        if self.destinations.len() >= DESTINATIONS_LIMIT {
            return Err(SpecError::TooManyDestinations);
        }
        let id = spec.id.clone();
        let aim = self.aim(spec.enabled);
        self.destinations.push(Destination::new(spec, aim, now));
        self.tell(id.clone(), LineName::Primary, Cause::Added, None);
        self.pursue(&id, Cause::Added, now);
        Ok(())
    }

    /// Closes a destination and forgets it.
    pub fn remove_destination(&mut self, id: &DestinationId) -> Result<(), SpecError> {
        let index = self.index(id)?;
        let destination = self.destinations.remove(index);
        for attempt in destination.lines().filter_map(|(_, line)| line.attempt()) {
            self.effects.push_back(Effect::Close {
                destination: id.clone(),
                attempt,
            });
        }
        self.effects.push_back(Effect::Changed(Change::Destination {
            id: id.clone(),
            line: LineName::Primary,
            state: None,
            cause: Cause::Removed,
            failure: None,
        }));
        Ok(())
    }

    /// Ends the broadcast: closes everything, for good. Doing it twice is no error.
    pub fn end(&mut self, now: Instant) {
        self.end_because(Cause::Ended, now);
    }

    /// The media path is gone: there is nothing to go on with.
    pub fn break_down(&mut self, now: Instant) {
        self.end_because(Cause::Broken, now);
    }

    /// Another process has the broadcast: everything is over here, and nowhere else.
    pub fn give_way(&mut self, now: Instant) {
        self.end_because(Cause::TakenOver, now);
    }

    fn end_because(&mut self, cause: Cause, now: Instant) {
        if self.ended() {
            return;
        }
        let studio = std::mem::replace(&mut self.studio, Studio::Absent);
        self.state = BroadcastState::Ended;
        self.silent_since = None;
        self.pursue_all(cause, now);
        if studio == Studio::Connected {
            self.effects.push_back(Effect::EndStudio);
        }
        self.effects.push_back(Effect::Changed(Change::Broadcast {
            state: BroadcastState::Ended,
            cause,
        }));
    }

    /// Whether something stands in for a studio that is away: there is a slate, and the show has begun.
    fn has_stand_in(&self) -> bool {
        self.slate.enabled() && self.has_begun
    }

    fn grace_ends_at(&self) -> Option<Instant> {
        match self.studio {
            Studio::Away { since } if !self.has_stand_in() => Some(since + STUDIO_GRACE),
            Studio::Away { .. } | Studio::Absent | Studio::Connected => None,
        }
    }

    fn ended(&self) -> bool {
        self.state == BroadcastState::Ended
    }

    fn check_not_ended(&self) -> Result<(), SpecError> {
        if self.ended() {
            Err(SpecError::Ended)
        } else {
            Ok(())
        }
    }

    fn index(&self, id: &DestinationId) -> Result<usize, SpecError> {
        self.destinations
            .iter()
            .position(|destination| destination.spec().id == *id)
            .ok_or_else(|| SpecError::NoSuchDestination(id.clone()))
    }

    fn aim(&self, enabled: bool) -> Aim {
        if self.ended() || !self.started || !enabled {
            return Aim::Stop;
        }
        match self.studio {
            Studio::Absent => Aim::Rest,
            Studio::Away { .. } if self.has_stand_in() => Aim::Run,
            Studio::Away { .. } => Aim::Hold,
            Studio::Connected => Aim::Run,
        }
    }

    fn states(&self, index: usize) -> [Option<DestinationState>; 2] {
        LineName::ALL.map(|name| self.destinations[index].line(name).map(Line::state))
    }

    fn pursue_all(&mut self, cause: Cause, now: Instant) {
        for index in 0..self.destinations.len() {
            self.pursue_from(index, self.states(index), cause, now);
        }
    }

    fn pursue(&mut self, id: &DestinationId, cause: Cause, now: Instant) {
        if let Ok(index) = self.index(id) {
            self.pursue_from(index, self.states(index), cause, now);
        }
    }

    /// Moves a destination's lines towards their aim, and tells of each that no longer stands where it did `before`.
    fn pursue_from(
        &mut self,
        index: usize,
        before: [Option<DestinationState>; 2],
        cause: Cause,
        now: Instant,
    ) {
        let aim = self.aim(self.destinations[index].spec().enabled);
        for (line, before) in LineName::ALL.into_iter().zip(before) {
            let destination = &mut self.destinations[index];
            let id = destination.spec().id.clone();
            match destination.pursue(line, aim, now) {
                Step::Stay => {}
                Step::Open => {
                    self.attempts += 1;
                    let attempt = Attempt(self.attempts);
                    let endpoint = destination.open(line, attempt, now);
                    self.effects.push_back(Effect::Open {
                        destination: id.clone(),
                        line,
                        attempt,
                        endpoint,
                    });
                    if self.studio == Studio::Connected {
                        // It comes while the connection is made, which then begins with it.
                        self.effects.push_back(Effect::RequestKeyframe);
                    }
                }
                Step::Close(attempt) => self.effects.push_back(Effect::Close {
                    destination: id.clone(),
                    attempt,
                }),
            }
            if self.states(index)[line as usize] != before {
                self.tell(id, line, cause, None);
            }
        }
    }

    fn enter(&mut self, state: BroadcastState, cause: Cause) {
        if self.state != state {
            self.state = state;
            self.effects
                .push_back(Effect::Changed(Change::Broadcast { state, cause }));
        }
    }

    fn tell(&mut self, id: DestinationId, line: LineName, cause: Cause, failure: Option<Failure>) {
        let destination = self.destination(&id);
        let state = destination.and_then(|destination| destination.line(line).map(Line::state));
        self.effects.push_back(Effect::Changed(Change::Destination {
            id,
            line,
            state,
            cause,
            failure,
        }));
    }
}

#[cfg(test)]
mod continuity_tests;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod resumed_tests;
#[cfg(test)]
mod tests;
