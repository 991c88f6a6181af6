//! Contribution by a process beside this one: Daily takes shows from participants of a call only, and only its own SDK
//! knows how to be one. A second process decodes the show for it, since the SDK takes nothing coded.

mod process;
mod script;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    future::pending,
    io,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
    time::Duration,
};

use async_trait::async_trait;
use pipelines::{
    confinement::Launcher,
    decoder::{Canvas, Decoder, DecoderEnd, DecodingCounters},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use url::Url;

use self::{
    process::{Process, Stay},
    script::Script,
    wire::{Order, error, join},
};
use crate::{
    What,
    hosted::{Contribute, Contribution, ContributionOrder, ProviderError},
};

/// The Python that `scripts/enable-daily` makes.
pub const SIDECAR_PYTHON: &str = "/opt/castgate/daily/bin/python";

/// How long a decoder must live for its death to be a first one again.
const HEALTHY: Duration = Duration::from_secs(30);

/// The pause after a decoder's second death in a row; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const PAUSE_LIMIT: Duration = Duration::from_secs(5);

/// How often pictures that came too late are told of, at most.
const LATE_TOLD_EVERY: Duration = Duration::from_secs(10);

/// How sidecars are started.
#[derive(Debug, Clone)]
pub struct SidecarSettings {
    /// A Python of at least 3.9 with `daily-python`, such as [`SIDECAR_PYTHON`].
    pub python: PathBuf,
    /// How the processes that decode are started.
    pub launcher: Launcher,
    /// A folder that is private to this process and outlives the sidecars.
    pub folder: PathBuf,
    /// What shape the show is given.
    pub canvas: Canvas,
    /// Where calls are reached, if not directly: what Daily calls a proxy.
    pub proxy: Option<Url>,
}

/// Brings shows to Daily's calls.
#[derive(Debug)]
pub struct Sidecar {
    settings: SidecarSettings,
    script: Script,
}

impl Sidecar {
    /// Writes the sidecar's program down. Whether it runs is seen when a show begins.
    pub fn new(settings: SidecarSettings) -> io::Result<Self> {
        let script = Script::write(&settings.folder)?;
        Ok(Self { settings, script })
    }

    /// Whether the configured Python is there.
    pub fn is_installed(&self) -> bool {
        is_program(&self.settings.python)
    }

    /// Decodes the show for a sidecar, by one process after another, until the show ends.
    async fn decode(&self, order: &ContributionOrder, process: &Process) {
        let mut failures = 0_u32;
        loop {
            let begun = Instant::now();
            let end = match self.decode_once(order, process).await {
                Ok(DecoderEnd::ShowEnded) => return,
                Ok(end) => end,
                // The sidecar has died, which is told by whoever listens to it.
                Err(_) => pending().await,
            };
            if begun.elapsed() >= HEALTHY {
                failures = 0;
            }
            let pause = pause(failures);
            failures = failures.saturating_add(1);
            tracing::warn!(broadcast = %order.broadcast, error = %end, ?pause, "decoding process lost");
            order.black_box.note(
                What::Jumped,
                None,
                "what decodes the show has to start anew",
            );
            sleep(pause).await;
        }
    }

    /// An error means that the sidecar takes no media any more.
    async fn decode_once(
        &self,
        order: &ContributionOrder,
        process: &Process,
    ) -> io::Result<DecoderEnd> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let settings = &self.settings;
        let start = Decoder::start(&settings.launcher, settings.canvas, ours.into());
        let (started, handed) = tokio::join!(start, process.hand(theirs.into()));
        handed?;
        let decoder = match started {
            Ok(decoder) => decoder,
            Err(error) => return Ok(DecoderEnd::Died(error)),
        };
        tracing::debug!(broadcast = %order.broadcast, process = ?decoder.process_id(), "decoding process started");
        order.show.keyframe_wanted.notify_one();
        let (counters, told) = watch::channel(DecodingCounters::default());
        let decoding = decoder.run(order.show.media.reader(), &counters);
        tokio::select! {
            end = decoding => Ok(end),
            never = tell_late(order, told) => match never {},
        }
    }
}

#[async_trait]
impl Contribute for Sidecar {
    async fn carry(&self, order: ContributionOrder) -> Result<(), ProviderError> {
        let Contribution::Sidecar(call) = &order.contribution else {
            return Err(ProviderError::Protocol(
                "a contribution that is not for a sidecar".to_owned(),
            ));
        };
        let settings = &self.settings;
        let join = join(call, settings.canvas, settings.proxy.as_ref());
        let begun = Instant::now();
        let mut process = Process::start(&settings.python, &self.script, &settings.folder)?;
        tracing::debug!(broadcast = %order.broadcast, process = ?process.id(), "sidecar started");
        process.say(&Order::Join(&join)).await;
        let stay = Stay {
            begun,
            broadcast: &order.broadcast,
            black_box: &order.black_box,
            flowing: &order.flowing,
            counters: &order.counters,
            pictures: AtomicU64::default(),
        };
        let end = tokio::select! {
            // Why it ended counts before what happened because of it.
            biased;
            () = order.stop.cancelled() => Ok(()),
            error = process.listen(&stay) => Err(error),
            () = process.beat() => Ok(()),
            () = self.decode(&order, &process) => Ok(()),
        };
        match end {
            Ok(()) => {
                process.leave().await;
                Ok(())
            }
            Err(told) => {
                let code = process.end().await;
                Err(told.unwrap_or_else(|| error(code, None)))
            }
        }
    }
}

/// Notes in the black box that pictures come too late, now and then.
async fn tell_late(
    order: &ContributionOrder,
    mut told: watch::Receiver<DecodingCounters>,
) -> std::convert::Infallible {
    // A backlog at the beginning is no news.
    let mut before = None;
    loop {
        if told.changed().await.is_err() {
            pending::<()>().await;
        }
        let late = told.borrow_and_update().pictures_late;
        let more = before.map_or(0, |before| late.saturating_sub(before));
        if more > 0 {
            let words = format!("{more} pictures came too late to be shown");
            order.black_box.note(What::Jumped, None, &words);
        }
        before = Some(late);
        sleep(LATE_TOLD_EVERY).await;
    }
}

/// The pause after so many deaths before this one.
fn pause(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => (FIRST_PAUSE * 2_u32.pow(doublings.min(10))).min(PAUSE_LIMIT),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
