//! Sinks that are fed by producers of a room, as a studio's session would feed them.

use std::time::{Duration, Instant};

use media::{RtpPacket, SenderReport, SourceDescription, TrackKind};
use tokio::sync::mpsc;

use super::Worker;
use crate::{
    PeerEvent, SinkId,
    door::PeerKey,
    repair::RepairCounters,
    router::{RouterError, RouterId, downlink::ProducerKey},
    session::statistics::Statistics,
};

/// How long a layer may be without packets before a smaller one takes its place.
const LAYER_PATIENCE: Duration = Duration::from_secs(2);

/// A sink's source that is made of producers.
pub(super) struct Composite {
    sink: SinkId,
    source: SourceDescription,
    /// The picture, and which layer of it.
    video: Option<(ProducerKey, u8)>,
    audio: Option<ProducerKey>,
    /// When the layer last gave a packet.
    video_came: Option<Instant>,
    events: mpsc::Sender<PeerEvent>,
    started: bool,
    media_arrived: bool,
    statistics: Statistics,
    /// What its producers had lost, and had recovered, before.
    before: (u64, u64),
}

impl Composite {
    /// When it is due.
    pub(super) fn deadline(&self) -> Instant {
        self.statistics.due()
    }

    fn producers(&self) -> impl Iterator<Item = ProducerKey> {
        let video = self.video.map(|(producer, _)| producer);
        video.into_iter().chain(self.audio)
    }

    /// A full queue loses the event: the owner reads the next statistics a second later.
    fn tell(&self, event: PeerEvent) {
        if self.events.try_send(event).is_err() {
            tracing::debug!("peer event lost");
        }
    }
}

impl Worker {
    pub(super) fn compose(
        &mut self,
        key: PeerKey,
        sink: SinkId,
        router: RouterId,
        (video, audio): (Option<&str>, Option<&str>),
        events: mpsc::Sender<PeerEvent>,
        now: Instant,
    ) -> Result<SourceDescription, RouterError> {
        if !self.sinks.contains_key(&sink) {
            return Err(RouterError::NoSuchSink);
        }
        let find = |id: Option<&str>| match id {
            Some(id) => match self.routers.producer(router, id) {
                Some(producer) => Ok(Some(producer)),
                None => Err(RouterError::NoSuchProducer),
            },
            None => Ok(None),
        };
        let (video, audio) = (find(video)?, find(audio)?);
        if video.is_none() && audio.is_none() {
            return Err(RouterError::Malformed(
                "neither picture nor sound".to_owned(),
            ));
        }
        let mut shape = |producer: Option<ProducerKey>| {
            let producer = producer?;
            let transport = self.routers.sources.get(&producer)?.transport;
            let slot = self.routers.transports.get_mut(&transport)?;
            slot.transport.uplink().shape(producer)
        };
        let (pictures, sound) = (shape(video), shape(audio));
        let is_picture = pictures.is_none_or(|shape| shape.video.is_some());
        let is_sound = sound.is_none_or(|shape| shape.video.is_none());
        if !is_picture || !is_sound {
            return Err(RouterError::Malformed(
                "picture and sound are mixed up".to_owned(),
            ));
        }
        let source = SourceDescription {
            video: pictures.and_then(|shape| shape.video),
            audio: audio.is_some(),
        };
        let highest = pictures.map_or(0, |shape| shape.layers.saturating_sub(1));
        let composite = Composite {
            sink,
            source,
            video: video.map(|video| (video, highest)),
            audio,
            video_came: None,
            events,
            started: false,
            media_arrived: false,
            statistics: Statistics::new(now),
            before: (0, 0),
        };
        for producer in composite.producers() {
            if let Some(source) = self.routers.sources.get_mut(&producer) {
                source.feeds.push(key);
            }
        }
        self.routers.composites.insert(key, composite);
        self.routers.waiting.push(key);
        self.begin_waiting_composites(now);
        Ok(source)
    }

    /// Gives their sinks to those whose transports are all connected.
    pub(super) fn begin_waiting_composites(&mut self, now: Instant) {
        let waiting = std::mem::take(&mut self.routers.waiting);
        for key in waiting {
            let Some(composite) = self.routers.composites.get(&key) else {
                continue;
            };
            let is_connected = |producer: ProducerKey| {
                let source = self.routers.sources.get(&producer);
                let slot = source.and_then(|source| self.routers.transports.get(&source.transport));
                slot.is_some_and(|slot| slot.transport.is_connected())
            };
            if composite.producers().all(is_connected) {
                self.begin_composite(key, now);
            } else {
                self.routers.waiting.push(key);
            }
        }
    }

