//! Recognises the packet with which a decoder can begin, in each codec's own packing. The bytes are hostile.

use media::VideoCodec;

/// Whether an RTP payload begins a keyframe, or the parameter sets in front of one.
pub(crate) fn begins_keyframe(codec: VideoCodec, payload: &[u8]) -> bool {
    match codec {
        VideoCodec::H264 => begins_h264(payload),
        VideoCodec::Vp8 => begins_vp8(payload).unwrap_or(false),
        VideoCodec::Vp9 => begins_vp9(payload).unwrap_or(false),
        VideoCodec::Av1 => begins_av1(payload).unwrap_or(false),
    }
}

/// RFC 6184: an IDR picture or a sequence parameter set, alone, first in an aggregate, or as the first fragment.
fn begins_h264(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SEQUENCE_PARAMETERS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    const FU_START: u8 = 0x80;
    let kind = |byte: u8| byte & 0x1f;
    let starts = |byte: u8| matches!(kind(byte), IDR | SEQUENCE_PARAMETERS);
    match payload {
        [first, _, _, inner, ..] if kind(*first) == STAP_A => starts(*inner),
        [first, header, ..] if kind(*first) == FU_A => {
            header & FU_START != 0 && kind(*header) == IDR
        }
        [first, ..] => starts(*first),
        [] => false,
    }
}

/// RFC 7741 § 4.2 and § 4.3: the start of partition 0 of a frame whose P bit is clear.
fn begins_vp8(payload: &[u8]) -> Option<bool> {
    const EXTENDED: u8 = 0x80;
    const START: u8 = 0x10;
    const PARTITION: u8 = 0x07;
    const PICTURE_ID: u8 = 0x80;
    const LONG_PICTURE_ID: u8 = 0x80;
    const LEVEL_ZERO_INDEX: u8 = 0x40;
    const LAYER_OR_KEY_INDEX: u8 = 0x30;
    const INTER: u8 = 0x01;
    let (descriptor, mut rest) = payload.split_first()?;
    if descriptor & START == 0 || descriptor & PARTITION != 0 {
        return Some(false);
    }
    if descriptor & EXTENDED != 0 {
        let (extension, behind) = rest.split_first()?;
        rest = behind;
        if extension & PICTURE_ID != 0 {
            let long = rest.first()? & LONG_PICTURE_ID != 0;
            rest = rest.get(1 + usize::from(long)..)?;
        }
        let more = [LEVEL_ZERO_INDEX, LAYER_OR_KEY_INDEX]
            .iter()
            .filter(|bits| extension & **bits != 0)
            .count();
        rest = rest.get(more..)?;
    }
    Some(rest.first()? & INTER == 0)
}

/// RFC 9628 § 4.2: the beginning of a frame of the lowest spatial layer that is not predicted from another picture.
fn begins_vp9(payload: &[u8]) -> Option<bool> {
    const PICTURE_ID: u8 = 0x80;
    const INTER: u8 = 0x40;
    const LAYERS: u8 = 0x20;
    const BEGINNING: u8 = 0x08;
    const LONG_PICTURE_ID: u8 = 0x80;
    const SPATIAL_LAYER: u8 = 0x0e;
    let (descriptor, mut rest) = payload.split_first()?;
    if descriptor & INTER != 0 || descriptor & BEGINNING == 0 {
        return Some(false);
    }
    if descriptor & PICTURE_ID != 0 {
        let long = rest.first()? & LONG_PICTURE_ID != 0;
        rest = rest.get(1 + usize::from(long)..)?;
    }
    Some(descriptor & LAYERS == 0 || rest.first()? & SPATIAL_LAYER == 0)
}

