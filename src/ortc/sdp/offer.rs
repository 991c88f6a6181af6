//! Reads an offer.

use super::media::Gathered;
use super::{Section, SectionDirection};
use crate::error::{malformed, unsupported};
use crate::validation::validate_mid;
use crate::{DtlsFingerprint, DtlsParameters, DtlsRole, IceParameters, MediaKind, OrtcError};

/// The longest offer, in bytes: a browser's section with all its codecs has 3.5 KiB, and a room has 64 of them at most.
pub const MAX_SDP_BYTES: usize = 256 * 1024;
/// Sections of an offer, those counted that nobody can use.
pub const MAX_SECTIONS: usize = 64;

/// What a client offers.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// What can be answered, in the offer's order.
    pub sections: Vec<Section>,
    /// The client's ICE. An ICE-lite agent does not need it.
    pub ice: IceParameters,
    /// The client's certificate.
    pub dtls: DtlsParameters,
    /// All media lines in order, also those that can only be refused.
    pub(super) lines: Vec<MediaLine>,
    pub(super) allows_mixed_extensions: bool,
}

impl Offer {
    /// The section of this name.
    pub fn section(&self, mid: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.mid == mid)
    }
}

/// A media line, to be said again in the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MediaLine {
    pub(super) mid: Option<String>,
    pub(super) media: String,
    pub(super) protocol: String,
    pub(super) formats: String,
}

/// What all sections of a bundle share. It may stand in the session or in each section.
#[derive(Debug, Clone, Default)]
struct Shared<'a> {
    fragment: Option<&'a str>,
    password: Option<&'a str>,
    fingerprints: Vec<DtlsFingerprint>,
    setup: Option<&'a str>,
    is_ice_lite: bool,
}

