//! The rooms on a worker: what is asked of them, and what comes and goes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use media::SenderReport;
use rand::RngExt;
use tokio::sync::mpsc;

use super::{Worker, composites::Composite};
use crate::{
    SinkId,
    door::{PeerKey, stun::Credentials},
    relay::Place,
    router::{
        ConsumerOrder, ProducerOrder, Reply, RouterCommand, RouterError, RouterId, TransportEvent,
        TransportOrder,
        downlink::{ConsumerSetup, ProducerKey},
        transport::Transport,
        uplink::FromClient,
    },
};

/// A transport and where it belongs.
pub(super) struct TransportSlot {
    pub(super) transport: Transport,
    pub(super) router: RouterId,
    /// Names its client's wall clock.
    clock: u32,
    /// Whether it waits in [`Routers::touched`].
    pub(super) touched: bool,
}

/// A producer and who gets it.
pub(super) struct Source {
    pub(super) transport: PeerKey,
    router: RouterId,
    id: String,
    /// Transports that have consumers of it.
    pub(super) audience: Vec<PeerKey>,
    /// Composites that it feeds.
    pub(super) feeds: Vec<PeerKey>,
    /// What its sender told last of the clocks of each layer, and when, for those who come later.
    pub(super) reports: BTreeMap<u8, (SenderReport, Instant)>,
}

/// All rooms of a worker.
#[derive(Default)]
pub(super) struct Routers {
    ids: HashSet<RouterId>,
    pub(super) transports: HashMap<PeerKey, TransportSlot>,
    pub(super) sources: HashMap<ProducerKey, Source>,
    producers_by_name: HashMap<(RouterId, String), ProducerKey>,
    pub(super) composites: HashMap<PeerKey, Composite>,
    /// Those among them that wait for a transport to connect.
    pub(super) waiting: Vec<PeerKey>,
    /// Transports that got something since they were last settled.
    pub(super) touched: Vec<PeerKey>,
    /// Sinks that composites have fed since then.
    pub(super) fed: Vec<SinkId>,
    pub(super) arrivals: Vec<FromClient>,
    next_key: u32,
}

impl Routers {
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let transports = self.transports.values();
        let composites = self.composites.values();
        transports
            .map(|slot| slot.transport.deadline())
            .chain(composites.map(Composite::deadline))
    }

    pub(super) fn producer(&self, router: RouterId, id: &str) -> Option<ProducerKey> {
        let name = (router, id.to_owned());
        self.producers_by_name.get(&name).copied()
    }

    /// Whether there is nothing of any room.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
            && self.transports.is_empty()
            && self.sources.is_empty()
            && self.producers_by_name.is_empty()
            && self.composites.is_empty()
            && self.waiting.is_empty()
            && self.touched.is_empty()
            && self.fed.is_empty()
    }

    fn new_key(&mut self) -> u32 {
        self.next_key = self.next_key.wrapping_add(1);
        self.next_key
    }
}

impl Worker {
    pub(super) fn handle_router_command(&mut self, command: RouterCommand, now: Instant) {
        match command {
            RouterCommand::Open { router } => {
                self.routers.ids.insert(router);
            }
            RouterCommand::Close { router, done } => {
                self.close_router(router, "the room has ended", now);
                let _ = done.send(());
            }
            RouterCommand::OpenTransport {
                router,
                transport,
                local,
                events,
                opened,
            } => {
                let _ = opened.send(self.open_transport(router, transport, local, events, now));
            }
            RouterCommand::Transport { transport, order } => {
                self.handle_transport_order(transport, order, now);
            }
            RouterCommand::Compose {
                composite,
                sink,
                router,
                video,
                audio,
                events,
                composed,
            } => {
                let parts = (video.as_deref(), audio.as_deref());
                let _ = composed.send(self.compose(composite, sink, router, parts, events, now));
            }
        }
    }

    /// Ends all rooms.
    pub(super) fn close_routers(&mut self, reason: &str, now: Instant) {
        for router in self.routers.ids.iter().copied().collect::<Vec<_>>() {
            self.close_router(router, reason, now);
        }
    }

    fn close_router(&mut self, router: RouterId, reason: &str, now: Instant) {
        let transports: Vec<PeerKey> = self
            .routers
            .transports
            .iter()
            .filter(|(_, slot)| slot.router == router)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in transports {
            self.end_transport(peer, reason, now);
        }
        self.routers.ids.remove(&router);
        self.shared.directory.forget_router(router);
    }

    fn open_transport(
        &mut self,
        router: RouterId,
        peer: PeerKey,
        local: Credentials,
        events: mpsc::Sender<TransportEvent>,
        now: Instant,
    ) -> Result<(), RouterError> {
        if !self.routers.ids.contains(&router) {
            return Err(RouterError::NoSuchRouter);
        }
        self.door.admit(peer, local, None);
        let crypto = Arc::clone(&self.shared.crypto);
        let clock = self.routers.new_key();
        let own = rand::rng().random();
        self.routers.transports.insert(
            peer,
            TransportSlot {
                transport: Transport::new(own, events, crypto, now),
                router,
                clock,
                touched: false,
            },
        );
        self.touch_transport(peer);
        Ok(())
    }

