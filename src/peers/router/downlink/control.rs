//! RTCP of one transport's consumers: what the client tells and asks for, and how its clocks relate. Pure; time is an
//! argument.

use std::time::{Duration, Instant};

use rtc::rtcp::{
    self,
    payload_feedbacks::{
        full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
        receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate,
    },
    receiver_report::ReceiverReport,
    reception_report::ReceptionReport,
    sender_report::SenderReport,
    transport_feedbacks::{
        transport_layer_cc::TransportLayerCc,
        transport_layer_nack::{NackPair, TransportLayerNack},
    },
};

use super::{Downlink, DownlinkHands};
use crate::relay::ntp;

/// How often the client is told how its clocks relate.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A compound is sent before it is longer than this, so that one datagram carries it.
const COMPOUND_BYTES: usize = 1100;

impl Downlink {
    /// The client told something, authenticated. What is not for consumers is passed over.
    pub(crate) fn handle_rtcp(
        &mut self,
        packets: &[Box<dyn rtcp::Packet>],
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) {
        for packet in packets {
            let packet = packet.as_any();
            if let Some(feedback) = packet.downcast_ref::<TransportLayerCc>() {
                if self
                    .bandwidth
                    .handle_feedback(feedback, &mut self.wire, now)
                {
                    self.share(now, hands);
                }
            } else if let Some(missing) = packet.downcast_ref::<TransportLayerNack>() {
                self.repeat(missing, now, hands);
            } else if let Some(request) = packet.downcast_ref::<PictureLossIndication>() {
                self.handle_keyframe_request(request.media_ssrc, hands);
            } else if let Some(request) = packet.downcast_ref::<FullIntraRequest>() {
                for entry in &request.fir {
                    self.handle_keyframe_request(entry.ssrc, hands);
                }
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                self.handle_reception(&report.reports, now);
            } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
                self.handle_reception(&report.reports, now);
            } else if let Some(most) = packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                self.bandwidth.handle_most(most.bitrate);
            }
        }
        self.settle();
    }

    /// The client misses packets.
    fn repeat(
        &mut self,
        missing: &TransportLayerNack,
        now: Instant,
        hands: &mut impl DownlinkHands,
    ) {
        let ours = self.ours(now);
        let Some(source) = self
            .streams
            .get(&missing.media_ssrc)
            .and_then(|key| self.producers.get(key))
            .and_then(|producer| self.sources.get_mut(producer))
        else {
            return;
        };
        let Some(consumer) = source
            .consumers
            .iter_mut()
            .find(|consumer| consumer.ssrc == missing.media_ssrc)
        else {
            return;
        };
        for sequence in missing.nacks.iter().flat_map(NackPair::packet_list) {
            if let Some((ids, packet, stream, stamp)) = consumer.repeat(sequence, now) {
                self.wire
                    .send((ids, packet, stream), stamp, ours, now, hands);
            }
        }
    }

    fn handle_keyframe_request(&mut self, ssrc: u32, hands: &mut impl DownlinkHands) {
        let Some(key) = self.streams.get(&ssrc).copied() else {
            return;
        };
        let Some(producer) = self.producers.get(&key).copied() else {
            return;
        };
        if let Some(consumer) = self.consumer(key).filter(|consumer| consumer.is_video) {
            consumer.count_keyframe_request();
            let forwarder = &consumer.forwarder;
            if let Some(layer) = forwarder.layer().or_else(|| forwarder.target())
                && consumer.is_open()
            {
                hands.wish_keyframe(producer, layer);
            }
        }
    }

    fn handle_reception(&mut self, reports: &[ReceptionReport], now: Instant) {
        let ntp_time = ntp(self.ours(now));
        for report in reports {
            if let Some(key) = self.streams.get(&report.ssrc).copied()
                && let Some(consumer) = self.consumer(key)
            {
                consumer.handle_reception(report, ntp_time);
            }
        }
    }

    /// Tells the client how its clocks relate, of each stream once a second, and soon after its first packet.
    pub(super) fn report(&mut self, now: Instant, hands: &mut impl DownlinkHands) {
        let ours = self.ours(now);
        let all = self.report_due.is_some_and(|due| now >= due);
        if all {
            self.report_due = (!self.producers.is_empty()).then(|| now + REPORT_INTERVAL);
        }
        if !all && self.first_report_due.take().is_none() {
            return;
        }
        self.first_report_due = None;
        let mut compound: Vec<Box<dyn rtcp::Packet>> = Vec::new();
        let mut bytes = 0;
        for consumer in self
            .sources
            .values_mut()
            .flat_map(|source| &mut source.consumers)
        {
            let is_due = consumer.report_due.take().is_some() || all;
            if all {
                consumer.measure(now);
            }
            let Some((report, name)) = consumer.report(ours, ntp(ours)).filter(|_| is_due) else {
                continue;
            };
            let (report, name): (Box<dyn rtcp::Packet>, Box<dyn rtcp::Packet>) =
                (Box::new(report), Box::new(name));
            let more = report.raw_size() + name.raw_size();
            if bytes + more > COMPOUND_BYTES {
                send_compound(&std::mem::take(&mut compound), hands);
                bytes = 0;
            }
            bytes += more;
            compound.extend([report, name]);
        }
        send_compound(&compound, hands);
    }
}

fn send_compound(packets: &[Box<dyn rtcp::Packet>], hands: &mut impl DownlinkHands) {
    if packets.is_empty() {
        return;
    }
    match rtcp::packet::marshal(packets) {
        Ok(compound) => hands.send_rtcp(&compound),
        Err(error) => tracing::error!(%error, "a report could not be written"),
    }
}
