//! Hosted providers that move real media: a studio, a gateway, a fake provider, and platforms that record what arrives.

mod carry;
mod crash;
mod daily;
mod relay;
mod search;
mod secrets;
mod smoke;
mod trouble;

use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Gateway, Landlord, Nginx, Recording, Rented, eventually};

use super::{WATCH_LIMIT, check, destination};

/// From the studio to a destination behind a provider: the provider's ingest, its look at the show, and its own connection,
/// on a machine that is busy.
const LIVE_LIMIT: Duration = Duration::from_secs(40);

/// More than enough of a show to compare sound and picture in.
const ENOUGH: Duration = Duration::from_secs(10);

/// From a broadcast's end to nothing left at the provider, on a machine that is busy.
const REMOVED_LIMIT: Duration = Duration::from_secs(40);

/// A provider, a platform behind it, and a gateway that uses both.
struct Scene {
    rented: Rented,
    platform: Nginx,
    gateway: Gateway,
    state: tempfile::TempDir,
}

impl Scene {
    async fn new(landlord: Landlord) -> Result<Self> {
        Self::with(landlord, &[]).await
    }

    /// With more variables for the gateway.
    async fn with(landlord: Landlord, more: &[(&str, &str)]) -> Result<Self> {
        let (rented, platform) = tokio::try_join!(Rented::start(landlord), Nginx::start())?;
        let state = tempfile::tempdir()?;
        let gateway = gateway(&rented, &state, more).await?;
        Ok(Self {
            rented,
            platform,
            gateway,
            state,
        })
    }

    /// Creates the broadcast `show` with destinations of these names, which are their keys, too.
    async fn create(&self, method: &str, keys: &[&str]) -> Result<Value> {
        let destinations: Vec<_> = keys.iter().map(|key| self.destination(key)).collect();
        let body = json!({ "id": "show", "method": method, "destinations": destinations });
        let answer = self.gateway.post("/api/v1/broadcasts", &body).await?;
        ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
        answer.json()
    }

    fn destination(&self, key: &str) -> Value {
        destination(key, self.platform.address(), key)
    }

    async fn live(&self, key: &str) -> Result<()> {
        let live = self
            .gateway
            .destination_until("show", key, "live", LIVE_LIMIT);
        live.await.map(drop)
    }

    /// Waits until the platform has recorded [`ENOUGH`] more under a key.
    async fn watch(&self, key: &str) -> Result<()> {
        let enough = self.platform.recorded(key)? + ENOUGH;
        eventually("the platform records more", WATCH_LIMIT, async || {
            Ok((self.platform.recorded(key)? >= enough).then_some(()))
        })
        .await
    }

    /// Waits until the provider has nothing of ours any more.
    async fn nothing_left(&self) -> Result<()> {
        eventually(
            "nothing is left at the provider",
            REMOVED_LIMIT,
            async || Ok(self.rented.shows().await.is_empty().then_some(())),
        )
        .await
    }

    /// Nobody has published where another was publishing, neither to the provider nor to the platform.
    fn check_no_doubles(&self) -> Result<()> {
        ensure!(
            self.platform.collisions()? == 0,
            "two publishers at the platform"
        );
        ensure!(
            self.rented.collisions()? == 0,
            "two publishers at the provider"
        );
        Ok(())
    }

    /// The only recording of a key is a good one.
    async fn check_recording(&self, key: &str) -> Result<()> {
        let path = self.platform.finished_recording(key).await?;
        check(&Recording::analyse(&path).await?)
    }
}

/// A gateway that may use a provider, and keeps what it has there in a folder.
async fn gateway(
    rented: &Rented,
    state: &tempfile::TempDir,
    more: &[(&str, &str)],
) -> Result<Gateway> {
    let folder = state.path().display().to_string();
    let variables = rented.variables()?;
    let mut all: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    all.push(("STATE_DIR", &folder));
    all.extend(more);
    Gateway::start(&all).await
}
