//! Decodes a studio's pictures and encodes them anew, in a child process of this program: VP8, VP9 and AV1 become H.264, and
//! H.264 becomes H.264 of another size, rate or bitrate.
//!
//! The parent hands over whole pictures and gets whole access units back, over a socket pair. What a hostile picture breaks
//! is one child, which is replaced at once (ADR 0009).

pub mod child;
mod desk;
mod engine;
mod handle;
mod message;
mod process;
mod start;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use broadcast::Rendition;

#[cfg(test)]
pub(crate) use self::start::Patience;
pub use self::{engine::GstreamerEngine, handle::Transcoder, start::Transcoders};

/// The shortest and the longest side of a canvas in pixels.
const SIDE_LIMITS: (u32, u32) = (16, 4_096);

/// The rate of most studios in pictures a second.
const USUAL_RATE: u32 = 30;

/// The rate of fast ones, and the most that a canvas of the studio's own size has.
const FAST_RATE: u32 = 60;

/// Bitrates in kb/s of pictures that have the studio's own size, by the most pixels they have: what the platforms'
/// recommendations have in common, and Twitch's limit at 1080p.
const LADDER: [(u32, u32); 6] = [
    (640 * 360, 1_000),
    (854 * 480, 1_500),
    (1_280 * 720, 3_500),
    (1_920 * 1_080, 6_000),
    (2_560 * 1_440, 9_000),
    (u32::MAX, 15_000),
];

/// What is to come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Canvas {
    /// Width in pixels, even, 16 to 4096.
    pub width: u32,
    /// Height in pixels, even, 16 to 4096.
    pub height: u32,
    /// The most pictures a second; the source's are not multiplied to get there.
    pub frames_per_second: u32,
    /// Kilobits a second.
    pub kilobits_per_second: u32,
    /// How much work is spent.
    pub preset: SpeedPreset,
}

impl Canvas {
    /// A canvas for pictures of this size, with the bitrate that platforms like for it.
    ///
    /// Odd sides lose a pixel, and sides out of bounds are brought within them. A fast one takes 60 pictures a second and
    /// a third more bits, others 30.
    pub fn of_size((width, height): (u32, u32), is_fast: bool) -> Self {
        let fit = |side: u32| (side & !1).clamp(SIDE_LIMITS.0, SIDE_LIMITS.1);
        let (width, height) = (fit(width), fit(height));
        let step = LADDER.iter().find(|(pixels, _)| width * height <= *pixels);
        let bitrate = step.map_or(LADDER[0].1, |(_, bitrate)| *bitrate);
        Self {
            width,
            height,
            frames_per_second: if is_fast { FAST_RATE } else { USUAL_RATE },
            kilobits_per_second: if is_fast { bitrate * 4 / 3 } else { bitrate },
            preset: SpeedPreset::default(),
        }
    }
}

impl From<Rendition> for Canvas {
    fn from(rendition: Rendition) -> Self {
        Self {
            width: rendition.width(),
            height: rendition.height(),
            frames_per_second: rendition.frames_per_second(),
            kilobits_per_second: rendition.kilobits_per_second(),
            preset: SpeedPreset::default(),
        }
    }
}

/// How much work x264 spends on a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SpeedPreset {
    /// Half the work of [`Veryfast`](Self::Veryfast), and visibly coarser.
    Ultrafast,
    /// Between the two.
    Superfast,
    /// What live streams are usually encoded with.
    #[default]
    Veryfast,
    /// Half as much again.
    Faster,
}

impl SpeedPreset {
    /// Every preset, the cheapest first.
    pub const ALL: [Self; 4] = [
        Self::Ultrafast,
        Self::Superfast,
        Self::Veryfast,
        Self::Faster,
    ];

    /// x264's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
        }
    }
}

/// Too much waits for the encoder: this picture, and those up to the next keyframe, are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many pictures wait to be transcoded")]
pub struct Full;

/// What a transcoder has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TranscoderCounters {
    /// Pictures that were handed over.
    pub pictures_in: u64,
    /// Pictures that came out.
    pub pictures_out: u64,
    /// Pictures that were lost undecoded: no room, or no process.
    pub dropped: u64,
    /// Pictures that were decoded and left out, because the encoder was late.
    pub skipped: u64,
    /// Pictures that the decoder made nothing of.
    pub undecodable: u64,
    /// Processes that died, hung, or answered nonsense.
    pub restarts: u64,
    /// The time from the arrival of the latest picture that came out until it did.
    pub latency: Duration,
    /// The longest such time since the start.
    pub longest_latency: Duration,
}

#[cfg(test)]
mod canvas_tests {
    use super::*;

    #[test]
    fn a_canvas_of_a_size_has_even_sides_and_a_usual_bitrate() {
        let canvas = |size| {
            let Canvas {
                width,
                height,
                kilobits_per_second,
                ..
            } = Canvas::of_size(size, false);
            (width, height, kilobits_per_second)
        };

        assert_eq!(canvas((1_920, 1_080)), (1_920, 1_080, 6_000));
        assert_eq!(canvas((1_281, 721)), (1_280, 720, 3_500));
        assert_eq!(canvas((0, 0)), (16, 16, 1_000));
        assert_eq!(canvas((u32::MAX, u32::MAX)), (4_096, 4_096, 15_000));
        let fast = Canvas::of_size((1_920, 1_080), true);
        assert_eq!(
            (fast.frames_per_second, fast.kilobits_per_second),
            (60, 8_000)
        );
    }
}
