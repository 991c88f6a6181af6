use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PICTURE: Duration = Duration::from_nanos(33_333_333);

/// A show whose pictures are numbers, and whose sound is a ramp: each sample tells its place.
struct Show {
    playout: Playout<u32>,
    now: Duration,
    out: Vec<(Duration, Block<u32>)>,
}

fn ramp(from: i64, count: usize) -> Vec<Sample> {
    (from..)
        .take(count)
        .map(|place| [ramp_at(place), -ramp_at(place)])
        .collect()
}

fn ramp_at(place: i64) -> i16 {
    i16::try_from(place.rem_euclid(20_000)).unwrap() + 1
}

impl Show {
    fn new() -> Self {
        Self {
            playout: Playout::new(),
            now: Duration::ZERO,
            out: Vec::new(),
        }
    }

    /// Lets the clock run up to `time`, and takes what leaves.
    fn run_to(&mut self, time: Duration) {
        while self.now <= time {
            while let Some(block) = self.playout.poll(self.now) {
                self.out.push((self.now, block));
            }
            self.now += Duration::from_millis(1);
        }
    }

    /// A picture every 33 ms and sound every 20 ms, from `from` on for `length`, which come `late` after their time, the
    /// studio's clock running at `speed` per million of ours.
    fn play(&mut self, from: Duration, length: Duration, late: Duration, speed: u32) {
        let wall = |time: Duration| time * 1_000_000 / speed + late;
        let mut events: Vec<(Duration, Option<u32>)> = Vec::new();
        let pictures = u32::try_from(length.as_nanos() / PICTURE.as_nanos()).unwrap();
        events.extend((0..pictures).map(|number| (from + PICTURE * number, Some(number))));
        let blocks = u32::try_from(length.as_millis() / 20).unwrap();
        events.extend((0..blocks).map(|number| (from + Duration::from_millis(20) * number, None)));
        events.sort();
        for (time, picture) in events {
            self.run_to(wall(time));
            if let Some(number) = picture {
                self.playout.push_picture(time, number, self.now);
            } else {
                let sound = ramp(samples_at(time), 960);
                self.playout.push_sound(time, &sound, self.now);
            }
        }
    }

    /// How late pictures left, from the shortest to the longest.
    fn delays(&self, after: Duration) -> (Duration, Duration) {
        let delays = self.out.iter().filter(|(now, _)| *now >= after);
        let delays = delays.filter_map(|(now, block)| {
            let (timestamp, _) = block.picture?;
            Some(
                now.checked_sub(timestamp)
                    .expect("it leaves after its time"),
            )
        });
        let delays: Vec<_> = delays.collect();
        (*delays.iter().min().unwrap(), *delays.iter().max().unwrap())
    }
}

#[test]
fn a_show_leaves_whole_at_an_even_pace() {
    let mut show = Show::new();

    show.play(Duration::ZERO, SECOND * 20, Duration::ZERO, 1_000_000);

    let (shortest, longest) = show.delays(Duration::ZERO);
    assert!(
        longest.abs_diff(shortest) <= BLOCK + Duration::from_millis(1),
        "{shortest:?} to {longest:?}"
    );
    assert!(longest < TARGET + BLOCK * 2, "{longest:?}");
    let counters = show.playout.counters();
    assert_eq!((counters.pictures_late, counters.jumps), (0, 0));
    assert!(counters.pictures > 590);
    let numbers = show.out.iter().filter_map(|(_, block)| block.picture);
    assert!(
        numbers
            .map(|(_, number)| number)
            .eq(0..u32::try_from(counters.pictures).unwrap())
    );
    // Sound leaves as it came, each block 10 ms after the one before.
    let sound: Vec<_> = show.out.iter().flat_map(|(_, block)| block.sound).collect();
    let lead = sound.iter().position(|sample| *sample != [0; 2]).unwrap();
    assert_eq!(i64::try_from(lead).unwrap(), samples_at(TARGET));
    let expected = ramp(0, sound.len() - lead);
    assert!(sound[lead..] == expected[..]);
    for pair in show.out.windows(2) {
        assert_eq!(pair[1].0.abs_diff(pair[0].0), BLOCK);
    }
}

