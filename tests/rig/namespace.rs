//! A network of a test's own: a namespace, and a cable to it that can be pulled.

use std::{net::Ipv4Addr, process::Stdio};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Second byte of the addresses 10.x.y.z that the rig uses.
const NETWORK: u8 = 213;

/// Attempts to find a number that no other test has.
const ATTEMPTS: u32 = 20;

/// Name of the cable's end within.
const CABLE: &str = "cable";

/// A network namespace, joined to this one by a virtual cable. It goes when this is dropped.
///
/// Making one takes `CAP_NET_ADMIN`. Nothing can get further than to the other end of the cable.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    number: u8,
    inside: Ipv4Addr,
}

impl Namespace {
    /// Makes a namespace and joins it; fails where the system does not permit it.
    pub async fn create() -> Result<Self> {
        let mut refusal = None;
        for _ in 0..ATTEMPTS {
            let number: u8 = rand::random();
            let namespace = Self {
                name: format!("castgate-{number}"),
                number,
                inside: Ipv4Addr::new(10, NETWORK, number, 2),
            };
            match ip(&["netns", "add", &namespace.name]).await {
                Ok(()) => {
                    namespace.join().await?;
                    return Ok(namespace);
                }
                Err(error) => {
                    // Another test's is not to be taken away when this is dropped.
                    std::mem::forget(namespace);
                    refusal = Some(error);
                }
            }
        }
        Err(refusal.context("no attempt")?).context("network namespaces are not permitted here")
    }

    async fn join(&self) -> Result<()> {
        let (name, outer) = (self.name.as_str(), self.outer());
        let make = [
            "link", "add", &outer, "type", "veth", "peer", "name", CABLE, "netns", name,
        ];
        ip(&make).await?;
        let host = format!("{}/24", self.host());
        ip(&["address", "add", &host, "dev", &outer]).await?;
        ip(&["link", "set", &outer, "up"]).await?;
        ip(&["-n", name, "link", "set", "lo", "up"]).await?;
        let inside = format!("{}/24", self.inside);
        ip(&["-n", name, "address", "add", &inside, "dev", CABLE]).await?;
        self.plug().await
    }

    /// Address of this end of the cable.
    pub fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, NETWORK, self.number, 1)
    }

    /// Address of the end within.
    pub fn inside(&self) -> Ipv4Addr {
        self.inside
    }

    /// A program that will run within.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Pulls the cable at the end within: that side sees that it has no network.
    pub async fn unplug(&self) -> Result<()> {
        ip(&["-n", &self.name, "link", "set", CABLE, "down"]).await
    }

    /// Plugs it in again.
    pub async fn plug(&self) -> Result<()> {
        ip(&["-n", &self.name, "link", "set", CABLE, "up"]).await?;
        // Browsers look for the interface of the default route. Nobody answers behind it.
        ip(&[
            "-n", &self.name, "route", "replace", "default", "dev", CABLE,
        ])
        .await
    }

    /// Replaces the address within by another one, as when a telephone goes from one network to the next.
    pub async fn change_address(&mut self) -> Result<()> {
        let last = self.inside.octets()[3];
        let next = Ipv4Addr::new(10, NETWORK, self.number, last + 1);
        for (verb, address) in [("del", self.inside), ("add", next)] {
            let address = format!("{address}/24");
            ip(&["-n", &self.name, "address", verb, &address, "dev", CABLE]).await?;
        }
        self.inside = next;
        self.plug().await
    }

    /// From now on everything that comes in or goes out by TCP vanishes, without a word to either side.
    pub async fn begin_black_hole(&self) -> Result<()> {
        for rule in [
            "add table inet hole",
            "add chain inet hole in { type filter hook input priority 0 ; }",
            "add chain inet hole out { type filter hook output priority 0 ; }",
            "add rule inet hole in meta l4proto tcp drop",
            "add rule inet hole out meta l4proto tcp drop",
        ] {
            self.filter(rule).await?;
        }
        Ok(())
    }

    /// Ends what [`begin_black_hole`](Self::begin_black_hole) began.
    pub async fn end_black_hole(&self) -> Result<()> {
        self.filter("delete table inet hole").await
    }

    async fn filter(&self, rule: &str) -> Result<()> {
        let mut command = self.command("nft");
        command.arg(rule);
        run(command, rule).await
    }

    fn outer(&self) -> String {
        format!("castgate{}", self.number)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A program that has not ended yet would keep the namespace, and the cable with it.
        let outer = self.outer();
        for arguments in [["link", "del", &outer], ["netns", "del", &self.name]] {
            let _ = std::process::Command::new("ip")
                .args(arguments)
                .stderr(Stdio::null())
                .status();
        }
    }
}

async fn ip(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(arguments);
    run(command, &arguments.join(" ")).await
}

async fn run(mut command: Command, what: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.with_context(|| what.to_owned())?;
    ensure!(
        output.status.success(),
        "{what}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
