//! Where transcoding processes come from: one is always ready, so that going live and replacing a dead one takes no time.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
    time::Duration,
};

use media::VideoCodec;
use tokio::{
    io::AsyncReadExt as _, net::UnixStream, process::Child, runtime::Handle, task::JoinHandle,
    time::timeout,
};
use tracing::Instrument as _;

use super::{
    Canvas, Transcoder,
    desk::Desk,
    message::{HEAD_BYTES, answer, read_answer},
    process,
};
use crate::confinement::{Launcher, Priority};

/// The name of the child's role.
const ROLE: &str = "transcode";

/// How long a child may take to start; the first one makes `GStreamer`'s list of plugins.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How much time things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// The longest that a picture may wait and still be encoded; after that it is decoded only, for those that refer to it.
    pub(crate) late_after: Duration,
    /// How long a process may owe an answer.
    pub(crate) answer: Duration,
    /// The same before its first access unit: decoder and encoder have to start, on a machine that may be busy.
    pub(crate) first_answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            late_after: Duration::from_millis(300),
            answer: Duration::from_secs(1),
            first_answer: Duration::from_secs(5),
        }
    }
}

/// Starts transcoders. Cloning shares the spare process; dropping the last one ends it.
#[derive(Clone)]
pub struct Transcoders {
    inner: Arc<Inner>,
}

struct Inner {
    launcher: Launcher,
    runtime: Handle,
    patience: Patience,
    /// A process that has started and knows nothing yet. There is none before the first transcoder.
    spare: Mutex<Option<JoinHandle<io::Result<Started>>>>,
}

/// A process that waits for its configuration. Dropping it kills it.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) socket: UnixStream,
}

impl fmt::Debug for Transcoders {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Transcoders")
            .finish_non_exhaustive()
    }
}

impl Transcoders {
    /// Transcoders whose processes `launcher` starts, and whose sockets tasks on `runtime` serve.
    pub fn new(launcher: Launcher, runtime: Handle) -> Self {
        Self::with_patience(launcher, runtime, Patience::default())
    }

    pub(crate) fn with_patience(launcher: Launcher, runtime: Handle, patience: Patience) -> Self {
        Self {
            inner: Arc::new(Inner {
                launcher,
                runtime,
                patience,
                spare: Mutex::default(),
            }),
        }
    }

    /// Starts a transcoder of pictures coded so. It wakes `waker` whenever there is something to take.
    ///
    /// Without a canvas the first picture's size is kept, and its rate, 30 or 60 pictures a second.
    pub fn start(&self, codec: VideoCodec, canvas: Option<Canvas>, waker: Waker) -> Transcoder {
        let desk = Arc::new(Desk::new(
            codec,
            canvas,
            waker,
            self.inner.patience.late_after,
        ));
        let life = process::run(Arc::clone(&desk), self.clone()).in_current_span();
        Transcoder::new(desk, self.inner.runtime.spawn(life))
    }

    pub(super) fn patience(&self) -> Patience {
        self.inner.patience
    }

    /// Takes the process that is ready, or starts one, and has the next one made ready.
    pub(super) async fn take(&self) -> io::Result<Started> {
        let spare = self.swap_spare(None);
        let ready = match spare {
            Some(mut spare) => {
                let _abort = AbortOnDrop(spare.abort_handle());
                (&mut spare).await.ok().and_then(Result::ok)
            }
            None => None,
        };
        // It may have died while it waited.
        let ready = ready.and_then(|mut started| {
            let lives = matches!(started.child.try_wait(), Ok(None));
            lives.then_some(started)
        });
        let started = match ready {
            Some(started) => started,
            None => start(&self.inner.launcher).await?,
        };
        self.prepare();
        Ok(started)
    }

    fn prepare(&self) {
        let launcher = self.inner.launcher.clone();
        let spare = self
            .inner
            .runtime
            .spawn(async move { start(&launcher).await });
        if let Some(other) = self.swap_spare(Some(spare)) {
            other.abort();
        }
    }

    fn swap_spare(
        &self,
        spare: Option<JoinHandle<io::Result<Started>>>,
    ) -> Option<JoinHandle<io::Result<Started>>> {
        let mut place = self
            .inner
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut place, spare)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let spare = self.spare.get_mut();
        if let Some(spare) = spare.unwrap_or_else(PoisonError::into_inner) {
            spare.abort();
        }
    }
}

/// Ends a task whose answer nobody waits for any more.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a process and waits until it can be told what to do.
async fn start(launcher: &Launcher) -> io::Result<Started> {
    let (child, socket) = launcher.start_on_socket(ROLE, Priority::Live)?;
    let mut started = Started {
        child,
        socket: UnixStream::from_std(socket)?,
    };
    let mut head = [0; HEAD_BYTES];
    timeout(START_PATIENCE, started.socket.read_exact(&mut head)).await??;
    match read_answer(head) {
        Some((answer::READY, _)) => Ok(started),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
