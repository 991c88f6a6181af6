//! VP8, VP9 and AV1 in RTP to whole pictures, forwarding only what a decoder can use.
//!
//! H.264 has a depacketiser of its own in `path`, since its pictures leave as they are.

mod av1;
mod vp8;
mod vp9;

use std::{collections::VecDeque, fmt, time::Instant};

use bytes::Bytes;
use media::{RtpPacket, VideoCodec};

/// The largest picture; a keyframe of 50 Mb/s video has about 1 MB.
const PICTURE_LIMIT: usize = 4 * 1024 * 1024;

/// Room for the first picture.
const FIRST_CAPACITY: usize = 16 * 1024;

/// A picture that a decoder can use, given those before it.
#[derive(Debug, Clone)]
pub(crate) struct WholePicture {
    /// In the track's clock, wraps.
    pub(crate) rtp_timestamp: u32,
    /// Whether a decoder can begin here.
    pub(crate) keyframe: bool,
    /// Width and height in pixels, told by keyframes.
    pub(crate) size: Option<(u32, u32)>,
    /// VP8: the frame. VP9: the frames of all spatial layers, in order. AV1: OBUs with sizes, without temporal delimiters.
    pub(crate) data: Bytes,
    /// When its first packet came.
    pub(crate) first_arrival: Instant,
    /// When its last packet came.
    pub(crate) last_arrival: Instant,
}

/// The depacketiser of one track. It takes packets in order.
///
/// After any loss or damage nothing comes out until the next keyframe, unless the numbers of the pictures (VP8, VP9) show
/// that no picture is missing to which another refers.
#[derive(Debug)]
pub(crate) struct Depacketiser {
    codec: VideoCodec,
    unit: Option<Unit>,
    /// The number of the next picture, by which to know that none is missing.
    expected: Option<u16>,
    /// Whether packets are missing before the next one, and it is not known yet what they held.
    follows_loss: bool,
    waits_for_keyframe: bool,
    keyframe_wanted: bool,
    capacity: usize,
    dropped: u64,
    ready: VecDeque<WholePicture>,
}

/// The picture in the making.
#[derive(Debug)]
struct Unit {
    rtp_timestamp: u32,
    first_arrival: Instant,
    last_arrival: Instant,
    descriptor: Descriptor,
    assembly: Box<dyn Assembly>,
    is_broken: bool,
}

/// A payload that breaks the rules of its format, or our limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

/// What the front of a payload tells of its picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Descriptor {
    /// The picture's number of 15 bits. Shorter ones come round too soon to tell what is missing.
    number: Option<u16>,
    /// Whether the picture begins with it.
    is_first: bool,
    /// Whether no picture refers to this one.
    is_discardable: bool,
}

/// How a codec puts the payloads of one picture together.
trait Assembly: fmt::Debug + Send {
    /// Takes the next payload, which is not empty.
    fn take(&mut self, payload: &[u8]) -> Result<(), Malformed>;

    /// Whether what has come so far is of a keyframe.
    fn is_keyframe(&self) -> bool;

    /// Ends the picture; `None` if there is nothing in it to be shown.
    fn finish(&mut self) -> Result<Option<Assembled>, Malformed>;
}

/// A picture that has been put together.
#[derive(Debug)]
struct Assembled {
    keyframe: bool,
    size: Option<(u32, u32)>,
    data: Bytes,
}

