//! Plain RTP on a worker: its sockets, what comes in by them, and who it is for.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Instant,
};

use media::{SourceDescription, TrackKind};
use tokio::sync::oneshot;

use super::{
    Worker,
    socket::{ReceiveBuffers, WorkerSocket},
    watchers::WatcherKey,
};
use crate::{
    SinkId,
    door::PeerKey,
    plain::{
        PlainError,
        egress::Outlet,
        ingest::{Ingest, IngestOutput},
        ports::BoundPair,
        setup::EgressParts,
    },
};

/// Batches taken from one socket before the others get their turn.
const MOST_BATCHES: usize = 4;

/// What others ask of a worker about plain RTP.
pub(crate) enum PlainCommand {
    OpenIngest {
        key: PeerKey,
        sink: SinkId,
        ingest: Box<Ingest>,
        sockets: Vec<(TrackKind, BoundPair)>,
        opened: oneshot::Sender<Result<(), PlainError>>,
    },
    OpenEgress {
        key: WatcherKey,
        sink: SinkId,
        parts: Box<EgressParts>,
        opened: oneshot::Sender<Result<(), PlainError>>,
    },
    CloseEgress {
        key: WatcherKey,
        sink: SinkId,
        closed: oneshot::Sender<()>,
    },
}

/// Whose a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Ingest(PeerKey),
    Egress(SinkId, WatcherKey),
}

/// The sockets of one stream; one of them twice when RTP and RTCP share a port.
#[derive(Clone)]
struct Pair {
    kind: TrackKind,
    media: Arc<WorkerSocket>,
    reports: Arc<WorkerSocket>,
}

struct Entry {
    owner: Owner,
    kind: TrackKind,
    /// Whether only RTCP comes here.
    reports: bool,
    socket: Arc<WorkerSocket>,
}

/// An ingest and what it needs.
pub(super) struct IngestSlot {
    ingest: Ingest,
    pub(super) sink: SinkId,
    pub(super) source: SourceDescription,
    pairs: Vec<Pair>,
}

/// All plain RTP of a worker.
#[derive(Default)]
pub(super) struct Plain {
    sockets: Vec<Entry>,
    pub(super) ingests: HashMap<PeerKey, IngestSlot>,
    outputs: Vec<IngestOutput>,
}

