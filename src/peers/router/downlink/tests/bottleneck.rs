//! A network that carries so much and no more: its queue, its losses, and a client's feedback every tenth of a second.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    super::{ConsumerKey, ProducerKey, sent::tests::feedback},
    rig::{Hands, KEYFRAME, PICTURE, REPEAT_PAYLOAD_TYPE, Rig},
};

const ONE_WAY: Duration = Duration::from_millis(20);
const FEEDBACK: Duration = Duration::from_millis(100);
/// A keyframe costs so many pictures, and comes so long after it was asked for.
const KEYFRAME_PICTURES: usize = 5;
const KEYFRAME_DELAY: Duration = Duration::from_millis(80);
const PICTURES_A_SECOND: u64 = 30;
const PACKET_BYTES: usize = 1100;

/// The way to a client, and the client.
pub(super) struct Bottleneck {
    pub(super) rig: Rig,
    pub(super) bits_per_second: u64,
    /// What waits longer is dropped.
    pub(super) longest_queue: Duration,
    /// Of a thousand packets, lost without any reason.
    pub(super) losses: u32,
    /// How much later packets come than they should, in turn.
    pub(super) jitter: &'static [u64],
    senders: Vec<Sender>,
    free_at: Instant,
    random: u32,
    turn: usize,
    /// By transport-wide number, counted on: when it came.
    fates: BTreeMap<u64, Option<Instant>>,
    highest: u64,
    told: u64,
    feedback_due: Instant,
    feedback: VecDeque<(Instant, u16, Vec<Option<Duration>>)>,
    /// How late each packet of sound was, in milliseconds; `None`: lost.
    pub(super) sound_delays: Vec<(Instant, Option<u64>)>,
    /// When each consumer changed to which layer.
    pub(super) changes: Vec<(Instant, ConsumerKey, Option<u8>)>,
    pub(super) media_bytes: usize,
    pub(super) repeated_bytes: usize,
}

/// A producer.
struct Sender {
    producer: ProducerKey,
    /// Bit/s of each layer; sound has one packet each 20 ms.
    layers: Vec<u64>,
    is_sound: bool,
    keyframes: BTreeMap<u8, Instant>,
    last_keyframe: BTreeMap<u8, Instant>,
}

impl Bottleneck {
    pub(super) fn new(bits_per_second: u64) -> Self {
        let rig = Rig::new();
        let now = rig.now;
        Self {
            rig,
            bits_per_second,
            longest_queue: Duration::from_millis(400),
            losses: 0,
            jitter: &[0],
            senders: Vec::new(),
            free_at: now,
            random: 1,
            turn: 0,
            fates: BTreeMap::new(),
            highest: 0,
            told: 0,
            feedback_due: now + FEEDBACK,
            feedback: VecDeque::new(),
            sound_delays: Vec::new(),
            changes: Vec::new(),
            media_bytes: 0,
            repeated_bytes: 0,
        }
    }

    /// Another producer sends, and is consumed.
    pub(super) fn add_pictures(&mut self, producer: ProducerKey, layers: &[u64]) {
        let count = u8::try_from(layers.len()).unwrap();
        self.rig.add(super::rig::pictures(producer, count));
        self.add_sender(producer, layers, false);
    }

    pub(super) fn add_sound(&mut self, producer: ProducerKey) {
        self.rig.add(super::rig::sound(producer));
        self.add_sender(producer, &[32_000], true);
    }

    /// Sound of which the client tells nothing, as with mediasoup's rules.
    pub(super) fn add_unseen_sound(&mut self, producer: ProducerKey) {
        let mut setup = super::rig::sound(producer);
        setup.rtp.header_extensions.clear();
        self.rig.add(setup);
        self.add_sender(producer, &[32_000], true);
    }

    fn add_sender(&mut self, producer: ProducerKey, layers: &[u64], is_sound: bool) {
        self.senders.push(Sender {
            producer,
            layers: layers.to_vec(),
            is_sound,
            keyframes: BTreeMap::new(),
            last_keyframe: BTreeMap::new(),
        });
    }

