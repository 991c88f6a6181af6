//! A media thread: one socket, the sinks and sessions that live on it, and the loop that drives them.

mod command;
mod composites;
mod directory;
mod forwarding;
mod parcel;
mod plain;
mod routers;
mod run;
mod sinks;
pub(crate) mod socket;
pub(crate) mod tcp;
mod viewers;
mod wakes;
pub(crate) mod watchers;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use media::SourceDescription;
use rtc::crypto::RTCCryptoProvider;
use tokio::sync::mpsc;

use crate::{
    OfferError, SinkId,
    door::{Door, ELSEWHERE_LIFETIME, Path, PeerKey, Verdict},
    router::identity::Identity,
    session::{Output, Session, SessionParts},
};
pub(crate) use command::{COMMAND_QUEUE, Command};
pub(crate) use directory::{Directory, Place};
use parcel::{Parcel, SealedParcel};
pub(crate) use plain::PlainCommand;
pub(crate) use run::run;
use sinks::SinkSlot;
use socket::WorkerSocket;
pub use viewers::VIEWERS_LIMIT;
use wakes::Bell;

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) directory: Directory,
    pub(crate) crypto: Arc<dyn RTCCryptoProvider>,
    /// Who we are in the handshakes of rooms.
    pub(crate) identity: Identity,
    pub(crate) panics: AtomicU64,
}

struct SessionSlot {
    session: Session,
    sink: SinkId,
    /// What a studio sends; `None` for a viewer.
    source: Option<SourceDescription>,
}

/// The state of one worker.
pub(crate) struct Worker {
    index: usize,
    queues: Vec<mpsc::Sender<Command>>,
    shared: Arc<Shared>,
    socket: WorkerSocket,
    door: Door,
    sessions: HashMap<PeerKey, SessionSlot>,
    sinks: HashMap<SinkId, SinkSlot>,
    bell: Arc<Bell>,
    plain: plain::Plain,
    routers: routers::Routers,
    tcp_writers: HashMap<u64, mpsc::Sender<Bytes>>,
    /// For each worker, what it gets of this batch.
    parcels: Vec<Parcel>,
    /// Sessions that got something since the last pump.
    touched: Vec<PeerKey>,
    outputs: Vec<Output>,
}

