use super::*;

/// The timestamps that a reader finds, in milliseconds, and what it lost.
fn read_all(reader: &mut Reader) -> (Vec<u128>, u64) {
    let (mut times, mut dropped) = (Vec::new(), 0);
    while let Some((batch, units)) = read(reader) {
        times.extend(milliseconds(&units));
        dropped += batch.dropped;
    }
    (times, dropped)
}

/// Pictures at 33 ms with a keyframe every second.
fn play(fanout: &mut Fanout, pictures: std::ops::Range<u64>) {
    for number in pictures {
        fanout.push(picture(number * PICTURE_MS, number % 30 == 0));
    }
}

#[test]
fn a_retention_keeps_more_for_as_long_as_it_lives_and_30_seconds_at_most() {
    let mut fanout = Fanout::new(WINDOW);
    let kept = |fanout: &Fanout| fanout.shared.lock().figures().0 as u64 * PICTURE_MS;
    let retention = fanout.subscriber().retain(Duration::from_hours(1));

    play(&mut fanout, 0..3_000);
    let while_retained = kept(&fanout);
    drop(retention);
    play(&mut fanout, 3_000..3_001);

    assert!(
        (30_000..30_100).contains(&while_retained),
        "{while_retained}"
    );
    assert!((4_000..4_100).contains(&kept(&fanout)));
}

#[test]
fn what_others_retain_does_not_make_a_reader_lag_longer() {
    let mut fanout = Fanout::new(WINDOW);
    let _retention = fanout.subscriber().retain(Duration::from_secs(30));
    let (mut jumping, mut patient) = (
        fanout.subscriber().reader(),
        fanout.subscriber().patient_reader(),
    );
    play(&mut fanout, 0..1);
    assert_eq!(read_all(&mut jumping), read_all(&mut patient));

    play(&mut fanout, 1..300);
    let (jumped, patience) = (read_all(&mut jumping), read_all(&mut patient));

    assert_eq!((jumped.0[0], jumped.1), (270 * 33, 269));
    assert_eq!((patience.0.len(), patience.1), (299, 0));
}

#[test]
fn a_reader_that_lags_within_the_newest_group_waits_for_the_next_and_repeats_nothing() {
    let mut fanout = Fanout::new(Duration::from_millis(500));
    let _retention = fanout.subscriber().retain(Duration::from_secs(30));
    let mut reader = fanout.subscriber().reader();
    play(&mut fanout, 0..5);
    assert_eq!(read_all(&mut reader).0.len(), 5);

    play(&mut fanout, 5..29);
    assert!(read(&mut reader).is_none());
    play(&mut fanout, 29..31);

    assert_eq!(read_all(&mut reader), (vec![990], 25));
}

#[test]
fn catching_up_begins_with_the_group_that_holds_the_first_picture_wanted() {
    let mut fanout = Fanout::new(WINDOW);
    play(&mut fanout, 0..100);
    let first = |from| {
        let from = Duration::from_millis(from);
        read_all(&mut fanout.subscriber().reader_from(from)).0[0]
    };

    // Keyframes are at 0, 990, 1980 and 2970 ms.
    assert_eq!([first(0), first(500), first(957)], [0, 0, 0]);
    assert_eq!([first(958), first(990), first(1_000)], [990; 3]);
    assert_eq!([first(2_970), first(3_267), first(90_000)], [2_970; 3]);
}

#[test]
fn catching_up_from_what_is_gone_begins_with_the_oldest_whole_group() {
    let mut fanout = Fanout::new(WINDOW);
    play(&mut fanout, 0..300);

    let (times, dropped) = read_all(&mut fanout.subscriber().reader_from(Duration::ZERO));

    assert_eq!((times[0], times.len(), dropped), (180 * 33, 120, 0));
}

#[test]
fn catching_up_goes_as_far_as_it_may_and_knows_when_it_is_in_the_newest_group() {
    let mut fanout = Fanout::new(WINDOW);
    play(&mut fanout, 0..100);
    let mut reader = fanout.subscriber().reader_from(Duration::ZERO);
    let mut read_to = |time| {
        let (mut units, up_to) = (Vec::new(), Duration::from_millis(time));
        match reader.poll_batch_up_to(&mut Context::from_waker(Waker::noop()), up_to, &mut units) {
            Poll::Ready(Some(batch)) => Some((units.len(), batch.in_newest_group)),
            Poll::Ready(None) | Poll::Pending => None,
        }
    };

    assert_eq!(read_to(330), Some((11, false)));
    assert_eq!(read_to(340), None);
    assert_eq!(read_to(2_969), Some((79, false)));
    assert_eq!(read_to(2_970), Some((1, true)));
    let unread = reader.unread();
    assert_eq!(unread.from, Some(Duration::from_millis(3_003)));
    assert_eq!(unread.newest, Duration::from_millis(3_267));
}

