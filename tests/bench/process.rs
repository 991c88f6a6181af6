//! The gateway as a child process, and what the kernel knows about it.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long the gateway may take to start and to drain.
const LIMIT: Duration = Duration::from_secs(20);

/// `USER_HZ`, in which Linux counts CPU time for every process on every common machine.
const TICKS_PER_SECOND: u64 = 100;

/// A running gateway. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct GatewayProcess {
    child: Child,
    /// Where its API is.
    pub(crate) base: String,
}

/// What a process has used, at one instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    at: Instant,
    cpu: Duration,
    /// Resident memory.
    pub(crate) resident_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
}

impl Usage {
    /// User and system time of all threads since `earlier`, in percent of one core.
    pub(crate) fn cpu_percent_since(&self, earlier: &Self) -> f64 {
        let wall = (self.at - earlier.at).as_secs_f64();
        self.cpu.saturating_sub(earlier.cpu).as_secs_f64() / wall * 100.0
    }
}

impl GatewayProcess {
    /// Starts the binary with a configuration that takes loopback destinations and any number of requests.
    pub(crate) async fn start(binary: &Path, http: &reqwest::Client) -> anyhow::Result<Self> {
        let (port, rtc_port) = (free_tcp_port()?, free_udp_port()?);
        let child = Command::new(binary)
            .arg("serve")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HTTP_IP", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("RTC_PORT", rtc_port.to_string())
            .env("AUTH_MODE", "none")
            .env("DESTINATION_ALLOW_PRIVATE", "true")
            .env("DESTINATION_ALLOW_PORTS", "any")
            .env("RATE_LIMIT_MAX_REQUESTS", "100000")
            .env("MAX_BROADCASTS", "1000")
            .env("NODE_CAPACITY_CORES", "1000")
            .env("LOG_LEVEL", "warn")
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", binary.display()))?;
        let mut gateway = Self {
            child,
            base: format!("http://127.0.0.1:{port}"),
        };
        gateway.wait_until_ready(http).await?;
        Ok(gateway)
    }

    async fn wait_until_ready(&mut self, http: &reqwest::Client) -> anyhow::Result<()> {
        let deadline = Instant::now() + LIMIT;
        let url = format!("{}/readyz", self.base);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended at once: {status}");
            }
            match http.get(&url).send().await {
                Ok(response) if response.status().is_success() => return Ok(()),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        bail!("the gateway did not become ready")
    }

    /// What it has used until now.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let process = format!("/proc/{}", self.child.id());
        let mut usage = usage(&process)?;
        let children = living_children(&process);
        usage.cpu += duration(children.ticks);
        usage.resident_bytes += children.resident_bytes;
        Ok(usage)
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it as an operator would, and checks that it drains.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).context("the process id is out of range")?;
        kill(Pid::from_raw(id), Signal::SIGTERM)?;
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("the gateway ended with {status}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the gateway did not drain")
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        // It has ended already when it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What this process has used: the load and the receiver.
pub(crate) fn own_usage() -> anyhow::Result<Usage> {
    usage("/proc/self")
}

fn usage(process: &str) -> anyhow::Result<Usage> {
    let at = Instant::now();
    let stat = fs::read_to_string(format!("{process}/stat"))?;
    let status = fs::read_to_string(format!("{process}/status"))?;
    let ticks = cpu_ticks(&stat).context("the kernel's stat is not understood")?;
    Ok(Usage {
        at,
        cpu: duration(ticks),
        resident_bytes: field(&status, "VmRSS:").context("no VmRSS")? * 1024,
        threads: field(&status, "Threads:").context("no Threads")?,
        descriptors: fs::read_dir(format!("{process}/fd"))?.count().try_into()?,
    })
}

fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(ticks * 1_000_000_000 / TICKS_PER_SECOND)
}

/// User plus system time, also of children that have ended; the process's name, in parentheses, may hold blanks.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let fields = stat.rsplit_once(')')?.1;
    let mut ticks = fields.split_whitespace().skip(11).take(4);
    ticks.try_fold(0, |sum, ticks| Some(sum + ticks.parse::<u64>().ok()?))
}

/// What the children that live have used: those that code pictures, make slates and look at pictures. One that ends
/// meanwhile counts by its parent. Pages that they share with their parent count for each.
#[derive(Debug, Default)]
struct Children {
    ticks: u64,
    resident_bytes: u64,
}

fn living_children(process: &str) -> Children {
    let mut sum = Children::default();
    let tasks = fs::read_dir(format!("{process}/task"))
        .into_iter()
        .flatten();
    for task in tasks.flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            // It may end between two looks.
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
            sum.ticks += cpu_ticks(&stat).unwrap_or_default();
            sum.resident_bytes += field(&status, "VmRSS:").unwrap_or_default() * 1024;
        }
    }
    sum
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn free_tcp_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn free_udp_port() -> anyhow::Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_is_skipped() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 9 0 0 0 120 30 5 2 20 0 5 0 100 0 0";

        assert_eq!(cpu_ticks(stat), Some(157));
    }

    #[test]
    fn this_process_uses_memory_and_threads() {
        let usage = own_usage().unwrap();

        assert!(usage.resident_bytes > 1_000_000);
        assert!(usage.threads >= 1);
    }
}
