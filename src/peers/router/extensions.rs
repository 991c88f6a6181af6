//! Header extensions of a packet by what they mean, whatever ids they came by (RFC 8285). Pure; the bytes are hostile.

use ortc::{
    HeaderExtensionParameters,
    extension::{
        ABSOLUTE_CAPTURE_TIME, ABSOLUTE_SEND_TIME, AUDIO_LEVEL, MID, PLAYOUT_DELAY, REPAIRED_RID,
        RID, TRANSPORT_SEQUENCE,
    },
};

/// How the picture is turned (3GPP TS 26.114). Not among those that the router offers.
pub(crate) const ORIENTATION: &str = "urn:3gpp:video-orientation";

/// The longest name of a layer or a section that is looked at, in bytes.
const LONGEST_NAME: usize = 32;
/// RFC 8285 § 4.2.
const ONE_BYTE_PROFILE: u16 = 0xbede;
/// RFC 8285 § 4.3, without the four bits that are the application's.
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// What a packet carried that its receivers are to get too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// RFC 6464: the loudness in the lower seven bits, whether it is voice in the highest.
    pub(crate) audio_level: Option<u8>,
    /// 3GPP TS 26.114: how the picture is turned.
    pub(crate) orientation: Option<u8>,
    /// The least and most delay of playing, 12 bits each.
    pub(crate) playout_delay: Option<[u8; 3]>,
    /// When it was captured by the sender's clock, as it came; the offset behind it, if it came too.
    pub(crate) capture_time: Option<([u8; 8], Option<[u8; 8]>)>,
    /// When the sender gave it to the network, in units of 2^-18 s, 24 bits.
    pub(crate) send_time: Option<u32>,
}

/// What tells whose a packet is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Labels<'a> {
    /// The section of SDP.
    pub(crate) mid: Option<&'a str>,
    /// The layer.
    pub(crate) stream: Option<&'a str>,
    /// The layer that the packet repeats.
    pub(crate) repaired: Option<&'a str>,
    /// The packet's number on its transport.
    pub(crate) transport_sequence: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Mid,
    Stream,
    Repaired,
    AudioLevel,
    Orientation,
    PlayoutDelay,
    CaptureTime,
    SendTime,
    TransportSequence,
}

/// What the ids of one transport mean.
#[derive(Debug, Default)]
pub(crate) struct ExtensionIds {
    meanings: Vec<(u8, Meaning)>,
}

impl ExtensionIds {
    /// Learns more ids; all sections of a transport share them. One that had another meaning has the new one.
    pub(crate) fn learn(&mut self, parameters: &[HeaderExtensionParameters]) {
        for parameter in parameters {
            let Some(meaning) = meaning(&parameter.uri) else {
                continue;
            };
            self.meanings.retain(|(id, _)| *id != parameter.id);
            self.meanings.push((parameter.id, meaning));
        }
    }

    /// Reads the extensions of a packet. `profile` and `elements` are as in the header; what is damaged is left out.
    pub(crate) fn read<'a>(&self, profile: u16, elements: &'a [u8]) -> (Extensions, Labels<'a>) {
        let mut extensions = Extensions::default();
        let mut labels = Labels::default();
        for (id, value) in Elements::new(profile, elements) {
            let known = self.meanings.iter().find(|(known, _)| *known == id);
            let Some((_, meaning)) = known else { continue };
            match meaning {
                Meaning::Mid => labels.mid = name(value),
                Meaning::Stream => labels.stream = name(value),
                Meaning::Repaired => labels.repaired = name(value),
                Meaning::AudioLevel => extensions.audio_level = value.first().copied(),
                Meaning::Orientation => extensions.orientation = value.first().copied(),
                Meaning::PlayoutDelay => extensions.playout_delay = value.try_into().ok(),
                Meaning::CaptureTime => extensions.capture_time = capture_time(value),
                Meaning::SendTime => {
                    if let [a, b, c] = value {
                        extensions.send_time = Some(u32::from_be_bytes([0, *a, *b, *c]));
                    }
                }
                Meaning::TransportSequence => {
                    labels.transport_sequence = value.try_into().ok().map(u16::from_be_bytes);
                }
            }
        }
        (extensions, labels)
    }
}

fn meaning(uri: &str) -> Option<Meaning> {
    Some(match uri {
        MID => Meaning::Mid,
        RID => Meaning::Stream,
        REPAIRED_RID => Meaning::Repaired,
        AUDIO_LEVEL => Meaning::AudioLevel,
        ORIENTATION => Meaning::Orientation,
        PLAYOUT_DELAY => Meaning::PlayoutDelay,
        ABSOLUTE_CAPTURE_TIME => Meaning::CaptureTime,
        ABSOLUTE_SEND_TIME => Meaning::SendTime,
        TRANSPORT_SEQUENCE => Meaning::TransportSequence,
        _ => return None,
    })
}

fn name(value: &[u8]) -> Option<&str> {
    // Some senders pad names with zeros.
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    let text = std::str::from_utf8(&value[..end]).ok()?;
    (!text.is_empty() && text.len() <= LONGEST_NAME).then_some(text)
}

