//! Which codecs of an offer we take, and with which parameters.

use media::VideoCodec;
use rtc::sdp::MediaDescription;

use super::offer::{Side, printable};
use crate::OfferError;

/// The feedback that a studio's pictures need; the rest of an offer's is not answered.
const STUDIO_FEEDBACK: [&str; 5] = ["goog-remb", "nack", "nack pli", "ccm fir", "transport-cc"];
/// The feedback that we listen to as a sender of pictures.
const VIEWER_FEEDBACK: [&str; 3] = ["nack", "nack pli", "ccm fir"];
const STUDIO_SOUND_FEEDBACK: [&str; 1] = ["transport-cc"];
/// The H.264 profiles we take, best first: constrained baseline, baseline, main, constrained high, high.
const H264_PROFILES: [&str; 5] = ["42e0", "4200", "4d00", "640c", "6400"];
/// H.264 level 4.2; 4.0 is the least with which Chrome sends 1080p30, and 4.2 is refused by none and allows 1080p60.
const H264_LEVEL: &str = "2a";
/// What an AV1 line without the parameters means (AV1 RTP payload specification § 7.2.1): level 3.1, main tier.
const AV1_LEVEL: u8 = 5;
const AV1_TIER: u8 = 0;
/// The highest `level-idx` there is (AV1 specification, annex A.3); 31 stands for no limit.
const AV1_HIGHEST_LEVEL: u8 = 31;
/// Kilobit/s from which Chrome's estimate starts, so that the first seconds are not a blur.
const START_BITRATE_KBPS: u32 = 2500;

/// One codec of the offer, as it will be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenCodec {
    pub(crate) payload_type: u8,
    pub(crate) retransmission: Option<u8>,
    /// Name, clock rate and channels, as in `a=rtpmap`.
    pub(crate) encoding: String,
    /// The format parameters of the answer; perhaps none.
    pub(crate) parameters: String,
    pub(crate) feedback: Vec<String>,
}

/// A video codec of the offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenVideo {
    pub(crate) codec: VideoCodec,
    pub(crate) line: ChosenCodec,
}

impl ChosenCodec {
    /// Writes the attributes that describe it and its retransmission.
    pub(super) fn describe(&self, lines: &mut Vec<String>) {
        let number = self.payload_type;
        lines.push(format!("a=rtpmap:{number} {}", self.encoding));
        if !self.parameters.is_empty() {
            lines.push(format!("a=fmtp:{number} {}", self.parameters));
        }
        for feedback in &self.feedback {
            lines.push(format!("a=rtcp-fb:{number} {feedback}"));
        }
        if let Some(repair) = self.retransmission {
            lines.push(format!("a=rtpmap:{repair} rtx/90000"));
            lines.push(format!("a=fmtp:{repair} apt={number}"));
        }
    }
}

/// The codecs of a video section that are in `accepts`, in that order: of a studio's the first, of a viewer's all.
pub(super) fn choose_video(
    media: &MediaDescription,
    side: Side,
    accepts: &[VideoCodec],
) -> Result<Vec<ChosenVideo>, OfferError> {
    let offered = offered(media);
    let mut chosen: Vec<ChosenVideo> = Vec::new();
    for codec in accepts {
        let is_new = chosen.iter().all(|other| other.codec != *codec);
        let best = offered
            .iter()
            .filter_map(|line| Some((rank(*codec, line)?, line)))
            .min_by_key(|(rank, _)| *rank);
        if let Some((rank, line)) = best.filter(|_| is_new) {
            chosen.push(ChosenVideo {
                codec: *codec,
                line: answered(media, side, *codec, rank, line, &offered),
            });
        }
    }
    if side == Side::Studio {
        chosen.truncate(1);
    }
    if chosen.is_empty() {
        return Err(unsupported(
            &format!("video must be {}", supported(accepts)),
            &offered,
        ));
    }
    Ok(chosen)
}

/// Opus of an audio section.
pub(super) fn choose_audio(
    media: &MediaDescription,
    side: Side,
) -> Result<ChosenCodec, OfferError> {
    let offered = offered(media);
    let Some(opus) = offered
        .iter()
        .find(|line| line.encoding.eq_ignore_ascii_case("opus/48000/2"))
    else {
        return Err(unsupported("audio must be Opus (opus/48000/2)", &offered));
    };
    let wanted: &[&str] = match side {
        Side::Studio => &STUDIO_SOUND_FEEDBACK,
        Side::Viewer => &[],
    };
    Ok(ChosenCodec {
        payload_type: opus.payload_type,
        retransmission: None,
        encoding: "opus/48000/2".to_owned(),
        parameters: "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1;maxaveragebitrate=128000"
            .to_owned(),
        feedback: feedback(media, opus.payload_type, wanted),
    })
}

struct Offered<'a> {
    payload_type: u8,
    encoding: &'a str,
    parameters: &'a str,
}

fn offered(media: &MediaDescription) -> Vec<Offered<'_>> {
    let about = |key: &str, payload_type: &str| {
        media
            .attributes
            .iter()
            .filter(|attribute| attribute.key == key)
            .find_map(|attribute| {
                let (about, rest) = attribute.value.as_deref()?.split_once(' ')?;
                (about == payload_type).then_some(rest.trim())
            })
    };
    media
        .media_name
        .formats
        .iter()
        .filter_map(|format| {
            Some(Offered {
                payload_type: format.parse().ok().filter(|number| *number < 128)?,
                encoding: about("rtpmap", format)?,
                parameters: about("fmtp", format).unwrap_or_default(),
            })
        })
        .collect()
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| {
            key.trim()
                .eq_ignore_ascii_case(name)
                .then_some(value.trim())
        })
}

