//! Records what the demo's destinations receive, and measures lip-sync by decoding it.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use pipelines::gstreamer::{CueOffsets, measure};
use tokio::{fs::File, io::AsyncWriteExt as _, task::JoinSet};

use crate::LocalReceiver;

/// The most that is recorded of a destination, in bytes: about 2 minutes of 3 Mb/s.
const LONGEST_RECORDING: usize = 48 * 1024 * 1024;
/// How often a publish is looked for until it is there.
const LOOK: Duration = Duration::from_millis(50);

/// Recordings under way. Dropping them stops and deletes them.
pub(super) struct Recordings {
    directory: PathBuf,
    tasks: JoinSet<anyhow::Result<usize>>,
    count: usize,
}

impl Recordings {
    /// Begins to record the first `count` publishes of a receiver, as they come.
    pub(super) fn start(receiver: &LocalReceiver, count: usize) -> anyhow::Result<Self> {
        let directory =
            std::env::temp_dir().join(format!("castgate-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).context("no place for recordings")?;
        let mut recordings = Self {
            directory,
            tasks: JoinSet::new(),
            count,
        };
        for index in 0..count {
            let (receiver, path) = (receiver.clone(), recordings.path(index));
            recordings.tasks.spawn(record(receiver, index, path));
        }
        Ok(recordings)
    }

    /// Measures each recording, in the order of the publishes; to be called when the receiver has ended.
    pub(super) async fn measure(mut self) -> anyhow::Result<Vec<CueOffsets>> {
        while let Some(recorded) = self.tasks.join_next().await {
            recorded.context("a recorder failed")??;
        }
        let paths: Vec<PathBuf> = (0..self.count).map(|index| self.path(index)).collect();
        let measured = tokio::task::spawn_blocking(move || {
            let offsets = paths.iter().map(|path| {
                if path.exists() {
                    measure(path)
                } else {
                    Ok(CueOffsets::default())
                }
            });
            offsets.collect::<Result<Vec<_>, _>>()
        });
        Ok(measured.await.context("decoding failed")??)
    }

    fn path(&self, index: usize) -> PathBuf {
        self.directory.join(format!("{index}.flv"))
    }
}

impl Drop for Recordings {
    fn drop(&mut self) {
        // The directory is ours and in the temporary folder; leaving it behind is no error.
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

async fn record(receiver: LocalReceiver, index: usize, path: PathBuf) -> anyhow::Result<usize> {
    let mut stream = loop {
        let Some(publish) = receiver.streams().into_iter().nth(index) else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        match receiver.flv(publish.id) {
            Some(stream) => break stream,
            None if publish.ending.is_some() => return Ok(0),
            None => tokio::time::sleep(LOOK).await,
        }
    };
    let mut file = File::create(path).await?;
    let mut written = 0;
    while let Some(bytes) = stream.next().await {
        if written + bytes.len() > LONGEST_RECORDING {
            break;
        }
        written += bytes.len();
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    Ok(written)
}
