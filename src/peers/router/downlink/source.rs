//! A producer as one client gets it: its consumers there, and what its layers take. Pure; time is an argument.

use std::time::Instant;

use super::{ClockKey, consumer::Consumer, meter::Meter};

/// What headers and the network add to a payload, about.
const OVERHEAD_BYTES: usize = 70;
/// How much of what was measured counts at each [look](Source::measure): rising rates are believed sooner than falling
/// ones.
const RISING: f64 = 0.5;
const FALLING: f64 = 0.1;

/// One producer.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) clock: ClockKey,
    /// As a rule one.
    pub(super) consumers: Vec<Consumer>,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    meter: Meter,
    bits_per_second: f64,
}

impl Source {
    pub(super) fn new(clock: ClockKey, layers: u8) -> Self {
        let layer = || Layer {
            meter: Meter::new(),
            bits_per_second: 0.0,
        };
        Self {
            clock,
            consumers: Vec::new(),
            layers: std::iter::repeat_with(layer)
                .take(usize::from(layers.max(1)))
                .collect(),
        }
    }

    /// A packet came.
    pub(super) fn count(&mut self, layer: u8, payload_bytes: usize, now: Instant) {
        if let Some(layer) = self.layers.get_mut(usize::from(layer)) {
            layer.meter.count(payload_bytes + OVERHEAD_BYTES, now);
        }
    }

    /// Looks at what the layers take.
    pub(super) fn measure(&mut self, now: Instant) {
        for layer in &mut self.layers {
            let measured = rounded(layer.meter.rate(now));
            let weight = if measured > layer.bits_per_second {
                RISING
            } else {
                FALLING
            };
            let is_new = layer.bits_per_second < 1.0;
            let weight = if is_new { 1.0 } else { weight };
            layer.bits_per_second += (measured - layer.bits_per_second) * weight;
            if !layer.meter.is_active(now) {
                layer.bits_per_second = 0.0;
            }
        }
    }

    /// The layers that flow up to the preferred one, or the smallest that flows, and what each takes in bit/s. Never
    /// none: without any, the smallest is waited for.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate that was measured"
    )]
    pub(super) fn flowing(&self, preferred: u8, now: Instant) -> Vec<(u8, u64)> {
        let mut flowing: Vec<_> = (0..=u8::MAX)
            .zip(&self.layers)
            .filter(|(_, layer)| layer.meter.is_active(now))
            .map(|(number, layer)| (number, layer.bits_per_second as u64))
            .collect();
        let wanted = flowing.partition_point(|(number, _)| *number <= preferred);
        flowing.truncate(wanted.max(1));
        if flowing.is_empty() {
            flowing.push((0, 0));
        }
        flowing
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
const fn rounded(rate: u64) -> f64 {
    rate as f64
}
