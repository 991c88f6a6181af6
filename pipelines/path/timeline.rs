//! One timeline per broadcast, and where each track's RTP clock stands on it.

#[path = "timeline_pace.rs"]
mod pace;

use std::time::{Duration, Instant};

use media::SenderReport;

use self::pace::{Pace, WINDOW};
use super::status::TimelineMark;

/// A place on the timeline, or a distance, in nanoseconds.
pub(super) type Nanoseconds = i64;

/// How far a picture may move from one to the next to come in step with the sound; not seen at 30 pictures a second.
const SLEW_LIMIT: Nanoseconds = 3_000_000;

/// A correction that is made at once, because slewing would take seconds.
const STEP_FROM: Nanoseconds = 200_000_000;

/// Pictures are at least this far apart: containers count milliseconds.
pub(super) const PICTURE_STEP: Nanoseconds = 1_000_000;

/// How much earlier or later on its way than the sound a picture may be, by its sender's reports; beyond it they are not
/// believed.
const BELIEVABLE: Nanoseconds = 2_000_000_000;

/// A step of an RTP timestamp that is no pause and no stall.
const JUMP: Nanoseconds = 2_000_000_000;

/// How much the rates of two clocks in consecutive reports may differ: one part in a hundred, which is a hundred times what crystals do.
const RATE_TOLERANCE: u64 = 100;

/// How many unsteady reports in a row are taken for a clock that was set. After more it takes as many steady ones to believe
/// in them again.
const DOUBTS_LIMIT: u32 = 2;

/// The broadcast's time: 0 at the first packet, then as the studio's sound goes, or the wall clock, and never back.
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

    /// How it runs, if it has started.
    pub(super) fn mark(&self) -> Option<TimelineMark> {
        Some(TimelineMark {
            origin: self.origin?,
            ahead: self.ahead,
        })
    }

    /// Makes sure that `now` is not before `place`, since media is already there.
    pub(super) fn advance_to(&mut self, place: Nanoseconds, now: Instant) {
        if let Some(position) = self.position(now) {
            self.ahead += (place - position).max(0);
        }
    }

    /// Keeps in step with a sender's clock, which is slower or faster than the wall's: what is placed by the time it
    /// comes goes on where the sender's media is.
    pub(super) fn follow(&mut self, clock: &TrackClock) {
        if let (Some(origin), Some(start), Some(anchor)) = (self.origin, clock.start, &clock.anchor)
        {
            self.ahead = -instants_apart(start, origin) - anchor.pace.recent();
        }
    }
}

/// A track's RTP clock: unwrapped, and anchored to the timeline at its first packet.
#[derive(Debug)]
pub(super) struct TrackClock {
    rate_hz: u32,
    /// When the first packet came. Arrivals are counted from here.
    start: Option<Instant>,
    anchor: Option<Anchor>,
    reports: Reports,
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
    pace: Pace,
    /// Whether a report has been believed since.
    is_reported: bool,
}

/// What the sender reports of this track.
#[derive(Debug, Clone, Copy, Default)]
struct Reports {
    latest: Option<Report>,
    /// How many were not as those before said.
    doubts: u32,
    /// How many were since.
    steady: u32,
    /// When packets arrive that are held up least, less the sender's wall clock at them. Both eras are arbitrary.
    transit: Option<i128>,
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
    /// Whether the clock was anchored anew, because this is the first packet or the timestamps jumped, or there was none
    /// for so long that the clock may have gone anywhere.
    pub(super) is_new_anchor: bool,
}