#[test]
fn catching_up_ends_only_when_all_is_read() {
    let mut fanout = Fanout::new(WINDOW);
    play(&mut fanout, 0..100);
    let mut reader = fanout.subscriber().reader_from(Duration::ZERO);
    drop(fanout);
    let mut context = Context::from_waker(Waker::noop());
    let mut poll = |up_to| {
        let mut units = Vec::new();
        reader.poll_batch_up_to(&mut context, Duration::from_millis(up_to), &mut units)
    };

    assert!(matches!(poll(50), Poll::Ready(Some(_))));
    assert!(poll(50).is_pending());
    assert!(matches!(poll(9_999), Poll::Ready(Some(_))));
    assert!(matches!(poll(9_999), Poll::Ready(None)));
}

#[test]
fn the_latest_keyframe_is_there_whatever_its_age() {
    let mut fanout = Fanout::new(WINDOW);
    let subscriber = fanout.subscriber();
    assert_eq!(subscriber.latest_keyframe(), None);

    play(&mut fanout, 0..1);
    for number in 1..100 {
        fanout.push(picture(number * PICTURE_MS, false));
    }

    let keyframe = subscriber.latest_keyframe().unwrap();
    assert!(keyframe.keyframe && keyframe.timestamp == Duration::ZERO);
}

#[test]
fn readers_share_the_bytes_and_hold_half_a_megabyte_at_a_time() {
    let mut fanout = Fanout::new(WINDOW);
    let data = Bytes::from(vec![0; 64 * 1024]);
    for number in 0..100 {
        fanout.push(AccessUnit {
            data: data.slice(..),
            ..picture(number * PICTURE_MS, number == 0)
        });
    }

    for _ in 0..20 {
        let mut reader = fanout.subscriber().reader_from(Duration::ZERO);
        let mut count = 0;
        while let Some((_, units)) = read(&mut reader) {
            let bytes: usize = units.iter().map(|unit| unit.data.len()).sum();
            assert!(bytes <= 512 * 1024);
            assert!(units.iter().all(|unit| unit.data.as_ptr() == data.as_ptr()));
            count += units.len();
        }
        assert_eq!(count, 100);
    }
}

fn at(milliseconds: usize) -> Duration {
    Duration::from_millis(milliseconds as u64)
}

/// Which picture it is of those that are 20 ms apart.
fn position(unit: &AccessUnit) -> usize {
    usize::try_from(unit.timestamp.as_millis() / 20).unwrap()
}

proptest! {
    #[test]
    fn who_catches_up_reads_every_picture_from_its_group_on(
        keyframes in prop::collection::vec(prop::bool::weighted(0.07), 1..1_200),
        from in 0..1_200_usize,
        began_at in 0..1_200_usize,
        steps in prop::collection::vec(1..700_usize, 1..40),
    ) {
        let mut fanout = Fanout::new(Duration::from_millis(100));
        let subscriber = fanout.subscriber();
        let _retention = subscriber.retain(Duration::from_hours(1));
        let began_at = began_at.min(keyframes.len());
        let number = |number: usize| AccessUnit { timestamp: at(number * 20), ..picture(0, keyframes[number]) };
        (0..began_at).for_each(|place| fanout.push(number(place)));
        let from = (from.min(began_at) * 20).saturating_sub(7);
        let mut reader = subscriber.reader_from(at(from));

        let (mut times, mut up_to, mut pushed) = (Vec::new(), from, began_at);
        let mut context = Context::from_waker(Waker::noop());
        for step in steps.into_iter().chain([1_000_000]) {
            up_to += step;
            let mut units = Vec::new();
            while reader.poll_batch_up_to(&mut context, at(up_to), &mut units).is_ready() {}
            times.extend(units.iter().map(position));
            (pushed..(pushed + 20).min(keyframes.len())).for_each(|place| fanout.push(number(place)));
            pushed = (pushed + 20).min(keyframes.len());
        }

        if let Some(&first) = times.first() {
            // It begins at the last keyframe that is not later than the first picture wanted, if that was there already.
            let wanted = from.div_ceil(20);
            let expected = keyframes[..keyframes.len().min(wanted + 1)].iter().rposition(|keyframe| *keyframe);
            prop_assert!(keyframes[first]);
            if let Some(expected) = expected && wanted < began_at {
                prop_assert_eq!(first, expected);
            }
            prop_assert!(times.windows(2).all(|pair| pair[1] == pair[0] + 1), "{:?}", times);
        }
    }
}
