//! What parent and child say to each other, and how pictures and sound leave the child: a head, and a body.

use std::time::Duration;

/// The most bytes of a coded picture; the depacketiser makes no larger one.
pub(super) const PICTURE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of codec parameters: sixteen parameter sets of 1 KiB.
const RECORD_LIMIT_BYTES: usize = 20 * 1024;

/// The most bytes of one AAC frame: 6144 bits for each of two channels (ISO 14496-3 § 4.5.3), and headroom.
pub(super) const SOUND_LIMIT_BYTES: usize = 8 * 1024;

/// The smallest and the largest side of a canvas in pixels. More than 1080p is more than calls carry.
const SIDE_LIMITS: (u32, u32) = (64, 1_920);

/// The most pictures a second.
const FRAMES_LIMIT: u32 = 60;

/// A tag and a length.
pub(super) const HEAD_BYTES: usize = 5;

/// What the parent says.
pub(super) mod order {
    /// The canvas, once, first.
    pub(in crate::decoder) const CONFIGURE: u8 = 1;
    /// `AVCDecoderConfigurationRecord` of the pictures from here on.
    pub(in crate::decoder) const PICTURE_RECORD: u8 = 2;
    /// Flags, a time, and a coded picture.
    pub(in crate::decoder) const PICTURE: u8 = 3;
    /// Samples a second, channels, and `AudioSpecificConfig` of the sound from here on.
    pub(in crate::decoder) const SOUND_RECORD: u8 = 4;
    /// Flags, a time, and a coded frame of sound.
    pub(in crate::decoder) const SOUND: u8 = 5;
}

/// What the child says.
pub(super) mod answer {
    /// It has started, and waits for its canvas.
    pub(in crate::decoder) const READY: u8 = 1;
    /// How it fares, every second.
    pub(in crate::decoder) const COUNTERS: u8 = 2;
}

/// The shape that all pictures are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvas {
    width: u32,
    height: u32,
    frames_per_second: u32,
}

/// The numbers make no canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a canvas has sides of {} to {} pixels, the width a multiple of 8 and the height of 2, and 1 to {FRAMES_LIMIT} pictures a second",
    SIDE_LIMITS.0,
    SIDE_LIMITS.1
)]
pub struct CanvasError;

impl Canvas {
    /// What calls usually carry: 1280 × 720, 30 pictures a second.
    pub const USUAL: Self = Self {
        width: 1_280,
        height: 720,
        frames_per_second: 30,
    };

    const BYTES: usize = 12;

    /// A canvas of these sides in pixels, each 64 to 1920, the width a multiple of 8 so that no row of any plane is
    /// padded, and the height even, with at most so many pictures a second, 1 to 60.
    pub fn new(width: u32, height: u32, frames_per_second: u32) -> Result<Self, CanvasError> {
        let is_side = |side: u32| (SIDE_LIMITS.0..=SIDE_LIMITS.1).contains(&side);
        let is_possible = is_side(width)
            && is_side(height)
            && width.is_multiple_of(8)
            && height.is_multiple_of(2)
            && (1..=FRAMES_LIMIT).contains(&frames_per_second);
        is_possible
            .then_some(Self {
                width,
                height,
                frames_per_second,
            })
            .ok_or(CanvasError)
    }

    /// Pixels in a row.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// Rows.
    pub const fn height(self) -> u32 {
        self.height
    }

    /// The most pictures a second.
    pub const fn frames_per_second(self) -> u32 {
        self.frames_per_second
    }

    /// Bytes of one picture (I420).
    pub const fn picture_bytes(self) -> usize {
        self.width as usize * self.height as usize * 3 / 2
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let numbers = [self.width, self.height, self.frames_per_second];
        let mut bytes = [0; Self::BYTES];
        for (place, number) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(numbers) {
            *place = number.to_be_bytes();
        }
        bytes
    }

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (&[width, height, rate], []) = body.as_chunks::<4>() else {
            return None;
        };
        let [width, height, rate] = [width, height, rate].map(u32::from_be_bytes);
        Self::new(width, height, rate).ok()
    }
}

