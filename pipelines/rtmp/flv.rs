//! FLV: the bodies of RTMP media messages, and the tags of a file or HTTP stream.

use bytes::{BufMut, Bytes, BytesMut};
use media::{AudioConfig, CodecConfig, TrackKind, VideoConfig};

use super::{
    amf0::{self, Value},
    chunk::message_type,
};
use crate::decoder_configuration;

/// AAC, 44 kHz, 16 bit, stereo: what every AAC tag says, whatever the sound is.
pub(super) const AAC: u8 = 0xAF;

/// AVC behind the frame type.
pub(super) const AVC: u8 = 7;

/// What follows the codec in a tag body.
pub(super) const SEQUENCE_HEADER: u8 = 0;
/// A picture or a frame of sound.
pub(super) const CODED: u8 = 1;

/// Bytes in front of the media in a video body.
pub(super) const VIDEO_PREFIX_BYTES: usize = 5;
/// Bytes in front of the media in an audio body.
pub(super) const AUDIO_PREFIX_BYTES: usize = 2;

/// The signature of a file with sound and picture, and the empty tag before the first.
pub(super) const FILE_HEADER: [u8; 13] = [b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0];

/// What is known about the media beyond their codec parameters, for `onMetaData`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MediaHints {
    /// Pictures a second.
    pub frames_per_second: Option<f64>,
    /// Bitrate of the picture in kb/s.
    pub video_kbps: Option<f64>,
    /// Bitrate of the sound in kb/s.
    pub audio_kbps: Option<f64>,
}

/// The bytes in front of a picture or of a decoder configuration.
pub(super) fn video_prefix(keyframe: bool, packet: u8) -> [u8; VIDEO_PREFIX_BYTES] {
    let frame_type: u8 = if keyframe { 1 } else { 2 };
    // No composition offset: there are no B-frames.
    [frame_type << 4 | AVC, packet, 0, 0, 0]
}

/// The parameter sets of a decoder configuration as NAL units of a picture, each behind a 4-byte length.
///
/// Nothing for a record that makes no sense.
pub(super) fn parameter_sets(record: &[u8]) -> Vec<u8> {
    let (sequences, pictures) = decoder_configuration::parameter_sets(record).unwrap_or_default();
    let mut units = Vec::new();
    for set in sequences.into_iter().chain(pictures) {
        units.extend(u32::try_from(set.len()).unwrap_or_default().to_be_bytes());
        units.extend_from_slice(set);
    }
    units
}

/// The bytes in front of a frame of sound or of its configuration.
pub(super) const fn audio_prefix(packet: u8) -> [u8; AUDIO_PREFIX_BYTES] {
    [AAC, packet]
}

/// The sequence header that announces `config`: the prefix and the rest of its body.
pub(super) fn sequence_header(config: &CodecConfig) -> (Bytes, Bytes) {
    match config {
        CodecConfig::Avc(video) => (
            Bytes::copy_from_slice(&video_prefix(true, SEQUENCE_HEADER)),
            video.decoder_configuration.clone(),
        ),
        CodecConfig::Aac(audio) => (
            Bytes::copy_from_slice(&audio_prefix(SEQUENCE_HEADER)),
            audio.audio_specific_config.clone(),
        ),
    }
}

/// The values of an `onMetaData`.
pub(super) fn metadata(
    video: Option<&VideoConfig>,
    audio: Option<&AudioConfig>,
    hints: &MediaHints,
) -> Value {
    let mut members: Vec<(&str, Value)> = vec![("duration", Value::Number(0.0))];
    let mut number = |name, value: Option<f64>| {
        members.extend(value.map(|value| (name, Value::Number(value))));
    };
    if let Some(video) = video {
        number("width", Some(f64::from(video.width)));
        number("height", Some(f64::from(video.height)));
        number("videocodecid", Some(f64::from(AVC)));
        number("framerate", hints.frames_per_second);
        number("videodatarate", hints.video_kbps);
    }
    if let Some(audio) = audio {
        number("audiocodecid", Some(f64::from(AAC >> 4)));
        number("audiosamplerate", Some(f64::from(audio.sample_rate_hz)));
        number("audiosamplesize", Some(16.0));
        number("audiochannels", Some(f64::from(audio.channels)));
        number("audiodatarate", hints.audio_kbps);
        members.push(("stereo", Value::Boolean(audio.channels == 2)));
    }
    members.push(("encoder", Value::string("Castgate")));
    Value::EcmaArray(
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// The body of an `onMetaData` tag in a file; on the wire `@setDataFrame` comes before.
pub(super) fn metadata_body(metadata: Value) -> Vec<u8> {
    amf0::encode(&[Value::string("onMetaData"), metadata])
}

/// Which kind of tag a message is in a file.
pub(super) const fn tag_type(kind: TrackKind) -> u8 {
    match kind {
        TrackKind::Video => message_type::VIDEO,
        TrackKind::Audio => message_type::AUDIO,
    }
}

/// Appends a whole tag to a file. The body, `prefix` and `media` together, may have 2^24 − 1 bytes.
pub(super) fn write_tag(
    out: &mut BytesMut,
    tag_type: u8,
    timestamp_ms: u32,
    prefix: &[u8],
    media: &[u8],
) {
    let length = prefix.len() + media.len();
    let [high, time @ ..] = timestamp_ms.to_be_bytes();
    out.reserve(length + 15);
    out.put_u8(tag_type);
    out.put_uint(length as u64, 3);
    out.put_slice(&time);
    out.put_u8(high);
    out.put_bytes(0, 3);
    out.put_slice(prefix);
    out.put_slice(media);
    out.put_u32(u32::try_from(length + 11).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_holds_its_time_with_the_high_byte_last_and_its_length_twice() {
        let mut out = BytesMut::new();

        write_tag(
            &mut out,
            message_type::AUDIO,
            0x0102_0304,
            &[AAC, CODED],
            &[9, 9, 9],
        );

        assert_eq!(
            out[..],
            [
                8, 0, 0, 5, 2, 3, 4, 1, 0, 0, 0, 0xAF, 1, 9, 9, 9, 0, 0, 0, 16
            ]
        );
    }

    #[test]
    fn parameter_sets_are_repeated_as_nal_units() {
        let record = [1, 66, 0, 30, 0xff, 0xe1, 0, 2, 0x67, 66, 1, 0, 1, 0x68];

        assert_eq!(
            parameter_sets(&record),
            [0, 0, 0, 2, 0x67, 66, 0, 0, 0, 1, 0x68]
        );
        assert_eq!(parameter_sets(&record[..9]), []);
    }

    proptest::proptest! {
        #[test]
        fn any_record_gives_parameter_sets_or_none(record: Vec<u8>) {
            drop(parameter_sets(&record));
        }
    }

    #[test]
    fn metadata_say_what_is_known_and_nothing_else() {
        let video = VideoConfig {
            decoder_configuration: Bytes::new(),
            width: 1280,
            height: 720,
        };
        let hints = MediaHints {
            frames_per_second: Some(30.0),
            ..MediaHints::default()
        };

        let metadata = metadata(Some(&video), None, &hints);

        assert_eq!(metadata.member("width"), Some(&Value::Number(1280.0)));
        assert_eq!(metadata.member("framerate"), Some(&Value::Number(30.0)));
        assert_eq!(metadata.member("encoder"), Some(&Value::string("Castgate")));
        assert_eq!(metadata.member("videodatarate"), None);
        assert_eq!(metadata.member("audiocodecid"), None);
    }
}
