//! What the child answers, checked as if a stranger had sent it: a hostile upload may have taken the child over.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use media::{CodecConfig, StandIn, StandInPicture};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Geometry, SlateError};
use crate::path::video_config;

/// The most bytes of a whole slate.
const TOTAL_LIMIT_BYTES: usize = 32 * 1024 * 1024;

/// The most bytes of one picture; a keyframe of 4096 lines has about 1 MB.
const PICTURE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of a parameter set.
const PARAMETERS_LIMIT_BYTES: usize = 1_024;

/// The most bytes of an Opus packet of one frame (RFC 6716 § 3.2.1), and its first byte.
const SOUND_LIMIT_BYTES: usize = 1_276;

/// The most bytes of the name of an element.
const NAME_LIMIT_BYTES: usize = 64;

/// The longest loop of pictures in seconds.
pub(super) const LOOP_SECONDS: u16 = 60;

/// The longest loop of sound, in packets of 20 ms: ten minutes.
pub(super) const SOUND_LIMIT_PACKETS: usize = 10 * 60 * 50;

/// What each record of the answer begins with.
pub(super) mod tag {
    /// A sequence parameter set.
    pub(in crate::slate) const SEQUENCE: u8 = 1;
    /// A picture parameter set.
    pub(in crate::slate) const PICTURE_SET: u8 = 2;
    /// A picture: NAL units behind 4-byte lengths.
    pub(in crate::slate) const PICTURE: u8 = 3;
    /// An Opus packet.
    pub(in crate::slate) const SOUND: u8 = 4;
    /// All is well and this is the end.
    pub(in crate::slate) const DONE: u8 = 5;
    /// The upload is no picture.
    pub(in crate::slate) const INVALID_PICTURE: u8 = 6;
    /// The upload is no music.
    pub(in crate::slate) const INVALID_MUSIC: u8 = 7;
    /// An element is missing; its name.
    pub(in crate::slate) const MISSING: u8 = 8;
    /// Coding failed for no reason of the upload's.
    pub(in crate::slate) const FAILED: u8 = 9;
}

/// Reads the whole answer.
pub(super) async fn read(
    mut answer: impl AsyncRead + Unpin,
    geometry: Geometry,
) -> Result<StandIn, SlateError> {
    let mut slate = Collected::new(geometry);
    loop {
        // An end before `DONE` is an end too soon.
        let mut head = [0; 5];
        read_exact(&mut answer, &mut head).await?;
        let [tag, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        slate.make_room(tag, length)?;
        let mut body = vec![0; length];
        read_exact(&mut answer, &mut body).await?;
        if slate.take(tag, body.into())? {
            return slate.finish();
        }
    }
}

async fn read_exact(
    answer: &mut (impl AsyncRead + Unpin),
    bytes: &mut [u8],
) -> Result<(), SlateError> {
    match answer.read_exact(bytes).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(SlateError::Crashed),
        Err(error) => Err(SlateError::Process(error.kind())),
    }
}

/// The slate as far as it has come.
struct Collected {
    geometry: Geometry,
    sequence: Option<Bytes>,
    picture_set: Option<Bytes>,
    pictures: Vec<StandInPicture>,
    sound: Vec<Bytes>,
    total_bytes: usize,
}