impl TrackClock {
    pub(super) fn new(rate_hz: u32) -> Self {
        Self {
            rate_hz,
            start: None,
            anchor: None,
            reports: Reports::default(),
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
        let since_start = instants_apart(arrival, *self.start.get_or_insert(arrival));
        if let Some(anchor) = &mut self.anchor {
            let rtp = unwrap_near(anchor.latest_rtp, timestamp);
            let step = to_nanoseconds(rtp - anchor.latest_rtp, self.rate_hz);
            let pause = arrival.saturating_duration_since(anchor.latest_arrival);
            let has_jumped =
                (step - nanoseconds(pause)).abs() > JUMP && !(0..=JUMP).contains(&step);
            if ssrc == anchor.ssrc && !has_jumped && pause < WINDOW {
                let place = anchor.place + to_nanoseconds(rtp - anchor.rtp, self.rate_hz);
                anchor.latest_rtp = rtp;
                anchor.latest_arrival = anchor.latest_arrival.max(arrival);
                let better = anchor.pace.observe(since_start, since_start - place);
                if let Some(transit) = &mut self.reports.transit
                    && anchor.is_reported
                {
                    *transit -= i128::from(better);
                }
                return Placed {
                    place,
                    is_new_anchor: false,
                };
            }
            // How long packets take is still true when the timestamps are others.
            (self.reports.latest, self.reports.doubts) = (None, 0);
        }
        let rtp = i64::from(timestamp);
        self.anchor = Some(Anchor {
            ssrc,
            rtp,
            place: fresh,
            latest_rtp: rtp,
            latest_arrival: arrival,
            pace: Pace::begin(since_start, since_start - fresh),
            is_reported: false,
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
            anchor.pace.shift(by);
        }
    }

    /// Takes a sender report; one that cannot be true is ignored.
    pub(super) fn handle_report(&mut self, report: SenderReport) {
        // RFC 3550 § 6.4.1: a sender without a wall clock says 0.
        if report.ntp_time.is_zero() {
            return;
        }
        let Some(anchor) = self.anchor.as_mut() else {
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
        let is_steady = self.reports.latest.is_none_or(|old| {
            let wall = signed_difference(new.ntp, old.ntp);
            let media = to_nanoseconds(new.rtp - old.rtp, self.rate_hz);
            // Reports that lie close together may differ by rounding.
            wall.abs_diff(media) <= (wall.unsigned_abs() / RATE_TOLERANCE).max(50_000_000)
        });
        // An unsteady one is where the next is measured from, so that a clock that was set is believed in the end.
        self.reports.latest = Some(new);
        if self.reports.is_believed(is_steady) {
            let place = anchor.place + to_nanoseconds(new.rtp - anchor.rtp, self.rate_hz);
            let ntp = new.ntp.as_nanos().cast_signed();
            self.reports.transit = Some(i128::from(anchor.pace.least() + place) - ntp);
            anchor.is_reported = true;
        }
    }
}

impl Reports {
    /// Takes note of whether a report is as those before said. Returns whether it is believed.
    fn is_believed(&mut self, is_steady: bool) -> bool {
        if !is_steady {
            self.doubts = self.doubts.saturating_add(1);
            self.steady = 0;
            return false;
        }
        self.steady = self.steady.saturating_add(1);
        if self.doubts > DOUBTS_LIMIT && self.steady < DOUBTS_LIMIT + 1 {
            return false;
        }
        self.doubts = 0;
        true
    }

    /// Whether the latest report says that the sender's clock was set, and the next is to confirm it.
    fn are_doubtful(&self) -> bool {
        (1..=DOUBTS_LIMIT).contains(&self.doubts)
    }
}

/// Returns how much later pictures belong than their clock's anchor says, to be in step with the sound.
///
/// By the reports of both, if they are believable. Otherwise by when packets come that are held up least, as if pictures and
/// sound took equally long on their way. `None` while a report waits to be confirmed. Without sound pictures keep to the
/// wall clock.
pub(super) fn alignment(picture: &TrackClock, sound: &TrackClock) -> Option<Nanoseconds> {
    let picture_pace = &picture.anchor.as_ref()?.pace;
    let Some(sound_anchor) = &sound.anchor else {
        return Some(picture_pace.drift());
    };
    if picture.reports.are_doubtful() || sound.reports.are_doubtful() {
        return None;
    }
    let later = instants_apart(picture.start?, sound.start?);
    let by_arrival = picture_pace.least() - sound_anchor.pace.least() + later;
    let by_reports = picture.reports.transit.zip(sound.reports.transit);
    let longer = by_reports
        .and_then(|(picture, sound)| i64::try_from(picture - sound).ok())
        .map(|longer| longer.saturating_add(later))
        .filter(|longer| longer.abs() <= BELIEVABLE);
    Some(by_arrival - longer.unwrap_or(0))
}

/// Gives pictures their final places: slewed towards the sound, strictly increasing.
#[derive(Debug, Default)]
pub(super) struct PictureClock {
    target: Nanoseconds,
    correction: Nanoseconds,
    latest: Option<Nanoseconds>,
    /// How much later than its place the latest picture is, since there was one before it.
    held: Nanoseconds,
    /// Whether the next picture is corrected at once.
    is_fresh: bool,
}

impl PictureClock {
    /// Sets where the correction goes.
    pub(super) fn aim(&mut self, target: Nanoseconds) {
        self.target = target;
    }

    /// Begins anew with a correction that is made at once, as is what is aimed at before the next picture.
    pub(super) fn jump(&mut self, correction: Nanoseconds) {
        self.target = correction;
        self.correction = correction;
        self.is_fresh = true;
    }

    /// Returns the timestamp of the next picture.
    pub(super) fn settle(&mut self, place: Nanoseconds) -> Nanoseconds {
        let error = self.target - self.correction;
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let is_step = error.abs() > STEP_FROM || self.latest.is_none() || is_fresh;
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

/// Returns how much later one instant is than another.
fn instants_apart(later: Instant, earlier: Instant) -> Nanoseconds {
    nanoseconds(later.saturating_duration_since(earlier))
        - nanoseconds(earlier.saturating_duration_since(later))
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

#[cfg(test)]
#[path = "drift_broadcast.rs"]
mod drift_broadcast;
#[cfg(test)]
#[path = "drift_studio.rs"]
mod drift_studio;
#[cfg(test)]
#[path = "drift_tests.rs"]
mod drift_tests;
