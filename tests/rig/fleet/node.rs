//! One node of a fleet: a gateway with a name and a line to Redis, both of which outlive its process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{Redis, SECRETS_KEY};
use crate::{Gateway, TcpCondition, TcpWeather, free_port};

/// The nodes' addresses begin with this last byte, so that none is a client's.
const FIRST_ADDRESS: u8 = 10;

/// Who a node is, whichever process runs it.
#[derive(Debug, Clone)]
pub struct NodePlace {
    /// Its `SERVER_ID`.
    pub id: String,
    /// Where it listens for HTTP.
    pub http: SocketAddr,
    rtc: SocketAddr,
}

/// A node. Its process is killed when this is dropped.
#[derive(Debug)]
pub struct Node {
    /// Who it is.
    pub place: NodePlace,
    gateway: Option<Gateway>,
    line: TcpWeather,
    variables: Vec<(String, String)>,
}

impl NodePlace {
    /// `node-0`, `node-1` and so on, each at free ports of a loopback address of its own.
    pub fn numbered(number: u8) -> Result<Self> {
        let address = Ipv4Addr::new(127, 0, 0, FIRST_ADDRESS + number);
        Ok(Self {
            id: format!("node-{number}"),
            http: (address, free_port()?).into(),
            rtc: (address, free_port()?).into(),
        })
    }

    /// What others call it.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// What makes a gateway this node of a fleet.
    pub fn variables(&self, redis_url: &str) -> Vec<(String, String)> {
        let url = self.url();
        let variables = [
            ("SERVER_ID", self.id.as_str()),
            ("PUBLIC_URL", &url),
            ("REDIS_URL", redis_url),
            ("SECRETS_KEY", SECRETS_KEY),
        ];
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        owned.to_vec()
    }
}

impl Node {
    /// Starts it, and waits until it is ready.
    pub async fn start(
        place: NodePlace,
        redis: &Redis,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let line = TcpWeather::before(redis.address())?;
        let mut all = place.variables(&redis.url_by(line.address()));
        let more = variables.iter();
        all.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut node = Self {
            place,
            gateway: None,
            line,
            variables: all,
        };
        node.restart().await?;
        Ok(node)
    }

    /// Starts another process in its place.
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.gateway.is_none(), "{} runs", self.place.id);
        let variables: Vec<(&str, &str)> = self
            .variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let started = Gateway::start_on(self.place.http, self.place.rtc, &variables).await;
        self.gateway = Some(started.with_context(|| self.place.id.clone())?);
        Ok(())
    }

    /// Its process; an error while none runs.
    pub fn gateway(&self) -> Result<&Gateway> {
        let gateway = self.gateway.as_ref();
        gateway.with_context(|| format!("{} does not run", self.place.id))
    }

    /// Kills its process, as a lack of memory would, and returns what it said.
    pub async fn kill(&mut self) -> Result<String> {
        let mut gateway = self.take()?;
        gateway.process.kill().await?;
        gateway.process.output()
    }

    /// Tells it to go, waits until it has gone with 0, and returns what it said.
    pub async fn leave(&mut self, limit: Duration) -> Result<String> {
        let mut gateway = self.take()?;
        gateway.terminate()?;
        let status = gateway.process.wait(limit).await?;
        ensure!(
            status.success(),
            "{} ended with {status}: {}",
            self.place.id,
            gateway.process.output()?
        );
        gateway.process.output()
    }

    /// Changes its way to Redis, of connections that are open and of those to come.
    pub fn set_line(&self, condition: TcpCondition) {
        self.line.set(condition);
    }

    fn take(&mut self) -> Result<Gateway> {
        let gateway = self.gateway.take();
        gateway.with_context(|| format!("{} does not run", self.place.id))
    }
}