    fn begin_composite(&mut self, key: PeerKey, now: Instant) {
        let (before, _) = self.losses(key);
        let Some(composite) = self.routers.composites.get_mut(&key) else {
            return;
        };
        composite.started = true;
        composite.before = before;
        composite.statistics.begin(now);
        composite.tell(PeerEvent::Connected);
        self.set_cadence(key, true, now);
        self.make_current(key, now);
    }

    /// What a composite's sink is, and what it sends.
    pub(super) fn composite_source(&self, key: PeerKey) -> Option<(SinkId, SourceDescription)> {
        let composite = self.routers.composites.get(&key)?;
        Some((composite.sink, composite.source))
    }

    /// Ends a composite. Ending none is no error.
    pub(super) fn end_composite(&mut self, key: PeerKey, reason: &str, now: Instant) {
        self.limit_composite(key, None, now);
        self.set_cadence(key, false, now);
        let Some(composite) = self.routers.composites.remove(&key) else {
            return;
        };
        self.routers.waiting.retain(|waiting| *waiting != key);
        for producer in composite.producers() {
            if let Some(source) = self.routers.sources.get_mut(&producer) {
                source.feeds.retain(|fed| *fed != key);
            }
        }
        self.shared.directory.forget_session(key);
        composite.tell(PeerEvent::Ended(reason.to_owned()));
        self.leave_sink(key, composite.sink, now);
    }

    /// A producer is gone. What it fed goes on while there is a picture: silence stands in for the sound.
    pub(super) fn leave_composite(
        &mut self,
        key: PeerKey,
        producer: ProducerKey,
        reason: &str,
        now: Instant,
    ) {
        let composite = self.routers.composites.get_mut(&key);
        match composite.filter(|composite| composite.video.is_some()) {
            Some(composite) if composite.audio == Some(producer) => composite.audio = None,
            _ => self.end_composite(key, reason, now),
        }
    }

    /// Ends what feeds a sink that is going.
    pub(super) fn remove_composites_of(&mut self, sink: SinkId, reason: &str, now: Instant) {
        let of: Vec<PeerKey> = self
            .routers
            .composites
            .iter()
            .filter(|(_, composite)| composite.sink == sink)
            .map(|(key, _)| *key)
            .collect();
        for key in of {
            self.end_composite(key, reason, now);
        }
    }

    /// A producer that may feed composites sent a packet.
    pub(super) fn feed_composites(
        &mut self,
        producer: ProducerKey,
        layer: u8,
        packet: &RtpPacket,
        begins_keyframe: bool,
        now: Instant,
    ) {
        for place in 0.. {
            let feeds = self
                .routers
                .sources
                .get(&producer)
                .map(|source| &source.feeds);
            let Some(&key) = feeds.and_then(|feeds| feeds.get(place)) else {
                return;
            };
            self.feed_composite(key, (producer, layer), packet, begins_keyframe, now);
        }
    }

    fn feed_composite(
        &mut self,
        key: PeerKey,
        (producer, layer): (ProducerKey, u8),
        packet: &RtpPacket,
        begins_keyframe: bool,
        now: Instant,
    ) {
        let Some(composite) = self.routers.composites.get_mut(&key) else {
            return;
        };
        let sink = composite.sink;
        if !composite.started || self.sinks.get(&sink).and_then(|slot| slot.current) != Some(key) {
            return;
        }
        let kind = if composite.audio == Some(producer) {
            TrackKind::Audio
        } else {
            let chosen = composite.video.map_or(layer, |(_, chosen)| chosen);
            if chosen != layer {
                let is_silent = composite
                    .video_came
                    .is_none_or(|came| now.saturating_duration_since(came) >= LAYER_PATIENCE);
                if !(begins_keyframe && (layer > chosen || is_silent)) {
                    return;
                }
                self.choose_layer(key, layer, now);
            }
            TrackKind::Video
        };
        let Some(composite) = self.routers.composites.get_mut(&key) else {
            return;
        };
        if kind == TrackKind::Video {
            composite.video_came = Some(now);
        }
        composite.statistics.record(kind, packet.payload.len());
        if !composite.media_arrived {
            composite.media_arrived = true;
            composite.tell(PeerEvent::MediaArrived);
        }
        self.feed_packet(sink, kind, packet.clone(), now);
        self.remember_fed(sink);
    }

    /// A sink that was fed is looked at once for each batch.
    fn remember_fed(&mut self, sink: SinkId) {
        if !self.routers.fed.contains(&sink) {
            self.routers.fed.push(sink);
        }
    }

    pub(super) fn settle_fed_sinks(&mut self, now: Instant) {
        while let Some(sink) = self.routers.fed.pop() {
            self.settle_sink(sink, now);
        }
    }

