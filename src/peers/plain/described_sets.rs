//! H.264 parameter sets that a sender describes and does not send (`sprop-parameter-sets`, RFC 6184 § 8.1), as `FFmpeg`
//! does when it copies from a file.

use bytes::{BufMut, Bytes, BytesMut};
use media::{RtpPacket, TrackKind, VideoCodec};

use super::{PlainTrack, ingest::IngestOutput, sdp::decode_base64};

const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;
const STAP_A: u8 = 24;
/// The most parameter sets of a stream.
const SETS_LIMIT: usize = 16;
/// The most bytes of all of them, which is one packet.
const LIMIT_BYTES: usize = 1200;

/// Puts the described sets in front of the first keyframe.
#[derive(Debug, Default)]
pub(super) struct DescribedSets {
    /// All of them as one aggregate, if any is described.
    aggregate: Option<Bytes>,
    due: bool,
}

impl DescribedSets {
    pub(super) fn new(video: Option<&(VideoCodec, PlainTrack)>) -> Self {
        let parameters = video
            .filter(|(codec, _)| *codec == VideoCodec::H264)
            .and_then(|(_, track)| track.format_parameters.as_deref());
        Self {
            aggregate: parameters.and_then(aggregate),
            due: false,
        }
    }

    /// A stream begins, whose decoder knows nothing yet.
    pub(super) const fn begin_when(&mut self, anew: bool) {
        self.due |= anew && self.aggregate.is_some();
    }

    /// Hands a packet on. Until the first keyframe there is nothing that a decoder could do with pictures, so their numbers
    /// are free for the sets.
    pub(super) fn handle_packet(
        &mut self,
        packet: RtpPacket,
        keyframe: bool,
        act: &mut impl FnMut(IngestOutput),
    ) {
        if let Some(aggregate) = self.aggregate.as_ref().filter(|_| self.due) {
            if !keyframe {
                return;
            }
            self.due = false;
            if !begins_with_sets(&packet.payload) {
                let sets = RtpPacket {
                    sequence: packet.sequence.wrapping_sub(1),
                    marker: false,
                    payload: aggregate.clone(),
                    ..packet
                };
                act(IngestOutput::Packet(TrackKind::Video, sets));
            }
        }
        act(IngestOutput::Packet(TrackKind::Video, packet));
    }
}

fn begins_with_sets(payload: &[u8]) -> bool {
    let kind = |byte: &u8| byte & 0x1f;
    match payload {
        [first, _, _, inner, ..] if kind(first) == STAP_A => kind(inner) == SEQUENCE_PARAMETERS,
        [first, ..] => kind(first) == SEQUENCE_PARAMETERS,
        [] => false,
    }
}

/// The sets of `a=fmtp` as one aggregation packet (RFC 6184 § 5.7.1). `None`: there are none, or they are no such.
fn aggregate(parameters: &str) -> Option<Bytes> {
    let sets = parameters
        .split(';')
        .find_map(|one| one.trim().strip_prefix("sprop-parameter-sets="))?;
    let mut packet = BytesMut::new();
    packet.put_u8(STAP_A);
    for set in sets.split(',').take(SETS_LIMIT) {
        let set = decode_base64(set.trim())?;
        let kind = set.first()? & 0x1f;
        if !matches!(kind, SEQUENCE_PARAMETERS | PICTURE_PARAMETERS) {
            return None;
        }
        packet.put_u16(u16::try_from(set.len()).ok()?);
        packet.put_slice(&set);
    }
    (packet.len() <= LIMIT_BYTES).then(|| packet.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_parameter_set_is_left_alone() {
        assert!(aggregate("packetization-mode=1").is_none());
        assert!(aggregate("sprop-parameter-sets=").is_none());
        assert!(
            aggregate("sprop-parameter-sets=ZQ==").is_none(),
            "an IDR slice"
        );
        assert!(aggregate("sprop-parameter-sets=Z0IAHw==,!").is_none());
        let long = "Z0IA".repeat(399);
        assert!(aggregate(&format!("sprop-parameter-sets={long}")).is_some());
        assert!(aggregate(&format!("sprop-parameter-sets={long},aM4=")).is_none());
    }

    proptest! {
        #[test]
        fn hostile_text_never_panics(text in any::<String>()) {
            let _ = aggregate(&text);
            let _ = aggregate(&format!("sprop-parameter-sets={text}"));
        }
    }
}
