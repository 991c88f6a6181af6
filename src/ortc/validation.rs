//! The rules for what comes from clients. Every list and every text has a bound, so that nothing of theirs grows what
//! others are told.

use serde_json::Value;

use crate::error::{malformed, unsupported};
use crate::{
    CodecCapability, CodecParameters, DtlsFingerprint, DtlsParameters, DtlsRole,
    EncodingParameters, Fmtp, HeaderExtensionParameters, MediaKind, OrtcError, RtcpFeedback,
    RtpCapabilities, RtpParameters,
};

/// Codecs in one list: a browser has about forty, RTX counted.
pub const MAX_CODECS: usize = 64;
/// Header extensions of one track: a browser has about twelve.
pub const MAX_HEADER_EXTENSIONS: usize = 32;
/// Header extensions of a device, those of sound and of pictures counted apart.
pub const MAX_EXTENSION_CAPABILITIES: usize = 2 * MAX_HEADER_EXTENSIONS;
/// Encodings of one track: browsers send three at most.
pub const MAX_ENCODINGS: usize = 8;
/// Kinds of feedback of one codec: browsers have six.
pub const MAX_FEEDBACK: usize = 16;
/// Parameters of one codec in `fmtp`: browsers have eight.
pub const MAX_PARAMETERS: usize = 32;
/// Hashes of a certificate: there are five algorithms.
pub const MAX_FINGERPRINTS: usize = 8;
/// A name of a section, in bytes: two-byte header extensions could carry 255, browsers use two.
pub const MAX_MID_BYTES: usize = 32;
/// A name of a layer, in bytes: what a one-byte header extension can carry (RFC 8285 § 4.2).
pub const MAX_RID_BYTES: usize = 16;
/// Any other short text, such as a MIME type, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// A longer text: a URI, a cname, a msid (two UUIDs), a value in `fmtp`, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 256;

/// Payload types that look like RTCP when they share its port (RFC 5761 § 4).
pub(crate) const RTCP_PAYLOAD_TYPES: std::ops::RangeInclusive<u8> = 64..=95;
pub(crate) const MAX_PAYLOAD_TYPE: u8 = 127;

impl RtpParameters {
    /// Picture or sound, by the first codec.
    pub fn kind(&self) -> Option<MediaKind> {
        self.codecs.first().and_then(|codec| kind(&codec.mime_type))
    }

    /// Checks that these can be a producer's, of any kind.
    ///
    /// # Errors
    ///
    /// [`OrtcError::Malformed`] names the first rule that is broken; [`OrtcError::Unsupported`] is for encrypted header
    /// extensions.
    pub fn validate(&self) -> Result<(), OrtcError> {
        if let Some(mid) = &self.mid {
            validate_mid(mid)?;
        }
        text(self.msid.as_deref().unwrap_or_default(), "msid")?;
        text(self.rtcp.cname.as_deref().unwrap_or_default(), "rtcp.cname")?;
        self.validate_codecs()?;
        self.validate_header_extensions()?;
        self.validate_encodings()
    }

    /// Checks that these can be a producer's of this kind.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate).
    pub fn validate_as(&self, kind: MediaKind) -> Result<(), OrtcError> {
        self.validate()?;
        if self.kind() == Some(kind) {
            Ok(())
        } else {
            Err(malformed("kind is not that of the codecs"))
        }
    }

    fn validate_codecs(&self) -> Result<(), OrtcError> {
        bound(self.codecs.len(), MAX_CODECS, "codecs")?;
        if self.codecs.first().is_none_or(CodecParameters::is_rtx) {
            return Err(malformed("missing params.codecs"));
        }
        for (index, codec) in self.codecs.iter().enumerate() {
            codec.validate()?;
            if kind(&codec.mime_type) != self.kind() {
                return Err(malformed("codecs of audio and video in one track"));
            }
            if self.codecs[..index]
                .iter()
                .any(|other| other.payload_type == codec.payload_type)
            {
                return Err(malformed("duplicated codec.payloadType"));
            }
        }
        Ok(())
    }

    fn validate_header_extensions(&self) -> Result<(), OrtcError> {
        let extensions = &self.header_extensions;
        bound(extensions.len(), MAX_HEADER_EXTENSIONS, "headerExtensions")?;
        for (index, extension) in extensions.iter().enumerate() {
            extension.validate()?;
            if extensions[..index]
                .iter()
                .any(|other| other.id == extension.id)
            {
                return Err(malformed("duplicated ext.id"));
            }
        }
        Ok(())
    }

