//! The rooms on a worker.

use std::{collections::HashSet, time::Instant};

use super::Worker;
use crate::router::{Reply, RouterCommand, RouterError, RouterId, TransportOrder};

/// All rooms of a worker.
#[derive(Default)]
pub(super) struct Routers {
    routers: HashSet<RouterId>,
}

impl Worker {
    pub(super) fn handle_router_command(&mut self, command: RouterCommand, _now: Instant) {
        match command {
            RouterCommand::Open { router } => {
                self.routers.routers.insert(router);
            }
            RouterCommand::Close { router, done } => {
                self.routers.routers.remove(&router);
                self.shared.directory.forget_router(router);
                let _ = done.send(());
            }
            RouterCommand::OpenTransport { opened, .. } => {
                refuse(opened, RouterError::NoSuchRouter);
            }
            RouterCommand::Transport { order, .. } => refuse_order(order),
            RouterCommand::Compose { composed, .. } => {
                refuse(composed, RouterError::NoSuchProducer);
            }
        }
    }
}

fn refuse<T>(reply: Reply<T>, error: RouterError) {
    let _ = reply.send(Err(error));
}

fn refuse_order(order: TransportOrder) {
    let gone = RouterError::NoSuchTransport;
    match order {
        TransportOrder::Connect(_, reply)
        | TransportOrder::Restart(_, reply)
        | TransportOrder::Close(reply)
        | TransportOrder::Produce(_, reply)
        | TransportOrder::PauseProducer(_, _, reply)
        | TransportOrder::CloseProducer(_, reply)
        | TransportOrder::Consume(_, reply)
        | TransportOrder::PauseConsumer(_, _, reply)
        | TransportOrder::CloseConsumer(_, reply)
        | TransportOrder::PreferLayers(_, _, _, reply) => refuse(reply, gone),
        TransportOrder::Progress(reply) => refuse(reply, gone),
        TransportOrder::ProducerCounters(_, reply) => refuse(reply, gone),
        TransportOrder::ConsumerCounters(_, reply) => refuse(reply, gone),
    }
}
