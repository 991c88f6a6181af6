//! What a recording holds: every picture and every beep, by when it is to be presented.
//!
//! The media is decoded by `ffmpeg`, which shares no code with the gateway.

mod continuity;
mod counter;
mod decode;
mod flv;
mod tone;

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};

pub use continuity::{Cadence, Rise, Shown, Span};
pub use decode::{AudioStream, Frame, VideoStream};
pub use flv::Tags;

/// How far the brightness of the flash and of what is around it must lie apart, in steps of 255.
const FLASH_CONTRAST: f32 = 40.0;

/// A flash and a beep further apart than this are not taken for a pair.
const PAIR_REACH: Duration = Duration::from_millis(450);

/// A decoded recording.
#[derive(Debug)]
pub struct Recording {
    /// The picture.
    pub video: VideoStream,
    /// The sound.
    pub audio: AudioStream,
    /// Complaints of the demuxer and of both decoders, in their words.
    pub decode_errors: Vec<String>,
    /// The messages as they were recorded, when the file is FLV.
    pub tags: Option<Tags>,
}

/// How the beep of one flash came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Offset {
    /// When the flash is presented.
    pub at: Duration,
    /// How much later the beep is; negative when it is earlier.
    pub milliseconds: f64,
}

impl Recording {
    /// Decodes the whole file. One picture and one sound track are expected.
    pub async fn analyse(path: &Path) -> Result<Self> {
        decode::decode(path).await
    }

    /// When the picture turns bright, once for each flash that has a dark picture before it.
    ///
    /// In a recording of the synthetic studio only its own pictures count: a bright slate is no flash.
    pub fn flashes(&self) -> Vec<Duration> {
        let numbered = self
            .video
            .frames
            .iter()
            .any(|frame| frame.counter.is_some());
        let frames: Vec<_> = self
            .video
            .frames
            .iter()
            .filter(|frame| !numbered || frame.counter.is_some())
            .collect();
        let darkest = frames.iter().map(|frame| frame.luma).fold(255.0, f32::min);
        let brightest = frames.iter().map(|frame| frame.luma).fold(0.0, f32::max);
        if brightest - darkest < FLASH_CONTRAST {
            return Vec::new();
        }
        let threshold = f32::midpoint(darkest, brightest);
        frames
            .windows(2)
            .filter(|pair| pair[0].luma < threshold && pair[1].luma >= threshold)
            .map(|pair| pair[1].at)
            .collect()
    }

    /// How sound and picture relate, for every flash that has a beep near.
    pub fn offsets(&self) -> Vec<Offset> {
        self.flashes()
            .into_iter()
            .filter_map(|flash| {
                let beep = self
                    .audio
                    .beeps
                    .iter()
                    .min_by_key(|beep| beep.abs_diff(flash))?;
                (beep.abs_diff(flash) <= PAIR_REACH).then_some(Offset {
                    at: flash,
                    milliseconds: (beep.as_secs_f64() - flash.as_secs_f64()) * 1_000.0,
                })
            })
            .collect()
    }

    /// Fails unless the first and the last `count` offsets are all within `limit`, leaving out what is before `from`
    /// after the first picture.
    pub fn check_synchrony(&self, limit: Duration, from: Duration, count: usize) -> Result<()> {
        let begin = self
            .video
            .frames
            .first()
            .map_or(Duration::ZERO, |frame| frame.at)
            + from;
        let mut offsets = self.offsets();
        offsets.retain(|offset| offset.at >= begin);
        ensure!(
            offsets.len() >= 2 * count,
            "only {} flashes with a beep, of {} flashes and {} beeps",
            offsets.len(),
            self.flashes().len(),
            self.audio.beeps.len()
        );
        let limit_ms = limit.as_secs_f64() * 1_000.0;
        let ends = offsets
            .iter()
            .take(count)
            .chain(offsets.iter().rev().take(count));
        for offset in ends {
            ensure!(
                offset.milliseconds.abs() <= limit_ms,
                "the beep is {:.0} ms off at {:?}; all: {:?}",
                offset.milliseconds,
                offset.at,
                offsets
                    .iter()
                    .map(|offset| offset.milliseconds.round())
                    .collect::<Vec<_>>()
            );
        }
        Ok(())
    }

    /// The longest pause between two pictures, and when it began, leaving out what is before `from` after the first picture.
    pub fn worst_video_gap(&self, from: Duration) -> (Duration, Duration) {
        worst_gap(self.video.frames.iter().map(|frame| frame.at), from)
    }

    /// The longest pause between the starts of two sound packets, and when it began, as for [`worst_video_gap`](Self::worst_video_gap).
    pub fn worst_audio_gap(&self, from: Duration) -> (Duration, Duration) {
        worst_gap(self.audio.packets.iter().copied(), from)
    }

    /// When each keyframe is presented.
    pub fn keyframes(&self) -> Vec<Duration> {
        let frames = self.video.frames.iter();
        let keyframes = frames.filter(|frame| frame.keyframe);
        keyframes.map(|frame| frame.at).collect()
    }

    /// The longest time from a keyframe to the next or to the end.
    pub fn longest_keyframe_interval(&self) -> Duration {
        let end = self.video.frames.last().map(|frame| frame.at);
        let times: Vec<_> = self.keyframes().into_iter().chain(end).collect();
        times
            .windows(2)
            .map(|pair| pair[1].saturating_sub(pair[0]))
            .max()
            .unwrap_or_default()
    }

    /// From the first picture to the last.
    pub fn length(&self) -> Duration {
        match (self.video.frames.first(), self.video.frames.last()) {
            (Some(first), Some(last)) => last.at.saturating_sub(first.at),
            (None, _) | (_, None) => Duration::ZERO,
        }
    }
}

fn worst_gap(times: impl Iterator<Item = Duration>, from: Duration) -> (Duration, Duration) {
    let times: Vec<_> = times.collect();
    let Some(&first) = times.first() else {
        return (Duration::MAX, Duration::ZERO);
    };
    times
        .windows(2)
        .filter(|pair| pair[0] >= first + from)
        .map(|pair| (pair[1].saturating_sub(pair[0]), pair[0]))
        .max()
        .unwrap_or_default()
}
