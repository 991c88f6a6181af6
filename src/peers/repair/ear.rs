//! Lets the RTCP through that is for us. The chain ends inbound RTCP that nobody has marked for delivery.

use std::collections::VecDeque;

use rtc::{
    interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::{
        self,
        payload_feedbacks::{
            full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
        },
        sender_report::SenderReport,
        transport_feedbacks::transport_layer_nack::TransportLayerNack,
    },
    sansio::Protocol,
};

use super::queues;

/// Marks for delivery what it is to hear.
pub(super) struct Ear {
    hears: fn(&dyn rtcp::Packet) -> bool,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Ear {
    /// Hears a studio's sender reports.
    pub(super) fn for_studio() -> Self {
        Self::new(|packet| packet.as_any().is::<SenderReport>())
    }

    /// Hears what a viewer asks for.
    pub(super) fn for_viewer() -> Self {
        Self::new(|packet| {
            let packet = packet.as_any();
            packet.is::<TransportLayerNack>()
                || packet.is::<PictureLossIndication>()
                || packet.is::<FullIntraRequest>()
        })
    }

    const fn new(hears: fn(&dyn rtcp::Packet) -> bool) -> Self {
        Self {
            hears,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Ear {
    queues!();

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Self::Error> {
        // An empty compound carries attributes of the chain and passes.
        if let Packet::Rtcp(packets) = &mut message.message.packet
            && !packets.is_empty()
        {
            // The first packet's SSRC decides the track, so only what is to be heard stays.
            packets.retain(|packet| (self.hears)(&**packet));
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
