//! An SDP offer: what it may be (RFC 9725 § 4.2), and how the inner agent gets it.

use std::io::Cursor;

use media::VideoCodec;
use rtc::sdp::{MediaDescription, SessionDescription};

use super::codecs::{self, ChosenCodec, ChosenVideo};
use crate::{OfferError, door::stun::Credentials};

/// The longest offer, in bytes. Chrome's has about 6,000.
const LONGEST_OFFER: usize = 64 * 1024;
const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Who offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// It sends (RFC 9725 § 4.2), in one codec, which we choose.
    Studio,
    /// It receives (draft-ietf-wish-whep), and gets every codec that it knows, for studios change.
    Viewer,
}

/// A checked offer.
#[derive(Debug)]
pub(crate) struct Offer {
    /// Of a studio's offer exactly one, if it has pictures; of a viewer's all we know, best first.
    pub(crate) video: Vec<ChosenVideo>,
    pub(crate) audio: Option<ChosenCodec>,
    /// The studio's ICE credentials.
    pub(crate) remote: Credentials,
    side: Side,
    session: SessionDescription,
}

impl Offer {
    /// Parses and checks an offer. Of its video codecs those in `accepts` count, the first being the best.
    pub(crate) fn parse(
        text: &str,
        side: Side,
        accepts: &[VideoCodec],
    ) -> Result<Self, OfferError> {
        if text.len() > LONGEST_OFFER {
            return Err(malformed("it is longer than 64 KiB"));
        }
        let session = SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
            .map_err(|error| malformed(&format!("it is not SDP ({error})")))?;
        let (mut video, mut audio) = (Vec::new(), None);
        for media in &session.media_descriptions {
            check_section(&session, media, side)?;
            match media.media_name.media.as_str() {
                "video" if video.is_empty() => video = codecs::choose_video(media, side, accepts)?,
                "audio" if audio.is_none() => audio = Some(codecs::choose_audio(media, side)?),
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
        if video.is_empty() && audio.is_none() {
            return Err(malformed("it has no media"));
        }
        check_bundle(&session)?;
        let remote = credentials(&session)?;
        Ok(Self {
            video,
            audio,
            remote,
            side,
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
        let chosen: Vec<&ChosenCodec> = if kind == "video" {
            self.video.iter().map(|video| &video.line).collect()
        } else {
            self.audio.iter().collect()
        };
        let numbers: Vec<String> = chosen
            .iter()
            .flat_map(|codec| [Some(codec.payload_type), codec.retransmission])
            .flatten()
            .map(|number| number.to_string())
            .collect();
        lines.push(format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {}",
            numbers.join(" ")
        ));
        lines.push("c=IN IP4 0.0.0.0".to_owned());
        lines.push(format!("a=ice-ufrag:{}", stub.fragment));
        lines.push(format!("a=ice-pwd:{}", stub.password));
        for key in ["fingerprint", "setup"] {
            if let Some(value) = value(media, key).or_else(|| session_value(&self.session, key)) {
                lines.push(format!("a={key}:{value}"));
            }
        }
        lines.push(match self.side {
            Side::Studio => "a=sendonly".to_owned(),
            Side::Viewer => "a=recvonly".to_owned(),
        });
        lines.push("a=rtcp-mux".to_owned());
        for attribute in &media.attributes {
            let text = attribute.value.as_deref().unwrap_or_default();
            let keep = match attribute.key.as_str() {
                "mid" => true,
                "ssrc" | "ssrc-group" | "msid" => self.side == Side::Studio,
                "extmap" => self.side == Side::Studio && text.ends_with(TRANSPORT_CC),
                _ => false,
            };
            if keep {
                lines.push(format!("a={}:{text}", attribute.key));
            }
        }
        for codec in chosen {
            codec.describe(lines);
        }
    }
}

fn malformed(what: &str) -> OfferError {
    OfferError::Malformed(what.to_owned())
}

pub(super) fn printable(text: &str) -> String {
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

fn check_section(
    session: &SessionDescription,
    media: &MediaDescription,
    side: Side,
) -> Result<(), OfferError> {
    if media.media_name.port.value == 0 && !media.has_attribute("bundle-only") {
        return Err(malformed("a media section is switched off (port 0)"));
    }
    if value(media, "mid").is_none_or(str::is_empty) {
        return Err(malformed("a media section has no mid"));
    }
    if !media.has_attribute("rtcp-mux") {
        return Err(malformed("rtcp-mux is required"));
    }
    let (idle, rule) = match side {
        Side::Studio => ("recvonly", "the studio must send (sendonly)"),
        Side::Viewer => ("sendonly", "the viewer must receive (recvonly)"),
    };
    if media.has_attribute(idle) || media.has_attribute("inactive") {
        return Err(malformed(rule));
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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) const CHROME_OFFER: &str = include_str!("../fixtures/chrome-offer.sdp");

    fn studio(text: &str) -> Result<Offer, OfferError> {
        Offer::parse(text, Side::Studio, &VideoCodec::ALL)
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
            let error = studio(&offer)
                .err()
                .unwrap_or_else(|| panic!("{from} -> {to} was accepted"));
            assert!(error.to_string().contains(words), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn an_offer_has_at_most_64_kibibytes() {
        let padding = "a=x-padding:0123456789\r\n".repeat(3000);

        assert!(studio(&format!("{CHROME_OFFER}{padding}")).is_err());
    }

    proptest! {
        #[test]
        fn damaged_offers_never_panic(position in 0usize..6000, bytes in proptest::collection::vec(any::<u8>(), 0..20), cut in 0usize..6000) {
            let mut offer = CHROME_OFFER.as_bytes().to_vec();
            let position = position % offer.len();
            offer.splice(position..position, bytes);
            offer.truncate(offer.len().saturating_sub(cut));
            if let Ok(offer) = studio(&String::from_utf8_lossy(&offer)) {
                let _ = offer.for_inner_agent(&Credentials { fragment: "a".into(), password: "b".into() });
            }
        }
    }
}
