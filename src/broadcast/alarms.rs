//! Alarms: what is wrong with what the studio sends, in words for the show's host.
//!
//! Fed once a second. A limit must be broken for a while before an alarm is raised, and kept well for a while before it
//! is cleared, so that a value at its limit does not flap.

mod gate;
mod looks;
mod measurement;
mod uplink;
mod words;

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use gate::{Gate, Verdict};
use looks::Looks;
use uplink::Uplink;

pub use gate::ALARM_PAUSE;
pub use measurement::{Look, Measurement, PacketCounts};

/// Below this share of the nominal frame rate is a collapse; hidden tabs give one picture a second or none.
const FRAME_RATE_COLLAPSED_SHARE: f64 = 0.5;
/// Above this share of the nominal frame rate is health.
const FRAME_RATE_HEALTHY_SHARE: f64 = 0.75;
/// For how long the frame rate is to be below; one slow second is the browser's garbage collector.
const FRAME_RATE_RAISE_AFTER: Duration = Duration::from_secs(3);

/// For how long there is to be silence; shorter ones are speech and music.
const SILENT_RAISE_AFTER: Duration = Duration::from_secs(10);
/// Silence longer than this is no sound, as one click is none.
const SOUNDING_PAUSE: Duration = Duration::from_millis(1500);
/// For how long there is to be sound.
const SILENT_CLEAR_AFTER: Duration = Duration::from_secs(2);

/// The longest a keyframe may be away: the platforms ask for one at least every 4 s.
const KEYFRAMES_RARE: Duration = Duration::from_millis(4500);
/// The cadence that the platforms accept.
const KEYFRAMES_HEALTHY: Duration = Duration::from_secs(4);
/// Fewer pictures a second than this have no cadence to speak of.
const CADENCE_FRAMES_PER_SECOND: f64 = 0.5;

/// Sound and picture that are further apart are seen to be.
const OUT_OF_SYNC: Duration = Duration::from_millis(100);
/// Sound and picture closer are together.
const IN_SYNC: Duration = Duration::from_millis(60);
/// For how long they are to be apart.
const OUT_OF_SYNC_RAISE_AFTER: Duration = Duration::from_secs(5);

/// For how long things are to be well before an alarm is cleared, where nothing else is said.
const CLEAR_AFTER: Duration = Duration::from_secs(5);

/// What can be wrong with what the studio sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alarm {
    /// Far fewer pictures a second than usual.
    FrameRateCollapsed,
    /// Nothing is to be seen.
    PictureBlack,
    /// The picture does not move.
    PictureFrozen,
    /// Nothing is to be heard.
    SoundSilent,
    /// Keyframes come less often than the platforms want.
    KeyframesRare,
    /// The way from the studio loses packets.
    UplinkPoor,
    /// Sound and picture are apart.
    OutOfSync,
}

impl Alarm {
    /// Every alarm.
    pub const ALL: [Self; 7] = [
        Self::FrameRateCollapsed,
        Self::PictureBlack,
        Self::PictureFrozen,
        Self::SoundSilent,
        Self::KeyframesRare,
        Self::UplinkPoor,
        Self::OutOfSync,
    ];

    /// The stable word for clients and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::FrameRateCollapsed => "frame_rate_collapsed",
            Self::PictureBlack => "picture_black",
            Self::PictureFrozen => "picture_frozen",
            Self::SoundSilent => "sound_silent",
            Self::KeyframesRare => "keyframes_rare",
            Self::UplinkPoor => "uplink_poor",
            Self::OutOfSync => "out_of_sync",
        }
    }

    /// How long it must be bad before it is raised, and well before it is cleared.
    const fn patience(self) -> (Duration, Duration) {
        match self {
            Self::FrameRateCollapsed => (FRAME_RATE_RAISE_AFTER, CLEAR_AFTER),
            Self::OutOfSync => (OUT_OF_SYNC_RAISE_AFTER, CLEAR_AFTER),
            // What is measured is a time or is of several seconds already.
            Self::KeyframesRare | Self::UplinkPoor => (Duration::ZERO, CLEAR_AFTER),
            Self::SoundSilent => (Duration::ZERO, SILENT_CLEAR_AFTER),
            Self::PictureBlack | Self::PictureFrozen => (Duration::ZERO, Duration::ZERO),
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}

/// An alarm was raised or cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmChange {
    /// Which one.
    pub alarm: Alarm,
    /// Raised, or else cleared.
    pub raised: bool,
    /// A sentence or two for the show's host.
    pub message: String,
}

/// An alarm that is raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveAlarm {
    /// Which one.
    pub alarm: Alarm,
    /// Since when.
    pub since: Instant,
    /// What was said when it was raised.
    pub message: String,
}