impl Depacketiser {
    /// Makes one for VP8, VP9 or AV1.
    pub(crate) fn new(codec: VideoCodec) -> Self {
        Self {
            codec,
            unit: None,
            expected: None,
            follows_loss: false,
            waits_for_keyframe: true,
            keyframe_wanted: true,
            capacity: FIRST_CAPACITY,
            dropped: 0,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next packet.
    pub(crate) fn handle_packet(&mut self, packet: &RtpPacket, arrival: Instant) {
        if packet.payload.is_empty() {
            return;
        }
        let descriptor = describe(self.codec, &packet.payload);
        if self.follows_loss {
            self.judge_loss(packet.timestamp, descriptor);
        }
        if !self.is_within(packet.timestamp) {
            self.finish();
        }
        let (codec, capacity, is_broken) = (self.codec, self.capacity, self.follows_loss);
        let unit = self.unit.get_or_insert_with(|| Unit {
            rtp_timestamp: packet.timestamp,
            first_arrival: arrival,
            last_arrival: arrival,
            descriptor,
            assembly: begin(codec, capacity),
            is_broken,
        });
        unit.last_arrival = unit.last_arrival.max(arrival);
        if !unit.is_broken && unit.assembly.take(&packet.payload).is_err() {
            self.spoil();
            self.want_keyframe();
        }
        if packet.marker {
            self.finish();
        }
    }

    /// Packets are missing before the next one.
    pub(crate) fn handle_loss(&mut self) {
        self.follows_loss = true;
    }

    /// What comes next is not shown after what came before: nothing comes out until the next keyframe.
    pub(crate) fn require_keyframe(&mut self) {
        self.want_keyframe();
    }

    /// The sender began anew.
    pub(crate) fn reset(&mut self) {
        *self = Self {
            dropped: self.dropped,
            ..Self::new(self.codec)
        };
    }

    /// Returns the next finished picture.
    pub(crate) fn poll(&mut self) -> Option<WholePicture> {
        self.ready.pop_front()
    }

    /// Takes the wish for a keyframe, raised once per loss.
    pub(crate) fn take_keyframe_wish(&mut self) -> bool {
        std::mem::take(&mut self.keyframe_wanted)
    }

    /// Whether the picture in the making is of this time.
    pub(crate) fn is_within(&self, rtp_timestamp: u32) -> bool {
        self.unit
            .as_ref()
            .is_some_and(|unit| unit.rtp_timestamp == rtp_timestamp)
    }

    /// Whether nothing comes out until a keyframe does.
    pub(crate) fn waits_for_keyframe(&self) -> bool {
        self.waits_for_keyframe
    }

    /// Pictures that were begun and not forwarded, ever.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn want_keyframe(&mut self) {
        if !self.waits_for_keyframe {
            self.keyframe_wanted = true;
        }
        self.waits_for_keyframe = true;
    }

    /// Decides by the first packet after a loss whether anything is missing that a decoder needs.
    ///
    /// What was lost may have been padding, or of a picture that none refers to; then the next packet decides.
    fn judge_loss(&mut self, rtp_timestamp: u32, descriptor: Descriptor) {
        let is_within = self.is_within(rtp_timestamp);
        self.spoil();
        let is_forgivable = if is_within {
            self.unit
                .as_ref()
                .is_some_and(|unit| unit.descriptor.is_forgivable())
        } else {
            self.finish();
            let is_next = descriptor.number.is_some() && descriptor.number == self.expected;
            if is_next && descriptor.is_first {
                self.follows_loss = false;
                return;
            }
            is_next && descriptor.is_discardable
        };
        if !is_forgivable {
            self.follows_loss = false;
            self.want_keyframe();
        }
    }

    /// The unit in the making cannot be used. A damaged keyframe is asked for again.
    fn spoil(&mut self) {
        if let Some(unit) = &mut self.unit
            && !unit.is_broken
        {
            unit.is_broken = true;
            self.keyframe_wanted |= unit.assembly.is_keyframe();
        }
    }

    fn finish(&mut self) {
        let Some(mut unit) = self.unit.take() else {
            return;
        };
        let next = unit.descriptor.number.map(|number| (number + 1) & 0x7fff);
        if unit.is_broken {
            self.expected = next.filter(|_| unit.descriptor.is_discardable);
            self.dropped += 1;
            return;
        }
        self.expected = next;
        let keyframe = unit.assembly.is_keyframe();
        match unit.assembly.finish() {
            Ok(Some(assembled)) if assembled.keyframe || !self.waits_for_keyframe => {
                self.waits_for_keyframe = false;
                self.keyframe_wanted = false;
                if !assembled.keyframe {
                    // The next one will be about as large; a guess saves growing and costs little.
                    let length = assembled.data.len();
                    self.capacity = (length + length / 4).next_multiple_of(1024);
                }
                self.ready.push_back(WholePicture {
                    rtp_timestamp: unit.rtp_timestamp,
                    keyframe: assembled.keyframe,
                    size: assembled.size,
                    data: assembled.data,
                    first_arrival: unit.first_arrival,
                    last_arrival: unit.last_arrival,
                });
            }
            Ok(Some(_)) => self.dropped += 1,
            Ok(None) => {}
            Err(Malformed) => {
                self.dropped += 1;
                self.keyframe_wanted |= keyframe;
                self.want_keyframe();
            }
        }
    }
}

impl Descriptor {
    /// Whether a loss within its picture leaves all others whole.
    fn is_forgivable(self) -> bool {
        self.is_discardable && self.number.is_some()
    }
}

fn begin(codec: VideoCodec, capacity: usize) -> Box<dyn Assembly> {
    match codec {
        VideoCodec::Vp8 => Box::new(vp8::Frame::with_capacity(capacity)),
        VideoCodec::Vp9 => Box::new(vp9::Frames::with_capacity(capacity)),
        VideoCodec::Av1 | VideoCodec::H264 => Box::new(av1::TemporalUnit::with_capacity(capacity)),
    }
}

/// A payload that makes no sense tells nothing.
fn describe(codec: VideoCodec, payload: &[u8]) -> Descriptor {
    match codec {
        VideoCodec::Vp8 => vp8::describe(payload),
        VideoCodec::Vp9 => vp9::describe(payload),
        // Neither has numbers of its own.
        VideoCodec::Av1 | VideoCodec::H264 => Descriptor::default(),
    }
}

/// Whether a keyframe of VP8, VP9 or AV1 begins with this payload.
pub(crate) fn begins_keyframe(codec: VideoCodec, payload: &[u8]) -> bool {
    match codec {
        VideoCodec::Vp8 => vp8::begins_keyframe(payload),
        VideoCodec::Vp9 => vp9::begins_keyframe(payload),
        VideoCodec::Av1 => av1::begins_keyframe(payload),
        VideoCodec::H264 => false,
    }
}

/// Whether a picture of `length` bytes may grow by as many as `bytes`.
fn check_room(length: usize, bytes: usize) -> Result<(), Malformed> {
    if length.saturating_add(bytes) > PICTURE_LIMIT {
        return Err(Malformed);
    }
    Ok(())
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod stream_tests;
