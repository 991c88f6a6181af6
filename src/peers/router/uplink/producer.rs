//! One track that a client sends: its layers, their gaps and keyframes, and what is counted. Pure; time is an argument.

use std::time::{Duration, Instant};

use media::{RtpPacket, VideoCodec};
use ortc::{CodecParameters, EncodingParameters, MediaKind, RtpParameters};

use super::loudness::Loudness;
use crate::{
    plain::{KeyframeRequest, reception::Reception},
    repair::{Arrival, Gaps},
    router::{ProducerCounters, ProducerOrder, RouterError, downlink::ProducerKey},
    session::{begins_keyframe, keyframes::KeyframeArbiter},
};

/// The most layers of one producer, as mediasoup has it.
const LAYERS_LIMIT: usize = 8;
/// How long a track may be without packets before it counts as silent.
const SILENCE: Duration = Duration::from_secs(1);

/// One stream of a producer, and the one that repeats its packets.
pub(super) struct Layer {
    pub(super) rid: Option<String>,
    pub(super) ssrc: Option<u32>,
    pub(super) repair_ssrc: Option<u32>,
    pub(super) gaps: Option<Gaps>,
    pub(super) reception: Option<Reception>,
    pub(super) arbiter: KeyframeArbiter,
    /// Counts full intra requests.
    pub(super) requests: u8,
}

/// One track.
pub(super) struct Producer {
    pub(super) key: ProducerKey,
    pub(super) id: String,
    /// `None`: sound.
    pub(super) video: Option<VideoCodec>,
    pub(super) clock_rate: u32,
    pub(super) payload_type: u8,
    pub(super) repair_payload_type: Option<u8>,
    pub(super) mid: Option<String>,
    pub(super) keyframe_request: KeyframeRequest,
    pub(super) layers: Vec<Layer>,
    pub(super) paused: bool,
    pub(super) media_arrived: bool,
    pub(super) loudness: Loudness,
    nack: bool,
    last_packet: Option<Instant>,
    counters: ProducerCounters,
    bytes_since: u64,
}

impl Producer {
    /// Makes a producer of an order, if its parameters hold.
    pub(super) fn new(key: ProducerKey, order: ProducerOrder) -> Result<Self, RouterError> {
        let ProducerOrder {
            id,
            kind,
            rtp,
            paused,
        } = order;
        let codec = media_codec(&rtp)?;
        let video = match kind {
            MediaKind::Video => Some(video_codec(codec)?),
            MediaKind::Audio => None,
        };
        if codec.clock_rate == 0 {
            return Err(malformed("a codec has no clock rate"));
        }
        if rtp.encodings.len() > LAYERS_LIMIT {
            return Err(malformed("more than 8 encodings"));
        }
        let has_feedback = |kind: &str, parameter: &str| {
            codec
                .rtcp_feedback
                .iter()
                .any(|feedback| feedback.kind == kind && feedback.parameter == parameter)
        };
        let only_full_intra = has_feedback("ccm", "fir") && !has_feedback("nack", "pli");
        let nack = has_feedback("nack", "");
        let whole = [EncodingParameters::default()];
        let encodings = if rtp.encodings.is_empty() {
            &whole[..]
        } else {
            &rtp.encodings
        };
        Ok(Self {
            key,
            id,
            video,
            clock_rate: codec.clock_rate,
            payload_type: codec.payload_type,
            repair_payload_type: repair_payload_type(&rtp, codec.payload_type),
            keyframe_request: if only_full_intra {
                KeyframeRequest::Fir
            } else {
                KeyframeRequest::Pli
            },
            layers: encodings
                .iter()
                .map(|encoding| Layer::new(encoding, nack))
                .collect(),
            mid: rtp.mid,
            paused,
            media_arrived: false,
            loudness: Loudness::default(),
            nack,
            last_packet: None,
            counters: ProducerCounters::default(),
            bytes_since: 0,
        })
    }

    /// How many spatial layers it has.
    pub(super) fn layers(&self) -> u8 {
        u8::try_from(self.layers.len()).unwrap_or(u8::MAX)
    }

    /// Which layer the name of a stream means. The only one has no other name.
    pub(super) fn layer_of(&self, name: Option<&str>) -> Option<usize> {
        match (&self.layers[..], name) {
            ([only], Some(name)) => only
                .rid
                .as_deref()
                .is_none_or(|rid| rid == name)
                .then_some(0),
            ([_], None) => Some(0),
            (layers, Some(name)) => layers
                .iter()
                .position(|layer| layer.rid.as_deref() == Some(name)),
            (_, None) => None,
        }
    }

