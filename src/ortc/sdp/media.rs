//! What one section of an offer says of its codecs, header extensions and streams.

use super::attribute::{parse_fmtp, parse_rtpmap, parse_simulcast};
use super::{Section, SectionDirection};
use crate::error::malformed;
use crate::validation::{MAX_TEXT_BYTES, RTCP_PAYLOAD_TYPES, validate_rid};
use crate::{
    CodecParameters, EncodingParameters, ExtensionDirection, Fmtp, HeaderExtensionParameters,
    MAX_CODECS, MAX_ENCODINGS, MAX_FEEDBACK, MAX_HEADER_EXTENSIONS, MediaKind, OrtcError,
    RtcpFeedback, RtcpParameters, RtpParameters, RtxParameters,
};

/// SSRCs that one section may tell: each of the layers with RTX and error correction.
const MAX_SSRCS: usize = 4 * MAX_ENCODINGS;

/// The URI of an encrypted header extension (RFC 6904), which nobody can use here.
const ENCRYPTED: &str = "urn:ietf:params:rtp-hdrext:encrypt";

/// Gathers the attributes of one section.
#[derive(Debug, Default)]
pub(super) struct Gathered<'a> {
    formats: Vec<u8>,
    rtpmaps: Vec<(u8, &'a str)>,
    fmtps: Vec<(u8, &'a str)>,
    feedback: Vec<(Option<u8>, RtcpFeedback)>,
    extensions: Vec<(HeaderExtensionParameters, ExtensionDirection)>,
    ssrcs: Vec<u32>,
    groups: Vec<(&'a str, Vec<u32>)>,
    rids: Vec<&'a str>,
    layers: Vec<&'a str>,
    cname: Option<&'a str>,
    msid: Option<&'a str>,
    direction: Option<SectionDirection>,
    is_reduced_size: bool,
}

impl<'a> Gathered<'a> {
    /// Of a media line with these formats.
    pub(super) fn of(formats: &str) -> Result<Self, OrtcError> {
        let formats: Vec<u8> = formats
            .split_whitespace()
            .filter_map(|format| format.parse().ok())
            // Nobody can use those beside RTCP; old browsers offered two of them for codecs that nobody takes.
            .filter(|format| *format <= 127 && !RTCP_PAYLOAD_TYPES.contains(format))
            .collect();
        bounded(formats.len(), MAX_CODECS, "codecs")?;
        Ok(Self {
            formats,
            ..Self::default()
        })
    }

    /// Takes an attribute, if it is one of these.
    pub(super) fn take(&mut self, name: &str, value: &'a str) -> Result<(), OrtcError> {
        match name {
            "rtpmap" => self.rtpmaps.extend(with_payload_type(value)),
            "fmtp" => self.fmtps.extend(with_payload_type(value)),
            "rtcp-fb" => self.take_feedback(value),
            "extmap" => self.take_extension(value)?,
            "ssrc" => self.take_ssrc(value)?,
            "ssrc-group" => self.take_group(value),
            "rid" => {
                if let Some((rid, rest)) = value.split_once(' ')
                    && rest.split_whitespace().next() == Some("send")
                {
                    self.rids.push(rid);
                    bounded(self.rids.len(), MAX_ENCODINGS, "rids")?;
                }
            }
            "simulcast" => self.layers = parse_simulcast(value, "send"),
            "msid" => self.msid = self.msid.or(Some(value)),
            "sendrecv" => self.direction = Some(SectionDirection::SendReceive),
            "sendonly" => self.direction = Some(SectionDirection::Send),
            "recvonly" => self.direction = Some(SectionDirection::Receive),
            "inactive" => self.direction = Some(SectionDirection::Inactive),
            "rtcp-rsize" => self.is_reduced_size = true,
            _ => {}
        }
        Ok(())
    }

    fn take_feedback(&mut self, value: &str) {
        let mut words = value.split_whitespace();
        let (Some(format), Some(kind)) = (words.next(), words.next()) else {
            return;
        };
        let format = if format == "*" {
            None
        } else if let Ok(format) = format.parse() {
            Some(format)
        } else {
            return;
        };
        let feedback = RtcpFeedback {
            kind: kind.to_owned(),
            parameter: words.next().unwrap_or_default().to_owned(),
        };
        self.feedback.push((format, feedback));
    }

    fn take_extension(&mut self, value: &str) -> Result<(), OrtcError> {
        let mut words = value.split_whitespace();
        let (Some(id), Some(uri)) = (words.next(), words.next()) else {
            return Err(malformed("invalid a=extmap"));
        };
        let (id, direction) = match id.split_once('/') {
            Some((id, direction)) => (id, direction),
            None => (id, "sendrecv"),
        };
        let direction = match direction {
            "sendonly" => ExtensionDirection::Sendonly,
            "recvonly" => ExtensionDirection::Recvonly,
            "inactive" => return Ok(()),
            _ => ExtensionDirection::Sendrecv,
        };
        let id: u8 = id.parse().map_err(|_| malformed("invalid a=extmap"))?;
        if id > 0 && uri != ENCRYPTED {
            let extension = HeaderExtensionParameters {
                uri: uri.to_owned(),
                id,
                encrypt: false,
                parameters: Fmtp::new(),
            };
            self.extensions.push((extension, direction));
        }
        bounded(self.extensions.len(), MAX_HEADER_EXTENSIONS, "extmaps")
    }

    fn take_ssrc(&mut self, value: &'a str) -> Result<(), OrtcError> {
        let (ssrc, attribute) = value.split_once(' ').unwrap_or((value, ""));
        let ssrc: u32 = ssrc
            .parse()
            .ok()
            .filter(|ssrc| *ssrc != 0)
            .ok_or_else(|| malformed("invalid a=ssrc"))?;
        if !self.ssrcs.contains(&ssrc) {
            self.ssrcs.push(ssrc);
            bounded(self.ssrcs.len(), MAX_SSRCS, "SSRCs")?;
        }
        if let Some(cname) = attribute.strip_prefix("cname:") {
            self.cname = self.cname.or(Some(cname));
        } else if let Some(msid) = attribute.strip_prefix("msid:") {
            self.msid = self.msid.or(Some(msid));
        }
        Ok(())
    }

    fn take_group(&mut self, value: &'a str) {
        let mut words = value.split_whitespace();
        if let Some(semantics) = words.next() {
            let ssrcs = words.filter_map(|ssrc| ssrc.parse().ok()).take(MAX_SSRCS);
            self.groups.push((semantics, ssrcs.collect()));
        }
    }

    /// The section, unless none of its codecs is told.
    pub(super) fn section(
        self,
        mid: &str,
        kind: MediaKind,
        inherited: Option<SectionDirection>,
    ) -> Result<Option<Section>, OrtcError> {
        let direction = self.direction.or(inherited).unwrap_or_default();
        let codecs = self.codecs(kind)?;
        if codecs.is_empty() {
            return Ok(None);
        }
        let encodings = if direction.sends() {
            self.encodings()?
        } else {
            Vec::new()
        };
        let mut header_extensions: Vec<HeaderExtensionParameters> = Vec::new();
        let mut extension_directions = Vec::new();
        for (extension, extension_direction) in self.extensions {
            if header_extensions
                .iter()
                .any(|known| known.id == extension.id)
            {
                return Err(malformed("duplicated a=extmap"));
            }
            if extension_direction != ExtensionDirection::Sendrecv {
                extension_directions.push((extension.id, extension_direction));
            }
            header_extensions.push(extension);
        }
        Ok(Some(Section {
            mid: mid.to_owned(),
            kind,
            direction,
            rtp: RtpParameters {
                mid: Some(mid.to_owned()),
                codecs,
                header_extensions,
                encodings,
                rtcp: RtcpParameters {
                    cname: self.cname.and_then(short).or(Some(String::new())),
                    reduced_size: Some(self.is_reduced_size),
                    mux: None,
                },
                msid: self.msid.and_then(short),
            },
            extension_directions,
        }))
    }

    /// In the order of the media line. What has no `rtpmap` is one of the oldest codecs of sound, which nobody takes.
    fn codecs(&self, kind: MediaKind) -> Result<Vec<CodecParameters>, OrtcError> {
        let prefix = match kind {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        };
        let mut codecs: Vec<CodecParameters> = Vec::new();
        for payload_type in &self.formats {
            let Some(map) = last(&self.rtpmaps, *payload_type).and_then(parse_rtpmap) else {
                continue;
            };
            let mime_type = format!("{prefix}/{}", map.name);
            let codec = CodecParameters {
                payload_type: *payload_type,
                clock_rate: map.clock_rate,
                channels: map.channels.filter(|_| kind == MediaKind::Audio),
                parameters: last(&self.fmtps, *payload_type).map_or_else(Fmtp::new, parse_fmtp),
                rtcp_feedback: Vec::new(),
                mime_type,
            };
            if codecs
                .iter()
                .any(|other| other.payload_type == codec.payload_type)
            {
                return Err(malformed("duplicated payload type in a media line"));
            }
            let feedback = self.feedback_of(&codec);
            bounded(feedback.len(), MAX_FEEDBACK, "rtcp-fb of a codec")?;
            codecs.push(CodecParameters {
                rtcp_feedback: feedback,
                ..codec
            });
        }
        Ok(codecs)
    }

    fn feedback_of(&self, codec: &CodecParameters) -> Vec<RtcpFeedback> {
        self.feedback
            .iter()
            .filter(|(payload_type, _)| match payload_type {
                Some(payload_type) => *payload_type == codec.payload_type,
                None => !codec.is_rtx(),
            })
            .map(|(_, feedback)| feedback.clone())
            .collect()
    }

    /// Layers by their RIDs, else streams by their SSRCs, the ones that repeat or correct others not among them.
    fn encodings(&self) -> Result<Vec<EncodingParameters>, OrtcError> {
        let rids = if self.layers.is_empty() {
            &self.rids
        } else {
            &self.layers
        };
        if !rids.is_empty() {
            bounded(rids.len(), MAX_ENCODINGS, "layers")?;
            return rids
                .iter()
                .map(|rid| {
                    validate_rid(rid)?;
                    Ok(EncodingParameters {
                        rid: Some((*rid).to_owned()),
                        ..EncodingParameters::default()
                    })
                })
                .collect();
        }
        let media = self.media_ssrcs();
        bounded(media.len(), MAX_ENCODINGS, "streams")?;
        Ok(media
            .into_iter()
            .map(|ssrc| EncodingParameters {
                ssrc: Some(ssrc),
                rtx: self.rtx_of(ssrc).map(|ssrc| RtxParameters { ssrc }),
                ..EncodingParameters::default()
            })
            .collect())
    }

    /// In the order of the simulcast group if there is one.
    fn media_ssrcs(&self) -> Vec<u32> {
        if let Some((_, layers)) = self
            .groups
            .iter()
            .find(|(semantics, _)| *semantics == "SIM")
        {
            let known = |ssrc: &&u32| self.ssrcs.contains(ssrc);
            return layers.iter().filter(known).copied().collect();
        }
        self.ssrcs
            .iter()
            .filter(|ssrc| {
                !self
                    .groups
                    .iter()
                    .any(|(_, ssrcs)| ssrcs.iter().skip(1).any(|second| second == *ssrc))
            })
            .copied()
            .collect()
    }

    fn rtx_of(&self, ssrc: u32) -> Option<u32> {
        self.groups
            .iter()
            .filter(|(semantics, _)| *semantics == "FID")
            .find_map(|(_, ssrcs)| match ssrcs.as_slice() {
                [media, rtx] if *media == ssrc && *rtx != ssrc => Some(*rtx),
                _ => None,
            })
            .filter(|rtx| *rtx != 0)
    }
}

/// `96 rest of the line`.
fn with_payload_type(value: &str) -> Option<(u8, &str)> {
    let (payload_type, rest) = value.split_once(' ')?;
    Some((payload_type.parse().ok()?, rest))
}

fn last<'a>(list: &[(u8, &'a str)], payload_type: u8) -> Option<&'a str> {
    list.iter()
        .rev()
        .find(|(other, _)| *other == payload_type)
        .map(|(_, text)| *text)
}

/// Names that are too long to give to others are left out.
fn short(text: &str) -> Option<String> {
    (text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned())
}

fn bounded(count: usize, limit: usize, what: &str) -> Result<(), OrtcError> {
    if count <= limit {
        Ok(())
    } else {
        Err(malformed(format!("more than {limit} {what} in a section")))
    }
}
