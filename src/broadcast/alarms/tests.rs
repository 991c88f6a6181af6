use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A show in which all is well.
fn well() -> Measurement {
    Measurement {
        studio_connected: true,
        frames_per_second: Some(30.0),
        nominal_frames_per_second: Some(30.0),
        keyframe_interval: Some(Duration::from_secs(2)),
        keyframe_age: Some(Duration::from_secs(1)),
        look: None,
        silent_for: Some(Duration::ZERO),
        packets: Some(PacketCounts {
            received: 500,
            lost: 0,
            recovered: 0,
        }),
        ingest_bits_per_second: Some(4_500_000),
        out_of_step: Some(Duration::from_millis(10)),
    }
}

/// A broadcast second by second.
struct Show {
    alarms: Alarms,
    now: Instant,
    start: Instant,
}

impl Show {
    fn begin() -> Self {
        let start = Instant::now();
        Self {
            alarms: Alarms::default(),
            now: start,
            start,
        }
    }

    /// The changes of so many seconds of this, with the second of the show in which they came.
    fn goes_on(&mut self, seconds: u64, of: &Measurement) -> Vec<(u64, Alarm, bool)> {
        let mut changes = Vec::new();
        for _ in 0..seconds {
            self.alarms.handle_measurement(of, self.now);
            while let Some(change) = self.alarms.poll_change() {
                assert!(change.message.ends_with(['.', '?']), "{}", change.message);
                changes.push((
                    (self.now - self.start).as_secs(),
                    change.alarm,
                    change.raised,
                ));
            }
            self.now += SECOND;
        }
        changes
    }

    /// A look every ten seconds, with this difference to the one before.
    fn looks(
        &mut self,
        count: u32,
        mean_luma: u8,
        contrast: u8,
        difference: f32,
    ) -> Vec<(Alarm, bool)> {
        let mut changes = Vec::new();
        for _ in 0..count {
            let look = Look {
                at: self.now,
                mean_luma,
                contrast,
                change: Some((difference, Duration::from_secs(10))),
            };
            let measurement = Measurement {
                look: Some(look),
                ..well()
            };
            changes.extend(
                self.goes_on(10, &measurement)
                    .into_iter()
                    .map(|(_, alarm, raised)| (alarm, raised)),
            );
        }
        changes
    }

    fn message(&self, alarm: Alarm) -> String {
        let active = self.alarms.active();
        let found = active.iter().find(|active| active.alarm == alarm);
        found.expect("it is raised").message.clone()
    }
}

fn frames(rate: f64) -> Measurement {
    Measurement {
        frames_per_second: Some(rate),
        ..well()
    }
}

fn packets(lost: u64, recovered: u64) -> Measurement {
    Measurement {
        packets: Some(PacketCounts {
            received: 500 - lost,
            lost,
            recovered,
        }),
        ..well()
    }
}

#[test]
fn a_good_show_raises_nothing() {
    let mut show = Show::begin();

    assert_eq!(show.goes_on(600, &well()), []);
    assert!(show.alarms.active().is_empty());
}

#[test]
fn what_is_not_known_raises_nothing() {
    let unknown = Measurement {
        studio_connected: true,
        ..Measurement::default()
    };

    assert_eq!(Show::begin().goes_on(600, &unknown), []);
}

#[test]
fn a_hidden_tab_is_told_after_three_seconds_and_forgotten_after_five_good_ones() {
    let mut show = Show::begin();
    show.goes_on(10, &well());

    assert_eq!(
        show.goes_on(20, &frames(3.0)),
        [(13, Alarm::FrameRateCollapsed, true)]
    );
    assert_eq!(
        show.message(Alarm::FrameRateCollapsed),
        "The canvas gives only 3 pictures a second instead of 30: is the tab hidden or the machine busy?"
    );
    assert_eq!(
        show.goes_on(20, &frames(29.9)),
        [(35, Alarm::FrameRateCollapsed, false)]
    );
}

#[test]
fn a_canvas_that_stands_still_gives_no_picture() {
    let mut show = Show::begin();
    show.goes_on(10, &frames(0.0));

    let message = show.message(Alarm::FrameRateCollapsed);
    assert!(message.starts_with("The canvas gives no picture a second instead of 30"));
}

#[test]
fn a_rate_around_the_limit_does_not_flap() {
    let mut show = Show::begin();
    let mut changes = Vec::new();
    for turn in 0..300 {
        let rate = if turn % 2 == 0 { 14.0 } else { 16.0 };
        changes.extend(show.goes_on(1, &frames(rate)));
    }
    assert_eq!(changes, [], "never three seconds below half");

    changes.extend(show.goes_on(5, &frames(14.0)));
    for turn in 0..300 {
        let rate = if turn % 4 == 0 { 20.0 } else { 29.0 };
        changes.extend(show.goes_on(1, &frames(rate)));
    }

    assert_eq!(
        changes.len(),
        1,
        "{changes:?}: never five seconds above three quarters"
    );
}

