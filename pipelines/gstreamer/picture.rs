//! The synthetic studio's picture: a texture that pans, a bar that runs, a white flash at each cue, and its own number.

use std::time::Duration;

use super::{counter, cue};

/// How far the texture moves a picture, in pixels; even, so that chroma moves whole pixels.
const PAN_PIXELS: usize = 4;

/// How far the bar moves a picture; not a multiple of the pan, so that no two pictures in a row are alike.
const BAR_PIXELS: usize = 10;

/// Video white and neutral colour (BT.601 limited range).
const WHITE: u8 = 235;
const NEUTRAL: u8 = 128;

/// Draws I420 pictures.
#[derive(Debug)]
pub(super) struct Painter {
    width: usize,
    height: usize,
    /// One row of each plane is twice as wide as the picture, so that any pan is one copy.
    planes: [Plane; 3],
}

#[derive(Debug)]
struct Plane {
    texture: Vec<u8>,
    width: usize,
    height: usize,
    divisor: usize,
}

impl Painter {
    /// `width` and `height` are in pixels and even.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let planes = [
            Plane::new(width, height, 1, luma),
            Plane::new(width / 2, height / 2, 2, chroma),
            Plane::new(width / 2, height / 2, 2, |x, y| chroma(y, x)),
        ];
        Self {
            width,
            height,
            planes,
        }
    }

    /// Bytes of one picture.
    pub(super) fn size_bytes(&self) -> usize {
        self.width * self.height * 3 / 2
    }

    /// Draws the picture with this number, which is shown at `time`.
    pub(super) fn draw(&self, number: u64, time: Duration, picture: &mut [u8]) {
        let (luma, chroma) = picture.split_at_mut(self.width * self.height);
        let (blue, red) = chroma.split_at_mut(chroma.len() / 2);
        if cue::is_on(time) {
            luma.fill(WHITE);
            blue.fill(NEUTRAL);
            red.fill(NEUTRAL);
        } else {
            self.draw_texture(number, luma, blue, red);
        }
        counter::draw(number, self.width, luma, [blue, red]);
    }

    fn draw_texture(&self, number: u64, luma: &mut [u8], blue: &mut [u8], red: &mut [u8]) {
        let number = usize::try_from(number).unwrap_or_default();
        for (plane, target) in self.planes.iter().zip([&mut *luma, blue, red]) {
            plane.copy(number * PAN_PIXELS, target);
        }
        let bar_width = self.width / 32;
        let bar = number * BAR_PIXELS % (self.width - bar_width);
        for row in luma.chunks_exact_mut(self.width) {
            row[bar..bar + bar_width].fill(WHITE);
        }
    }
}

impl Plane {
    fn new(
        width: usize,
        height: usize,
        divisor: usize,
        value: impl Fn(usize, usize) -> u8,
    ) -> Self {
        let texture = (0..height)
            .flat_map(|y| (0..width * 2).map(move |x| (x % width, y)))
            .map(|(x, y)| value(x, y))
            .collect();
        Self {
            texture,
            width,
            height,
            divisor,
        }
    }

    fn copy(&self, pan_pixels: usize, target: &mut [u8]) {
        let pan = pan_pixels / self.divisor % self.width;
        let rows = self.texture.chunks_exact(self.width * 2);
        for (row, target) in rows
            .zip(target.chunks_exact_mut(self.width))
            .take(self.height)
        {
            target.copy_from_slice(&row[pan..pan + self.width]);
        }
    }
}

/// A dark ramp with some grain: far below white, and enough detail to cost bits.
#[expect(clippy::cast_possible_truncation, reason = "the sum stays below 112")]
fn luma(x: usize, y: usize) -> u8 {
    16 + ((x / 16 + y / 8) % 64) as u8 + grain(x / 2, y / 2) % 32
}

#[expect(clippy::cast_possible_truncation, reason = "below 64")]
fn chroma(x: usize, y: usize) -> u8 {
    96 + ((x / 24 + y / 40) % 64) as u8
}

/// The same noise at each start, so that runs can be compared.
#[expect(clippy::cast_possible_truncation, reason = "a hash is cut to a byte")]
fn grain(x: usize, y: usize) -> u8 {
    let mixed = (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77);
    (mixed.wrapping_mul(0xc2b2_ae3d) >> 24) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(number: u64, milliseconds: u64) -> Vec<u8> {
        let painter = Painter::new(320, 180);
        let mut picture = vec![0; painter.size_bytes()];
        painter.draw(number, Duration::from_millis(milliseconds), &mut picture);
        picture
    }

    #[test]
    fn a_cue_is_a_white_picture_below_its_number() {
        let picture = drawn(30, 1_000);

        assert!(
            picture[320 * 9..320 * 180]
                .iter()
                .all(|&luma| luma == WHITE)
        );
        assert!(picture[320 * 180..].iter().all(|&chroma| chroma == NEUTRAL));
    }

    #[test]
    fn other_pictures_are_dark_and_differ_from_the_one_before() {
        let (one, next) = (drawn(7, 233), drawn(8, 267));

        let mean = one[..320 * 180]
            .iter()
            .map(|&luma| u64::from(luma))
            .sum::<u64>()
            / (320 * 180);
        assert!(mean < 100, "mean luma {mean}");
        assert_ne!(one, next);
    }
}
