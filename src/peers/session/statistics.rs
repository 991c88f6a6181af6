//! What comes in, counted for the studio's owner.

use std::time::{Duration, Instant};

use media::TrackKind;

use crate::{IngestStatistics, repair::RepairCounters};

/// How often the owner is told.
const INTERVAL: Duration = Duration::from_secs(1);
/// Of an RTP header without extensions.
const HEADER_BYTES: usize = 12;

/// Counts the packets of a session.
pub(crate) struct Statistics {
    due: Instant,
    since: Instant,
    video_bytes: u64,
    audio_bytes: u64,
    packets: u64,
}

impl Statistics {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            due: now,
            since: now,
            video_bytes: 0,
            audio_bytes: 0,
            packets: 0,
        }
    }

    /// When the owner is to be told, once the session has begun.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    /// The session is up.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since = now;
        self.due = now + INTERVAL;
    }

    /// A packet came, whether at first or by retransmission.
    pub(crate) const fn record(&mut self, kind: TrackKind, payload_bytes: usize) {
        let bytes = (HEADER_BYTES + payload_bytes) as u64;
        match kind {
            TrackKind::Video => self.video_bytes += bytes,
            TrackKind::Audio => self.audio_bytes += bytes,
        }
        self.packets += 1;
    }

    /// What to tell the owner, once a second.
    pub(crate) fn take_when_due(
        &mut self,
        counters: &RepairCounters,
        round_trip: Option<Duration>,
        now: Instant,
    ) -> Option<IngestStatistics> {
        if now < self.due {
            return None;
        }
        let elapsed = now
            .saturating_duration_since(self.since)
            .as_secs_f64()
            .max(0.001);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a bitrate"
        )]
        let rate = |bytes: &mut u64| (std::mem::take(bytes) as f64 * 8.0 / elapsed) as u64;
        let statistics = IngestStatistics {
            video_bits_per_second: rate(&mut self.video_bytes),
            audio_bits_per_second: rate(&mut self.audio_bytes),
            packets_received: self.packets,
            packets_lost: counters.lost(),
            packets_recovered: counters.recovered(),
            packets_requested: counters.requested(),
            round_trip,
        };
        self.begin(now);
        Some(statistics)
    }
}
