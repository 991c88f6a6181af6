//! What the process and the machine use, from `/proc`.

use std::{fs, time::Duration};

/// Clock ticks a second in `/proc/self/stat`; 100 on every Linux of our platforms (`USER_HZ`).
const TICKS_PER_SECOND: u32 = 100;

/// What the process and the machine use at one moment. What cannot be read is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory of the process.
    pub resident_bytes: u64,
    /// Virtual memory of the process.
    pub virtual_bytes: u64,
    /// Threads of the process.
    pub threads: u64,
    /// Time of the process outside the kernel.
    pub user: Duration,
    /// Time of the process inside the kernel.
    pub system: Duration,
    /// One-minute load over the number of cores, at most 100.
    pub cpu_percent: u8,
    /// Memory of the machine.
    pub memory_total_bytes: u64,
    /// What of it can be had.
    pub memory_available_bytes: u64,
    /// Cores of the machine.
    pub cores: usize,
}

impl Usage {
    /// Reads everything now.
    pub fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::parse(
            &read("/proc/self/status"),
            &read("/proc/self/stat"),
            &read("/proc/loadavg"),
            &read("/proc/meminfo"),
            cores,
        )
    }

    /// User and system time of the process.
    pub fn cpu_seconds(&self) -> f64 {
        (self.user + self.system).as_secs_f64()
    }

    /// Used memory of the machine, in percent.
    pub fn memory_percent(&self) -> u64 {
        let used = self
            .memory_total_bytes
            .saturating_sub(self.memory_available_bytes);
        used.saturating_mul(100)
            .checked_div(self.memory_total_bytes)
            .unwrap_or(0)
    }

    fn parse(status: &str, stat: &str, load: &str, memory: &str, cores: usize) -> Self {
        // The name of the process stands in parentheses and may hold anything; fields are counted behind it.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = |field: usize| -> Duration {
            let ticks = after_name
                .split_whitespace()
                .nth(field)
                .and_then(|text| text.parse::<u64>().ok());
            Duration::from_secs(ticks.unwrap_or(0)) / TICKS_PER_SECOND
        };
        let load: f64 = load
            .split_whitespace()
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0);
        let cores_f64 = f64::from(u32::try_from(cores.max(1)).unwrap_or(u32::MAX));
        Self {
            resident_bytes: kilobytes(status, "VmRSS:"),
            virtual_bytes: kilobytes(status, "VmSize:"),
            threads: field(status, "Threads:"),
            user: ticks(11),
            system: ticks(12),
            cpu_percent: percent(load / cores_f64),
            memory_total_bytes: kilobytes(memory, "MemTotal:"),
            memory_available_bytes: kilobytes(memory, "MemAvailable:"),
            cores,
        }
    }
}

fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

fn kilobytes(text: &str, name: &str) -> u64 {
    field(text, name).saturating_mul(1024)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=100 before"
)]
fn percent(share: f64) -> u8 {
    (share * 100.0).clamp(0.0, 100.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_proc_are_read() {
        let usage = Usage::parse(
            "VmSize:\t  2000 kB\nVmRSS:\t  1000 kB\nThreads:\t7\n",
            "1 (a) b) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 7 0 0",
            "1.50 0.2 0.1 1/100 200",
            "MemTotal: 4000 kB\nMemFree: 1 kB\nMemAvailable: 1000 kB\n",
            2,
        );

        assert_eq!((usage.resident_bytes, usage.threads), (1_024_000, 7));
        assert_eq!(
            (usage.user, usage.system),
            (Duration::from_millis(2500), Duration::from_millis(500))
        );
        assert_eq!((usage.cpu_percent, usage.memory_percent()), (75, 75));
    }

    #[test]
    fn nothing_to_read_is_no_error() {
        assert_eq!(Usage::parse("", "", "", "", 1).memory_percent(), 0);
        assert!(Usage::read().resident_bytes > 0);
    }
}