#[test]
fn a_picture_leaves_with_the_sound_of_its_time() {
    let mut show = Show::new();

    show.play(SECOND * 1_000, SECOND * 3, Duration::ZERO, 1_000_000);

    let with_pictures = show
        .out
        .iter()
        .filter_map(|(_, block)| Some((block.timestamp, block.picture?.0)));
    let pictures: Vec<_> = with_pictures.collect();
    assert!(pictures.len() > 80);
    for (sound, picture) in pictures {
        // Places are whole samples.
        let offset = (picture + SECOND / SOUND_HZ).checked_sub(sound);
        assert!(
            offset <= Some(BLOCK + SECOND / SOUND_HZ) && offset.is_some(),
            "{sound:?} {picture:?}"
        );
    }
}

#[test]
fn bursts_of_a_tenth_of_a_second_leave_evenly() {
    let mut show = Show::new();
    for number in 0..300_u32 {
        let time = PICTURE * number;
        let burst =
            Duration::from_millis(u64::try_from(time.as_millis() / 100 * 100 + 100).unwrap());
        show.run_to(burst);
        show.playout.push_picture(time, number, show.now);
    }

    let (shortest, longest) = show.delays(SECOND * 2);
    assert!(
        longest.abs_diff(shortest) <= BLOCK * 2,
        "{shortest:?} to {longest:?}"
    );
    assert_eq!(show.playout.counters().pictures_late, 0);
}

#[test]
fn a_clock_that_drifts_is_followed_without_a_jump() {
    for speed in [1_000_900, 999_100] {
        let mut show = Show::new();

        show.play(Duration::ZERO, SECOND * 200, Duration::ZERO, speed);

        let counters = show.playout.counters();
        assert_eq!((counters.pictures_late, counters.jumps), (0, 0), "{speed}");
        // 180 ms of drift are taken up; what is left stays within its bounds.
        let left = show.playout.left_of_both(show.now).unwrap();
        assert!(left > 0 && left < samples_at(MUCH + TARGET), "{left}");
        let silent = counters.silent_blocks;
        assert!(silent < 20, "{silent}");
        let sound: Vec<_> = show.out.iter().flat_map(|(_, block)| block.sound).collect();
        let steps = sound.windows(2).filter(|pair| {
            let step = i32::from(pair[1][0]) - i32::from(pair[0][0]);
            (3..19_000).contains(&step.abs())
        });
        // No click but where the ramp itself begins anew, which is interpolated now and then.
        assert!(steps.count() < 2_000);
    }
}

#[test]
fn a_backlog_at_the_beginning_is_not_kept() {
    let mut show = Show::new();
    for number in 0..75 {
        show.playout
            .push_picture(PICTURE * number, number, Duration::ZERO);
        show.run_to(Duration::from_millis(5) * number);
    }

    show.play(PICTURE * 75, SECOND * 3, Duration::ZERO, 1_000_000);

    let left = show.playout.left_of_both(show.now).unwrap();
    assert!(left <= samples_at(TOO_MUCH), "{left}");
    assert!(show.playout.counters().jumps > 0);
}

#[test]
fn a_show_that_stalls_goes_on_where_it_was() {
    let mut show = Show::new();
    show.play(Duration::ZERO, SECOND * 2, Duration::ZERO, 1_000_000);
    let before = show.playout.counters();

    // Half a second of nothing, and then all of it.
    show.play(
        SECOND * 2,
        SECOND * 2,
        Duration::from_millis(500),
        1_000_000,
    );

    let after = show.playout.counters();
    assert_eq!((after.pictures_late, after.jumps), (0, 0));
    assert!(after.silent_blocks - before.silent_blocks >= 30);
    let numbers: Vec<_> = show
        .out
        .iter()
        .filter_map(|(_, block)| Some(block.picture?.0))
        .collect();
    assert!(numbers.is_sorted());
}

