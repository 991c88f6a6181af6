//! A shape and a rate in which a picture goes out, other than the studio's own.

use std::{fmt, str::FromStr};

/// A picture of a fixed shape, frame rate and bitrate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rendition {
    width: u32,
    height: u32,
    frames_per_second: u32,
    kilobits_per_second: u32,
}

/// Which part of a rendition cannot be as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenditionError {
    /// Not an even number from 160 to 3840.
    #[error("the width is an even number from 160 to 3840")]
    Width,
    /// Not an even number from 90 to 2160.
    #[error("the height is an even number from 90 to 2160")]
    Height,
    /// Not from 5 to 60.
    #[error("5 to 60 frames a second are possible")]
    FramesPerSecond,
    /// Not from 100 to 20,000.
    #[error("the bitrate is from 100 to 20000 kb/s")]
    Bitrate,
    /// No preset of this name.
    #[error("there is no preset of this name")]
    Preset,
}

/// Names for renditions that are asked for often: what studio apps call low to ultra, and a ladder by height.
const PRESETS: [(&str, Rendition); 13] = [
    ("low", Rendition::exact(320, 180, 15, 200)),
    ("medium", Rendition::exact(640, 360, 24, 500)),
    ("high", Rendition::exact(1280, 720, 30, 1_500)),
    ("ultra", Rendition::exact(1920, 1080, 30, 2_500)),
    ("360p-very-low", Rendition::exact(640, 360, 24, 600)),
    ("480p-low", Rendition::exact(854, 480, 30, 1_200)),
    ("720p-medium", Rendition::exact(1280, 720, 30, 2_500)),
    ("720p-high", Rendition::exact(1280, 720, 30, 3_500)),
    ("1080p-medium", Rendition::exact(1920, 1080, 30, 4_000)),
    ("1080p-high", Rendition::exact(1920, 1080, 30, 6_000)),
    ("1080p-ultra", Rendition::exact(1920, 1080, 60, 8_000)),
    ("4k-high", Rendition::exact(3840, 2160, 30, 15_000)),
    ("4k-ultra", Rendition::exact(3840, 2160, 60, 20_000)),
];

impl Rendition {
    const fn exact(
        width: u32,
        height: u32,
        frames_per_second: u32,
        kilobits_per_second: u32,
    ) -> Self {
        Self {
            width,
            height,
            frames_per_second,
            kilobits_per_second,
        }
    }

    /// A rendition within the limits: even sides up to 3840×2160, 5 to 60 frames a second, 100 to 20,000 kb/s.
    pub const fn new(
        width: u32,
        height: u32,
        frames_per_second: u32,
        kilobits_per_second: u32,
    ) -> Result<Self, RenditionError> {
        if width < 160 || width > 3840 || !width.is_multiple_of(2) {
            return Err(RenditionError::Width);
        }
        if height < 90 || height > 2160 || !height.is_multiple_of(2) {
            return Err(RenditionError::Height);
        }
        if frames_per_second < 5 || frames_per_second > 60 {
            return Err(RenditionError::FramesPerSecond);
        }
        if kilobits_per_second < 100 || kilobits_per_second > 20_000 {
            return Err(RenditionError::Bitrate);
        }
        Ok(Self::exact(
            width,
            height,
            frames_per_second,
            kilobits_per_second,
        ))
    }

    /// The names of all presets.
    pub fn presets() -> impl Iterator<Item = (&'static str, Self)> {
        PRESETS.into_iter()
    }

    /// Width in pixels, even.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// Height in pixels, even.
    pub const fn height(self) -> u32 {
        self.height
    }

    /// Frames a second.
    pub const fn frames_per_second(self) -> u32 {
        self.frames_per_second
    }

    /// Kilobits a second of the picture alone.
    pub const fn kilobits_per_second(self) -> u32 {
        self.kilobits_per_second
    }

    /// Pixels a second, which is what encoding costs.
    pub fn pixels_per_second(self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * u64::from(self.frames_per_second)
    }
}

impl fmt::Display for Rendition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            width,
            height,
            frames_per_second,
            kilobits_per_second,
        } = self;
        write!(
            formatter,
            "{width}×{height}, {frames_per_second} frames/s, {kilobits_per_second} kb/s"
        )
    }
}

impl FromStr for Rendition {
    type Err = RenditionError;

    /// Finds a preset by its name.
    fn from_str(name: &str) -> Result<Self, RenditionError> {
        PRESETS
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, rendition)| rendition)
            .ok_or(RenditionError::Preset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_within_the_limits() {
        for (name, preset) in Rendition::presets() {
            let Rendition {
                width,
                height,
                frames_per_second,
                kilobits_per_second,
            } = preset;
            assert_eq!(
                Rendition::new(width, height, frames_per_second, kilobits_per_second),
                Ok(preset),
                "{name}"
            );
            assert_eq!(name.parse(), Ok(preset));
        }
    }

    #[test]
    fn each_side_rate_and_bitrate_is_checked_at_its_bounds() {
        let ok = |outcome: Result<Rendition, RenditionError>| outcome.map(|_| ());

        assert_eq!(ok(Rendition::new(160, 90, 5, 100)), Ok(()));
        assert_eq!(ok(Rendition::new(3840, 2160, 60, 20_000)), Ok(()));
        for width in [158, 161, 3842] {
            assert_eq!(
                ok(Rendition::new(width, 90, 5, 100)),
                Err(RenditionError::Width)
            );
        }
        for height in [88, 91, 2162] {
            assert_eq!(
                ok(Rendition::new(160, height, 5, 100)),
                Err(RenditionError::Height)
            );
        }
        for rate in [4, 61] {
            assert_eq!(
                ok(Rendition::new(160, 90, rate, 100)),
                Err(RenditionError::FramesPerSecond)
            );
        }
        for bitrate in [99, 20_001] {
            assert_eq!(
                ok(Rendition::new(160, 90, 5, bitrate)),
                Err(RenditionError::Bitrate)
            );
        }
        assert_eq!("8k".parse::<Rendition>(), Err(RenditionError::Preset));
    }
}