/// The alarms of one broadcast.
#[derive(Debug, Default)]
pub struct Alarms {
    gates: [Gate; Alarm::ALL.len()],
    looks: Looks,
    uplink: Uplink,
    /// At most one for each alarm: what was raised and cleared before anybody asked has not been.
    changes: VecDeque<AlarmChange>,
}

impl Alarms {
    /// Takes what was measured. To be called about once a second.
    pub fn handle_measurement(&mut self, measurement: &Measurement, now: Instant) {
        if !measurement.studio_connected {
            self.clear_all(now);
            return;
        }
        if let Some(look) = &measurement.look {
            self.looks.take(look);
        }
        self.uplink.take(measurement.packets);
        for (place, alarm) in Alarm::ALL.into_iter().enumerate() {
            let verdict = self.judge(alarm, measurement, now);
            if let Some(raised) = self.gates[place].handle(verdict, alarm.patience(), now) {
                let message = if raised {
                    words::complaint(alarm, measurement, &self.looks, &self.uplink)
                } else {
                    words::relief(alarm, measurement)
                };
                if raised {
                    self.gates[place].raised = Some((now, message.clone()));
                }
                self.tell(alarm, raised, message);
            }
        }
    }

    /// What has changed since this was last asked, oldest first.
    pub fn poll_change(&mut self) -> Option<AlarmChange> {
        self.changes.pop_front()
    }

    /// What is raised now.
    pub fn active(&self) -> Vec<ActiveAlarm> {
        Alarm::ALL
            .into_iter()
            .zip(&self.gates)
            .filter_map(|(alarm, gate)| {
                let (since, message) = gate.raised.as_ref()?;
                Some(ActiveAlarm {
                    alarm,
                    since: *since,
                    message: message.clone(),
                })
            })
            .collect()
    }

    fn clear_all(&mut self, now: Instant) {
        self.looks.forget();
        self.uplink.take(None);
        for (place, alarm) in Alarm::ALL.into_iter().enumerate() {
            if self.gates[place].clear(now) {
                self.tell(alarm, false, "The studio is gone.".to_owned());
            }
        }
    }

    fn tell(&mut self, alarm: Alarm, raised: bool, message: String) {
        let before = self.changes.len();
        self.changes.retain(|waiting| waiting.alarm != alarm);
        if self.changes.len() == before {
            self.changes.push_back(AlarmChange {
                alarm,
                raised,
                message,
            });
        }
    }

    fn judge(&self, alarm: Alarm, measurement: &Measurement, now: Instant) -> Verdict {
        match alarm {
            Alarm::FrameRateCollapsed => judge_frame_rate(measurement),
            Alarm::PictureBlack => self.looks.judge_black(now),
            Alarm::PictureFrozen => self.looks.judge_frozen(now),
            Alarm::SoundSilent => {
                judge_length(measurement.silent_for, SILENT_RAISE_AFTER, SOUNDING_PAUSE)
            }
            Alarm::KeyframesRare => judge_keyframes(measurement),
            Alarm::UplinkPoor => self.uplink.judge(),
            Alarm::OutOfSync => judge_length(measurement.out_of_step, OUT_OF_SYNC, IN_SYNC),
        }
    }
}

fn judge_frame_rate(measurement: &Measurement) -> Verdict {
    let known = measurement
        .frames_per_second
        .zip(measurement.nominal_frames_per_second);
    let Some((rate, nominal)) = known.filter(|(_, nominal)| *nominal > 0.0) else {
        return Verdict::Good;
    };
    if rate < nominal * FRAME_RATE_COLLAPSED_SHARE {
        Verdict::Bad
    } else if rate > nominal * FRAME_RATE_HEALTHY_SHARE {
        Verdict::Good
    } else {
        Verdict::Unclear
    }
}

fn judge_keyframes(measurement: &Measurement) -> Verdict {
    // Without pictures there are no keyframes, which is another alarm's matter.
    if measurement
        .frames_per_second
        .is_some_and(|rate| rate < CADENCE_FRAMES_PER_SECOND)
    {
        return Verdict::Unclear;
    }
    match longest_keyframe_pause(measurement) {
        Some(pause) if pause > KEYFRAMES_RARE => Verdict::Bad,
        Some(pause) if pause > KEYFRAMES_HEALTHY => Verdict::Unclear,
        _ => Verdict::Good,
    }
}

fn longest_keyframe_pause(measurement: &Measurement) -> Option<Duration> {
    measurement.keyframe_interval.max(measurement.keyframe_age)
}

fn judge_length(length: Option<Duration>, bad_from: Duration, good_until: Duration) -> Verdict {
    match length {
        Some(length) if length >= bad_from => Verdict::Bad,
        Some(length) if length > good_until => Verdict::Unclear,
        _ => Verdict::Good,
    }
}

#[cfg(test)]
mod tests;
