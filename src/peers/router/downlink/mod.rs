//! All consumers of one transport: what of the producers each gets, as what, and how much in all. Pure; time is an
//! argument.

mod bandwidth;
mod consumer;
mod control;
mod delays;
mod estimator;
mod forwarder;
mod history;
mod meter;
mod numbers;
mod packet;
mod prober;
mod received;
mod seam;
mod sent;
mod share;
mod source;
#[cfg(test)]
mod tests;
mod times;
mod vp8;
mod wire;

use std::{collections::BTreeMap, time::Instant};

use media::SenderReport;
pub(crate) use seam::{
    ClockKey, ConsumerKey, ConsumerSetup, DownlinkEvent, DownlinkHands, Incoming, ProducerKey,
};

use crate::{relay::Wallclock, router::ConsumerCounters};
use bandwidth::Bandwidth;
use consumer::Consumer;
use control::REPORT_INTERVAL;
use forwarder::Verdict;
use packet::Stream;
use source::Source;
use wire::Wire;

/// All consumers of one transport.
#[derive(Debug)]
pub(crate) struct Downlink {
    began: Instant,
    is_connected: bool,
    sources: BTreeMap<ProducerKey, Source>,
    producers: BTreeMap<ConsumerKey, ProducerKey>,
    /// Consumers by the SSRC that the client sees.
    streams: BTreeMap<u32, ConsumerKey>,
    clocks: BTreeMap<ClockKey, Wallclock>,
    wire: Wire,
    bandwidth: Bandwidth,
    report_due: Option<Instant>,
    /// When the first report of a new stream is due.
    first_report_due: Option<Instant>,
    due: Option<Instant>,
}

