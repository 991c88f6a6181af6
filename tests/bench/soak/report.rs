//! What a soak prints.

use std::{
    fmt::Write,
    fs,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{Seen, health::Course, receiver::Tally};
use crate::{figures::percentile, process::Usage};

/// Failures of one kind that are told in full.
const FAILURES_TOLD: usize = 3;

/// Something about a process.
type Quantity = fn(&Usage) -> f64;

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) length: Duration,
    pub(super) broadcasts: usize,
    pub(super) seed: u64,
    /// How much of the machine was free before.
    pub(super) idle_percent: f64,
    pub(super) warm_up: Duration,
    /// The gateway before the first broadcast.
    pub(super) before: Usage,
    /// The gateway after the last.
    pub(super) after: Option<Usage>,
    /// How late the studios' worst packet was.
    pub(super) latest: Duration,
    pub(super) panics: Option<f64>,
    pub(super) worker_panics: Option<f64>,
    /// By broadcast, the destination that nothing was done to.
    pub(super) untouched: Vec<Tally>,
    pub(super) seen: Seen,
}

impl Outcome {
    /// Nothing ended by accident and nothing panicked.
    pub(super) fn is_good(&self) -> bool {
        self.seen.ended.is_empty()
            && self.seen.gateway_ended.is_none()
            && self.panics.unwrap_or_default() + self.worker_panics.unwrap_or_default() == 0.0
            && self.untouched.iter().all(|tally| tally.publications == 1)
    }

    pub(super) fn table(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        let minutes = self.length.as_secs() / 60;
        let done: usize = self.count();
        writeln!(
            text,
            "{minutes} min, {} broadcasts × 2 or 3 destinations, {done} faults (seed {}); the machine was {:.0} % idle before; the studios' worst packet was {:.0} ms late.\n",
            self.broadcasts,
            self.seed,
            self.idle_percent,
            milliseconds(self.latest),
        )?;
        self.write_figures(&mut text)?;
        self.write_faults(&mut text)?;
        self.write_failures(&mut text)?;
        Ok(text)
    }

    fn count(&self) -> usize {
        let mended = self.seen.mended.values();
        mended
            .map(|mended| mended.times.len() + mended.failures.len())
            .sum()
    }

    fn write_figures(&self, text: &mut String) -> anyhow::Result<()> {
        let worst = |pick: fn(&Tally) -> Duration| {
            self.untouched.iter().map(pick).max().unwrap_or_default()
        };
        let sum = |pick: fn(&Tally) -> u64| self.untouched.iter().map(pick).sum::<u64>();
        let count = |value: Option<f64>| {
            value.map_or_else(|| "not told".to_owned(), |value| format!("{value}"))
        };
        writeln!(text, "| | |\n|---|---|")?;
        writeln!(
            text,
            "| broadcasts ended by accident | {} |",
            self.seen.ended.len()
        )?;
        if let Some(status) = &self.seen.gateway_ended {
            writeln!(text, "| **the gateway ended** | {status} |")?;
        }
        writeln!(
            text,
            "| panics (HTTP and tasks / workers) | {} / {} |",
            count(self.panics),
            count(self.worker_panics)
        )?;
        writeln!(
            text,
            "| untouched destinations: worst pause by arrival / by timestamp | {:.0} / {:.0} ms |",
            milliseconds(worst(|tally| tally.worst_pause)),
            milliseconds(worst(|tally| tally.worst_step)),
        )?;
        writeln!(
            text,
            "| untouched destinations: connections / pictures / timestamps not rising | {} / {} / {} |",
            sum(|tally| tally.publications),
            sum(|tally| tally.pictures),
            sum(|tally| tally.backwards),
        )?;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let quantities: [(&str, Quantity); 3] = [
            ("RSS in MB", |usage| {
                usage.resident_bytes as f64 / 1_048_576.0
            }),
            ("descriptors", |usage| usage.descriptors as f64),
            ("threads", |usage| usage.threads as f64),
        ];
        for (name, quantity) in quantities {
            let course = self.seen.health.course(self.warm_up, quantity)?;
            let Course {
                first,
                last,
                least,
                most,
                per_hour,
            } = course;
            let after = self
                .after
                .as_ref()
                .map_or_else(|| "?".to_owned(), |usage| format!("{:.0}", quantity(usage)));
            writeln!(
                text,
                "| {name}: idle → warm ({} s) → end, within, slope → all ended | {:.0} → {first:.0} → {last:.0}, {least:.0} to {most:.0}, {per_hour:+.1}/h → {after} |",
                self.warm_up.as_secs(),
                quantity(&self.before),
            )?;
        }
        let cpu = self.seen.health.cpu_percent(self.warm_up);
        writeln!(
            text,
            "| CPU of the gateway, % of one core | {:.1} |\n",
            cpu.unwrap_or_default()
        )?;
        Ok(())
    }

    fn write_faults(&self, text: &mut String) -> anyhow::Result<()> {
        writeln!(
            text,
            "| fault | times | not mended | time | p50 | max |\n|---|---|---|---|---|---|"
        )?;
        for (fault, mended) in &self.seen.mended {
            let (what, time) = fault.words();
            let mut times = mended.times.clone();
            let figure = |value: Duration| {
                if time.is_empty() {
                    String::new()
                } else {
                    format!("{:.2} s", value.as_secs_f64())
                }
            };
            let (middle, most) = (percentile(&mut times, 50), percentile(&mut times, 100));
            writeln!(
                text,
                "| {what} | {} | {} | {time} | {} | {} |",
                mended.times.len() + mended.failures.len(),
                mended.failures.len(),
                figure(middle),
                figure(most),
            )?;
        }
        Ok(())
    }

    fn write_failures(&self, text: &mut String) -> anyhow::Result<()> {
        for (fault, mended) in &self.seen.mended {
            for failure in mended.failures.iter().take(FAILURES_TOLD) {
                writeln!(text, "\n{fault:?} was not mended: {failure}")?;
            }
        }
        for ended in &self.seen.ended {
            writeln!(text, "\n{ended} ended by accident")?;
        }
        Ok(())
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// How much of the machine nobody uses, over `window`.
pub(super) async fn idle_percent(window: Duration) -> anyhow::Result<f64> {
    let (idle, all) = processor_times()?;
    let began = Instant::now();
    tokio::time::sleep(window.saturating_sub(began.elapsed())).await;
    let (later_idle, later_all) = processor_times()?;
    Ok((later_idle - idle) / (later_all - all).max(1.0) * 100.0)
}

/// Time in which nothing ran, and all time, of all processors, in the kernel's units.
fn processor_times() -> anyhow::Result<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("an empty /proc/stat")?;
    let times: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let idle = times.get(3).context("no idle time")? + times.get(4).unwrap_or(&0.0);
    Ok((idle, times.iter().take(8).sum()))
}
