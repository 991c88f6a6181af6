//! What the looks at keyframes add up to: black, frozen, or a picture.

use std::time::{Duration, Instant};

use super::{Look, gate::Verdict};

/// The brightest mean that is black, of 255; limited range puts black at 16.
const BLACK_MEAN: u8 = 20;
/// The largest standard deviation that is black; white text on black has more.
const BLACK_CONTRAST: u8 = 4;
/// The least mean that is not black any more.
const LIGHT_MEAN: u8 = 24;
/// The least standard deviation that is not black any more.
const LIGHT_CONTRAST: u8 = 6;
/// Black looks in a row before it is said; one may be a cut between scenes.
const BLACK_LOOKS: u32 = 2;

/// Mean absolute difference of luma below which two looks are of the same picture; coding it anew changes less.
const FROZEN_DIFFERENCE: f32 = 0.5;
/// Difference from which a picture moves.
const MOVING_DIFFERENCE: f32 = 1.0;
/// For how long the picture is to be the same.
const FROZEN_RAISE_AFTER: Duration = Duration::from_secs(20);
/// A look older than this says nothing about now; they come every 10 s.
const LOOK_LIFETIME: Duration = Duration::from_mins(1);

/// What the looks at keyframes add up to.
#[derive(Debug, Default)]
pub(super) struct Looks {
    latest: Option<Instant>,
    /// Whether the latest is of the studio that is there now.
    is_current: bool,
    pub(super) mean_luma: u8,
    black: u32,
    is_light: bool,
    pub(super) still_for: Duration,
    is_moving: bool,
}

impl Looks {
    pub(super) fn take(&mut self, look: &Look) {
        if self.latest.is_some_and(|latest| look.at <= latest) {
            return;
        }
        self.latest = Some(look.at);
        self.mean_luma = look.mean_luma;
        self.is_light = look.mean_luma >= LIGHT_MEAN || look.contrast >= LIGHT_CONTRAST;
        let is_black = look.mean_luma <= BLACK_MEAN && look.contrast <= BLACK_CONTRAST;
        self.black = if is_black {
            self.black.saturating_add(1)
        } else {
            0
        };
        match look.change {
            // The first look of a studio is compared with another studio's last one.
            Some((difference, elapsed)) if self.is_current => {
                self.is_moving = difference >= MOVING_DIFFERENCE;
                // What is black is said to be black; that it is frozen too tells nothing.
                if difference < FROZEN_DIFFERENCE && !is_black {
                    self.still_for = self.still_for.saturating_add(elapsed);
                } else {
                    self.still_for = Duration::ZERO;
                }
            }
            _ => self.still_for = Duration::ZERO,
        }
        self.is_moving |= is_black;
        self.is_current = true;
    }

    pub(super) fn forget(&mut self) {
        *self = Self {
            latest: self.latest,
            ..Self::default()
        };
    }

    fn is_known(&self, now: Instant) -> bool {
        self.is_current
            && self
                .latest
                .is_some_and(|latest| now.saturating_duration_since(latest) < LOOK_LIFETIME)
    }

    pub(super) fn judge_black(&self, now: Instant) -> Verdict {
        if !self.is_known(now) || self.is_light {
            Verdict::Good
        } else if self.black >= BLACK_LOOKS {
            Verdict::Bad
        } else {
            Verdict::Unclear
        }
    }

    pub(super) fn judge_frozen(&self, now: Instant) -> Verdict {
        if !self.is_known(now) || self.is_moving {
            Verdict::Good
        } else if self.still_for >= FROZEN_RAISE_AFTER {
            Verdict::Bad
        } else {
            Verdict::Unclear
        }
    }
}
