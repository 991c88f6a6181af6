//! The body of the child that decodes what studios send, one picture after another.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use ::gstreamer as gst;
use gst::prelude::*;

use super::{
    CONFIGURATION_LIMIT_BYTES, PICTURE_LIMIT_BYTES, PictureLook, READY, SEEN, UNDECODABLE,
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
const FACTORIES: [&str; 9] = [
    "appsink",
    "appsrc",
    "avdec_h264",
    "bin",
    "capsfilter",
    "h264parse",
    "openh264dec",
    "pipeline",
    "videoconvert",
];

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
    while let Some([configuration, picture]) = read(input)? {
        match look(configuration, picture) {
            Ok(Some(look)) => {
                output.write_all(&[SEEN])?;
                output.write_all(&look.to_bytes())?;
            }
            Ok(None) => output.write_all(&[UNDECODABLE])?,
            // The next child would fare no better, and the parent waits before it starts one.
            Err(_) => return Err(io::ErrorKind::Unsupported.into()),
        }
        output.flush()?;
    }
    Ok(())
}

/// Reads a decoder configuration and a picture. `None` at the end.
fn read(input: &mut impl Read) -> io::Result<Option<[Vec<u8>; 2]>> {
    let mut lengths = [[0; 4]; 2];
    match input.read_exact(lengths.as_flattened_mut()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let lengths = lengths.map(|length| u32::from_be_bytes(length) as usize);
    if lengths[0] > CONFIGURATION_LIMIT_BYTES || lengths[1] > PICTURE_LIMIT_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut parts = lengths.map(|length| vec![0; length]);
    for part in &mut parts {
        input.read_exact(part)?;
    }
    Ok(Some(parts))
}

/// Decodes a picture. An error means that none can be decoded here.
fn look(configuration: Vec<u8>, picture: Vec<u8>) -> Result<Option<PictureLook>, GraphError> {
    let deadline = Instant::now() + PATIENCE;
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
        Pulled::Sample(sample) => Ok(seen(&sample)),
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
