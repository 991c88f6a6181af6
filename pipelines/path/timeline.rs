//! One timeline per broadcast, and where each track's RTP clock stands on it.

use std::time::{Duration, Instant};

use media::SenderReport;

/// A place on the timeline, or a distance, in nanoseconds.
pub(super) type Nanoseconds = i64;

/// How far a picture may move from one to the next to come in step with the sound; not seen at 30 pictures a second.
const SLEW_LIMIT: Nanoseconds = 3_000_000;

/// A correction that is made at once, because slewing would take seconds.
const STEP_FROM: Nanoseconds = 200_000_000;

/// Pictures are at least this far apart: containers count milliseconds.
pub(super) const PICTURE_STEP: Nanoseconds = 1_000_000;

/// How much earlier or later than the sound a picture may come, by its sender's reports; beyond it the reports are not believed.
const BELIEVABLE: Nanoseconds = 2_000_000_000;

/// A step of an RTP timestamp that is no pause and no stall.
const JUMP: Nanoseconds = 2_000_000_000;

/// How much the rates of two clocks in consecutive reports may differ: one part in a hundred, which is a hundred times what crystals do.
const RATE_TOLERANCE: u64 = 100;

/// The broadcast's time: 0 at the first packet, then as the wall clock, and never back.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    origin: Option<Instant>,
    /// What the media is ahead of the wall clock.
    ahead: Nanoseconds,
}

impl Timeline {
    /// Starts at the first call.
    pub(super) fn start(&mut self, now: Instant) {
        self.origin.get_or_insert(now);
    }

    /// Returns the place of `now`, if the timeline has started.
    pub(super) fn position(&self, now: Instant) -> Option<Nanoseconds> {
        Some(nanoseconds(now.saturating_duration_since(self.origin?)) + self.ahead)
    }

    /// Makes sure that `now` is not before `place`, since media is already there.
    pub(super) fn advance_to(&mut self, place: Nanoseconds, now: Instant) {
        if let Some(position) = self.position(now) {
            self.ahead += (place - position).max(0);
        }
    }
}

/// A track's RTP clock: unwrapped, and anchored to the timeline at its first packet.
#[derive(Debug)]
pub(super) struct TrackClock {
    rate_hz: u32,
    anchor: Option<Anchor>,
    report: Option<Report>,
    /// A report that came before the first packet.
    early_report: Option<SenderReport>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    ssrc: u32,
    rtp: i64,
    place: Nanoseconds,
    latest_rtp: i64,
    latest_arrival: Instant,
    /// How much later than its place the latest packet came.
    lateness: Nanoseconds,
}

/// The sender's wall clock at an RTP timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Report {
    ntp: Duration,
    rtp: i64,
}

/// Where a packet belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    /// Its place by the anchor.
    pub(super) place: Nanoseconds,
    /// Whether the clock was anchored anew, because this is the first packet or the timestamps jumped.
    pub(super) is_new_anchor: bool,
}

impl TrackClock {
    pub(super) fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            anchor: None,
            report: None,
            early_report: None,
        }
    }

    /// Forgets the sender.
    pub(super) fn reset(&mut self) {
        *self = Self {
            early_report: self.early_report,
            ..Self::new(self.rate_hz)
        };
    }

    /// Places the next packet in order. `fresh` is the place for one that begins anew.
    pub(super) fn place(
        &mut self,
        ssrc: u32,
        timestamp: u32,
        arrival: Instant,
        fresh: Nanoseconds,
    ) -> Placed {
        if let Some(anchor) = &mut self.anchor {
            let rtp = unwrap_near(anchor.latest_rtp, timestamp);
            let step = to_nanoseconds(rtp - anchor.latest_rtp, self.rate_hz);
            let elapsed = nanoseconds(arrival.saturating_duration_since(anchor.latest_arrival));
            let has_jumped = (step - elapsed).abs() > JUMP && !(0..=JUMP).contains(&step);
            if ssrc == anchor.ssrc && !has_jumped {
                let place = anchor.place + to_nanoseconds(rtp - anchor.rtp, self.rate_hz);
                anchor.latest_rtp = rtp;
                anchor.latest_arrival = anchor.latest_arrival.max(arrival);
                anchor.lateness = fresh - place;
                return Placed {
                    place,
                    is_new_anchor: false,
                };
            }
            self.report = None;
        }
        let rtp = i64::from(timestamp);
        self.anchor = Some(Anchor {
            ssrc,
            rtp,
            place: fresh,
            latest_rtp: rtp,
            latest_arrival: arrival,
            lateness: 0,
        });
        if let Some(report) = self.early_report.take() {
            self.handle_report(report);
        }
        Placed {
            place: fresh,
            is_new_anchor: true,
        }
    }

    /// Moves the anchor: all that comes belongs later by `by`.
    pub(super) fn shift(&mut self, by: Nanoseconds) {
        if let Some(anchor) = &mut self.anchor {
            anchor.place += by;
            anchor.lateness -= by;
        }
    }

    /// Takes a sender report; one that cannot be true is ignored.
    pub(super) fn handle_report(&mut self, report: SenderReport) {
        // RFC 3550 § 6.4.1: a sender without a wall clock says 0.
        if report.ntp_time.is_zero() {
            return;
        }
        let Some(anchor) = self.anchor else {
            self.early_report = Some(report);
            return;
        };
        if report.ssrc != anchor.ssrc {
            self.early_report = Some(report);
            return;
        }
        let new = Report {
            ntp: report.ntp_time,
            rtp: unwrap_near(anchor.latest_rtp, report.rtp_timestamp),
        };
        if to_nanoseconds(new.rtp - anchor.latest_rtp, self.rate_hz).abs() > 30 * JUMP {
            return;
        }
        let is_steady = self.report.is_none_or(|old| {
            let wall = signed_difference(new.ntp, old.ntp);
            let media = to_nanoseconds(new.rtp - old.rtp, self.rate_hz);
            // Reports that lie close together may differ by rounding.
            wall.abs_diff(media) <= (wall.unsigned_abs() / RATE_TOLERANCE).max(50_000_000)
        });
        // An unsteady one is where the next is measured from, so that a clock that was set is believed in the end.
        self.report = if is_steady { Some(new) } else { None };
    }

    /// Returns the sender's wall clock at a place, in nanoseconds of its own era.
    fn wall_minus_place(&self) -> Option<i128> {
        let (anchor, report) = (self.anchor?, self.report?);
        let place = anchor.place + to_nanoseconds(report.rtp - anchor.rtp, self.rate_hz);
        Some(report.ntp.as_nanos().cast_signed() - i128::from(place))
    }
}

