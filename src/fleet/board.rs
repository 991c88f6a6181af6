//! What the nodes of a fleet keep together beside the ledger: notes, and rates that hold for all of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use crate::{Pace, RegistryError};

/// The most notes on one shelf that are read; more are not what one fleet keeps there.
pub(crate) const NOTES_LIMIT: usize = 10_000;

/// Keeps notes by shelf and name until they are removed, and counts turns.
#[async_trait]
pub trait Board: Send + Sync + std::fmt::Debug {
    /// Writes a note in place of the one of the same name.
    async fn put_note(&self, shelf: &str, name: &str, note: &[u8]) -> Result<(), RegistryError>;

    /// Removes a note, if it is there.
    async fn remove_note(&self, shelf: &str, name: &str) -> Result<(), RegistryError>;

    /// The notes of a shelf, in no order; at most 10,000.
    async fn notes(&self, shelf: &str) -> Result<Vec<Vec<u8>>, RegistryError>;

    /// Takes a turn of a rate that all share. The inner error says after how long it is worth asking again.
    async fn take_turn(
        &self,
        rate: &str,
        pace: Pace,
    ) -> Result<Result<(), Duration>, RegistryError>;
}

/// A board in this process's memory.
#[derive(Debug)]
pub struct MemoryBoard {
    shelves: Mutex<HashMap<String, BTreeMap<String, Vec<u8>>>>,
    paid: Mutex<HashMap<String, Duration>>,
    start: Instant,
}

impl Default for MemoryBoard {
    fn default() -> Self {
        Self {
            shelves: Mutex::default(),
            paid: Mutex::default(),
            start: Instant::now(),
        }
    }
}

impl MemoryBoard {
    fn shelves(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<String, Vec<u8>>>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Board for MemoryBoard {
    async fn put_note(&self, shelf: &str, name: &str, note: &[u8]) -> Result<(), RegistryError> {
        let mut shelves = self.shelves();
        let shelf = shelves.entry(shelf.to_owned()).or_default();
        shelf.insert(name.to_owned(), note.to_vec());
        Ok(())
    }

    async fn remove_note(&self, shelf: &str, name: &str) -> Result<(), RegistryError> {
        if let Some(shelf) = self.shelves().get_mut(shelf) {
            shelf.remove(name);
        }
        Ok(())
    }

    async fn notes(&self, shelf: &str) -> Result<Vec<Vec<u8>>, RegistryError> {
        let shelves = self.shelves();
        let notes = shelves.get(shelf).into_iter().flat_map(BTreeMap::values);
        Ok(notes.take(NOTES_LIMIT).cloned().collect())
    }

    async fn take_turn(
        &self,
        rate: &str,
        pace: Pace,
    ) -> Result<Result<(), Duration>, RegistryError> {
        let now = self.start.elapsed();
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = pace.take(paid.get(rate).copied(), now);
        Ok(taken.map(|until| {
            paid.insert(rate.to_owned(), until);
        }))
    }
}
