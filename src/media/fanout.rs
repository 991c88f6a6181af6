//! One writer, many readers: a shared window of access units.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use crate::AccessUnit;

/// The writing end. Dropping it ends all readers once they have read everything.
#[derive(Debug)]
pub struct Fanout {}

/// Makes readers. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Subscriber {}

/// One reading end; it never slows the writer or another reader.
#[derive(Debug)]
pub struct Reader {}

/// What a call of [`Reader::poll_batch`] brought besides the access units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// Video access units that this reader lost since the last batch, because it was too slow.
    pub dropped: u64,
}

impl Fanout {
    /// Keeps the last `window` of media for readers.
    pub fn new(_window: Duration) -> Self {
        unimplemented!()
    }

    /// Appends a unit. Readers wake for each picture, and for sound only when no picture came for a while, so that one write carries both.
    pub fn push(&mut self, _unit: AccessUnit) {
        unimplemented!()
    }

    /// A handle from which readers are made.
    pub fn subscriber(&self) -> Subscriber {
        unimplemented!()
    }
}

impl Subscriber {
    /// A reader that begins at the newest keyframe in the window, or at the next one.
    pub fn reader(&self) -> Reader {
        unimplemented!()
    }
}

impl Reader {
    /// Appends all units that are ready to `units`, or registers the task. `None`: the writer is gone and all is read.
    ///
    /// A reader that has fallen out of the window goes on at the newest keyframe and is told how much it lost.
    pub fn poll_batch(&mut self, _context: &mut Context<'_>, _units: &mut Vec<AccessUnit>) -> Poll<Option<Batch>> {
        unimplemented!()
    }
}
