//! The parent's side: one child that is given a show until one of them ends.

use std::{future::poll_fn, io, os::fd::OwnedFd, sync::Arc, time::Duration};

use media::{AccessUnit, CodecConfig, Reader, TrackKind};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::Child,
    sync::watch,
    time::timeout,
};

use super::message::{
    Canvas, DecodingCounters, HEAD_BYTES, PICTURE_LIMIT_BYTES, SOUND_LIMIT_BYTES, SoundRecord,
    UnitHead, answer, head, order, read_answer,
};
use crate::confinement::{Launcher, Priority};

/// The name of the child's role.
const ROLE: &str = "decode-show";

/// How long a child may take to start; the first one makes `GStreamer`'s list of plugins.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How long a child may say nothing; it tells its counters every second.
const SILENCE_LIMIT: Duration = Duration::from_secs(8);

/// Why no more is decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecoderEnd {
    /// The show has ended, and all of it was given to the child.
    #[error("the show has ended")]
    ShowEnded,
    /// The child ended, perhaps because nobody takes what it decodes.
    #[error("the process that decodes died: {0}")]
    Died(#[from] io::Error),
    /// It says nothing.
    #[error("the process that decodes hangs")]
    Hung,
    /// It says what makes no sense.
    #[error("the process that decodes talks nonsense")]
    Nonsense,
}

/// A process that decodes a show. Dropping it kills it.
#[derive(Debug)]
pub struct Decoder {
    child: Child,
    input: OwnedReadHalf,
    output: OwnedWriteHalf,
}

impl Decoder {
    /// Starts a process that writes what it decodes to `output`, at the pace of the show: each picture and each block of
    /// sound behind 16 bytes (kind 1 or 2, three of 0, the length in four, nanoseconds on the broadcast's timeline in
    /// eight), pictures in the canvas's shape (I420), sound in blocks of 10 ms (48 kHz, stereo, 16 bits).
    ///
    /// Whoever reads must keep up: what it is late for is left out.
    pub async fn start(launcher: &Launcher, canvas: Canvas, output: OwnedFd) -> io::Result<Self> {
        let (child, socket) = launcher.start_with_output(ROLE, Priority::Live, output)?;
        let (mut input, mut output) = UnixStream::from_std(socket)?.into_split();
        let mut answer = [0; HEAD_BYTES];
        timeout(START_PATIENCE, input.read_exact(&mut answer)).await??;
        if !matches!(read_answer(answer), Some((answer::READY, _))) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let body = canvas.to_bytes();
        let message = [&head(order::CONFIGURE, body.len())[..], &body].concat();
        output.write_all(&message).await?;
        Ok(Self {
            child,
            input,
            output,
        })
    }

    /// The process's id while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Gives the child a show until one of them ends, and tells `counters` how it fares. The child has ended then.
    pub async fn run(
        mut self,
        show: Reader,
        counters: &watch::Sender<DecodingCounters>,
    ) -> DecoderEnd {
        let end = tokio::select! {
            end = feed(self.output, show) => end,
            end = listen(self.input, counters) => end,
        };
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        end
    }
}

async fn feed(mut output: OwnedWriteHalf, mut show: Reader) -> DecoderEnd {
    let mut told = Told::default();
    let (mut units, mut message) = (Vec::new(), Vec::new());
    loop {
        units.clear();
        if poll_fn(|context| show.poll_batch(context, &mut units))
            .await
            .is_none()
        {
            return DecoderEnd::ShowEnded;
        }
        for unit in &units {
            message.clear();
            told.announce(unit, &mut message);
            write_unit(unit, &mut message);
            if let Err(error) = output.write_all(&message).await {
                return DecoderEnd::Died(error);
            }
        }
    }
}

async fn listen(
    mut input: OwnedReadHalf,
    counters: &watch::Sender<DecodingCounters>,
) -> DecoderEnd {
    loop {
        let answer = async {
            let mut head = [0; HEAD_BYTES];
            input.read_exact(&mut head).await?;
            let mut body = [0; DecodingCounters::BYTES];
            let Some((answer::COUNTERS, length)) = read_answer(head) else {
                return Ok(None);
            };
            input.read_exact(&mut body[..length]).await?;
            Ok::<_, io::Error>(DecodingCounters::read(&body))
        };
        match timeout(SILENCE_LIMIT, answer).await {
            Ok(Ok(Some(answer))) => {
                counters.send_replace(answer);
            }
            Ok(Ok(None)) => return DecoderEnd::Nonsense,
            Ok(Err(error)) => return DecoderEnd::Died(error),
            Err(_) => return DecoderEnd::Hung,
        }
    }
}

/// The codec parameters that the child knows.
#[derive(Default)]
struct Told {
    picture: Option<Arc<CodecConfig>>,
    sound: Option<Arc<CodecConfig>>,
}

impl Told {
    /// Says a unit's parameters, if they are new.
    fn announce(&mut self, unit: &AccessUnit, message: &mut Vec<u8>) {
        let known = match unit.kind() {
            TrackKind::Video => &mut self.picture,
            TrackKind::Audio => &mut self.sound,
        };
        let is_known = known
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &unit.config) || *known == unit.config);
        if is_known {
            return;
        }
        *known = Some(Arc::clone(&unit.config));
        let (tag, body) = match &*unit.config {
            CodecConfig::Avc(config) => {
                (order::PICTURE_RECORD, config.decoder_configuration.to_vec())
            }
            CodecConfig::Aac(config) => {
                let record = SoundRecord {
                    sample_rate_hz: config.sample_rate_hz,
                    channels: config.channels,
                    audio_specific_config: config.audio_specific_config.to_vec(),
                };
                (order::SOUND_RECORD, record.to_bytes())
            }
        };
        message.extend(head(tag, body.len()));
        message.extend(body);
    }
}

/// What is longer than the child takes is left out, as if it were lost.
fn write_unit(unit: &AccessUnit, message: &mut Vec<u8>) {
    let (tag, limit) = match unit.kind() {
        TrackKind::Video => (order::PICTURE, PICTURE_LIMIT_BYTES),
        TrackKind::Audio => (order::SOUND, SOUND_LIMIT_BYTES),
    };
    if unit.data.len() > limit {
        return;
    }
    let unit_head = UnitHead {
        keyframe: unit.keyframe,
        timestamp: unit.timestamp,
    };
    message.extend(head(tag, UnitHead::BYTES + unit.data.len()));
    message.extend(unit_head.to_bytes());
    message.extend(&unit.data);
}
