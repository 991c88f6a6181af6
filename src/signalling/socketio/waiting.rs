//! Dialects whose connection broke, until their clients come back.
//!
//! Some clients come back without a word: they go on as if nothing had happened, and name nothing by which they could be
//! known. Whoever has a token and names the room in the URL is known by these.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Caller, Dialect};

/// How many dialects wait at most; a client that finds no place among them begins anew.
const WAITING_LIMIT: usize = 1024;

/// How long a dialect waits. Rooms keep a place for a shorter time, so none ends too early here.
const WAITING_PATIENCE: Duration = Duration::from_mins(1);

/// Whose dialect it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    subject: String,
    room: String,
}

impl Owner {
    /// Reads the token's subject and the URL's `roomId`; `None` if either is missing.
    pub(super) fn of(caller: &Caller) -> Option<Self> {
        Some(Self {
            subject: caller.guest.subject.clone()?,
            room: caller.handshake.query.get("roomId")?.clone(),
        })
    }
}

/// Since when each waits.
type ByOwner = HashMap<Owner, (Instant, Box<dyn Dialect>)>;

/// Those that wait, by their owners.
#[derive(Default)]
pub(super) struct Waiting(Mutex<ByOwner>);

impl Waiting {
    /// Lets a dialect wait, in the place of another one of the same owner's. When there are too many it is dropped.
    pub(super) fn put(&self, owner: Owner, dialect: Box<dyn Dialect>) {
        let mut waiting = self.lock();
        if waiting.len() < WAITING_LIMIT || waiting.contains_key(&owner) {
            waiting.insert(owner, (Instant::now(), dialect));
        }
    }

    /// Takes the dialect of a client that comes back.
    pub(super) fn take(&self, owner: &Owner) -> Option<Box<dyn Dialect>> {
        let (_, dialect) = self.lock().remove(owner)?;
        Some(dialect)
    }

    /// Those that have waited for too long are gone.
    fn lock(&self) -> MutexGuard<'_, ByOwner> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, (since, _)| since.elapsed() < WAITING_PATIENCE);
        waiting
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::rooms::RoomEvent;
    use async_trait::async_trait;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        rooms::Guest,
        socketio::{Ack, Handled, Seat},
        stand_in::StandInRooms,
    };

    struct Mute(Seat);

    #[async_trait]
    impl Dialect for Mute {
        fn seat(&mut self) -> &mut Seat {
            &mut self.0
        }

        async fn handle(&mut self, _: &str, _: Vec<Value>, _: Option<Ack>) -> Handled {
            Handled::Unknown
        }

        async fn tell(&mut self, _: RoomEvent) {}
    }

    fn dialect() -> Box<dyn Dialect> {
        let guest = Guest {
            subject: None,
            claims: json!({}),
            pass: Arc::new(()),
        };
        Box::new(Mute(Seat::new(Arc::new(StandInRooms::default()), guest)))
    }

    fn owner(number: usize) -> Owner {
        Owner {
            subject: format!("somebody {number}"),
            room: "r".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dialect_waits_for_its_owner_a_minute_at_most() {
        let waiting = Waiting::default();
        waiting.put(owner(1), dialect());
        waiting.put(owner(2), dialect());

        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(waiting.take(&owner(1)).is_some());
        assert!(waiting.take(&owner(1)).is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(waiting.take(&owner(2)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_to_those_that_wait() {
        let waiting = Waiting::default();
        for number in 0..=WAITING_LIMIT {
            waiting.put(owner(number), dialect());
        }

        assert!(waiting.take(&owner(WAITING_LIMIT)).is_none());
        assert!(waiting.take(&owner(WAITING_LIMIT - 1)).is_some());
    }
}
