//! How large an image says it is, before anything is made of it.

/// The formats of images that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
}

/// What an image says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) format: Format,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Header {
    pub(super) const fn pixels(&self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Reads the header of a PNG or JPEG file. `None` when it is neither.
    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let (format, [width, height]) = match file {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', rest @ ..] => {
                (Format::Png, png_size(rest)?)
            }
            [0xff, 0xd8, rest @ ..] => (Format::Jpeg, jpeg_size(rest)?),
            _ => return None,
        };
        (width > 0 && height > 0).then_some(Self {
            format,
            width,
            height,
        })
    }
}

/// The IHDR chunk must come first.
fn png_size(chunk: &[u8]) -> Option<[u32; 2]> {
    let (head, rest) = chunk.split_first_chunk::<8>()?;
    if head[4..] != *b"IHDR" {
        return None;
    }
    let (width, rest) = rest.split_first_chunk::<4>()?;
    let (height, _) = rest.split_first_chunk::<4>()?;
    Some([*width, *height].map(u32::from_be_bytes))
}

/// The first start-of-frame segment.
fn jpeg_size(mut segments: &[u8]) -> Option<[u32; 2]> {
    loop {
        let (&prefix, rest) = segments.split_first()?;
        let (&marker, rest) = rest.split_first()?;
        if prefix != 0xff {
            return None;
        }
        match marker {
            // A byte that fills.
            0xff => {
                segments = &segments[1..];
                continue;
            }
            // Markers that stand alone.
            0x01 | 0xd0..=0xd7 => {
                segments = rest;
                continue;
            }
            // Pictures begin, or the file ends, before a size was told.
            0xd8..=0xda => return None,
            _ => {}
        }
        let (length, _) = rest.split_first_chunk::<2>()?;
        let (segment, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        // All but tables (C4, CC) and the reserved C8 begin a frame.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let &[_, _, _, high, low, wide, narrow, ..] = segment else {
                return None;
            };
            return Some([[high, low], [wide, narrow]].map(|side| u16::from_be_bytes(side).into()))
                .map(|[height, width]| [width, height]);
        }
        segments = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PNG: [u8; 24] = *b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x05\0\0\0\x02\xd0";
    const JPEG: [u8; 22] =
        *b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x0b\x08\x02\xd0\x05\0\x03\0\0\0";

    #[test]
    fn the_size_of_an_image_is_read() {
        for (file, format) in [(&PNG[..], Format::Png), (&JPEG[..], Format::Jpeg)] {
            let header = Header::read(file).unwrap();

            assert_eq!(
                (header.format, header.width, header.height),
                (format, 1_280, 720)
            );
        }
    }

    #[test]
    fn what_is_no_image_has_no_size() {
        for file in [
            &b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..],
            b"GIF89a\x01\0\x01\0",
            b"hello",
            b"",
            &PNG[..20],
            &JPEG[..12],
        ] {
            assert_eq!(Header::read(file), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_size_or_none(bytes: Vec<u8>, cut in 0..22_usize, flip in (2..22_usize, any::<u8>())) {
            let mut damaged = JPEG;
            damaged[flip.0] ^= flip.1;
            for file in [&bytes[..], &damaged[..cut], &damaged[..], &[&JPEG[..2], &bytes[..]].concat()] {
                if let Some(header) = Header::read(file) {
                    prop_assert!(header.pixels() > 0);
                }
            }
        }
    }
}
