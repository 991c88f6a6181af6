//! The truth about time: a studio's clocks, ways and reports are as they like, and picture and sound stay together.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "days are small"
)]

use media::TrackKind;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::drift_broadcast::Broadcast;
use super::drift_studio::{Options, Reports, Track};
use super::*;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// With clocks that are 400 parts in a million apart, these are 0.7 s.
const LONG: Duration = Duration::from_mins(30);

/// The furthest apart that picture and sound may be, in seconds.
const LIMIT: f64 = 0.04;

/// Plays a studio and returns the broadcast.
fn played(options: Options, length: Duration) -> Broadcast {
    let mut broadcast = Broadcast::new();
    let mut studio = broadcast.begin(options);
    broadcast.play(&mut studio, length);
    broadcast
}

/// Picture and sound are in step from `from` on, at each beep.
fn assert_in_step(broadcast: &Broadcast, options: &Options, from: f64, until: f64) {
    let drift = options.sound.unwrap().drift;
    let offsets = broadcast.offsets(drift);
    let judged: Vec<&(f64, f64)> = offsets
        .iter()
        .filter(|(at, _)| (from..until).contains(at))
        .collect();
    let expected = (until - from) / 12.0;
    let count = judged.len() as f64;
    assert!(
        count > expected * 0.7 - 1.0 && count > 0.0,
        "{count} of {expected} beeps"
    );
    let worst = judged
        .iter()
        .max_by(|(_, one), (_, other)| one.abs().total_cmp(&other.abs()))
        .unwrap();
    assert!(worst.1.abs() <= LIMIT, "{worst:?}, then {offsets:?}");
}

fn assert_no_gap(broadcast: &Broadcast, limit: Duration) {
    for pause in broadcast.longest_pause {
        assert!(pause <= limit, "{:?}", broadcast.longest_pause);
    }
}

/// Places packets as the path does, without any media: pictures of ten a second and sounds of ten a second.
fn worst_offset(picture: f64, sound: f64, jitter: i64, reports: bool, length: Duration) -> f64 {
    let start = Instant::now();
    let mut random = StdRng::seed_from_u64(2);
    let mut timeline = Timeline::default();
    let (mut picture_clock, mut sound_clock) = (TrackClock::new(90_000), TrackClock::new(48_000));
    let mut places = PictureClock::default();
    let mut latest_sound = 0;
    let mut worst: f64 = 0.0;
    for tenth in 0..length.as_secs() * 10 {
        let captured = Duration::from_millis(tenth * 100);
        let mut arrival =
            || start + captured + Duration::from_nanos(random.random_range(0..=jitter as u64));
        let ticks = |rate: f64, drift: f64| {
            (captured.as_secs_f64() * rate * (1.0 + drift / 1e6)).round() as u64 as u32
        };
        if tenth % 50 == 7 && reports {
            for (clock, ssrc, rtp_timestamp) in [
                (&mut picture_clock, 1, ticks(90_000.0, picture)),
                (&mut sound_clock, 2, ticks(48_000.0, sound)),
            ] {
                let ntp_time = Duration::from_hours(1_000_000) + captured;
                clock.handle_report(SenderReport {
                    ssrc,
                    ntp_time,
                    rtp_timestamp,
                });
            }
        }

        let arrived = arrival();
        timeline.start(arrived);
        let fresh = timeline.position(arrived).unwrap();
        let heard = sound_clock.place(2, ticks(48_000.0, sound), arrived, fresh);
        assert!(tenth == 0 || !heard.is_new_anchor);
        assert!(heard.place > latest_sound || tenth == 0);
        latest_sound = heard.place;
        timeline.follow(&sound_clock);

        let arrived = arrival();
        let fresh = timeline.position(arrived).unwrap();
        let seen = picture_clock.place(1, ticks(90_000.0, picture), arrived, fresh);
        assert!(tenth == 0 || !seen.is_new_anchor);
        if let Some(correction) = alignment(&picture_clock, &sound_clock) {
            places.aim(correction);
        }
        let settled = places.settle(seen.place);
        if captured > secs(6) {
            worst = worst.max((settled - latest_sound).abs() as f64 / 1e9);
        }
        let behind = timeline.position(start + captured).unwrap() - latest_sound;
        assert!(behind.abs() < 120_000_000, "{behind} at {captured:?}");
    }
    worst
}

