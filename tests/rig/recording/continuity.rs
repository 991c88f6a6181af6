//! Whether a recording is one unbroken show: what it showed when, and what became of each numbered picture.

use std::{collections::BTreeSet, fmt, time::Duration};

use super::{Frame, Recording};

/// A counter that falls, or rises by more than this, is another studio's.
const SAME_STUDIO_REACH: u16 = 30 * 60;

/// A shorter freeze is the studio's own: its encoder was late.
const HICCUP: Duration = Duration::from_secs(1);

/// What a stretch of a recording shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The studio's pictures, each another one.
    Studio,
    /// One picture of the studio again and again.
    Freeze,
    /// Pictures without a number.
    Slate,
}

/// A stretch of a recording that shows one thing.
#[derive(Clone, Copy, PartialEq)]
pub struct Span {
    /// What it shows.
    pub shown: Shown,
    /// When its first picture is presented.
    pub from: Duration,
    /// When the first picture after it is presented, or its own last one.
    pub to: Duration,
    /// Pictures in it.
    pub frames: usize,
    /// Index of its first picture.
    pub first: usize,
}

impl Span {
    /// How long it lasts.
    pub fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.as_secs_f64(), self.to.as_secs_f64());
        write!(
            f,
            "{:?} {from:.2}..{to:.2} s ({} pictures)",
            self.shown, self.frames
        )
    }
}

/// What became of the numbered pictures from the first recorded to the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cadence {
    /// Pictures whose number is the one before again.
    pub repeated: usize,
    /// Numbers that were passed over.
    pub lost: usize,
    /// Pictures whose number is a little lower than the one before.
    pub out_of_order: usize,
    /// How often the numbers began anew: another studio.
    pub studios: usize,
}

/// A stretch of a recording in which the numbers never fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rise {
    /// The lowest number.
    pub from: u16,
    /// The highest.
    pub to: u16,
    /// Different numbers in it.
    pub pictures: usize,
}

impl Recording {
    /// What it shows from beginning to end.
    ///
    /// The first picture of a freeze is one that the studio sent; so a freeze begins at the first repetition. A short one
    /// between two of the same studio's pictures is not told: a studio on a busy machine is late by itself.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let frames = &self.video.frames;
        for (index, frame) in frames.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|before| frames.get(before));
            let shown = shown(before, frame);
            if let Some(last) = spans.last_mut() {
                last.to = frame.at;
            }
            match spans.last_mut() {
                Some(last) if last.shown == shown => last.frames += 1,
                _ => spans.push(Span {
                    shown,
                    from: frame.at,
                    to: frame.at,
                    frames: 1,
                    first: index,
                }),
            }
        }
        self.without_hiccups(&spans)
    }

    fn without_hiccups(&self, spans: &[Span]) -> Vec<Span> {
        let mut told: Vec<Span> = Vec::new();
        for (index, span) in spans.iter().enumerate() {
            let between_pictures = told.last().is_some_and(|last| last.shown == Shown::Studio)
                // At the very end nobody can tell what would have come.
                && spans
                    .get(index + 1)
                    .is_none_or(|next| self.is_same_studio(span, next));
            let shown = if span.shown == Shown::Freeze && span.length() < HICCUP && between_pictures
            {
                Shown::Studio
            } else {
                span.shown
            };
            match told.last_mut() {
                Some(last) if last.shown == shown => {
                    last.to = span.to;
                    last.frames += span.frames;
                }
                _ => told.push(Span { shown, ..*span }),
            }
        }
        told
    }

    /// Whether the numbers go on from a freeze to what comes after it.
    fn is_same_studio(&self, freeze: &Span, next: &Span) -> bool {
        let number = |index: usize| self.video.frames.get(index)?.counter;
        match (number(freeze.first), number(next.first)) {
            (Some(before), Some(after)) => {
                (1..=SAME_STUDIO_REACH).contains(&after.wrapping_sub(before))
            }
            (None, _) | (_, None) => false,
        }
    }

    /// What became of the numbered pictures.
    pub fn cadence(&self) -> Cadence {
        let mut cadence = Cadence::default();
        let mut last: Option<u16> = None;
        for counter in self.video.frames.iter().filter_map(|frame| frame.counter) {
            match last.map(|last| counter.wrapping_sub(last)) {
                Some(0) => cadence.repeated += 1,
                Some(step @ 1..=SAME_STUDIO_REACH) => cadence.lost += usize::from(step) - 1,
                Some(step) if step.wrapping_neg() <= 30 => cadence.out_of_order += 1,
                Some(_) | None => cadence.studios += 1,
            }
            last = Some(counter);
        }
        cadence
    }

    /// Where the numbers rise and fall, from beginning to end.
    ///
    /// Where a studio is hardly seen before the next one begins, no one can tell from the numbers alone whether that is
    /// another studio or a picture out of order. Who knows which numbers a studio must show finds them here.
    pub fn rises(&self) -> Vec<Rise> {
        rises(self.video.frames.iter().filter_map(|frame| frame.counter))
    }

    /// The numbers it holds.
    pub fn counters(&self) -> BTreeSet<u16> {
        self.video
            .frames
            .iter()
            .filter_map(|frame| frame.counter)
            .collect()
    }

    /// How much the time from one numbered picture to the next differs from what their numbers say, at worst,
    /// and when; repetitions left out.
    ///
    /// Unlike a gap this does not blame the stream for pictures that the studio never made.
    pub fn worst_unevenness(&self, frames_per_second: f64, from: Duration) -> (Duration, Duration) {
        let mut frames: Vec<_> = self.video.frames.iter().collect();
        frames.dedup_by_key(|frame| frame.counter);
        let Some(first) = frames.first() else {
            return (Duration::MAX, Duration::ZERO);
        };
        frames
            .windows(2)
            .filter(|pair| pair[0].at >= first.at + from)
            .filter_map(|pair| {
                let step = pair[1].counter?.wrapping_sub(pair[0].counter?);
                if !(1..=SAME_STUDIO_REACH).contains(&step) {
                    return None;
                }
                let nominal = f64::from(step) / frames_per_second;
                let real = pair[1].at.as_secs_f64() - pair[0].at.as_secs_f64();
                Some((Duration::from_secs_f64((real - nominal).abs()), pair[0].at))
            })
            .max()
            .unwrap_or_default()
    }
}

fn rises(counters: impl Iterator<Item = u16>) -> Vec<Rise> {
    let mut rises: Vec<Rise> = Vec::new();
    for counter in counters {
        match rises.last_mut() {
            Some(last) if counter == last.to => {}
            Some(last) if counter > last.to => {
                last.to = counter;
                last.pictures += 1;
            }
            Some(_) | None => rises.push(Rise {
                from: counter,
                to: counter,
                pictures: 1,
            }),
        }
    }
    rises
}

fn shown(before: Option<&Frame>, frame: &Frame) -> Shown {
    match (before.and_then(|before| before.counter), frame.counter) {
        (_, None) => Shown::Slate,
        (Some(before), Some(counter)) if before == counter => Shown::Freeze,
        (Some(_) | None, Some(_)) => Shown::Studio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_ends_where_a_number_falls_however_little() {
        let found = rises([4, 5, 5, 9, 5, 6, 180, 4, 6].into_iter());

        let found: Vec<_> = found
            .iter()
            .map(|rise| (rise.from, rise.to, rise.pictures))
            .collect();
        assert_eq!(found, [(4, 9, 3), (5, 180, 3), (4, 6, 2)]);
    }
}