#[test]
fn sound_that_always_comes_late_is_waited_for() {
    let mut show = Show::new();
    for number in 0..300_u32 {
        let time = PICTURE * number;
        show.run_to(time);
        show.playout.push_picture(time, number, show.now);
        if let Some(earlier) = number.checked_sub(12) {
            let time = PICTURE * earlier;
            show.playout
                .push_sound(time, &ramp(samples_at(time), 1_600), show.now);
        }
    }

    assert_eq!(show.playout.counters().jumps, 1);
    let last = show.out.iter().rev().take(100);
    assert!(last.clone().count() == 100);
    assert!(
        last.into_iter()
            .all(|(_, block)| block.sound.iter().all(|sample| sample[0] != 0))
    );
}

#[test]
fn whoever_does_not_read_for_a_while_gets_what_is_new() {
    let mut show = Show::new();
    show.play(Duration::ZERO, SECOND * 2, Duration::ZERO, 1_000_000);
    let before = show.playout.counters();
    for number in 60..120 {
        show.playout
            .push_picture(PICTURE * number, number, PICTURE * number);
    }

    let blocks: Vec<_> = std::iter::from_fn(|| show.playout.poll(SECOND * 4)).collect();

    assert!(blocks.len() <= 21, "{}", blocks.len());
    let late = show.playout.counters().pictures_late - before.pictures_late;
    assert!(late > 40, "{late}");
    let newest = blocks
        .iter()
        .filter_map(|block| block.picture)
        .next_back()
        .unwrap();
    assert!(newest.1 > 110, "{newest:?}");
}

#[test]
fn pictures_and_sound_that_wait_are_bounded() {
    let mut playout = Playout::new();
    for number in 0..200 {
        playout.push_picture(PICTURE * number, number, Duration::ZERO);
        playout.push_sound(PICTURE * number, &[[1; 2]; 1_600], Duration::ZERO);
    }

    assert_eq!(playout.pictures.len(), PICTURES_LIMIT);
    assert_eq!(
        playout.counters().pictures_late,
        200 - PICTURES_LIMIT as u64
    );
    assert_eq!(playout.samples.len(), SAMPLES_LIMIT);
}

proptest! {
    #[test]
    fn whatever_comes_is_bounded_and_leaves_in_order(
        events in prop::collection::vec((any::<bool>(), 0..4_000_u64, 0..2_000_usize, 0..400_u64), 1..200)
    ) {
        let mut playout = Playout::new();
        let mut now = Duration::ZERO;
        let mut last = None;
        for (is_picture, time, samples, pause) in events {
            let time = Duration::from_millis(time);
            if is_picture {
                playout.push_picture(time, (), now);
            } else {
                playout.push_sound(time, &vec![[5; 2]; samples], now);
            }
            now += Duration::from_millis(pause);
            let mut blocks = 0;
            while let Some(block) = playout.poll(now) {
                blocks += 1;
                if let Some((timestamp, ())) = block.picture {
                    prop_assert!(last < Some(timestamp));
                    last = Some(timestamp);
                }
            }
            prop_assert!(blocks <= 21);
            prop_assert!(playout.pictures.len() <= PICTURES_LIMIT);
            prop_assert!(playout.samples.len() <= SAMPLES_LIMIT);
        }
    }

    #[test]
    fn no_time_is_too_far(nanoseconds: u64, other: u64) {
        let mut playout = Playout::new();
        for time in [nanoseconds, other, u64::MAX] {
            playout.push_picture(Duration::from_nanos(time), (), Duration::ZERO);
            playout.push_sound(Duration::from_nanos(time), &[[1; 2]; 960], Duration::ZERO);
            for tick in 0..30 {
                let _ = playout.poll(BLOCK * tick);
            }
        }
    }
}
