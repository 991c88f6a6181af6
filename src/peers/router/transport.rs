//! One connection of a participant: the way to them, the handshake, what they send and what they get. No I/O; time is an
//! argument.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ortc::DtlsParameters;
use rtc::{crypto::RTCCryptoProvider, rtcp};
use tokio::sync::mpsc;

use super::{
    ConsumerCounters, ProducerOrder, RouterError, TransportEvent, TransportProgress,
    downlink::{
        ConsumerKey, ConsumerSetup, Downlink, DownlinkEvent, DownlinkHands, Incoming, ProducerKey,
    },
    dtls::{Handshake, Keys, Step},
    identity::Identity,
    outbox::Outbox,
    uplink::{FromClient, Uplink, malformed},
};
use crate::{
    door::{Path, Reach},
    packet,
    srtp::{Opener, Sealer},
};

/// The most consumers of one transport.
pub(crate) const CONSUMERS_LIMIT: usize = 256;
/// SSRCs of one client: 64 producers with three layers and their repair, with room for one that changes them.
const SSRCS_LIMIT: usize = 512;
/// RTCP packets of a compound that are looked at.
const COMPOUND_LIMIT: usize = 64;
/// How long the DTLS handshake may take once both the client's path and its fingerprint are known. The library tells
/// nobody when it fails for good, as with a wrong fingerprint.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// A track to the client.
struct Consumer {
    key: ConsumerKey,
    id: String,
    of: ProducerKey,
    /// Its SSRC and that of its repair.
    ssrcs: [Option<u32>; 2],
}

/// One connection.
pub(crate) struct Transport {
    crypto: Arc<dyn RTCCryptoProvider>,
    reach: Reach,
    progress: TransportProgress,
    /// What the owner was told last, since a full queue loses what it is told.
    told: TransportProgress,
    handshake: Handshake,
    handshake_deadline: Option<Instant>,
    opener: Option<Opener>,
    uplink: Uplink,
    downlink: Downlink,
    consumers: Vec<Consumer>,
    outbox: Outbox,
    events: mpsc::Sender<TransportEvent>,
    ended: Option<&'static str>,
    deadline: Instant,
}

impl Transport {
    /// One that waits for its client. `own` is its SSRC in RTCP, at random.
    pub(crate) fn new(
        own: u32,
        events: mpsc::Sender<TransportEvent>,
        crypto: Arc<dyn RTCCryptoProvider>,
        now: Instant,
    ) -> Self {
        Self {
            crypto,
            reach: Reach::new(now),
            progress: TransportProgress::New,
            told: TransportProgress::New,
            handshake: Handshake::default(),
            handshake_deadline: None,
            opener: None,
            uplink: Uplink::new(own, now),
            downlink: Downlink::new(now),
            consumers: Vec::new(),
            outbox: Outbox::default(),
            events,
            ended: None,
            deadline: now,
        }
    }

    /// How far it is.
    pub(crate) const fn progress(&self) -> TransportProgress {
        self.progress
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due. Kept, so that asking is free.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Where the client is, once it has proven that.
    pub(crate) const fn path(&self) -> Option<Path> {
        self.reach.path()
    }

    /// What wants to be done.
    pub(crate) const fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// All that the client sends.
    pub(crate) const fn uplink(&mut self) -> &mut Uplink {
        &mut self.uplink
    }

    /// The client proved a path.
    pub(crate) fn handle_consent(&mut self, path: Path, nominates: bool, now: Instant) {
        self.reach.handle_consent(path, nominates, now);
        self.advance(TransportProgress::Reachable);
        self.watch_handshake(now);
    }

    /// Takes the client's certificate.
    pub(crate) fn connect(
        &mut self,
        parameters: &DtlsParameters,
        identity: &Identity,
        now: Instant,
    ) -> Result<(), RouterError> {
        self.handshake
            .connect(parameters, identity, &self.crypto, now)?;
        while let Some(step) = self.handshake.replay(now) {
            self.handle_step(step, now);
        }
        self.watch_handshake(now);
        Ok(())
    }

    /// One more track of the client's.
    pub(crate) fn produce(
        &mut self,
        key: ProducerKey,
        order: ProducerOrder,
    ) -> Result<(), RouterError> {
        self.uplink.add(key, order)
    }

    /// One more track to the client.
    pub(crate) fn consume(
        &mut self,
        id: String,
        consumer: ConsumerSetup,
        now: Instant,
    ) -> Result<(), RouterError> {
        if self.consumers.len() >= CONSUMERS_LIMIT {
            return Err(malformed("the transport has 256 consumers already"));
        }
        let [encoding] = &consumer.rtp.encodings[..] else {
            return Err(malformed("a consumer has one encoding"));
        };
        if encoding.ssrc.is_none() || consumer.rtp.codecs.is_empty() {
            return Err(malformed("a consumer needs an SSRC and a codec"));
        }
        let ssrcs = [encoding.ssrc, encoding.rtx.map(|rtx| rtx.ssrc)];
        let is_taken = |ssrc: &u32| {
            self.consumers
                .iter()
                .any(|known| known.ssrcs.contains(&Some(*ssrc)))
        };
        if ssrcs.iter().flatten().any(is_taken) || ssrcs[0] == ssrcs[1] {
            return Err(malformed("an SSRC is used twice"));
        }
        if self.consumers.iter().any(|known| known.id == id) {
            return Err(malformed("there is such a consumer already"));
        }
        self.consumers.push(Consumer {
            key: consumer.key,
            id,
            of: consumer.producer,
            ssrcs,
        });
        self.downlink.add(consumer, now, &mut self.outbox);
        Ok(())
    }

    /// One track less to the client. Returns of whom it was.
    pub(crate) fn close_consumer(
        &mut self,
        id: &str,
        now: Instant,
    ) -> Result<ProducerKey, RouterError> {
        let place = self.consumers.iter().position(|known| known.id == id);
        let consumer = self
            .consumers
            .remove(place.ok_or(RouterError::NoSuchConsumer)?);
        self.downlink.remove(consumer.key, now, &mut self.outbox);
        Ok(consumer.of)
    }

    /// A producer has ended, and all consumers of it with it.
    pub(crate) fn drop_source(&mut self, producer: ProducerKey, now: Instant) {
        let (downlink, outbox) = (&mut self.downlink, &mut self.outbox);
        self.consumers.retain(|consumer| {
            let stays = consumer.of != producer;
            if !stays {
                downlink.remove(consumer.key, now, outbox);
            }
            stays
        });
    }

    /// Whether the client gets something of this producer.
    pub(crate) fn consumes(&self, producer: ProducerKey) -> bool {
        self.consumers.iter().any(|known| known.of == producer)
    }

    /// Of whom the client gets something.
    pub(crate) fn sources(&self) -> impl Iterator<Item = ProducerKey> {
        self.consumers.iter().map(|consumer| consumer.of)
    }

    /// Something is to be looked at at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.deadline = self.deadline.min(now);
    }

