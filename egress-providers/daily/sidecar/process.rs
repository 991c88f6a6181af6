//! One sidecar from its start to its end.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream as Pair,
    },
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use broadcast::BroadcastId;
use pipelines::rtmp::Counters;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::{Child, ChildStdout, Command},
    sync::{Mutex, Notify},
    time::{Instant, interval, timeout},
};

use super::{
    script::Script,
    wire::{CRASHED, Event, KILLED, Order, error},
};
use crate::{BlackBox, What, hosted::ProviderError};

/// How often each side tells the other that it is alive.
const BEAT: Duration = Duration::from_secs(1);

/// How long the sidecar may say nothing: it loads its SDK and looks names up meanwhile, on a machine that may be busy.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// How long it may take to leave the call. The sidecar itself waits for Daily for 2 s.
const LEAVE_LIMIT: Duration = Duration::from_millis(2_800);

/// How long the end of a process that has said its last takes.
const END_LIMIT: Duration = Duration::from_secs(3);

/// The most bytes of one event.
const EVENT_LIMIT_BYTES: u64 = 4 * 1024;

/// A process in a call. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    /// Where orders go. One is written at a time.
    orders: Mutex<UnixStream>,
    events: Mutex<BufReader<ChildStdout>>,
}

/// What is told of a stay in a call.
pub(super) struct Stay<'a> {
    pub(super) begun: Instant,
    pub(super) broadcast: &'a BroadcastId,
    pub(super) black_box: &'a BlackBox,
    pub(super) flowing: &'a Notify,
    pub(super) counters: &'a Counters,
    /// Pictures that were counted so far.
    pub(super) pictures: AtomicU64,
}

impl Process {
    /// Starts a sidecar, with nothing of this process's surroundings and nothing secret among its arguments.
    pub(super) fn start(
        python: &Path,
        script: &Script,
        folder: &Path,
    ) -> Result<Self, ProviderError> {
        let start = || {
            let (near, far) = Pair::pair()?;
            near.set_nonblocking(true)?;
            let mut child = Command::new(python)
                // Nothing is compiled into the folder, and nothing is found in somebody's home.
                .args(["-B", "-s"])
                .arg(script.path())
                .env_clear()
                .env("PATH", "/usr/local/bin:/usr/bin:/bin")
                .env("LANG", "C.UTF-8")
                .env("HOME", folder)
                .current_dir(folder)
                .stdin(OwnedFd::from(far))
                .stdout(Stdio::piped())
                // The SDK complains there, and repeats what it was given.
                .stderr(Stdio::null())
                // What ends us by the keyboard lets us end it in order.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()?;
            let events = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
            Ok::<_, io::Error>(Self {
                child,
                orders: Mutex::new(UnixStream::from_std(near)?),
                events: Mutex::new(BufReader::new(events)),
            })
        };
        start().map_err(|failed| ProviderError::Sidecar {
            code: KILLED,
            message: format!(
                "{} cannot be started ({}): run scripts/enable-daily, or set DAILY_PYTHON",
                python.display(),
                failed.kind()
            ),
        })
    }

    /// What is left of it when this process has died.
    #[cfg(test)]
    pub(super) fn orphan(self) -> Child {
        self.child
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Says an order. Whether the sidecar is there to hear it shows elsewhere.
    pub(super) async fn say(&self, order: &Order<'_>) {
        let _ = self.orders.lock().await.write_all(&line(order)).await;
    }

    /// Hands over where media come from.
    pub(super) async fn hand(&self, media: OwnedFd) -> io::Result<()> {
        let orders = self.orders.lock().await;
        pipelines::decoder::hand(&orders, &line(&Order::Media), media.as_fd()).await
    }

    /// Says again and again that somebody is there.
    pub(super) async fn beat(&self) {
        let mut beat = interval(BEAT);
        loop {
            beat.tick().await;
            self.say(&Order::Alive).await;
        }
    }

    /// Listens to the sidecar until it fails. `None`: it has ended without a word.
    pub(super) async fn listen(&self, stay: &Stay<'_>) -> Option<ProviderError> {
        let mut events = self.events.lock().await;
        loop {
            match timeout(SILENCE_LIMIT, next(&mut events)).await {
                Ok(Ok(Some(Event::Failed { code, message }))) => {
                    return Some(error(code, Some(&message)));
                }
                Ok(Ok(Some(event))) => stay.tell(event),
                Ok(Ok(None)) => return None,
                Ok(Err(_)) => return Some(error(CRASHED, Some("it talks nonsense"))),
                Err(_) => return Some(error(CRASHED, Some("it hangs"))),
            }
        }
    }

    /// Has it leave the call, and ends it in any case.
    pub(super) async fn leave(&mut self) {
        self.say(&Order::Leave).await;
        if timeout(LEAVE_LIMIT, self.child.wait()).await.is_err() {
            let _ = self.child.start_kill();
        }
    }

    /// Lets a sidecar that has failed leave the call, ends it in any case, and returns its exit code; -1 is a signal.
    pub(super) async fn end(&mut self) -> i32 {
        if let Ok(Ok(status)) = timeout(END_LIMIT, self.child.wait()).await {
            return status.code().unwrap_or(KILLED);
        }
        let _ = self.child.start_kill();
        CRASHED
    }
}

impl Stay<'_> {
    fn tell(&self, event: Event) {
        let elapsed = Some(self.begun.elapsed());
        match event {
            Event::Ready { sdk } => {
                tracing::debug!(broadcast = %self.broadcast, sdk, ?elapsed, "sidecar has loaded its SDK");
            }
            Event::Joined { participant } => {
                tracing::info!(broadcast = %self.broadcast, participant, ?elapsed, "sidecar joined the call");
                self.black_box
                    .note(What::Connect, elapsed, "joined the call");
            }
            Event::Flowing => {
                self.black_box
                    .note(What::Live, elapsed, "the call takes pictures");
                self.flowing.notify_one();
            }
            Event::Network { status } => {
                tracing::debug!(broadcast = %self.broadcast, status, "sidecar's network changed");
            }
            Event::Alive {
                pictures,
                blocks,
                dropped,
            } => {
                tracing::trace!(broadcast = %self.broadcast, pictures, blocks, dropped, "sidecar is alive");
                let before = self.pictures.swap(pictures, Relaxed);
                self.counters.add_frames(pictures.saturating_sub(before));
            }
            Event::Failed { .. } => {}
        }
    }
}

/// Reads an event. `None`: there are no more.
async fn next(events: &mut BufReader<ChildStdout>) -> io::Result<Option<Event>> {
    let mut line = Vec::new();
    let length = events
        .take(EVENT_LIMIT_BYTES)
        .read_until(b'\n', &mut line)
        .await?;
    if length == 0 {
        return Ok(None);
    }
    // A line that was cut off by its end is as good as none.
    if line.last() != Some(&b'\n') {
        return if (length as u64) < EVENT_LIMIT_BYTES {
            Ok(None)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        };
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

fn line(order: &Order<'_>) -> Vec<u8> {
    // Nothing in an order can fail to be written as JSON.
    let mut line = serde_json::to_vec(order).unwrap_or_default();
    line.push(b'\n');
    line
}
