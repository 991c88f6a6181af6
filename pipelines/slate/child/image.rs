//! One uploaded image, fitted into the picture.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    time::Instant,
};

use ::gstreamer as gst;

use super::{
    Failure,
    encoder::coloured_caps,
    header::{Format, Header},
    paint::{Canvas, Colour},
};
use crate::confinement::graph::{Graph, Pulled, capsfilter, make, make_with, row_bytes, source};
use crate::slate::Geometry;

/// The most pixels that are decoded; four bytes each are within the limit of memory.
const PIXELS_LIMIT: u64 = 40_000_000;

/// What is seen where the image is not.
const BLACK: Colour = Colour {
    luma: 16,
    blue: 128,
    red: 128,
};

/// Decodes an image and fits it into the picture, all of it, black around it.
pub(super) fn decode(
    mut file: &File,
    geometry: Geometry,
    deadline: Instant,
) -> Result<Canvas, Failure> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let header = Header::read(&bytes).ok_or(Failure::InvalidPicture)?;
    drop(bytes);
    file.rewind()?;
    if header.pixels() > PIXELS_LIMIT {
        return Err(Failure::InvalidPicture);
    }
    // A PNG may be transparent. GStreamer 1.22 gets the opacity of what has none wrong for some formats, not for these.
    let (decoder, format) = match header.format {
        Format::Png => ("pngdec", "A420"),
        Format::Jpeg => ("jpegdec", "I420"),
    };
    let graph = Graph::row(&[
        &source(file)?,
        &make(decoder)?,
        &make("videoconvert")?,
        &make_with("videoscale", &[("add-borders", "true")])?,
        &capsfilter(&coloured_caps(geometry, format))?,
    ])?;
    match graph.pull(deadline) {
        Pulled::Sample(sample) => lay(&sample, geometry).ok_or(Failure::Coding),
        Pulled::End | Pulled::Broken => Err(Failure::InvalidPicture),
    }
}

/// Lays a picture on black, by its plane of opacity if it has one.
fn lay(sample: &gst::Sample, geometry: Geometry) -> Option<Canvas> {
    let bytes = sample.buffer()?.map_readable().ok()?;
    let (width, height) = (geometry.width as usize, geometry.height as usize);
    let (luma_row, chroma_row) = (row_bytes(width), row_bytes(width / 2));
    let (luma, rest) = bytes.split_at_checked(luma_row * height)?;
    let (blue, rest) = rest.split_at_checked(chroma_row * (height / 2))?;
    let (red, cover) = rest.split_at_checked(chroma_row * (height / 2))?;
    let mut canvas = Canvas::new(geometry, BLACK);
    canvas.blend(|x, y| {
        let chroma = y / 2 * chroma_row + x / 2;
        let colour = Colour {
            luma: luma[y * luma_row + x],
            blue: blue[chroma],
            red: red[chroma],
        };
        let cover = cover.get(y * luma_row + x);
        (colour, cover.copied().unwrap_or(u8::MAX))
    });
    Some(canvas)
}
