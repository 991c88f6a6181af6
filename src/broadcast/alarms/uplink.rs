//! How well the packets come.

use std::collections::VecDeque;

use super::{PacketCounts, gate::Verdict};

/// Share of packets that must be asked for again, from which the uplink is poor.
const UPLINK_POOR_LOST: f64 = 0.05;
/// Share of packets that never come, from which the uplink is poor.
const UPLINK_POOR_UNREPAIRED: f64 = 0.01;
/// The same shares from which it is well.
const UPLINK_HEALTHY_LOST: f64 = 0.03;
const UPLINK_HEALTHY_UNREPAIRED: f64 = 0.005;
/// Seconds that are judged together: most of them must be poor.
const UPLINK_SECONDS: usize = 5;

/// The packets of the latest seconds.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    /// At most [`UPLINK_SECONDS`].
    seconds: VecDeque<PacketCounts>,
}

impl Uplink {
    /// Takes a second; one of which nothing is known breaks the row.
    pub(super) fn take(&mut self, second: Option<PacketCounts>) {
        let Some(second) = second else {
            self.seconds.clear();
            return;
        };
        if self.seconds.len() == UPLINK_SECONDS {
            self.seconds.pop_front();
        }
        self.seconds.push_back(second);
    }

    pub(super) fn judge(&self) -> Verdict {
        if self.seconds.is_empty() {
            return Verdict::Good;
        }
        if self.seconds.len() < UPLINK_SECONDS {
            return Verdict::Unclear;
        }
        let (lost, unrepaired) = (self.median(lost_share), self.median(unrepaired_share));
        if lost > UPLINK_POOR_LOST || unrepaired > UPLINK_POOR_UNREPAIRED {
            Verdict::Bad
        } else if lost <= UPLINK_HEALTHY_LOST && unrepaired <= UPLINK_HEALTHY_UNREPAIRED {
            Verdict::Good
        } else {
            Verdict::Unclear
        }
    }

    /// Shares of the packets that did not come at first, and that never came.
    pub(super) fn shares(&self) -> (f64, f64) {
        let mut total = PacketCounts::default();
        for second in &self.seconds {
            total.received = total.received.saturating_add(second.received);
            total.lost = total.lost.saturating_add(second.lost);
            total.recovered = total.recovered.saturating_add(second.recovered);
        }
        (lost_share(&total), unrepaired_share(&total))
    }

    /// The middle one of the seconds: one burst does not make an uplink poor, nor one good second a good one.
    fn median(&self, share: impl Fn(&PacketCounts) -> f64) -> f64 {
        let mut shares: Vec<f64> = self.seconds.iter().map(share).collect();
        shares.sort_by(f64::total_cmp);
        shares.get(shares.len() / 2).copied().unwrap_or_default()
    }
}

/// Share of the packets that did not come at first.
fn lost_share(counts: &PacketCounts) -> f64 {
    share(
        counts.lost.saturating_add(counts.recovered),
        counts.received.saturating_add(counts.lost),
    )
}

/// Share of the packets that never came.
fn unrepaired_share(counts: &PacketCounts) -> f64 {
    share(counts.lost, counts.received.saturating_add(counts.lost))
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
