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

    /// Closes what is open of a destination, and opens it again: somebody else is to carry it.
    pub fn reopen_destination(
        &mut self,
        id: &DestinationId,
        now: Instant,
    ) -> Result<(), SpecError> {
        self.check_not_ended()?;
        let index = self.index(id)?;
        let before = self.states(index);
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
