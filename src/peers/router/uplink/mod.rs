//! All that the client of one transport sends: whose each packet is, what is missing, and what the client is told.
//! Pure; time is an argument.

mod loudness;
mod places;
mod producer;
mod transport_feedback;

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{RtpPacket, SenderReport, VideoCodec};
use rtc::rtcp::{self, Packet, sender_report};

use super::{
    ProducerCounters, ProducerOrder, RouterError, TransportEvent,
    downlink::ProducerKey,
    extensions::{ExtensionIds, Extensions},
};
use crate::{
    packet,
    plain::{
        KeyframeRequest,
        feedback::{self, full_intra, missing, picture_loss, receiver_compound},
    },
    repair::Gaps,
    session::limit::BitrateLimit,
};
use places::Places;
use producer::Producer;
pub(crate) use producer::malformed;
use transport_feedback::TransportFeedback;

/// The most producers of one transport.
pub(crate) const PRODUCERS_LIMIT: usize = 64;
/// How often the client is told what came of its streams.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Reports in one compound (RFC 3550 § 6.4.2).
const REPORTS_LIMIT: usize = 31;
/// Of a number of a retransmitted packet in front of its payload (RFC 4588 § 4).
const ORIGINAL_SEQUENCE_BYTES: usize = 2;

/// What came of a datagram.
#[derive(Debug)]
pub(crate) enum FromClient {
    /// A packet of a producer that is not paused.
    Packet {
        producer: ProducerKey,
        layer: u8,
        packet: RtpPacket,
        extensions: Extensions,
        begins_keyframe: bool,
    },
    /// How the clocks of a layer relate.
    Report {
        producer: ProducerKey,
        layer: u8,
        report: SenderReport,
    },
}

/// What others are to know of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerShape {
    /// `None`: sound.
    pub(crate) video: Option<VideoCodec>,
    pub(crate) clock_rate: u32,
    pub(crate) layers: u8,
    pub(crate) paused: bool,
}

/// All that a client sends.
pub(crate) struct Uplink {
    /// Our SSRC in RTCP.
    own: u32,
    ids: ExtensionIds,
    producers: Vec<Producer>,
    places: Places,
    feedback: TransportFeedback,
    limit: BitrateLimit,
    report_due: Instant,
    /// One of the client's SSRCs, for feedback that is about all of them.
    some_ssrc: u32,
}

impl Uplink {
    /// Nothing yet. `own` is our SSRC in RTCP.
    pub(crate) fn new(own: u32, now: Instant) -> Self {
        Self {
            own,
            ids: ExtensionIds::default(),
            producers: Vec::new(),
            places: Places::default(),
            feedback: TransportFeedback::new(now),
            limit: BitrateLimit::default(),
            report_due: now + REPORT_INTERVAL,
            some_ssrc: 0,
        }
    }

    /// One more track. Refused when the parameters do not hold, clash with another's, or there are too many.
    pub(crate) fn add(
        &mut self,
        key: ProducerKey,
        order: ProducerOrder,
    ) -> Result<(), RouterError> {
        if self.producers.len() >= PRODUCERS_LIMIT {
            return Err(malformed("the transport has 64 producers already"));
        }
        let extensions = order.rtp.header_extensions.clone();
        let producer = Producer::new(key, order)?;
        let others = &self.producers;
        if producer.mid.is_some() && others.iter().any(|other| other.mid == producer.mid) {
            return Err(malformed("another producer has the same MID"));
        }
        self.places.add(&producer)?;
        self.ids.learn(&extensions);
        self.producers.push(producer);
        Ok(())
    }

    /// One less, by its caller's name.
    pub(crate) fn remove(&mut self, id: &str) -> Option<ProducerKey> {
        let place = self.producers.iter().position(|known| known.id == id)?;
        let key = self.producers.remove(place).key;
        self.places.remove(key);
        Some(key)
    }

    /// All producers that there are.
    pub(crate) fn producers(&self) -> impl Iterator<Item = (ProducerKey, &str)> {
        self.producers
            .iter()
            .map(|producer| (producer.key, producer.id.as_str()))
    }

    /// A producer is paused or goes on.
    pub(crate) fn pause(&mut self, id: &str, paused: bool) -> Option<ProducerKey> {
        let producer = self.producers.iter_mut().find(|known| known.id == id)?;
        producer.paused = paused;
        Some(producer.key)
    }