    fn validate_encodings(&self) -> Result<(), OrtcError> {
        bound(self.encodings.len(), MAX_ENCODINGS, "encodings")?;
        let mut ssrcs: Vec<u32> = Vec::new();
        for (index, encoding) in self.encodings.iter().enumerate() {
            encoding.validate()?;
            if let Some(rid) = &encoding.rid
                && self.encodings[..index]
                    .iter()
                    .any(|other| other.rid.as_ref() == Some(rid))
            {
                return Err(malformed("duplicated encoding.rid"));
            }
            if self.encodings.len() > 1 && encoding.rid.is_none() && encoding.ssrc.is_none() {
                return Err(malformed("one of several encodings has no ssrc and no rid"));
            }
            if let Some(payload_type) = encoding.codec_payload_type
                && !self
                    .codecs
                    .iter()
                    .any(|codec| codec.payload_type == payload_type)
            {
                return Err(malformed("encoding.codecPayloadType is of no codec"));
            }
            for ssrc in [encoding.ssrc, encoding.rtx.map(|rtx| rtx.ssrc)]
                .into_iter()
                .flatten()
            {
                if ssrcs.contains(&ssrc) {
                    return Err(malformed("duplicated encoding.ssrc"));
                }
                ssrcs.push(ssrc);
            }
        }
        Ok(())
    }
}

impl CodecParameters {
    fn validate(&self) -> Result<(), OrtcError> {
        mime_type(&self.mime_type)?;
        if self.payload_type > MAX_PAYLOAD_TYPE || RTCP_PAYLOAD_TYPES.contains(&self.payload_type) {
            return Err(malformed(format!(
                "invalid codec.payloadType [{}]",
                self.payload_type
            )));
        }
        if self.clock_rate == 0 {
            return Err(malformed("invalid codec.clockRate"));
        }
        parameters(&self.parameters)?;
        feedback(&self.rtcp_feedback)
    }
}

impl HeaderExtensionParameters {
    fn validate(&self) -> Result<(), OrtcError> {
        extension(&self.uri, self.id)?;
        if self.encrypt {
            return Err(unsupported("encrypted header extensions"));
        }
        parameters(&self.parameters)
    }
}

impl EncodingParameters {
    fn validate(&self) -> Result<(), OrtcError> {
        if let Some(rid) = &self.rid {
            validate_rid(rid)?;
        }
        if self.ssrc == Some(0) || self.rtx.is_some_and(|rtx| rtx.ssrc == 0) {
            return Err(malformed("invalid encoding.ssrc"));
        }
        let mode = self.scalability_mode.as_deref().unwrap_or_default();
        name(mode, "encoding.scalabilityMode")
    }
}

impl RtpCapabilities {
    /// Checks that these can be a receiver's.
    ///
    /// # Errors
    ///
    /// [`OrtcError::Malformed`] names the first rule that is broken.
    pub fn validate(&self) -> Result<(), OrtcError> {
        bound(self.codecs.len(), MAX_CODECS, "caps.codecs")?;
        bound(
            self.header_extensions.len(),
            MAX_EXTENSION_CAPABILITIES,
            "caps.headerExtensions",
        )?;
        self.codecs.iter().try_for_each(CodecCapability::validate)?;
        self.header_extensions
            .iter()
            .try_for_each(|known| extension(&known.uri, known.preferred_id))
    }
}

impl CodecCapability {
    fn validate(&self) -> Result<(), OrtcError> {
        mime_type(&self.mime_type)?;
        if kind(&self.mime_type) != Some(self.kind) {
            return Err(malformed("codec.kind is not that of codec.mimeType"));
        }
        if self
            .preferred_payload_type
            .is_some_and(|payload_type| payload_type > MAX_PAYLOAD_TYPE)
        {
            return Err(malformed("invalid codec.preferredPayloadType"));
        }
        if self.clock_rate == 0 {
            return Err(malformed("invalid codec.clockRate"));
        }
        parameters(&self.parameters)?;
        feedback(&self.rtcp_feedback)
    }
}

impl DtlsParameters {
    /// Checks that these can be a client's: it begins the handshake, and a hash of its certificate is strong enough.
    ///
    /// # Errors
    ///
    /// [`OrtcError::Malformed`] names the first rule that is broken; [`OrtcError::Unsupported`] is for a client that waits
    /// for the handshake, and for hashes weaker than SHA-256 only.
    pub fn validate(&self) -> Result<(), OrtcError> {
        if self.role == DtlsRole::Server {
            return Err(unsupported("the client must begin the DTLS handshake"));
        }
        bound(self.fingerprints.len(), MAX_FINGERPRINTS, "fingerprints")?;
        if self.fingerprints.is_empty() {
            return Err(malformed("missing dtlsParameters.fingerprints"));
        }
        let mut is_strong = false;
        for fingerprint in &self.fingerprints {
            is_strong |= fingerprint.validate()? >= SHA_256_BYTES;
        }
        if is_strong {
            Ok(())
        } else {
            Err(unsupported("no fingerprint of sha-256, sha-384 or sha-512"))
        }
    }
}

