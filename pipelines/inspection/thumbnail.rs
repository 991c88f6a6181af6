//! A decoded picture as a small JPEG.

use std::time::Instant;

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_app::AppSrc;

use super::JPEG_LIMIT_BYTES;
use crate::confinement::graph::{Graph, GraphError, Pulled, capsfilter, feeder, make, make_with};

/// What JPEG files are in (JFIF 1.02): luma of the whole range with the weights of BT.601.
const COLORIMETRY: &str = "1:4:7:1";

/// How good it is, of 100: no flaw is seen at this size.
const QUALITY: &str = "80";

/// The sides of a picture of square pixels that is at most `bound` wide, has the ratio of this one and is not larger.
///
/// Both are even, since chroma has half of them. Nothing is said of a picture without pixels.
pub(super) fn fitted(size: [u32; 2], pixel_ratio: [u32; 2], bound: u32) -> [u32; 2] {
    let [width, height] = size.map(u64::from);
    let [across, down] = pixel_ratio.map(|side| u64::from(side.max(1)));
    let shown = (width * across / down).max(1);
    let fitting = shown.min(u64::from(bound));
    let even = |side: u64| u32::try_from(side & !1).unwrap_or(u32::MAX).max(2);
    [even(fitting), even((height * fitting + shown / 2) / shown)]
}

/// Codes a decoded picture. `None` where that cannot be done; an error means that none can be coded here.
pub(super) fn code(
    sample: &gst::Sample,
    bound: u32,
    deadline: Instant,
) -> Result<Option<Vec<u8>>, GraphError> {
    let (Some(caps), Some(buffer)) = (sample.caps(), sample.buffer_owned()) else {
        return Ok(None);
    };
    let Some(shape) = shape(caps, bound) else {
        return Ok(None);
    };
    let source = feeder(&caps.to_owned())?;
    let graph = Graph::row(&[
        source.upcast_ref(),
        &make_with("videoscale", &[("add-borders", "false")])?,
        &capsfilter(&shape)?,
        // `GStreamer` 1.22 leaves the range as it is where only that differs: not by way of RGB.
        &make("videoconvert")?,
        &capsfilter(&raw("RGB", None))?,
        &make("videoconvert")?,
        &capsfilter(&raw("I420", Some(COLORIMETRY)))?,
        &make_with("jpegenc", &[("quality", QUALITY)])?,
    ])?;
    Ok(run(&source, buffer, &graph, deadline))
}

fn run(source: &AppSrc, buffer: gst::Buffer, graph: &Graph, deadline: Instant) -> Option<Vec<u8>> {
    source.push_buffer(buffer).ok()?;
    source.end_of_stream().ok()?;
    let Pulled::Sample(sample) = graph.pull(deadline) else {
        return None;
    };
    let bytes = sample.buffer()?.map_readable().ok()?;
    (bytes.len() <= JPEG_LIMIT_BYTES).then(|| bytes.to_vec())
}

/// What is to come out of scaling.
fn shape(caps: &gst::CapsRef, bound: u32) -> Option<gst::Caps> {
    let structure = caps.structure(0)?;
    let pixels = |name| u32::try_from(structure.get::<i32>(name).ok()?).ok();
    let size = [pixels("width")?, pixels("height")?];
    if size.contains(&0) {
        return None;
    }
    let ratio = structure.get::<gst::Fraction>("pixel-aspect-ratio");
    let ratio = ratio.ok().and_then(|ratio| {
        let positive = |part| u32::try_from(part).ok().filter(|part| *part > 0);
        Some([positive(ratio.numer())?, positive(ratio.denom())?])
    });
    let [width, height] =
        fitted(size, ratio.unwrap_or([1, 1]), bound).map(|side| i32::try_from(side).ok());
    let caps = gst::Caps::builder("video/x-raw")
        .field("width", width?)
        .field("height", height?)
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1));
    Some(caps.build())
}

fn raw(format: &str, colorimetry: Option<&str>) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", format)
        .field_if_some("colorimetry", colorimetry)
        .build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_picture_is_made_smaller_with_its_ratio_and_never_larger() {
        for (size, ratio, bound, expected) in [
            ([1_920, 1_080], [1, 1], 640, [640, 360]),
            ([1_080, 1_920], [1, 1], 640, [640, 1_138]),
            ([320, 180], [1, 1], 1_280, [320, 180]),
            ([1_366, 768], [1, 1], 64, [64, 36]),
            ([720, 576], [64, 45], 640, [640, 360]),
            ([1, 1], [1, 1], 64, [2, 2]),
        ] {
            assert_eq!(fitted(size, ratio, bound), expected, "{size:?}");
        }
    }

    proptest! {
        #[test]
        fn any_picture_fits(width in 1..=16_384_u32, height in 1..=16_384_u32, ratio: [u32; 2], bound in 64..=1_280_u32) {
            let [wide, high] = fitted([width, height], ratio, bound);

            prop_assert!((2..=bound).contains(&wide) && (2..=height.max(2)).contains(&high));
            prop_assert!(wide % 2 == 0 && high % 2 == 0);
        }
    }
}
