//! A studio that goes away in every way, in virtual time.

use media::RtpPacket;

use super::{
    end_to_end_tests::{is_studios, offsets, pictures_in, times},
    slate_tests::{SLATE_INTERVAL, check_continuity, decode_all, slate},
    tests::{BOTH, Event, Script, VIDEO_SSRC, Weather, Worker, coded_pictures, payloads, studio},
    *,
};

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Everything of the studio's picture between two times is gone.
fn without_picture(mut script: Script, from: Duration, until: Duration) -> Script {
    script.retain(|(time, event)| {
        !((from..until).contains(time) && matches!(event, Event::Packet(TrackKind::Video, _)))
    });
    script
}

fn is_slate(unit: &AccessUnit) -> bool {
    Arc::ptr_eq(&unit.config, &slate(true).config)
        || Arc::ptr_eq(&unit.config, &slate(false).config)
}

/// A picture that stands in and is not the slate's.
fn is_frozen(unit: &AccessUnit) -> bool {
    unit.kind() == TrackKind::Video && !is_studios(unit) && !is_slate(unit)
}

fn of(units: &[AccessUnit], kind: impl Fn(&AccessUnit) -> bool) -> Vec<Duration> {
    units
        .iter()
        .filter(|unit| kind(unit))
        .map(|unit| unit.timestamp)
        .collect()
}

fn steps(times: &[Duration]) -> Vec<Duration> {
    times
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
        .collect()
}

/// What is shown, each time that it is another than before, with the time since the start.
fn shown(worker: &mut Worker, until: Duration, showing: &mut Vec<(u128, Showing)>) {
    let mut time = showing
        .last()
        .map_or(Duration::ZERO, |(at, _)| ms(u64::try_from(*at).unwrap()));
    while time < until {
        time += ms(5);
        worker.wait(time);
        let now = worker.status.borrow().showing;
        if showing.last().is_none_or(|(_, before)| *before != now) {
            showing.push((time.as_millis(), now));
        }
    }
}

pub(super) fn with_slate(has_sound: bool) -> (Worker, watch::Sender<Option<Arc<StandIn>>>) {
    let (sender, receiver) = watch::channel(Some(slate(has_sound)));
    let mut worker = Worker::with_slate(Instant::now(), receiver);
    worker.engine.handle_source_started(BOTH, worker.start);
    (worker, sender)
}

#[test]
fn a_picture_that_stalls_is_frozen_then_the_slate_and_then_back() {
    let (mut worker, _slate) = with_slate(true);
    // The last picture before comes at 4.323 s, the next keyframe of the studio's at 9.19 s.
    let script = without_picture(studio(1, Weather::default()), ms(4_350), ms(8_800));
    worker.play(&script, Duration::ZERO);

    check_continuity(&worker.units).unwrap();
    let frozen = of(&worker.units, is_frozen);
    let stood_in = of(&worker.units, is_slate);
    let live = of(&worker.units, is_studios);
    let stop = live[124];
    assert_eq!(frozen[0].saturating_sub(stop), ms(500));
    let away = stood_in[0].saturating_sub(stop);
    assert!((ms(2_000)..ms(2_040)).contains(&away), "{away:?}");
    for step in steps(&frozen) {
        assert!((ms(33)..=ms(34)).contains(&step), "{step:?}");
    }
    for step in steps(&stood_in) {
        assert!(
            (SLATE_INTERVAL..=SLATE_INTERVAL + Duration::from_nanos(1)).contains(&step),
            "{step:?}"
        );
    }
    // Back at its first keyframe, in the place that it would have had anyway.
    let shown = pictures_in(&worker.units);
    assert_eq!((shown[124], shown[125]), (124, 270));
    assert_eq!(
        worker
            .units
            .iter()
            .filter(|unit| is_studios(unit))
            .nth(125)
            .map(|unit| unit.keyframe),
        Some(true)
    );
    let offsets = offsets(&worker.units);
    assert!(
        offsets[6..].iter().all(|offset| offset.abs() <= 0.02),
        "{offsets:?}"
    );
    let status = worker.status.borrow().clone();
    assert_eq!(status.showing, Showing::Studio);
    assert_eq!(status.counters.freezes, 1);
    assert_eq!(status.counters.freeze_pictures, frozen.len() as u64);
    assert_eq!(status.counters.slate_pictures, stood_in.len() as u64);
    let absence = status.counters.latest_absence.unwrap();
    assert!((ms(4_800)..ms(4_900)).contains(&absence), "{absence:?}");
    assert_eq!(status.counters.longest_gap, ms(500));
    assert_eq!(
        status.counters.silent_frames, 0,
        "the studio's sound goes on"
    );
    let video = status.video.unwrap();
    assert_eq!((video.width, video.height), (320, 180));
    assert!((29.0..=31.0).contains(&status.nominal_frames_per_second.unwrap()));
}

