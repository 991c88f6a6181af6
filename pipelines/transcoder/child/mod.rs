//! The body of the child that transcodes. It decodes what strangers send, so it gives up what it can before.

mod codec;
pub(crate) mod rate;

use std::{
    io::{self, BufReader, Read, Write},
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
};

use self::codec::Codec;
use super::message::{
    Configuration, HEAD_BYTES, PICTURE_HEAD_BYTES, PictureHead, answer, head, order, read_order,
};
use crate::{
    confinement::{Limits, UNLIMITED, confine, isolate, keep_only, leave_files},
    gstreamer::transcoding::FACTORIES,
};

/// What a child may use. It runs for days; 4096×2160 takes 800 MB, and threads take address space.
const LIMITS: Limits = Limits {
    processor_seconds: UNLIMITED,
    memory_bytes: 3 * 1024 * 1024 * 1024,
    files: 32,
};

/// Transcodes what comes over the socket that is standard input, until it is closed.
///
/// Nothing else may run in this process. It must be called before any thread is started.
pub fn run() -> ExitCode {
    let socket = io::stdin().as_fd().try_clone_to_owned();
    match socket.and_then(|socket| transcode(UnixStream::from(socket))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// [`run`] with another socket.
pub fn transcode(mut socket: UnixStream) -> io::Result<()> {
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
    let configuration = Configuration::read(&body).ok_or(io::ErrorKind::InvalidData)?;
    let mut codec = Codec::start(configuration, socket)?;
    while let Some((tag, body)) = read(&mut input)? {
        match tag {
            order::RECORD => codec.set_record(body),
            order::BITRATE => codec.set_bitrate(&body),
            order::PICTURE => {
                let head = PictureHead::read(&body).ok_or(io::ErrorKind::InvalidData)?;
                codec.transcode(head, body, PICTURE_HEAD_BYTES)?;
            }
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