#[test]
fn two_black_looks_are_black_and_one_light_one_is_not() {
    let mut show = Show::begin();
    show.looks(2, 120, 50, 5.0);

    assert_eq!(show.looks(1, 16, 0, 104.0), []);
    assert_eq!(show.looks(5, 16, 0, 0.0), [(Alarm::PictureBlack, true)]);
    assert_eq!(show.looks(3, 22, 5, 6.0), [], "between the limits");
    assert_eq!(
        show.looks(1, 120, 50, 100.0),
        [(Alarm::PictureBlack, false)]
    );
}

#[test]
fn the_same_look_told_twice_is_one_look() {
    let mut show = Show::begin();
    let look = Look {
        at: show.now,
        mean_luma: 16,
        contrast: 0,
        change: None,
    };
    let measurement = Measurement {
        look: Some(look),
        ..well()
    };

    assert_eq!(show.goes_on(600, &measurement), []);
}

#[test]
fn a_picture_that_stays_for_twenty_seconds_is_frozen() {
    let mut show = Show::begin();
    show.looks(2, 120, 50, 5.0);

    assert_eq!(show.looks(1, 120, 50, 0.1), []);
    assert_eq!(show.looks(3, 120, 50, 0.1), [(Alarm::PictureFrozen, true)]);
    assert_eq!(
        show.message(Alarm::PictureFrozen),
        "The picture has not changed for 20 seconds: does the canvas still draw?"
    );
    assert_eq!(show.looks(3, 120, 50, 0.7), [], "between the limits");
    assert_eq!(show.looks(1, 120, 50, 3.0), [(Alarm::PictureFrozen, false)]);
}

#[test]
fn silence_is_told_after_ten_seconds_and_a_click_does_not_end_it() {
    let mut show = Show::begin();
    let silent = |seconds| Measurement {
        silent_for: Some(Duration::from_secs(seconds)),
        ..well()
    };
    let mut changes = Vec::new();
    for second in 0..15 {
        changes.extend(show.goes_on(1, &silent(second)));
    }
    assert_eq!(changes, [(10, Alarm::SoundSilent, true)]);

    for second in [0, 1, 2, 3, 0, 1, 2] {
        assert_eq!(show.goes_on(1, &silent(second)), []);
    }
    assert_eq!(show.goes_on(4, &silent(0)).len(), 1);
}

#[test]
fn a_lost_cadence_of_keyframes_is_told() {
    let mut show = Show::begin();
    let late = Measurement {
        keyframe_age: Some(Duration::from_millis(4600)),
        ..well()
    };

    assert_eq!(show.goes_on(2, &late), [(0, Alarm::KeyframesRare, true)]);
    assert_eq!(
        show.goes_on(10, &well()),
        [(7, Alarm::KeyframesRare, false)]
    );
}

#[test]
fn without_pictures_nobody_complains_of_keyframes() {
    let mut show = Show::begin();
    let nothing = Measurement {
        keyframe_age: Some(Duration::from_mins(1)),
        ..frames(0.0)
    };

    let changes = show.goes_on(60, &nothing);

    assert_eq!(changes, [(3, Alarm::FrameRateCollapsed, true)]);
}

#[test]
fn loss_is_told_when_it_lasts_even_if_it_is_repaired() {
    let mut show = Show::begin();
    show.goes_on(10, &well());
    assert_eq!(show.goes_on(2, &packets(50, 100)), [], "a burst");
    assert_eq!(show.goes_on(10, &well()), []);

    let changes = show.goes_on(10, &packets(0, 40));

    assert_eq!(changes, [(24, Alarm::UplinkPoor, true)]);
    assert_eq!(
        show.message(Alarm::UplinkPoor),
        "The studio's uplink loses 4.8 % of the packets, 0.0 % for good, at 4.5 Mb/s: a cable or a lower bitrate helps."
    );
    assert_eq!(show.goes_on(60, &packets(0, 20)), [], "between the limits");
    assert_eq!(show.goes_on(20, &packets(0, 10)).len(), 1);
}

#[test]
fn loss_for_good_is_told_from_one_percent() {
    let mut show = Show::begin();

    assert_eq!(show.goes_on(20, &packets(4, 0)), []);
    let changes = show.goes_on(20, &packets(6, 0));

    assert!(
        matches!(changes[..], [(_, Alarm::UplinkPoor, true)]),
        "{changes:?}"
    );
}