    pub(crate) fn pause_consumer(
        &mut self,
        id: &str,
        paused: bool,
        now: Instant,
    ) -> Result<(), RouterError> {
        let key = self.consumer(id)?;
        self.downlink.pause(key, paused, now, &mut self.outbox);
        Ok(())
    }

    pub(crate) fn prefer_layers(
        &mut self,
        id: &str,
        spatial: u8,
        temporal: Option<u8>,
        now: Instant,
    ) -> Result<(), RouterError> {
        let key = self.consumer(id)?;
        self.downlink
            .prefer_layers(key, spatial, temporal, now, &mut self.outbox);
        Ok(())
    }

    pub(crate) fn consumer_counters(&self, id: &str) -> Result<ConsumerCounters, RouterError> {
        let key = self.consumer(id)?;
        let counters = self.downlink.counters(key);
        counters.ok_or(RouterError::NoSuchConsumer)
    }

    /// A producer that the client consumes is paused or goes on.
    pub(crate) fn pause_source(&mut self, producer: ProducerKey, paused: bool, now: Instant) {
        self.downlink
            .pause_producer(producer, paused, now, &mut self.outbox);
    }

    /// A datagram from a proven path. What the client sends comes out by `out`.
    pub(crate) fn handle_datagram(
        &mut self,
        datagram: &[u8],
        now: Instant,
        out: &mut Vec<FromClient>,
    ) {
        // RFC 7983: 20 to 63 is DTLS, 128 to 191 RTP and RTCP.
        if matches!(datagram.first(), Some(20..=63)) {
            let step = self.handshake.handle_datagram(datagram, now);
            self.handle_step(step, now);
        } else if packet::is_rtcp(datagram) {
            self.handle_rtcp(datagram, now, out);
        } else {
            self.handle_rtp(datagram, now, out);
        }
    }

    /// A packet of a producer that the client consumes.
    pub(crate) fn forward(&mut self, incoming: &Incoming<'_>, now: Instant) {
        self.downlink.handle_packet(incoming, now, &mut self.outbox);
    }

    /// A producer that the client consumes told how its clocks relate.
    pub(crate) fn forward_report(
        &mut self,
        producer: ProducerKey,
        layer: u8,
        report: &media::SenderReport,
        now: Instant,
    ) {
        self.downlink.handle_report(producer, layer, report, now);
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.handshake.handle_timeout(now);
        if self.is_connected() && self.downlink.poll_timeout().is_some_and(|due| due <= now) {
            self.downlink.handle_timeout(now, &mut self.outbox);
        }
    }