impl<'a> Shared<'a> {
    fn take(&mut self, name: &str, value: &'a str) -> Result<(), OrtcError> {
        match name {
            "ice-ufrag" => self.fragment = Some(value),
            "ice-pwd" => self.password = Some(value),
            "ice-lite" => self.is_ice_lite = true,
            "setup" => self.setup = Some(value),
            "fingerprint" => {
                let (algorithm, hash) = value
                    .split_once(' ')
                    .ok_or_else(|| malformed("invalid a=fingerprint"))?;
                self.fingerprints.push(DtlsFingerprint {
                    algorithm: algorithm.to_owned(),
                    value: hash.trim().to_owned(),
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// What a section says goes before what the session says.
    fn or(self, session: &Self) -> Self {
        Self {
            fragment: self.fragment.or(session.fragment),
            password: self.password.or(session.password),
            fingerprints: if self.fingerprints.is_empty() {
                session.fingerprints.clone()
            } else {
                self.fingerprints
            },
            setup: self.setup.or(session.setup),
            is_ice_lite: self.is_ice_lite || session.is_ice_lite,
        }
    }

    fn ice(&self) -> Result<IceParameters, OrtcError> {
        let credential = |text: Option<&str>, shortest: usize| {
            text.filter(|text| (shortest..=256).contains(&text.len()))
                .filter(|text| text.bytes().all(is_ice_byte))
                .map(str::to_owned)
                .ok_or_else(|| malformed("the offer has no valid ICE credentials"))
        };
        Ok(IceParameters {
            username_fragment: credential(self.fragment, 4)?,
            password: credential(self.password, 22)?,
            ice_lite: self.is_ice_lite,
        })
    }

    fn dtls(&self) -> Result<DtlsParameters, OrtcError> {
        let role = match self.setup {
            Some("actpass") | None => DtlsRole::Auto,
            Some("active") => DtlsRole::Client,
            Some("passive") => DtlsRole::Server,
            Some(_) => return Err(malformed("invalid a=setup")),
        };
        let parameters = DtlsParameters {
            role,
            fingerprints: self.fingerprints.clone(),
        };
        parameters.validate()?;
        Ok(parameters)
    }
}

/// RFC 8839 § 5.4.
fn is_ice_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

/// Reads an offer of a WebRTC client.
///
/// Sections that are neither sound nor pictures, that are refused already (port 0) or not in the bundle, and whose codecs
/// are not told, are not among [`Offer::sections`]; [`answer`](super::answer()) refuses them.
///
/// # Errors
///
/// [`OrtcError::Malformed`] when it is no offer, when it breaks a bound, or when two sections have one name;
/// [`OrtcError::Unsupported`] when RTCP has a port of its own, when the client waits for the DTLS handshake or its
/// certificate's hash is weak, and when the client is an ICE-lite agent as we are.
pub fn parse_offer(sdp: &str) -> Result<Offer, OrtcError> {
    if sdp.len() > MAX_SDP_BYTES {
        return Err(malformed(format!(
            "an offer of more than {MAX_SDP_BYTES} bytes"
        )));
    }
    let mut blocks = blocks(sdp)?;
    let session = Session::of(&blocks.remove(0))?;
    if blocks.is_empty() {
        return Err(malformed("an offer without sections"));
    }

    let mut offer = Offer {
        sections: Vec::new(),
        ice: IceParameters {
            username_fragment: String::new(),
            password: String::new(),
            ice_lite: false,
        },
        dtls: DtlsParameters {
            role: DtlsRole::Auto,
            fingerprints: Vec::new(),
        },
        lines: Vec::new(),
        allows_mixed_extensions: session.allows_mixed_extensions,
    };
    let is_alone = blocks.len() == 1;
    let mut shared = None;
    for block in &blocks {
        let mut read = read_section(block, &session)?;
        offer.allows_mixed_extensions |= read.allows_mixed_extensions;
        if let Some(mid) = &read.line.mid
            && offer
                .lines
                .iter()
                .any(|line| line.mid.as_ref() == Some(mid))
        {
            return Err(malformed("two sections of one name"));
        }
        let is_bundled = read
            .line
            .mid
            .as_deref()
            .is_some_and(|mid| session.bundle.contains(&mid));
        if is_bundled || is_alone {
            offer.sections.extend(read.section.take());
            shared.get_or_insert(read.shared);
        }
        offer.lines.push(read.line);
    }
    let shared = shared.ok_or_else(|| unsupported("sections without a bundle"))?;
    if shared.is_ice_lite {
        return Err(unsupported("an ICE-lite client"));
    }
    offer.ice = shared.ice()?;
    offer.dtls = shared.dtls()?;
    Ok(offer)
}

/// What stands before the first section.
#[derive(Debug, Default)]
struct Session<'a> {
    bundle: Vec<&'a str>,
    shared: Shared<'a>,
    direction: Option<SectionDirection>,
    allows_mixed_extensions: bool,
}

impl<'a> Session<'a> {
    fn of(lines: &[(&'a str, &'a str)]) -> Result<Self, OrtcError> {
        let mut session = Self::default();
        for (name, value) in lines {
            match *name {
                "group" => {
                    if let Some(mids) = value.strip_prefix("BUNDLE")
                        && session.bundle.is_empty()
                    {
                        session.bundle = mids.split_whitespace().collect();
                    }
                }
                "sendrecv" => session.direction = Some(SectionDirection::SendReceive),
                "sendonly" => session.direction = Some(SectionDirection::Send),
                "recvonly" => session.direction = Some(SectionDirection::Receive),
                "inactive" => session.direction = Some(SectionDirection::Inactive),
                "extmap-allow-mixed" => session.allows_mixed_extensions = true,
                _ => session.shared.take(name, value)?,
            }
        }
        Ok(session)
    }
}

struct ReadSection<'a> {
    line: MediaLine,
    section: Option<Section>,
    shared: Shared<'a>,
    allows_mixed_extensions: bool,
}

fn read_section<'a>(
    block: &[(&'a str, &'a str)],
    session: &Session<'a>,
) -> Result<ReadSection<'a>, OrtcError> {
    let (_, media_line) = block.first().ok_or_else(|| malformed("an empty section"))?;
    let mut words = media_line.splitn(4, ' ');
    let mut word = || words.next().ok_or_else(|| malformed("invalid m="));
    let (media, port, protocol) = (word()?, word()?, word()?);
    let formats = words.next().unwrap_or_default();
    let mut shared = Shared::default();
    let mut gathered = Gathered::of(formats)?;
    let mut mid = None;
    let mut is_bundle_only = false;
    let mut has_rtcp_mux = false;
    let mut allows_mixed_extensions = false;
    for (name, value) in &block[1..] {
        match *name {
            "mid" => {
                validate_mid(value)?;
                mid = Some(*value);
            }
            "bundle-only" => is_bundle_only = true,
            "rtcp-mux" => has_rtcp_mux = true,
            "extmap-allow-mixed" => allows_mixed_extensions = true,
            _ => {
                shared.take(name, value)?;
                gathered.take(name, value)?;
            }
        }
    }
    let kind = match media {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(MediaKind::Video),
        _ => None,
    };
    let is_used = (port != "0" || is_bundle_only) && protocol.ends_with("/SAVPF");
    let mut section = None;
    if let (Some(kind), Some(mid), true) = (kind, mid, is_used) {
        if !has_rtcp_mux {
            return Err(unsupported("RTCP on a port of its own"));
        }
        section = gathered.section(mid, kind, session.direction)?;
    }
    Ok(ReadSection {
        line: MediaLine {
            mid: mid.map(str::to_owned),
            media: media.to_owned(),
            protocol: protocol.to_owned(),
            formats: formats.to_owned(),
        },
        section,
        shared: shared.or(&session.shared),
        allows_mixed_extensions,
    })
}

/// Attributes by name and value: first those of the session, then of each section, whose first is its media line.
fn blocks(sdp: &str) -> Result<Vec<Vec<(&str, &str)>>, OrtcError> {
    let mut blocks = vec![Vec::new()];
    let mut lines = sdp.lines().filter(|line| !line.is_empty());
    if lines.next() != Some("v=0") {
        return Err(malformed("an offer that does not begin with v=0"));
    }
    for line in lines {
        let Some((kind, text)) = line.split_once('=') else {
            return Err(malformed("a line of the offer without a ="));
        };
        if line.chars().any(char::is_control) {
            return Err(malformed("a control character in the offer"));
        }
        match kind {
            "m" => {
                if blocks.len() > MAX_SECTIONS {
                    return Err(malformed(format!("more than {MAX_SECTIONS} sections")));
                }
                blocks.push(vec![("", text)]);
            }
            "a" => {
                let attribute = text.split_once(':').unwrap_or((text, ""));
                if let Some(block) = blocks.last_mut() {
                    block.push(attribute);
                }
            }
            _ => {}
        }
    }
    Ok(blocks)
}
