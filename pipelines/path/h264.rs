//! H.264 in RTP (RFC 6184, packetization modes 0 and 1) to access units, forwarding only what a decoder can use.
#![expect(
    clippy::cast_possible_truncation,
    reason = "NAL units are at most 4 MB"
)]

use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::{BufMut, Bytes, BytesMut};
use media::{CodecConfig, RtpPacket};

use super::parameter_sets::ParameterSets;

/// The largest access unit; a keyframe of 50 Mb/s video has about 1 MB.
const ACCESS_UNIT_LIMIT: usize = 4 * 1024 * 1024;

/// Room for the first access unit.
const FIRST_CAPACITY: usize = 16 * 1024;

/// Bytes in front of each NAL unit.
const LENGTH_BYTES: usize = 4;

/// A picture that a decoder can use, given those before it.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    /// In the track's clock, wraps.
    pub(super) rtp_timestamp: u32,
    pub(super) keyframe: bool,
    pub(super) config: Arc<CodecConfig>,
    /// NAL units behind 4-byte lengths.
    pub(super) data: Bytes,
    /// When its first packet came.
    pub(super) first_arrival: Instant,
    /// When its last packet came.
    pub(super) last_arrival: Instant,
}

/// The depacketiser of one track. It takes packets in order.
///
/// After any loss or damage nothing comes out until the next keyframe.
#[derive(Debug)]
pub(super) struct Depacketiser {
    sets: ParameterSets,
    config: Option<Arc<CodecConfig>>,
    unit: Option<Unit>,
    waits_for_keyframe: bool,
    keyframe_wanted: bool,
    capacity: usize,
    dropped: u64,
    ready: VecDeque<Picture>,
}

/// The access unit in the making.
#[derive(Debug)]
struct Unit {
    rtp_timestamp: u32,
    first_arrival: Instant,
    last_arrival: Instant,
    data: BytesMut,
    /// Where the length of the fragmented NAL unit stands that is not complete.
    fragment: Option<usize>,
    has_slices: bool,
    is_keyframe: bool,
    is_broken: bool,
}

/// A packet that breaks the rules of RFC 6184, or our limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

impl Default for Depacketiser {
    fn default() -> Self {
        Self {
            sets: ParameterSets::default(),
            config: None,
            unit: None,
            waits_for_keyframe: true,
            keyframe_wanted: true,
            capacity: FIRST_CAPACITY,
            dropped: 0,
            ready: VecDeque::new(),
        }
    }
}

impl Depacketiser {
    /// Takes the next packet.
    pub(super) fn handle_packet(&mut self, packet: &RtpPacket, arrival: Instant) {
        if packet.payload.is_empty() {
            return;
        }
        if self
            .unit
            .as_ref()
            .is_some_and(|unit| unit.rtp_timestamp != packet.timestamp)
        {
            self.finish();
        }
        let capacity = self.capacity;
        let unit = self.unit.get_or_insert_with(|| Unit {
            rtp_timestamp: packet.timestamp,
            first_arrival: arrival,
            last_arrival: arrival,
            data: BytesMut::with_capacity(capacity),
            fragment: None,
            has_slices: false,
            is_keyframe: false,
            is_broken: false,
        });
        unit.last_arrival = unit.last_arrival.max(arrival);
        if !unit.is_broken && self.take(&packet.payload).is_err() {
            self.spoil();
        }
        if packet.marker {
            self.finish();
        }
    }

    /// Packets are missing before the next one.
    pub(super) fn handle_loss(&mut self) {
        self.spoil();
        self.want_keyframe();
    }

    /// What comes next is not shown after what came before: nothing comes out until the next keyframe.
    pub(super) fn require_keyframe(&mut self) {
        self.want_keyframe();
    }

    /// The sender began anew.
    pub(super) fn reset(&mut self) {
        *self = Self {
            dropped: self.dropped,
            ..Self::default()
        };
    }

    /// Returns the next finished picture.
    pub(super) fn poll(&mut self) -> Option<Picture> {
        self.ready.pop_front()
    }

    /// Takes the wish for a keyframe, raised once per loss.
    pub(super) fn take_keyframe_wish(&mut self) -> bool {
        std::mem::take(&mut self.keyframe_wanted)
    }

    /// Whether the access unit in the making is of this time.
    pub(super) fn is_within(&self, rtp_timestamp: u32) -> bool {
        self.unit
            .as_ref()
            .is_some_and(|unit| unit.rtp_timestamp == rtp_timestamp)
    }

    /// Whether nothing comes out until a keyframe does.
    pub(super) fn waits_for_keyframe(&self) -> bool {
        self.waits_for_keyframe
    }