    fn handle_transport_order(&mut self, peer: PeerKey, order: TransportOrder, now: Instant) {
        match order {
            TransportOrder::Connect(parameters, reply) => {
                let shared = Arc::clone(&self.shared);
                self.answer(peer, reply, now, |transport| {
                    transport.connect(&parameters, &shared.identity, now)
                });
            }
            TransportOrder::Restart(local, reply) => {
                self.door.restart(peer, local, None);
                self.answer(peer, reply, now, |_| Ok(()));
            }
            TransportOrder::Progress(reply) => {
                self.answer(peer, reply, now, |transport| Ok(transport.progress()));
            }
            TransportOrder::Close(reply) => {
                self.end_transport(peer, "closed by request", now);
                let _ = reply.send(Ok(()));
            }
            TransportOrder::Produce(order, reply) => {
                let _ = reply.send(self.produce(peer, order, now));
            }
            TransportOrder::PauseProducer(id, paused, reply) => {
                let _ = reply.send(self.pause_producer(peer, &id, paused, now));
            }
            TransportOrder::CloseProducer(id, reply) => {
                let _ = reply.send(self.close_producer(peer, &id, now));
            }
            TransportOrder::ProducerCounters(id, reply) => {
                self.answer(peer, reply, now, |transport| {
                    let counters = transport.uplink().counters(&id);
                    counters.ok_or(RouterError::NoSuchProducer)
                });
            }
            TransportOrder::Consume(order, reply) => {
                let _ = reply.send(self.consume(peer, order, now));
            }
            TransportOrder::PauseConsumer(id, paused, reply) => {
                self.answer(peer, reply, now, |transport| {
                    transport.pause_consumer(&id, paused, now)
                });
            }
            TransportOrder::CloseConsumer(id, reply) => {
                let _ = reply.send(self.close_consumer(peer, &id, now));
            }
            TransportOrder::PreferLayers(id, spatial, temporal, reply) => {
                self.answer(peer, reply, now, |transport| {
                    transport.prefer_layers(&id, spatial, temporal, now)
                });
            }
            TransportOrder::ConsumerCounters(id, reply) => {
                self.answer(peer, reply, now, |transport| {
                    transport.consumer_counters(&id)
                });
            }
        }
    }

    fn answer<T>(
        &mut self,
        peer: PeerKey,
        reply: Reply<T>,
        now: Instant,
        work: impl FnOnce(&mut Transport) -> Result<T, RouterError>,
    ) {
        let answer = self
            .with_transport(peer, now, work)
            .unwrap_or(Err(RouterError::NoSuchTransport));
        let _ = reply.send(answer);
    }

    /// Runs `work` on a transport. A panic ends that transport only, and is counted. `None`: there is no such transport,
    /// or any more.
    pub(super) fn with_transport<T>(
        &mut self,
        peer: PeerKey,
        now: Instant,
        work: impl FnOnce(&mut Transport) -> T,
    ) -> Option<T> {
        let slot = self.routers.transports.get_mut(&peer)?;
        if let Ok(done) = catch_unwind(AssertUnwindSafe(|| work(&mut slot.transport))) {
            self.touch_transport(peer);
            Some(done)
        } else {
            self.handle_transport_panic(peer, now);
            None
        }
    }

    pub(super) fn handle_transport_panic(&mut self, peer: PeerKey, now: Instant) {
        self.shared.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!("a room's transport panicked");
        self.end_transport(peer, "the gateway failed", now);
    }

    pub(super) fn touch_transport(&mut self, peer: PeerKey) {
        if let Some(slot) = self.routers.transports.get_mut(&peer)
            && !slot.touched
        {
            slot.touched = true;
            self.routers.touched.push(peer);
        }
    }

    fn produce(
        &mut self,
        peer: PeerKey,
        order: ProducerOrder,
        now: Instant,
    ) -> Result<(), RouterError> {
        let slot = self.routers.transports.get(&peer);
        let router = slot.ok_or(RouterError::NoSuchTransport)?.router;
        let id = order.id.clone();
        if self.routers.producer(router, &id).is_some() {
            return Err(RouterError::Malformed(
                "there is such a producer already".to_owned(),
            ));
        }
        let key = self.routers.new_key();
        self.with_transport(peer, now, |transport| transport.produce(key, order))
            .unwrap_or(Err(RouterError::NoSuchTransport))?;
        let name = (router, id.clone());
        self.routers.producers_by_name.insert(name, key);
        self.routers.sources.insert(
            key,
            Source {
                transport: peer,
                router,
                id,
                audience: Vec::new(),
                feeds: Vec::new(),
                reports: BTreeMap::new(),
            },
        );
        Ok(())
    }