impl Downlink {
    /// None yet. `now` is when its clock begins.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            began: now,
            is_connected: false,
            sources: BTreeMap::new(),
            producers: BTreeMap::new(),
            streams: BTreeMap::new(),
            clocks: BTreeMap::new(),
            wire: Wire::new(),
            bandwidth: Bandwidth::new(now),
            report_due: None,
            first_report_due: None,
            due: None,
        }
    }

    /// One more. The caller bounds how many, and gives each an SSRC of its own. Reports that the producer's sender gave
    /// before are to follow by [`handle_report`](Self::handle_report), with the times when they came.
    pub(crate) fn add(
        &mut self,
        consumer: ConsumerSetup,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) {
        let (key, producer, clock) = (consumer.key, consumer.producer, consumer.clock);
        let layers = consumer.layers;
        let Some(added) = Consumer::new(consumer, now) else {
            tracing::error!("a consumer without codec or SSRC was added");
            return;
        };
        self.clocks
            .entry(clock)
            .or_insert_with(|| Wallclock::new(self.began));
        self.producers.insert(key, producer);
        self.streams.insert(added.ssrc, key);
        self.sources
            .entry(producer)
            .or_insert_with(|| Source::new(clock, layers))
            .consumers
            .push(added);
        if self.is_connected {
            self.report_due.get_or_insert(now + REPORT_INTERVAL);
        }
        self.share(now, hands);
    }

    /// One less.
    pub(crate) fn remove(
        &mut self,
        consumer: ConsumerKey,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) {
        let Some(producer) = self.producers.remove(&consumer) else {
            return;
        };
        self.streams.retain(|_, key| *key != consumer);
        if let Some(source) = self.sources.get_mut(&producer) {
            source.consumers.retain(|other| other.key != consumer);
            if source.consumers.is_empty() {
                self.sources.remove(&producer);
            }
        }
        let sources = &self.sources;
        self.clocks
            .retain(|clock, _| sources.values().any(|source| source.clock == *clock));
        self.share(now, hands);
    }

    /// A consumer is paused or goes on.
    pub(crate) fn pause(
        &mut self,
        consumer: ConsumerKey,
        paused: bool,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) {
        if let Some(consumer) = self.consumer(consumer) {
            consumer.pause(paused);
        }
        self.share(now, hands);
    }

    /// A producer is paused or goes on.
    pub(crate) fn pause_producer(
        &mut self,
        producer: ProducerKey,
        paused: bool,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) {
        for consumer in self
            .sources
            .get_mut(&producer)
            .into_iter()
            .flat_map(|source| &mut source.consumers)
        {
            consumer.pause_producer(paused);
        }
        self.share(now, hands);
    }

    /// A consumer is to get at most these layers; `None`: all temporal ones.
    pub(crate) fn prefer_layers(
        &mut self,
        consumer: ConsumerKey,
        spatial: u8,
        temporal: Option<u8>,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) {
        if let Some(consumer) = self.consumer(consumer) {
            consumer.prefer(spatial, temporal);
        }
        self.share(now, hands);
    }

    /// The transport is connected: from now on something can be sent.
    pub(crate) fn begin(&mut self, now: Instant, hands: &mut impl DownlinkHands) {
        self.is_connected = true;
        self.report_due = Some(now + REPORT_INTERVAL);
        self.bandwidth.begin(now);
        self.share(now, hands);
    }

    /// A packet of a producer that somebody here consumes.
    pub(crate) fn handle_packet(
        &mut self,
        incoming: &Incoming<'_>,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) {
        let Some(source) = self.sources.get_mut(&incoming.producer) else {
            return;
        };
        source.count(incoming.layer, incoming.packet.payload.len(), now);
        let Some(clock) = self.clocks.get(&source.clock).filter(|_| self.is_connected) else {
            return;
        };
        for consumer in &mut source.consumers {
            match consumer.handle_packet(incoming, clock, now) {
                Verdict::Send(packet) => {
                    let stream = Stream::Media {
                        ssrc: consumer.ssrc,
                    };
                    let content = (&consumer.ids, &packet, stream);
                    let stamp = self.wire.send(content, None, clock.ours(now), now, hands);
                    consumer.handle_sent(packet, stamp, now);
                    if let Some(change) = consumer.take_change() {
                        hands.tell(change);
                    }
                    if let Some(due) = consumer.report_due {
                        self.first_report_due.get_or_insert(due);
                        self.due = Some(due);
                    }
                }
                Verdict::Leave => {}
                Verdict::LeaveAndWish => wish(consumer, incoming.producer, now, hands),
            }
        }
    }

    /// A producer told how the clocks of one of its layers relate. `now` is when that came.
    pub(crate) fn handle_report(
        &mut self,
        producer: ProducerKey,
        layer: u8,
        report: &SenderReport,
        now: Instant,
    ) {
        let Some(source) = self.sources.get_mut(&producer) else {
            return;
        };
        let Some(clock) = self.clocks.get_mut(&source.clock) else {
            return;
        };
        clock.handle_report(report, now);
        for consumer in &mut source.consumers {
            consumer.forwarder.handle_report(layer, report, clock);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever. Kept, so that asking is free.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, hands: &mut impl DownlinkHands) {
        if !self.is_connected {
            self.due = None;
            return;
        }
        self.report(now, hands);
        if self
            .bandwidth
            .handle_timeout(&mut self.sources, &mut self.wire, now, hands)
        {
            self.share(now, hands);
        }
        self.probe(now, hands);
        self.settle();
    }

    /// What was counted of a consumer.
    pub(crate) fn counters(&self, consumer: ConsumerKey) -> Option<ConsumerCounters> {
        let producer = self.producers.get(&consumer)?;
        let mut consumers = self.sources.get(producer)?.consumers.iter();
        consumers
            .find(|other| other.key == consumer)
            .map(Consumer::counters)
    }

    fn consumer(&mut self, key: ConsumerKey) -> Option<&mut Consumer> {
        let producer = self.producers.get(&key)?;
        let source = self.sources.get_mut(producer)?;
        source.consumers.iter_mut().find(|other| other.key == key)
    }

    /// Shares the bandwidth out.
    fn share(&mut self, now: Instant, hands: &mut impl DownlinkHands) {
        if self.is_connected {
            self.bandwidth.share(&mut self.sources, &mut self.wire, now);
            for (producer, source) in &mut self.sources {
                for consumer in &mut source.consumers {
                    wish(consumer, *producer, now, hands);
                    if let Some(change) = consumer.take_change() {
                        hands.tell(change);
                    }
                }
            }
        }
        self.settle();
    }

    /// Sends what a probe needs now.
    fn probe(&mut self, now: Instant, hands: &mut impl DownlinkHands) {
        let ours = self.ours(now);
        self.bandwidth
            .probe(&mut self.sources, &mut self.wire, ours, now, hands);
    }

    /// The client's wall clock, in nanoseconds.
    fn ours(&self, now: Instant) -> i64 {
        Wallclock::new(self.began).ours(now)
    }

    fn settle(&mut self) {
        let dues = [
            self.report_due,
            self.first_report_due,
            self.bandwidth.poll_timeout(),
            self.wire.prober.poll_timeout(),
        ];
        self.due = dues
            .into_iter()
            .flatten()
            .min()
            .filter(|_| self.is_connected);
    }
}

fn wish(
    consumer: &mut Consumer,
    producer: ProducerKey,
    now: Instant,
    hands: &mut impl DownlinkHands,
) {
    if let Some(layer) = consumer
        .forwarder
        .target()
        .filter(|_| consumer.take_wish(now))
    {
        hands.wish_keyframe(producer, layer);
    }
}
