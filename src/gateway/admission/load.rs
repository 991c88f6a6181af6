//! How many cores this process and its children really use.

use std::{
    collections::{HashMap, VecDeque},
    fs,
    time::{Duration, Instant},
};

use super::Cost;

/// How often it is measured.
pub const MEASURE_PERIOD: Duration = Duration::from_secs(5);

/// Over how many measurements it is averaged, so that a slate that is coded fills no node.
const WINDOW: usize = 4;

/// Clock ticks a second in `/proc/PID/stat`; 100 on every Linux of our platforms (`USER_HZ`).
const TICKS_PER_SECOND: u32 = 100;

/// Averages what was measured.
#[derive(Debug, Default)]
pub struct LoadMeter {
    samples: VecDeque<(Instant, Duration)>,
}

impl LoadMeter {
    /// Takes the processor time that was used, ever. Returns the cores in use, from the second time on.
    pub fn handle_sample(&mut self, used: Duration, now: Instant) -> Option<Cost> {
        if self.samples.len() >= WINDOW {
            self.samples.pop_front();
        }
        self.samples.push_back((now, used));
        let (since, before) = *self.samples.front()?;
        let elapsed = now.saturating_duration_since(since);
        if elapsed.is_zero() {
            return None;
        }
        let cores = used.saturating_sub(before).as_secs_f64() / elapsed.as_secs_f64();
        Some(Cost::of_cores(cores))
    }
}

/// The processor time of a process, its children, and theirs, and of those that they have outlived.
///
/// Nothing where `/proc` cannot be read.
pub fn processor_time(process: u32) -> Duration {
    let mut times = HashMap::new();
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for process in processes {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        if let Some((parent, time)) = parse(&stat) {
            times.insert(process, time);
            children.entry(parent).or_default().push(process);
        }
    }
    let (mut sum, mut family) = (Duration::ZERO, vec![process]);
    while let Some(member) = family.pop() {
        // A process is taken out when it is counted, so that nothing goes round in circles.
        sum += times.remove(&member).unwrap_or_default();
        family.extend(children.remove(&member).unwrap_or_default());
    }
    sum
}

/// The parent, and the time with that of children that were waited for.
fn parse(stat: &str) -> Option<(u32, Duration)> {
    // The name of the process stands in parentheses and may hold anything; fields are counted behind it.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let ticks: u64 = fields
        .get(11..15)?
        .iter()
        .filter_map(|text| text.parse::<u64>().ok())
        .sum();
    Some((
        parent,
        Duration::from_millis(ticks.saturating_mul(1_000 / u64::from(TICKS_PER_SECOND))),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_measurements_are_averaged() {
        let (mut meter, start) = (LoadMeter::default(), Instant::now());
        let mut sample = |number: u32, used: u64| {
            meter.handle_sample(Duration::from_secs(used), start + MEASURE_PERIOD * number)
        };

        assert_eq!(sample(0, 100), None);
        assert_eq!(sample(1, 105), Some(Cost::of_cores(1.0)));
        assert_eq!(sample(2, 105), Some(Cost::of_cores(0.5)));
        sample(3, 105);
        assert_eq!(sample(4, 105), Some(Cost::NONE), "the first is forgotten");
    }

    #[test]
    fn a_process_is_known_by_its_parent_and_its_times() {
        let stat = "7 (a) b) S 3 1 1 0 -1 0 0 0 0 0 250 50 30 20 20 0 7 0 0";

        assert_eq!(parse(stat), Some((3, Duration::from_millis(3_500))));
        assert_eq!(parse("7 (x"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn what_a_child_uses_counts() {
        let before = processor_time(std::process::id());

        let status = std::process::Command::new("/bin/sh")
            .args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"])
            .status()
            .unwrap();

        assert!(status.success());
        assert!(processor_time(std::process::id()) > before);
        assert_eq!(processor_time(u32::MAX), Duration::ZERO);
    }
}
