use std::time::{Duration, Instant};

use media::{AccessUnit, MediaSink, TrackKind};
use opus::{Channels, Decoder};
use proptest::prelude::*;
use tokio::sync::watch;

use super::*;
use crate::path::{
    slate_player::SlatePlayer,
    tests::{BOTH, Weather, Worker, coded_sounds, decode_sound, studio},
};

/// A packet of 20 ms, as browsers send them.
const PACKET: Bytes = Bytes::from_static(&[0xfc, 1, 2, 3]);

/// One of 60 ms: three frames of 20 ms.
const LONG_PACKET: Bytes = Bytes::from_static(&[0xff, 3, 1, 1, 1]);

fn outlet() -> (OpusOutlet, OpusReader) {
    let outlet = OpusOutlet::new();
    let reader = outlet.subscriber().reader();
    (outlet, reader)
}

fn read(reader: &mut OpusReader) -> Vec<OpusPacket> {
    std::iter::from_fn(|| reader.packets.try_recv().ok()).collect()
}

fn places(packets: &[OpusPacket]) -> Vec<u64> {
    packets.iter().map(|packet| packet.place).collect()
}

#[test]
fn silence_is_no_sound_of_twenty_milliseconds() {
    let mut decoder = Decoder::new(SAMPLE_RATE_HZ, Channels::Stereo).unwrap();
    let mut samples = vec![1; 5_760 * 2];

    let count = decoder.decode(&SILENCE, &mut samples, false).unwrap();

    assert_eq!(Samples::try_from(count).unwrap(), SILENCE_SAMPLES);
    assert!(samples[..count * 2].iter().all(|&sample| sample == 0));
}

#[test]
fn nothing_is_made_while_nobody_reads() {
    let mut outlet = OpusOutlet::new();
    outlet.place(480_000, false, &PACKET);
    outlet.fill(500_000, None);
    let mut reader = outlet.subscriber().reader();

    outlet.place(960_000, false, &PACKET);

    assert_eq!(places(&read(&mut reader)), [960_000]);
}

#[test]
fn packets_adjoin_whatever_rounding_and_jitter_do_to_their_places() {
    let (mut outlet, mut reader) = outlet();

    for place in [1_000, 1_961, 2_919, 3_900, 4_840] {
        outlet.place(place, false, &PACKET);
    }

    let expected = [1_000, 1_960, 2_920, 3_880, 4_840];
    assert_eq!(places(&read(&mut reader)), expected);
}

#[test]
fn a_lost_packet_leaves_a_gap_of_its_length() {
    let (mut outlet, mut reader) = outlet();
    outlet.place(1_000, false, &LONG_PACKET);

    outlet.place(1_000 + 2 * 2_880 + 1, true, &LONG_PACKET);

    assert_eq!(places(&read(&mut reader)), [1_000, 1_000 + 2 * 2_880]);
}

#[test]
fn a_packet_that_comes_too_late_is_left_out() {
    let (mut outlet, mut reader) = outlet();
    outlet.fill(0, None);
    outlet.fill(9_600, None);
    read(&mut reader);

    outlet.place(9_600 - 480, false, &PACKET);
    outlet.place(9_600 + 480 - 1, false, &PACKET);

    assert_eq!(places(&read(&mut reader)), [9_600]);
}

#[test]
fn silence_fills_what_nobody_sends_and_jumps_what_is_long_past() {
    let (mut outlet, mut reader) = outlet();
    outlet.place(0, false, &PACKET);
    outlet.fill(960 + 2 * 960 + 100, None);
    outlet.fill(960 + 2 * 960 + 19_201, None);

    let packets = read(&mut reader);

    assert_eq!(places(&packets), [0, 960, 1_920, 960 + 19_201 + 960]);
    assert!(packets[1..].iter().all(|packet| packet.data == SILENCE));
}

