//! The body of the child that decodes a show. It decodes what strangers send, so it gives up what it can before.

mod feed;
mod pacer;
mod pictures;
mod sound;

use std::{
    io::{self, BufReader, Read, Write},
    net::Shutdown,
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
    sync::Arc,
    thread,
};

use self::{pacer::Stage, pictures::Pictures, sound::Sound};
use super::message::{Canvas, HEAD_BYTES, SoundRecord, UnitHead, answer, head, order, read_order};
use crate::confinement::{Limits, UNLIMITED, confine, isolate, keep_only, leave_files};

/// What a child may use. It runs for days; 4096×2160 takes 500 MB, and threads take address space.
const LIMITS: Limits = Limits {
    processor_seconds: UNLIMITED,
    memory_bytes: 2 * 1024 * 1024 * 1024,
    files: 32,
};

/// All elements that may be used.
const FACTORIES: [&str; 9] = [
    "appsink",
    "audioconvert",
    "audioresample",
    "avdec_aac",
    "avdec_h264",
    "bin",
    "capsfilter",
    "pipeline",
    "videoconvertscale",
];

/// Decodes what comes over the socket that is standard input, until it is closed, and writes it to standard output.
///
/// Nothing else may run in this process. It must be called before any thread is started.
pub fn run() -> ExitCode {
    let socket = io::stdin().as_fd().try_clone_to_owned();
    match socket.and_then(|socket| decode(UnixStream::from(socket), io::stdout())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// [`run`] with another socket and another way out.
pub fn decode(mut socket: UnixStream, output: impl Write + Send + 'static) -> io::Result<()> {
    isolate();
    ::gstreamer::init().map_err(io::Error::other)?;
    keep_only(&FACTORIES);
    confine(&LIMITS);
    leave_files();
    socket.write_all(&head(answer::READY, 0))?;
    let mut input = BufReader::new(socket.try_clone()?);
    let Some((order::CONFIGURE, body)) = read(&mut input)? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let canvas = Canvas::read(&body).ok_or(io::ErrorKind::InvalidData)?;
    let stage = Arc::new(Stage::new(canvas));
    let mut pictures = Pictures::start(canvas, &stage)?;
    let mut sound = Sound::start(&stage)?;
    let answers = socket.try_clone()?;
    let pacing = Arc::clone(&stage);
    thread::Builder::new()
        .name("pacer".to_owned())
        .spawn(move || {
            // Nobody takes the show any more, or nobody asks for it: there is nothing left to read for, either.
            let _ = pacer::run(&pacing, output, answers);
            let _ = socket.shutdown(Shutdown::Both);
        })?;
    while let Some((tag, body)) = read(&mut input)? {
        let unit = || UnitHead::read(&body).ok_or(io::ErrorKind::InvalidData);
        match tag {
            order::PICTURE_RECORD => pictures.set_record(body),
            order::SOUND_RECORD => {
                sound.set_record(SoundRecord::read(&body).ok_or(io::ErrorKind::InvalidData)?);
            }
            order::PICTURE => pictures.decode(unit()?, body)?,
            order::SOUND => sound.decode(unit()?, body)?,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

/// Reads an order. `None` at the end.
fn read(input: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; HEAD_BYTES];
    match input.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (tag, length) = read_order(head).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(Some((tag, body)))
}
