//! What is made smaller when a node is short of CPU: one step down after three bad checks, one up after five good ones.

use std::time::{Duration, Instant};

use broadcast::Rendition;

/// How often it is checked.
const CHECK_PERIOD: Duration = Duration::from_secs(10);

/// Bad checks in a row before a step down.
const BAD_CHECKS: u32 = 3;

/// Good checks in a row before a step up.
const GOOD_CHECKS: u32 = 5;

/// More than this is bad: more is used than the node is for.
const BAD_RATIO: f64 = 1.0;

/// Less than this is good: a step up takes a third more, and must not be a bad one.
const GOOD_RATIO: f64 = 0.7;

/// The most steps down.
const STEPS_LIMIT: usize = 3;

/// The shapes, each smaller than the one before.
const SHAPES: [&str; 8] = [
    "4k-ultra",
    "4k-high",
    "1080p-ultra",
    "1080p-high",
    "1080p-medium",
    "720p-medium",
    "480p-low",
    "360p-very-low",
];

/// A change of the ladder's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Everything that is made anew is made smaller.
    Down,
    /// It is made larger again.
    Up,
}

/// Where on the ladder a node stands.
#[derive(Debug)]
pub struct Ladder {
    steps_down: usize,
    bad: u32,
    good: u32,
    due: Instant,
}

impl Ladder {
    /// At the top.
    pub fn new(now: Instant) -> Self {
        Self {
            steps_down: 0,
            bad: 0,
            good: 0,
            due: now + CHECK_PERIOD,
        }
    }

    /// How far down it is, 0 to 3.
    pub const fn steps_down(&self) -> usize {
        self.steps_down
    }

    /// When the next check is due.
    pub const fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Checks how much is taken of what there is, when it is time to. Returns the step that follows.
    pub fn handle_load(&mut self, load_ratio: f64, now: Instant) -> Option<Step> {
        if now < self.due {
            return None;
        }
        self.due = now + CHECK_PERIOD;
        let (is_bad, is_good) = (load_ratio > BAD_RATIO, load_ratio < GOOD_RATIO);
        self.bad = if is_bad { self.bad + 1 } else { 0 };
        self.good = if is_good { self.good + 1 } else { 0 };
        if self.bad >= BAD_CHECKS {
            self.bad = 0;
            let can = self.steps_down < STEPS_LIMIT;
            self.steps_down += usize::from(can);
            return can.then_some(Step::Down);
        }
        if self.good >= GOOD_CHECKS {
            self.good = 0;
            let can = self.steps_down > 0;
            self.steps_down -= usize::from(can);
            return can.then_some(Step::Up);
        }
        None
    }

    /// What is made of a canvas so far down: itself at the top, else a smaller preset, if there is one.
    pub fn shape(steps_down: usize, canvas: Rendition) -> Rendition {
        let pixels = |rendition: &Rendition| rendition.pixels_per_second();
        let smaller = SHAPES
            .iter()
            .filter_map(|name| name.parse::<Rendition>().ok())
            .filter(|shape| {
                pixels(shape) < pixels(&canvas)
                    || pixels(shape) == pixels(&canvas)
                        && shape.kilobits_per_second() < canvas.kilobits_per_second()
            });
        let reachable: Vec<_> = std::iter::once(canvas).chain(smaller).collect();
        reachable[steps_down.min(reachable.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clock(Instant);

    impl Clock {
        fn check(&mut self, ladder: &mut Ladder, ratio: f64) -> Option<Step> {
            self.0 += CHECK_PERIOD;
            ladder.handle_load(ratio, self.0)
        }
    }

    fn begin() -> (Clock, Ladder) {
        let start = Instant::now();
        (Clock(start), Ladder::new(start))
    }

    #[test]
    fn three_bad_checks_are_a_step_down_and_five_good_ones_a_step_up() {
        let (mut clock, mut ladder) = begin();

        let down = [1.2; 3].map(|ratio| clock.check(&mut ladder, ratio));
        let up = [0.3; 5].map(|ratio| clock.check(&mut ladder, ratio));

        assert_eq!(down, [None, None, Some(Step::Down)]);
        assert_eq!(up, [None, None, None, None, Some(Step::Up)]);
        assert_eq!(ladder.steps_down(), 0);
    }

    #[test]
    fn a_check_between_begins_the_count_anew() {
        let (mut clock, mut ladder) = begin();

        let steps = [1.2, 1.2, 0.9, 1.2, 1.2].map(|ratio| clock.check(&mut ladder, ratio));

        assert_eq!(steps, [None; 5]);
    }

    #[test]
    fn nothing_is_counted_before_it_is_due() {
        let (clock, mut ladder) = begin();

        let early = clock.0 + CHECK_PERIOD / 2;
        let steps = [early; 9].map(|now| ladder.handle_load(2.0, now));

        assert_eq!(steps, [None; 9]);
        assert_eq!(ladder.poll_timeout(), clock.0 + CHECK_PERIOD);
    }

    #[test]
    fn the_ladder_has_an_end_at_both_sides() {
        let (mut clock, mut ladder) = begin();

        let good = [0.0; 9].map(|ratio| clock.check(&mut ladder, ratio));
        for _ in 0..20 {
            clock.check(&mut ladder, 9.0);
        }

        assert_eq!(good, [None; 9]);
        assert_eq!(ladder.steps_down(), STEPS_LIMIT);
    }

    #[test]
    fn each_step_is_smaller_and_the_smallest_stays() {
        let (mut clock, mut ladder) = begin();
        let canvas = Rendition::new(1920, 1080, 30, 6_000).unwrap();
        let tiny = Rendition::new(160, 90, 5, 100).unwrap();
        let mut shapes = vec![Ladder::shape(ladder.steps_down(), canvas)];

        for _ in 0..9 {
            if clock.check(&mut ladder, 2.0).is_some() {
                shapes.push(Ladder::shape(ladder.steps_down(), canvas));
            }
        }

        let expected = ["1080p-high", "1080p-medium", "720p-medium", "480p-low"];
        assert_eq!(shapes, expected.map(|name| name.parse().unwrap()));
        assert_eq!(Ladder::shape(ladder.steps_down(), tiny), tiny);
    }
}
