//! What an alarm is judged by.

use std::time::{Duration, Instant};

/// What is known about what comes in, at one moment. What is not known is `None` and raises nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measurement {
    /// Whether there is a studio. Without one there is nothing to complain of.
    pub studio_connected: bool,
    /// The studio's pictures in the last second.
    pub frames_per_second: Option<f64>,
    /// What it usually is.
    pub nominal_frames_per_second: Option<f64>,
    /// Between the last two keyframes.
    pub keyframe_interval: Option<Duration>,
    /// Since the latest keyframe.
    pub keyframe_age: Option<Duration>,
    /// The latest keyframe that was looked at. The same one may be told again.
    pub look: Option<Look>,
    /// For how long no sound has been heard; `None` also when the studio has no sound track.
    pub silent_for: Option<Duration>,
    /// Packets in the last second.
    pub packets: Option<PacketCounts>,
    /// Pictures and sound in the last second, in bit/s.
    pub ingest_bits_per_second: Option<u64>,
    /// By how much sound and picture are apart, whichever is late.
    pub out_of_step: Option<Duration>,
}

/// What a keyframe looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// When it was looked at; tells looks apart.
    pub at: Instant,
    /// Mean of the luma, 16 to 235 in limited range.
    pub mean_luma: u8,
    /// Standard deviation of the luma.
    pub contrast: u8,
    /// Mean absolute difference of luma to the look before, and the time between them.
    pub change: Option<(f32, Duration)>,
}

/// What became of the packets of a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Those that came, each once, recovered ones included.
    pub received: u64,
    /// Those that never came.
    pub lost: u64,
    /// Those that came only when they were asked for again.
    pub recovered: u64,
}