/// What has become of a show so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodingCounters {
    /// Pictures that left in time.
    pub pictures: u64,
    /// Pictures that did not leave: another one was due already.
    pub pictures_late: u64,
    /// Access units of which no decoder made anything.
    pub broken: u64,
    /// Blocks of 10 ms of sound that left.
    pub sound_blocks: u64,
    /// Those of them that had to be silent, at least in part.
    pub silent_blocks: u64,
    /// Times at which the show's place had to be found anew: it came too late, or far too early.
    pub jumps: u64,
}

impl DecodingCounters {
    pub(super) const BYTES: usize = 48;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let numbers = [
            self.pictures,
            self.pictures_late,
            self.broken,
            self.sound_blocks,
            self.silent_blocks,
            self.jumps,
        ];
        for (place, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *place = number.to_be_bytes();
        }
        bytes
    }

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (numbers, []) = body.as_chunks::<8>() else {
            return None;
        };
        let &[
            pictures,
            pictures_late,
            broken,
            sound_blocks,
            silent_blocks,
            jumps,
        ] = numbers
        else {
            return None;
        };
        Some(Self {
            pictures: u64::from_be_bytes(pictures),
            pictures_late: u64::from_be_bytes(pictures_late),
            broken: u64::from_be_bytes(broken),
            sound_blocks: u64::from_be_bytes(sound_blocks),
            silent_blocks: u64::from_be_bytes(silent_blocks),
            jumps: u64::from_be_bytes(jumps),
        })
    }
}

/// What is said of an access unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitHead {
    /// Whether a decoder can begin here.
    pub(super) keyframe: bool,
    /// Its place on the broadcast's timeline.
    pub(super) timestamp: Duration,
}

impl UnitHead {
    pub(super) const BYTES: usize = 9;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [u8::from(self.keyframe); Self::BYTES];
        bytes[1..].copy_from_slice(&nanoseconds(self.timestamp).to_be_bytes());
        bytes
    }

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (&[flags], rest) = body.split_first_chunk()?;
        let timestamp = Duration::from_nanos(u64::from_be_bytes(*rest.first_chunk()?));
        (flags < 2).then_some(Self {
            keyframe: flags == 1,
            timestamp,
        })
    }
}

/// What is said of sound before its first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SoundRecord {
    pub(super) sample_rate_hz: u32,
    pub(super) channels: u8,
    pub(super) audio_specific_config: Vec<u8>,
}

impl SoundRecord {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let rate = self.sample_rate_hz.to_be_bytes();
        [&rate[..], &[self.channels], &self.audio_specific_config].concat()
    }

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (rate, rest) = body.split_first_chunk::<4>()?;
        let (&channels, config) = rest.split_first()?;
        let sample_rate_hz = u32::from_be_bytes(*rate);
        let is_possible = (8_000..=96_000).contains(&sample_rate_hz) && (1..=2).contains(&channels);
        is_possible.then(|| Self {
            sample_rate_hz,
            channels,
            audio_specific_config: config.to_vec(),
        })
    }
}

/// What leaves the child towards whoever takes the show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raw {
    /// A picture: planes Y, U and V without gaps.
    Picture,
    /// Sound: 16-bit little-endian samples, left and right in turn.
    Sound,
}

/// Bytes in front of a picture or of sound: kind, flags (0), two bytes (0), length, and nanoseconds on the broadcast's
/// timeline, all big-endian.
pub(super) const RAW_HEAD_BYTES: usize = 16;

/// The head of a picture or of sound.
pub(super) fn raw_head(kind: Raw, length: usize, timestamp: Duration) -> [u8; RAW_HEAD_BYTES] {
    let mut head = [0; RAW_HEAD_BYTES];
    head[0] = match kind {
        Raw::Picture => 1,
        Raw::Sound => 2,
    };
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    head[4..8].copy_from_slice(&length.to_be_bytes());
    head[8..].copy_from_slice(&nanoseconds(timestamp).to_be_bytes());
    head
}

/// A tag and the length of what follows.
pub(super) fn head(tag: u8, length: usize) -> [u8; HEAD_BYTES] {
    let mut head = [tag; HEAD_BYTES];
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    head[1..].copy_from_slice(&length.to_be_bytes());
    head
}

