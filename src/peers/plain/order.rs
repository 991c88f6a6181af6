//! What plain RTP is asked to be: tracks, keys, addresses.

use std::{fmt, net::IpAddr, sync::Arc};

use media::VideoCodec;
use rtc::{
    crypto::{RTCCryptoProvider, SecretVec},
    shared::error::Error,
    srtp::protection_profile::ProtectionProfile,
};

use crate::srtp::{Opener, Sealer};

use super::ports::PlainPorts;

/// Payload types that RTCP on the same port would be taken for (RFC 5761 § 4).
const MISTAKEN_FOR_RTCP: std::ops::RangeInclusive<u8> = 64..=95;
/// The most bytes of a format's parameters; parameter sets in base64 are some hundred.
const FORMAT_PARAMETERS_LIMIT_BYTES: usize = 2048;

/// Why plain RTP is not set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlainError {
    /// The order cannot be; 422. Names the field.
    #[error("{message}")]
    Invalid {
        /// The field, as the API calls it.
        field: String,
        /// What is wrong, without a secret.
        message: String,
    },
    /// All ports of the range are taken; 503.
    #[error("all ports from {first} to {last} are taken")]
    PortsExhausted {
        /// The first port of the range.
        first: u16,
        /// The last port of the range.
        last: u16,
    },
    /// As many as a broadcast may have; 409.
    #[error("there are as many as there may be")]
    Full,
    /// The sink is gone; 404.
    #[error("the broadcast has ended")]
    NoSuchSink,
    /// We are broken; 500.
    #[error("the sockets could not be set up: {0}")]
    Internal(String),
}

impl PlainError {
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// How SRTP is protected (RFC 4568 § 6.2, RFC 7714 § 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CryptoSuite {
    /// AES-128 in counter mode, authenticated by 80 bits of HMAC-SHA1.
    AesCm128HmacSha1_80,
    /// AES-128 in GCM.
    AeadAes128Gcm,
}

impl CryptoSuite {
    /// Every suite.
    pub const ALL: [Self; 2] = [Self::AesCm128HmacSha1_80, Self::AeadAes128Gcm];

    /// Its name in SDP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
        }
    }

    /// The suite of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.as_str() == name)
    }

    /// Length of key and salt together, in bytes.
    pub fn key_bytes(self) -> usize {
        self.profile().key_len() + self.profile().salt_len()
    }

    pub(crate) const fn profile(self) -> ProtectionProfile {
        match self {
            Self::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            Self::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        }
    }
}

/// SSRCs of one stream that have proven themselves; a sender that changes its SSRC more often begins anew.
const TRUSTED_LIMIT: usize = 8;

/// A suite and its master key, which nothing shows. The same key serves both directions, as their SSRCs differ (RFC 3711 § 9.1).
#[derive(Clone)]
pub struct SrtpParameters {
    suite: CryptoSuite,
    key: Arc<SecretVec>,
}

impl SrtpParameters {
    /// `key`: master key and salt behind each other. `None`: not as long as the suite wants it.
    pub fn new(suite: CryptoSuite, key: Vec<u8>) -> Option<Self> {
        let key = SecretVec::new(key);
        (key.len() == suite.key_bytes()).then(|| Self {
            suite,
            key: Arc::new(key),
        })
    }

    /// The suite.
    pub const fn suite(&self) -> CryptoSuite {
        self.suite
    }

    pub(super) fn opener(&self, crypto: &Arc<dyn RTCCryptoProvider>) -> Result<Opener, Error> {
        Opener::new(self.into(), TRUSTED_LIMIT, Arc::clone(crypto))
    }

    pub(super) fn sealer(&self, crypto: &Arc<dyn RTCCryptoProvider>) -> Result<Sealer, Error> {
        Sealer::new(&self.into(), crypto)
    }

    pub(crate) fn key(&self) -> Arc<SecretVec> {
        Arc::clone(&self.key)
    }
}

impl fmt::Debug for SrtpParameters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SrtpParameters({}, hidden)", self.suite.as_str())
    }
}

/// How a sender is asked for a keyframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyframeRequest {
    /// Picture loss indication (RFC 4585).
    #[default]
    Pli,
    /// Full intra request (RFC 5104), for senders that announce only that.
    Fir,
}