/// Returns how much later pictures belong than their clock's anchor says, to be in step with the sound.
///
/// `None` without believable reports of both.
pub(super) fn alignment(picture: &TrackClock, sound: &TrackClock) -> Option<Nanoseconds> {
    let difference = picture.wall_minus_place()? - sound.wall_minus_place()?;
    let correction = i64::try_from(difference).ok()?;
    let lateness = picture.anchor?.lateness - correction;
    ((lateness - sound.anchor?.lateness).abs() <= BELIEVABLE).then_some(correction)
}

/// Gives pictures their final places: slewed towards the sound, strictly increasing.
#[derive(Debug, Default)]
pub(super) struct PictureClock {
    target: Nanoseconds,
    correction: Nanoseconds,
    latest: Option<Nanoseconds>,
    /// How much later than its place the latest picture is, since there was one before it.
    held: Nanoseconds,
}

impl PictureClock {
    /// Sets where the correction goes.
    pub(super) fn aim(&mut self, target: Nanoseconds) {
        self.target = target;
    }

    /// Begins anew with a correction that is made at once.
    pub(super) fn jump(&mut self, correction: Nanoseconds) {
        self.target = correction;
        self.correction = correction;
    }

    /// Returns the timestamp of the next picture.
    pub(super) fn settle(&mut self, place: Nanoseconds) -> Nanoseconds {
        let error = self.target - self.correction;
        let is_step = error.abs() > STEP_FROM || self.latest.is_none();
        self.correction += if is_step {
            error
        } else {
            error.clamp(-SLEW_LIMIT, SLEW_LIMIT)
        };
        let wanted = place + self.correction;
        let place = self.put(wanted);
        self.held = place - wanted;
        place
    }

    /// Returns the timestamp of a picture that is not moved, except to be later than the latest.
    pub(super) fn put(&mut self, place: Nanoseconds) -> Nanoseconds {
        let earliest = self.latest.map_or(0, |latest| latest + PICTURE_STEP);
        let place = place.max(earliest);
        self.latest = Some(place);
        place
    }

    /// Something else has gone out up to here; pictures come later.
    pub(super) fn reach(&mut self, place: Nanoseconds) {
        self.latest = self.latest.max(Some(place));
    }

    /// How much later the latest picture would have to be for the correction that is right.
    pub(super) fn error(&self, right: Nanoseconds) -> Nanoseconds {
        right - self.correction - self.held
    }

    /// The correction in force.
    pub(super) fn correction(&self) -> Nanoseconds {
        self.correction
    }

    /// The timestamp of the latest picture.
    pub(super) fn latest(&self) -> Option<Nanoseconds> {
        self.latest
    }
}

/// Returns the timestamp of `place`.
pub(super) fn duration(place: Nanoseconds) -> Duration {
    Duration::from_nanos(u64::try_from(place).unwrap_or(0))
}

/// Returns a duration in nanoseconds, at most 292 years.
pub(super) fn nanoseconds(duration: Duration) -> Nanoseconds {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn to_nanoseconds(ticks: i64, rate_hz: u32) -> Nanoseconds {
    let nanoseconds = i128::from(ticks) * 1_000_000_000 / i128::from(rate_hz);
    i64::try_from(nanoseconds).unwrap_or(if ticks < 0 {
        i64::MIN / 4
    } else {
        i64::MAX / 4
    })
}

fn signed_difference(later: Duration, earlier: Duration) -> Nanoseconds {
    nanoseconds(later.saturating_sub(earlier)) - nanoseconds(earlier.saturating_sub(later))
}

/// Returns the timestamp's unwrapped value that is nearest to `reference`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "wrapping is meant"
)]
fn unwrap_near(reference: i64, timestamp: u32) -> i64 {
    reference + i64::from(timestamp.wrapping_sub(reference as u32).cast_signed())
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