#[test]
fn sound_and_picture_apart_for_five_seconds_are_told() {
    let mut show = Show::begin();
    let apart = |milliseconds| Measurement {
        out_of_step: Some(Duration::from_millis(milliseconds)),
        ..well()
    };

    assert_eq!(show.goes_on(5, &apart(150)), []);
    assert_eq!(show.goes_on(5, &apart(150)), [(5, Alarm::OutOfSync, true)]);
    assert!(show.message(Alarm::OutOfSync).contains("150 ms"));
    assert_eq!(show.goes_on(20, &apart(80)), []);
    assert_eq!(
        show.goes_on(20, &apart(20)),
        [(35, Alarm::OutOfSync, false)]
    );
}

#[test]
fn a_lost_studio_clears_what_was_about_it() {
    let mut show = Show::begin();
    show.goes_on(10, &frames(3.0));
    let gone = Measurement::default();

    assert_eq!(
        show.goes_on(60, &gone),
        [(10, Alarm::FrameRateCollapsed, false)]
    );
    assert!(show.alarms.active().is_empty());
}

#[test]
fn looks_at_another_studio_say_nothing_of_this_one() {
    let mut show = Show::begin();
    show.looks(1, 16, 0, 5.0);
    show.goes_on(5, &Measurement::default());

    assert_eq!(show.looks(1, 16, 0, 0.0), []);
    assert_eq!(show.looks(1, 16, 0, 0.0), [(Alarm::PictureBlack, true)]);
}

#[test]
fn what_came_and_went_unseen_has_not_been() {
    let mut alarms = Alarms::default();
    let mut now = Instant::now();
    for turn in 0..1000 {
        let rate = if turn / 10 % 2 == 0 { 3.0 } else { 30.0 };
        alarms.handle_measurement(&frames(rate), now);
        now += SECOND;
        assert!(alarms.changes.len() <= Alarm::ALL.len());
    }
    while alarms.poll_change().is_some() {}

    assert!(alarms.active().is_empty());
}

fn any_measurement() -> impl Strategy<Value = Measurement> {
    let picture = (
        prop::option::of(0.0..70.0_f64),
        prop::option::of(0.0..60.0_f64),
        prop::option::of(0..8000_u64),
        prop::option::of((
            0..60_u8,
            0..12_u8,
            prop::option::of((0.0..2.0_f32, 0..20_000_u64)),
        )),
    );
    let rest = (
        prop::option::of(0..14_000_u64),
        prop::option::of((0..u64::MAX, 0..60_u64, 0..60_u64)),
        prop::option::of(0..200_u64),
        prop::bool::weighted(0.97),
    );
    (picture, rest).prop_map(
        |((rate, nominal, keyframe, look), (silent, packets, apart, connected))| Measurement {
            studio_connected: connected,
            frames_per_second: rate,
            nominal_frames_per_second: nominal,
            keyframe_interval: keyframe.map(Duration::from_millis),
            keyframe_age: None,
            look: look.map(|(mean_luma, contrast, change)| Look {
                at: Instant::now(),
                mean_luma,
                contrast,
                change: change
                    .map(|(difference, elapsed)| (difference, Duration::from_millis(elapsed))),
            }),
            silent_for: silent.map(Duration::from_millis),
            packets: packets.map(|(received, lost, recovered)| PacketCounts {
                received: received % 1000,
                lost,
                recovered,
            }),
            ingest_bits_per_second: None,
            out_of_step: apart.map(Duration::from_millis),
        },
    )
}

proptest! {
    #[test]
    fn alarms_are_raised_and_cleared_in_turn_and_not_too_often(
        scenes in prop::collection::vec((any_measurement(), 1..12_u32, 1..3000_u64), 1..60),
    ) {
        let mut alarms = Alarms::default();
        let mut now = Instant::now();
        let mut raised = [false; Alarm::ALL.len()];
        let mut changed = [None::<Instant>; Alarm::ALL.len()];
        for (scene, times, pause) in scenes {
            for _ in 0..times {
                let mut measurement = scene;
                if let Some(look) = &mut measurement.look {
                    look.at = now;
                }
                alarms.handle_measurement(&measurement, now);
                while let Some(change) = alarms.poll_change() {
                    let place = Alarm::ALL.iter().position(|alarm| *alarm == change.alarm).unwrap();
                    prop_assert_ne!(raised[place], change.raised, "said twice");
                    raised[place] = change.raised;
                    if measurement.studio_connected {
                        prop_assert!(changed[place].is_none_or(|last| now - last >= ALARM_PAUSE));
                    }
                    changed[place] = Some(now);
                }
                let active = alarms.active();
                for (place, alarm) in Alarm::ALL.into_iter().enumerate() {
                    let is_active = active.iter().any(|active| active.alarm == alarm);
                    prop_assert_eq!(raised[place], is_active);
                }
                prop_assert!(measurement.studio_connected || active.is_empty());
                now += Duration::from_millis(pause);
            }
        }
    }
}
