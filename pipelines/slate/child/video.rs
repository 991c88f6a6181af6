//! An uploaded video: its pictures at the live rate, fitted into the live picture, as whole groups of pictures.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    time::Duration,
};

use ::gstreamer as gst;

use super::{
    Failure, Times,
    encoder::{Effort, Encoder, picture_caps},
};
use crate::confinement::graph::{Graph, Pulled, capsfilter, make, make_with};
use crate::slate::order::Order;

/// The most pixels of a video: 8192 × 4320.
const PIXELS_LIMIT: i64 = 36_000_000;

/// When a loop ends although there is more; the sound has to be coded yet.
const PATIENCE: Duration = Duration::from_secs(15);

/// Codes the loop. Returns how many pictures it has.
pub(super) fn code(
    mut file: &File,
    order: &Order,
    times: Times,
    send: impl FnMut(u8, &[u8]) -> Result<(), Failure>,
) -> Result<u32, Failure> {
    let mut head = [0; 8];
    file.read_exact(&mut head)
        .and_then(|()| file.rewind())
        .map_err(|_| Failure::InvalidPicture)?;
    if head[4..] != *b"ftyp" {
        return Err(Failure::InvalidPicture);
    }
    let geometry = order.geometry;
    let graph = Graph::decoded(
        file,
        "video/x-raw",
        is_moderate,
        &[
            // Telephones film upright by saying so.
            &make_with("videoflip", &[("video-direction", "auto")])?,
            &make("videoconvert")?,
            &make_with("videoscale", &[("add-borders", "true")])?,
            &make("videorate")?,
            &capsfilter(&picture_caps(geometry))?,
        ],
    )?;
    let mut encoder = Encoder::new(geometry, Effort::Moving, send)?;
    let group = geometry.group_pictures();
    let longest = u32::from(order.loop_seconds) * geometry.frames_per_second;
    let mut last = None;
    while encoder.pushed() < longest
        && (encoder.pushed() < group || times.begun.elapsed() < PATIENCE)
    {
        // A file that is damaged further on is as good as a shorter one.
        let Pulled::Sample(sample) = graph.pull(times.deadline) else {
            break;
        };
        let picture = sample.buffer_owned().ok_or(Failure::Coding)?;
        encoder.push(&picture)?;
        last = Some(picture);
    }
    drop(graph);
    let last = last.ok_or(Failure::InvalidPicture)?;
    // A loop that is shorter than a group ends with a still.
    while encoder.pushed() < group {
        encoder.push(&last)?;
    }
    encoder.finish(times.deadline)
}

fn is_moderate(picture: &gst::StructureRef) -> bool {
    let side = |name| picture.get::<i32>(name).map_or(i64::MAX, i64::from);
    side("width").saturating_mul(side("height")) <= PIXELS_LIMIT
}