const SHA_256_BYTES: usize = 32;

impl DtlsFingerprint {
    /// How many bytes it has.
    fn validate(&self) -> Result<usize, OrtcError> {
        let bytes = match self.algorithm.to_ascii_lowercase().as_str() {
            "sha-1" => 20,
            "sha-224" => 28,
            "sha-256" => SHA_256_BYTES,
            "sha-384" => 48,
            "sha-512" => 64,
            _ => return Err(malformed("invalid fingerprint.algorithm")),
        };
        let is_hash = self.value.len() == 3 * bytes - 1
            && self.value.bytes().enumerate().all(|(index, byte)| {
                if index % 3 == 2 {
                    byte == b':'
                } else {
                    byte.is_ascii_hexdigit()
                }
            });
        if is_hash {
            Ok(bytes)
        } else {
            Err(malformed("invalid fingerprint.value"))
        }
    }
}

/// Picture or sound, by a MIME type; `None` when it is neither.
pub(crate) fn kind(mime_type: &str) -> Option<MediaKind> {
    let (kind, _) = mime_type.split_once('/')?;
    if kind.eq_ignore_ascii_case("audio") {
        Some(MediaKind::Audio)
    } else if kind.eq_ignore_ascii_case("video") {
        Some(MediaKind::Video)
    } else {
        None
    }
}

/// A name of a section: a token (RFC 8866 § 9), since it stands in SDP.
pub(crate) fn validate_mid(mid: &str) -> Result<(), OrtcError> {
    let is_token = (1..=MAX_MID_BYTES).contains(&mid.len()) && mid.bytes().all(is_token_byte);
    is_token
        .then_some(())
        .ok_or_else(|| malformed("invalid params.mid"))
}

/// A name of a layer (RFC 8851 § 10): letters, digits, `-` and `_`.
pub(crate) fn validate_rid(rid: &str) -> Result<(), OrtcError> {
    let is_rid = (1..=MAX_RID_BYTES).contains(&rid.len())
        && rid
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    is_rid
        .then_some(())
        .ok_or_else(|| malformed("invalid encoding.rid"))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]".contains(&byte)
}

fn mime_type(text: &str) -> Result<(), OrtcError> {
    name(text, "codec.mimeType")?;
    let is_token = text
        .split_once('/')
        .is_some_and(|(_, name)| !name.is_empty() && name.bytes().all(is_token_byte));
    if is_token && kind(text).is_some() {
        Ok(())
    } else {
        Err(malformed("invalid codec.mimeType"))
    }
}

fn extension(uri: &str, id: u8) -> Result<(), OrtcError> {
    text(uri, "ext.uri")?;
    if uri.is_empty() || uri.contains(' ') {
        return Err(malformed("missing ext.uri"));
    }
    if id == 0 {
        return Err(malformed("invalid ext.id"));
    }
    Ok(())
}

fn feedback(list: &[RtcpFeedback]) -> Result<(), OrtcError> {
    bound(list.len(), MAX_FEEDBACK, "codec.rtcpFeedback")?;
    for feedback in list {
        if feedback.kind.is_empty() {
            return Err(malformed("missing fb.type"));
        }
        name(&feedback.kind, "fb.type")?;
        name(&feedback.parameter, "fb.parameter")?;
    }
    Ok(())
}

fn parameters(parameters: &Fmtp) -> Result<(), OrtcError> {
    bound(parameters.len(), MAX_PARAMETERS, "codec.parameters")?;
    for (key, value) in parameters {
        name(key, "a key of codec.parameters")?;
        match value {
            Value::Number(_) => {}
            Value::String(value) if key != "apt" => text(value, "a value of codec.parameters")?,
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_) => {
                return Err(malformed(format!("invalid codec parameter [key:{key}]")));
            }
        }
    }
    Ok(())
}

fn bound(length: usize, limit: usize, what: &str) -> Result<(), OrtcError> {
    if length <= limit {
        Ok(())
    } else {
        Err(malformed(format!("more than {limit} {what}")))
    }
}

fn name(value: &str, what: &str) -> Result<(), OrtcError> {
    short(value, MAX_NAME_BYTES, what)
}

fn text(value: &str, what: &str) -> Result<(), OrtcError> {
    short(value, MAX_TEXT_BYTES, what)
}

fn short(value: &str, limit: usize, what: &str) -> Result<(), OrtcError> {
    if value.len() <= limit && !value.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(malformed(format!("invalid {what}")))
    }
}