impl Plain {
    /// Waits until something can be received on any of the sockets. Cancel-safe; never comes when there are none.
    pub(super) async fn readable(&self) {
        poll_fn(|context| {
            // All of them are asked, so that each can wake.
            let ready = self
                .sockets
                .iter()
                .filter(|entry| entry.socket.poll_readable(context).is_ready())
                .count();
            if ready > 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    pub(super) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.ingests.values().map(|slot| slot.ingest.deadline())
    }

    fn add(&mut self, owner: Owner, pairs: &[Pair]) {
        for pair in pairs {
            let shared = Arc::ptr_eq(&pair.media, &pair.reports);
            let second = (!shared).then_some((&pair.reports, true));
            for (socket, reports) in [Some((&pair.media, false)), second].into_iter().flatten() {
                self.sockets.push(Entry {
                    owner,
                    kind: pair.kind,
                    reports,
                    socket: Arc::clone(socket),
                });
            }
        }
    }

    fn remove(&mut self, owner: Owner) {
        self.sockets.retain(|entry| entry.owner != owner);
    }
}

/// Takes bound sockets into the worker's runtime.
fn adopt(sockets: Vec<(TrackKind, BoundPair)>) -> io::Result<Vec<Pair>> {
    sockets
        .into_iter()
        .map(|(kind, pair)| {
            let media = Arc::new(WorkerSocket::new(pair.media)?);
            let reports = match pair.reports {
                Some(socket) => Arc::new(WorkerSocket::new(socket)?),
                None => Arc::clone(&media),
            };
            Ok(Pair {
                kind,
                media,
                reports,
            })
        })
        .collect()
}

/// Sends by the sockets of an egress.
struct Sockets(Vec<Pair>);

impl Outlet for Sockets {
    fn send(&self, kind: TrackKind, rtcp: bool, to: SocketAddr, datagram: &[u8]) {
        if let Some(pair) = self.0.iter().find(|pair| pair.kind == kind) {
            let socket = if rtcp { &pair.reports } else { &pair.media };
            socket.send(to, datagram);
        }
    }
}

impl Worker {
    pub(super) fn handle_plain_command(&mut self, command: PlainCommand, now: Instant) {
        match command {
            PlainCommand::OpenIngest {
                key,
                sink,
                ingest,
                sockets,
                opened,
            } => {
                let _ = opened.send(self.open_ingest(key, sink, *ingest, sockets));
            }
            PlainCommand::OpenEgress {
                key,
                sink,
                parts,
                opened,
            } => {
                let _ = opened.send(self.open_egress(key, sink, *parts, now));
            }
            PlainCommand::CloseEgress { key, sink, closed } => {
                self.plain.remove(Owner::Egress(sink, key));
                self.remove_watcher(sink, key, now);
                let _ = closed.send(());
            }
        }
    }

    fn open_ingest(
        &mut self,
        key: PeerKey,
        sink: SinkId,
        ingest: Ingest,
        sockets: Vec<(TrackKind, BoundPair)>,
    ) -> Result<(), PlainError> {
        if !self.sinks.contains_key(&sink) {
            return Err(PlainError::NoSuchSink);
        }
        let pairs = adopt(sockets).map_err(|error| PlainError::Internal(error.to_string()))?;
        self.plain.add(Owner::Ingest(key), &pairs);
        let source = ingest.source();
        self.plain.ingests.insert(
            key,
            IngestSlot {
                ingest,
                sink,
                source,
                pairs,
            },
        );
        Ok(())
    }

    fn open_egress(
        &mut self,
        key: WatcherKey,
        sink: SinkId,
        parts: EgressParts,
        now: Instant,
    ) -> Result<(), PlainError> {
        if !self.sinks.contains_key(&sink) {
            return Err(PlainError::NoSuchSink);
        }
        let EgressParts { sockets, build } = parts;
        let pairs = adopt(sockets).map_err(|error| PlainError::Internal(error.to_string()))?;
        let egress = build(Box::new(Sockets(pairs.clone())), now);
        if !self.add_watcher(sink, key, Box::new(egress), now) {
            return Err(PlainError::Full);
        }
        self.plain.add(Owner::Egress(sink, key), &pairs);
        Ok(())
    }

    /// Reads all sockets that have something. Returns whether any had.
    pub(super) fn receive_plain(&mut self, buffers: &mut ReceiveBuffers, now: Instant) -> bool {
        let mut received = false;
        let mut index = 0;
        // What is read may close sockets, so they are looked at one by one.
        while let Some(entry) = self.plain.sockets.get(index) {
            index += 1;
            let (owner, kind, reports) = (entry.owner, entry.kind, entry.reports);
            let socket = Arc::clone(&entry.socket);
            for _ in 0..MOST_BATCHES {
                if !socket.receive(buffers) {
                    break;
                }
                received = true;
                for (from, datagram) in buffers.datagrams() {
                    self.handle_plain_datagram(owner, (kind, reports), datagram, from, now);
                }
                if let Owner::Ingest(key) = owner {
                    self.settle_ingest(key, now);
                }
            }
        }
        received
    }

    fn handle_plain_datagram(
        &mut self,
        owner: Owner,
        (kind, reports): (TrackKind, bool),
        datagram: &[u8],
        from: SocketAddr,
        now: Instant,
    ) {
        match owner {
            Owner::Ingest(key) => self.with_ingest(key, now, |ingest, act| {
                let act = &mut |output| act.push(output);
                ingest.handle_datagram(kind, reports, datagram, from, now, act);
            }),
            Owner::Egress(sink, key) => {
                self.tell_watcher(sink, key, |watcher| {
                    watcher.handle_feedback(kind, datagram, from, now);
                });
                self.settle_sink(sink, now);
            }
        }
    }

    pub(super) fn handle_plain_timeouts(&mut self, now: Instant) {
        let due: Vec<PeerKey> = self
            .plain
            .ingests
            .iter()
            .filter(|(_, slot)| slot.ingest.deadline() <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.with_ingest(key, now, |ingest, act| {
                ingest.handle_timeout(now, &mut |output| act.push(output));
            });
            self.settle_ingest(key, now);
        }
    }

    /// Runs `work` on an ingest and does what comes out. A panic ends that ingest only, and is counted.
    fn with_ingest(
        &mut self,
        key: PeerKey,
        now: Instant,
        work: impl FnOnce(&mut Ingest, &mut Vec<IngestOutput>),
    ) {
        let Some(slot) = self.plain.ingests.get_mut(&key) else {
            return;
        };
        let mut outputs = std::mem::take(&mut self.plain.outputs);
        if catch_unwind(AssertUnwindSafe(|| work(&mut slot.ingest, &mut outputs))).is_err() {
            self.shared.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("plain RTP panicked");
            self.end_ingest(key, "the gateway failed", now);
            return;
        }
        let sink = slot.sink;
        for output in outputs.drain(..) {
            match output {
                IngestOutput::Send(kind, to, datagram) => {
                    let slot = self.plain.ingests.get(&key);
                    let pair =
                        slot.and_then(|slot| slot.pairs.iter().find(|pair| pair.kind == kind));
                    if let Some(pair) = pair {
                        pair.reports.send(to, &datagram);
                    }
                }
                IngestOutput::Started => self.begin_ingest(key, now),
                IngestOutput::Packet(kind, packet) if self.is_current(sink, key) => {
                    self.feed_packet(sink, kind, packet, now);
                }
                IngestOutput::Report(kind, report) if self.is_current(sink, key) => {
                    self.feed_report(sink, kind, report, now);
                }
                // Another source has taken over.
                IngestOutput::Packet(..) | IngestOutput::Report(..) => {}
                IngestOutput::Gone => self.leave_sink(key, sink, now),
            }
        }
        self.plain.outputs = outputs;
    }

    fn settle_ingest(&mut self, key: PeerKey, now: Instant) {
        if let Some(sink) = self.plain.ingests.get(&key).map(|slot| slot.sink) {
            self.settle_sink(sink, now);
        }
    }

    fn is_current(&self, sink: SinkId, key: PeerKey) -> bool {
        self.sinks.get(&sink).and_then(|slot| slot.current) == Some(key)
    }

    /// The sink is an ingest's from now on, or the ingest begins anew.
    fn begin_ingest(&mut self, key: PeerKey, now: Instant) {
        let Some((sink, source)) = self
            .plain
            .ingests
            .get(&key)
            .map(|slot| (slot.sink, slot.source))
        else {
            return;
        };
        let Some(slot) = self.sinks.get_mut(&sink) else {
            return;
        };
        if let Some(previous) = slot.current.replace(key) {
            self.tell_source_ended(sink, now);
            if previous != key {
                self.end_source(previous, "another studio took over", now);
            }
        }
        self.tell_source_started(sink, source, now);
    }

    /// Ends whatever feeds a sink.
    pub(super) fn end_source(&mut self, key: PeerKey, reason: &str, now: Instant) {
        self.end_session(key, reason, now);
        self.end_ingest(key, reason, now);
        self.end_composite(key, reason, now);
    }

    /// Ends an ingest and closes its ports. Ending none is no error.
    pub(super) fn end_ingest(&mut self, key: PeerKey, reason: &str, now: Instant) {
        let Some(slot) = self.plain.ingests.remove(&key) else {
            return;
        };
        self.plain.remove(Owner::Ingest(key));
        self.shared.directory.forget_session(key);
        slot.ingest.end(reason);
        self.leave_sink(key, slot.sink, now);
    }

    pub(super) fn leave_sink(&mut self, key: PeerKey, sink: SinkId, now: Instant) {
        if self.is_current(sink, key)
            && let Some(slot) = self.sinks.get_mut(&sink)
        {
            slot.current = None;
            self.tell_source_ended(sink, now);
            self.settle_sink(sink, now);
        }
    }

    /// Ends all plain RTP of a sink that is going.
    pub(super) fn remove_plain_of(&mut self, sink: SinkId, reason: &str, now: Instant) {
        let ingests: Vec<PeerKey> = self
            .plain
            .ingests
            .iter()
            .filter(|(_, slot)| slot.sink == sink)
            .map(|(key, _)| *key)
            .collect();
        for key in ingests {
            self.end_ingest(key, reason, now);
        }
        self.plain
            .sockets
            .retain(|entry| !matches!(entry.owner, Owner::Egress(of, _) if of == sink));
    }

    /// Somebody needs a keyframe of an ingest's sender.
    pub(super) fn wish_ingest_keyframe(&mut self, key: PeerKey, now: Instant) {
        if let Some(slot) = self.plain.ingests.get_mut(&key) {
            slot.ingest.wish_keyframe(now);
        }
    }
}
