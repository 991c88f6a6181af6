//! A studio's SDP offer: what it may be (RFC 9725 § 4.2), and which codecs of it we take.

use std::io::Cursor;

use rtc::sdp::{MediaDescription, SessionDescription};

use crate::{OfferError, door::stun::Credentials};

/// The longest offer, in bytes. Chrome's has about 6,000.
const LONGEST_OFFER: usize = 64 * 1024;
/// The feedback that video needs; the rest of an offer's is not answered.
const VIDEO_FEEDBACK: [&str; 5] = ["goog-remb", "nack", "nack pli", "ccm fir", "transport-cc"];
const AUDIO_FEEDBACK: [&str; 1] = ["transport-cc"];
/// The H.264 profiles we take, best first: constrained baseline, baseline, main, constrained high, high.
const H264_PROFILES: [&str; 5] = ["42e0", "4200", "4d00", "640c", "6400"];
/// H.264 level 4.0, the least with which Chrome sends 1080p30 (4.2 is refused by none and allows 1080p60).
const H264_LEVEL: &str = "2a";
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Kilobit/s from which Chrome's estimate starts, so that the first seconds are not a blur.
const START_BITRATE_KBPS: u32 = 2500;

/// One codec of the offer, as it will be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenCodec {
    pub(crate) payload_type: u8,
    pub(crate) retransmission: Option<u8>,
    /// The format parameters of the answer.
    pub(crate) parameters: String,
    pub(crate) feedback: Vec<String>,
}

/// A checked offer.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) video: Option<ChosenCodec>,
    pub(crate) audio: Option<ChosenCodec>,
    /// The studio's ICE credentials.
    pub(crate) remote: Credentials,
    session: SessionDescription,
}

impl Offer {
    /// Parses and checks an offer.
    pub(crate) fn parse(text: &str) -> Result<Self, OfferError> {
        if text.len() > LONGEST_OFFER {
            return Err(malformed("it is longer than 64 KiB"));
        }
        let session = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
            .map_err(|error| malformed(&format!("it is not SDP ({error})")))?;
        let (mut video, mut audio) = (None, None);
        for media in &session.media_descriptions {
            check_section(&session, media)?;
            match media.media_name.media.as_str() {
                "video" if video.is_none() => video = Some(choose_video(media)?),
                "audio" if audio.is_none() => audio = Some(choose_audio(media)?),
                "video" | "audio" => {
                    return Err(malformed(
                        "it has more than one video or more than one audio section",
                    ));
                }
                other => {
                    return Err(malformed(&format!(
                        "a section of kind \"{}\" is not supported",
                        printable(other)
                    )));
                }
            }
        }
        if video.is_none() && audio.is_none() {
            return Err(malformed("it has no media"));
        }
        check_bundle(&session)?;
        let remote = credentials(&session)?;
        Ok(Self {
            video,
            audio,
            remote,
            session,
        })
    }

    /// The offer as the inner agent gets it: only the chosen codecs, and the stub's ICE credentials.
    pub(crate) fn for_inner_agent(&self, stub: &Credentials) -> String {
        let mut lines = vec![
            "v=0".to_owned(),
            "o=- 1 1 IN IP4 127.0.0.1".to_owned(),
            "s=-".to_owned(),
            "t=0 0".to_owned(),
        ];
        if let Some(group) = self.session.attribute("group") {
            lines.push(format!("a=group:{group}"));
        }
        for media in &self.session.media_descriptions {
            self.describe_section(media, stub, &mut lines);
        }
        lines.push(String::new());
        lines.join("\r\n")
    }

    fn describe_section(
        &self,
        media: &MediaDescription,
        stub: &Credentials,
        lines: &mut Vec<String>,
    ) {
        let kind = media.media_name.media.as_str();
        let chosen = if kind == "video" {
            self.video.as_ref()
        } else {
            self.audio.as_ref()
        };
        let Some(chosen) = chosen else { return };
        let repair = chosen
            .retransmission
            .map_or(String::new(), |payload_type| format!(" {payload_type}"));
        lines.push(format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {}{repair}",
            chosen.payload_type
        ));
        lines.push("c=IN IP4 0.0.0.0".to_owned());
        lines.push(format!("a=ice-ufrag:{}", stub.fragment));
        lines.push(format!("a=ice-pwd:{}", stub.password));
        for key in ["fingerprint", "setup"] {
            if let Some(value) = value(media, key).or_else(|| session_value(&self.session, key)) {
                lines.push(format!("a={key}:{value}"));
            }
        }
        lines.push("a=sendonly".to_owned());
        lines.push("a=rtcp-mux".to_owned());
        for attribute in &media.attributes {
            let text = attribute.value.as_deref().unwrap_or_default();
            let keep = match attribute.key.as_str() {
                "mid" | "ssrc" | "ssrc-group" | "msid" => true,
                "extmap" => text.ends_with(TRANSPORT_CC),
                _ => false,
            };
            if keep {
                lines.push(format!("a={}:{text}", attribute.key));
            }
        }
        let clock = if kind == "video" {
            "H264/90000"
        } else {
            "opus/48000/2"
        };
        lines.push(format!("a=rtpmap:{} {clock}", chosen.payload_type));
        lines.push(format!(
            "a=fmtp:{} {}",
            chosen.payload_type, chosen.parameters
        ));
        for feedback in &chosen.feedback {
            lines.push(format!("a=rtcp-fb:{} {feedback}", chosen.payload_type));
        }
        if let Some(repair) = chosen.retransmission {
            lines.push(format!("a=rtpmap:{repair} rtx/90000"));
            lines.push(format!("a=fmtp:{repair} apt={}", chosen.payload_type));
        }
    }
}

