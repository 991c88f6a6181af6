//! What waits, what is dropped, and what is believed of a child.

use media::VideoConfig;

use super::*;

const LATE_AFTER: Duration = Duration::from_millis(300);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn desk() -> Desk {
    let canvas = Canvas::of_size((320, 180), false);
    Desk::new(
        VideoCodec::Vp8,
        Some(canvas),
        Waker::noop().clone(),
        LATE_AFTER,
    )
}

fn picture(milliseconds: u64, keyframe: bool, bytes: usize) -> SourcePicture {
    SourcePicture {
        codec: VideoCodec::Vp8,
        timestamp: ms(milliseconds),
        keyframe,
        config: None,
        size: (320, 180),
        data: vec![0; bytes].into(),
        arrival: Instant::now(),
    }
}

fn config() -> VideoConfig {
    VideoConfig {
        decoder_configuration: Bytes::from_static(&[1]),
        width: 320,
        height: 180,
    }
}

/// What the child is told of its next picture.
fn order(desk: &Desk, now: Instant) -> Option<PictureHead> {
    match desk.lock().order(now, LATE_AFTER)? {
        Order::Picture { head, .. } => Some(head),
        Order::Bitrate(_) => None,
    }
}

/// The child takes a picture and answers it.
fn work(desk: &Desk, now: Instant, keyframe: bool) -> PictureHead {
    let head = order(desk, now).unwrap();
    desk.note_done(true).unwrap();
    if !head.skip {
        let unit = PictureHead { keyframe, ..head };
        desk.take_unit(unit, Bytes::new()).unwrap();
    }
    head
}

fn begun(desk: &Desk) {
    desk.note_begin(Some(1));
    desk.take_config(config()).unwrap();
}

#[test]
fn what_does_not_fit_is_lost_up_to_the_next_keyframe() {
    let desk = desk();
    let now = Instant::now();
    let limit = WAITING_LIMIT as u64;
    for number in 0..limit {
        assert_eq!(desk.push(picture(number, number == 0, 1), now), Ok(()));
    }

    assert_eq!(desk.push(picture(limit, false, 1), now), Err(Full));
    assert_eq!(desk.push(picture(limit + 1, false, 1), now), Err(Full));
    assert!(desk.lock().wishes_keyframe);
    assert_eq!(desk.push(picture(limit + 2, true, 1), now), Ok(()));

    let state = desk.lock();
    assert_eq!((state.waiting.len(), state.waiting_bytes), (1, 1));
    assert_eq!(state.counters.dropped, limit + 2);
}

#[test]
fn bytes_are_bounded_too() {
    let desk = desk();
    let now = Instant::now();
    let half = WAITING_LIMIT_BYTES / 2;

    assert_eq!(desk.push(picture(0, true, half), now), Ok(()));
    assert_eq!(desk.push(picture(1, false, half), now), Ok(()));
    assert_eq!(desk.push(picture(2, false, 1), now), Err(Full));
}

#[test]
fn a_picture_that_is_too_large_or_goes_back_in_time_is_a_gap() {
    let now = Instant::now();
    for bad in [
        picture(50, false, PICTURE_LIMIT_BYTES + 1),
        picture(40, false, 1),
        SourcePicture {
            codec: VideoCodec::H264,
            ..picture(50, false, 1)
        },
    ] {
        let desk = desk();
        desk.push(picture(40, true, PICTURE_LIMIT_BYTES), now)
            .unwrap();

        assert_eq!(desk.push(bad, now), Err(Full));

        assert_eq!(desk.push(picture(60, false, 1), now), Err(Full));
        assert_eq!(desk.push(picture(80, true, 1), now), Ok(()));
    }
}

#[test]
fn nothing_begins_without_a_keyframe() {
    let desk = desk();
    let now = Instant::now();

    assert_eq!(desk.push(picture(0, false, 1), now), Err(Full));
    assert_eq!(desk.push(picture(1, true, 1), now), Ok(()));
}

#[test]
fn a_picture_that_has_waited_too_long_is_only_decoded() {
    let desk = desk();
    let now = Instant::now();
    begun(&desk);
    for number in 0..2 {
        desk.push(picture(number, number == 0, 1), now).unwrap();
    }

    assert!(!order(&desk, now + LATE_AFTER).unwrap().skip);
    assert!(order(&desk, now + LATE_AFTER + ms(1)).unwrap().skip);
    assert_eq!(desk.lock().counters.skipped, 1);
}

#[test]
fn a_child_has_no_more_in_hand_than_it_needs() {
    let desk = desk();
    let now = Instant::now();
    begun(&desk);
    for number in 0..4 {
        desk.push(picture(number, number == 0, 1), now).unwrap();
    }

    for _ in 0..IN_HAND_LIMIT {
        assert!(order(&desk, now).is_some());
    }
    assert!(order(&desk, now).is_none());
    desk.note_done(true).unwrap();
    assert!(order(&desk, now).is_some());
}

