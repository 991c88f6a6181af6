//! Which worker has which session, sink and router; read by the HTTP side, written when they come and go.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{SinkId, door::PeerKey, router::RouterId};

/// Where sessions, sinks and routers live.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    next_worker: usize,
    /// A broadcast and a room of the same name live together; how many there are of each name.
    workers_by_name: HashMap<String, (usize, usize)>,
    sinks: HashMap<SinkId, Seat>,
    routers: HashMap<RouterId, Seat>,
    sessions_by_id: HashMap<String, (PeerKey, usize)>,
    ids_by_session: HashMap<PeerKey, (String, Place)>,
    studios: usize,
    viewers: usize,
    transports: usize,
}

#[derive(Debug)]
struct Seat {
    worker: usize,
    name: String,
}

/// What a session takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// One of so many for studios and transports together.
    Studio { limit: usize },
    /// One of its broadcast's, which the worker counts.
    Viewer,
    /// One of so many for studios and transports together.
    Transport { limit: usize },
    /// None: its producers' transports have theirs, and a sink has one source.
    Composite,
}

impl Directory {
    /// A number that no sink, no router and no session has.
    pub(crate) fn next_key(&self) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        inner.next
    }

    /// Chooses one of `workers` for a sink of this name.
    pub(crate) fn place_sink(&self, sink: SinkId, name: &str, workers: usize) -> usize {
        let mut inner = self.lock();
        let seat = inner.sit(name, workers);
        let worker = seat.worker;
        inner.sinks.insert(sink, seat);
        worker
    }

    pub(crate) fn worker_of_sink(&self, sink: SinkId) -> Option<usize> {
        self.lock().sinks.get(&sink).map(|seat| seat.worker)
    }

    pub(crate) fn forget_sink(&self, sink: SinkId) {
        let mut inner = self.lock();
        if let Some(seat) = inner.sinks.remove(&sink) {
            inner.stand_up(&seat);
        }
    }

    /// Chooses one of `workers` for a router of this name.
    pub(crate) fn place_router(&self, router: RouterId, name: &str, workers: usize) -> usize {
        let mut inner = self.lock();
        let seat = inner.sit(name, workers);
        let worker = seat.worker;
        inner.routers.insert(router, seat);
        worker
    }

    pub(crate) fn worker_of_router(&self, router: RouterId) -> Option<usize> {
        self.lock().routers.get(&router).map(|seat| seat.worker)
    }

    pub(crate) fn forget_router(&self, router: RouterId) {
        let mut inner = self.lock();
        if let Some(seat) = inner.routers.remove(&router) {
            inner.stand_up(&seat);
        }
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
        if let Place::Studio { limit } | Place::Transport { limit } = place
            && inner.studios + inner.transports >= limit
        {
            return false;
        }
        if let Some(count) = inner.count(place) {
            *count += 1;
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
            if let Some(count) = inner.count(place) {
                *count -= 1;
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

    pub(crate) fn transports(&self) -> usize {
        self.lock().transports
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// By turns, unless somebody of that name sits already.
    fn sit(&mut self, name: &str, workers: usize) -> Seat {
        let name = name.to_owned();
        let worker = match self.workers_by_name.entry(name.clone()) {
            Entry::Occupied(mut known) => {
                let (worker, users) = known.get_mut();
                *users += 1;
                *worker
            }
            Entry::Vacant(new) => {
                let worker = self.next_worker;
                self.next_worker = (worker + 1) % workers.max(1);
                new.insert((worker, 1)).0
            }
        };
        Seat { worker, name }
    }

    fn stand_up(&mut self, seat: &Seat) {
        if let Some((_, users)) = self.workers_by_name.get_mut(&seat.name) {
            *users -= 1;
            if *users == 0 {
                self.workers_by_name.remove(&seat.name);
            }
        }
    }

    const fn count(&mut self, place: Place) -> Option<&mut usize> {
        match place {
            Place::Studio { .. } => Some(&mut self.studios),
            Place::Viewer => Some(&mut self.viewers),
            Place::Transport { .. } => Some(&mut self.transports),
            Place::Composite => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_and_a_room_of_one_name_share_a_worker() {
        let directory = Directory::default();
        let first = directory.place_sink(SinkId(1), "a", 4);
        let other = directory.place_router(RouterId(2), "b", 4);

        assert_ne!(first, other);
        assert_eq!(directory.place_router(RouterId(3), "a", 4), first);
        assert_eq!(directory.place_sink(SinkId(4), "b", 4), other);
    }

    #[test]
    fn a_name_keeps_its_worker_until_the_last_of_it_has_gone() {
        let directory = Directory::default();
        let first = directory.place_sink(SinkId(1), "a", 2);
        directory.place_router(RouterId(2), "a", 2);

        directory.forget_sink(SinkId(1));
        assert_eq!(directory.place_sink(SinkId(3), "a", 2), first);
        directory.forget_sink(SinkId(3));
        directory.forget_router(RouterId(2));

        assert_ne!(directory.place_sink(SinkId(4), "a", 2), first);
        assert_eq!(directory.lock().workers_by_name.len(), 1);
    }

    #[test]
    fn studios_and_transports_share_their_places() {
        let directory = Directory::default();
        let (studio, transport) = (Place::Studio { limit: 2 }, Place::Transport { limit: 2 });
        assert!(directory.place_session("a", 1, 0, studio));
        assert!(directory.place_session("b", 2, 0, transport));

        assert!(!directory.place_session("c", 3, 0, studio));
        assert!(!directory.place_session("c", 3, 0, transport));
        assert!(directory.place_session("d", 4, 0, Place::Viewer));
        assert!(directory.place_session("e", 5, 0, Place::Composite));

        directory.forget_session(1);
        assert!(directory.place_session("c", 3, 0, transport));
        assert_eq!(
            (
                directory.studios(),
                directory.transports(),
                directory.viewers()
            ),
            (0, 2, 1)
        );
    }
}