    /// Time passes, a millisecond at a time.
    pub(super) fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_millis() {
            self.produce();
            self.rig.pass(Duration::from_millis(1));
            self.carry();
            self.tell();
            let now = self.rig.now;
            let changes = self.rig.changes();
            self.changes.extend(
                changes
                    .into_iter()
                    .map(|(consumer, layer)| (now, consumer, layer)),
            );
            for (producer, layer) in std::mem::take(&mut self.rig.hands.wishes) {
                let sender = self
                    .senders
                    .iter_mut()
                    .find(|sender| sender.producer == producer);
                let Some(sender) = sender else { continue };
                // As an arbiter: once a second.
                let due = sender
                    .last_keyframe
                    .get(&layer)
                    .map_or(now, |last| now.max(*last + Duration::from_secs(1)));
                sender
                    .keyframes
                    .entry(layer)
                    .or_insert(due + KEYFRAME_DELAY);
            }
        }
    }

    /// The layer that a consumer gets.
    pub(super) fn layer(&self, consumer: ConsumerKey) -> Option<u8> {
        let changes = self.changes.iter().rev();
        let mut own = changes.filter(|(_, of, _)| *of == consumer);
        own.next().and_then(|(_, _, layer)| *layer)
    }

    /// How often a consumer's layer changed since a moment, in the worst ten seconds.
    pub(super) fn worst_changes(&self, consumer: ConsumerKey, since: Instant) -> usize {
        let own = || {
            let changes = self.changes.iter();
            changes.filter(move |(at, of, _)| *of == consumer && *at >= since)
        };
        own()
            .map(|(from, _, _)| {
                let window =
                    |at: &Instant| at.saturating_duration_since(*from) < Duration::from_secs(10);
                own().filter(|(at, _, _)| at >= from && window(at)).count()
            })
            .max()
            .unwrap_or(0)
    }

    /// How much sound was lost since a moment, in thousandths, and the delay that one in a hundred packets exceeds.
    pub(super) fn sound(&self, since: Instant) -> (usize, u64) {
        let heard: Vec<_> = self
            .sound_delays
            .iter()
            .filter(|(at, _)| *at >= since)
            .collect();
        let mut delays: Vec<_> = heard.iter().filter_map(|(_, delay)| *delay).collect();
        delays.sort_unstable();
        let lost = (heard.len() - delays.len()) * 1000 / heard.len().max(1);
        (
            lost,
            delays
                .get(delays.len() * 99 / 100)
                .copied()
                .unwrap_or(u64::MAX),
        )
    }

    fn produce(&mut self) {
        let now = self.rig.now;
        let millisecond = u64::try_from((now - self.rig.start).as_millis()).unwrap();
        let mut packets = Vec::new();
        for (place, sender) in self.senders.iter_mut().enumerate() {
            let offset = u64::try_from(place).unwrap() * 7;
            if sender.is_sound {
                if (millisecond + offset).is_multiple_of(20) {
                    packets.push((sender.producer, 0, PICTURE, 80));
                }
                continue;
            }
            if (millisecond + offset) % (1000 / PICTURES_A_SECOND) != 0 {
                continue;
            }
            for (layer, rate) in (0_u8..).zip(&sender.layers) {
                let picture = usize::try_from(rate / 8 / PICTURES_A_SECOND).unwrap();
                let is_keyframe = sender.keyframes.get(&layer).is_some_and(|due| now >= *due);
                let mut bytes = picture;
                if is_keyframe {
                    sender.keyframes.remove(&layer);
                    sender.last_keyframe.insert(layer, now);
                    bytes *= KEYFRAME_PICTURES;
                }
                let mut payload = if is_keyframe { KEYFRAME } else { PICTURE };
                while bytes > 0 {
                    let size = bytes.min(PACKET_BYTES);
                    packets.push((sender.producer, layer, payload, size));
                    payload = PICTURE;
                    bytes -= size;
                }
            }
        }
        for (producer, layer, begin, size) in packets {
            self.rig.give_sized(producer, layer, begin, size);
        }
    }

    /// Takes what was sent into the queue.
    fn carry(&mut self) {
        let now = self.rig.now;
        let packets = std::mem::take(&mut self.rig.hands.packets);
        let sizes = std::mem::take(&mut self.rig.hands.sizes);
        for (packet, bytes) in packets.iter().zip(sizes) {
            let number = Hands::transport_sequence(packet).map(|wire| {
                let low = u16::try_from(self.highest % 65_536).unwrap();
                self.highest += u64::from(wire.wrapping_sub(low));
                self.highest
            });
            if packet.header.payload_type == REPEAT_PAYLOAD_TYPE {
                self.repeated_bytes += bytes;
            } else {
                self.media_bytes += bytes;
            }
            let begins = self.free_at.max(now);
            self.random = self
                .random
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let is_lost = self.random >> 8 & 0x3ff < self.losses * 1024 / 1000;
            let arrival = (begins - now <= self.longest_queue).then(|| {
                let bits = u64::try_from(bytes).unwrap() * 8;
                self.free_at =
                    begins + Duration::from_micros(bits * 1_000_000 / self.bits_per_second);
                self.turn += 1;
                let jitter = self.jitter[self.turn % self.jitter.len()];
                self.free_at + ONE_WAY + Duration::from_millis(jitter)
            });
            let arrival = arrival.filter(|_| !is_lost);
            if let Some(number) = number {
                self.fates.insert(number, arrival);
            }
            let is_sound = self
                .senders
                .iter()
                .any(|sender| sender.is_sound && sender.producer + 1000 == packet.header.ssrc);
            if is_sound {
                let delay =
                    arrival.map(|arrival| u64::try_from((arrival - now).as_millis()).unwrap());
                self.sound_delays.push((now, delay));
            }
        }
    }

    /// The client tells what has come by now, and we hear it a little later.
    fn tell(&mut self) {
        let now = self.rig.now;
        if now >= self.feedback_due {
            self.feedback_due = now + FEEDBACK;
            let came = |arrival: &Option<Instant>| arrival.filter(|arrival| *arrival <= now);
            let last = self
                .fates
                .iter()
                .rev()
                .find(|(_, arrival)| came(arrival).is_some());
            // From the first that has come since, be it late, as Chrome does.
            let first = self
                .fates
                .iter()
                .find(|(number, arrival)| **number > self.told || came(arrival).is_some());
            if let Some(last) = last.map(|(number, _)| *number)
                && let Some(begin) = first
                    .map(|(number, _)| *number)
                    .filter(|first| *first <= last)
            {
                let epoch = Duration::from_secs(1000);
                let arrivals = (begin..=last)
                    .map(|number| {
                        let arrival = self.fates.get(&number).and_then(came)?;
                        Some(epoch + (arrival - self.rig.start))
                    })
                    .collect::<Vec<_>>();
                if arrivals.iter().any(Option::is_some) {
                    let wire = u16::try_from(begin % 65_536).unwrap();
                    self.feedback.push_back((now + ONE_WAY, wire, arrivals));
                }
                self.told = self.told.max(last);
                let is_open = |arrival: &Option<Instant>| arrival.is_some_and(|at| at > now);
                self.fates
                    .retain(|number, arrival| *number > last || is_open(arrival));
            }
        }
        while self.feedback.front().is_some_and(|(due, _, _)| *due <= now) {
            let (_, first, arrivals) = self.feedback.pop_front().unwrap();
            self.rig.tell(feedback(first, &arrivals));
        }
    }
}