    /// What others are to know of a producer.
    pub(crate) fn shape(&self, producer: ProducerKey) -> Option<ProducerShape> {
        let producer = self.find(producer)?;
        Some(ProducerShape {
            video: producer.video,
            clock_rate: producer.clock_rate,
            layers: producer.layers(),
            paused: producer.paused,
        })
    }

    /// What was counted of a producer.
    pub(crate) fn counters(&self, id: &str) -> Option<ProducerCounters> {
        self.producers
            .iter()
            .find(|known| known.id == id)
            .map(Producer::counters)
    }

    /// What was counted of a producer, by its key.
    pub(crate) fn counters_of(&self, producer: ProducerKey) -> Option<ProducerCounters> {
        self.find(producer).map(Producer::counters)
    }

    /// The round trip to the client, once a repeated packet of this producer told it.
    pub(crate) fn round_trip_of(&self, producer: ProducerKey) -> Option<Duration> {
        self.find(producer)?.round_trip()
    }

    /// Somebody needs a keyframe of a layer.
    pub(crate) fn wish_keyframe(&mut self, producer: ProducerKey, layer: u8) {
        if let Some(layer) = self.layer_mut(producer, layer) {
            layer.arbiter.wish();
        }
    }

    /// Whether keyframes of a layer are to come as often as platforms want them.
    pub(crate) fn set_cadence(&mut self, producer: ProducerKey, layer: u8, on: bool) {
        if let Some(layer) = self.layer_mut(producer, layer) {
            layer.arbiter.set_cadence(on);
        }
    }

    /// The client is to send no more than this, in bit/s; `None`: as much as it wants.
    pub(crate) fn limit_bitrate(&mut self, limit: Option<u64>, now: Instant) {
        self.limit.set(limit, now);
    }

    /// An authentic RTP packet.
    pub(crate) fn handle_rtp(
        &mut self,
        datagram: &Bytes,
        now: Instant,
        out: &mut Vec<FromClient>,
        tell: &mut impl FnMut(TransportEvent),
    ) {
        let Some(arrived) = packet::parse(datagram) else {
            return;
        };
        let (profile, elements) = arrived.extensions.clone().unwrap_or_default();
        let (extensions, labels) = self.ids.read(profile, &elements);
        if let Some(number) = labels.transport_sequence {
            self.some_ssrc = arrived.packet.ssrc;
            self.feedback.handle_packet(number, now);
        }
        let Some(place) = self.places.find(&arrived, &labels, &mut self.producers) else {
            return;
        };
        let Some(producer) = self
            .producers
            .iter_mut()
            .find(|known| known.key == place.producer)
        else {
            return;
        };
        let packet = if place.repair {
            let media = producer.layers[place.layer].ssrc;
            match unwrap(&arrived.packet, media) {
                Some(packet) => packet,
                None => return,
            }
        } else {
            arrived.packet
        };
        let Some(taken) = producer.handle_packet(place.layer, &packet, place.repair, now) else {
            return;
        };
        if !producer.media_arrived {
            producer.media_arrived = true;
            tell(TransportEvent::MediaArrived(producer.id.clone()));
        }
        if let Some(level) = extensions.audio_level
            && let Some(level) = producer.loudness.handle_level(level, now)
            && !producer.paused
        {
            tell(TransportEvent::AudioLevel(producer.id.clone(), level));
        }
        if !producer.paused {
            out.push(FromClient::Packet {
                producer: producer.key,
                layer: u8::try_from(place.layer).unwrap_or(u8::MAX),
                packet,
                extensions,
                begins_keyframe: taken.begins_keyframe,
            });
        }
    }

    /// Authentic RTCP. What is not about what the client sends is passed over.
    pub(crate) fn handle_rtcp(
        &mut self,
        packets: &[Box<dyn rtcp::Packet>],
        now: Instant,
        out: &mut Vec<FromClient>,
    ) {
        for report in packets.iter().filter_map(|packet| {
            packet
                .as_any()
                .downcast_ref::<sender_report::SenderReport>()
        }) {
            let Some(place) = self.places.of_media(report.ssrc) else {
                continue;
            };
            let known = self
                .producers
                .iter_mut()
                .find(|known| known.key == place.producer);
            let Some(producer) = known else { continue };
            if let Some(reception) = &mut producer.layers[place.layer].reception {
                reception.handle_sender_report(report.ntp_time, now);
            }
            out.push(FromClient::Report {
                producer: place.producer,
                layer: u8::try_from(place.layer).unwrap_or(u8::MAX),
                report: feedback::report_of(report),
            });
        }
    }