impl Worker {
    pub(crate) fn new(
        index: usize,
        socket: WorkerSocket,
        queues: Vec<mpsc::Sender<Command>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            index,
            parcels: queues.iter().map(|_| Parcel::default()).collect(),
            queues,
            shared,
            socket,
            door: Door::new(index),
            sessions: HashMap::new(),
            sinks: HashMap::new(),
            bell: Arc::default(),
            plain: plain::Plain::default(),
            routers: routers::Routers::default(),
            tcp_writers: HashMap::new(),
            touched: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Obeys a command. `true`: the worker is to end.
    fn handle_command(&mut self, command: Command, now: Instant) -> bool {
        match command {
            Command::Attach { sink, media } => self.attach(sink, media, now),
            Command::Detach { sink, done } => {
                self.remove_sink(sink, "the broadcast has ended");
                let _ = done.send(());
            }
            Command::Open {
                session,
                sink,
                source,
                parts,
                opened,
            } => {
                let _ = opened.send(self.open(session, sink, source, parts, now));
            }
            Command::RestartIce {
                session,
                local,
                remote,
                done,
            } => {
                let slot = self.sessions.get_mut(&session);
                let known = slot.is_some();
                if let Some(slot) = slot {
                    self.door
                        .restart(session, local.clone(), Some(remote.password.clone()));
                    slot.session.handle_restart(local, remote);
                }
                let _ = done.send(known);
            }
            Command::Close { session, done } => {
                self.end_source(session, "closed by request", now);
                let _ = done.send(());
            }
            Command::RequestKeyframe { sink } => self.wish_keyframe(sink, now),
            Command::LimitBitrate { sink, limit } => self.limit_bitrate(sink, limit, now),
            #[cfg(test)]
            Command::AddWatcher {
                sink,
                key,
                watcher,
                added,
            } => {
                let _ = added.send(self.add_watcher(sink, key, watcher, now));
            }
            #[cfg(test)]
            Command::RemoveWatcher { sink, key, removed } => {
                self.remove_watcher(sink, key, now);
                let _ = removed.send(());
            }
            Command::Plain(command) => self.handle_plain_command(command, now),
            Command::Router(command) => self.handle_router_command(command, now),
            Command::Datagrams { via, parcel } => {
                for (from, datagram) in parcel.datagrams() {
                    self.handle_datagram(datagram, Path::Udp(from), Some(via), now);
                }
                self.pump_touched(now);
            }
            Command::PathElsewhere { path, owner } => {
                self.door
                    .remember_elsewhere(path, owner, now + ELSEWHERE_LIFETIME);
            }
            Command::TcpOpened { connection, frames } => {
                self.tcp_writers.insert(connection, frames);
            }
            Command::TcpFrame { path, bytes } => self.handle_datagram(&bytes, path, None, now),
            Command::TcpClosed { path } => {
                self.door.forget_path(path);
                if let Path::Tcp(connection, _) = path {
                    self.tcp_writers.remove(&connection);
                }
            }
            Command::Shutdown { done } => {
                for sink in self.sinks.keys().copied().collect::<Vec<_>>() {
                    self.remove_sink(sink, "the gateway is shutting down");
                }
                self.close_routers("the gateway is shutting down", now);
                let _ = done.send(());
                return true;
            }
        }
        false
    }

    fn open(
        &mut self,
        peer: PeerKey,
        sink: SinkId,
        source: Option<SourceDescription>,
        parts: Box<SessionParts>,
        now: Instant,
    ) -> Result<(), OfferError> {
        if !self.sinks.contains_key(&sink) {
            return Err(OfferError::NoSuchSink);
        }
        if source.is_none() && !self.add_viewer(sink, peer) {
            return Err(OfferError::TooManyViewers);
        }
        self.door.admit(
            peer,
            parts.local.clone(),
            Some(parts.remote.password.clone()),
        );
        let session = Session::new(*parts, Arc::clone(&self.shared.crypto), now);
        self.sessions.insert(
            peer,
            SessionSlot {
                session,
                sink,
                source,
            },
        );
        self.touched.push(peer);
        if source.is_none() {
            self.greet_viewer(sink, peer, now);
        }
        Ok(())
    }

    /// Judges a datagram and gives it to whom it is for. `via`: the worker that received it, when it was another.
    fn handle_datagram(&mut self, bytes: &[u8], path: Path, via: Option<usize>, now: Instant) {
        match self.door.judge(bytes, path, self.shared.crypto.crypto()) {
            Verdict::Admit(peer) if self.routers.transports.contains_key(&peer) => {
                self.handle_transport_datagram(peer, bytes, now);
            }
            Verdict::Admit(peer) => {
                self.with_session(peer, now, |session| session.handle_datagram(bytes, now));
            }
            Verdict::Answer {
                peer,
                answer,
                nominates,
                fresh,
            } => {
                self.send(path, &answer);
                self.with_transport(peer, now, |transport| {
                    transport.handle_consent(path, nominates, now);
                });
                self.with_session(peer, now, |session| {
                    session.handle_consent(path, nominates, now);
                });
                if let Some(via) = via {
                    self.hand_over(
                        via,
                        Command::PathElsewhere {
                            path,
                            owner: self.index,
                        },
                    );
                }
                if fresh {
                    tracing::debug!(address = %path.address(), "path proven");
                }
            }
            Verdict::ProbeAnswer { peer, transaction } => {
                self.with_session(peer, now, |session| {
                    session.handle_probe_answer(transaction, now);
                });
            }
            Verdict::Elsewhere(worker) => {
                // Never twice: a forged fragment must not make datagrams travel in circles.
                if let (None, Path::Udp(from)) = (via, path)
                    && let Some(full) = self
                        .parcels
                        .get_mut(worker)
                        .and_then(|parcel| parcel.push(from, bytes))
                {
                    self.hand_parcel(worker, full);
                }
            }
            Verdict::Drop => {}
        }
    }

    /// Hands over what this batch had for other workers: one wake-up for each of them, not one for each datagram.
    fn hand_parcels(&mut self) {
        for worker in 0..self.parcels.len() {
            if let Some(parcel) = self.parcels[worker].seal() {
                self.hand_parcel(worker, parcel);
            }
        }
    }

    fn hand_parcel(&self, worker: usize, parcel: SealedParcel) {
        let via = self.index;
        self.hand_over(worker, Command::Datagrams { via, parcel });
    }

    fn hand_over(&self, worker: usize, command: Command) {
        if let Some(peer) = self.queues.get(worker)
            && worker != self.index
        {
            // Full: lost, as the network might lose it.
            let _ = peer.try_send(command);
        }
    }

    /// Runs `work` on a session. A panic ends that session only, and is counted.
    fn with_session(&mut self, peer: PeerKey, now: Instant, work: impl FnOnce(&mut Session)) {
        let Some(slot) = self.sessions.get_mut(&peer) else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| work(&mut slot.session))).is_err() {
            self.shared.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a peer connection panicked");
            self.end_session(peer, "the gateway failed", now);
            return;
        }
        if !self.touched.contains(&peer) {
            self.touched.push(peer);
        }
    }

    /// Drains all sessions that got something.
    fn pump_touched(&mut self, now: Instant) {
        while let Some(peer) = self.touched.pop() {
            self.pump(peer, now);
        }
        self.settle_transports(now);
    }

    fn pump(&mut self, peer: PeerKey, now: Instant) {
        let Some(slot) = self.sessions.get_mut(&peer) else {
            return;
        };
        let mut outputs = std::mem::take(&mut self.outputs);
        let sink = slot.sink;
        let pumped = catch_unwind(AssertUnwindSafe(|| {
            slot.session.pump(now, &mut |output| outputs.push(output));
        }));
        if pumped.is_err() {
            self.shared.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a peer connection panicked");
            outputs.clear();
            outputs.push(Output::Ended("the gateway failed"));
        }
        let current = self.sinks.get(&sink).and_then(|slot| slot.current) == Some(peer);
        let mut fed = false;
        for output in outputs.drain(..) {
            match output {
                Output::Send(path, bytes) => self.send(path, &bytes),
                Output::Packet(kind, packet) if current => {
                    fed = true;
                    self.feed_packet(sink, kind, packet, now);
                }
                Output::Report(kind, report) if current => {
                    fed = true;
                    self.feed_report(sink, kind, report, now);
                }
                // A studio that has been taken over from, or has not connected, is not heard.
                Output::Packet(..) | Output::Report(..) => {}
                Output::KeyframeWished => self.wish_keyframe(sink, now),
                Output::Connected => self.make_current(peer, now),
                Output::Ended(reason) => self.end_session(peer, reason, now),
            }
        }
        self.outputs = outputs;
        if fed {
            self.settle_sink(sink, now);
        }
    }

    fn end_session(&mut self, peer: PeerKey, reason: &str, now: Instant) {
        let Some(SessionSlot { session, sink, .. }) = self.sessions.remove(&peer) else {
            return;
        };
        self.door.dismiss(peer);
        self.shared.directory.forget_session(peer);
        let mut farewells = Vec::new();
        let _ = catch_unwind(AssertUnwindSafe(|| {
            session.end(reason, &mut |output| farewells.push(output));
        }));
        for farewell in farewells {
            if let Output::Send(path, bytes) = farewell {
                self.send(path, &bytes);
            }
        }
        let Some(slot) = self.sinks.get_mut(&sink) else {
            return;
        };
        slot.remove_viewer(peer);
        if slot.current == Some(peer) {
            slot.current = None;
            self.tell_source_ended(sink, now);
            self.settle_sink(sink, now);
        }
    }

    fn send(&self, path: Path, bytes: &[u8]) {
        match path {
            Path::Udp(address) => self.socket.send(address, bytes),
            Path::Tcp(connection, _) => {
                if let Some(writer) = self.tcp_writers.get(&connection) {
                    // Full: the peer does not read; lost, as with UDP.
                    let _ = writer.try_send(Bytes::copy_from_slice(bytes));
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.sessions.values().map(|slot| slot.session.deadline());
        sessions
            .chain(self.sinks.values().filter_map(SinkSlot::deadline))
            .chain(self.plain.deadlines())
            .chain(self.routers.deadlines())
            .min()
    }

    fn handle_timeouts(&mut self, now: Instant) {
        let due: Vec<PeerKey> = self
            .sessions
            .iter()
            .filter(|(_, slot)| slot.session.deadline() <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in due {
            self.with_session(peer, now, |session| session.handle_timeout(now));
        }
        self.handle_transport_timeouts(now);
        self.handle_composite_timeouts(now);
        self.handle_plain_timeouts(now);
        self.handle_sink_timeouts(now);
    }
}

fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