fn malformed(what: &str) -> OfferError {
    OfferError::Malformed(what.to_owned())
}

fn printable(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_graphic)
        .take(32)
        .collect()
}

fn value<'a>(media: &'a MediaDescription, key: &str) -> Option<&'a str> {
    media.attribute(key).flatten()
}

fn session_value<'a>(session: &'a SessionDescription, key: &str) -> Option<&'a str> {
    session.attribute(key).map(String::as_str)
}

fn check_section(session: &SessionDescription, media: &MediaDescription) -> Result<(), OfferError> {
    if media.media_name.port.value == 0 && !media.has_attribute("bundle-only") {
        return Err(malformed("a media section is switched off (port 0)"));
    }
    if value(media, "mid").is_none_or(str::is_empty) {
        return Err(malformed("a media section has no mid"));
    }
    if !media.has_attribute("rtcp-mux") {
        return Err(malformed("rtcp-mux is required"));
    }
    if media.has_attribute("recvonly") || media.has_attribute("inactive") {
        return Err(malformed("the studio must send (sendonly)"));
    }
    if value(media, "fingerprint")
        .or_else(|| session_value(session, "fingerprint"))
        .is_none()
    {
        return Err(malformed("the DTLS fingerprint is missing"));
    }
    match value(media, "setup").or_else(|| session_value(session, "setup")) {
        Some("actpass" | "active") => Ok(()),
        _ => Err(malformed("setup must be actpass or active")),
    }
}

fn check_bundle(session: &SessionDescription) -> Result<(), OfferError> {
    if session.media_descriptions.len() < 2 {
        return Ok(());
    }
    let grouped: Vec<&str> = session_value(session, "group")
        .and_then(|group| group.strip_prefix("BUNDLE"))
        .map(|mids| mids.split_ascii_whitespace().collect())
        .unwrap_or_default();
    let all = session
        .media_descriptions
        .iter()
        .all(|media| value(media, "mid").is_some_and(|mid| grouped.contains(&mid)));
    if all {
        Ok(())
    } else {
        Err(malformed("all media must be in one BUNDLE group"))
    }
}

fn credentials(session: &SessionDescription) -> Result<Credentials, OfferError> {
    let first = session.media_descriptions.first();
    let find = |key: &str| {
        first
            .and_then(|media| value(media, key))
            .or_else(|| session_value(session, key))
            .map(str::to_owned)
    };
    match (find("ice-ufrag"), find("ice-pwd")) {
        (Some(fragment), Some(password)) if !fragment.is_empty() && !password.is_empty() => {
            Ok(Credentials { fragment, password })
        }
        _ => Err(malformed("the ICE credentials are missing")),
    }
}

struct Offered<'a> {
    payload_type: u8,
    codec: &'a str,
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
                codec: about("rtpmap", format)?,
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

fn choose_video(media: &MediaDescription) -> Result<ChosenCodec, OfferError> {
    let codecs = offered(media);
    let rank = |codec: &Offered<'_>| {
        if !codec.codec.eq_ignore_ascii_case("H264/90000")
            || parameter(codec.parameters, "packetization-mode") != Some("1")
        {
            return None;
        }
        // RFC 6184 § 8.1: without the parameter it is baseline, level 1.
        let profile = parameter(codec.parameters, "profile-level-id")
            .unwrap_or("42000a")
            .to_ascii_lowercase();
        H264_PROFILES
            .iter()
            .position(|known| profile.len() == 6 && profile.starts_with(known))
    };
    let best = codecs
        .iter()
        .filter_map(|codec| Some((rank(codec)?, codec)))
        .min_by_key(|(rank, _)| *rank);
    let Some((rank, best)) = best else {
        let names: Vec<String> = codecs.iter().map(|codec| printable(codec.codec)).collect();
        return Err(OfferError::UnsupportedCodec(format!(
            "video must be H.264 with packetization-mode=1 (H264/90000, profiles 42e0, 4200, 4d00, 640c, 6400); offered: {}",
            names.join(", ")
        )));
    };
    let apt = best.payload_type.to_string();
    let retransmission = codecs
        .iter()
        .find(|codec| {
            codec.codec.eq_ignore_ascii_case("rtx/90000")
                && parameter(codec.parameters, "apt") == Some(&apt)
        })
        .map(|codec| codec.payload_type);
    Ok(ChosenCodec {
        payload_type: best.payload_type,
        retransmission,
        parameters: format!(
            "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={}{H264_LEVEL};x-google-start-bitrate={START_BITRATE_KBPS}",
            H264_PROFILES[rank]
        ),
        feedback: feedback(media, best.payload_type, &VIDEO_FEEDBACK),
    })
}

