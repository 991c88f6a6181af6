//! What the worker and all consumers of one transport say to each other. Time is an argument; no I/O.

use media::{RtpPacket, VideoCodec};
use ortc::RtpParameters;

use crate::{relay::Place, router::extensions::Extensions};

/// Names a producer on its router.
pub(crate) type ProducerKey = u32;
/// Names a consumer on its router.
pub(crate) type ConsumerKey = u32;

/// Names whose wall clock a producer's reports tell: all producers of one transport share it.
pub(crate) type ClockKey = u32;

/// A consumer that is to be added.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerSetup {
    /// Its name.
    pub(crate) key: ConsumerKey,
    /// Of whom.
    pub(crate) producer: ProducerKey,
    /// Whose clock that one's reports tell.
    pub(crate) clock: ClockKey,
    /// Where its numbers begin, at random (RFC 3550 § 5.1).
    pub(crate) first: Place,
    /// The codec of pictures; `None`: sound.
    pub(crate) video: Option<VideoCodec>,
    /// Hz, of the codec.
    pub(crate) clock_rate: u32,
    /// How many spatial layers the producer has as streams of their own; 1 without simulcast. Layer 0 is the smallest.
    pub(crate) layers: u8,
    /// As the client gets it, checked: one encoding with `ssrc` and perhaps `rtx`, the media codec first.
    pub(crate) rtp: RtpParameters,
    /// Whether nothing is to be sent yet.
    pub(crate) paused: bool,
    /// Whether the producer is paused.
    pub(crate) producer_paused: bool,
}

/// A packet of a producer, after repair, each once; late ones may come.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    /// Whose.
    pub(crate) producer: ProducerKey,
    /// Which spatial layer; 0 without simulcast.
    pub(crate) layer: u8,
    /// The payload is without padding; empty in a packet that only padded.
    pub(crate) packet: &'a RtpPacket,
    /// What stood in its header.
    pub(crate) extensions: &'a Extensions,
    /// Whether a decoder can begin with it.
    pub(crate) begins_keyframe: bool,
}

/// Something that the owner of the transport is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DownlinkEvent {
    /// This consumer gets another spatial layer; `None`: nothing, for want of bandwidth.
    LayersChanged(ConsumerKey, Option<u8>),
    /// How much can be sent, in bit/s, when it changed much; at most once a second.
    Bandwidth(u64),
}

/// What the consumers want done. Called while they work; must not call back.
pub(crate) trait DownlinkHands {
    /// Seal this RTP packet and send it.
    fn send_rtp(&mut self, datagram: &[u8]);
    /// Seal this RTCP compound and send it.
    fn send_rtcp(&mut self, compound: &[u8]);
    /// A keyframe of this layer of the producer is needed; its arbiter decides when it is asked for.
    fn wish_keyframe(&mut self, producer: ProducerKey, layer: u8);
    /// Tell the owner.
    fn tell(&mut self, event: DownlinkEvent);
}
