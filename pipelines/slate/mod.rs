//! Pictures and sound that stand in for a studio, coded in a child process because uploads are hostile.

mod answer;
pub mod child;
mod order;
mod process;
mod renderer;

use std::{fmt, fs::File, sync::Arc, time::Duration};

pub use self::renderer::Renderer;

/// Bytes of the longest upload.
pub const UPLOAD_LIMIT_BYTES: u64 = 20 * 1024 * 1024;

/// The longest title in bytes; 80 characters of any script fit.
pub const TITLE_LIMIT_BYTES: usize = 400;

/// A hash of an upload's bytes, which is its name in the cache.
pub type ContentHash = [u8; 32];

/// Time between two keyframes, and so the length of a loop that shows one picture, in seconds.
const GROUP_SECONDS: u32 = 2;

/// What a picture may have.
const SIDES: std::ops::RangeInclusive<u32> = 16..=4_096;

/// Pictures a second that a loop may have.
const RATES: std::ops::RangeInclusive<u32> = 1..=60;

/// The shape of the live picture, which the slate takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Pixels; even, 16 to 4096.
    pub width: u32,
    /// Pixels; even, 16 to 4096.
    pub height: u32,
    /// Pictures a second, 1 to 60.
    pub frames_per_second: u32,
}

impl Geometry {
    fn is_possible(self) -> bool {
        let even = |side: u32| SIDES.contains(&side) && side.is_multiple_of(2);
        even(self.width) && even(self.height) && RATES.contains(&self.frames_per_second)
    }

    /// Pictures from one keyframe to the next.
    const fn group_pictures(self) -> u32 {
        self.frames_per_second * GROUP_SECONDS
    }

    fn picture_interval(self) -> Duration {
        Duration::from_secs(1) / self.frames_per_second
    }
}

/// What an uploaded picture claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PictureKind {
    /// PNG or JPEG.
    Image,
    /// MP4, with its sound if it has any.
    Video,
}

/// An uploaded file. Nobody writes to it any more. Cloning shares it.
#[derive(Clone)]
pub struct Upload {
    /// Best a file without a name. It is read by position, so that many may read at once.
    pub file: Arc<File>,
    /// The hash of its bytes.
    pub hash: ContentHash,
}

impl fmt::Debug for Upload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Upload")
    }
}

/// What a slate shows and plays.
#[derive(Debug, Clone, Default)]
pub struct SlateSource {
    /// What the default card says. Other than its first 400 bytes is left out.
    pub title: String,
    /// Shown in place of the card.
    pub picture: Option<(PictureKind, Upload)>,
    /// Played in place of the video's sound: MP3, Ogg, WAV, M4A or FLAC.
    pub music: Option<Upload>,
}

/// Who can do something about a slate that is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlateFault {
    /// Whoever uploaded.
    Studio,
    /// The gateway, or how it is installed.
    Gateway,
}

/// Why a slate is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlateError {
    /// The upload is not a picture that can be decoded, or one of too many pixels.
    #[error("the upload is not a picture that can be shown")]
    InvalidPicture,
    /// The upload is not music that can be decoded.
    #[error("the upload is not music that can be played")]
    InvalidMusic,
    /// Longer than the longest upload.
    #[error("the upload has more than {UPLOAD_LIMIT_BYTES} bytes")]
    TooLarge,
    /// It took longer than any picture should.
    #[error("coding the slate took too long")]
    TooSlow,
    /// The child died of the upload, or of a fault of ours.
    #[error("the process that codes the slate died")]
    Crashed,
    /// The live picture has a shape that cannot be coded.
    #[error("no slate can have this shape")]
    Geometry,
    /// `GStreamer` lacks an element.
    #[error("the GStreamer element {which} is missing")]
    Unavailable {
        /// Its name.
        which: String,
    },
    /// The child cannot be started or fed.
    #[error("the process that codes the slate cannot be run: {0}")]
    Process(std::io::ErrorKind),
}

impl SlateError {
    /// Tells who can do something about it. A crash may be either's: it is the studio's where there is an upload.
    pub fn fault(&self, source: &SlateSource) -> SlateFault {
        let uploaded = source.picture.is_some() || source.music.is_some();
        match self {
            Self::InvalidPicture | Self::InvalidMusic | Self::TooLarge => SlateFault::Studio,
            Self::TooSlow | Self::Crashed if uploaded => SlateFault::Studio,
            Self::TooSlow
            | Self::Crashed
            | Self::Geometry
            | Self::Unavailable { .. }
            | Self::Process(_) => SlateFault::Gateway,
        }
    }

    /// Whether the same wish may be granted another time.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::TooSlow | Self::Crashed | Self::Process(_))
    }
}

#[cfg(test)]
mod tests;