    /// Another layer of the picture is taken from now on: to the sink that is another source.
    fn choose_layer(&mut self, key: PeerKey, layer: u8, now: Instant) {
        self.set_cadence(key, false, now);
        let Some(composite) = self.routers.composites.get_mut(&key) else {
            return;
        };
        let had_pictures = composite.video_came.is_some();
        if let Some((_, chosen)) = &mut composite.video {
            *chosen = layer;
        }
        let (sink, source) = (composite.sink, composite.source);
        self.set_cadence(key, true, now);
        if had_pictures {
            self.tell_source_ended(sink, now);
            self.tell_source_started(sink, source, now);
        }
    }

    /// A producer that may feed composites told how its clocks relate.
    pub(super) fn report_composites(
        &mut self,
        producer: ProducerKey,
        layer: u8,
        report: &SenderReport,
        now: Instant,
    ) {
        let feeds = self
            .routers
            .sources
            .get(&producer)
            .map(|source| source.feeds.clone());
        for key in feeds.unwrap_or_default() {
            let Some(composite) = self.routers.composites.get(&key) else {
                continue;
            };
            let kind = if composite.audio == Some(producer) {
                TrackKind::Audio
            } else if composite.video == Some((producer, layer)) {
                TrackKind::Video
            } else {
                continue;
            };
            let sink = composite.sink;
            if self.sinks.get(&sink).and_then(|slot| slot.current) == Some(key) {
                self.feed_report(sink, kind, *report, now);
                self.remember_fed(sink);
            }
        }
    }

    /// Somebody needs a keyframe of a composite's picture.
    pub(super) fn wish_composite_keyframe(&mut self, key: PeerKey, now: Instant) {
        let composite = self.routers.composites.get(&key);
        if let Some((producer, layer)) = composite.and_then(|composite| composite.video) {
            self.wish_source_keyframe(producer, layer, now);
        }
    }

    /// The client that sends the picture is to send at most this, in bit/s.
    pub(super) fn limit_composite(&mut self, key: PeerKey, limit: Option<u64>, now: Instant) {
        let producer = self
            .routers
            .composites
            .get(&key)
            .and_then(|composite| composite.producers().next());
        let source = producer.and_then(|producer| self.routers.sources.get(&producer));
        if let Some(transport) = source.map(|source| source.transport) {
            self.with_transport(transport, now, |transport| {
                transport.uplink().limit_bitrate(limit, now);
                transport.hurry(now);
            });
        }
    }

    fn set_cadence(&mut self, key: PeerKey, on: bool, now: Instant) {
        let composite = self.routers.composites.get(&key);
        let Some((producer, layer)) = composite.and_then(|composite| composite.video) else {
            return;
        };
        // Another composite may want it still.
        let feeds = self
            .routers
            .sources
            .get(&producer)
            .map_or(0, |source| source.feeds.len());
        if !on && feeds > 1 {
            return;
        }
        let Some(source) = self.routers.sources.get(&producer) else {
            return;
        };
        self.with_transport(source.transport, now, |transport| {
            transport.uplink().set_cadence(producer, layer, on);
            transport.hurry(now);
        });
    }

    pub(super) fn handle_composite_timeouts(&mut self, now: Instant) {
        let due: Vec<PeerKey> = self
            .routers
            .composites
            .iter()
            .filter(|(_, composite)| composite.deadline() <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let ((lost, recovered), round_trip) = self.losses(key);
            let Some(composite) = self.routers.composites.get_mut(&key) else {
                continue;
            };
            if !composite.started {
                // It waits for its transports; nothing is to be told until then.
                composite.statistics.begin(now);
                continue;
            }
            let counters = RepairCounters::default();
            counters.count_lost(lost.saturating_sub(composite.before.0));
            counters.count_recovered(recovered.saturating_sub(composite.before.1));
            if let Some(statistics) = composite
                .statistics
                .take_when_due(&counters, round_trip, now)
            {
                composite.tell(PeerEvent::Statistics(statistics));
            }
        }
    }

    /// How many packets of a composite's producers never came and how many came by repair; and the round trip to its
    /// client, once known.
    fn losses(&mut self, key: PeerKey) -> ((u64, u64), Option<Duration>) {
        let composite = self.routers.composites.get(&key);
        let producers: Vec<_> = composite.map_or_else(Vec::new, |all| all.producers().collect());
        let (mut losses, mut round_trip) = ((0, 0), None);
        for producer in producers {
            let source = self.routers.sources.get(&producer);
            let transport = source.map(|source| source.transport);
            let slot = transport.and_then(|peer| self.routers.transports.get_mut(&peer));
            let Some(slot) = slot else { continue };
            let uplink = slot.transport.uplink();
            round_trip = round_trip.or(uplink.round_trip_of(producer));
            if let Some(counters) = uplink.counters_of(producer) {
                losses.0 += counters.lost;
                losses.1 += counters.recovered;
            }
        }
        (losses, round_trip)
    }
}