    /// Does what is due and computes the next deadline. To be called after whatever has been done. Returns why it has
    /// ended, if it has.
    pub(crate) fn settle(&mut self, now: Instant) -> Option<&'static str> {
        while let Some(datagram) = self.handshake.poll_transmit() {
            self.outbox.datagrams.push(&datagram);
        }
        if self.is_connected() {
            let (outbox, events) = (&mut self.outbox, &self.events);
            self.uplink.act_when_due(
                now,
                &mut |compound| outbox.send_rtcp(compound),
                &mut |event| tell(events, event),
            );
        }
        self.tell_owner();
        if self.progress > TransportProgress::New && now >= self.reach.expires() {
            self.ended.get_or_insert("the client stopped answering");
        }
        if self.handshake_deadline.is_some_and(|due| due <= now) {
            self.ended.get_or_insert("the DTLS handshake failed");
        }
        self.deadline = self.next_deadline(now);
        self.ended
    }

    /// Says good-bye to the client and tells the owner why. What is to be sent is in the outbox.
    pub(crate) fn end(&mut self, reason: &str, now: Instant) {
        self.handshake.close(now);
        while let Some(datagram) = self.handshake.poll_transmit() {
            self.outbox.datagrams.push(&datagram);
        }
        // The owner is told by the closed channel when the queue is full.
        tell(&self.events, TransportEvent::Ended(reason.to_owned()));
    }

    /// Whether media can flow.
    pub(crate) const fn is_connected(&self) -> bool {
        matches!(self.progress, TransportProgress::Connected)
    }

    fn handle_rtp(&mut self, datagram: &[u8], now: Instant, out: &mut Vec<FromClient>) {
        let Some(ssrc) = packet::peek(datagram).map(|(_, ssrc)| ssrc) else {
            return;
        };
        let opener = self.opener.as_mut();
        if let Some(packet) = opener.and_then(|opener| opener.open_rtp(datagram, ssrc)) {
            let events = &self.events;
            self.uplink
                .handle_rtp(&packet, now, out, &mut |event| tell(events, event));
        }
    }

    fn handle_rtcp(&mut self, datagram: &[u8], now: Instant, out: &mut Vec<FromClient>) {
        let opener = self.opener.as_mut();
        let Some(mut compound) = opener.and_then(|opener| opener.open_rtcp(datagram)) else {
            return;
        };
        let Ok(mut packets) = rtcp::packet::unmarshal(&mut compound) else {
            return;
        };
        packets.truncate(COMPOUND_LIMIT);
        self.uplink.handle_rtcp(&packets, now, out);
        self.downlink.handle_rtcp(&packets, now, &mut self.outbox);
    }

    fn handle_step(&mut self, step: Step, now: Instant) {
        match step {
            Step::Nothing => {}
            Step::Finished(keys) => {
                if self.begin(keys, now).is_err() {
                    self.ended.get_or_insert("the gateway failed");
                }
            }
            Step::Closed => {
                self.ended.get_or_insert("the client closed the connection");
            }
            Step::Failed(reason) => {
                self.ended.get_or_insert(reason);
            }
        }
    }

    fn begin(&mut self, keys: Keys, now: Instant) -> Result<(), rtc::shared::error::Error> {
        let crypto = Arc::clone(&self.crypto);
        self.outbox.begin(Sealer::new(&keys.sending, &self.crypto)?);
        self.opener = Some(Opener::new(keys.receiving, SSRCS_LIMIT, crypto)?);
        self.handshake_deadline = None;
        self.advance(TransportProgress::Connected);
        self.downlink.begin(now, &mut self.outbox);
        Ok(())
    }

    fn watch_handshake(&mut self, now: Instant) {
        let both = self.handshake.is_begun() && self.progress > TransportProgress::New;
        if both && !self.is_connected() {
            self.advance(TransportProgress::Handshaking);
            self.handshake_deadline
                .get_or_insert(now + HANDSHAKE_DEADLINE);
        }
    }

    fn advance(&mut self, progress: TransportProgress) {
        self.progress = self.progress.max(progress);
    }

    fn tell_owner(&mut self) {
        if self.told < self.progress
            && self
                .events
                .try_send(TransportEvent::Progress(self.progress))
                .is_ok()
        {
            self.told = self.progress;
        }
        for event in self.outbox.events.drain(..) {
            let event = match event {
                DownlinkEvent::LayersChanged(key, layer) => {
                    let known = self.consumers.iter().find(|known| known.key == key);
                    let Some(consumer) = known else { continue };
                    TransportEvent::LayersChanged(consumer.id.clone(), layer)
                }
                DownlinkEvent::Bandwidth(rate) => TransportEvent::Bandwidth(rate),
            };
            tell(&self.events, event);
        }
    }

    fn consumer(&self, id: &str) -> Result<ConsumerKey, RouterError> {
        self.consumers
            .iter()
            .find(|known| known.id == id)
            .map(|known| known.key)
            .ok_or(RouterError::NoSuchConsumer)
    }

    fn next_deadline(&self, now: Instant) -> Instant {
        let silent = (self.progress > TransportProgress::New).then(|| self.reach.expires());
        let media = self
            .is_connected()
            .then(|| [self.uplink.poll_timeout(now), self.downlink.poll_timeout()]);
        let due = [
            silent,
            self.handshake.poll_timeout(),
            self.handshake_deadline,
        ]
        .into_iter()
        .chain(media.into_iter().flatten())
        .flatten()
        .min();
        due.unwrap_or(now + Duration::from_hours(1))
            .max(now + SHORTEST_SLEEP)
    }
}

/// A full queue loses the event: levels and layers are told anew when they change.
fn tell(events: &mpsc::Sender<TransportEvent>, event: TransportEvent) {
    if events.try_send(event).is_err() {
        tracing::debug!("transport event lost");
    }
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
