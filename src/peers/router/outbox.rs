//! What a transport wants done: sealed datagrams, keyframes of others, and words to its owner.

use super::{
    batch::Batch,
    downlink::{DownlinkEvent, DownlinkHands, ProducerKey},
};
use crate::srtp::Sealer;

/// Gathers what comes out of a transport between two looks at it.
#[derive(Default)]
pub(crate) struct Outbox {
    /// `None`: nothing can be sent yet, and what is to be is lost.
    sealer: Option<Sealer>,
    pub(crate) datagrams: Batch,
    /// Keyframes that are needed of others' producers, each named once.
    pub(crate) wishes: Vec<(ProducerKey, u8)>,
    pub(super) events: Vec<DownlinkEvent>,
}

impl Outbox {
    /// From now on something can be sent.
    pub(super) fn begin(&mut self, sealer: Sealer) {
        self.sealer = Some(sealer);
    }
}

impl DownlinkHands for Outbox {
    fn send_rtp(&mut self, datagram: &[u8]) {
        let sealer = self.sealer.as_mut();
        if let Some(sealed) = sealer.and_then(|sealer| sealer.seal_rtp(datagram)) {
            self.datagrams.push(&sealed);
        }
    }

    fn send_rtcp(&mut self, compound: &[u8]) {
        let sealer = self.sealer.as_mut();
        if let Some(sealed) = sealer.and_then(|sealer| sealer.seal_rtcp(compound)) {
            self.datagrams.push(&sealed);
        }
    }

    fn wish_keyframe(&mut self, producer: ProducerKey, layer: u8) {
        if !self.wishes.contains(&(producer, layer)) {
            self.wishes.push((producer, layer));
        }
    }

    fn tell(&mut self, event: DownlinkEvent) {
        self.events.push(event);
    }
}
