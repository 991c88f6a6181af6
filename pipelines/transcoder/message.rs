//! What parent and child say to each other: a tag, a length, and a body.

use std::time::Duration;

use media::VideoCodec;

use super::{Canvas, SIDE_LIMITS, SpeedPreset};

/// The most bytes of one picture, either way; a keyframe of 4096 lines has about 1 MB.
pub(super) const PICTURE_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of an `AVCDecoderConfigurationRecord`.
pub(super) const RECORD_LIMIT_BYTES: usize = 4 * 1024;

/// The most pictures a second that can be asked for.
const FRAMES_LIMIT: u32 = 120;

/// The most kilobits a second that can be asked for.
pub(super) const BITRATE_LIMIT_KBPS: u32 = 100_000;

/// A tag and a length.
pub(super) const HEAD_BYTES: usize = 5;

/// Flags and a time in front of a picture.
pub(super) const PICTURE_HEAD_BYTES: usize = 9;

/// What the parent says.
pub(super) mod order {
    /// What there is to do, once, first.
    pub(in crate::transcoder) const CONFIGURE: u8 = 1;
    /// H.264: the parameters of the pictures from here on.
    pub(in crate::transcoder) const RECORD: u8 = 2;
    /// A picture.
    pub(in crate::transcoder) const PICTURE: u8 = 3;
    /// Another bitrate.
    pub(in crate::transcoder) const BITRATE: u8 = 4;
}

/// What the child says.
pub(super) mod answer {
    /// It has started, and waits for its configuration.
    pub(in crate::transcoder) const READY: u8 = 1;
    /// The parameters of what comes out, before the first picture.
    pub(in crate::transcoder) const RECORD: u8 = 2;
    /// An access unit.
    pub(in crate::transcoder) const UNIT: u8 = 3;
    /// It is done with a picture; the body tells whether the decoder made something of it.
    pub(in crate::transcoder) const DONE: u8 = 4;
}

/// What is said of a picture, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PictureHead {
    /// Whether a decoder can begin here.
    pub(super) keyframe: bool,
    /// To the child: it is to be decoded, since others refer to it, and no more.
    pub(super) skip: bool,
    /// To the child: what comes out next must be a keyframe.
    pub(super) force_keyframe: bool,
    pub(super) timestamp: Duration,
}

impl PictureHead {
    pub(super) fn to_bytes(self) -> [u8; PICTURE_HEAD_BYTES] {
        let flags =
            u8::from(self.keyframe) | u8::from(self.skip) << 1 | u8::from(self.force_keyframe) << 2;
        let mut bytes = [flags; PICTURE_HEAD_BYTES];
        let nanoseconds = u64::try_from(self.timestamp.as_nanos()).unwrap_or(u64::MAX);
        bytes[1..].copy_from_slice(&nanoseconds.to_be_bytes());
        bytes
    }

    /// Reads the beginning of a picture's body.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (&[flags], rest) = body.split_first_chunk()?;
        let nanoseconds = u64::from_be_bytes(*rest.first_chunk()?);
        (flags < 8).then_some(Self {
            keyframe: flags & 1 != 0,
            skip: flags & 2 != 0,
            force_keyframe: flags & 4 != 0,
            timestamp: Duration::from_nanos(nanoseconds),
        })
    }
}

/// What a child is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) codec: VideoCodec,
    pub(super) canvas: Canvas,
}

impl Configuration {
    pub(super) const BYTES: usize = 18;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let Canvas {
            width,
            height,
            frames_per_second,
            kilobits_per_second,
            preset,
        } = self.canvas;
        let codec = VideoCodec::ALL
            .iter()
            .position(|codec| *codec == self.codec);
        let preset = SpeedPreset::ALL.iter().position(|one| *one == preset);
        let mut bytes: Vec<u8> = [codec, preset]
            .map(|place| place.and_then(|place| u8::try_from(place).ok()))
            .map(|place| place.unwrap_or(u8::MAX))
            .to_vec();
        for number in [width, height, frames_per_second, kilobits_per_second] {
            bytes.extend(number.to_be_bytes());
        }
        bytes
    }

    /// `None` where something is out of bounds.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (&[codec, preset], rest) = body.split_first_chunk()?;
        let (numbers, []) = rest.as_chunks::<4>() else {
            return None;
        };
        let numbers: [u32; 4] = numbers
            .iter()
            .map(|number| u32::from_be_bytes(*number))
            .collect::<Vec<_>>()
            .try_into()
            .ok()?;
        let [width, height, frames_per_second, kilobits_per_second] = numbers;
        let sides = SIDE_LIMITS.0..=SIDE_LIMITS.1;
        let is_possible = [width, height]
            .iter()
            .all(|side| sides.contains(side) && side.is_multiple_of(2))
            && (1..=FRAMES_LIMIT).contains(&frames_per_second)
            && (1..=BITRATE_LIMIT_KBPS).contains(&kilobits_per_second);
        is_possible.then_some(Self {
            codec: *VideoCodec::ALL.get(usize::from(codec))?,
            canvas: Canvas {
                width,
                height,
                frames_per_second,
                kilobits_per_second,
                preset: *SpeedPreset::ALL.get(usize::from(preset))?,
            },
        })
    }
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
    let fits = match tag {
        order::CONFIGURE => length == Configuration::BYTES,
        order::RECORD => length <= RECORD_LIMIT_BYTES,
        order::PICTURE => is_picture(length),
        order::BITRATE => length == 4,
        _ => false,
    };
    fits.then_some((tag, length))
}

