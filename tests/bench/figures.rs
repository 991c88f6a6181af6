//! From what was sent and what came to figures: latency and loss by picture.

use std::time::{Duration, Instant};

use crate::{
    load::Sent,
    receiver::Received,
    recording::{FRAMES, FRAMES_PER_SECOND, Frame},
};

/// What FLV puts before a picture's slices: flags, packet type, composition time.
const FLV_HEADER_BYTES: usize = 5;

/// One destination's part in the measurement.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// From the last packet of a picture leaving the load to its last byte at the receiver.
    pub(crate) latencies: Vec<Duration>,
    /// Pictures sent in the window that did not come.
    pub(crate) lost: usize,
    /// Pictures that came with another size than was sent.
    pub(crate) changed: usize,
    /// Connections beyond the first.
    pub(crate) reconnects: u64,
}

/// How the pictures that came are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// They are those that were sent: the first one is found by its size among the keyframes.
    Same,
    /// They were coded anew: the first one is the newest keyframe that had left when it came, which is right as long as
    /// coding takes less time than there is between two keyframes.
    CodedAnew,
}

/// Compares the pictures that left between `from` and `until` with those that came.
///
/// From the first picture that came on, the others follow by their timestamps.
pub(crate) fn compare(
    sent: &Sent,
    received: &Received,
    frames: &[Frame],
    likeness: Likeness,
    from: Instant,
    until: Instant,
) -> Delivery {
    let wanted = |number: &usize| {
        let left = sent.pictures.get(*number);
        left.is_some_and(|left| (from..until).contains(left))
    };
    let due = (0..sent.pictures.len()).filter(wanted).count();
    let mut delivery = Delivery {
        reconnects: received.connections.saturating_sub(1),
        ..Delivery::default()
    };
    let Some(first) = received.pictures.first() else {
        delivery.lost = due;
        return delivery;
    };
    let is_keyframe = |number: &usize| frames[number % frames.len()].keyframe;
    let begun = match likeness {
        Likeness::Same => (0..FRAMES.min(frames.len()))
            .filter(is_keyframe)
            .min_by_key(|&number| (frames[number].bytes + FLV_HEADER_BYTES).abs_diff(first.bytes)),
        Likeness::CodedAnew => (0..sent.pictures.len())
            .take_while(|&number| sent.pictures[number] <= first.at)
            .filter(is_keyframe)
            .last(),
    }
    .unwrap_or_default();
    let mut came = vec![false; sent.pictures.len()];
    for picture in &received.pictures {
        let milliseconds = u64::from(picture.timestamp.wrapping_sub(first.timestamp));
        let steps = (milliseconds * u64::from(FRAMES_PER_SECOND) + 500) / 1_000;
        let number = begun + usize::try_from(steps).unwrap_or(usize::MAX - begun);
        if !wanted(&number) || std::mem::replace(&mut came[number], true) {
            continue;
        }
        let frame = frames[number % frames.len()];
        let is_same =
            frame.bytes + FLV_HEADER_BYTES == picture.bytes && frame.keyframe == picture.keyframe;
        if likeness == Likeness::Same && !is_same {
            delivery.changed += 1;
        }
        delivery
            .latencies
            .push(picture.at.saturating_duration_since(sent.pictures[number]));
    }
    delivery.lost = due - delivery.latencies.len();
    delivery
}

/// The value below which `percent` of the values lie; zero of none.
pub(crate) fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::Arrival;

    fn frames() -> Vec<Frame> {
        (0..FRAMES)
            .map(|number| Frame {
                bytes: 1_000 + number,
                keyframe: number % 60 == 0,
            })
            .collect()
    }

    fn sent(start: Instant) -> Sent {
        Sent {
            pictures: (0..600).map(|number| start + millis(number * 33)).collect(),
            latest: Duration::ZERO,
            failed: false,
        }
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// All pictures from `first` on, 4 ms after each was sent, but for those that `lost` names.
    fn received(sent: &Sent, first: usize, lost: impl Fn(usize) -> bool) -> Received {
        let frames = frames();
        let pictures = (first..600)
            .filter(|&number| !lost(number))
            .map(|number| Arrival {
                at: sent.pictures[number] + millis(4),
                timestamp: u32::try_from((number - first) * 1_000 / 30).unwrap(),
                bytes: frames[number % FRAMES].bytes + FLV_HEADER_BYTES,
                keyframe: frames[number % FRAMES].keyframe,
            })
            .collect();
        Received {
            pictures,
            sounds: 0,
            connections: 1,
        }
    }

    #[test]
    fn pictures_are_matched_across_the_loop() {
        let start = Instant::now();
        let sent = sent(start);
        let came = received(&sent, 60, |_| false);

        let delivery = compare(
            &sent,
            &came,
            &frames(),
            Likeness::Same,
            start + millis(5_000),
            start + millis(15_000),
        );

        assert_eq!(
            (delivery.lost, delivery.changed, delivery.reconnects),
            (0, 0, 0)
        );
        assert!(delivery.latencies.len() > 290);
        assert!(
            delivery
                .latencies
                .iter()
                .all(|&latency| latency == millis(4))
        );
    }

    #[test]
    fn a_picture_that_did_not_come_is_lost() {
        let start = Instant::now();
        let sent = sent(start);
        let came = received(&sent, 0, |number| number == 200 || number == 201);

        let delivery = compare(
            &sent,
            &came,
            &frames(),
            Likeness::Same,
            start + millis(5_000),
            start + millis(15_000),
        );

        assert_eq!((delivery.lost, delivery.changed), (2, 0));
    }

    #[test]
    fn pictures_that_were_coded_anew_are_known_by_the_time() {
        let start = Instant::now();
        let sent = sent(start);
        let mut came = received(&sent, 120, |number| number == 300);
        for picture in &mut came.pictures {
            picture.bytes = 77;
        }

        let delivery = compare(
            &sent,
            &came,
            &frames(),
            Likeness::CodedAnew,
            start + millis(5_000),
            start + millis(15_000),
        );

        assert_eq!((delivery.lost, delivery.changed), (1, 0));
        assert!(
            delivery
                .latencies
                .iter()
                .all(|&latency| latency == millis(4))
        );
    }

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let mut values: Vec<_> = (0..100).rev().map(millis).collect();

        assert_eq!(percentile(&mut values, 50), millis(50));
        assert_eq!(percentile(&mut values, 99), millis(99));
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
    }
}