/// AV1 RTP payload specification § 4.4: the first packet of a coded video sequence says so; a sequence header is
/// another sign.
fn begins_av1(payload: &[u8]) -> Option<bool> {
    const CONTINUES: u8 = 0x80;
    const ELEMENTS: u8 = 0x30;
    const ONE_ELEMENT: u8 = 0x10;
    const NEW_SEQUENCE: u8 = 0x08;
    const LEB128_MORE: u8 = 0x80;
    /// The most bytes of a length (AV1 specification § 4.10.5).
    const LEB128_BYTES: usize = 8;
    const OBU_KIND: u8 = 0x78;
    const SEQUENCE_HEADER: u8 = 1 << 3;
    let (aggregation, mut rest) = payload.split_first()?;
    if aggregation & CONTINUES != 0 {
        return Some(false);
    }
    if aggregation & NEW_SEQUENCE != 0 {
        return Some(true);
    }
    if aggregation & ELEMENTS != ONE_ELEMENT {
        let length = rest
            .iter()
            .take(LEB128_BYTES)
            .position(|byte| byte & LEB128_MORE == 0)?;
        rest = rest.get(length + 1..)?;
    }
    Some(rest.first()? & OBU_KIND == SEQUENCE_HEADER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(codec: VideoCodec, cases: &[(&[u8], bool)]) {
        for (payload, expected) in cases {
            assert_eq!(
                begins_keyframe(codec, payload),
                *expected,
                "{codec} {payload:02x?}"
            );
        }
    }

    #[test]
    fn h264_keyframes_are_recognised_in_every_packing() {
        check(
            VideoCodec::H264,
            &[
                (&[0x65, 0x88], true),
                (&[0x78, 0, 4, 0x67, 0x42], true),
                (&[0x7c, 0x85, 0x88], true),
                (&[0x7c, 0x05, 0x88], false),
                (&[0x41, 0x9a], false),
                (&[], false),
            ],
        );
    }

    #[test]
    fn vp8_keyframes_are_recognised_behind_every_descriptor() {
        check(
            VideoCodec::Vp8,
            &[
                (&[0x10, 0x10, 2, 0, 0x9d, 1, 0x2a], true),
                (&[0x10, 0x11], false),
                // The rest of the first partition, and another partition.
                (&[0x00, 0x10], false),
                (&[0x11, 0x10], false),
                // Short and long picture ids, and all that may follow.
                (&[0x90, 0x80, 0x12, 0x10], true),
                (&[0x90, 0x80, 0x80, 0x12, 0x10], true),
                (&[0x90, 0xf0, 0x80, 0x12, 7, 0x20, 0x10], true),
                (&[0x90, 0xf0, 0x80, 0x12, 7, 0x20, 0x11], false),
                (&[0x90, 0x60, 7, 0x20, 0x10], true),
                (&[0x90, 0xf0, 0x80, 0x12], false),
                (&[], false),
            ],
        );
    }

    #[test]
    fn vp9_keyframes_begin_in_the_lowest_layer() {
        check(
            VideoCodec::Vp9,
            &[
                (&[0x8a, 0x85, 0x12, 0x49], true),
                (&[0x88, 0x12, 0x49], true),
                (&[0x08, 0x49], true),
                // Predicted, and not at its beginning.
                (&[0xca, 0x85, 0x12, 0x49], false),
                (&[0x82, 0x85, 0x12, 0x49], false),
                // Layers: the lowest, and the one above in the same picture.
                (&[0xa8, 0x85, 0x12, 0x00, 0, 0x49], true),
                (&[0xa8, 0x85, 0x12, 0x03, 0, 0x49], false),
                (&[0xa8, 0x85], false),
                (&[], false),
            ],
        );
    }

    #[test]
    fn av1_keyframes_begin_a_sequence() {
        check(
            VideoCodec::Av1,
            &[
                (&[0x18, 0x0a], true),
                (&[0x08, 11, 0x0a], true),
                // A sequence header without the bit, with and without its length in front.
                (&[0x10, 0x0a, 1], true),
                (&[0x20, 0x0b, 0x0a, 1], true),
                (&[0x00, 0x8b, 0x01, 0x0a, 1], true),
                // A frame, and what continues an element.
                (&[0x10, 0x32, 1], false),
                (&[0x98, 0x0a], false),
                (
                    &[0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0a],
                    false,
                ),
                (&[], false),
            ],
        );
    }

    proptest! {
        #[test]
        fn hostile_payloads_never_panic(payload in prop::collection::vec(any::<u8>(), 0..40), codec in 0usize..4) {
            begins_keyframe(VideoCodec::ALL[codec], &payload);
        }

        #[test]
        fn a_cut_payload_begins_nothing_that_it_did_not_begin_whole(payload in prop::collection::vec(any::<u8>(), 0..40), cut in 0usize..40, codec in 1usize..4) {
            let codec = VideoCodec::ALL[codec];
            let cut = &payload[..cut.min(payload.len())];
            if begins_keyframe(codec, cut) {
                prop_assert!(begins_keyframe(codec, &payload));
            }
        }
    }
}