    /// Access units that were begun and not forwarded, ever.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn want_keyframe(&mut self) {
        if !self.waits_for_keyframe {
            self.keyframe_wanted = true;
        }
        self.waits_for_keyframe = true;
    }

    /// The unit in the making cannot be used. A damaged keyframe is asked for again.
    fn spoil(&mut self) {
        if let Some(unit) = &mut self.unit
            && !unit.is_broken
        {
            unit.is_broken = true;
            self.keyframe_wanted |= unit.is_keyframe;
            self.want_keyframe();
        }
    }

    fn take(&mut self, payload: &Bytes) -> Result<(), Malformed> {
        let header = payload[0];
        if header & 0x80 != 0 {
            return Err(Malformed);
        }
        match header & 0x1f {
            1..=23 => self.take_nal(payload),
            24 => self.take_aggregate(&payload[1..]),
            28 => self.take_fragment(payload),
            // Interleaved mode is never negotiated; 0, 30 and 31 mean nothing.
            _ => Err(Malformed),
        }
    }

    /// STAP-A.
    fn take_aggregate(&mut self, mut rest: &[u8]) -> Result<(), Malformed> {
        while !rest.is_empty() {
            let (length, tail) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (nal, tail) = tail.split_at_checked(length).ok_or(Malformed)?;
            match nal.first() {
                Some(header) if header & 0x80 == 0 && (1..=23).contains(&(header & 0x1f)) => {
                    self.take_nal(nal)?;
                }
                Some(_) | None => return Err(Malformed),
            }
            rest = tail;
        }
        Ok(())
    }

    /// FU-A.
    fn take_fragment(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let [indicator, header, body @ ..] = payload else {
            return Err(Malformed);
        };
        let (is_start, is_end, kind) = (header & 0x80 != 0, header & 0x40 != 0, header & 0x1f);
        let unit = self.unit.as_mut().ok_or(Malformed)?;
        if is_start {
            if unit.fragment.is_some() || !(1..=23).contains(&kind) {
                return Err(Malformed);
            }
            unit.fragment = Some(unit.data.len());
            unit.check_room(LENGTH_BYTES + 1 + body.len())?;
            unit.data.put_u32(0);
            unit.data.put_u8(indicator & 0x60 | kind);
            unit.is_keyframe |= kind == 5;
        } else {
            unit.check_room(body.len())?;
        }
        let start = unit.fragment.ok_or(Malformed)?;
        unit.data.put_slice(body);
        if is_end {
            unit.fragment = None;
            let nal_start = start + LENGTH_BYTES;
            let kind = unit.data[nal_start] & 0x1f;
            if (1..=6).contains(&kind) {
                let length = (unit.data.len() - nal_start) as u32;
                unit.data[start..nal_start].copy_from_slice(&length.to_be_bytes());
                unit.has_slices |= kind != 6;
            } else {
                let nal = unit.data.split_off(nal_start);
                unit.data.truncate(start);
                self.take_nal(&nal)?;
            }
        }
        Ok(())
    }

    /// Takes a whole NAL unit of type 1 to 23.
    fn take_nal(&mut self, nal: &[u8]) -> Result<(), Malformed> {
        let unit = self.unit.as_mut().ok_or(Malformed)?;
        if unit.fragment.is_some() {
            return Err(Malformed);
        }
        match nal[0] & 0x1f {
            kind @ 1..=6 => {
                unit.check_room(LENGTH_BYTES + nal.len())?;
                unit.data.put_u32(nal.len() as u32);
                unit.data.put_slice(nal);
                unit.is_keyframe |= kind == 5;
                unit.has_slices |= kind != 6;
            }
            7 => {
                let is_new = self.sets.take_sequence(nal).map_err(|_| Malformed)?;
                self.config = self.config.take().filter(|_| !is_new);
            }
            8 => {
                let is_new = self.sets.take_picture(nal).map_err(|_| Malformed)?;
                self.config = self.config.take().filter(|_| !is_new);
            }
            // Delimiters and filler mean nothing in a container; extensions are not for a plain decoder.
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) {
        if self
            .unit
            .as_ref()
            .is_some_and(|unit| unit.fragment.is_some())
        {
            self.spoil();
        }
        let Some(unit) = self.unit.take() else { return };
        if unit.is_broken {
            self.dropped += 1;
            return;
        }
        if !unit.has_slices {
            return;
        }
        if self.config.is_none() {
            self.config = self
                .sets
                .configuration()
                .map(|config| Arc::new(CodecConfig::Avc(config)));
        }
        let Some(config) = self.config.clone() else {
            self.keyframe_wanted |= unit.is_keyframe;
            self.dropped += 1;
            return;
        };
        if self.waits_for_keyframe && !unit.is_keyframe {
            self.dropped += 1;
            return;
        }
        self.waits_for_keyframe = false;
        self.keyframe_wanted = false;
        if !unit.is_keyframe {
            // The next one will be about as large; a guess saves growing and costs little.
            self.capacity = (unit.data.len() + unit.data.len() / 4).next_multiple_of(1024);
        }
        self.ready.push_back(Picture {
            rtp_timestamp: unit.rtp_timestamp,
            keyframe: unit.is_keyframe,
            config,
            data: unit.data.freeze(),
            first_arrival: unit.first_arrival,
            last_arrival: unit.last_arrival,
        });
    }
}

/// Whether a payload holds a sequence parameter set: a keyframe follows, and all that a decoder must know for it.
pub(super) fn begins_anew(payload: &[u8]) -> bool {
    let kind = |nal: &[u8]| nal.first().map(|header| header & 0x1f);
    if kind(payload) != Some(24) {
        return kind(payload) == Some(7);
    }
    let mut rest = payload.get(1..).unwrap_or_default();
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        if kind(tail) == Some(7) {
            return true;
        }
        rest = tail
            .get(u16::from_be_bytes(*length).into()..)
            .unwrap_or_default();
    }
    false
}

impl Unit {
    fn check_room(&self, bytes: usize) -> Result<(), Malformed> {
        if self.data.len() + bytes > ACCESS_UNIT_LIMIT {
            return Err(Malformed);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "h264_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "../packetise/round_trip_tests.rs"]
mod round_trip_tests;
