use proptest::prelude::*;

use super::*;

const MILLISECOND: Nanoseconds = 1_000_000;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn report(ssrc: u32, ntp_milliseconds: u64, rtp_timestamp: u32) -> SenderReport {
    SenderReport {
        ssrc,
        ntp_time: Duration::from_millis(ntp_milliseconds),
        rtp_timestamp,
    }
}

/// A sound and a picture clock whose first packets came together.
fn pair(now: Instant) -> (TrackClock, TrackClock) {
    let (mut picture, mut sound) = (TrackClock::new(90_000), TrackClock::new(48_000));
    picture.place(1, 1_000, now, 0);
    sound.place(2, u32::MAX - 10, now, 0);
    (picture, sound)
}

#[test]
fn the_timeline_follows_the_wall_clock_and_never_falls_behind_media() {
    let start = Instant::now();
    let mut timeline = Timeline::default();
    assert_eq!(timeline.position(start), None);

    timeline.start(start);
    timeline.start(start + Duration::from_secs(5));
    assert_eq!(
        timeline.position(start + Duration::from_secs(1)),
        Some(1_000 * MILLISECOND)
    );
    timeline.advance_to(1_500 * MILLISECOND, start + Duration::from_secs(1));
    timeline.advance_to(0, start + Duration::from_secs(1));

    assert_eq!(
        timeline.position(start + Duration::from_secs(2)),
        Some(2_500 * MILLISECOND)
    );
}

#[test]
fn timestamps_wrap_without_a_seam() {
    let now = Instant::now();
    let mut clock = TrackClock::new(90_000);
    clock.place(1, u32::MAX - 2_999, now, 0);

    let placed = clock.place(1, 0, now + Duration::from_millis(33), 33 * MILLISECOND);

    assert_eq!(placed.place, 33_333_333);
    assert!(!placed.is_new_anchor);
}

#[test]
fn a_pause_is_a_pause_and_a_jump_is_anchored_anew() {
    let now = Instant::now();
    let mut clock = TrackClock::new(90_000);
    clock.place(1, 0, now, 0);

    let paused = clock.place(
        1,
        900_000,
        now + Duration::from_secs(10),
        10_000 * MILLISECOND,
    );
    let stalled = clock.place(
        1,
        903_000,
        now + Duration::from_secs(15),
        15_000 * MILLISECOND,
    );
    let jumped = clock.place(
        1,
        3_000_000_000,
        now + Duration::from_secs(16),
        16_000 * MILLISECOND,
    );
    let back = clock.place(1, 10, now + Duration::from_secs(17), 17_000 * MILLISECOND);

    assert_eq!(
        paused,
        Placed {
            place: 10_000 * MILLISECOND,
            is_new_anchor: false
        }
    );
    assert_eq!(
        stalled,
        Placed {
            place: 10_033_333_333,
            is_new_anchor: false
        }
    );
    assert_eq!(
        jumped,
        Placed {
            place: 16_000 * MILLISECOND,
            is_new_anchor: true
        }
    );
    assert_eq!(
        back,
        Placed {
            place: 17_000 * MILLISECOND,
            is_new_anchor: true
        }
    );
}

#[test]
fn reports_of_both_tracks_say_how_far_they_are_apart() {
    let now = Instant::now();
    let (mut picture, mut sound) = pair(now);
    assert_eq!(
        alignment(&picture, &sound),
        Some(0),
        "as if both had taken equally long"
    );

    // The picture's first packet is of 40 ms before the sound's.
    picture.handle_report(report(1, 5_000_000, 1_000));
    sound.handle_report(report(2, 5_000_040, u32::MAX - 10));

    assert_eq!(alignment(&picture, &sound), Some(-40 * MILLISECOND));
}

#[test]
fn a_report_before_the_first_packet_counts() {
    let now = Instant::now();
    let (mut picture, mut sound) = (TrackClock::new(90_000), TrackClock::new(48_000));
    picture.handle_report(report(1, 1_000, 90_000));
    sound.handle_report(report(2, 1_000, 48_000));

    picture.place(1, 91_800, now, 0);
    sound.place(2, 48_480, now, 0);

    assert_eq!(alignment(&picture, &sound), Some(10 * MILLISECOND));
}

#[test]
fn nonsense_in_reports_is_ignored() {
    let now = Instant::now();
    let (mut picture, mut sound) = pair(now);

    picture.handle_report(report(1, 0, 1_000));
    sound.handle_report(report(2, 1_000, u32::MAX - 10));
    assert_eq!(
        alignment(&picture, &sound),
        Some(0),
        "a sender without a clock"
    );
    picture.handle_report(report(9, 1_500, 1_000));
    assert_eq!(alignment(&picture, &sound), Some(0), "a stranger");
    picture.handle_report(report(1, 1_500, 2_000_000_000));
    assert_eq!(
        alignment(&picture, &sound),
        Some(0),
        "hours away from the media"
    );
    picture.handle_report(report(1, 60_000, 1_000));
    assert_eq!(alignment(&picture, &sound), Some(0), "a minute apart");
    picture.handle_report(report(1, 2_500, 91_000));
    assert_eq!(
        alignment(&picture, &sound),
        None,
        "a clock that was set, or does not tick as the one before"
    );
    picture.handle_report(report(1, 3_500, 181_000));
    assert_eq!(
        alignment(&picture, &sound),
        Some(500 * MILLISECOND),
        "and is right again"
    );
}

