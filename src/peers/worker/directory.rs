//! Which worker has which session and sink; read by the HTTP side, written when they come and go.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{SinkId, door::PeerKey};

/// Where sessions and sinks live.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    workers_by_sink: HashMap<SinkId, usize>,
    sessions_by_id: HashMap<String, (PeerKey, usize)>,
    ids_by_session: HashMap<PeerKey, (String, Place)>,
    studios: usize,
    viewers: usize,
}

/// What a session takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// One of so many for studios.
    Studio { limit: usize },
    /// One of its broadcast's, which the worker counts.
    Viewer,
}

impl Directory {
    /// A number that no sink and no session has.
    pub(crate) fn next_key(&self) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        inner.next
    }

    pub(crate) fn place_sink(&self, sink: SinkId, worker: usize) {
        self.lock().workers_by_sink.insert(sink, worker);
    }

    pub(crate) fn worker_of_sink(&self, sink: SinkId) -> Option<usize> {
        self.lock().workers_by_sink.get(&sink).copied()
    }

    pub(crate) fn forget_sink(&self, sink: SinkId) {
        self.lock().workers_by_sink.remove(&sink);
    }

    /// Takes a place. `false`: all are taken.
    pub(crate) fn place_session(
        &self,
        id: &str,
        session: PeerKey,
        worker: usize,
        place: Place,
    ) -> bool {
        let mut inner = self.lock();
        match place {
            Place::Studio { limit } if inner.studios >= limit => return false,
            Place::Studio { .. } => inner.studios += 1,
            Place::Viewer => inner.viewers += 1,
        }
        inner
            .sessions_by_id
            .insert(id.to_owned(), (session, worker));
        inner.ids_by_session.insert(session, (id.to_owned(), place));
        true
    }

    pub(crate) fn find_session(&self, id: &str) -> Option<(PeerKey, usize)> {
        self.lock().sessions_by_id.get(id).copied()
    }

    pub(crate) fn forget_session(&self, session: PeerKey) {
        let mut inner = self.lock();
        if let Some((id, place)) = inner.ids_by_session.remove(&session) {
            inner.sessions_by_id.remove(&id);
            match place {
                Place::Studio { .. } => inner.studios -= 1,
                Place::Viewer => inner.viewers -= 1,
            }
        }
    }

    /// Studios, whether current or not.
    pub(crate) fn studios(&self) -> usize {
        self.lock().studios
    }

    pub(crate) fn viewers(&self) -> usize {
        self.lock().viewers
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
