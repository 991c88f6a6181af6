//! Pictures as bytes: I420, with masks and letters laid on.

use crate::{confinement::graph::row_bytes, slate::Geometry};

/// A colour (BT.709, limited range).
#[derive(Debug, Clone, Copy)]
pub(super) struct Colour {
    pub(super) luma: u8,
    pub(super) blue: u8,
    pub(super) red: u8,
}

/// Three planes, laid out as `GStreamer` does.
#[derive(Debug)]
pub(super) struct Canvas {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl Canvas {
    /// A picture of one colour.
    pub(super) fn new(geometry: Geometry, colour: Colour) -> Self {
        let (width, height) = (geometry.width as usize, geometry.height as usize);
        let luma = row_bytes(width) * height;
        let chroma = row_bytes(width / 2) * (height / 2);
        let mut bytes = vec![colour.luma; luma + 2 * chroma];
        bytes[luma..luma + chroma].fill(colour.blue);
        bytes[luma + chroma..].fill(colour.red);
        Self {
            width,
            height,
            bytes,
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Lays a colour on, as thick as `cover` says for a pixel: 0 is not at all, 255 hides what was there.
    pub(super) fn lay(&mut self, colour: Colour, cover: impl Fn(usize, usize) -> u8) {
        self.blend(|x, y| (colour, cover(x, y)));
    }

    /// Lays pixels on, each with how thick it is. The chroma of four pixels is that of the first.
    pub(super) fn blend(&mut self, pixel: impl Fn(usize, usize) -> (Colour, u8)) {
        let (luma, chroma) = self.bytes.split_at_mut(row_bytes(self.width) * self.height);
        let (blue, red) = chroma.split_at_mut(chroma.len() / 2);
        let (luma_row, chroma_row) = (row_bytes(self.width), row_bytes(self.width / 2));
        for y in 0..self.height {
            for x in 0..self.width {
                let (colour, cover) = pixel(x, y);
                if cover == 0 {
                    continue;
                }
                mix(&mut luma[y * luma_row + x], colour.luma, cover);
                if x % 2 == 0 && y % 2 == 0 {
                    let place = y / 2 * chroma_row + x / 2;
                    mix(&mut blue[place], colour.blue, cover);
                    mix(&mut red[place], colour.red, cover);
                }
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a mean of two bytes is one"
)]
fn mix(below: &mut u8, above: u8, cover: u8) {
    let cover = u32::from(cover);
    *below = ((u32::from(*below) * (255 - cover) + u32::from(above) * cover + 127) / 255) as u8;
}