    fn pause_producer(
        &mut self,
        peer: PeerKey,
        id: &str,
        paused: bool,
        now: Instant,
    ) -> Result<(), RouterError> {
        let key = self
            .with_transport(peer, now, |transport| transport.uplink().pause(id, paused))
            .ok_or(RouterError::NoSuchTransport)?
            .ok_or(RouterError::NoSuchProducer)?;
        for listener in self.audience(key) {
            self.with_transport(listener, now, |transport| {
                transport.pause_source(key, paused, now);
            });
        }
        Ok(())
    }

    fn close_producer(&mut self, peer: PeerKey, id: &str, now: Instant) -> Result<(), RouterError> {
        let key = self
            .with_transport(peer, now, |transport| transport.uplink().remove(id))
            .ok_or(RouterError::NoSuchTransport)?
            .ok_or(RouterError::NoSuchProducer)?;
        self.forget_source(key, "the producer has ended", now);
        Ok(())
    }

    /// A producer is gone: its consumers go too, and what it feeds.
    fn forget_source(&mut self, key: ProducerKey, reason: &str, now: Instant) {
        let Some(source) = self.routers.sources.remove(&key) else {
            return;
        };
        let name = (source.router, source.id);
        self.routers.producers_by_name.remove(&name);
        for composite in source.feeds {
            self.leave_composite(composite, key, reason, now);
        }
        for listener in source.audience {
            self.with_transport(listener, now, |transport| transport.drop_source(key, now));
        }
    }

    fn consume(
        &mut self,
        peer: PeerKey,
        order: ConsumerOrder,
        now: Instant,
    ) -> Result<(), RouterError> {
        let routers = &mut self.routers;
        let slot = routers.transports.get(&peer);
        let router = slot.ok_or(RouterError::NoSuchTransport)?.router;
        let producer = routers
            .producer(router, &order.producer)
            .ok_or(RouterError::NoSuchProducer)?;
        let sender = routers
            .sources
            .get(&producer)
            .map(|source| source.transport);
        let sender = sender.and_then(|sender| routers.transports.get_mut(&sender));
        let sender = sender.ok_or(RouterError::NoSuchProducer)?;
        let shape = sender.transport.uplink().shape(producer);
        let (shape, clock) = (shape.ok_or(RouterError::NoSuchProducer)?, sender.clock);
        let mut random = rand::rng();
        let setup = ConsumerSetup {
            key: routers.new_key(),
            producer,
            clock,
            first: Place {
                // In the lower half, so that SRTP's count of rounds starts together at both ends (RFC 3711 § 3.3.1).
                sequence: random.random_range(0..0x8000),
                timestamp: random.random(),
            },
            video: shape.video,
            clock_rate: shape.clock_rate,
            layers: shape.layers,
            rtp: order.rtp,
            paused: order.paused,
            producer_paused: shape.paused,
        };
        let id = order.id;
        self.with_transport(peer, now, |transport| transport.consume(id, setup, now))
            .unwrap_or(Err(RouterError::NoSuchTransport))?;
        if let Some(source) = self.routers.sources.get_mut(&producer)
            && !source.audience.contains(&peer)
        {
            source.audience.push(peer);
        }
        let source = self.routers.sources.get(&producer);
        let reports = source.map_or_else(BTreeMap::new, |source| source.reports.clone());
        self.with_transport(peer, now, |transport| {
            for (layer, (report, arrival)) in &reports {
                transport.forward_report(producer, *layer, report, *arrival);
            }
        });
        Ok(())
    }

    fn close_consumer(&mut self, peer: PeerKey, id: &str, now: Instant) -> Result<(), RouterError> {
        let (producer, stays) = self
            .with_transport(peer, now, |transport| {
                let producer = transport.close_consumer(id, now)?;
                Ok((producer, transport.consumes(producer)))
            })
            .unwrap_or(Err(RouterError::NoSuchTransport))?;
        if !stays {
            self.leave_audience(producer, peer);
        }
        Ok(())
    }

    fn leave_audience(&mut self, producer: ProducerKey, peer: PeerKey) {
        if let Some(source) = self.routers.sources.get_mut(&producer) {
            source.audience.retain(|listener| *listener != peer);
        }
    }

    fn audience(&self, producer: ProducerKey) -> Vec<PeerKey> {
        let source = self.routers.sources.get(&producer);
        source.map_or_else(Vec::new, |source| source.audience.clone())
    }

    /// Ends a transport, with what goes by it. Ending none is no error.
    pub(super) fn end_transport(&mut self, peer: PeerKey, reason: &str, now: Instant) {
        let Some(TransportSlot { mut transport, .. }) = self.routers.transports.remove(&peer)
        else {
            return;
        };
        self.door.dismiss(peer);
        self.shared.directory.forget_session(peer);
        let mut gone = (Vec::new(), Vec::new());
        let _ = catch_unwind(AssertUnwindSafe(|| {
            transport.end(reason, now);
            let producers = transport.uplink().producers();
            gone.0 = producers.map(|(key, _)| key).collect();
            gone.1 = transport.sources().collect();
        }));
        self.flush(&mut transport);
        for producer in gone.0 {
            self.forget_source(producer, "the producer's transport has ended", now);
        }
        for producer in gone.1 {
            self.leave_audience(producer, peer);
        }
    }
}
