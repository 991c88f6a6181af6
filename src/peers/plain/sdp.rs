//! Descriptions of plain RTP (RFC 8866): what a sender tells of itself, and what we tell a receiver.

use std::{fmt::Write as _, net::IpAddr};

use media::VideoCodec;

use super::{
    KeyframeRequest, PlainTrack, PortPair,
    order::{CryptoSuite, SrtpParameters},
};

/// The longest description that is read.
pub const SDP_LIMIT_BYTES: usize = 16 * 1024;

/// Profiles that plain RTP comes in; keys by DTLS are not for it.
const PROFILES: [&str; 4] = ["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"];

/// Why a description is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpMistake {
    /// It is no description.
    #[error("not a session description: {0}")]
    Malformed(&'static str),
    /// It has more bytes than are read.
    #[error("a description has at most {SDP_LIMIT_BYTES} bytes")]
    TooLong,
    /// It describes neither pictures nor sound that could be received.
    #[error("it describes neither video nor audio")]
    NothingInIt,
    /// It describes two of a kind.
    #[error("it describes more than one {0}")]
    TooMany(&'static str),
    /// No codec of ours among a section's.
    #[error("{kind} comes as {codecs}; supported are {supported}")]
    Codec {
        /// `video` or `audio`.
        kind: &'static str,
        /// What it comes as.
        codecs: String,
        /// What would do.
        supported: &'static str,
    },
    /// The transport is not plain RTP.
    #[error("the transport {0} is not plain RTP")]
    Transport(String),
    /// The clock is not the codec's.
    #[error("{0} has another clock rate than {1}")]
    ClockRate(&'static str, u32),
    /// SRTP without a usable key.
    #[error("{0} is protected, but no supported key is described")]
    Key(&'static str),
}

/// The pictures and the sound that a sender describes.
pub type Described = (Option<(VideoCodec, PlainTrack)>, Option<PlainTrack>);

#[derive(Default)]
struct Section<'a> {
    kind: &'a str,
    port: &'a str,
    profile: &'a str,
    formats: Vec<&'a str>,
    attributes: Vec<&'a str>,
}

/// Reads the description that a sender gives of itself, such as `ffmpeg -sdp_file` writes.
///
/// Its ports and addresses are where it sends to, so they mean nothing here. Of several formats the first is taken that
/// is supported.
pub fn parse_sender(text: &str) -> Result<Described, SdpMistake> {
    if text.len() > SDP_LIMIT_BYTES {
        return Err(SdpMistake::TooLong);
    }
    let (mut video, mut audio) = (None, None);
    for section in sections(text)? {
        let refused = section.port == "0" || section.attributes.contains(&"inactive");
        let repeated = match section.kind {
            "video" if !refused => video.replace(read_video(&section)?).map(|_| "video"),
            "audio" if !refused => audio.replace(read_audio(&section)?).map(|_| "audio"),
            _ => None,
        };
        if let Some(kind) = repeated {
            return Err(SdpMistake::TooMany(kind));
        }
    }
    if video.is_none() && audio.is_none() {
        return Err(SdpMistake::NothingInIt);
    }
    Ok((video, audio))
}

fn sections(text: &str) -> Result<Vec<Section<'_>>, SdpMistake> {
    let mut lines = text
        .lines()
        // FFmpeg prints this in front of its description.
        .filter(|line| !line.is_empty() && *line != "SDP:");
    if lines.next().is_none_or(|line| !line.starts_with("v=0")) {
        return Err(SdpMistake::Malformed("it does not begin with v=0"));
    }
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in lines {
        match (line.split_once('='), sections.last_mut()) {
            (Some(("m", media)), _) => {
                let mut words = media.split_ascii_whitespace();
                let mut word = || words.next().ok_or(SdpMistake::Malformed("an m= line"));
                let (kind, port, profile) = (word()?, word()?, word()?);
                sections.push(Section {
                    kind,
                    port,
                    profile,
                    formats: words.collect(),
                    attributes: Vec::new(),
                });
            }
            (Some(("a", attribute)), Some(section)) => section.attributes.push(attribute),
            (Some((name, _)), _) if name.len() == 1 => {}
            _ => return Err(SdpMistake::Malformed("a line is no attribute")),
        }
    }
    Ok(sections)
}

impl<'a> Section<'a> {
    /// The values of an attribute.
    fn values(&self, name: &'static str) -> impl Iterator<Item = &'a str> {
        self.attributes
            .iter()
            .filter_map(move |attribute| attribute.strip_prefix(name)?.strip_prefix(':'))
    }

    /// The value of an attribute for one format.
    fn value_for(&self, name: &'static str, format: &str) -> Option<&'a str> {
        self.values(name).find_map(|value| {
            let (of, rest) = value.split_once(' ')?;
            (of == format).then_some(rest.trim())
        })
    }

    /// Formats with the names of their encodings, clocks and channels.
    fn encodings(&self) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
        self.formats.iter().map(|format| {
            let map = self.value_for("rtpmap", format).unwrap_or("");
            let (name, rest) = map.split_once('/').unwrap_or((map, ""));
            (*format, name, rest)
        })
    }

    fn track(&self, kind: &'static str, format: &str) -> Result<PlainTrack, SdpMistake> {
        if !PROFILES.contains(&self.profile) {
            return Err(SdpMistake::Transport(printable(self.profile)));
        }
        let payload_type = format
            .parse()
            .ok()
            .filter(|payload_type| *payload_type <= 127)
            .ok_or(SdpMistake::Malformed("a payload type"))?;
        let feedback: Vec<&str> = self
            .values("rtcp-fb")
            .filter_map(|value| value.split_once(' '))
            .filter(|(of, _)| *of == format || *of == "*")
            .map(|(_, kind)| kind.trim())
            .collect();
        let only_fir = feedback.contains(&"ccm fir") && !feedback.contains(&"nack pli");
        let protected = self.profile.contains("SAVP");
        let srtp = self.values("crypto").find_map(key);
        if protected && srtp.is_none() {
            return Err(SdpMistake::Key(kind));
        }
        Ok(PlainTrack {
            payload_type,
            ssrc: self.only_ssrc(),
            format_parameters: self.value_for("fmtp", format).map(str::to_owned),
            rtcp_mux: self.attributes.contains(&"rtcp-mux"),
            nack: feedback.contains(&"nack"),
            keyframe_request: if only_fir {
                KeyframeRequest::Fir
            } else {
                KeyframeRequest::Pli
            },
            srtp: srtp.filter(|_| protected),
            source_port: None,
            source_rtcp_port: None,
        })
    }

    /// The SSRC, if exactly one is described.
    fn only_ssrc(&self) -> Option<u32> {
        let mut ssrcs = self
            .values("ssrc")
            .filter_map(|value| value.split(' ').next()?.parse().ok());
        let first = ssrcs.next()?;
        ssrcs.all(|ssrc| ssrc == first).then_some(first)
    }

    fn unsupported(&self, kind: &'static str, supported: &'static str) -> SdpMistake {
        let names: Vec<String> = self
            .encodings()
            .map(|(format, name, _)| printable(if name.is_empty() { format } else { name }))
            .collect();
        SdpMistake::Codec {
            kind,
            codecs: names.join(", "),
            supported,
        }
    }
}

fn read_video(section: &Section<'_>) -> Result<(VideoCodec, PlainTrack), SdpMistake> {
    let found = section.encodings().find_map(|(format, name, clock)| {
        let codec = find_codec(name)?;
        Some((codec, format, clock))
    });
    let (codec, format, clock) =
        found.ok_or_else(|| section.unsupported("video", "H264, VP8, VP9 and AV1"))?;
    if clock != "90000" {
        return Err(SdpMistake::ClockRate("video", 90_000));
    }
    Ok((codec, section.track("video", format)?))
}

fn read_audio(section: &Section<'_>) -> Result<PlainTrack, SdpMistake> {
    let found = section
        .encodings()
        .find(|(_, name, _)| name.eq_ignore_ascii_case("opus"));
    let (format, _, clock) = found.ok_or_else(|| section.unsupported("audio", "opus"))?;
    if clock.split('/').next() != Some("48000") {
        return Err(SdpMistake::ClockRate("audio", 48_000));
    }
    section.track("audio", format)
}

/// The codec of this name, in any case.
pub(crate) fn find_codec(name: &str) -> Option<VideoCodec> {
    VideoCodec::ALL
        .into_iter()
        .find(|codec| codec.as_str().eq_ignore_ascii_case(name))
}

/// The key of an `a=crypto` attribute (RFC 4568), if it is of a supported suite and without a lifetime or an index.
fn key(value: &str) -> Option<SrtpParameters> {
    let mut words = value.split_ascii_whitespace();
    let suite = CryptoSuite::find(words.nth(1)?)?;
    let key = words.next()?.strip_prefix("inline:")?;
    let key = key.split('|').next()?;
    SrtpParameters::new(suite, decode_base64(key)?)
}

/// Reads base64 (RFC 4648 § 4), with or without padding.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u16, 0);
    for character in text.trim_end_matches('=').bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u16::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_be_bytes()[1]);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

/// Takes what may be shown of a stranger's word.
fn printable(word: &str) -> String {
    word.chars()
        .filter(char::is_ascii_graphic)
        .take(24)
        .collect()
}

/// Describes streams that are sent to `ip`. Keys are left out: whoever asked for SRTP has its own.
pub fn describe(
    ip: IpAddr,
    video: Option<(VideoCodec, &PlainTrack, PortPair)>,
    audio: Option<(&PlainTrack, PortPair)>,
) -> String {
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let mut text =
        format!("v=0\r\no=- 0 0 IN {family} {ip}\r\ns=Castgate\r\nc=IN {family} {ip}\r\nt=0 0\r\n");
    if let Some((codec, track, ports)) = video {
        let map = format!("{}/90000", codec.as_str());
        section(&mut text, "video", &map, track, ports);
    }
    if let Some((track, ports)) = audio {
        section(&mut text, "audio", "opus/48000/2", track, ports);
    }
    text
}

fn section(text: &mut String, kind: &str, map: &str, track: &PlainTrack, ports: PortPair) {
    let format = track.payload_type;
    let profile = if track.srtp.is_some() {
        "RTP/SAVPF"
    } else if track.nack {
        "RTP/AVPF"
    } else {
        "RTP/AVP"
    };
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a text cannot fail.
        let _ = text.write_fmt(line);
        text.push_str("\r\n");
    };
    line(format_args!("m={kind} {} {profile} {format}", ports.rtp));
    line(format_args!("a=rtpmap:{format} {map}"));
    if let Some(parameters) = &track.format_parameters {
        line(format_args!("a=fmtp:{format} {parameters}"));
    }
    if track.rtcp_mux {
        line(format_args!("a=rtcp-mux"));
    } else {
        line(format_args!("a=rtcp:{}", ports.rtcp));
    }
    if kind == "video" && track.nack {
        line(format_args!("a=rtcp-fb:{format} nack"));
        line(format_args!("a=rtcp-fb:{format} nack pli"));
    }
    if let Some(ssrc) = track.ssrc {
        line(format_args!("a=ssrc:{ssrc} cname:castgate"));
    }
}

#[cfg(test)]
#[path = "sdp_tests.rs"]
mod tests;
