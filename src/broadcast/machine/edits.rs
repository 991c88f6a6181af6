//! What is changed of a destination that is there.

use std::time::Instant;

use super::Machine;
use crate::{Cause, DestinationChange, DestinationId, Effect, LineName, SpecError};

impl Machine {
    /// Edits a destination. One that failed is tried again, unless it is now disabled.
    pub fn change_destination(
        &mut self,
        id: &DestinationId,
        change: DestinationChange,
        now: Instant,
    ) -> Result<(), SpecError> {
        self.check_not_ended()?;
        let index = self.index(id)?;
        let before = self.states(index);
        let destination = &mut self.destinations[index];
        let key_changed = change
            .stream_key
            .as_ref()
            .is_some_and(|key| key != destination.spec().endpoint.stream_key());
        destination.edit(
            |spec| {
                spec.enabled = change.enabled.unwrap_or(spec.enabled);
                spec.paused = change.paused.unwrap_or(spec.paused);
                spec.required = change.required.unwrap_or(spec.required);
                spec.after_cut = change.after_cut.unwrap_or(spec.after_cut);
                if let Some(key) = change.stream_key {
                    spec.endpoint = spec.endpoint.clone().with_stream_key(key.clone());
                    spec.backup = spec.backup.take().map(|backup| backup.with_stream_key(key));
                }
            },
            now,
        );
        if key_changed {
            self.close_lines(index, now);
        }
        self.pursue_from(index, before, Cause::Edited, now);
        Ok(())
    }

    /// Closes what is open of a destination, and opens it again: somebody else is to carry it. What failed before is tried
    /// again as well, at once.
    pub fn reopen_destination(
        &mut self,
        id: &DestinationId,
        now: Instant,
    ) -> Result<(), SpecError> {
        self.check_not_ended()?;
        let index = self.index(id)?;
        let before = self.states(index);
        self.destinations[index].edit(|_| {}, now);
        self.close_lines(index, now);
        self.pursue_from(index, before, Cause::Edited, now);
        Ok(())
    }

    fn close_lines(&mut self, index: usize, now: Instant) {
        let destination = &mut self.destinations[index];
        for line in LineName::ALL {
            if let Some(attempt) = destination.reopen(line, now) {
                self.effects.push_back(Effect::Close {
                    destination: destination.spec().id.clone(),
                    attempt,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        DestinationEvent, DestinationState, Failure, Reason,
        machine::tests::{closed, effects, id, machine, opened, report, state},
    };

    #[test]
    fn what_is_to_be_carried_by_somebody_else_is_closed_first_and_what_failed_is_tried_again() {
        let now = Instant::now();
        let mut machine = machine(true, &["live", "failed", "other"], now);
        machine.handle_studio_connected(now);
        report(&mut machine, "live", DestinationEvent::Live, now);
        let failure = Failure::new(Reason::ProviderAuth, "refused");
        report(&mut machine, "failed", DestinationEvent::Lost(failure), now);
        effects(&mut machine);

        for name in ["live", "failed"] {
            machine.reopen_destination(&id(name), now).unwrap();
        }

        let effects = effects(&mut machine);
        assert_eq!(closed(&effects), ["live"]);
        let opened: Vec<_> = opened(&effects).iter().map(|(name, _)| *name).collect();
        assert_eq!(opened, ["live", "failed"]);
        assert!(matches!(effects[0], Effect::Close { .. }), "{effects:?}");
        assert_eq!(state(&machine, "live"), DestinationState::Connecting);
    }

    #[test]
    fn what_is_stopped_stays_stopped_whoever_is_to_carry_it() {
        let now = Instant::now();
        let mut machine = machine(false, &["a"], now);
        machine.handle_studio_connected(now);
        effects(&mut machine);

        machine.reopen_destination(&id("a"), now).unwrap();

        assert_eq!(opened(&effects(&mut machine)), []);
        assert_eq!(state(&machine, "a"), DestinationState::Stopped);
    }
}
