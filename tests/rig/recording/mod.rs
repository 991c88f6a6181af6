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

/// Offsets from which it is told what is usual.
const LEAST_OFFSETS: usize = 4;

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

    /// Fails unless the middle one of the first half of the offsets and that of the second half are within `limit`, leaving out
    /// what is before `from` after the first picture.
    ///
    /// A studio that shares its cores shows single flashes late, and what its reports have not told yet is guessed at first: that
    /// is not to be judged, and what lasts is.
    pub fn check_usual_synchrony(&self, limit: Duration, from: Duration) -> Result<()> {
        let begin = self
            .video
            .frames
            .first()
            .map_or(from, |frame| frame.at + from);
        let offsets = self.offsets().into_iter();
        let judged = offsets.filter(|offset| offset.at >= begin);
        let judged: Vec<_> = judged.map(|offset| offset.milliseconds).collect();
        ensure!(
            judged.len() >= LEAST_OFFSETS,
            "only {} flashes with a beep, of {} flashes and {} beeps",
            judged.len(),
            self.flashes().len(),
            self.audio.beeps.len()
        );
        let (first, second) = judged.split_at(judged.len() / 2);
        for half in [first, second] {
            let usual = middle(half);
            ensure!(
                usual.abs() <= limit.as_secs_f64() * 1_000.0,
                "the beep is mostly {usual:.0} ms off; all: {judged:.0?}"
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

/// The middle one; of two that are, the one that is nearer to zero.
fn middle(offsets: &[f64]) -> f64 {
    let mut sorted = offsets.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied();
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2).copied();
    let (upper, lower) = (upper.unwrap_or_default(), lower.unwrap_or_default());
    if upper.abs() < lower.abs() {
        upper
    } else {
        lower
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_not_moved_by_a_few() {
        assert!((middle(&[-114.0, -81.0, -6.0, -5.0, -6.0]) - -6.0).abs() < 0.1);
        assert!((middle(&[305.0, -77.0, -8.0, -38.0]) - -8.0).abs() < 0.1);
        assert!((middle(&[120.0, 121.0, 119.0, 2.0]) - 119.0).abs() < 0.1);
    }
}