fn choose_audio(media: &MediaDescription) -> Result<ChosenCodec, OfferError> {
    let codecs = offered(media);
    let Some(opus) = codecs
        .iter()
        .find(|codec| codec.codec.eq_ignore_ascii_case("opus/48000/2"))
    else {
        let names: Vec<String> = codecs.iter().map(|codec| printable(codec.codec)).collect();
        return Err(OfferError::UnsupportedCodec(format!(
            "audio must be Opus (opus/48000/2); offered: {}",
            names.join(", ")
        )));
    };
    Ok(ChosenCodec {
        payload_type: opus.payload_type,
        retransmission: None,
        parameters: "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1;maxaveragebitrate=128000"
            .to_owned(),
        feedback: feedback(media, opus.payload_type, &AUDIO_FEEDBACK),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const CHROME_OFFER: &str = include_str!("../fixtures/chrome-offer.sdp");

    #[test]
    fn constrained_baseline_with_its_retransmission_is_chosen_from_chrome() {
        let offer = Offer::parse(CHROME_OFFER).unwrap();

        let video = offer.video.unwrap();
        assert_eq!((video.payload_type, video.retransmission), (108, Some(109)));
        assert!(video.parameters.contains("profile-level-id=42e02a"));
        assert_eq!(
            video.feedback,
            ["goog-remb", "nack", "nack pli", "ccm fir", "transport-cc"]
        );
        assert_eq!(offer.audio.unwrap().payload_type, 111);
    }

    #[test]
    fn an_offer_without_h264_is_told_what_is_supported() {
        let kept: Vec<&str> = CHROME_OFFER
            .lines()
            .filter(|line| !line.contains("H264"))
            .collect();
        let only_vp8 = kept.join(
            "
",
        ) + "
";

        let error = Offer::parse(&only_vp8).err().unwrap();

        assert!(
            matches!(&error, OfferError::UnsupportedCodec(what) if what.contains("VP8/90000")),
            "{error}"
        );
    }

    #[test]
    fn each_broken_rule_has_its_words() {
        let cases = [
            ("a=rtcp-mux\r\n", "", "rtcp-mux is required"),
            ("a=sendonly", "a=recvonly", "must send"),
            ("a=group:BUNDLE 0 1", "a=group:BUNDLE 0", "BUNDLE"),
            ("a=setup:actpass", "a=setup:passive", "setup"),
            ("a=ice-pwd:", "a=x:", "ICE credentials"),
            ("a=fingerprint:", "a=x:", "fingerprint"),
            ("m=video", "m=application", "not supported"),
            ("m=video", "m=audio", "more than one"),
        ];
        for (from, to, words) in cases {
            let offer = CHROME_OFFER
                .replace('\r', "")
                .replace('\n', "\r\n")
                .replace(from, to);
            let error = Offer::parse(&offer)
                .err()
                .unwrap_or_else(|| panic!("{from} -> {to} was accepted"));
            assert!(error.to_string().contains(words), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn an_offer_has_at_most_64_kibibytes() {
        let padding = "a=x-padding:0123456789\r\n".repeat(3000);

        assert!(Offer::parse(&format!("{CHROME_OFFER}{padding}")).is_err());
    }

    proptest! {
        #[test]
        fn damaged_offers_never_panic(position in 0usize..6000, bytes in proptest::collection::vec(any::<u8>(), 0..20), cut in 0usize..6000) {
            let mut offer = CHROME_OFFER.as_bytes().to_vec();
            let position = position % offer.len();
            offer.splice(position..position, bytes);
            offer.truncate(offer.len().saturating_sub(cut));
            if let Ok(offer) = Offer::parse(&String::from_utf8_lossy(&offer)) {
                let _ = offer.for_inner_agent(&Credentials { fragment: "a".into(), password: "b".into() });
            }
        }
    }
}
