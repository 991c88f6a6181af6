//! The body of the child that codes slates. It reads uploads of strangers, so it gives up what it can before.

mod card;
mod encoder;
mod header;
mod image;
mod paint;
mod sound;
mod video;

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek as _, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use nix::sys::memfd::{MFdFlags, memfd_create};

use self::{
    encoder::{Effort, Encoder},
    paint::Canvas,
};
use super::{
    Geometry, PictureKind,
    answer::{LOOP_SECONDS, SOUND_LIMIT_PACKETS, sound_packets, tag},
    order::Order,
};
use crate::confinement::{Limits, confine, graph::GraphError, isolate, keep_only, leave_files};

/// What a child may use. A picture of 4096×4096 takes 600 MB, most of it the encoder's.
const LIMITS: Limits = Limits {
    processor_seconds: 60,
    memory_bytes: 2 * 1024 * 1024 * 1024,
    files: 64,
};

/// When everything is over; the parent kills 5 s later.
const PATIENCE: Duration = Duration::from_secs(25);

/// The elements that every slate takes.
const ALWAYS: [&str; 6] = [
    "appsink",
    "appsrc",
    "bin",
    "capsfilter",
    "pipeline",
    "x264enc",
];

/// The elements of a card.
const CARD: [&str; 1] = ["textoverlay"];

/// The elements of an image.
const IMAGE: [&str; 5] = ["fdsrc", "jpegdec", "pngdec", "videoconvert", "videoscale"];

/// The elements of videos and music. No other is there for `GStreamer` to choose.
const RECORDING: &[&str] = &[
    "decodebin",
    "fdsrc",
    "multiqueue",
    "queue",
    "typefind",
    // Pictures.
    "videoconvert",
    "videoflip",
    "videorate",
    "videoscale",
    // Containers.
    "flacparse",
    "id3demux",
    "oggdemux",
    "qtdemux",
    "wavparse",
    // Coded pictures.
    "av1dec",
    "av1parse",
    "avdec_h264",
    "avdec_h265",
    "dav1ddec",
    "h264parse",
    "h265parse",
    "openh264dec",
    "vp9dec",
    // Sound.
    "aacparse",
    "audioconvert",
    "audioresample",
    "avdec_aac",
    "avdec_mp3",
    "faad",
    "flacdec",
    "mpegaudioparse",
    "mpg123audiodec",
    "opusdec",
    "vorbisdec",
];

/// Why no slate comes of it.
#[derive(Debug)]
enum Failure {
    InvalidPicture,
    InvalidMusic,
    Missing(&'static str),
    /// Nothing that the upload could have done.
    Coding,
    /// The parent is gone, or an upload did not arrive.
    Pipe,
}

/// When work began, and when it is too late.
#[derive(Debug, Clone, Copy)]
struct Times {
    begun: Instant,
    deadline: Instant,
}

impl From<GraphError> for Failure {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Missing(name) => Self::Missing(name),
            GraphError::Broken => Self::Coding,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Pipe
    }
}

/// Reads one order from standard input, writes the slate to standard output, and is done with.
///
/// Nothing else may run in this process. It must be called before any thread is started.
pub fn run() -> ExitCode {
    render(&mut io::stdin().lock(), BufWriter::new(io::stdout().lock()))
}

