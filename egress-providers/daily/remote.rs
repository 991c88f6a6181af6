//! What is remembered of a broadcast's room and its live stream.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::instance::{endpoint_name, instance};
use crate::hosted::{Handle, HostedTarget, ProviderError};

/// What a handle remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Remote {
    /// Its name.
    pub(super) room: String,
    /// Daily's own name of it.
    pub(super) room_id: String,
    /// How many live streams have been stopped in it.
    #[serde(default)]
    pub(super) attempt: u32,
    /// Whether a live stream was asked for that may be there.
    #[serde(default)]
    pub(super) streaming: bool,
    /// Where it is to go: the names of its destinations, by the texts of their targets.
    #[serde(default)]
    pub(super) targets: BTreeMap<String, String>,
    /// The names that it goes to.
    #[serde(default)]
    pub(super) sent_to: BTreeSet<String>,
    /// The names that it may go to: they were asked for, and the answer was lost.
    #[serde(default)]
    pub(super) perhaps: BTreeSet<String>,
}

impl Remote {
    pub(super) fn of(room: &str, room_id: &str) -> Self {
        Self {
            room: room.to_owned(),
            room_id: room_id.to_owned(),
            attempt: 0,
            streaming: false,
            targets: BTreeMap::new(),
            sent_to: BTreeSet::new(),
            perhaps: BTreeSet::new(),
        }
    }

    pub(super) fn read(handle: &Handle) -> Result<Self, ProviderError> {
        Self::deserialize(&handle.remote)
            .map_err(|_| ProviderError::Protocol("the handle is not one of Daily's".to_owned()))
    }

    pub(super) fn write(&self, handle: &mut Handle) {
        handle.remote = serde_json::json!(self);
    }

    pub(super) fn instance(&self) -> String {
        instance(&self.room_id, self.attempt)
    }

    /// The targets' names in this room.
    pub(super) fn names(&self, targets: &[HostedTarget]) -> BTreeMap<String, String> {
        let name = |target: &HostedTarget| endpoint_name(&self.room_id, &target.endpoint);
        targets
            .iter()
            .map(|target| (target.id.as_str().to_owned(), name(target)))
            .collect()
    }
}

/// A room as Daily names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DailyRoom {
    /// Its name.
    pub name: String,
    /// Daily's own name of it.
    pub id: String,
}

/// The room that a handle remembers; `None` for another provider's handle.
pub fn room_of(handle: &Handle) -> Option<DailyRoom> {
    let Remote { room, room_id, .. } = Remote::read(handle).ok()?;
    Some(DailyRoom {
        name: room,
        id: room_id,
    })
}
