//! All consumers of one transport: what of the producers each gets, as what, and how much in all. Pure; time is an
//! argument.

mod seam;

use std::time::Instant;

use media::SenderReport;
use rtc::rtcp;

pub(crate) use seam::{
    ConsumerKey, ConsumerSetup, DownlinkEvent, DownlinkHands, Incoming, ProducerKey,
};

use crate::router::ConsumerCounters;

/// All consumers of one transport.
#[derive(Debug, Default)]
pub(crate) struct Downlink {
    consumers: Vec<ConsumerSetup>,
}

impl Downlink {
    /// None yet. `now` is when its clock begins.
    pub(crate) const fn new(_now: Instant) -> Self {
        Self {
            consumers: Vec::new(),
        }
    }

    /// One more. The caller bounds how many.
    pub(crate) fn add(
        &mut self,
        consumer: ConsumerSetup,
        _now: Instant,
        _hands: &mut impl DownlinkHands,
    ) {
        self.consumers.push(consumer);
    }

    /// One less.
    pub(crate) fn remove(
        &mut self,
        consumer: ConsumerKey,
        _now: Instant,
        _hands: &mut impl DownlinkHands,
    ) {
        self.consumers.retain(|other| other.key != consumer);
    }

    /// A consumer is paused or goes on.
    pub(crate) fn pause(
        &mut self,
        consumer: ConsumerKey,
        paused: bool,
        _now: Instant,
        _hands: &mut impl DownlinkHands,
    ) {
        for known in self
            .consumers
            .iter_mut()
            .filter(|known| known.key == consumer)
        {
            known.paused = paused;
        }
    }

    /// A producer is paused or goes on.
    pub(crate) fn pause_producer(
        &mut self,
        producer: ProducerKey,
        paused: bool,
        _now: Instant,
        _hands: &mut impl DownlinkHands,
    ) {
        for known in self
            .consumers
            .iter_mut()
            .filter(|known| known.producer == producer)
        {
            known.producer_paused = paused;
        }
    }

    /// A consumer is to get at most these layers; `None`: all temporal ones.
    pub(crate) fn prefer_layers(
        &mut self,
        _consumer: ConsumerKey,
        _spatial: u8,
        _temporal: Option<u8>,
        _now: Instant,
        _hands: &mut impl DownlinkHands,
    ) {
    }

    /// The transport is connected: from now on something can be sent.
    pub(crate) fn begin(&mut self, _now: Instant, _hands: &mut impl DownlinkHands) {}

    /// A packet of a producer that somebody here consumes.
    pub(crate) fn handle_packet(
        &mut self,
        _incoming: &Incoming<'_>,
        _now: Instant,
        _hands: &mut impl DownlinkHands,
    ) {
    }

    /// A producer told how the clocks of one of its layers relate.
    pub(crate) fn handle_report(
        &mut self,
        _producer: ProducerKey,
        _layer: u8,
        _report: &SenderReport,
        _now: Instant,
    ) {
    }

    /// The client told something, authenticated. What is not for consumers is passed over.
    pub(crate) fn handle_rtcp(
        &mut self,
        _packets: &[Box<dyn rtcp::Packet>],
        _now: Instant,
        _hands: &mut impl DownlinkHands,
    ) {
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, if ever. Kept, so that asking is free.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, _now: Instant, _hands: &mut impl DownlinkHands) {}

    /// What was counted of a consumer.
    pub(crate) fn counters(&self, consumer: ConsumerKey) -> Option<ConsumerCounters> {
        self.consumers
            .iter()
            .any(|known| known.key == consumer)
            .then(ConsumerCounters::default)
    }
}
