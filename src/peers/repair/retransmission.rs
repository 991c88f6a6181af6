//! Turns RTX packets (RFC 4588) back into what they repeat, before anybody looks for gaps.

use std::collections::{HashMap, VecDeque};

use rtc::{
    interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket},
    sansio::Protocol,
};

use super::queues;

/// Bytes of the original sequence number in front of an RTX payload.
const ORIGINAL_SEQUENCE_BYTES: usize = 2;

struct Original {
    ssrc: u32,
    payload_type: u8,
}

/// Unwraps RTX; drops RTX that only pads.
#[derive(Default)]
pub(super) struct RetransmissionUnwrapper {
    originals_by_ssrc: HashMap<u32, Original>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RetransmissionUnwrapper {
    queues!();

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Self::Error> {
        if let Packet::Rtp(packet) = &mut message.message.packet
            && let Some(original) = self.originals_by_ssrc.get(&packet.header.ssrc)
        {
            if packet.payload.len() < ORIGINAL_SEQUENCE_BYTES {
                return Ok(());
            }
            packet.header.sequence_number =
                u16::from_be_bytes([packet.payload[0], packet.payload[1]]);
            packet.header.ssrc = original.ssrc;
            packet.header.payload_type = original.payload_type;
            packet.payload = packet.payload.slice(ORIGINAL_SEQUENCE_BYTES..);
            message.message.add(Attribute::Retransmission);
        }
        self.reads.push_back(message);
        Ok(())
    }
}

impl Interceptor for RetransmissionUnwrapper {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(repair) = info.ssrc_rtx {
            self.originals_by_ssrc.insert(
                repair,
                Original {
                    ssrc: info.ssrc,
                    payload_type: info.payload_type,
                },
            );
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(repair) = info.ssrc_rtx {
            self.originals_by_ssrc.remove(&repair);
        }
    }
}