#[test]
fn a_studio_that_is_gone_is_replaced_at_once_and_by_the_slates_sound() {
    let (mut worker, _slate) = with_slate(true);
    let script = studio(1, Weather::default());
    let gone = ms(4_350);
    worker.play(
        &script
            .iter()
            .filter(|(time, _)| *time < gone)
            .cloned()
            .collect(),
        Duration::ZERO,
    );
    worker.engine.handle_source_ended(worker.start + gone);
    let mut showing = vec![(4_350, Showing::Studio)];
    shown(&mut worker, ms(20_000), &mut showing);
    worker
        .engine
        .handle_source_started(BOTH, worker.start + ms(20_000));
    assert!(worker.engine.poll_keyframe_request());
    worker.play(&script, ms(20_000));

    check_continuity(&worker.units).unwrap();
    assert_eq!(showing[1], (4_360, Showing::Freeze));
    assert!(
        showing[2].0 <= 4_323 + 2_040 && showing[2].1 == Showing::Slate,
        "{showing:?}"
    );
    assert_eq!(showing.len(), 3);
    let frozen = of(&worker.units, is_frozen);
    let live = of(&worker.units, is_studios);
    assert!(frozen[0].saturating_sub(live[124]) <= ms(40));
    assert_eq!(live.len(), 125 + 360);
    // The slate's tone is heard while it is shown, and the studio's beeps are in step before and after.
    let samples = super::tests::decode_sound(
        &worker
            .units
            .iter()
            .filter(|unit| unit.kind() == TrackKind::Audio)
            .collect::<Vec<_>>(),
    );
    let loud: Vec<bool> = samples
        .chunks(48_000)
        .map(|second| second.iter().map(|sample| sample.abs()).sum::<f32>() > 0.2 * 48_000.0)
        .collect();
    let first = loud.iter().position(|&loud| loud).unwrap();
    let last = loud.iter().rposition(|&loud| loud).unwrap();
    assert!(
        (6..=7).contains(&first) && (18..=19).contains(&last),
        "{loud:?}"
    );
    assert!(loud[first..=last].iter().all(|&loud| loud));
    let offsets = offsets(&worker.units);
    assert!(
        offsets[offsets.len() - 6..]
            .iter()
            .all(|offset| offset.abs() <= 0.02),
        "{offsets:?}"
    );
}

#[test]
fn all_that_goes_out_can_be_decoded_and_a_freeze_shows_the_last_picture() {
    let (mut worker, _slate) = with_slate(true);
    let script = studio(1, Weather::default());
    let stalled = without_picture(
        without_picture(script.clone(), ms(3_000), ms(4_000)),
        ms(7_350),
        ms(10_500),
    );
    worker.play(&stalled, Duration::ZERO);
    worker.engine.handle_source_ended(worker.start + ms(12_200));
    worker.wait(ms(17_000));
    worker
        .engine
        .handle_source_started(BOTH, worker.start + ms(17_000));
    worker.play(&script, ms(17_000));

    check_continuity(&worker.units).unwrap();
    let pictures: Vec<&AccessUnit> = worker
        .units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Video)
        .collect();
    let decoded = decode_all(&worker.units);
    assert_eq!(decoded.len(), pictures.len());
    let mut frozen = 0;
    for (number, picture) in pictures.iter().enumerate().skip(1) {
        let is_repeat = decoded[number] == decoded[number - 1];
        assert_eq!(is_repeat, is_frozen(picture), "picture {number}");
        frozen += usize::from(is_repeat);
    }
    assert!(frozen > 100, "{frozen}");
    // Each interruption goes from the studio to a freeze, and two of them to the slate.
    let mut configs: Vec<bool> = pictures.iter().map(|unit| is_slate(unit)).collect();
    configs.dedup();
    assert_eq!(configs, [false, true, false, true, false]);
}