/// [`run`] with other pipes.
pub fn render(input: &mut impl Read, output: impl Write) -> ExitCode {
    let begun = Instant::now();
    let times = Times {
        begun,
        deadline: begun + PATIENCE,
    };
    let mut answer = Answer { output };
    let outcome = answer
        .fulfil(input, times)
        .or_else(|failure| answer.apologise(&failure));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The way to the parent.
struct Answer<W> {
    output: W,
}

impl<W: Write> Answer<W> {
    fn fulfil(&mut self, input: &mut impl Read, times: Times) -> Result<(), Failure> {
        isolate();
        ::gstreamer::init().map_err(|_| Failure::Coding)?;
        let order = Order::read(input)?;
        let picture = store(input, order.picture_bytes)?;
        let music = store(input, order.music_bytes)?;
        let mut factories = ALWAYS.to_vec();
        factories.extend(match order.kind {
            None => &CARD[..],
            Some(PictureKind::Image) => &IMAGE,
            Some(PictureKind::Video) => RECORDING,
        });
        factories.extend(music.iter().flat_map(|_| RECORDING));
        keep_only(&factories);
        confine(&LIMITS);
        let geometry = order.geometry;
        let pictures = match (order.kind, &picture) {
            (Some(PictureKind::Video), Some(file)) => {
                leave_files();
                video::code(file, &order, times, |tag, record| self.send(tag, record))?
            }
            (Some(PictureKind::Image), Some(file)) => {
                leave_files();
                let image = image::decode(file, geometry, times.deadline)?;
                self.code_still(image, geometry, times)?
            }
            (Some(_), None) => return Err(Failure::InvalidPicture),
            (None, _) => {
                // Letters come from files.
                let card = card::draw(&order.title, geometry, times.deadline)?;
                leave_files();
                self.code_still(card, geometry, times)?
            }
        };
        match (&music, &picture, order.kind) {
            (Some(music), ..) => {
                let longest = usize::from(order.loop_seconds) * SOUND_LIMIT_PACKETS
                    / usize::from(LOOP_SECONDS);
                if self.code_sound(music, longest, times)? == 0 {
                    return Err(Failure::InvalidMusic);
                }
            }
            (None, Some(video), Some(PictureKind::Video)) => {
                let length = sound_packets(pictures, geometry);
                let count = self.code_sound(video, length, times)?;
                // Pictures and sound go round together.
                if count > 0 {
                    for silence in sound::silence(length.saturating_sub(count))? {
                        self.send(tag::SOUND, &silence)?;
                    }
                }
            }
            _ => {}
        }
        self.send(tag::DONE, &[])?;
        Ok(self.output.flush()?)
    }

    fn code_still(
        &mut self,
        canvas: Canvas,
        geometry: Geometry,
        times: Times,
    ) -> Result<u32, Failure> {
        let picture = ::gstreamer::Buffer::from_mut_slice(canvas.into_bytes());
        let mut encoder = Encoder::new(geometry, Effort::Still, |tag, record| {
            self.send(tag, record)
        })?;
        for _ in 0..geometry.group_pictures() {
            encoder.push(&picture)?;
        }
        encoder.finish(times.deadline)
    }

    /// Codes the file's sound and returns how many packets it gave; none where it has no sound.
    fn code_sound(&mut self, file: &File, longest: usize, times: Times) -> Result<usize, Failure> {
        let mut count = 0;
        sound::code(file, times.deadline, |packet| {
            self.send(tag::SOUND, packet)?;
            count += 1;
            Ok(count < longest)
        })?;
        Ok(count)
    }

    fn send(&mut self, tag: u8, body: &[u8]) -> Result<(), Failure> {
        let length = u32::try_from(body.len()).map_err(|_| Failure::Coding)?;
        self.output.write_all(&[tag])?;
        self.output.write_all(&length.to_be_bytes())?;
        Ok(self.output.write_all(body)?)
    }

    fn apologise(&mut self, failure: &Failure) -> Result<(), Failure> {
        match failure {
            Failure::InvalidPicture => self.send(tag::INVALID_PICTURE, &[]),
            Failure::InvalidMusic => self.send(tag::INVALID_MUSIC, &[]),
            Failure::Missing(name) => self.send(tag::MISSING, name.as_bytes()),
            Failure::Coding | Failure::Pipe => self.send(tag::FAILED, &[]),
        }?;
        Ok(self.output.flush()?)
    }
}

/// Keeps an upload in memory, as a file that can be read from any place. Later no file can be written.
fn store(input: &mut impl Read, length: u64) -> Result<Option<File>, Failure> {
    if length == 0 {
        return Ok(None);
    }
    let memory = memfd_create(c"upload", MFdFlags::MFD_CLOEXEC).map_err(io::Error::from)?;
    let mut file = File::from(memory);
    if io::copy(&mut input.take(length), &mut file)? != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    file.rewind()?;
    Ok(Some(file))
}
