//! What a client's network carries, and who gets how much of it: sound first, then the smallest layer of all, then more.
//! Pure; time is an argument.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;

use super::{
    DownlinkEvent, DownlinkHands, ProducerKey,
    consumer::Consumer,
    estimator::Estimator,
    prober::{FASTEST, Outcome},
    share::{Budget, Claim, share},
    source::Source,
    wire::Wire,
};

/// How often rates are looked at and shares adapted: a share changes by a keyframe, which takes as long.
const INTERVAL: Duration = Duration::from_millis(200);
/// A client that could tell what comes through, and has not after so long, never will.
const FEEDBACK_GRACE: Duration = Duration::from_secs(2);
/// A larger layer begins if the estimate is a fifth above what is needed, so that its keyframe does not leave a queue that
/// stands, and goes on until it is a sixth below; the smallest goes on until it is a quarter below.
const RISE: (u64, u64) = (5, 6);
const KEEP: (u64, u64) = (6, 5);
const KEEP_SMALLEST: (u64, u64) = (4, 3);
/// What is probed is so much above what is needed.
const PROBE: (u64, u64) = (5, 4);
/// And at most so many times what is known to pass, so that its queue is no longer than the probe itself.
const PROBE_STEP: u64 = 2;
/// After a probe that told nothing, or something that was only tried.
const RETRY: Duration = Duration::from_secs(1);
const TRIAL: Duration = Duration::from_secs(4);
/// The owner hears of the bandwidth this often, and if it changed by a tenth.
const TELL_INTERVAL: Duration = Duration::from_secs(1);
const TELL_DIFFERENCE: u64 = 10;
/// Packets of a probe in one step, at most: 12 Mb/s in 10 ms, of packets of 500 bytes.
const STEP_PACKETS: usize = 32;

/// One client's bandwidth.
#[derive(Debug)]
pub(super) struct Bandwidth {
    estimator: Estimator,
    /// What the client allows by REMB, in bit/s.
    most: Option<u64>,
    began: Option<Instant>,
    due: Option<Instant>,
    retry: Option<Instant>,
    told: Option<(u64, Instant)>,
    padding: usize,
}

/// What sound takes, in bit/s.
#[derive(Debug, Clone, Copy, Default)]
struct Sound {
    /// With transport-wide numbers: part of what is estimated.
    seen: u64,
    /// Without: what is estimated is what it leaves.
    unseen: u64,
}

