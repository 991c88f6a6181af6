//! The gateway's health over time: memory, descriptors, threads, panics, and the line through them.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::process::{GatewayProcess, Usage};

/// What was seen at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) usage: Usage,
}

/// All samples, one each second.
#[derive(Debug, Default)]
pub(crate) struct Health {
    samples: Vec<Sample>,
}

/// How a quantity went from the end of the warm-up to the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Course {
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// Of the line that fits best.
    pub(crate) per_hour: f64,
}

impl Health {
    pub(crate) fn look(&mut self, gateway: &GatewayProcess) -> anyhow::Result<()> {
        self.samples.push(Sample {
            at: Instant::now(),
            usage: gateway.usage()?,
        });
        Ok(())
    }

    /// How one of its quantities went after `warm_up`.
    pub(crate) fn course(
        &self,
        warm_up: Duration,
        quantity: impl Fn(&Usage) -> f64,
    ) -> anyhow::Result<Course> {
        let first = self.samples.first().context("nothing was measured")?.at;
        let points: Vec<_> = self
            .samples
            .iter()
            .map(|sample| (sample.at - first, quantity(&sample.usage)))
            .filter(|(since, _)| *since >= warm_up)
            .map(|(since, value)| (since.as_secs_f64() / 3_600.0, value))
            .collect();
        Course::of(&points).context("it was over before it was warm")
    }

    /// CPU from the end of the warm-up to the end, in percent of one core.
    pub(crate) fn cpu_percent(&self, warm_up: Duration) -> Option<f64> {
        let first = self.samples.first()?.at;
        let warm = self
            .samples
            .iter()
            .find(|sample| sample.at - first >= warm_up)?;
        Some(self.samples.last()?.usage.cpu_percent_since(&warm.usage))
    }
}

impl Course {
    /// Least squares over points of hours and values.
    fn of(points: &[(f64, f64)]) -> Option<Self> {
        let (&(_, first), &(_, last)) = (points.first()?, points.last()?);
        #[expect(clippy::cast_precision_loss, reason = "some thousands of samples")]
        let count = points.len() as f64;
        let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
        let (mean_hour, mean_value) = (mean(|point| point.0), mean(|point| point.1));
        let (mut above, mut below) = (0.0, 0.0);
        for (hour, value) in points {
            above += (hour - mean_hour) * (value - mean_value);
            below += (hour - mean_hour).powi(2);
        }
        Some(Self {
            first,
            last,
            least: points.iter().map(|point| point.1).fold(f64::MAX, f64::min),
            most: points.iter().map(|point| point.1).fold(f64::MIN, f64::max),
            per_hour: if below > 0.0 { above / below } else { 0.0 },
        })
    }
}

/// The value of a metric without labels, or the sum over all its labels.
pub(crate) fn metric(text: &str, name: &str) -> Option<f64> {
    let values: Vec<f64> = text
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.strip_prefix('{') {
                Some(labels) => labels.split_once("} ")?.1,
                None => rest.strip_prefix(' ')?,
            };
            value.trim().parse().ok()
        })
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_best_line() {
        let rising = [(0.0, 10.0), (0.5, 11.0), (1.0, 12.0)];
        let noisy = [(0.0, 5.0), (0.25, 7.0), (0.5, 5.0), (0.75, 7.0), (1.0, 5.0)];

        assert_eq!(Course::of(&rising).map(|course| course.per_hour), Some(2.0));
        let noisy = Course::of(&noisy).unwrap();
        assert!(noisy.per_hour.abs() < 1e-9);
        assert_eq!((noisy.least, noisy.most), (5.0, 7.0));
        assert_eq!(Course::of(&[]), None);
    }

    #[test]
    fn metrics_are_read_with_and_without_labels() {
        let text = "# TYPE a counter\na_total 3\nb{x=\"1\"} 2\nb{x=\"2\"} 5\nbb 100\n";

        assert_eq!(metric(text, "a_total"), Some(3.0));
        assert_eq!(metric(text, "b"), Some(7.0));
        assert_eq!(metric(text, "c"), None);
    }
}
