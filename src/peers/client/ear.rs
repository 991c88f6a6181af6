//! An interceptor that hears the server ask for keyframes, and for less.

use std::{collections::VecDeque, time::Instant};

use rtc::{
    interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::payload_feedbacks::{
        full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication,
        receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate,
    },
    sansio::Protocol,
    shared::error::Error,
};
use tokio::sync::mpsc;

use super::ClientEvent;

/// Places in the events' queue that keyframe requests leave to changes of state.
const RESERVED_EVENTS: usize = 8;

/// Tells each PLI and FIR, and each new limit, to the events' reader. When many wait to be read already, another would
/// change nothing.
pub(super) struct Ear {
    events: mpsc::Sender<ClientEvent>,
    limit: Option<u64>,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Ear {
    pub(super) fn new(events: mpsc::Sender<ClientEvent>) -> Self {
        Self {
            events,
            limit: None,
            inbound: VecDeque::new(),
            outbound: VecDeque::new(),
        }
    }
}

impl Ear {
    fn handle_limit(&mut self, bitrate: f32) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bitrate; the cast saturates"
        )]
        let limit = bitrate as u64;
        if self.limit != Some(limit)
            && self.events.capacity() > RESERVED_EVENTS
            && self
                .events
                .try_send(ClientEvent::BitrateLimited(limit))
                .is_ok()
        {
            self.limit = Some(limit);
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Ear {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(reports) = &packet.message.packet {
            let asks = reports.iter().any(|report| {
                let report = report.as_any();
                report.is::<PictureLossIndication>() || report.is::<FullIntraRequest>()
            });
            if asks && self.events.capacity() > RESERVED_EVENTS {
                let _ = self.events.try_send(ClientEvent::KeyframeRequested);
            }
            let estimate = reports.iter().rev().find_map(|report| {
                report
                    .as_any()
                    .downcast_ref::<ReceiverEstimatedMaximumBitrate>()
            });
            if let Some(estimate) = estimate {
                self.handle_limit(estimate.bitrate);
            }
        }
        self.inbound.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front()
    }
}

impl Interceptor for Ear {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
