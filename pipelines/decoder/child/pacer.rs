//! The thread that lets out what was decoded when it is due.

use std::{
    io::{self, Write},
    os::unix::net::UnixStream,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use ::gstreamer as gst;

use super::super::{
    message::{Canvas, Raw, answer, head, raw_head},
    playout::{BLOCK, BLOCK_SAMPLES, Block, Playout, Sample},
};

/// A picture in the canvas's shape.
pub(super) type Picture = gst::MappedBuffer<gst::buffer::Readable>;

/// How often the counters are told.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Where decoders and the pacer meet.
pub(super) struct Stage {
    begun: Instant,
    picture_bytes: usize,
    playout: Mutex<Playout<Picture>>,
}

impl Stage {
    pub(super) fn new(canvas: Canvas) -> Self {
        Self {
            begun: Instant::now(),
            picture_bytes: canvas.picture_bytes(),
            playout: Mutex::new(Playout::new()),
        }
    }

    /// Takes a picture. One of another size would tear those after it apart, so it is none.
    pub(super) fn put_picture(&self, timestamp: Duration, picture: Picture) {
        let mut playout = self.playout();
        if picture.len() == self.picture_bytes {
            playout.push_picture(timestamp, picture, self.now());
        } else {
            playout.note_broken();
        }
    }

    pub(super) fn put_sound(&self, timestamp: Duration, sound: &[Sample]) {
        self.playout().push_sound(timestamp, sound, self.now());
    }

    pub(super) fn note_broken(&self) {
        self.playout().note_broken();
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn playout(&self) -> MutexGuard<'_, Playout<Picture>> {
        self.playout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is due to `output`, and counters to `answers`, until nobody reads one of them. Waiting for a reader makes
/// what comes next late.
pub(super) fn run(
    stage: &Stage,
    mut output: impl Write,
    mut answers: UnixStream,
) -> io::Result<()> {
    let mut told = Duration::ZERO;
    loop {
        let (block, due) = {
            let mut playout = stage.playout();
            (playout.poll(stage.now()), playout.due())
        };
        if let Some(block) = block {
            write(&block, &mut output)?;
        } else {
            let pause = due.map_or(BLOCK, |due| due.saturating_sub(stage.now()));
            thread::sleep(pause.min(BLOCK));
        }
        if stage.now() >= told + TOLD_EVERY {
            told = stage.now();
            let counters = stage.playout().counters().to_bytes();
            let message = [&head(answer::COUNTERS, counters.len())[..], &counters].concat();
            answers.write_all(&message)?;
        }
    }
}

fn write(block: &Block<Picture>, output: &mut impl Write) -> io::Result<()> {
    if let Some((timestamp, picture)) = &block.picture {
        output.write_all(&raw_head(Raw::Picture, picture.len(), *timestamp))?;
        output.write_all(picture)?;
    }
    let sound: Vec<u8> = block
        .sound
        .as_flattened()
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let mut message = Vec::with_capacity(BLOCK_SAMPLES * 4 + 16);
    message.extend(raw_head(Raw::Sound, sound.len(), block.timestamp));
    message.extend(sound);
    output.write_all(&message)?;
    output.flush()
}