#[test]
fn a_studio_of_one_picture_a_second_has_each_of_them_shown() {
    let (mut worker, _slate) = with_slate(false);
    let mut sequence = 0_u16;
    let mut keyframe_asked = true;
    for second in 0..30_u32 {
        let time = Duration::from_secs(1) * second;
        // It wakes for what is due, and answers a wish with its next picture.
        for tick in 0..100 {
            worker.wait(time.saturating_sub(Duration::from_secs(1)) + ms(10) * tick);
            keyframe_asked |= worker.engine.poll_keyframe_request();
        }
        let is_keyframe = std::mem::take(&mut keyframe_asked);
        let picture = &coded_pictures()[usize::from(!is_keyframe)];
        let all = payloads(&picture.nals);
        for (index, payload) in all.iter().enumerate() {
            sequence += 1;
            let packet = RtpPacket {
                sequence,
                timestamp: second * 90_000,
                ssrc: VIDEO_SSRC,
                marker: index + 1 == all.len(),
                payload: payload.clone().into(),
            };
            worker
                .engine
                .handle_packet(TrackKind::Video, packet, worker.start + time);
        }
        worker.read();
    }

    check_continuity(&worker.units).unwrap();
    let live = of(&worker.units, is_studios);
    assert_eq!(live.len(), 30);
    assert_eq!(of(&worker.units, is_slate).len(), 0);
    for step in steps(&of(&worker.units, |unit| unit.kind() == TrackKind::Video)) {
        assert!(step <= ms(500), "{step:?}");
    }
    let status = worker.status.borrow().clone();
    assert_eq!(status.nominal_frames_per_second.map(f64::round), Some(1.0));
    assert!(
        status.video.unwrap().frames_per_second < 1.5,
        "only the studio's count"
    );
}

#[test]
fn a_canvas_on_which_nothing_moves_is_not_covered_by_the_slate_before_five_seconds() {
    let (mut worker, _slate) = with_slate(false);
    let script = studio(1, Weather::default());
    let mut latest = 0;
    let mut still = without_picture(script, ms(3_100), ms(60_000));
    for (_, event) in &still {
        if let Event::Packet(TrackKind::Video, packet) = event {
            latest = packet.sequence;
        }
    }
    for number in 1..30 {
        let padding = RtpPacket {
            sequence: latest.wrapping_add(number),
            timestamp: 0,
            ssrc: VIDEO_SSRC,
            marker: false,
            payload: bytes::Bytes::new(),
        };
        let time = ms(3_100) + ms(200) * u32::from(number);
        still.push((time, Event::Packet(TrackKind::Video, padding)));
    }
    still.sort_by_key(|(time, _)| *time);
    worker.play(&still, Duration::ZERO);

    check_continuity(&worker.units).unwrap();
    let stop = *of(&worker.units, is_studios).last().unwrap();
    let away = of(&worker.units, is_slate)[0].saturating_sub(stop);
    assert!((ms(5_000)..ms(5_040)).contains(&away), "{away:?}");
}

#[test]
fn sound_alone_does_not_end_the_slate() {
    let (mut worker, _slate) = with_slate(true);
    let script = studio(1, Weather::default());
    worker.play(&script[..600].to_vec(), Duration::ZERO);
    let gone = script[599].0;
    worker.engine.handle_source_ended(worker.start + gone);
    worker.wait(gone + ms(4_000));
    let description = SourceDescription {
        video: None,
        audio: true,
    };
    let back = gone + ms(4_000);
    worker
        .engine
        .handle_source_started(description, worker.start + back);
    worker.play(&without_picture(script, Duration::ZERO, ms(60_000)), back);

    check_continuity(&worker.units).unwrap();
    assert_eq!(worker.status.borrow().showing, Showing::Slate);
    assert!(
        !worker.engine.poll_keyframe_request(),
        "there is none to come"
    );
    let status = worker.status.borrow().clone();
    assert!(status.sound_level.unwrap().decibels > -40.0);
    assert!(status.counters.slate_pictures > 250);
}

#[test]
fn without_a_slate_the_freeze_goes_on_until_one_is_there() {
    let (sender, receiver) = watch::channel(None);
    let mut worker = Worker::with_slate(Instant::now(), receiver);
    worker.engine.handle_source_started(BOTH, worker.start);
    let script = studio(1, Weather::default());
    worker.play(&script[..600].to_vec(), Duration::ZERO);
    let gone = script[599].0;
    worker.engine.handle_source_ended(worker.start + gone);
    worker.wait(gone + ms(60_000));
    assert_eq!(worker.status.borrow().showing, Showing::Freeze);
    assert!(worker.status.borrow().counters.freeze_pictures > 1_700);

    sender.send_replace(Some(slate(false)));
    worker.wait(gone + ms(60_040));
    assert_eq!(worker.status.borrow().showing, Showing::Slate);

    // Another one takes over where the loop begins again; none takes nothing away.
    sender.send_replace(None);
    worker.wait(gone + ms(62_500));
    assert_eq!(worker.status.borrow().showing, Showing::Slate);
    sender.send_replace(Some(slate(true)));
    worker.wait(gone + ms(64_500));

    check_continuity(&worker.units).unwrap();
    let silent = worker
        .units
        .iter()
        .filter(|unit| Arc::ptr_eq(&unit.config, &slate(false).config));
    assert_eq!(silent.count() % 25, 0);
    assert!(Arc::ptr_eq(
        &worker
            .units
            .iter()
            .rfind(|unit| unit.kind() == TrackKind::Video)
            .unwrap()
            .config,
        &slate(true).config
    ));
}

