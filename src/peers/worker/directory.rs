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
    ids_by_session: HashMap<PeerKey, String>,
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

    /// Takes a session slot. `false`: all `limit` are taken.
    pub(crate) fn place_session(
        &self,
        id: &str,
        session: PeerKey,
        worker: usize,
        limit: usize,
    ) -> bool {
        let mut inner = self.lock();
        if inner.sessions_by_id.len() >= limit {
            return false;
        }
        inner
            .sessions_by_id
            .insert(id.to_owned(), (session, worker));
        inner.ids_by_session.insert(session, id.to_owned());
        true
    }

    pub(crate) fn find_session(&self, id: &str) -> Option<(PeerKey, usize)> {
        self.lock().sessions_by_id.get(id).copied()
    }

    pub(crate) fn forget_session(&self, session: PeerKey) {
        let mut inner = self.lock();
        if let Some(id) = inner.ids_by_session.remove(&session) {
            inner.sessions_by_id.remove(&id);
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.lock().sessions_by_id.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
