//! Providers that move real media: where shows come in, and what sends them on.

mod certificates;
mod ingest;
mod relay;
mod rented;
mod whip_media;

use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use async_trait::async_trait;
use fake_providers::{Ingest as Entrance, Media, OutputState};
use tokio::{sync::watch, task::JoinSet};

pub use certificates::Certificates;
pub use rented::{Landlord, Rented};
pub use whip_media::WhipMedia;

use self::{ingest::Ingest, relay::Order};
use crate::Scratch;

/// Media of a provider that takes RTMPS and sends on by `ffmpeg -c copy`; nothing of it is ours.
pub struct RtmpMedia {
    ingest: Ingest,
    certificates: Certificates,
    outputs: Mutex<Outputs>,
    scratch: Scratch,
}

#[derive(Default)]
struct Outputs {
    by_name: HashMap<(String, String), Output>,
    tasks: JoinSet<()>,
}

struct Output {
    state: watch::Receiver<OutputState>,
    stop: watch::Sender<bool>,
}

impl RtmpMedia {
    /// Starts it on free ports.
    pub async fn start() -> Result<Arc<Self>> {
        let scratch = Scratch::new()?;
        let certificates = Certificates::make(scratch.path()).await?;
        Ok(Arc::new(Self {
            ingest: Ingest::start(scratch.path(), &certificates).await?,
            certificates,
            outputs: Mutex::default(),
            scratch,
        }))
    }

    /// Whom a client has to trust, in PEM: it is the value of `SSL_CERT_FILE`.
    pub fn authority(&self) -> &Path {
        &self.certificates.authority
    }

    /// Where all shows come in, without their keys.
    pub fn url(&self) -> String {
        self.ingest.secure_url()
    }

    /// How many publishers a show has had.
    pub fn publications(&self, key: &str) -> usize {
        let publishers = self.ingest.publishers();
        let found = publishers.borrow().get(key).copied();
        found.unwrap_or_default().ever
    }

    /// How many publishers all shows have at the moment.
    pub fn publishing(&self) -> usize {
        let publishers = self.ingest.publishers();
        publishers.borrow().values().map(|one| one.present).sum()
    }

    /// How often a publisher was turned away because another was there.
    pub fn collisions(&self) -> Result<usize> {
        self.ingest.collisions()
    }

    /// What the outputs have complained about.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("outputs.log")
    }

    fn lock(&self) -> MutexGuard<'_, Outputs> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RtmpMedia {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RtmpMedia").finish_non_exhaustive()
    }
}

/// Ends an output, and returns when its destination has heard of it.
async fn close(output: Output) {
    let Output { mut state, stop } = output;
    stop.send_replace(true);
    while state.changed().await.is_ok() {}
}

#[async_trait]
impl Media for RtmpMedia {
    async fn ingest(&self, key: &str) -> Entrance {
        self.ingest.admit(key);
        Entrance {
            url: self.ingest.secure_url(),
            key: key.to_owned(),
        }
    }

    fn is_arriving(&self, key: &str) -> bool {
        let publishers = self.ingest.publishers();
        let found = publishers.borrow().get(key).copied();
        found.unwrap_or_default().present > 0
    }

    async fn connect(&self, key: &str, output: &str, url: &str) {
        self.disconnect(key, output).await;
        let (state, states) = watch::channel(OutputState::Connecting);
        let (stop, stopped) = watch::channel(false);
        let order = Order {
            key: key.to_owned(),
            from: format!("{}/{key}", self.ingest.plain_url()),
            to: url.to_owned(),
            publishers: self.ingest.publishers(),
            state,
            stop: stopped,
            log: self.log(),
        };
        let name = (key.to_owned(), output.to_owned());
        let mut outputs = self.lock();
        outputs.tasks.spawn(relay::run(order));
        let output = Output {
            state: states,
            stop,
        };
        outputs.by_name.insert(name, output);
    }

    async fn disconnect(&self, key: &str, output: &str) {
        let name = (key.to_owned(), output.to_owned());
        let found = self.lock().by_name.remove(&name);
        if let Some(output) = found {
            close(output).await;
        }
    }

    fn state(&self, key: &str, output: &str) -> OutputState {
        let name = (key.to_owned(), output.to_owned());
        let outputs = self.lock();
        let found = outputs.by_name.get(&name);
        found.map_or(OutputState::Absent, |output| output.state.borrow().clone())
    }

    async fn forget(&self, key: &str) {
        let gone: Vec<_> = {
            let mut outputs = self.lock();
            let gone = outputs.by_name.extract_if(|(show, _), _| show == key);
            gone.map(|(_, output)| output).collect()
        };
        for output in gone {
            close(output).await;
        }
        self.ingest.dismiss(key);
    }
}
