//! Lets sender reports through to us. The chain ends inbound RTCP that nobody has marked for delivery.

use std::collections::VecDeque;

use rtc::{
    interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::sender_report::SenderReport,
    sansio::Protocol,
};

use super::queues;

/// Marks inbound sender reports for delivery.
#[derive(Default)]
pub(super) struct Ear {
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Ear {
    queues!();

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Self::Error> {
        // An empty compound carries attributes of the chain and passes.
        if let Packet::Rtcp(packets) = &mut message.message.packet
            && !packets.is_empty()
        {
            // The first packet's SSRC decides the track, so only the reports stay.
            packets.retain(|packet| packet.as_any().is::<SenderReport>());
            if packets.is_empty() {
                return Ok(());
            }
            message.message.add(Attribute::DeliverToApplication);
        }
        self.reads.push_back(message);
        Ok(())
    }
}

impl Interceptor for Ear {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