#[test]
fn nothing_stands_in_before_there_was_a_picture() {
    let (mut worker, _slate) = with_slate(true);
    let script = without_picture(studio(1, Weather::default()), Duration::ZERO, ms(60_000));
    worker.play(&script, Duration::ZERO);
    worker.wait(ms(13_000));

    assert_eq!(worker.status.borrow().showing, Showing::Studio);
    worker.engine.handle_source_ended(worker.start + ms(13_000));
    worker.wait(ms(20_000));

    assert_eq!(times(&worker.units, TrackKind::Video).len(), 0);
    assert_eq!(worker.status.borrow().showing, Showing::Nothing);
    assert_eq!(worker.status.borrow().counters.freezes, 0);
}

#[test]
fn a_worker_that_is_late_sends_no_burst_and_leaves_no_pause() {
    let (mut worker, _slate) = with_slate(true);
    let script = studio(1, Weather::default());
    worker.play(&script[..600].to_vec(), Duration::ZERO);
    let mut time = script[599].0;
    worker.engine.handle_source_ended(worker.start + time);
    for (pause, most) in [
        (300, 1),
        (300, 1),
        (300, 1),
        (850, 1),
        (2_000, 5),
        (300, 1),
        (4_000, 9),
        (20, 1),
    ] {
        let before = times(&worker.units, TrackKind::Video).len();
        time += ms(pause);
        worker.engine.handle_timeout(worker.start + time);
        worker.read();
        let brought = times(&worker.units, TrackKind::Video).len() - before;
        assert!(
            (usize::from(pause > 100)..=most).contains(&brought),
            "{brought} after {pause} ms"
        );
    }
    let pictures = times(&worker.units, TrackKind::Video);
    assert!(steps(&pictures).iter().all(|step| *step < ms(1_000)));
    assert!(
        times(&worker.units, TrackKind::Audio)
            .windows(2)
            .all(|pair| pair[0] < pair[1])
    );
}

#[test]
fn a_stand_in_wakes_the_worker_as_often_as_it_has_pictures() {
    let (mut worker, _slate) = with_slate(true);
    let script = studio(1, Weather::default());
    worker.play(&script[..600].to_vec(), Duration::ZERO);
    let gone = script[599].0;
    worker.engine.handle_source_ended(worker.start + gone);
    let before = worker.wakes;
    worker.wait(gone + ms(10_000));

    let pictures = worker
        .units
        .iter()
        .filter(|unit| is_frozen(unit) || is_slate(unit))
        .count();
    assert!(
        worker.wakes - before <= pictures + 2,
        "{} for {pictures}",
        worker.wakes - before
    );
}

#[test]
fn what_cannot_be_frozen_gives_way_to_the_slate_at_once() {
    let now = Instant::now();
    let (sender, receiver) = watch::channel(None);
    let mut continuity = Continuity::new(receiver, Some(ms(2_000)));
    let config = slate(false).config.clone();
    // A picture of nothing but a delimiter.
    let data = bytes::Bytes::from_static(&[0, 0, 0, 2, 9, 0xf0]);
    assert_eq!(continuity.handle_picture(0, &config, &data, now), None);

    assert!(continuity.poll(0, now + ms(499)).is_none());
    assert!(continuity.poll(0, now + ms(500)).is_none());
    assert_eq!(continuity.showing(), Showing::Nothing);
    assert_eq!(continuity.poll_timeout(), Some(now + ms(1_000)));
    sender.send_replace(Some(slate(false)));
    assert!(continuity.poll(0, now + ms(1_000)).unwrap().keyframe);
    assert_eq!(continuity.showing(), Showing::Slate);
    assert_eq!(
        continuity.handle_picture(2_000_000_000, &config, &data, now + ms(2_000)),
        Some(ms(2_000))
    );
}

#[test]
fn without_a_slate_the_freeze_ends_after_a_minute() {
    let now = Instant::now();
    let (_sender, receiver) = watch::channel(Some(slate(false)));
    let mut continuity = Continuity::new(receiver, None);
    let picture = &coded_pictures()[0];
    let set = |kind| {
        picture
            .nals
            .iter()
            .find(|nal| nal[0] & 0x1f == kind)
            .unwrap()
    };
    let config = described::video_config(set(7), set(8)).unwrap();
    let config = Arc::new(media::CodecConfig::Avc(config));
    continuity.handle_picture(0, &config, &picture.data, now);
    let mut latest = 0;
    while let Some(due) = continuity.poll_timeout() {
        let Some(substitute) = continuity.poll(latest, due) else {
            continue;
        };
        assert!(!substitute.keyframe && substitute.place > latest);
        latest = substitute.place;
    }
    assert_eq!(continuity.showing(), Showing::Nothing);
    assert!((59_900_000_000..=60_000_000_000).contains(&latest));
}
