//! Where a destination may point: the check between what a client asks for and the sockets that are opened.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use broadcast::{Endpoint, Failure, Reason};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::config::DestinationPolicy;

mod addresses;

#[cfg(test)]
mod tests;

pub use addresses::Special;

/// How long a name may take to resolve.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// How many names are resolved at a time: each holds a thread until the system's resolver gives up.
const LOOKUPS_LIMIT: usize = 32;

/// The most addresses that are pinned for one destination; platforms have up to eight.
const ADDRESSES_LIMIT: usize = 16;

/// The sockets of this process, which no destination may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnSockets {
    /// What it listens on, with the bound ports.
    pub listeners: Vec<SocketAddr>,
    /// The addresses of this machine, for listeners on all of them.
    pub addresses: Vec<IpAddr>,
}

/// Decides where destinations may point, and pins the addresses that were checked. Cloning shares it.
#[derive(Debug, Clone)]
pub struct DestinationGuard {
    rules: Arc<Rules>,
    lookups: Arc<Semaphore>,
}

#[derive(Debug)]
struct Rules {
    policy: DestinationPolicy,
    own: OwnSockets,
    local_receiver: Option<SocketAddr>,
}

impl DestinationGuard {
    /// Guards by `policy`. The bound socket of the built-in receiver is allowed whatever the policy says.
    pub fn new(
        policy: DestinationPolicy,
        own: OwnSockets,
        local_receiver: Option<SocketAddr>,
    ) -> Self {
        Self {
            rules: Arc::new(Rules {
                policy,
                own,
                local_receiver,
            }),
            lookups: Arc::new(Semaphore::new(LOOKUPS_LIMIT)),
        }
    }

    /// Checks all that needs no resolver: host list, port, and an address in place of a name.
    ///
    /// For telling a mistake when a destination is configured; [`resolve`](Self::resolve) checks again.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), Failure> {
        match literal(endpoint) {
            Some(address) => self
                .rules
                .admit(endpoint, vec![SocketAddr::new(address, endpoint.port())])
                .map(drop),
            None if self.rules.may_be_local_receiver(endpoint.port()) => Ok(()),
            None => self.rules.check_name(endpoint),
        }
    }

    /// Resolves a destination to the addresses that may be connected to, at least one.
    ///
    /// One forbidden address forbids the name: its owner could otherwise mix addresses until the
    /// forbidden one is taken. Connect to what is returned and never resolve again.
    pub async fn resolve(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Failure> {
        self.check(endpoint)?;
        let addresses = match literal(endpoint) {
            Some(address) => vec![SocketAddr::new(address, endpoint.port())],
            None => self.look_up(endpoint.host(), endpoint.port()).await?,
        };
        self.rules.admit(endpoint, addresses)
    }

    /// Checks an address that datagrams are to go to. The list of ports is for connections and does not hold here.
    pub fn check_datagrams(&self, address: IpAddr) -> Result<(), Failure> {
        self.rules.check_host(&address.to_canonical().to_string())?;
        self.rules.check_address(address)
    }

    /// Resolves a host that datagrams are to go to. One forbidden address forbids the name.
    pub async fn resolve_datagrams(&self, host: &str) -> Result<IpAddr, Failure> {
        if let Ok(address) = host.parse() {
            self.check_datagrams(address)?;
            return Ok(address);
        }
        self.rules.check_host(host.trim_end_matches('.'))?;
        let addresses = self.look_up(host, 0).await?;
        for address in &addresses {
            self.rules.check_address(address.ip())?;
        }
        let first = addresses.first().map(SocketAddr::ip);
        first.ok_or_else(|| {
            Failure::new(Reason::DnsFailed, format!("the name {host} has no address"))
        })
    }

    async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let failed = |why: &str| Failure::new(Reason::DnsFailed, format!("the name {host} {why}"));
        let name = (host.to_owned(), port);
        let look_up = async {
            let permit = Arc::clone(&self.lookups).acquire_owned().await;
            // The thread keeps the permit when nobody waits for it any more.
            let resolving = spawn_blocking(move || {
                let addresses = name.to_socket_addrs();
                drop(permit);
                addresses.map(|addresses| addresses.take(ADDRESSES_LIMIT).collect::<Vec<_>>())
            });
            resolving.await.unwrap_or_else(|error| Err(error.into()))
        };
        match timeout(LOOKUP_PATIENCE, look_up).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Ok(_) | Err(_)) => Err(failed("has no address")),
            Err(_) => Err(failed("could not be resolved in time")),
        }
    }
}

impl Rules {
    fn check_host(&self, host: &str) -> Result<(), Failure> {
        let policy = &self.policy;
        if policy
            .hosts
            .as_ref()
            .is_some_and(|hosts| !hosts.iter().any(|rule| matches(rule, host)))
        {
            return Err(forbidden(format!(
                "the host {host} is not among those that are allowed"
            )));
        }
        Ok(())
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Failure> {
        match addresses::special(address) {
            Some(special) if !(self.policy.private && special.is_private()) => {
                Err(forbidden(format!(
                    "the destination is at {}, which is not allowed",
                    special.in_words()
                )))
            }
            _ => Ok(()),
        }
    }

    fn check_name(&self, endpoint: &Endpoint) -> Result<(), Failure> {
        let host = endpoint.host().trim_end_matches('.');
        self.check_host(host)?;
        let policy = &self.policy;
        let port = endpoint.port();
        if policy
            .ports
            .as_ref()
            .is_some_and(|ports| !ports.contains(&port))
        {
            return Err(forbidden(format!(
                "the port {port} is not among those that are allowed"
            )));
        }
        Ok(())
    }

    fn admit(
        &self,
        endpoint: &Endpoint,
        addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(receiver) = self.local_receiver
            && addresses
                .iter()
                .any(|address| same_socket(*address, receiver))
        {
            return Ok(vec![receiver]);
        }
        self.check_name(endpoint)?;
        for address in &addresses {
            if self.is_own(*address) {
                return Err(forbidden("the destination is this gateway itself"));
            }
            self.check_address(address.ip())?;
        }
        Ok(addresses)
    }

    fn may_be_local_receiver(&self, port: u16) -> bool {
        self.local_receiver
            .is_some_and(|receiver| receiver.port() == port)
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        self.own
            .listeners
            .iter()
            .filter(|listener| listener.port() == address.port())
            .any(|listener| {
                let listens_on = listener.ip().to_canonical();
                listens_on == ip
                    || (listens_on.is_unspecified()
                        && (ip.is_loopback()
                            || ip.is_unspecified()
                            || self.own.addresses.contains(&ip)))
            })
    }
}

fn literal(endpoint: &Endpoint) -> Option<IpAddr> {
    endpoint.host().parse().ok()
}

fn same_socket(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

/// `*.example.org` is every name below it, anything else exactly that host.
fn matches(rule: &str, host: &str) -> bool {
    match rule.strip_prefix("*.") {
        Some(domain) => host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => rule == host,
    }
}

fn forbidden(message: impl Into<String>) -> Failure {
    Failure::new(Reason::ForbiddenAddress, message)
}