/// Returns tag and length of an answer, if such a one may be.
pub(super) fn read_answer([tag, length @ ..]: [u8; HEAD_BYTES]) -> Option<(u8, usize)> {
    let length = u32::from_be_bytes(length) as usize;
    let fits = match tag {
        answer::READY => length == 0,
        answer::RECORD => length <= RECORD_LIMIT_BYTES,
        answer::UNIT => is_picture(length),
        answer::DONE => length == 1,
        _ => false,
    };
    fits.then_some((tag, length))
}

fn is_picture(length: usize) -> bool {
    (PICTURE_HEAD_BYTES..=PICTURE_HEAD_BYTES + PICTURE_LIMIT_BYTES).contains(&length)
}

/// Whether a coded picture is a row of slices, and all of them of an IDR picture. `None`: it is no such row.
pub(super) fn is_keyframe(picture: &[u8]) -> Option<bool> {
    let mut rest = picture;
    let mut kind = None;
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (nal, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        // A header byte, and at least one of the slice.
        let [header, _, ..] = nal else { return None };
        let this = match header & 0x9f {
            1 => false,
            5 => true,
            _ => return None,
        };
        if kind.is_some_and(|kind| kind != this) {
            return None;
        }
        kind = Some(this);
        rest = tail;
    }
    kind
}

/// Leaves out of a coded picture what is no slice.
pub(super) fn slices(picture: &[u8]) -> Option<Vec<u8>> {
    let mut rest = picture;
    let mut slices = Vec::with_capacity(picture.len());
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (nal, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if matches!(nal.first()? & 0x1f, 1 | 5) {
            slices.extend(length);
            slices.extend(nal);
        }
        rest = tail;
    }
    Some(slices)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIGURATION: Configuration = Configuration {
        codec: VideoCodec::Vp9,
        canvas: Canvas {
            width: 1_280,
            height: 720,
            frames_per_second: 30,
            kilobits_per_second: 3_000,
            preset: SpeedPreset::Veryfast,
        },
    };

    #[test]
    fn a_configuration_is_read_as_it_was_written() {
        let bytes = CONFIGURATION.to_bytes();

        assert_eq!(bytes.len(), Configuration::BYTES);
        assert_eq!(Configuration::read(&bytes), Some(CONFIGURATION));
    }

    #[test]
    fn a_configuration_out_of_bounds_is_none() {
        let changes: [fn(&mut Canvas); 6] = [
            |canvas| canvas.width = 4_098,
            |canvas: &mut Canvas| canvas.height = 14,
            |canvas| canvas.width = 641,
            |canvas| canvas.frames_per_second = 0,
            |canvas| canvas.frames_per_second = FRAMES_LIMIT + 1,
            |canvas| canvas.kilobits_per_second = BITRATE_LIMIT_KBPS + 1,
        ];
        for change in changes {
            let mut configuration = CONFIGURATION;
            change(&mut configuration.canvas);

            assert_eq!(Configuration::read(&configuration.to_bytes()), None);
        }
    }

    #[test]
    fn a_picture_at_the_limit_is_taken_and_one_beyond_it_is_not() {
        let limit = PICTURE_HEAD_BYTES + PICTURE_LIMIT_BYTES;

        for (read, tag) in [
            (
                read_order as fn([u8; 5]) -> Option<(u8, usize)>,
                order::PICTURE,
            ),
            (read_answer, answer::UNIT),
        ] {
            assert_eq!(read(head(tag, limit)), Some((tag, limit)));
            assert_eq!(read(head(tag, limit + 1)), None);
            assert_eq!(read(head(tag, PICTURE_HEAD_BYTES - 1)), None);
        }
    }

    proptest! {
        #[test]
        fn a_picture_s_head_is_read_as_it_was_written(flags in any::<[bool; 3]>(), nanoseconds: u64) {
            let [keyframe, skip, force_keyframe] = flags;
            let timestamp = Duration::from_nanos(nanoseconds);
            let head = PictureHead { keyframe, skip, force_keyframe, timestamp };

            prop_assert_eq!(PictureHead::read(&head.to_bytes()), Some(head));
        }

        #[test]
        fn any_bytes_are_slices_or_none(bytes: Vec<u8>, length in 0..12_u8) {
            let framed = [&[0, 0, 0, length][..], &bytes].concat();
            for picture in [&bytes[..], &framed] {
                let _ = is_keyframe(picture);
                let _ = Configuration::read(picture);
                let _ = PictureHead::read(picture);
                if let Some(slices) = slices(picture) {
                    prop_assert!(slices.len() <= picture.len());
                }
            }
        }
    }
}
