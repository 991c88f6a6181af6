//! Webhooks of a fake: signed by it, kept, and sent on as the script wants.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinSet,
    time::{sleep, timeout},
};
use url::Url;

use crate::{Action, FakeSettings, Faults};

/// How many deliveries wait to be sent; more are lost, as at providers whose receivers are down.
const WAITING: usize = 256;

/// How many deliveries are kept to be looked at.
const KEPT: usize = 10_000;

/// How long a receiver may take.
const RECEIVER_LIMIT: Duration = Duration::from_secs(5);

/// How often a delivery is tried that is not answered with 2xx.
const ATTEMPTS: u32 = 3;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What happened, in the provider's word.
    pub kind: String,
    /// Its headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Sends webhooks, one after the other. Its clones are the same.
#[derive(Debug, Clone)]
pub struct Webhooks {
    faults: Faults,
    sent: Arc<Mutex<Vec<Delivery>>>,
    queue: Option<mpsc::Sender<(Delivery, Duration)>>,
    _tasks: Arc<JoinSet<()>>,
}

impl Webhooks {
    /// Sends to where the settings say, if they do.
    pub fn new(settings: &FakeSettings) -> Self {
        let mut tasks = JoinSet::new();
        let queue = settings.webhooks.clone().map(|url| {
            let (queue, waiting) = mpsc::channel(WAITING);
            tasks.spawn(deliver(url, waiting));
            queue
        });
        Self {
            faults: settings.faults.clone(),
            sent: Arc::default(),
            queue,
            _tasks: Arc::new(tasks),
        }
    }

    /// Sends one.
    pub fn send(&self, delivery: Delivery) {
        let (times, delay) = match self.faults.next_webhook(&delivery.kind) {
            Some(Action::LostWebhook) => return,
            Some(Action::DuplicateWebhook) => (2, Duration::ZERO),
            Some(Action::LateWebhook(delay)) => (1, delay),
            _ => (1, Duration::ZERO),
        };
        for delivery in vec![delivery; times] {
            let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            if sent.len() < KEPT {
                sent.push(delivery.clone());
            }
            drop(sent);
            if let Some(queue) = &self.queue {
                match queue.try_send((delivery, delay)) {
                    Ok(()) | Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {}
                }
            }
        }
    }

    /// Those sent so far, in order, whether anybody took them or not.
    pub fn sent(&self) -> Vec<Delivery> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.clone()
    }
}

/// Late ones are sent by a task of their own, so that later ones overtake them.
async fn deliver(url: Url, mut waiting: mpsc::Receiver<(Delivery, Duration)>) {
    // An error means that a provider is installed already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().build();
    let Ok(client) = client else { return };
    let mut late = JoinSet::new();
    while let Some((delivery, delay)) = waiting.recv().await {
        while late.try_join_next().is_some() {}
        if delay.is_zero() {
            post(&client, &url, delivery).await;
        } else {
            let (client, url) = (client.clone(), url.clone());
            late.spawn(async move {
                sleep(delay).await;
                post(&client, &url, delivery).await;
            });
        }
    }
}

async fn post(client: &reqwest::Client, url: &Url, delivery: Delivery) {
    for _ in 0..ATTEMPTS {
        let mut request = client.post(url.clone()).body(delivery.body.clone());
        for (name, value) in &delivery.headers {
            request = request.header(name, value);
        }
        if let Ok(Ok(response)) = timeout(RECEIVER_LIMIT, request.send()).await
            && response.status().is_success()
        {
            return;
        }
        sleep(PAUSE).await;
    }
}
