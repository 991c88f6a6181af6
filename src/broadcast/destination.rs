//! One destination of a running broadcast: what was asked for, and its one or two connections.

use std::time::Instant;

use crate::{
    BackupMode, DestinationSpec, DestinationState, Endpoint, Failure,
    line::{Aim, Attempt, Line, Step},
    retry::Jitter,
};

/// Names a connection of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineName {
    /// The only one, unless both addresses are sent to at the same time.
    Primary,
    /// The one to the backup address, when both are sent to at the same time.
    Backup,
}

impl LineName {
    /// Every line.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Backup];

    /// The word of the public contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }
}

/// A destination of a running broadcast.
#[derive(Debug, Clone)]
pub struct Destination {
    spec: DestinationSpec,
    primary: Line,
    backup: Option<Line>,
}

impl Destination {
    pub(crate) fn new(spec: DestinationSpec, aim: Aim, now: Instant) -> Self {
        let has_two = spec.backup.is_some() && spec.backup_mode == BackupMode::Simultaneous;
        Self {
            spec,
            primary: Line::new(aim, now),
            backup: has_two.then(|| Line::new(aim, now)),
        }
    }

    /// What was asked for, as last edited.
    pub const fn spec(&self) -> &DestinationSpec {
        &self.spec
    }

    /// Where it stands, by its first line.
    pub const fn state(&self) -> DestinationState {
        self.primary.state()
    }

    /// The connection that every destination has.
    pub const fn primary(&self) -> &Line {
        &self.primary
    }

    /// The connection of this name, if the destination has it.
    pub const fn line(&self, name: LineName) -> Option<&Line> {
        match name {
            LineName::Primary => Some(&self.primary),
            LineName::Backup => self.backup.as_ref(),
        }
    }

    /// All connections, the primary one first.
    pub fn lines(&self) -> impl Iterator<Item = (LineName, &Line)> {
        LineName::ALL
            .into_iter()
            .filter_map(|name| Some((name, self.line(name)?)))
    }

    /// The address that the first line uses or will use next.
    pub fn address_in_use(&self) -> LineName {
        if self.primary.prefers_backup() && self.backup.is_none() && self.spec.backup.is_some() {
            LineName::Backup
        } else {
            LineName::Primary
        }
    }

    /// The line of an attempt that is open or being opened.
    pub(crate) fn line_of(&self, attempt: Attempt) -> Option<LineName> {
        self.lines()
            .find_map(|(name, line)| (line.attempt() == Some(attempt)).then_some(name))
    }

    /// When a line is to be tried again.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.lines().filter_map(|(_, line)| line.retry_at()).min()
    }

    /// Takes the edit, and forgets what an edit makes worth another try.
    pub(crate) fn edit(&mut self, edit: impl FnOnce(&mut DestinationSpec), now: Instant) {
        edit(&mut self.spec);
        for line in self.lines_mut() {
            line.forget_losses(now);
        }
    }

    /// Another studio came: what failed by the earlier one's fault is worth another try.
    pub(crate) fn forgive_studio(&mut self, now: Instant) {
        for line in self.lines_mut() {
            line.forgive_studio(now);
        }
    }

    /// Moves a line towards the aim by one step; the machine performs it and may ask again.
    pub(crate) fn pursue(&mut self, name: LineName, aim: Aim, now: Instant) -> Step {
        let is_enabled = self.spec.enabled;
        match self.line_mut(name) {
            Some(line) => line.pursue(aim, is_enabled, now),
            None => Step::Stay,
        }
    }

    /// Begins an attempt and tells where to: after an odd number of losses in a row to the other address.
    pub(crate) fn open(&mut self, name: LineName, attempt: Attempt, now: Instant) -> Endpoint {
        let address = match name {
            LineName::Primary => self.address_in_use(),
            LineName::Backup => LineName::Backup,
        };
        if let Some(line) = self.line_mut(name) {
            line.open(attempt, now);
        }
        match (address, &self.spec.backup) {
            (LineName::Backup, Some(backup)) => backup.clone(),
            _ => self.spec.endpoint.clone(),
        }
    }

    /// A line's open connection is to be made anew; returns the attempt to close.
    pub(crate) fn reopen(&mut self, name: LineName, now: Instant) -> Option<Attempt> {
        self.line_mut(name)?.reopen(now)
    }

    /// Media flows. Returns the line for which that is news.
    pub(crate) fn handle_live(&mut self, attempt: Attempt, now: Instant) -> Option<LineName> {
        let name = self.line_of(attempt)?;
        self.line_mut(name)?
            .handle_live(attempt, now)
            .then_some(name)
    }

    /// The attempt is over. Returns the line for which that is news.
    pub(crate) fn handle_lost(
        &mut self,
        attempt: Attempt,
        failure: Failure,
        jitter: &mut Jitter,
        now: Instant,
    ) -> Option<LineName> {
        let name = self.line_of(attempt)?;
        self.line_mut(name)?
            .handle_lost(attempt, failure, jitter, now)
            .then_some(name)
    }

    fn line_mut(&mut self, name: LineName) -> Option<&mut Line> {
        match name {
            LineName::Primary => Some(&mut self.primary),
            LineName::Backup => self.backup.as_mut(),
        }
    }

    fn lines_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        std::iter::once(&mut self.primary).chain(&mut self.backup)
    }
}
