//! What the parent asks of the child: a header, the picture's bytes, the music's bytes.

use std::io::{self, Read};

use super::{Geometry, PictureKind, TITLE_LIMIT_BYTES, UPLOAD_LIMIT_BYTES};

/// Bytes of a header without its title.
const FIXED_BYTES: usize = 3 * 4 + 2 + 1 + 2 * 8 + 2;

/// The header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) geometry: Geometry,
    /// The longest loop.
    pub(super) loop_seconds: u16,
    /// What the picture's bytes claim to be.
    pub(super) kind: Option<PictureKind>,
    pub(super) picture_bytes: u64,
    pub(super) music_bytes: u64,
    pub(super) title: String,
}

impl Order {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let title = self.title.floor_char_boundary(TITLE_LIMIT_BYTES);
        let title = &self.title.as_bytes()[..title];
        let mut bytes = Vec::with_capacity(FIXED_BYTES + title.len());
        for number in [
            self.geometry.width,
            self.geometry.height,
            self.geometry.frames_per_second,
        ] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.loop_seconds.to_be_bytes());
        bytes.push(match self.kind {
            None => 0,
            Some(PictureKind::Image) => 1,
            Some(PictureKind::Video) => 2,
        });
        bytes.extend(self.picture_bytes.to_be_bytes());
        bytes.extend(self.music_bytes.to_be_bytes());
        bytes.extend(u16::try_from(title.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(title);
        bytes
    }

    pub(super) fn read(input: &mut impl Read) -> io::Result<Self> {
        fn number<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
            let mut bytes = [0; N];
            input.read_exact(&mut bytes)?;
            Ok(bytes)
        }
        let geometry = Geometry {
            width: u32::from_be_bytes(number(input)?),
            height: u32::from_be_bytes(number(input)?),
            frames_per_second: u32::from_be_bytes(number(input)?),
        };
        let loop_seconds = u16::from_be_bytes(number(input)?);
        let kind = match number(input)? {
            [0] => None,
            [1] => Some(PictureKind::Image),
            [2] => Some(PictureKind::Video),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let picture_bytes = u64::from_be_bytes(number(input)?);
        let music_bytes = u64::from_be_bytes(number(input)?);
        let title_bytes = usize::from(u16::from_be_bytes(number(input)?));
        if title_bytes > TITLE_LIMIT_BYTES
            || picture_bytes > UPLOAD_LIMIT_BYTES
            || music_bytes > UPLOAD_LIMIT_BYTES
            || !geometry.is_possible()
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut title = vec![0; title_bytes];
        input.read_exact(&mut title)?;
        Ok(Self {
            geometry,
            loop_seconds,
            kind,
            picture_bytes,
            music_bytes,
            title: String::from_utf8(title).map_err(|_| io::ErrorKind::InvalidData)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_order_arrives_as_it_was_sent(title in ".{0,80}", kind in 0..3, bytes in 0..=UPLOAD_LIMIT_BYTES) {
            let order = Order {
                geometry: Geometry { width: 1_280, height: 720, frames_per_second: 30 },
                loop_seconds: 60,
                kind: [None, Some(PictureKind::Image), Some(PictureKind::Video)][usize::try_from(kind).unwrap()],
                picture_bytes: bytes,
                music_bytes: UPLOAD_LIMIT_BYTES - bytes,
                title,
            };

            let mut sent = &order.to_bytes()[..];

            prop_assert_eq!(Order::read(&mut sent).unwrap(), order);
            prop_assert!(sent.is_empty());
        }

        #[test]
        fn any_bytes_are_an_order_or_an_error(bytes: Vec<u8>) {
            drop(Order::read(&mut &bytes[..]));
        }
    }

    #[test]
    fn a_long_title_is_cut_between_two_characters() {
        let order = Order {
            geometry: Geometry {
                width: 16,
                height: 16,
                frames_per_second: 1,
            },
            loop_seconds: 2,
            kind: None,
            picture_bytes: 0,
            music_bytes: 0,
            title: "a".to_owned() + &"é".repeat(TITLE_LIMIT_BYTES),
        };

        let arrived = Order::read(&mut &order.to_bytes()[..]).unwrap();

        assert_eq!(arrived.title.len(), TITLE_LIMIT_BYTES - 1);
    }
}