#[test]
fn what_is_required_is_a_keyframe_of_a_later_picture() {
    let desk = desk();
    let now = Instant::now();
    begun(&desk);
    for number in 0..3 {
        desk.push(picture(number, number == 0, 1), now).unwrap();
    }
    work(&desk, now, true);

    desk.lock().begin_after_latest();
    assert!(desk.lock().ready.is_empty());
    assert!(work(&desk, now, false).skip && work(&desk, now, true).skip);
    desk.push(picture(3, false, 1), now).unwrap();
    desk.push(picture(4, false, 1), now).unwrap();

    let forced = work(&desk, now, true);
    let next = work(&desk, now, false);
    assert!(forced.force_keyframe && !forced.skip);
    assert!(!next.force_keyframe);
    let times: Vec<_> = desk
        .lock()
        .ready
        .iter()
        .map(|picture| picture.timestamp)
        .collect();
    assert_eq!(times, [ms(3), ms(4)]);
}

#[test]
fn a_reader_that_does_not_read_continues_with_a_keyframe() {
    let desk = desk();
    let now = Instant::now();
    begun(&desk);
    for number in 0..=READY_LIMIT as u64 {
        desk.push(picture(number, number == 0, 1), now).unwrap();
        assert_eq!(desk.lock().begins_after, None);
        work(&desk, now, number == 0);
    }

    assert!(desk.lock().ready.is_empty());
    desk.push(picture(1_000, false, 1), now).unwrap();
    assert!(work(&desk, now, true).force_keyframe);
    assert_eq!(desk.lock().ready.len(), 1);
}

#[test]
fn after_a_death_the_latest_keyframe_that_waits_is_the_first() {
    let desk = desk();
    let now = Instant::now();
    begun(&desk);
    for number in 0..6 {
        desk.push(picture(number, number % 4 == 0, 1), now).unwrap();
    }
    work(&desk, now, true);

    desk.note_end();

    assert_eq!(desk.lock().engine, EngineState::Failing(1));
    assert!(!desk.lock().wishes_keyframe);
    begun(&desk);
    assert_eq!(work(&desk, now, true).timestamp, ms(4));
    assert_eq!(desk.lock().engine, EngineState::Running);
}

#[test]
fn after_a_death_without_a_keyframe_one_is_wished_for() {
    let desk = desk();
    let now = Instant::now();
    begun(&desk);
    desk.push(picture(0, true, 1), now).unwrap();
    work(&desk, now, true);
    desk.push(picture(1, false, 1), now).unwrap();

    desk.note_end();

    assert!(desk.lock().wishes_keyframe && desk.lock().waiting.is_empty());
    assert_eq!(desk.push(picture(2, false, 1), now), Err(Full));
}

#[test]
fn the_same_parameters_of_another_child_are_the_same() {
    let desk = desk();
    begun(&desk);
    let first = desk.lock().config.clone().unwrap();

    desk.note_end();
    begun(&desk);

    assert!(Arc::ptr_eq(&first, desk.lock().config.as_ref().unwrap()));
}

#[test]
fn a_child_that_says_what_it_may_not_is_not_believed() {
    let now = Instant::now();
    let unit = |milliseconds, keyframe| PictureHead {
        keyframe,
        skip: false,
        force_keyframe: false,
        timestamp: ms(milliseconds),
    };
    let asked = || {
        let desk = desk();
        desk.push(picture(5, true, 1), now).unwrap();
        desk.note_begin(None);
        desk
    };
    let wide = VideoConfig {
        width: 322,
        ..config()
    };

    // Of another size; done with nothing.
    assert!(asked().take_config(wide).is_err());
    assert!(asked().note_done(true).is_err());
    // A unit without parameters, of a picture it never had, of the wrong time, and one that refers to nothing.
    let desk = asked();
    order(&desk, now).unwrap();
    assert!(desk.take_unit(unit(5, true), Bytes::new()).is_err());
    let desk = asked();
    desk.take_config(config()).unwrap();
    assert!(desk.take_unit(unit(5, true), Bytes::new()).is_err());
    for bad in [unit(4, true), unit(6, true), unit(5, false)] {
        let desk = asked();
        order(&desk, now).unwrap();
        desk.take_config(config()).unwrap();
        assert!(desk.take_config(config()).is_err());
        assert!(desk.take_unit(bad, Bytes::new()).is_err());
    }
}

#[test]
fn a_bitrate_is_told_before_the_next_picture() {
    let desk = desk();
    begun(&desk);
    desk.push(picture(0, true, 1), Instant::now()).unwrap();
    {
        let mut state = desk.lock();
        state.canvas.as_mut().unwrap().kilobits_per_second = 700;
        state.bitrate_changed = true;
    }

    let first = desk.lock().order(Instant::now(), LATE_AFTER);

    assert!(matches!(first, Some(Order::Bitrate(700))));
    assert!(order(&desk, Instant::now()).is_some());
}