#[test]
fn a_slates_own_packets_go_round_and_round() {
    let slate = crate::path::slate_tests::slate(true);
    let mut player = SlatePlayer::new(&slate).unwrap();
    let (mut outlet, mut reader) = outlet();
    outlet.fill(0, player.sound());

    for number in 1..=60 {
        outlet.fill(number * 960, player.sound());
    }

    let heard: Vec<Bytes> = read(&mut reader).into_iter().map(|one| one.data).collect();
    let expected: Vec<Bytes> = slate.sound.iter().cycle().take(60).cloned().collect();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn a_reader_that_is_too_slow_loses_the_oldest() {
    let (mut outlet, mut reader) = outlet();

    for number in 0..130 {
        outlet.place(number * 960, false, &PACKET);
    }

    assert_eq!(
        reader.next().await.map(|packet| packet.place),
        Some(2 * 960)
    );
}

#[tokio::test]
async fn readers_end_with_the_media_path() {
    let (mut outlet, mut reader) = outlet();
    let subscriber = outlet.subscriber();
    outlet.place(0, false, &PACKET);
    drop(outlet);

    assert!(reader.next().await.is_some());
    assert_eq!(reader.next().await, None);
    assert_eq!(subscriber.reader().next().await, None);
}

/// Plays a studio, an absence of five seconds with a slate, and the studio again; returns what came out.
fn play_twice() -> (Vec<OpusPacket>, Vec<AccessUnit>) {
    let slate = crate::path::slate_tests::slate(true);
    let start = Instant::now();
    let mut worker = Worker::with_slate(start, watch::channel(Some(slate)).1);
    let mut reader = worker.engine.opus().reader();
    let mut packets = Vec::new();
    let weather = Weather {
        lost: 0.05,
        repaired: true,
        duplicated: 0.02,
        jitter: Duration::from_millis(10),
    };
    let script = studio(7, weather);
    for begin in [0, 18] {
        let begin = Duration::from_secs(begin);
        // The queue is bounded: it is read as often as a task would.
        for hundredths in 0..=50 {
            let time = begin + Duration::from_millis(hundredths * 100);
            worker.wait(time.saturating_sub(PAUSE));
            packets.extend(read(&mut reader));
        }
        worker.engine.handle_source_started(BOTH, start + begin);
        for second in script.chunk_by(|one, next| one.0.as_secs() == next.0.as_secs()) {
            worker.play(&second.to_vec(), begin);
            packets.extend(read(&mut reader));
        }
        worker.wait(begin + Duration::from_secs(13));
        let now = start + begin + Duration::from_secs(13);
        worker.engine.handle_source_ended(now);
        packets.extend(read(&mut reader));
    }
    (packets, worker.units)
}

/// How long the studio is away.
const PAUSE: Duration = Duration::from_secs(5);

/// When each tone of the studio's begins to be heard, in seconds on the timeline.
#[expect(clippy::cast_precision_loss, reason = "test signals are small")]
fn tones(samples: &[(u64, f32)]) -> Vec<f64> {
    let mut tones: Vec<f64> = Vec::new();
    for &(place, sample) in samples {
        let time = place as f64 / 48_000.0;
        if sample.abs() > 0.45 && tones.last().is_none_or(|latest| time > latest + 0.5) {
            tones.push(time);
        }
    }
    tones
}

#[test]
fn opus_is_heard_when_the_same_sound_is_heard_as_aac() {
    let (packets, units) = play_twice();

    let mut decoder = Decoder::new(SAMPLE_RATE_HZ, Channels::Stereo).unwrap();
    let mut opus = Vec::new();
    for packet in &packets {
        let mut samples = vec![0.0; 5_760 * 2];
        let count = decoder
            .decode_float(&packet.data, &mut samples, false)
            .unwrap();
        let left = samples[..count * 2].iter().step_by(2);
        // What a decoder delays, a player that knows of it makes up for.
        opus.extend((packet.place.saturating_sub(312)..).zip(left.copied()));
    }
    let sounds: Vec<&AccessUnit> = units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Audio)
        .collect();
    let begin = u64::try_from(sounds[0].timestamp.as_nanos() * 6 / 125_000).unwrap();
    let aac: Vec<(u64, f32)> = (begin..).zip(decode_sound(&sounds)).collect();
    let (opus, aac) = (tones(&opus), tones(&aac));
    // The very first is in the codecs' run-up; the slate's have no end.
    let is_studios = |tone: &f64| (0.5..12.5).contains(tone) || *tone > 17.9;
    let studios: Vec<f64> = opus.into_iter().filter(is_studios).collect();
    assert!(studios.len() >= 23, "{studios:?}");
    for tone in &studios {
        let apart = aac.iter().map(|other| (other - tone).abs());
        let nearest = apart.fold(f64::INFINITY, f64::min);
        assert!(nearest < 0.003, "{tone} s: {nearest} s from {aac:?}");
    }
}

#[test]
fn the_row_of_packets_is_the_studios_then_silence_then_the_slates_then_the_studios() {
    let (packets, _) = play_twice();

    // The studio's own packets of silence are as ours.
    let slate = crate::path::slate_tests::slate(true);
    let data: Vec<Bytes> = packets.iter().map(|packet| packet.data.clone()).collect();
    let (first, rest) = data.split_at(coded_sounds().len());
    assert!(first == coded_sounds());
    let silent = rest.iter().take_while(|&data| *data == SILENCE).count();
    assert!((50..175).contains(&silent), "{silent}");
    let rest = &rest[silent..];
    let count = rest
        .iter()
        .take_while(|&data| slate.sound.contains(data))
        .count();
    let (slates, rest) = rest.split_at(count);
    assert!(slates.len() > 100, "{}", slates.len());
    assert!(slates.iter().eq(slate.sound.iter().cycle().take(count)));
    let (second, rest) = rest.split_at(coded_sounds().len());
    assert!(second == coded_sounds());
    assert!(rest.iter().all(|data| *data == SILENCE));
    let gaps = packets.windows(2).filter(|pair| {
        let length = u64::try_from(length(&pair[0].data).unwrap()).unwrap();
        pair[1].place != pair[0].place + length
    });
    // To the silence, from the slate to the studio.
    assert!(gaps.count() <= 3);
}

proptest! {
    #[test]
    fn places_never_go_back(calls: Vec<(bool, i32, Vec<u8>)>) {
        let (mut outlet, mut reader) = outlet();
        let mut end = 0;
        for (is_packet, place, data) in calls {
            let place = Samples::from(place);
            if is_packet {
                outlet.place(place, data.len() % 2 == 0, &data.into());
            } else {
                outlet.fill(place, None);
            }
            for packet in read(&mut reader) {
                prop_assert!(packet.place >= end);
                end = packet.place + u64::try_from(length(&packet.data).unwrap()).unwrap();
            }
        }
    }
}