fn capture_time(value: &[u8]) -> Option<([u8; 8], Option<[u8; 8]>)> {
    let (time, offset) = value.split_first_chunk::<8>()?;
    Some((*time, offset.try_into().ok()))
}

/// Walks over the elements of both forms.
struct Elements<'a> {
    long: bool,
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    fn new(profile: u16, elements: &'a [u8]) -> Self {
        let long = profile & 0xfff0 == TWO_BYTE_PROFILE;
        let known = long || profile == ONE_BYTE_PROFILE;
        Self {
            long,
            rest: if known { elements } else { &[] },
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const PADDING: u8 = 0;
        /// RFC 8285 § 4.2: nothing after it is to be read.
        const STOP: u8 = 15;
        loop {
            let (&first, behind) = self.rest.split_first()?;
            if first == PADDING {
                self.rest = behind;
                continue;
            }
            let (id, length, behind) = if self.long {
                let (&length, behind) = behind.split_first()?;
                (first, usize::from(length), behind)
            } else {
                (first >> 4, usize::from(first & 0x0f) + 1, behind)
            };
            if !self.long && id == STOP {
                return None;
            }
            let (value, rest) = behind.split_at_checked(length)?;
            self.rest = rest;
            return Some((id, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(uris: &[(u8, &str)]) -> ExtensionIds {
        let parameters: Vec<_> = uris
            .iter()
            .map(|(id, uri)| HeaderExtensionParameters {
                uri: (*uri).to_owned(),
                id: *id,
                encrypt: false,
                parameters: ortc::Fmtp::default(),
            })
            .collect();
        let mut ids = ExtensionIds::default();
        ids.learn(&parameters);
        ids
    }

    fn all() -> ExtensionIds {
        ids(&[
            (1, MID),
            (2, RID),
            (3, REPAIRED_RID),
            (4, ABSOLUTE_SEND_TIME),
            (5, TRANSPORT_SEQUENCE),
            (6, AUDIO_LEVEL),
            (7, ORIENTATION),
            (8, PLAYOUT_DELAY),
            (9, ABSOLUTE_CAPTURE_TIME),
        ])
    }

    #[test]
    fn the_short_form_is_read() {
        let elements = [
            0x10, b'0', // mid
            0x42, 1, 2, 3, // send time
            0, 0, // padding
            0x51, 0xab, 0xcd, // transport sequence
            0x60, 0x85, // audio level
            0x97, 1, 2, 3, 4, 5, 6, 7, 8, // capture time
            0xd0, 9, // unknown
        ];

        let (extensions, labels) = all().read(ONE_BYTE_PROFILE, &elements);

        assert_eq!(labels.mid, Some("0"));
        assert_eq!(labels.transport_sequence, Some(0xabcd));
        assert_eq!(
            extensions,
            Extensions {
                audio_level: Some(0x85),
                send_time: Some(0x01_02_03),
                capture_time: Some(([1, 2, 3, 4, 5, 6, 7, 8], None)),
                ..Extensions::default()
            }
        );
    }

    #[test]
    fn the_long_form_is_read() {
        let elements = [
            2, 1, b'h', 3, 1, b'h', 0, 7, 1, 3, 8, 3, 0, 0x10, 0x20, 5, 0,
        ];

        let (extensions, labels) = all().read(TWO_BYTE_PROFILE | 5, &elements);

        assert_eq!((labels.stream, labels.repaired), (Some("h"), Some("h")));
        assert_eq!(labels.transport_sequence, None, "of no length");
        assert_eq!(extensions.orientation, Some(3));
        assert_eq!(extensions.playout_delay, Some([0, 0x10, 0x20]));
    }

    #[test]
    fn what_is_cut_off_or_of_another_profile_is_left_out() {
        let elements = [0x10, b'0', 0x51, 0xab];
        assert_eq!(
            all().read(ONE_BYTE_PROFILE, &elements).1,
            Labels {
                mid: Some("0"),
                ..Labels::default()
            }
        );
        assert_eq!(all().read(0x1234, &elements).1, Labels::default());
        let stopped = [0xf0, 0x10, b'0'];
        assert_eq!(all().read(ONE_BYTE_PROFILE, &stopped).1, Labels::default());
    }

    #[test]
    fn an_id_means_what_it_was_told_to_mean_last() {
        let mut known = ids(&[(1, MID)]);
        known.learn(&[HeaderExtensionParameters {
            uri: AUDIO_LEVEL.to_owned(),
            id: 1,
            encrypt: false,
            parameters: ortc::Fmtp::default(),
        }]);

        let (extensions, labels) = known.read(ONE_BYTE_PROFILE, &[0x10, 0x41]);

        assert_eq!((extensions.audio_level, labels.mid), (Some(0x41), None));
    }

    proptest! {
        #[test]
        fn hostile_elements_never_panic(elements in prop::collection::vec(any::<u8>(), 0..80), long: bool) {
            let profile = if long { TWO_BYTE_PROFILE } else { ONE_BYTE_PROFILE };
            let (_, labels) = all().read(profile, &elements);
            prop_assert!(labels.mid.is_none_or(|mid| mid.len() <= LONGEST_NAME));
        }
    }
}