fn feedback(media: &MediaDescription, payload_type: u8, wanted: &[&str]) -> Vec<String> {
    let number = payload_type.to_string();
    let offered: Vec<&str> = media
        .attributes
        .iter()
        .filter(|attribute| attribute.key == "rtcp-fb")
        .filter_map(|attribute| attribute.value.as_deref()?.split_once(' '))
        .filter(|(about, _)| *about == number || *about == "*")
        .map(|(_, kind)| kind.trim())
        .collect();
    wanted
        .iter()
        .filter(|kind| offered.contains(kind))
        .map(|kind| (*kind).to_owned())
        .collect()
}

fn encoding(codec: VideoCodec) -> String {
    format!("{codec}/90000")
}

/// How good a line is for a codec, 0 being the best; `None`: it is not of that codec, or of a profile that we do not take.
fn rank(codec: VideoCodec, line: &Offered<'_>) -> Option<usize> {
    if !line.encoding.eq_ignore_ascii_case(&encoding(codec)) {
        return None;
    }
    let is_zero = |name| {
        parameter(line.parameters, name)
            .is_none_or(|profile| profile == "0")
            .then_some(0)
    };
    match codec {
        VideoCodec::H264 => h264_profile(line.parameters),
        VideoCodec::Vp8 => Some(0),
        // RFC 9628 § 6: without the parameter it is profile 0.
        VideoCodec::Vp9 => is_zero("profile-id"),
        // AV1 RTP payload specification § 7.2.1: without the parameter it is the main profile.
        VideoCodec::Av1 => is_zero("profile"),
    }
}

/// The place of a line's profile in [`H264_PROFILES`].
fn h264_profile(parameters: &str) -> Option<usize> {
    if parameter(parameters, "packetization-mode") != Some("1") {
        return None;
    }
    // RFC 6184 § 8.1: without the parameter it is baseline, level 1.
    let profile = parameter(parameters, "profile-level-id")
        .unwrap_or("42000a")
        .to_ascii_lowercase();
    H264_PROFILES
        .iter()
        .position(|known| profile.len() == 6 && profile.starts_with(known))
}

fn answered(
    media: &MediaDescription,
    side: Side,
    codec: VideoCodec,
    rank: usize,
    line: &Offered<'_>,
    offered: &[Offered<'_>],
) -> ChosenCodec {
    let number = |name, default: u8, most: u8| {
        parameter(line.parameters, name)
            .and_then(|value| value.parse().ok())
            .filter(|value| *value <= most)
            .unwrap_or(default)
    };
    let mut parameters = match codec {
        VideoCodec::H264 => vec![
            "level-asymmetry-allowed=1".to_owned(),
            "packetization-mode=1".to_owned(),
            format!("profile-level-id={}{H264_LEVEL}", H264_PROFILES[rank]),
        ],
        VideoCodec::Vp8 => Vec::new(),
        VideoCodec::Vp9 => vec!["profile-id=0".to_owned()],
        VideoCodec::Av1 => vec![
            format!(
                "level-idx={}",
                number("level-idx", AV1_LEVEL, AV1_HIGHEST_LEVEL)
            ),
            "profile=0".to_owned(),
            format!("tier={}", number("tier", AV1_TIER, 1)),
        ],
    };
    if side == Side::Studio {
        parameters.push(format!("x-google-start-bitrate={START_BITRATE_KBPS}"));
    }
    let wanted: &[&str] = match side {
        Side::Studio => &STUDIO_FEEDBACK,
        Side::Viewer => &VIEWER_FEEDBACK,
    };
    let apt = line.payload_type.to_string();
    ChosenCodec {
        payload_type: line.payload_type,
        retransmission: offered
            .iter()
            .find(|other| {
                other.encoding.eq_ignore_ascii_case("rtx/90000")
                    && parameter(other.parameters, "apt") == Some(&apt)
            })
            .map(|other| other.payload_type),
        encoding: encoding(codec),
        parameters: parameters.join(";"),
        feedback: feedback(media, line.payload_type, wanted),
    }
}

fn supported(accepts: &[VideoCodec]) -> String {
    let names: Vec<String> = accepts
        .iter()
        .map(|codec| match codec {
            VideoCodec::H264 => format!(
                "H.264 with packetization-mode=1 (H264/90000, profiles {})",
                H264_PROFILES.join(", ")
            ),
            VideoCodec::Vp8 => "VP8 (VP8/90000)".to_owned(),
            VideoCodec::Vp9 => "VP9 profile 0 (VP9/90000)".to_owned(),
            VideoCodec::Av1 => "AV1 main profile (AV1/90000)".to_owned(),
        })
        .collect();
    names.join(" or ")
}

fn unsupported(rule: &str, offered: &[Offered<'_>]) -> OfferError {
    let names: Vec<String> = offered
        .iter()
        .map(|line| printable(line.encoding))
        .collect();
    OfferError::UnsupportedCodec(format!("{rule}; offered: {}", names.join(", ")))
}
