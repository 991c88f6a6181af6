//! Media of a provider that takes WHIP: another gateway, whose destinations are the provider's outputs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use async_trait::async_trait;
use fake_providers::{Ingest as Entrance, Media, OutputState};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use crate::{Gateway, client, destination_of};

/// How often the other gateway is asked how its broadcasts are.
const LOOK: Duration = Duration::from_millis(50);

/// Another gateway. It has a broadcast for each show, of the same name.
#[derive(Debug)]
pub struct WhipMedia {
    gateway: Gateway,
    client: Client,
    broadcasts: Arc<Mutex<HashMap<String, Value>>>,
    _looking: JoinSet<()>,
}

impl WhipMedia {
    /// Starts it on free ports.
    pub async fn start() -> Result<Arc<Self>> {
        let gateway = Gateway::start(&[]).await?;
        let client = client()?;
        let broadcasts = Arc::default();
        let mut looking = JoinSet::new();
        let all = gateway.url("/api/v1/broadcasts");
        looking.spawn(look(client.clone(), all, Arc::clone(&broadcasts)));
        Ok(Arc::new(Self {
            gateway,
            client,
            broadcasts,
            _looking: looking,
        }))
    }

    /// How many shows arrive.
    pub fn publishing(&self) -> usize {
        self.lock()
            .values()
            .filter(|broadcast| arrives(broadcast))
            .count()
    }

    fn url(&self, key: &str, rest: &str) -> String {
        self.gateway.url(&format!("/api/v1/broadcasts/{key}{rest}"))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.broadcasts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what the other gateway tells, until it is dropped.
async fn look(client: Client, all: String, broadcasts: Arc<Mutex<HashMap<String, Value>>>) {
    loop {
        if let Ok(answer) = client.get(&all).send().await
            && let Ok(Value::Object(found)) = answer.json().await
        {
            let list = found.get("broadcasts").and_then(Value::as_array);
            let by_id = list.into_iter().flatten().filter_map(|broadcast| {
                Some((broadcast["id"].as_str()?.to_owned(), broadcast.clone()))
            });
            *broadcasts.lock().unwrap_or_else(PoisonError::into_inner) = by_id.collect();
        }
        sleep(LOOK).await;
    }
}

fn arrives(broadcast: &Value) -> bool {
    broadcast["state"] == "live"
}

#[async_trait]
impl Media for WhipMedia {
    async fn ingest(&self, key: &str) -> Entrance {
        let body = json!({ "id": key, "destinations": [] });
        let create = self.client.post(self.gateway.url("/api/v1/broadcasts"));
        // If there is none, whoever publishes finds out.
        drop(create.json(&body).send().await);
        Entrance {
            url: self.gateway.url(&format!("/whip/{key}")),
            key: "token-of-the-way-in".to_owned(),
        }
    }

    fn is_arriving(&self, key: &str) -> bool {
        self.lock().get(key).is_some_and(arrives)
    }

    async fn connect(&self, key: &str, output: &str, url: &str) {
        let body = json!({ "id": output, "rtmpUrl": url });
        let add = self.client.post(self.url(key, "/destinations"));
        drop(add.json(&body).send().await);
    }

    async fn disconnect(&self, key: &str, output: &str) {
        let remove = self
            .client
            .delete(self.url(key, &format!("/destinations/{output}")));
        drop(remove.send().await);
    }

    fn state(&self, key: &str, output: &str) -> OutputState {
        let broadcasts = self.lock();
        let Some(broadcast) = broadcasts.get(key) else {
            return OutputState::Absent;
        };
        let destination = destination_of(broadcast, output);
        let last = || destination["lastError"]["message"].to_string();
        match destination["state"].as_str() {
            Some("live") => OutputState::Live,
            Some("failed" | "retrying") => OutputState::Failed(last()),
            Some(_) => OutputState::Connecting,
            None => OutputState::Absent,
        }
    }

    async fn forget(&self, key: &str) {
        drop(self.client.delete(self.url(key, "")).send().await);
    }
}
