//! Asks for missing video packets (RFC 4585 NACK) and drops what arrives twice.
//!
//! The chain's own generator sits before RTX is unwrapped and so keeps asking for what is repaired already:
//! 3 to 7 retransmissions per lost packet against one here (docs/adr/0001-front-door.md).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use rtc::{
    interceptor::{Attribute, AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::transport_feedbacks::transport_layer_nack::{
        TransportLayerNack, nack_pairs_from_sequence_numbers,
    },
    sansio::Protocol,
    shared::TransportContext,
};

use super::{
    RepairCounters,
    gaps::{Arrival, Gaps},
    queues,
};

/// The generator for all streams of a session that negotiated NACK.
pub(super) struct NackGenerator {
    counters: Arc<RepairCounters>,
    gaps_by_ssrc: HashMap<u32, Gaps>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl NackGenerator {
    pub(super) fn new(counters: Arc<RepairCounters>) -> Self {
        Self {
            counters,
            gaps_by_ssrc: HashMap::new(),
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for NackGenerator {
    queues!();

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtp(packet) = &message.message.packet
            && let Some(gaps) = self.gaps_by_ssrc.get_mut(&packet.header.ssrc)
        {
            let retransmission = message
                .message
                .attributes
                .iter()
                .any(|attribute| matches!(attribute, Attribute::Retransmission));
            match gaps.handle_arrival(packet.header.sequence_number, retransmission, message.now) {
                Arrival::New => {}
                Arrival::Recovered => {
                    self.counters.recovered.fetch_add(1, Ordering::Relaxed);
                }
                Arrival::Duplicate => return Ok(()),
            }
        }
        self.reads.push_back(message);
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Error> {
        for (ssrc, gaps) in &mut self.gaps_by_ssrc {
            self.counters
                .lost
                .fetch_add(gaps.give_up(now), Ordering::Relaxed);
            let due = gaps.take_due(now);
            if due.is_empty() {
                continue;
            }
            self.counters
                .requested
                .fetch_add(due.len() as u64, Ordering::Relaxed);
            let request = TransportLayerNack {
                sender_ssrc: 1,
                media_ssrc: *ssrc,
                nacks: nack_pairs_from_sequence_numbers(&due),
            };
            self.writes.push_back(TaggedPacket {
                now,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(request)])),
            });
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.gaps_by_ssrc.values().filter_map(Gaps::next_due).min()
    }
}

impl Interceptor for NackGenerator {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        let negotiated = info
            .rtcp_feedback
            .iter()
            .any(|kind| kind.typ == "nack" && kind.parameter.is_empty());
        if negotiated && !info.mime_type.eq_ignore_ascii_case("video/rtx") {
            self.gaps_by_ssrc.entry(info.ssrc).or_default();
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.gaps_by_ssrc.remove(&info.ssrc);
    }
}
