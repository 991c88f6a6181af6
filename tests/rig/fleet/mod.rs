//! A fleet as its operator has it: a Redis, nodes that find each other there, and a way in for studios.

mod door;
mod node;
mod old_redis;
mod redis;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};

use crate::{eventually, send};

pub use door::Door;
pub use node::{Node, NodePlace};
pub use old_redis::OldRedis;
pub use redis::Redis;

/// What seals what the nodes write down; 32 bytes in hexadecimal digits.
pub const SECRETS_KEY: &str = "5ec7e7c0ffee00112233445566778899aabbccddeeff0123456789abcdef5a17";

/// For nodes to hear of each other: some heartbeats, on a machine that is busy.
const GATHERING_LIMIT: Duration = Duration::from_secs(30);

/// A node that stands still is not waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(2);

/// Nodes with a Redis of their own. All end when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    /// Where they find each other.
    pub redis: Redis,
    /// The nodes, `node-0` first.
    pub nodes: Vec<Node>,
}

impl Fleet {
    /// Starts so many nodes, and waits until each knows all.
    pub async fn start(count: u8) -> Result<Self> {
        Self::start_with(count, &[]).await
    }

    /// The same with more in the environment of all.
    pub async fn start_with(count: u8, variables: &[(&str, &str)]) -> Result<Self> {
        let each: Vec<_> = (0..count).map(|_| variables.to_vec()).collect();
        Self::start_each(&each).await
    }

    /// A node for each of these environments.
    pub async fn start_each(environments: &[Vec<(&str, &str)>]) -> Result<Self> {
        let redis = Redis::start().await?;
        let mut nodes = Vec::new();
        for (number, variables) in (0..).zip(environments) {
            let place = NodePlace::numbered(number)?;
            nodes.push(Node::start(place, &redis, variables).await?);
        }
        let fleet = Self { redis, nodes };
        fleet.gathered().await?;
        Ok(fleet)
    }

    /// Waits until each node that runs knows all that run.
    pub async fn gathered(&self) -> Result<()> {
        let running = self.running().count();
        for node in self.running() {
            eventually("the nodes know each other", GATHERING_LIMIT, async || {
                let servers = node.gateway()?.get("/media-servers").await?.json()?;
                let healthy = servers.as_array().into_iter().flatten();
                let healthy = healthy.filter(|server| server["isHealthy"] == true).count();
                Ok((healthy == running).then_some(()))
            })
            .await
            .with_context(|| node.place.id.clone())?;
        }
        Ok(())
    }

    /// The nodes whose processes run.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.gateway().is_ok())
    }

    /// Which of the running nodes has a broadcast; more than one is an error.
    ///
    /// A node that does not answer has none, as far as anybody can tell.
    pub async fn holder(&self, broadcast: &str) -> Result<Option<usize>> {
        self.holder_but(broadcast, None).await
    }

    async fn holder_but(&self, broadcast: &str, but: Option<usize>) -> Result<Option<usize>> {
        let mut holder = None;
        for (number, node) in self.nodes.iter().enumerate() {
            let Ok(gateway) = node.gateway() else {
                continue;
            };
            if but == Some(number) {
                continue;
            }
            let path = format!("/api/v1/broadcasts/{broadcast}");
            let request = gateway.request(Method::GET, &path).timeout(PATIENCE);
            let Ok(answer) = send(request).await else {
                continue;
            };
            if answer.status == StatusCode::OK {
                ensure!(
                    holder.is_none(),
                    "'{broadcast}' is on {holder:?} and {number}"
                );
                holder = Some(number);
            }
        }
        Ok(holder)
    }

    /// Waits until another node than `before` has a broadcast, and returns which.
    ///
    /// One that was taken over from may take a while to notice, and is not asked.
    pub async fn moved(&self, broadcast: &str, before: usize, limit: Duration) -> Result<usize> {
        eventually("another node has the broadcast", limit, async || {
            self.holder_but(broadcast, Some(before)).await
        })
        .await
    }

    /// A way in for studios.
    pub async fn door(&self) -> Result<Door> {
        Door::before(self.nodes.iter().map(|node| node.place.http)).await
    }
}
