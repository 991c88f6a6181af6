//! What things cost, in cores: the figures of `docs/benchmarks.md`, rounded up.

use std::{
    fmt,
    ops::{Add, Sub},
};

use broadcast::Rendition;
use media::VideoCodec;

/// Of a core, how much; exact to a millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Cost {
    millionths: u64,
}

impl Cost {
    /// Nothing.
    pub const NONE: Self = Self { millionths: 0 };

    /// The smallest capacity of a node.
    pub const LEAST_CAPACITY: Self = Self::of_millionths(10_000);

    /// A broadcast of 1080p30 at 4.5 Mb/s that is passed through: 1.4 to 2.4 % of a core beside others, with its sound, its
    /// slate and the looks at its pictures.
    const PASSTHROUGH: Self = Self::of_millionths(20_000);

    /// A destination of it: 0.1 % of a core, and TLS.
    const DESTINATION: Self = Self::of_millionths(2_000);

    /// A participant of a room: the signalling, sound to and from it. What its pictures cost depends on who looks at them, and
    /// is measured, not promised.
    const PARTICIPANT: Self = Self::of_millionths(2_000);

    /// What an `FFmpeg` child that copies takes beside it, and what it takes to feed and to hear it: 0.7 % of a core.
    const FFMPEG_COPY: Self = Self::of_millionths(10_000);

    /// Scaling and encoding to H.264 (`veryfast`), for a million pixels. 1080p30 has 62 of them a second.
    const ENCODING_MEGAPIXEL: Self = Self::of_millionths(11_000);

    const fn of_millionths(millionths: u64) -> Self {
        Self { millionths }
    }

    /// How many millionths of a core.
    pub const fn millionths(self) -> u64 {
        self.millionths
    }

    /// This many cores; nothing for what is no number of cores.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is clamped before"
    )]
    pub fn of_cores(cores: f64) -> Self {
        let millionths = (cores * 1e6).round().clamp(0.0, 1e15);
        Self::of_millionths(if cores.is_finite() {
            millionths as u64
        } else {
            0
        })
    }

    /// How many cores.
    #[expect(clippy::cast_precision_loss, reason = "no machine has a billion cores")]
    pub fn cores(self) -> f64 {
        self.millionths as f64 / 1e6
    }

    /// How often `each` fits into this, and nothing is left over that it would fit into.
    pub fn count(self, each: Self) -> usize {
        let count = self.millionths.checked_div(each.millionths);
        count
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(usize::MAX)
    }

    /// A broadcast whose picture is passed through to so many destinations.
    pub fn passthrough(destinations: usize) -> Self {
        Self::PASSTHROUGH + Self::DESTINATION.times(destinations as u64)
    }

    /// So many participants of a room.
    pub const fn participants(count: usize) -> Self {
        Self::PARTICIPANT.times(count as u64)
    }

    /// What copying by `FFmpeg` costs beside that.
    pub const fn ffmpeg_copy() -> Self {
        Self::FFMPEG_COPY
    }

    /// What making the picture anew costs beside passing it through: pictures of this codec and about this canvas's size are
    /// decoded, and the canvas is encoded.
    pub fn transcode(codec: VideoCodec, canvas: Rendition) -> Self {
        (Self::ENCODING_MEGAPIXEL + decoding_megapixel(codec)).of_pixels(canvas)
    }

    /// A rendition: H.264 is decoded and encoded in another shape.
    pub fn rendition(rendition: Rendition) -> Self {
        Self::transcode(VideoCodec::H264, rendition)
    }

    const fn times(self, count: u64) -> Self {
        Self::of_millionths(self.millionths.saturating_mul(count))
    }

    const fn of_pixels(self, canvas: Rendition) -> Self {
        let pixels = canvas.width() as u64 * canvas.height() as u64;
        let pixels_per_second = pixels * canvas.frames_per_second() as u64;
        Self::of_millionths((self.millionths * pixels_per_second).div_ceil(1_000_000))
    }
}

/// Decoding a million pixels. Newer codecs take more.
const fn decoding_megapixel(codec: VideoCodec) -> Cost {
    Cost::of_millionths(match codec {
        VideoCodec::H264 => 2_000,
        VideoCodec::Vp8 => 2_500,
        VideoCodec::Vp9 => 3_000,
        VideoCodec::Av1 => 4_000,
    })
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::of_millionths(self.millionths.saturating_add(other.millionths))
    }
}

impl Sub for Cost {
    type Output = Self;

    /// Nothing rather than less than nothing.
    fn sub(self, other: Self) -> Self {
        Self::of_millionths(self.millionths.saturating_sub(other.millionths))
    }
}

impl fmt::Display for Cost {
    /// Cores with two decimals.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2}", self.cores())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_grows_with_destinations_pixels_and_codecs() {
        let full_hd = Rendition::new(1920, 1080, 30, 4_500).unwrap();
        let small = Rendition::new(640, 360, 30, 600).unwrap();

        let by_codec = VideoCodec::ALL.map(|codec| Cost::transcode(codec, full_hd));

        assert!(Cost::passthrough(3) > Cost::passthrough(1));
        assert!(by_codec.is_sorted(), "{by_codec:?}");
        assert!(by_codec[1] <= Cost::of_cores(1.0), "a core must do VP8");
        assert!(Cost::rendition(small) < Cost::rendition(full_hd));
        assert!(Cost::ffmpeg_copy() <= Cost::of_cores(0.05));
    }

    #[test]
    fn what_is_no_number_of_cores_is_nothing() {
        for cores in [-1.0, f64::NAN, f64::INFINITY, 0.0] {
            assert_eq!(Cost::of_cores(cores), Cost::NONE);
        }
        assert_eq!(Cost::of_cores(1.705).to_string(), "1.71");
        assert_eq!(Cost::of_cores(0.5) - Cost::of_cores(1.0), Cost::NONE);
    }
}
