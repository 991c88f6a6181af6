//! The parent's side: one child that lives as long as it behaves.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use media::{AccessUnit, CodecConfig, VideoConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout},
    sync::{Mutex, Semaphore},
    time::{Instant, timeout},
};

use super::{
    CODED, CONFIGURATION_LIMIT_BYTES, JPEG_LIMIT_BYTES, JPEG_WIDTH_LIMIT, PICTURE_LIMIT_BYTES,
    PictureLook, READY, SEEN, UNDECODABLE,
};
use crate::confinement::Launcher;

/// The name of the child's role.
const ROLE: &str = "inspect-pictures";

/// The most pictures that wait for the child; another one is not looked at.
const WAITING_LIMIT: usize = 8;

/// The most of these that are wanted as JPEGs, so that looks find room beside them.
const JPEGS_LIMIT: usize = 4;

/// How long a child may take to start; the first one makes `GStreamer`'s list of plugins.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How long a picture may take.
const PICTURE_PATIENCE: Duration = Duration::from_secs(2);

/// How many pictures a child sees before it is replaced: what it has leaked goes with it.
const LIFE_PICTURES: u32 = 1_000;

/// The longest pause after a child has died again and again.
const PAUSE_LIMIT: Duration = Duration::from_mins(1);

/// Why a picture was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// It is no H.264 keyframe, or too large a one.
    #[error("only keyframes can be looked at")]
    NoKeyframe,
    /// The decoder makes nothing of it.
    #[error("the picture cannot be decoded")]
    Undecodable,
    /// Many others wait.
    #[error("too many pictures wait to be looked at")]
    Busy,
    /// The child died of it, or took too long.
    #[error("the process that looks at pictures died")]
    Died,
    /// The child died again and again, or cannot be started. There is a pause before the next one.
    #[error("the process that looks at pictures does not run")]
    Unavailable,
}

/// Looks at pictures. Cloning shares the child; dropping the last one ends it.
#[derive(Clone)]
pub struct Inspector {
    inner: Arc<Inner>,
}

struct Inner {
    launcher: Launcher,
    waiting: Semaphore,
    jpegs: Semaphore,
    seat: Mutex<Seat>,
}

/// Where the child is while it is not at work. A look that is given up takes its child with it.
#[derive(Default)]
struct Seat {
    child: Option<Running>,
    failures_in_a_row: u32,
    not_before: Option<Instant>,
}

/// What the child makes of a picture.
enum Answer {
    Look(Box<PictureLook>),
    Jpeg(Bytes),
}

struct Running {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it is killed when it is dropped")
    )]
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    pictures: u32,
}

impl fmt::Debug for Inspector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inspector").finish_non_exhaustive()
    }
}

impl Inspector {
    /// An inspector whose child is started by `launcher` when the first picture comes.
    pub fn new(launcher: Launcher) -> Self {
        Self {
            inner: Arc::new(Inner {
                launcher,
                waiting: Semaphore::new(WAITING_LIMIT),
                jpegs: Semaphore::new(JPEGS_LIMIT),
                seat: Mutex::default(),
            }),
        }
    }

    /// Looks at a keyframe, which takes 10 to 50 ms of work elsewhere. Fails at once when many others wait.
    pub async fn inspect(&self, keyframe: &AccessUnit) -> Result<PictureLook, InspectError> {
        match self.ask(keyframe, None).await? {
            Answer::Look(look) => Ok(*look),
            Answer::Jpeg(_) => Err(InspectError::Undecodable),
        }
    }

    /// Makes a JPEG of a keyframe, at most `width` pixels wide (up to 1280) and never larger than the picture, which
    /// takes 10 to 60 ms of work elsewhere. Fails at once when a few others wait for theirs.
    pub async fn jpeg(&self, keyframe: &AccessUnit, width: u32) -> Result<Bytes, InspectError> {
        let Ok(_place) = self.inner.jpegs.try_acquire() else {
            return Err(InspectError::Busy);
        };
        let width = width.clamp(1, JPEG_WIDTH_LIMIT);
        match self.ask(keyframe, Some(width)).await? {
            Answer::Jpeg(jpeg) => Ok(jpeg),
            Answer::Look(_) => Err(InspectError::Undecodable),
        }
    }

