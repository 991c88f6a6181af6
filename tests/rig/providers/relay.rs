//! One output of a provider: `ffmpeg -c copy` from where the show comes in to where it is to go.

use std::{fs::File, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use fake_providers::OutputState;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use super::ingest::ByKey;

/// How long a relay may take to say good-bye to its destination.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// How much later than its own readers we may hear that a show has left.
const NEWS_LIMIT: Duration = Duration::from_secs(1);

/// What a relay is to do.
pub(super) struct Order {
    /// Of the show.
    pub(super) key: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) publishers: watch::Receiver<ByKey>,
    /// What becomes of it; closed when it has ended.
    pub(super) state: watch::Sender<OutputState>,
    /// Ends it, also by being dropped.
    pub(super) stop: watch::Receiver<bool>,
    /// What it says.
    pub(super) log: PathBuf,
}

enum Ended {
    Stopped,
    ByItself,
}

/// Relays while the show is there, until it is stopped or the destination does not take it.
pub(super) async fn run(mut order: Order) {
    loop {
        let key = order.key.clone();
        tokio::select! {
            () = arrival(&mut order.publishers, &key) => {}
            () = stopped(&mut order.stop) => return,
        }
        let shown = publications(&order.publishers.borrow(), &key);
        let words = match once(&mut order).await {
            Ok(Ended::Stopped) => return,
            Ok(Ended::ByItself) => "it does not take the show".to_owned(),
            Err(error) => error.to_string(),
        };
        // A show that has left, and perhaps come back, is no fault of the destination's.
        let has_left = order
            .publishers
            .wait_for(|by_key| !is_there(by_key, &key) || publications(by_key, &key) != shown);
        let is_there = timeout(NEWS_LIMIT, has_left).await.is_err();
        order.state.send_replace(if is_there {
            OutputState::Failed(words)
        } else {
            OutputState::Connecting
        });
        if is_there {
            // It is told for as long as somebody may ask.
            stopped(&mut order.stop).await;
            return;
        }
    }
}

/// Returns when the show is there; never, when nobody takes shows any more.
async fn arrival(publishers: &mut watch::Receiver<ByKey>, key: &str) {
    if publishers
        .wait_for(|by_key| is_there(by_key, key))
        .await
        .is_err()
    {
        std::future::pending::<()>().await;
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can want it any more.
    drop(stop.wait_for(|stop| *stop).await);
}

fn is_there(by_key: &ByKey, key: &str) -> bool {
    by_key
        .get(key)
        .is_some_and(|publishers| publishers.present > 0)
}

/// How many publishers the show has had.
fn publications(by_key: &ByKey, key: &str) -> usize {
    by_key.get(key).map_or(0, |publishers| publishers.ever)
}

async fn once(order: &mut Order) -> Result<Ended> {
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin"])
        .args(["-fflags", "nobuffer", "-analyzeduration", "1000000"])
        .args(["-progress", "pipe:1", "-stats_period", "0.1"])
        .args(["-i", &order.from, "-c", "copy", "-f", "flv", &order.to])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::options().create(true).append(true).open(&order.log)?)
        .kill_on_drop(true)
        .spawn()
        .context("ffmpeg")?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) if has_moved(&line) => {
                    order.state.send_replace(OutputState::Live);
                }
                Some(_) => {}
                None => break,
            },
            () = stopped(&mut order.stop) => {
                close(&mut child).await?;
                return Ok(Ended::Stopped);
            }
        }
    }
    child.wait().await?;
    Ok(Ended::ByItself)
}

/// Whether a line of progress tells of a picture that has been passed on.
fn has_moved(line: &str) -> bool {
    let pictures = line.strip_prefix("frame=").map(str::trim);
    pictures.is_some_and(|pictures| pictures.parse::<u64>().is_ok_and(|pictures| pictures > 0))
}

/// Asks it to end as at the end of its input, so that the destination hears a good-bye.
async fn close(child: &mut Child) -> Result<()> {
    if let Some(id) = child.id() {
        // It may have ended meanwhile.
        let _ = kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGINT);
    }
    if timeout(CLOSE_LIMIT, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}
