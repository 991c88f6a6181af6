//! What the engine tells about the studio's picture and sound.

use super::{
    continuity_tests::{ms, with_slate},
    tests::{Event, Weather, studio},
    *,
};

#[test]
fn what_is_not_yet_corrected_is_told_until_it_is() {
    let (mut worker, _slate) = with_slate(false);
    let script = studio(1, Weather::default());
    let mut told = Vec::new();
    let mut before = Duration::ZERO;
    for second in 1..12 {
        let until = Duration::from_secs(second);
        let part = script
            .iter()
            .filter(|(time, _)| (before..until).contains(time));
        worker.play(&part.cloned().collect(), Duration::ZERO);
        before = until;
        told.push(worker.status.borrow().out_of_step_nanoseconds);
    }

    // The picture comes 165 ms late, and moves by 3 ms a picture.
    let milliseconds: Vec<i64> = told
        .iter()
        .flatten()
        .map(|nanoseconds| nanoseconds / 1_000_000)
        .collect();
    assert!(milliseconds.len() >= 9, "{told:?}");
    assert!(
        (-170..-50).contains(&milliseconds[0]) && milliseconds[0] < milliseconds[1],
        "{milliseconds:?}"
    );
    assert!(
        milliseconds[4..].iter().all(|error| error.abs() <= 2),
        "{milliseconds:?}"
    );

    worker.wait(ms(16_000));
    let status = worker.status.borrow().clone();
    assert_eq!(status.showing, Showing::Slate);
    assert_eq!(status.out_of_step_nanoseconds, None, "nothing flows");
}

#[test]
fn the_studios_level_is_told_and_how_long_it_has_been_quiet() {
    let (mut worker, _slate) = with_slate(true);
    let mut script = studio(1, Weather::default());
    script.retain(|(time, event)| {
        *time < ms(4_300) || !matches!(event, Event::Packet(TrackKind::Audio, _))
    });
    let (heard, quiet): (Vec<_>, Vec<_>) =
        script.into_iter().partition(|(time, _)| *time < ms(4_300));
    assert_eq!(worker.status.borrow().sound_level, None);
    worker.play(&heard, Duration::ZERO);

    // A beep of 50 ms in a second, 4 dB below full scale at its peak.
    let level = worker.status.borrow().sound_level.unwrap();
    assert!((-22.0..-18.0).contains(&level.decibels), "{level:?}");
    assert_eq!(level.quiet_for, Duration::ZERO);

    worker.play(&quiet, Duration::ZERO);
    let level = worker.status.borrow().sound_level.unwrap();
    assert!(level.decibels < -60.0, "{level:?}");
    assert!(
        (ms(6_000)..ms(8_000)).contains(&level.quiet_for),
        "{level:?}"
    );

    // The slate's sound is not the studio's.
    worker.wait(ms(20_000));
    assert_eq!(worker.status.borrow().showing, Showing::Slate);
    let level = worker.status.borrow().sound_level.unwrap();
    assert!(level.quiet_for > ms(14_000), "{level:?}");
    worker.engine.handle_source_ended(worker.start + ms(20_000));
    assert_eq!(worker.status.borrow().sound_level, None);
}