    async fn ask(
        &self,
        keyframe: &AccessUnit,
        jpeg_width: Option<u32>,
    ) -> Result<Answer, InspectError> {
        let CodecConfig::Avc(config) = &*keyframe.config else {
            return Err(InspectError::NoKeyframe);
        };
        if !keyframe.keyframe
            || keyframe.data.len() > PICTURE_LIMIT_BYTES
            || config.decoder_configuration.len() > CONFIGURATION_LIMIT_BYTES
        {
            return Err(InspectError::NoKeyframe);
        }
        let Ok(_place) = self.inner.waiting.try_acquire() else {
            return Err(InspectError::Busy);
        };
        let mut seat = self.inner.seat.lock().await;
        let mut child = match seat.child.take() {
            Some(child) => child,
            None => seat.start(&self.inner.launcher).await?,
        };
        let asked = child.ask(config, &keyframe.data, jpeg_width);
        let Ok(Ok(answer)) = timeout(PICTURE_PATIENCE, asked).await else {
            seat.note_failure();
            return Err(InspectError::Died);
        };
        seat.failures_in_a_row = 0;
        if child.pictures < LIFE_PICTURES {
            seat.child = Some(child);
        }
        answer.ok_or(InspectError::Undecodable)
    }

    #[cfg(test)]
    pub(super) async fn kill_child(&self) {
        let mut seat = self.inner.seat.lock().await;
        seat.child.as_mut().unwrap().child.kill().await.unwrap();
    }
}

impl Seat {
    async fn start(&mut self, launcher: &Launcher) -> Result<Running, InspectError> {
        if self.not_before.is_some_and(|time| Instant::now() < time) {
            return Err(InspectError::Unavailable);
        }
        if let Ok(Ok(child)) = timeout(START_PATIENCE, Running::start(launcher)).await {
            return Ok(child);
        }
        self.note_failure();
        Err(InspectError::Unavailable)
    }

    /// One death may be one studio's doing, and the others need not wait for it.
    fn note_failure(&mut self) {
        let doublings = self.failures_in_a_row.saturating_sub(1).min(10);
        let pause = match self.failures_in_a_row {
            0 => Duration::ZERO,
            _ => (Duration::from_secs(1) * 2_u32.pow(doublings)).min(PAUSE_LIMIT),
        };
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
    }
}

impl Running {
    async fn start(launcher: &Launcher) -> io::Result<Self> {
        let mut child = launcher.start(ROLE)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, mut output) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        if output.read_u8().await? != READY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self {
            child,
            input,
            output,
            pictures: 0,
        })
    }

    /// `None` where the picture cannot be decoded. An error means that the child is of no more use.
    async fn ask(
        &mut self,
        config: &VideoConfig,
        picture: &[u8],
        jpeg_width: Option<u32>,
    ) -> io::Result<Option<Answer>> {
        self.pictures += 1;
        let configuration = &config.decoder_configuration;
        for length in [configuration.len(), picture.len()] {
            let length = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
            self.input.write_u32(length).await?;
        }
        self.input.write_u32(jpeg_width.unwrap_or(0)).await?;
        self.input.write_all(configuration).await?;
        self.input.write_all(picture).await?;
        self.input.flush().await?;
        match self.output.read_u8().await? {
            SEEN => {
                let mut look = [0; PictureLook::BYTES];
                self.output.read_exact(&mut look).await?;
                let look = PictureLook::from_bytes(&look);
                Ok(Some(Answer::Look(Box::new(look))))
            }
            CODED => {
                let length = self.output.read_u32().await? as usize;
                if length > JPEG_LIMIT_BYTES {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                let mut jpeg = vec![0; length];
                self.output.read_exact(&mut jpeg).await?;
                Ok(Some(Answer::Jpeg(jpeg.into())))
            }
            UNDECODABLE => Ok(None),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