/// Returns tag and length of an order, if such a one may be.
pub(super) fn read_order([tag, length @ ..]: [u8; HEAD_BYTES]) -> Option<(u8, usize)> {
    let length = u32::from_be_bytes(length) as usize;
    let is_unit = |limit| (UnitHead::BYTES..=UnitHead::BYTES + limit).contains(&length);
    let fits = match tag {
        order::CONFIGURE => length == Canvas::BYTES,
        order::PICTURE_RECORD | order::SOUND_RECORD => length <= RECORD_LIMIT_BYTES,
        order::PICTURE => is_unit(PICTURE_LIMIT_BYTES),
        order::SOUND => is_unit(SOUND_LIMIT_BYTES),
        _ => false,
    };
    fits.then_some((tag, length))
}

/// Returns tag and length of an answer, if such a one may be.
pub(super) fn read_answer([tag, length @ ..]: [u8; HEAD_BYTES]) -> Option<(u8, usize)> {
    let length = u32::from_be_bytes(length) as usize;
    let fits = match tag {
        answer::READY => length == 0,
        answer::COUNTERS => length == DecodingCounters::BYTES,
        _ => false,
    };
    fits.then_some((tag, length))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_canvas_has_sides_that_calls_carry_and_rows_without_padding() {
        for (width, height, rate) in [(64, 64, 1), (1_920, 1_080, 60), (1_080, 1_920, 30)] {
            let canvas = Canvas::new(width, height, rate).unwrap();
            assert_eq!(canvas.picture_bytes(), (width * height * 3 / 2) as usize);
        }
        let wrong = [
            (56, 64, 30),
            (1_928, 1_080, 30),
            (1_284, 720, 30),
            (1_280, 721, 30),
            (1_280, 720, 0),
            (1_280, 720, 61),
        ];
        for (width, height, rate) in wrong {
            assert_eq!(Canvas::new(width, height, rate), Err(CanvasError));
        }
    }

    #[test]
    fn the_head_of_a_picture_has_sixteen_bytes() {
        let head = raw_head(Raw::Picture, 0x1_0203, Duration::from_nanos(0x0405_0607));

        assert_eq!(head, [1, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 4, 5, 6, 7]);
    }

    #[test]
    fn no_message_is_longer_than_what_it_may_hold() {
        let most = UnitHead::BYTES + PICTURE_LIMIT_BYTES;
        assert_eq!(read_order(head(order::PICTURE, most)), Some((3, most)));
        assert_eq!(read_order(head(order::PICTURE, most + 1)), None);
        assert_eq!(read_order(head(order::PICTURE, UnitHead::BYTES - 1)), None);
        let most = UnitHead::BYTES + SOUND_LIMIT_BYTES;
        assert_eq!(read_order(head(order::SOUND, most)), Some((5, most)));
        assert_eq!(read_order(head(order::SOUND, most + 1)), None);
        assert_eq!(
            read_order(head(order::PICTURE_RECORD, RECORD_LIMIT_BYTES + 1)),
            None
        );
        assert_eq!(read_answer(head(answer::COUNTERS, 47)), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(keyframe: bool, nanoseconds: u64, numbers: [u64; 6], rate in 8_000..=96_000_u32, config: Vec<u8>) {
            let unit = UnitHead { keyframe, timestamp: Duration::from_nanos(nanoseconds) };
            prop_assert_eq!(UnitHead::read(&unit.to_bytes()), Some(unit));
            let [pictures, pictures_late, broken, sound_blocks, silent_blocks, jumps] = numbers;
            let counters = DecodingCounters { pictures, pictures_late, broken, sound_blocks, silent_blocks, jumps };
            prop_assert_eq!(DecodingCounters::read(&counters.to_bytes()), Some(counters));
            let record = SoundRecord { sample_rate_hz: rate, channels: 2, audio_specific_config: config };
            prop_assert_eq!(SoundRecord::read(&record.to_bytes()), Some(record.clone()));
            prop_assert_eq!(Canvas::read(&Canvas::USUAL.to_bytes()), Some(Canvas::USUAL));
        }

        #[test]
        fn any_bytes_are_read_or_refused(head: [u8; HEAD_BYTES], body: Vec<u8>) {
            if let Some((_, length)) = read_order(head).or(read_answer(head)) {
                prop_assert!(length <= UnitHead::BYTES + PICTURE_LIMIT_BYTES);
            }
            let _ = (Canvas::read(&body), DecodingCounters::read(&body), UnitHead::read(&body), SoundRecord::read(&body));
        }
    }
}