impl Bandwidth {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            estimator: Estimator::new(now),
            most: None,
            began: None,
            due: None,
            retry: None,
            told: None,
            padding: 0,
        }
    }

    /// From now on something can be sent.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began = Some(now);
        self.due = Some(now + INTERVAL);
    }

    /// The client told by REMB how much it allows, in bit/s.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    pub(super) const fn handle_most(&mut self, bits_per_second: f32) {
        self.most = Some(bits_per_second as u64);
    }

    /// The client told what came through. Whether the shares are to be looked at.
    pub(super) fn handle_feedback(
        &mut self,
        feedback: &TransportLayerCc,
        wire: &mut Wire,
        now: Instant,
    ) -> bool {
        let fates = wire.sent.handle_feedback(feedback);
        let before = self.estimator.bits_per_second();
        self.estimator.handle_fates(&fates, now);
        let outcome = wire.prober.handle_fates(&fates);
        self.learn(outcome, now) || self.estimator.bits_per_second() < before
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Time has passed. Whether the shares are to be looked at.
    pub(super) fn handle_timeout(
        &mut self,
        sources: &mut BTreeMap<ProducerKey, Source>,
        wire: &mut Wire,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) -> bool {
        let outcome = wire.prober.handle_timeout(now);
        let learnt = self.learn(outcome, now);
        if self.due.is_none_or(|due| now < due) {
            return learnt;
        }
        self.due = Some(now + INTERVAL);
        for source in sources.values_mut() {
            source.measure(now);
        }
        self.tell(now, hands);
        true
    }

    /// Aims each consumer at what there is bandwidth for, and begins a probe where more is wanted.
    pub(super) fn share(
        &mut self,
        sources: &mut BTreeMap<ProducerKey, Source>,
        wire: &mut Wire,
        now: Instant,
    ) {
        let mut sound = Sound::default();
        let mut has_numbers = false;
        let mut claims = Vec::new();
        let mut layers = Vec::new();
        for source in sources.values() {
            for consumer in source
                .consumers
                .iter()
                .filter(|consumer| consumer.is_open())
            {
                has_numbers |= consumer.ids.has_transport_sequence();
                let flowing = source.flowing(consumer.preferred, now);
                if consumer.is_video {
                    claims.push(claim(consumer, &flowing, now));
                    layers.push(flowing);
                } else if consumer.ids.has_transport_sequence() {
                    sound.seen = sound.seen.saturating_add(flowing[0].1);
                } else {
                    sound.unseen = sound.unseen.saturating_add(flowing[0].1);
                }
            }
        }
        let shares = share(self.budget(sound, has_numbers, now), &claims);
        let mut grants = shares.granted.iter().zip(&layers);
        let mut waits = false;
        let mut can_probe = false;
        for consumer in sources
            .values_mut()
            .flat_map(|source| &mut source.consumers)
        {
            if !consumer.is_open() {
                continue;
            }
            if !consumer.is_video {
                consumer.aim(Some(0), now);
                continue;
            }
            let Some((granted, flowing)) = grants.next() else {
                continue;
            };
            let target = granted.checked_sub(1).and_then(|place| flowing.get(place));
            consumer.aim(target.map(|(layer, _)| *layer), now);
            waits |= consumer.forwarder.waits();
            can_probe |= consumer.can_pad();
        }
        if let Some(wanted) = shares.wanted.filter(|_| !waits) {
            self.try_more(wanted.saturating_add(sound.seen), can_probe, wire, now);
        }
    }

    /// Sends what a probe needs now.
    pub(super) fn probe(
        &mut self,
        sources: &mut BTreeMap<ProducerKey, Source>,
        wire: &mut Wire,
        ours: i64,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) {
        let mut missing = wire.prober.missing_bytes(now);
        let mut left = STEP_PACKETS;
        while missing > 0 && left > 0 {
            let before = left;
            for consumer in sources
                .values_mut()
                .flat_map(|source| &mut source.consumers)
            {
                if missing == 0 || left == 0 || !consumer.can_pad() {
                    continue;
                }
                self.padding = self.padding.wrapping_add(1);
                if let Some((ids, packet, stream)) = consumer.pad(self.padding) {
                    let bytes = u64::try_from(packet.payload_bytes()).unwrap_or(0);
                    wire.send((ids, packet, stream), None, ours, now, hands);
                    missing = missing.saturating_sub(bytes);
                    left -= 1;
                }
            }
            if left == before {
                break;
            }
        }
    }

    /// More than there is is wanted.
    fn try_more(&mut self, wanted: u64, can_probe: bool, wire: &mut Wire, now: Instant) {
        let is_early = self.retry.is_some_and(|retry| now < retry);
        if is_early
            || !self.estimator.has_feedback()
            || !self.estimator.may_try(now)
            || !wire.prober.is_idle()
        {
            return;
        }
        let needed = part(wanted, PROBE);
        if needed > FASTEST {
            return;
        }
        if can_probe {
            let most = self.estimator.proven_bits_per_second() * PROBE_STEP;
            let over = wire.prober.begin(needed.min(most), wire.sent.next(), now);
            self.estimator.excuse(over);
        } else {
            self.retry = Some(now + TRIAL);
            self.estimator.trust(rounded(needed));
        }
    }

    fn learn(&mut self, outcome: Option<Outcome>, now: Instant) -> bool {
        match outcome {
            None => return false,
            Some(Outcome::Passed(rate)) => self.estimator.handle_probe(rate, true, now),
            Some(Outcome::Failed(rate)) => self.estimator.handle_probe(rate, false, now),
            Some(Outcome::Unknown) => self.retry = Some(now + RETRY),
        }
        true
    }

    fn budget(&self, sound: Sound, has_numbers: bool, now: Instant) -> Budget {
        let estimate = self.estimator.bits_per_second();
        if !self.estimator.has_feedback() {
            let is_new = self
                .began
                .is_some_and(|began| now.saturating_duration_since(began) < FEEDBACK_GRACE);
            if has_numbers && is_new {
                return Budget {
                    rise: estimate.saturating_sub(sound.seen),
                    ..Budget::UNLIMITED
                };
            }
            return self.most.map_or(Budget::UNLIMITED, |most| {
                let pictures = most.saturating_sub(sound.seen).saturating_sub(sound.unseen);
                Budget {
                    keep_smallest: part(pictures, KEEP_SMALLEST),
                    begin_smallest: pictures,
                    keep: part(pictures, KEEP),
                    rise: part(pictures, RISE),
                }
            });
        }
        let pictures = estimate.saturating_sub(sound.seen);
        let is_strict = self.estimator.is_persistently_overloaded(now);
        let keep = |much: (u64, u64)| {
            if is_strict {
                pictures
            } else {
                part(pictures, much)
            }
        };
        let smallest = |much: u64| {
            if self.estimator.was_overloaded() {
                much
            } else {
                u64::MAX
            }
        };
        Budget {
            keep_smallest: smallest(keep(KEEP_SMALLEST)),
            begin_smallest: smallest(pictures),
            keep: keep(KEEP),
            rise: part(pictures, RISE),
        }
    }

    fn tell(&mut self, now: Instant, hands: &mut impl DownlinkHands) {
        if !self.estimator.has_feedback() {
            return;
        }
        let estimate = self.estimator.bits_per_second();
        let is_old = self.told.is_none_or(|(told, at)| {
            let differs = told.abs_diff(estimate) > told / TELL_DIFFERENCE;
            differs && now.saturating_duration_since(at) >= TELL_INTERVAL
        });
        if is_old {
            self.told = Some((estimate, now));
            hands.tell(DownlinkEvent::Bandwidth(estimate));
        }
    }
}

/// What a consumer could take of the layers that flow.
fn claim(consumer: &Consumer, flowing: &[(u8, u64)], now: Instant) -> Claim {
    let target = consumer.forwarder.target();
    let held = target.map_or(0, |target| {
        flowing
            .iter()
            .take_while(|(layer, _)| *layer <= target)
            .count()
    });
    let mut rates: Vec<_> = flowing.iter().map(|(_, rate)| *rate).collect();
    if consumer.was_lowered(now) {
        rates.truncate(held.max(1));
    }
    Claim { rates, held }
}

fn part(whole: u64, (numerator, denominator): (u64, u64)) -> u64 {
    let part = u128::from(whole) * u128::from(numerator) / u128::from(denominator);
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
const fn rounded(rate: u64) -> f64 {
    rate as f64
}
