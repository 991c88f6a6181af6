//! Media of rooms on a worker: from each client to all who get it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use super::{
    Worker,
    routers::{Routers, TransportSlot},
    socket::RUN_BYTES,
};
use crate::{
    door::{Path, PeerKey},
    router::{
        downlink::{Incoming, ProducerKey},
        transport::Transport,
        uplink::FromClient,
    },
};

impl Worker {
    /// A datagram from a proven path of a transport.
    pub(super) fn handle_transport_datagram(
        &mut self,
        peer: PeerKey,
        datagram: &[u8],
        now: Instant,
    ) {
        let mut arrivals = std::mem::take(&mut self.routers.arrivals);
        self.with_transport(peer, now, |transport| {
            transport.handle_datagram(datagram, now, &mut arrivals);
        });
        for arrival in arrivals.drain(..) {
            self.forward(arrival, now);
        }
        self.routers.arrivals = arrivals;
    }

    fn forward(&mut self, arrival: FromClient, now: Instant) {
        match arrival {
            FromClient::Packet {
                producer,
                layer,
                packet,
                extensions,
                begins_keyframe,
            } => {
                let incoming = Incoming {
                    producer,
                    layer,
                    packet: &packet,
                    extensions: &extensions,
                    begins_keyframe,
                };
                self.with_audience(producer, now, |transport| transport.forward(&incoming, now));
                self.feed_composites(producer, layer, &packet, begins_keyframe, now);
            }
            FromClient::Report {
                producer,
                layer,
                report,
            } => {
                if let Some(source) = self.routers.sources.get_mut(&producer) {
                    source.reports.insert(layer, (report, now));
                }
                self.with_audience(producer, now, |transport| {
                    transport.forward_report(producer, layer, &report, now);
                });
                self.report_composites(producer, layer, &report, now);
            }
        }
    }

    /// Runs `work` on all who get a producer. A panic ends that transport only.
    fn with_audience(
        &mut self,
        producer: ProducerKey,
        now: Instant,
        work: impl Fn(&mut Transport),
    ) {
        let Routers {
            sources,
            transports,
            touched,
            ..
        } = &mut self.routers;
        let Some(source) = sources.get(&producer) else {
            return;
        };
        let mut broken = Vec::new();
        for &listener in &source.audience {
            let Some(slot) = transports.get_mut(&listener) else {
                continue;
            };
            let TransportSlot {
                transport,
                touched: waits,
                ..
            } = slot;
            if catch_unwind(AssertUnwindSafe(|| work(transport))).is_err() {
                broken.push(listener);
            } else if !*waits {
                *waits = true;
                touched.push(listener);
            }
        }
        for listener in broken {
            self.handle_transport_panic(listener, now);
        }
    }

    /// Lets all transports that got something do what is due, and sends what they have.
    pub(super) fn settle_transports(&mut self, now: Instant) {
        self.settle_fed_sinks(now);
        while let Some(peer) = self.routers.touched.pop() {
            self.settle_transport(peer, now);
        }
    }

    fn settle_transport(&mut self, peer: PeerKey, now: Instant) {
        let Some(slot) = self.routers.transports.get_mut(&peer) else {
            return;
        };
        slot.touched = false;
        let transport = &mut slot.transport;
        let Ok(ended) = catch_unwind(AssertUnwindSafe(|| transport.settle(now))) else {
            self.handle_transport_panic(peer, now);
            return;
        };
        let wishes = std::mem::take(&mut transport.outbox().wishes);
        let is_connected = transport.is_connected();
        flush(transport, &self.socket, &self.tcp_writers);
        for (producer, layer) in wishes {
            self.wish_source_keyframe(producer, layer, now);
        }
        if let Some(reason) = ended {
            self.end_transport(peer, reason, now);
        } else if is_connected && !self.routers.waiting.is_empty() {
            self.begin_waiting_composites(now);
        }
    }

    /// Somebody needs a keyframe of a producer; its arbiter decides when it is asked for.
    pub(super) fn wish_source_keyframe(&mut self, producer: ProducerKey, layer: u8, now: Instant) {
        let Some(source) = self.routers.sources.get(&producer) else {
            return;
        };
        self.with_transport(source.transport, now, |transport| {
            transport.uplink().wish_keyframe(producer, layer);
            transport.hurry(now);
        });
    }

    pub(super) fn handle_transport_timeouts(&mut self, now: Instant) {
        let due: Vec<PeerKey> = self
            .routers
            .transports
            .iter()
            .filter(|(_, slot)| slot.transport.deadline() <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in due {
            self.with_transport(peer, now, |transport| transport.handle_timeout(now));
        }
    }

    /// Sends what a transport has.
    pub(super) fn flush(&self, transport: &mut Transport) {
        flush(transport, &self.socket, &self.tcp_writers);
    }
}

/// Sends what a transport has; many at once where the kernel can.
fn flush(
    transport: &mut Transport,
    socket: &super::WorkerSocket,
    writers: &std::collections::HashMap<u64, tokio::sync::mpsc::Sender<bytes::Bytes>>,
) {
    let path = transport.path();
    let datagrams = &mut transport.outbox().datagrams;
    if datagrams.is_empty() {
        return;
    }
    match path {
        Some(Path::Udp(address)) => {
            datagrams.take_runs(socket.most_segments(), RUN_BYTES, |run, segment| {
                socket.send_run(address, run, segment);
            });
        }
        Some(Path::Tcp(connection, _)) => datagrams.take_runs(1, 0, |datagram, _| {
            if let Some(writer) = writers.get(&connection) {
                // Full: the client does not read; lost, as with UDP.
                let _ = writer.try_send(bytes::Bytes::copy_from_slice(datagram));
            }
        }),
        // Nobody has proven where the client is; what is said is lost, and said again.
        None => datagrams.take_runs(1, 0, |_, _| {}),
    }
}