#[test]
fn a_sender_that_reports_nonsense_again_and_again_is_not_believed() {
    let now = Instant::now();
    let (mut picture, mut sound) = pair(now);
    sound.handle_report(report(2, 1_000, u32::MAX - 10));
    picture.handle_report(report(1, 1_100, 1_000));
    assert_eq!(alignment(&picture, &sound), Some(100 * MILLISECOND));

    for ntp in [9_000, 3_000, 7_000] {
        picture.handle_report(report(1, ntp, 1_000));
    }
    assert_eq!(
        alignment(&picture, &sound),
        Some(100 * MILLISECOND),
        "what was believed stays"
    );
    for (second, expected) in [(1, 100), (2, 100), (3, 100), (4, 300)] {
        let ntp = u64::from(second) * 1_000 + 1_300;
        picture.handle_report(report(1, ntp, second * 90_000 + 1_000));
        assert_eq!(
            alignment(&picture, &sound),
            Some(expected * MILLISECOND),
            "{ntp}"
        );
    }
}

#[test]
fn without_reports_the_packets_that_were_held_up_least_say_how_far_the_tracks_are_apart() {
    let now = Instant::now();
    let (mut picture, mut sound) = pair(now);
    // Of each track one packet is on time; the first ones were 80 and 30 ms late.
    picture.place(1, 91_000, now + ms(920), 0);
    picture.place(1, 181_000, now + ms(1_950), 0);
    sound.place(2, 47_989, now + ms(970), 0);
    sound.place(2, 95_989, now + ms(2_070), 0);

    assert_eq!(alignment(&picture, &sound), Some(-50 * MILLISECOND));
    assert_eq!(
        alignment(&picture, &TrackClock::new(48_000)),
        Some(0),
        "no sound at all"
    );
}

#[test]
fn a_track_that_was_away_for_long_is_anchored_anew_and_keeps_its_way() {
    let now = Instant::now();
    let (mut picture, mut sound) = pair(now);
    sound.handle_report(report(2, 1_000, u32::MAX - 10));
    picture.handle_report(report(1, 900, 1_000));
    assert_eq!(alignment(&picture, &sound), Some(-100 * MILLISECOND));

    // By its own clock it comes 7 s too early.
    let later = now + ms(107_000);
    sound.place(2, 107 * 48_000 - 11, later, 107_000 * MILLISECOND);
    let placed = picture.place(1, 1_000 + 100 * 90_000, later, 107_000 * MILLISECOND);

    assert!(placed.is_new_anchor);
    assert_eq!(alignment(&picture, &sound), Some(-100 * MILLISECOND));
}

#[test]
fn the_timeline_goes_where_the_sound_goes() {
    let start = Instant::now();
    let mut timeline = Timeline::default();
    timeline.start(start);
    let mut sound = TrackClock::new(48_000);
    timeline.follow(&sound);
    // A clock that is slower by 400 parts in a million, for an hour, and half a second on its way.
    for second in 0..3_600_u32 {
        let arrival = start + ms(500) + Duration::from_micros(1_000_400) * second;
        let fresh = timeline.position(arrival).unwrap();
        sound.place(2, second * 48_000, arrival, fresh);
        timeline.follow(&sound);
    }

    let now = start + Duration::from_micros(1_000_400) * 3_600;
    let behind = 3_600_000 * MILLISECOND - timeline.position(now).unwrap();
    assert!((0..10 * MILLISECOND).contains(&-behind), "{behind}");
}

#[test]
fn small_corrections_are_slewed_and_large_ones_made_at_once() {
    let mut clock = PictureClock::default();
    clock.settle(0);

    clock.aim(9 * MILLISECOND);
    let slewed: Vec<Nanoseconds> = (1..=4)
        .map(|number| clock.settle(number * 33 * MILLISECOND))
        .collect();
    clock.aim(309 * MILLISECOND);
    let stepped = clock.settle(165 * MILLISECOND);
    clock.jump(0);
    let back = clock.settle(198 * MILLISECOND);

    assert_eq!(
        slewed,
        [36, 72, 108, 141].map(|milliseconds| milliseconds * MILLISECOND)
    );
    assert_eq!(stepped, 474 * MILLISECOND);
    assert_eq!(back, 475 * MILLISECOND);
}

proptest! {
    #[test]
    fn pictures_always_go_forward(steps in prop::collection::vec((any::<i32>(), -400_000_000..400_000_000_i64), 1..200)) {
        let mut clock = PictureClock::default();
        let mut latest = -PICTURE_STEP;
        for (place, target) in steps {
            clock.aim(target);
            let settled = clock.settle(i64::from(place));
            prop_assert!(settled >= latest + PICTURE_STEP);
            latest = settled;
        }
    }

    #[test]
    fn any_reports_and_timestamps_leave_the_clock_sane(
        events in prop::collection::vec((any::<bool>(), 0..3_u32, any::<u32>(), any::<u64>(), 0..100_u64), 1..100),
    ) {
        let mut now = Instant::now();
        let (mut picture, mut sound) = pair(now);
        let mut place = 0;
        for (is_report, ssrc, timestamp, ntp, elapsed) in events {
            now += Duration::from_millis(elapsed);
            place += i64::try_from(elapsed).unwrap() * MILLISECOND;
            let clock = if ssrc == 2 { &mut sound } else { &mut picture };
            if is_report {
                clock.handle_report(SenderReport { ssrc, ntp_time: Duration::from_nanos(ntp), rtp_timestamp: timestamp });
            } else {
                clock.place(ssrc, timestamp, now, place);
            }
            if let Some(correction) = alignment(&picture, &sound) {
                let later = instants_apart(picture.start.unwrap(), sound.start.unwrap());
                let by_arrival = picture.anchor.unwrap().pace.least() - sound.anchor.unwrap().pace.least() + later;
                prop_assert!((by_arrival - correction).abs() <= BELIEVABLE);
            }
        }
    }
}
