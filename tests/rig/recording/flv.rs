//! The messages of an FLV recording, as the server wrote them: what no decoder tells.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};

/// Before the first tag: the file's header and the size of no tag.
const HEAD_BYTES: usize = 13;

const TAG_HEAD_BYTES: usize = 11;

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

/// What the messages of a recording are, without their media.
#[derive(Debug, Default)]
pub struct Tags {
    /// Decoder configurations of the picture (`AVCDecoderConfigurationRecord`), each with the time of its message.
    pub video_headers: Vec<(Duration, Vec<u8>)>,
    /// Decoder configurations of the sound.
    pub audio_headers: Vec<(Duration, Vec<u8>)>,
    /// When each coded picture is to be decoded, in order of arrival.
    pub pictures: Vec<Duration>,
    /// The same of each block of sound.
    pub sounds: Vec<Duration>,
}

impl Tags {
    /// Reads a whole file; `None` when it is no FLV.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = fs::read(path)?;
        if !bytes.starts_with(b"FLV") {
            return Ok(None);
        }
        let mut tags = Self::default();
        let mut rest = bytes.get(HEAD_BYTES..).context("no tags")?;
        while let Some((head, after)) = rest.split_at_checked(TAG_HEAD_BYTES) {
            let length =
                usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
            // The server may have been killed in the middle of the last one.
            let Some((body, after)) = after.split_at_checked(length) else {
                break;
            };
            let at = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
            tags.note(head[0] & 0x1f, Duration::from_millis(at.into()), body);
            rest = after.get(4..).unwrap_or_default();
        }
        Ok(Some(tags))
    }

    fn note(&mut self, kind: u8, at: Duration, body: &[u8]) {
        match (kind, body) {
            (VIDEO, [_, 0, _, _, _, configuration @ ..]) => {
                self.video_headers.push((at, configuration.to_vec()));
            }
            (VIDEO, [_, 1, ..]) => self.pictures.push(at),
            (AUDIO, [_, 0, configuration @ ..]) => {
                self.audio_headers.push((at, configuration.to_vec()));
            }
            (AUDIO, [_, 1, ..]) => self.sounds.push(at),
            _ => {}
        }
    }

    /// Fails unless time only goes forward: strictly from picture to picture, and never back from sound to sound.
    pub fn check_order(&self) -> Result<()> {
        for pair in self.pictures.windows(2) {
            ensure!(pair[0] < pair[1], "pictures at {pair:?}");
        }
        for pair in self.sounds.windows(2) {
            ensure!(pair[0] < pair[1], "sounds at {pair:?}");
        }
        Ok(())
    }

    /// Fails unless there is one decoder configuration of the sound, however often it is told.
    pub fn check_sound_stays(&self) -> Result<()> {
        let headers = &self.audio_headers;
        let (_, first) = headers.first().context("no header of the sound")?;
        ensure!(
            headers.iter().all(|(_, header)| header == first),
            "the sound changes: {headers:?}"
        );
        Ok(())
    }
}