#[test]
fn for_a_day_clocks_that_drift_apart_leave_picture_and_sound_together() {
    const DAY: Duration = Duration::from_hours(24);
    for (picture, sound) in [(-200.0, 200.0), (200.0, -200.0)] {
        for (jitter, reports) in [(0, true), (100_000_000, true), (100_000_000, false)] {
            let worst = worst_offset(picture, sound, jitter, reports, DAY);

            assert!(
                worst <= LIMIT,
                "{worst} {picture} {sound} {jitter} {reports}"
            );
        }
    }
}

#[test]
fn timestamps_of_both_tracks_wrap_again_and_again() {
    // Three times for sound, and five for pictures.
    let worst = worst_offset(30.0, -40.0, 20_000_000, true, Duration::from_hours(75));

    assert!(worst <= 0.01, "{worst}");
}

#[test]
fn clocks_that_drift_apart_are_held_together_by_reports() {
    for (picture, sound) in [(-200.0, 200.0), (200.0, -200.0)] {
        let options = Options::LONG.drifting(picture, sound);

        let broadcast = played(options, LONG);

        assert_in_step(&broadcast, &options, 12.0, LONG.as_secs_f64() - 24.0);
        assert_no_gap(&broadcast, Duration::from_millis(300));
        // The sound's clock rules.
        let drifted = LONG.as_secs_f64() * sound / 1e6;
        let ahead = broadcast.ahead() - drifted;
        assert!((-0.5..0.1).contains(&ahead), "{ahead}");
    }
}

#[test]
fn clocks_that_drift_apart_are_held_together_without_reports() {
    for reports in [
        Reports::None,
        Reports::Only(TrackKind::Audio),
        Reports::Only(TrackKind::Video),
    ] {
        let options = Options {
            reports,
            jitter: Duration::from_millis(100),
            ..Options::LONG.drifting(-200.0, 200.0).level()
        };

        let broadcast = played(options, LONG);

        assert_in_step(&broadcast, &options, 12.0, LONG.as_secs_f64() - 24.0);
        assert_no_gap(&broadcast, Duration::from_millis(450));
    }
}

#[test]
fn reports_that_end_leave_picture_and_sound_together() {
    let options = Options {
        reports: Reports::Until(secs(60)),
        jitter: Duration::from_millis(100),
        ..Options::LONG.drifting(-200.0, 200.0)
    };

    let broadcast = played(options, LONG);

    assert_in_step(&broadcast, &options, 24.0, LONG.as_secs_f64() - 24.0);
}

#[test]
fn a_first_report_after_half_a_minute_is_followed_softly() {
    let options = Options {
        reports: Reports::From(secs(30)),
        ..Options::USUAL
    };

    let broadcast = played(options, secs(120));

    // 165 ms at 3 ms a picture, of ten a second.
    assert_in_step(&broadcast, &options, 40.0, 110.0);
    assert_no_gap(&broadcast, Duration::from_millis(110));
}

#[test]
fn absurd_reports_are_not_believed() {
    let options = Options {
        reports: Reports::Absurd,
        jitter: Duration::from_millis(50),
        ..Options::USUAL.drifting(200.0, -200.0).level()
    };

    let broadcast = played(options, secs(300));

    assert_in_step(&broadcast, &options, 12.0, 280.0);
    assert_no_gap(&broadcast, Duration::from_millis(250));
}

/// A studio of drifting clocks is followed by nothing for a while, and then by one of other clocks.
#[test]
fn the_next_studio_goes_on_where_the_one_before_was_however_far_its_clocks_had_drifted() {
    for (drift, has_sound, has_picture) in [
        (-2_000.0, true, true),
        (2_000.0, true, true),
        (-2_000.0, true, false),
        (2_000.0, true, false),
        (-400.0, false, true),
        (400.0, false, true),
    ] {
        let mut options = Options::LONG.drifting(drift, drift);
        options.sound = options.sound.filter(|_| has_sound);
        options.picture = options.picture.filter(|_| has_picture);
        let mut broadcast = Broadcast::new();
        let mut studio = broadcast.begin(options);
        // Sound that drifts more quickly than any clock, so that it need not for long: 2.4 s.
        broadcast.play(&mut studio, secs(1_200));
        let before = broadcast.latest();
        broadcast.end_source();

        broadcast.wait(secs(30));
        let away = broadcast.latest();
        let mut other = broadcast.begin(Options::USUAL);
        broadcast.play(&mut other, secs(60));

        assert_no_gap(&broadcast, Duration::from_millis(600));
        let kinds = if has_picture { 0..2 } else { 1..2 };
        for kind in kinds {
            let passed = away[kind] - before[kind];
            assert!((29.3..30.8).contains(&passed), "{drift} {kind}: {passed}");
        }
        let passed = broadcast.latest()[1] - away[1];
        assert!((59.5..60.7).contains(&passed), "{drift}: {passed}");
        if has_sound && has_picture {
            let apart = broadcast.latest()[0] - broadcast.latest()[1];
            assert!((-0.4..0.2).contains(&apart), "{apart}");
        }
    }
}

