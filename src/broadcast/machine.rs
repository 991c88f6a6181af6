//! The brain of a broadcast: what happened and when goes in, what to do comes out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    Attempt, BroadcastSpec, BroadcastState, Cause, Change, DESTINATIONS_LIMIT, Destination,
    DestinationChange, DestinationEvent, DestinationId, DestinationSpec, DestinationState, Effect,
    Failure, SpecError,
    destination::{Aim, Step},
    retry::Jitter,
};

/// How long destinations stay open without a studio.
///
/// A reload of the page or a change of network takes up to 20 s; Facebook gives a silent publisher up after
/// about 60 s, and nobody gains by keeping a connection that the platform has given up.
pub const STUDIO_GRACE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Studio {
    /// It has never come, or stayed away for too long.
    Absent,
    /// It may come back before this.
    Away {
        until: Instant,
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

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let grace = match self.studio {
            Studio::Away { until } => Some(until),
            Studio::Absent | Studio::Connected => None,
        };
        self.destinations
            .iter()
            .filter_map(Destination::retry_at)
            .chain(grace)
            .min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Studio::Away { until } = self.studio
            && until <= now
        {
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
            let before = self.destinations[index].state();
            self.destinations[index].forgive_studio(now);
            self.pursue_from(index, before, Cause::StudioConnected, now);
        }
    }

    /// The studio's first packet came.
    pub fn handle_media_arrived(&mut self, now: Instant) {
        if self.ended() || self.studio != Studio::Connected {
            return;
        }
        self.first_live.get_or_insert(now);
        self.enter(BroadcastState::Live, Cause::MediaArrived);
    }

    /// The studio is gone. What is open stays open for [`STUDIO_GRACE`]; nothing new is opened.
    pub fn handle_studio_lost(&mut self, now: Instant) {
        if self.ended() || self.studio != Studio::Connected {
            return;
        }
        self.studio = Studio::Away {
            until: now + STUDIO_GRACE,
        };
        self.enter(BroadcastState::Waiting, Cause::StudioLost);
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
                if destination.handle_live(attempt, now) {
                    self.tell(id.clone(), Cause::Accepted, None);
                }
            }
            DestinationEvent::Lost(failure) => {
                if destination.handle_lost(attempt, failure.clone(), &mut self.jitter, now) {
                    self.tell(id.clone(), Cause::Lost, Some(failure));
                    let away = self.studio != Studio::Connected;
                    self.pursue(
                        id,
                        if away {
                            Cause::StudioLost
                        } else {
                            Cause::PauseOver
                        },
                        now,
                    );
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
        self.tell(id.clone(), Cause::Added, None);
        self.pursue(&id, Cause::Added, now);
        Ok(())
    }

    /// Edits a destination. One that failed is tried again, unless it is now disabled.
    pub fn change_destination(
        &mut self,
        id: &DestinationId,
        change: DestinationChange,
        now: Instant,
    ) -> Result<(), SpecError> {
        self.check_not_ended()?;
        let index = self.index(id)?;
        let destination = &mut self.destinations[index];
        let before = destination.state();
        let key_changed = change
            .stream_key
            .as_ref()
            .is_some_and(|key| key != destination.spec().endpoint.stream_key());
        destination.edit(
            |spec| {
                spec.enabled = change.enabled.unwrap_or(spec.enabled);
                if let Some(key) = change.stream_key {
                    spec.endpoint = spec.endpoint.clone().with_stream_key(key.clone());
                    spec.backup = spec.backup.take().map(|backup| backup.with_stream_key(key));
                }
            },
            now,
        );
        if key_changed && let Some(attempt) = destination.reopen(now) {
            self.effects.push_back(Effect::Close {
                destination: id.clone(),
                attempt,
            });
        }
        self.pursue_from(index, before, Cause::Edited, now);
        Ok(())
    }

    /// Closes a destination and forgets it.
    pub fn remove_destination(&mut self, id: &DestinationId) -> Result<(), SpecError> {
        let index = self.index(id)?;
        let destination = self.destinations.remove(index);
        if let Some(attempt) = destination.attempt() {
            self.effects.push_back(Effect::Close {
                destination: id.clone(),
                attempt,
            });
        }
        self.effects.push_back(Effect::Changed(Change::Destination {
            id: id.clone(),
            state: None,
            cause: Cause::Removed,
            failure: None,
        }));
        Ok(())
    }

    /// Ends the broadcast: closes everything, for good. Doing it twice is no error.
    pub fn end(&mut self, now: Instant) {
        if self.ended() {
            return;
        }
        let studio = std::mem::replace(&mut self.studio, Studio::Absent);
        self.state = BroadcastState::Ended;
        self.pursue_all(Cause::Ended, now);
        if studio == Studio::Connected {
            self.effects.push_back(Effect::EndStudio);
        }
        self.effects.push_back(Effect::Changed(Change::Broadcast {
            state: BroadcastState::Ended,
            cause: Cause::Ended,
        }));
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
            Studio::Away { .. } => Aim::Hold,
            Studio::Connected => Aim::Run,
        }
    }

    fn pursue_all(&mut self, cause: Cause, now: Instant) {
        for index in 0..self.destinations.len() {
            self.pursue_from(index, self.destinations[index].state(), cause, now);
        }
    }

    fn pursue(&mut self, id: &DestinationId, cause: Cause, now: Instant) {
        if let Ok(index) = self.index(id) {
            self.pursue_from(index, self.destinations[index].state(), cause, now);
        }
    }

    /// Moves one destination towards its aim, and tells if it no longer stands where it did `before`.
    fn pursue_from(&mut self, index: usize, before: DestinationState, cause: Cause, now: Instant) {
        let aim = self.aim(self.destinations[index].spec().enabled);
        let destination = &mut self.destinations[index];
        let id = destination.spec().id.clone();
        match destination.pursue(aim, now) {
            Step::Stay => {}
            Step::Open => {
                self.attempts += 1;
                let attempt = Attempt(self.attempts);
                let endpoint = destination.open(attempt, now);
                self.effects.push_back(Effect::Open {
                    destination: id.clone(),
                    attempt,
                    endpoint,
                });
                // It comes while the connection is made, which then begins with it.
                self.effects.push_back(Effect::RequestKeyframe);
            }
            Step::Close(attempt) => self.effects.push_back(Effect::Close {
                destination: id.clone(),
                attempt,
            }),
        }
        if self.destinations[index].state() != before {
            self.tell(id, cause, None);
        }
    }

    fn enter(&mut self, state: BroadcastState, cause: Cause) {
        if self.state != state {
            self.state = state;
            self.effects
                .push_back(Effect::Changed(Change::Broadcast { state, cause }));
        }
    }

    fn tell(&mut self, id: DestinationId, cause: Cause, failure: Option<Failure>) {
        let state = self.destination(&id).map(Destination::state);
        self.effects.push_back(Effect::Changed(Change::Destination {
            id,
            state,
            cause,
            failure,
        }));
    }
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