/// One RTP stream.
#[derive(Debug, Clone, Default)]
pub struct PlainTrack {
    /// RTP payload type.
    pub payload_type: u8,
    /// The only SSRC that is taken, if it is known before.
    pub ssrc: Option<u32>,
    /// The format's parameters, as in `a=fmtp` behind the payload type.
    pub format_parameters: Option<String>,
    /// Whether RTCP comes on the port of RTP (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether the sender repeats packets that it is asked for (RFC 4585 NACK).
    pub nack: bool,
    /// How it is asked for a keyframe.
    pub keyframe_request: KeyframeRequest,
    /// Protection, if there is any.
    pub srtp: Option<SrtpParameters>,
    /// The sender's port for RTP, if only that is taken.
    pub source_port: Option<u16>,
    /// The sender's port for RTCP, if it is known.
    pub source_rtcp_port: Option<u16>,
}

impl PlainTrack {
    /// Checks what types do not; `field` is what the API calls this track.
    pub fn check(&self, field: &str) -> Result<(), PlainError> {
        if self.payload_type > 127 {
            return Err(PlainError::invalid(
                format!("{field}.payloadType"),
                "a payload type is a number from 0 to 127",
            ));
        }
        if self.rtcp_mux && MISTAKEN_FOR_RTCP.contains(&self.payload_type) {
            return Err(PlainError::invalid(
                format!("{field}.payloadType"),
                "payload types 64 to 95 cannot share a port with RTCP (RFC 5761)",
            ));
        }
        let plain = |text: &String| {
            text.len() <= FORMAT_PARAMETERS_LIMIT_BYTES
                && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        if !self.format_parameters.as_ref().is_none_or(plain) {
            return Err(PlainError::invalid(
                format!("{field}.fmtp"),
                format!(
                    "the format's parameters are at most {FORMAT_PARAMETERS_LIMIT_BYTES} printable characters"
                ),
            ));
        }
        Ok(())
    }
}

/// Where the sender is, when that is known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainSource {
    /// Its address; packets of others are dropped.
    pub ip: IpAddr,
}

/// A wish for ports that take plain RTP.
#[derive(Debug, Clone)]
pub struct PlainIngestOrder {
    /// Where ports may be.
    pub ports: PlainPorts,
    /// The pictures.
    pub video: Option<(VideoCodec, PlainTrack)>,
    /// The sound, Opus.
    pub audio: Option<PlainTrack>,
    /// Where the sender is; `None`: the first that fits is pinned.
    pub source: Option<PlainSource>,
}

impl PlainIngestOrder {
    /// Checks what types do not.
    pub fn check(&self) -> Result<(), PlainError> {
        if self.video.is_none() && self.audio.is_none() {
            return Err(PlainError::invalid("video", "neither video nor audio"));
        }
        if let Some((codec, track)) = &self.video {
            track.check("video")?;
            let interleaved = track.format_parameters.as_ref().is_some_and(|parameters| {
                parameters
                    .split(';')
                    .any(|one| one.trim() == "packetization-mode=2")
            });
            if *codec == VideoCodec::H264 && interleaved {
                return Err(PlainError::invalid(
                    "video.fmtp",
                    "interleaved H.264 (packetization-mode=2) is not supported",
                ));
            }
        }
        if let Some(track) = &self.audio {
            track.check("audio")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_long_as_its_suite_wants_it_and_never_shown() {
        for (suite, length) in [
            (CryptoSuite::AesCm128HmacSha1_80, 30),
            (CryptoSuite::AeadAes128Gcm, 28),
        ] {
            assert!(SrtpParameters::new(suite, vec![77; length - 1]).is_none());
            assert!(SrtpParameters::new(suite, vec![77; length + 1]).is_none());
            let parameters = SrtpParameters::new(suite, vec![77; length]).unwrap();
            assert!(!format!("{parameters:?}").contains("77"));
        }
    }

    #[test]
    fn payload_types_that_rtcp_is_taken_for_are_refused_on_a_shared_port() {
        let track = |payload_type, rtcp_mux| PlainTrack {
            payload_type,
            rtcp_mux,
            ..PlainTrack::default()
        };

        assert!(track(72, true).check("video").is_err());
        assert!(track(72, false).check("video").is_ok());
        assert!(track(96, true).check("video").is_ok());
        assert!(track(128, false).check("video").is_err());
    }

    #[test]
    fn parameters_that_would_break_a_description_are_refused() {
        let track = |text: &str| PlainTrack {
            payload_type: 96,
            format_parameters: Some(text.to_owned()),
            ..PlainTrack::default()
        };

        assert!(track("packetization-mode=1").check("video").is_ok());
        assert!(track("x=1\r\na=crypto:1").check("video").is_err());
        assert!(track(&"x".repeat(2048)).check("video").is_ok());
        assert!(track(&"x".repeat(2049)).check("video").is_err());
    }
}
