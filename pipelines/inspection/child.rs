//! The body of the child that decodes what studios send, one picture after another.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use ::gstreamer as gst;
use gst::prelude::*;

use super::{
    CODED, CONFIGURATION_LIMIT_BYTES, JPEG_WIDTH_LIMIT, PICTURE_LIMIT_BYTES, PictureLook, READY,
    SEEN, UNDECODABLE, thumbnail,
};
use crate::confinement::{
    Limits, confine,
    graph::{Graph, GraphError, Pulled, capsfilter, feeder, make, make_with, row_bytes},
    isolate, keep_only, leave_files,
};

/// What a child may use before it is replaced. A picture of 4096×4096 takes 100 MB.
const LIMITS: Limits = Limits {
    processor_seconds: 600,
    memory_bytes: 1024 * 1024 * 1024,
    files: 32,
};

/// How long a picture may take; the parent's patience is longer.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What decodes H.264, the quickest first, and what it takes.
const DECODERS: [(&str, &[(&str, &str)]); 2] = [
    ("avdec_h264", &[("max-threads", "1")]),
    ("openh264dec", &[]),
];

/// All elements that may be used.
const FACTORIES: [&str; 11] = [
    "appsink",
    "appsrc",
    "avdec_h264",
    "bin",
    "capsfilter",
    "h264parse",
    "jpegenc",
    "openh264dec",
    "pipeline",
    "videoconvert",
    "videoscale",
];

/// What is asked of a picture.
struct Question {
    configuration: Vec<u8>,
    picture: Vec<u8>,
    /// `None`: how it looks. Otherwise a JPEG of this width at most.
    jpeg_width: Option<u32>,
}

/// Looks at pictures from standard input until it ends.
///
/// Nothing else may run in this process. It must be called before any thread is started.
pub fn run() -> ExitCode {
    match inspect(&mut io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// [`run`] with other pipes.
pub fn inspect(input: &mut impl Read, mut output: impl Write) -> io::Result<()> {
    isolate();
    gst::init().map_err(io::Error::other)?;
    keep_only(&FACTORIES);
    confine(&LIMITS);
    leave_files();
    output.write_all(&[READY])?;
    output.flush()?;
    while let Some(question) = read(input)? {
        // The next child would fare no better where none can be decoded, and the parent waits before it starts one.
        let answer = answer(question).map_err(|_| io::ErrorKind::Unsupported)?;
        output.write_all(&answer.unwrap_or_else(|| vec![UNDECODABLE]))?;
        output.flush()?;
    }
    Ok(())
}

/// Reads the lengths of a decoder configuration and of a picture, the width of a JPEG or 0, and then both. `None` at the end.
fn read(input: &mut impl Read) -> io::Result<Option<Question>> {
    let mut numbers = [[0; 4]; 3];
    match input.read_exact(numbers.as_flattened_mut()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let [configuration, picture, width] = numbers.map(u32::from_be_bytes);
    let lengths = [configuration, picture].map(|length| length as usize);
    if lengths[0] > CONFIGURATION_LIMIT_BYTES
        || lengths[1] > PICTURE_LIMIT_BYTES
        || width > JPEG_WIDTH_LIMIT
    {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let [mut configuration, mut picture] = lengths.map(|length| vec![0; length]);
    input.read_exact(&mut configuration)?;
    input.read_exact(&mut picture)?;
    Ok(Some(Question {
        configuration,
        picture,
        jpeg_width: (width > 0).then_some(width),
    }))
}

/// Decodes a picture and tells what was asked. `None` where it is none; an error means that none can be decoded here.
fn answer(question: Question) -> Result<Option<Vec<u8>>, GraphError> {
    let deadline = Instant::now() + PATIENCE;
    let Some(sample) = decode(question.configuration, question.picture, deadline)? else {
        return Ok(None);
    };
    let Some(width) = question.jpeg_width else {
        return Ok(seen(&sample).map(|look| [&[SEEN], &look.to_bytes()[..]].concat()));
    };
    // Looks go on where there is no encoder.
    let jpeg = thumbnail::code(&sample, width, deadline).ok().flatten();
    Ok(jpeg.and_then(|jpeg| {
        let length = u32::try_from(jpeg.len()).ok()?;
        Some([&[CODED][..], &length.to_be_bytes(), &jpeg[..]].concat())
    }))
}

fn decode(
    configuration: Vec<u8>,
    picture: Vec<u8>,
    deadline: Instant,
) -> Result<Option<gst::Sample>, GraphError> {
    let caps = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("codec_data", gst::Buffer::from_mut_slice(configuration))
        .build();
    let source = feeder(&caps)?;
    let decoder = DECODERS
        .iter()
        .find_map(|(name, properties)| make_with(name, properties).ok())
        .ok_or(GraphError::Missing("avdec_h264"))?;
    // Decoders give planes with luma in front, which pass unchanged; what is deeper than 8 bits is converted.
    let planes = gst::Caps::builder("video/x-raw")
        .field("format", gst::List::new(["I420", "Y42B", "Y444", "GRAY8"]))
        .build();
    let graph = Graph::row(&[
        source.upcast_ref(),
        &make("h264parse")?,
        &decoder,
        &make("videoconvert")?,
        &capsfilter(&planes)?,
    ])?;
    let mut buffer = gst::Buffer::from_mut_slice(picture);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::ZERO);
        buffer.set_dts(gst::ClockTime::ZERO);
    }
    if source.push_buffer(buffer).is_err() || source.end_of_stream().is_err() {
        return Ok(None);
    }
    match graph.pull(deadline) {
        Pulled::Sample(sample) => Ok(Some(sample)),
        Pulled::End | Pulled::Broken => Ok(None),
    }
}

fn seen(sample: &gst::Sample) -> Option<PictureLook> {
    let structure = sample.caps()?.structure(0)?;
    let side = |name| usize::try_from(structure.get::<i32>(name).ok()?).ok();
    let (width, height) = (side("width")?, side("height")?);
    let bytes = sample.buffer()?.map_readable().ok()?;
    PictureLook::at(&bytes, width, height, row_bytes(width))
}