impl Collected {
    const fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            sequence: None,
            picture_set: None,
            pictures: Vec::new(),
            sound: Vec::new(),
            total_bytes: 0,
        }
    }

    /// Refuses a record before it is read.
    fn make_room(&mut self, tag: u8, length: usize) -> Result<(), SlateError> {
        let limit = match tag {
            tag::SEQUENCE | tag::PICTURE_SET => PARAMETERS_LIMIT_BYTES,
            tag::PICTURE => PICTURE_LIMIT_BYTES,
            tag::SOUND => SOUND_LIMIT_BYTES,
            tag::MISSING => NAME_LIMIT_BYTES,
            _ => 0,
        };
        let pictures = self.geometry.frames_per_second as usize * usize::from(LOOP_SECONDS);
        self.total_bytes = self.total_bytes.saturating_add(length);
        let fits = length <= limit
            && self.total_bytes <= TOTAL_LIMIT_BYTES
            && self.pictures.len() <= pictures
            && self.sound.len() <= SOUND_LIMIT_PACKETS;
        fits.then_some(()).ok_or(SlateError::Crashed)
    }

    /// Takes a record; returns whether it was the last one.
    fn take(&mut self, tag: u8, body: Bytes) -> Result<bool, SlateError> {
        match tag {
            tag::SEQUENCE => self.sequence = Some(body),
            tag::PICTURE_SET => self.picture_set = Some(body),
            tag::PICTURE => {
                let keyframe = is_keyframe(&body).ok_or(SlateError::Crashed)?;
                self.pictures.push(StandInPicture {
                    keyframe,
                    data: body,
                });
            }
            tag::SOUND if is_twenty_milliseconds(&body) => self.sound.push(body),
            tag::DONE => return Ok(true),
            tag::INVALID_PICTURE => return Err(SlateError::InvalidPicture),
            tag::INVALID_MUSIC => return Err(SlateError::InvalidMusic),
            tag::MISSING => return Err(missing(&body)),
            _ => return Err(SlateError::Crashed),
        }
        Ok(false)
    }

    fn finish(self) -> Result<StandIn, SlateError> {
        let Self {
            geometry,
            sequence,
            picture_set,
            pictures,
            sound,
            ..
        } = self;
        let (Some(sequence), Some(picture_set)) = (sequence, picture_set) else {
            return Err(SlateError::Crashed);
        };
        let config = video_config(&sequence, &picture_set).ok_or(SlateError::Crashed)?;
        let group = geometry.group_pictures() as usize;
        let is_loop = !pictures.is_empty()
            && pictures.len().is_multiple_of(group)
            && pictures
                .iter()
                .enumerate()
                .all(|(place, picture)| picture.keyframe == place.is_multiple_of(group));
        if (config.width, config.height) != (geometry.width, geometry.height)
            || !is_constrained_baseline(&sequence)
            || !is_loop
        {
            return Err(SlateError::Crashed);
        }
        Ok(StandIn {
            config: Arc::new(CodecConfig::Avc(config)),
            pictures,
            picture_interval: geometry.picture_interval(),
            sound,
        })
    }
}

fn missing(name: &[u8]) -> SlateError {
    let which = String::from_utf8_lossy(name)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    SlateError::Unavailable { which }
}

/// Whether all slices are of an IDR picture, or none is. `None` when it is not a row of slices.
fn is_keyframe(picture: &[u8]) -> Option<bool> {
    let mut rest = picture;
    let mut kind = None;
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (nal, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        // A header byte, and at least one of the slice.
        let ([header, _, ..], true) = (nal, kind.is_none_or(|kind| Some(&kind) == nal.first()))
        else {
            return None;
        };
        if !matches!(header & 0x9f, 1 | 5) {
            return None;
        }
        kind = Some(*header);
        rest = tail;
    }
    kind.map(|header| header & 0x1f == 5)
}

/// Profile 66 and `constraint_set1_flag` (ITU-T H.264 § A.2.1.1).
fn is_constrained_baseline(sequence: &[u8]) -> bool {
    matches!(sequence, [0x67 | 0x47 | 0x27, 66, constraints, ..] if constraints & 0x40 != 0)
}

/// Whether an Opus packet is one frame of 20 ms (RFC 6716 § 3.1).
fn is_twenty_milliseconds(packet: &[u8]) -> bool {
    let Some(&header) = packet.first() else {
        return false;
    };
    let (configuration, frames) = (header >> 3, header & 3);
    let is_twenty = match configuration {
        0..=11 => configuration % 4 == 1,
        12..=15 => configuration % 2 == 1,
        _ => configuration % 4 == 3,
    };
    is_twenty && frames == 0
}

/// The length of the sound that belongs to a loop of so many pictures, in packets.
pub(super) fn sound_packets(pictures: u32, geometry: Geometry) -> usize {
    const PACKET: Duration = Duration::from_millis(20);
    let seconds = pictures / geometry.frames_per_second;
    let packets = Duration::from_secs(u64::from(seconds)).as_millis() / PACKET.as_millis();
    usize::try_from(packets).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
