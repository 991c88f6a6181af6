//! One connection to wherever the master is at the moment, made anew when it broke.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind,
    aio::MultiplexedConnection, cluster_async::ClusterConnection,
};
use tokio::sync::Mutex;

use super::address::Address;
use crate::RegistryError;

/// How long one answer, or one connection, may take: a heartbeat that takes longer than this must leave time for another
/// before the node counts as dead.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(Box<ClusterConnection>),
}

/// Runs scripts wherever the address leads.
pub(super) struct Line {
    address: Mutex<Address>,
    open: std::sync::Mutex<Option<Connection>>,
}

impl Line {
    /// Not connected yet.
    pub(super) fn new(address: Address) -> Self {
        Self {
            address: Mutex::new(address),
            open: std::sync::Mutex::default(),
        }
    }

    /// Runs a script; `arguments` begin with the step's name. It is run once: whether one without an answer was obeyed is for
    /// the caller to find out.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        root: &str,
        arguments: &[&[u8]],
    ) -> Result<T, RegistryError> {
        let mut invocation = script.key(root);
        for argument in arguments {
            invocation.arg(*argument);
        }
        let connection = self.connection().await?;
        let result = match connection {
            Connection::One(mut one) => invocation.invoke_async(&mut one).await,
            Connection::Cluster(mut cluster) => invocation.invoke_async(&mut *cluster).await,
        };
        result.map_err(|error| self.read_error(&error))
    }

    /// The server's version, major and minor.
    pub(super) async fn version(&self) -> Result<(u32, u32), RegistryError> {
        let mut command = redis::cmd("INFO");
        command.arg("server");
        let text: Result<String, RedisError> = match self.connection().await? {
            Connection::One(mut one) => command.query_async(&mut one).await,
            // Each node of a cluster answers for itself; they are of one version.
            Connection::Cluster(mut cluster) => {
                let route = redis::cluster_routing::RoutingInfo::SingleNode(
                    redis::cluster_routing::SingleNodeRoutingInfo::Random,
                );
                let value = cluster.route_command(command, route).await;
                value.and_then(|value| Ok(redis::from_redis_value(value)?))
            }
        };
        let text = text.map_err(|error| self.read_error(&error))?;
        let version = text
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"));
        let mut numbers = version
            .unwrap_or_default()
            .trim()
            .split('.')
            .map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
            _ => Err(RegistryError::Unusable(
                "it does not tell its version".to_owned(),
            )),
        }
    }

    async fn connection(&self) -> Result<Connection, RegistryError> {
        if let Some(open) = self.open().clone() {
            return Ok(open);
        }
        // One at a time connects; the others find what it made.
        let mut address = self.address.lock().await;
        if let Some(open) = self.open().clone() {
            return Ok(open);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT));
        let connecting = async {
            Ok(match &mut *address {
                Address::One(client) => {
                    let one = client.get_multiplexed_async_connection_with_config(&config);
                    Connection::One(one.await?)
                }
                Address::Sentinel(client) => {
                    Connection::One(client.get_async_connection_with_config(&config).await?)
                }
                Address::Cluster(client) => {
                    Connection::Cluster(Box::new(client.get_async_connection().await?))
                }
            })
        };
        let connected = tokio::time::timeout(2 * ANSWER_LIMIT, connecting)
            .await
            .map_err(|_| RegistryError::Unavailable("no connection in time".to_owned()))?;
        let connection = connected.map_err(|error: RedisError| self.read_error(&error))?;
        *self.open() = Some(connection.clone());
        Ok(connection)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.open
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Lets go of a connection on which nothing more is to be expected.
    fn read_error(&self, error: &RedisError) -> RegistryError {
        let lacks_right = matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm)
        ) || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
        // A former master only reads; where the new one is, is asked anew.
        *self.open() = None;
        if lacks_right {
            RegistryError::Unusable("the user or the password in REDIS_URL is refused".to_owned())
        } else {
            RegistryError::Unavailable(error.to_string())
        }
    }
}
