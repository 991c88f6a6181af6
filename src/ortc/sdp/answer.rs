//! Writes an answer.

use std::fmt::{self, Write};

use super::attribute::format_fmtp;
use super::offer::MediaLine;
use super::{Offer, Section};
use crate::error::malformed;
use crate::{
    CodecParameters, DtlsParameters, ExtensionDirection, HeaderExtensionParameters, IceCandidate,
    IceParameters, IceProtocol, OrtcError, RtpParameters, extension,
};

/// Our side of the transport that answers.
#[derive(Debug, Clone, Copy)]
pub struct AnsweringTransport<'a> {
    /// Our credentials.
    pub ice: &'a IceParameters,
    /// Where we are.
    pub candidates: &'a [IceCandidate],
    /// Our certificate. We wait for the handshake.
    pub dtls: &'a DtlsParameters,
    /// Names the session in all its answers (RFC 8866 § 5.2).
    pub session: u64,
    /// Grows with each answer of the session.
    pub version: u64,
}

/// What a section is agreed to carry.
#[derive(Debug, Clone, Copy)]
pub enum Agreed<'a> {
    /// The client sends it so ([`negotiate`](super::negotiate)).
    ClientSends(&'a RtpParameters),
    /// The client gets it so: one encoding, by payload types that it offered ([`Section::capabilities`]).
    ClientReceives(&'a RtpParameters),
}

/// Answers `offer` with these sections; those that are not named are refused.
///
/// # Errors
///
/// [`OrtcError::Malformed`] when a section is named that cannot be answered, when parameters break a rule, and when a
/// section is to go in a direction, or by a payload type, that was not offered.
pub fn answer(
    offer: &Offer,
    transport: &AnsweringTransport<'_>,
    agreed: &[(&str, Agreed<'_>)],
) -> Result<String, OrtcError> {
    for (mid, agreed) in agreed {
        let section = offer
            .section(mid)
            .ok_or_else(|| malformed(format!("the offer has no section {mid}")))?;
        check(section, agreed)?;
    }
    let mut text = String::new();
    write_all(&mut text, offer, transport, agreed)
        .map_err(|fmt::Error| malformed("the answer cannot be written"))?;
    Ok(text)
}

fn check(section: &Section, agreed: &Agreed<'_>) -> Result<(), OrtcError> {
    let (parameters, is_offered) = match agreed {
        Agreed::ClientSends(sent) => (sent, section.direction.sends()),
        Agreed::ClientReceives(received) => (received, section.direction.receives()),
    };
    parameters.validate_as(section.kind)?;
    if !is_offered {
        return Err(malformed("a section is answered in another direction"));
    }
    let is_known = |codec: &CodecParameters| {
        section.rtp.codecs.iter().any(|offered| {
            offered.payload_type == codec.payload_type
                && offered.mime_type.eq_ignore_ascii_case(&codec.mime_type)
        })
    };
    if parameters.codecs.iter().all(is_known) {
        Ok(())
    } else {
        Err(malformed("a section is answered with other payload types"))
    }
}

fn write_all(
    text: &mut String,
    offer: &Offer,
    transport: &AnsweringTransport<'_>,
    agreed: &[(&str, Agreed<'_>)],
) -> fmt::Result {
    let agreed_of = |mid: &str| {
        agreed
            .iter()
            .find(|(known, _)| *known == mid)
            .map(|(_, agreed)| agreed)
    };
    write!(
        text,
        "v=0\r\no=- {} {} IN IP4 0.0.0.0\r\n",
        transport.session, transport.version
    )?;
    text.push_str("s=-\r\nt=0 0\r\na=ice-lite\r\n");
    let bundle: Vec<&str> = offer
        .lines
        .iter()
        .filter_map(|line| line.mid.as_deref())
        .filter(|mid| agreed_of(mid).is_some())
        .collect();
    if !bundle.is_empty() {
        write!(text, "a=group:BUNDLE {}\r\n", bundle.join(" "))?;
    }
    if offer.allows_mixed_extensions {
        text.push_str("a=extmap-allow-mixed\r\n");
    }
    text.push_str("a=msid-semantic: WMS *\r\n");
    for line in &offer.lines {
        let found = line.mid.as_deref().and_then(|mid| {
            let section = offer.section(mid)?;
            Some((section, agreed_of(mid)?))
        });
        match found {
            Some((section, agreed)) => write_section(text, line, section, agreed, transport)?,
            None => write_refused(text, line)?,
        }
    }
    Ok(())
}

fn write_refused(text: &mut String, line: &MediaLine) -> fmt::Result {
    write!(
        text,
        "m={} 0 {} {}\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n",
        line.media, line.protocol, line.formats
    )?;
    if let Some(mid) = &line.mid {
        write!(text, "a=mid:{mid}\r\n")?;
    }
    Ok(())
}

fn write_section(
    text: &mut String,
    line: &MediaLine,
    section: &Section,
    agreed: &Agreed<'_>,
    transport: &AnsweringTransport<'_>,
) -> fmt::Result {
    let (parameters, direction) = match agreed {
        Agreed::ClientSends(sent) => (*sent, "recvonly"),
        Agreed::ClientReceives(received) => (*received, "sendonly"),
    };
    write!(text, "m={} 9 {}", line.media, line.protocol)?;
    for codec in &parameters.codecs {
        write!(text, " {}", codec.payload_type)?;
    }
    text.push_str("\r\nc=IN IP4 0.0.0.0\r\n");
    write_transport(text, transport)?;
    write!(text, "a=mid:{}\r\n", section.mid)?;
    for extension in &parameters.header_extensions {
        write_extension(text, section, extension)?;
    }
    write!(text, "a={direction}\r\na=rtcp-mux\r\n")?;
    if parameters.rtcp.reduced_size == Some(true) {
        text.push_str("a=rtcp-rsize\r\n");
    }
    let is_transport_wide = parameters
        .header_extensions
        .iter()
        .any(|known| known.uri == extension::TRANSPORT_SEQUENCE);
    for codec in &parameters.codecs {
        write_codec(text, codec, is_transport_wide)?;
    }
    match agreed {
        Agreed::ClientSends(sent) => write_layers(text, sent),
        Agreed::ClientReceives(received) => write_streams(text, received),
    }
}

fn write_transport(text: &mut String, transport: &AnsweringTransport<'_>) -> fmt::Result {
    write!(
        text,
        "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n",
        transport.ice.username_fragment, transport.ice.password
    )?;
    for candidate in transport.candidates {
        let (protocol, kind) = match candidate.protocol {
            IceProtocol::Udp => ("udp", ""),
            IceProtocol::Tcp => ("tcp", " tcptype passive"),
        };
        write!(
            text,
            "a=candidate:{} 1 {protocol} {} {} {} typ host{kind}\r\n",
            candidate.foundation, candidate.priority, candidate.address, candidate.port
        )?;
    }
    text.push_str("a=end-of-candidates\r\n");
    for fingerprint in &transport.dtls.fingerprints {
        write!(
            text,
            "a=fingerprint:{} {}\r\n",
            fingerprint.algorithm, fingerprint.value
        )?;
    }
    text.push_str("a=setup:passive\r\n");
    Ok(())
}

/// What the client only sends we only receive, and the other way round (RFC 8285 § 6).
fn write_extension(
    text: &mut String,
    section: &Section,
    extension: &HeaderExtensionParameters,
) -> fmt::Result {
    let direction = match section.extension_direction(extension.id) {
        ExtensionDirection::Sendonly => "/recvonly",
        ExtensionDirection::Recvonly => "/sendonly",
        ExtensionDirection::Sendrecv | ExtensionDirection::Inactive => "",
    };
    write!(
        text,
        "a=extmap:{}{direction} {}\r\n",
        extension.id, extension.uri
    )
}

/// With transport-wide feedback, REMB is not asked for: a client that has both would limit itself by both.
fn write_codec(text: &mut String, codec: &CodecParameters, is_transport_wide: bool) -> fmt::Result {
    let CodecParameters {
        payload_type,
        clock_rate,
        mime_type,
        ..
    } = codec;
    let name = mime_type.split_once('/').map_or("", |(_, name)| name);
    write!(text, "a=rtpmap:{payload_type} {name}/{clock_rate}")?;
    if let Some(channels) = codec.channels.filter(|channels| *channels > 1) {
        write!(text, "/{channels}")?;
    }
    text.push_str("\r\n");
    for feedback in &codec.rtcp_feedback {
        if is_transport_wide && feedback.kind == "goog-remb" {
            continue;
        }
        write!(text, "a=rtcp-fb:{payload_type} {}", feedback.kind)?;
        if !feedback.parameter.is_empty() {
            write!(text, " {}", feedback.parameter)?;
        }
        text.push_str("\r\n");
    }
    let fmtp = format_fmtp(&codec.parameters);
    if !fmtp.is_empty() {
        write!(text, "a=fmtp:{payload_type} {fmtp}\r\n")?;
    }
    Ok(())
}

fn write_layers(text: &mut String, sent: &RtpParameters) -> fmt::Result {
    let rids: Vec<&str> = sent
        .encodings
        .iter()
        .filter_map(|encoding| encoding.rid.as_deref())
        .collect();
    for rid in &rids {
        write!(text, "a=rid:{rid} recv\r\n")?;
    }
    if !rids.is_empty() {
        write!(text, "a=simulcast:recv {}\r\n", rids.join(";"))?;
    }
    Ok(())
}

fn write_streams(text: &mut String, received: &RtpParameters) -> fmt::Result {
    let cname = received.rtcp.cname.as_deref().unwrap_or_default();
    if let Some(msid) = &received.msid {
        write!(text, "a=msid:{msid}\r\n")?;
    }
    for encoding in &received.encodings {
        let Some(ssrc) = encoding.ssrc else {
            continue;
        };
        if let Some(rtx) = encoding.rtx {
            write!(text, "a=ssrc-group:FID {ssrc} {}\r\n", rtx.ssrc)?;
        }
        for ssrc in std::iter::once(ssrc).chain(encoding.rtx.map(|rtx| rtx.ssrc)) {
            write!(text, "a=ssrc:{ssrc} cname:{cname}\r\n")?;
        }
    }
    Ok(())
}