    /// Gives a layer an SSRC, unless it has that. Its numbers mean nothing any more then.
    pub(super) fn assign(&mut self, layer: usize, repair: bool, ssrc: u32) {
        let Some(layer) = self.layers.get_mut(layer) else {
            return;
        };
        if repair {
            layer.repair_ssrc = Some(ssrc);
        } else if layer.ssrc != Some(ssrc) {
            layer.ssrc = Some(ssrc);
            layer.gaps = self.nack.then(Gaps::default);
            layer.reception = None;
        }
    }

    /// A packet came on a layer, for the first time or by retransmission. `false`: it came before.
    pub(super) fn handle_packet(
        &mut self,
        layer: usize,
        packet: &RtpPacket,
        repair: bool,
        now: Instant,
    ) -> Option<Taken> {
        let video = self.video;
        let layer = self.layers.get_mut(layer)?;
        if !repair {
            layer
                .reception
                .get_or_insert_with(|| Reception::new(self.clock_rate, packet.sequence, now))
                .handle_packet(packet.sequence, packet.timestamp, now);
        }
        if let Some(gaps) = &mut layer.gaps {
            // Without RTX a repetition is told by having been asked for.
            let repetition = repair || gaps.was_requested(packet.sequence);
            match gaps.handle_arrival(packet.sequence, repetition, now) {
                Arrival::New => {}
                Arrival::Recovered => self.counters.recovered += 1,
                Arrival::Duplicate => return None,
            }
        }
        let begins_keyframe = video.is_some_and(|codec| begins_keyframe(codec, &packet.payload));
        if begins_keyframe {
            layer.arbiter.handle_keyframe();
        }
        let bytes = packet.payload.len() as u64;
        self.counters.packets += 1;
        self.counters.bytes += bytes;
        self.bytes_since += bytes;
        self.last_packet = Some(now);
        Some(Taken { begins_keyframe })
    }

    /// What is missing too long is given up. Returns how many packets that are.
    pub(super) fn give_up(&mut self, now: Instant) -> u64 {
        let gaps = self
            .layers
            .iter_mut()
            .filter_map(|layer| layer.gaps.as_mut());
        let lost = gaps.map(|gaps| gaps.give_up(now)).sum();
        self.counters.lost += lost;
        lost
    }

    /// Time for the rate of the last `elapsed`. Returns the loudness that is to be told, if it has just fallen silent.
    pub(super) fn measure(&mut self, elapsed: Duration, now: Instant) -> Option<u8> {
        let bits = std::mem::take(&mut self.bytes_since).saturating_mul(8);
        let milliseconds = u64::try_from(elapsed.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        self.counters.bits_per_second = bits.saturating_mul(1000) / milliseconds;
        let is_silent = self
            .last_packet
            .is_none_or(|last| now.saturating_duration_since(last) >= SILENCE);
        if is_silent {
            self.loudness.fall_silent(now)
        } else {
            None
        }
    }

    /// The round trip to the client, once a repeated packet told it.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let gaps = self.layers.iter().filter_map(|layer| layer.gaps.as_ref());
        gaps.filter_map(Gaps::round_trip).min()
    }

    /// What was counted.
    pub(super) const fn counters(&self) -> ProducerCounters {
        self.counters
    }
}

/// What a packet was.
pub(super) struct Taken {
    pub(super) begins_keyframe: bool,
}

impl Layer {
    fn new(encoding: &EncodingParameters, nack: bool) -> Self {
        Self {
            rid: encoding.rid.clone(),
            ssrc: encoding.ssrc,
            repair_ssrc: encoding.rtx.map(|rtx| rtx.ssrc),
            gaps: nack.then(Gaps::default),
            reception: None,
            arbiter: KeyframeArbiter::idle(),
            requests: 0,
        }
    }
}

fn media_codec(rtp: &RtpParameters) -> Result<&CodecParameters, RouterError> {
    rtp.codecs
        .iter()
        .find(|codec| !codec.is_rtx())
        .ok_or_else(|| malformed("no codec"))
}

fn repair_payload_type(rtp: &RtpParameters, of: u8) -> Option<u8> {
    rtp.codecs
        .iter()
        .find(|codec| codec.repeats() == Some(of))
        .map(|codec| codec.payload_type)
}

fn video_codec(codec: &CodecParameters) -> Result<VideoCodec, RouterError> {
    let name = codec.mime_type.to_ascii_lowercase();
    Ok(match name.as_str() {
        "video/h264" => VideoCodec::H264,
        "video/vp8" => VideoCodec::Vp8,
        "video/vp9" => VideoCodec::Vp9,
        "video/av1" => VideoCodec::Av1,
        _ => {
            return Err(RouterError::Malformed(format!(
                "codec {:.64} is not supported",
                codec.mime_type
            )));
        }
    })
}

pub(crate) fn malformed(what: &str) -> RouterError {
    RouterError::Malformed(what.to_owned())
}
