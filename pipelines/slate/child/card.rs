//! The default card: the show's title, and that it will be right back.

use std::time::Instant;

use ::gstreamer as gst;
use gst::prelude::*;

use super::{
    Failure,
    encoder::raw_caps,
    paint::{Canvas, Colour},
};
use crate::confinement::graph::{Graph, Pulled, feeder, make_with, row_bytes};
use crate::slate::Geometry;

/// What the card says below the title.
const MESSAGE: &str = "We will be right back";

/// Night blue, bright grey, and white.
const GROUND: Colour = Colour {
    luma: 34,
    blue: 136,
    red: 124,
};
const QUIET: Colour = Colour {
    luma: 168,
    blue: 131,
    red: 126,
};
const BRIGHT: Colour = Colour {
    luma: 235,
    blue: 128,
    red: 128,
};

/// The title's height of type as a fraction of the picture's shorter side; a long title is set smaller, down to the last.
const TITLE_SIZES: [u32; 5] = [8, 10, 13, 17, 22];

/// The message's.
const MESSAGE_SIZES: [u32; 1] = [22];

/// The smallest type that can be read, in pixels.
const TYPE_PIXELS_MINIMUM: u32 = 9;

/// The title may fill so much of the height, in percent.
const TITLE_PERCENT: u32 = 50;

/// Letters, white on black, of one picture's width less its margins.
struct Letters {
    width: usize,
    row: usize,
    /// The rows that have any.
    top: usize,
    height: usize,
    bytes: Vec<u8>,
}

/// Draws the card.
pub(super) fn draw(title: &str, geometry: Geometry, deadline: Instant) -> Result<Canvas, Failure> {
    let title: String = title
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    let title = set(title.trim(), true, &TITLE_SIZES, geometry, deadline)?;
    let message = set(MESSAGE, false, &MESSAGE_SIZES, geometry, deadline)?;
    let mut canvas = Canvas::new(geometry, GROUND);
    let height = geometry.height as usize;
    let gap = geometry.width.min(geometry.height) as usize / 14;
    let title_height = title.as_ref().map_or(0, |title| title.height + gap);
    let message_height = message.as_ref().map_or(0, |message| message.height);
    let top = height.saturating_sub(title_height + message_height) / 2;
    if let Some(title) = &title {
        title.lay_on(&mut canvas, geometry, top, BRIGHT);
    }
    if let Some(message) = &message {
        message.lay_on(&mut canvas, geometry, top + title_height, QUIET);
    }
    Ok(canvas)
}

/// Sets a text in the largest of these types in which all of it has room, else in the smallest. `None` without letters.
fn set(
    text: &str,
    is_bold: bool,
    sizes: &[u32],
    geometry: Geometry,
    deadline: Instant,
) -> Result<Option<Letters>, Failure> {
    let shorter = geometry.width.min(geometry.height);
    let limit = (geometry.height * TITLE_PERCENT / 100) as usize;
    let mut letters = None;
    for size in sizes {
        if text.is_empty() {
            break;
        }
        let pixels = (shorter / size).max(TYPE_PIXELS_MINIMUM);
        letters = write(text, is_bold, pixels, geometry, deadline)?;
        if letters
            .as_ref()
            .is_none_or(|letters| letters.height <= limit)
        {
            break;
        }
    }
    Ok(letters)
}

fn write(
    text: &str,
    is_bold: bool,
    pixels: u32,
    geometry: Geometry,
    deadline: Instant,
) -> Result<Option<Letters>, Failure> {
    let paper = Geometry {
        width: geometry.width - geometry.width / 16 * 2,
        ..geometry
    };
    let mut caps = raw_caps(paper, "GRAY8");
    caps.make_mut().set("framerate", gst::Fraction::new(1, 1));
    let source = feeder(&caps)?;
    let weight = if is_bold { "Bold " } else { "" };
    let overlay = make_with(
        "textoverlay",
        &[
            ("font-desc", &format!("Sans {weight}{pixels}px")),
            ("auto-resize", "false"),
            ("wrap-mode", "wordchar"),
            ("line-alignment", "center"),
            ("halignment", "center"),
            ("valignment", "center"),
            ("xpad", "0"),
            ("ypad", "0"),
            ("draw-shadow", "false"),
            ("draw-outline", "false"),
            ("color", "0xffffffff"),
        ],
    )?;
    // Pango takes it for markup.
    overlay.set_property("text", escaped(text));
    let graph = Graph::row(&[source.upcast_ref(), &overlay])?;
    let (width, height) = (paper.width as usize, paper.height as usize);
    let mut blank = gst::Buffer::from_mut_slice(vec![0_u8; row_bytes(width) * height]);
    if let Some(blank) = blank.get_mut() {
        blank.set_pts(gst::ClockTime::ZERO);
        blank.set_duration(gst::ClockTime::SECOND);
    }
    source.push_buffer(blank).map_err(|_| Failure::Coding)?;
    source.end_of_stream().map_err(|_| Failure::Coding)?;
    let Pulled::Sample(sample) = graph.pull(deadline) else {
        return Err(Failure::Coding);
    };
    let buffer = sample.buffer().ok_or(Failure::Coding)?;
    let bytes = buffer.map_readable().map_err(|_| Failure::Coding)?;
    Ok(Letters::cut(bytes.to_vec(), width))
}

/// Pango's markup is XML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

impl Letters {
    /// Finds the rows that have letters.
    fn cut(mut bytes: Vec<u8>, width: usize) -> Option<Self> {
        let row = row_bytes(width);
        // Black may be 16, and white 235 or 255.
        let (darkest, brightest) = (*bytes.iter().min()?, *bytes.iter().max()?);
        if darkest == brightest {
            return None;
        }
        let span = u32::from(brightest - darkest);
        for byte in &mut bytes {
            let cover = u32::from(*byte - darkest) * 255 / span;
            *byte = u8::try_from(cover).unwrap_or(u8::MAX);
        }
        let has_letters = |row: &[u8]| row[..width].iter().any(|&byte| byte > 0);
        let top = bytes.chunks_exact(row).position(has_letters)?;
        let bottom = bytes.chunks_exact(row).rposition(has_letters)?;
        Some(Self {
            width,
            row,
            top,
            height: bottom + 1 - top,
            bytes,
        })
    }

    fn lay_on(&self, canvas: &mut Canvas, geometry: Geometry, top: usize, colour: Colour) {
        let left = (geometry.width as usize - self.width) / 2;
        canvas.lay(colour, |x, y| {
            let (Some(x), Some(y)) = (x.checked_sub(left), y.checked_sub(top)) else {
                return 0;
            };
            if x >= self.width || y >= self.height {
                return 0;
            }
            self.bytes[(self.top + y) * self.row + x]
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_no_markup() {
        assert_eq!(
            escaped("<b>Q&A</b> \"x\""),
            "&lt;b&gt;Q&amp;A&lt;/b&gt; \"x\""
        );
    }
}