    /// When [`act_when_due`](Self::act_when_due) is due.
    pub(crate) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.producers.is_empty() {
            return self.feedback.poll_timeout();
        }
        let mut due = self.report_due;
        due = due.min(self.feedback.poll_timeout().unwrap_or(due));
        due = due.min(self.limit.poll_timeout().unwrap_or(due));
        for producer in &self.producers {
            for layer in producer.layers.iter().filter(|layer| layer.ssrc.is_some()) {
                let gaps = layer.gaps.as_ref().and_then(Gaps::next_due);
                due = due.min(gaps.unwrap_or(due));
                if producer.video.is_some() {
                    due = due.min(layer.arbiter.poll_timeout(now));
                }
            }
        }
        Some(due)
    }

    /// Tells the client whatever is due, by `send`.
    pub(crate) fn act_when_due(
        &mut self,
        now: Instant,
        send: &mut impl FnMut(&[u8]),
        tell: &mut impl FnMut(TransportEvent),
    ) {
        while let Some(message) = self.feedback.poll_message(self.own, self.some_ssrc, now) {
            send(&message);
        }
        if self.producers.is_empty() {
            return;
        }
        let mut requests = self.requests_due(now);
        let ssrcs: Vec<u32> = self
            .producers
            .iter()
            .flat_map(|producer| producer.layers.iter().filter_map(|layer| layer.ssrc))
            .collect();
        if let Some(estimate) = self.limit.take_estimate(ssrcs.into_iter(), now) {
            requests.push(Box::new(estimate));
        }
        let mut reports = Vec::new();
        if now >= self.report_due {
            let elapsed = now.saturating_duration_since(self.report_due) + REPORT_INTERVAL;
            self.report_due = now + REPORT_INTERVAL;
            for producer in &mut self.producers {
                if let Some(level) = producer.measure(elapsed, now) {
                    tell(TransportEvent::AudioLevel(producer.id.clone(), level));
                }
                reports.extend(
                    producer.layers.iter_mut().filter_map(|layer| {
                        Some(layer.reception.as_mut()?.report(layer.ssrc?, now))
                    }),
                );
            }
        }
        let mut reports = reports.chunks(REPORTS_LIMIT);
        if let Some(first) = reports
            .next()
            .or_else(|| (!requests.is_empty()).then_some(&[]))
            && let Some(compound) = receiver_compound(self.own, first.to_vec(), requests)
        {
            send(&compound);
        }
        for more in reports {
            if let Some(compound) = receiver_compound(self.own, more.to_vec(), Vec::new()) {
                send(&compound);
            }
        }
    }

    fn requests_due(&mut self, now: Instant) -> Vec<Box<dyn Packet>> {
        let own = self.own;
        let mut requests: Vec<Box<dyn Packet>> = Vec::new();
        for producer in &mut self.producers {
            producer.give_up(now);
            let (is_video, by) = (producer.video.is_some(), producer.keyframe_request);
            for layer in &mut producer.layers {
                let Some(ssrc) = layer.ssrc else { continue };
                if let Some(gaps) = &mut layer.gaps {
                    let due = gaps.take_due(now);
                    if !due.is_empty() {
                        requests.push(missing(own, ssrc, &due));
                    }
                }
                if is_video && layer.arbiter.take_request(now) {
                    requests.push(match by {
                        KeyframeRequest::Pli => picture_loss(own, ssrc),
                        KeyframeRequest::Fir => {
                            layer.requests = layer.requests.wrapping_add(1);
                            full_intra(own, ssrc, layer.requests)
                        }
                    });
                }
            }
        }
        requests
    }

    fn find(&self, producer: ProducerKey) -> Option<&Producer> {
        self.producers.iter().find(|known| known.key == producer)
    }

    fn layer_mut(&mut self, producer: ProducerKey, layer: u8) -> Option<&mut producer::Layer> {
        self.producers
            .iter_mut()
            .find(|known| known.key == producer)?
            .layers
            .get_mut(usize::from(layer))
    }
}

/// The packet that a retransmission carries (RFC 4588 § 4); `None`: it only pads, or is of nothing that came yet.
fn unwrap(packet: &RtpPacket, media: Option<u32>) -> Option<RtpPacket> {
    let &[high, low, ..] = &packet.payload[..] else {
        return None;
    };
    Some(RtpPacket {
        sequence: u16::from_be_bytes([high, low]),
        timestamp: packet.timestamp,
        ssrc: media?,
        marker: packet.marker,
        payload: packet.payload.slice(ORIGINAL_SEQUENCE_BYTES..),
    })
}

#[cfg(test)]
mod tests;