fn at(track: Option<Track>, from: u64) -> Option<Track> {
    track.map(|track| Track {
        from: secs(from),
        ..track
    })
}

#[test]
fn a_track_that_begins_ten_seconds_after_the_other_is_in_step_with_it() {
    for (picture, sound) in [(10, 0), (0, 10)] {
        for reports in [Reports::None, Reports::From(Duration::ZERO)] {
            let usual = Options::USUAL.level();
            let options = Options {
                picture: at(usual.picture, picture),
                sound: at(usual.sound, sound),
                jitter: Duration::from_millis(100),
                reports,
                ..usual
            };

            let broadcast = played(options, secs(90));

            assert_in_step(&broadcast, &options, 23.0, 80.0);
            assert_no_gap(&broadcast, Duration::from_millis(350));
        }
    }
}

#[test]
fn foul_weather_leaves_what_arrives_in_step_and_in_order() {
    for (lost, repaired) in [(0.01, false), (0.1, false), (0.1, true)] {
        let options = Options {
            lost,
            repaired,
            jitter: Duration::from_millis(100),
            padding: Some(3),
            ..Options::USUAL.drifting(100.0, -100.0)
        };

        let broadcast = played(options, secs(240));

        assert_in_step(&broadcast, &options, 24.0, 220.0);
        assert_no_gap(&broadcast, Duration::from_millis(900));
        let came = broadcast.count;
        assert!(came > if repaired { 2_380 } else { 800 }, "{came} of 2400");
    }
}

#[test]
fn sound_that_is_sent_only_when_something_is_heard_stays_in_step() {
    for reports in [Reports::None, Reports::From(Duration::ZERO)] {
        let options = Options {
            discontinuous: true,
            jitter: Duration::from_millis(100),
            reports,
            ..Options::USUAL.drifting(-200.0, 200.0).level()
        };

        let broadcast = played(options, secs(300));

        assert_in_step(&broadcast, &options, 24.0, 280.0);
        assert_no_gap(&broadcast, Duration::from_millis(300));
    }
}

#[test]
fn sound_of_one_channel_and_of_two_by_turns_is_one_sound() {
    let options = Options {
        changes_channels: true,
        ..Options::USUAL
    };

    let broadcast = played(options, secs(120));

    assert_in_step(&broadcast, &options, 24.0, 110.0);
    assert_no_gap(&broadcast, Duration::from_millis(110));
}

#[test]
fn another_sender_on_the_same_connection_is_in_step_at_once() {
    for (picture, sound) in [(1, 0), (0, 1), (1, 1)] {
        let options = Options::USUAL.drifting(-200.0, 200.0);
        let mut broadcast = Broadcast::new();
        let mut studio = broadcast.begin(options);
        broadcast.play(&mut studio, secs(65));
        let changed = |track: Option<Track>, by| {
            track.map(|track| Track {
                ssrc: track.ssrc + by,
                ..track
            })
        };

        studio.options.picture = changed(options.picture, picture);
        studio.options.sound = changed(options.sound, sound);
        studio.options.reports = Reports::None;
        broadcast.play(&mut studio, secs(65));

        assert_in_step(&broadcast, &options, 12.0, 119.0);
        assert_no_gap(&broadcast, secs(1));
    }
}

#[test]
fn one_track_alone_keeps_to_the_wall_clock_as_well_as_it_can() {
    for has_picture in [true, false] {
        let mut options = Options::LONG.drifting(200.0, 200.0);
        if has_picture {
            options.sound = None;
        } else {
            options.picture = None;
        }

        let broadcast = played(options, LONG);

        // Pictures without sound need not follow their sender's clock.
        let drifted = if has_picture { 0.0 } else { 0.36 };
        let ahead = broadcast.ahead() - drifted;
        assert!((-0.5..0.1).contains(&ahead), "{ahead}");
        assert_no_gap(&broadcast, Duration::from_millis(300));
    }
}
