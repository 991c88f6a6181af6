//! Whether two codecs are the same one.

use crate::{CodecCapability, CodecParameters, Fmtp, fmtp, h264};

/// What tells codecs apart, of a capability as of a parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodecIdentity<'a> {
    mime_type: &'a str,
    clock_rate: u32,
    channels: Option<u8>,
    parameters: &'a Fmtp,
}

impl<'a> From<&'a CodecCapability> for CodecIdentity<'a> {
    fn from(codec: &'a CodecCapability) -> Self {
        Self {
            mime_type: &codec.mime_type,
            clock_rate: codec.clock_rate,
            channels: codec.channels,
            parameters: &codec.parameters,
        }
    }
}

impl<'a> From<&'a CodecParameters> for CodecIdentity<'a> {
    fn from(codec: &'a CodecParameters) -> Self {
        Self {
            mime_type: &codec.mime_type,
            clock_rate: codec.clock_rate,
            channels: codec.channels,
            parameters: &codec.parameters,
        }
    }
}

impl CodecIdentity<'_> {
    /// Whether `other` can be decoded by whoever takes this one: same name, clock and channels; of H.264 the same profile
    /// and packetization, of VP9 the same profile. Which codec RTX repeats is not compared.
    pub(crate) fn matches<'b>(self, other: impl Into<CodecIdentity<'b>>) -> bool {
        let other = other.into();
        self.mime_type.eq_ignore_ascii_case(other.mime_type)
            && self.clock_rate == other.clock_rate
            && self.channels() == other.channels()
            && self.has_profile_of(other)
    }

    /// Sound without a count has one channel; the count of pictures means nothing.
    fn channels(self) -> Option<u8> {
        starts_with(self.mime_type, "audio/").then(|| self.channels.unwrap_or(1))
    }

    fn has_profile_of(self, other: CodecIdentity<'_>) -> bool {
        let is_equal = |name| {
            fmtp::number(self.parameters, name).unwrap_or(0)
                == fmtp::number(other.parameters, name).unwrap_or(0)
        };
        if self.mime_type.eq_ignore_ascii_case("video/h264") {
            is_equal("packetization-mode")
                && h264::is_same_profile(self.parameters, other.parameters)
        } else if self.mime_type.eq_ignore_ascii_case("video/vp9") {
            is_equal("profile-id")
        } else {
            true
        }
    }
}

impl CodecCapability {
    /// Whether it only repeats packets of another codec (RFC 4588).
    pub fn is_rtx(&self) -> bool {
        is_rtx(&self.mime_type)
    }

    /// The payload type of the codec that this one repeats.
    pub fn repeats(&self) -> Option<u8> {
        repeated(&self.mime_type, &self.parameters)
    }
}

impl CodecParameters {
    /// Whether it only repeats packets of another codec (RFC 4588).
    pub fn is_rtx(&self) -> bool {
        is_rtx(&self.mime_type)
    }

    /// The payload type of the codec that this one repeats.
    pub fn repeats(&self) -> Option<u8> {
        repeated(&self.mime_type, &self.parameters)
    }
}

fn is_rtx(mime_type: &str) -> bool {
    mime_type
        .rsplit_once('/')
        .is_some_and(|(_, name)| name.eq_ignore_ascii_case("rtx"))
}

fn repeated(mime_type: &str, parameters: &Fmtp) -> Option<u8> {
    if !is_rtx(mime_type) {
        return None;
    }
    fmtp::number(parameters, "apt").and_then(|payload_type| u8::try_from(payload_type).ok())
}

fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codec(value: serde_json::Value) -> CodecParameters {
        serde_json::from_value(value).expect("a codec")
    }

    fn do_match(one: serde_json::Value, other: serde_json::Value) -> bool {
        CodecIdentity::from(&codec(one)).matches(&codec(other))
    }

    #[test]
    fn names_are_compared_without_case() {
        assert!(do_match(
            json!({ "mimeType": "VIDEO/vp8", "payloadType": 96, "clockRate": 90000 }),
            json!({ "mimeType": "video/VP8", "payloadType": 101, "clockRate": 90000, "channels": 1 }),
        ));
    }

    #[test]
    fn sound_without_a_count_of_channels_is_mono() {
        let mono = json!({ "mimeType": "audio/opus", "payloadType": 96, "clockRate": 48000 });
        let one = json!({ "mimeType": "audio/opus", "payloadType": 96, "clockRate": 48000, "channels": 1 });
        let two = json!({ "mimeType": "audio/opus", "payloadType": 96, "clockRate": 48000, "channels": 2 });

        assert!(do_match(mono.clone(), one));
        assert!(!do_match(mono, two));
    }

    #[test]
    fn packetization_and_profiles_tell_codecs_apart() {
        let h264 = |mode: serde_json::Value, profile: &str| {
            json!({ "mimeType": "video/H264", "payloadType": 96, "clockRate": 90000,
                "parameters": { "packetization-mode": mode, "profile-level-id": profile } })
        };
        let vp9 = |profile: u8| {
            json!({ "mimeType": "video/VP9", "payloadType": 96, "clockRate": 90000,
                "parameters": { "profile-id": profile } })
        };

        assert!(do_match(
            h264(json!(1), "42e01f"),
            h264(json!("1"), "42e02a")
        ));
        assert!(!do_match(
            h264(json!(1), "42e01f"),
            h264(json!(0), "42e01f")
        ));
        assert!(!do_match(
            h264(json!(1), "42e01f"),
            h264(json!(1), "4d001f")
        ));
        assert!(!do_match(vp9(0), vp9(2)));
    }
}
