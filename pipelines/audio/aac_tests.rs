#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "test signals are small"
)]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use opus::{Application, Channels};

use super::*;
use crate::audio::OpusDecoder;

const SECONDS: usize = 2;

/// libopus hands a sound out this many samples after the timestamp at which it went in.
const OPUS_LOOKAHEAD: usize = 312;

/// Opus and AAC and back, as a destination would hear it. Left and right are functions of the sample's number.
fn through_both_codecs(
    bits_per_second: u32,
    left: impl Fn(usize) -> f32,
    right: impl Fn(usize) -> f32,
) -> Vec<[f32; 2]> {
    let mut opus = opus::Encoder::new(48_000, Channels::Stereo, Application::Audio).unwrap();
    opus.set_bitrate(opus::Bitrate::Bits(128_000)).unwrap();
    assert_eq!(
        usize::try_from(opus.get_lookahead().unwrap()),
        Ok(OPUS_LOOKAHEAD)
    );
    let mut decoder = OpusDecoder::new().unwrap();
    let mut encoder = XaacEncoder::new(bits_per_second);
    let config = encoder.audio_specific_config().unwrap();
    let mut samples = Vec::new();
    let mut adts = Vec::new();

    for packet in 0..SECONDS * 50 {
        let block: Vec<f32> = (packet * 960..(packet + 1) * 960)
            .flat_map(|number| [left(number), right(number)])
            .collect();
        let payload = opus.encode_vec_float(&block, 1_500).unwrap();
        samples.extend_from_slice(decoder.decode(&payload).samples);
        while samples.len() >= FRAME_SAMPLES * CHANNELS {
            let frame = encoder
                .encode(&samples[..FRAME_SAMPLES * CHANNELS])
                .unwrap();
            samples.drain(..FRAME_SAMPLES * CHANNELS);
            adts.extend_from_slice(&adts_header(&config, frame.len()));
            adts.extend_from_slice(&frame);
        }
    }
    decode_by_ffmpeg(adts)
}

fn adts_header(config: &[u8], frame: usize) -> [u8; 7] {
    assert_eq!(config, [0x11, 0x90], "AAC-LC, 48 kHz, stereo");
    let length = frame + 7;
    [
        0xff,
        0xf1,
        0x4c,
        0x80 | (length >> 11) as u8,
        (length >> 3) as u8,
        (length << 5) as u8 | 0x1f,
        0xfc,
    ]
}

fn decode_by_ffmpeg(adts: Vec<u8>) -> Vec<[f32; 2]> {
    let mut ffmpeg = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "aac",
            "-i",
            "-",
            "-f",
            "f32le",
            "-c:a",
            "pcm_f32le",
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = ffmpeg.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&adts));
    let output = ffmpeg.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output
        .stdout
        .chunks_exact(8)
        .map(|pair| [0, 4].map(|at| f32::from_le_bytes(pair[at..at + 4].try_into().unwrap())))
        .collect()
}

/// Root mean square of a channel at a frequency (Goertzel), over the second second.
fn level(heard: &[[f32; 2]], channel: usize, hertz: f32) -> f32 {
    let part = &heard[48_000..90_000];
    let (mut real, mut imaginary) = (0.0_f64, 0.0_f64);
    for (number, pair) in part.iter().enumerate() {
        let angle = f64::from(hertz) * std::f64::consts::TAU * number as f64 / 48_000.0;
        real += f64::from(pair[channel]) * angle.cos();
        imaginary += f64::from(pair[channel]) * angle.sin();
    }
    (real.hypot(imaginary) * 2.0 / part.len() as f64 / std::f64::consts::SQRT_2) as f32
}

fn sine(hertz: f32, amplitude: f32) -> impl Fn(usize) -> f32 {
    move |number| (number as f32 * hertz * std::f32::consts::TAU / 48_000.0).sin() * amplitude
}

fn decibels(ratio: f32) -> f32 {
    20.0 * ratio.log10()
}

#[test]
fn pitch_level_and_channels_survive_both_codecs() {
    for bits_per_second in [160_000, 192_000] {
        let heard = through_both_codecs(bits_per_second, sine(997.0, 0.5), sine(3_001.0, 0.25));

        let left = decibels(level(&heard, 0, 997.0) / (0.5 / std::f32::consts::SQRT_2));
        let right = decibels(level(&heard, 1, 3_001.0) / (0.25 / std::f32::consts::SQRT_2));
        let leaked = [
            level(&heard, 0, 3_001.0) / level(&heard, 1, 3_001.0),
            level(&heard, 1, 997.0) / level(&heard, 0, 997.0),
        ];
        assert!(left.abs() < 1.0, "left is off by {left} dB");
        assert!(right.abs() < 1.0, "right is off by {right} dB");
        assert!(
            leaked.iter().all(|&ratio| decibels(ratio) < -30.0),
            "channels leak: {leaked:?}"
        );
    }
}

#[test]
fn a_click_is_heard_when_the_delays_say() {
    let click = 60_000;
    let impulse = move |number| {
        if (click..click + 48).contains(&number) {
            0.9
        } else {
            0.0
        }
    };

    let heard = through_both_codecs(160_000, impulse, impulse);

    let (loudest, _) = heard
        .iter()
        .enumerate()
        .max_by(|(_, one), (_, other)| one[0].abs().total_cmp(&other[0].abs()))
        .unwrap();
    let expected = click + 24 + OPUS_LOOKAHEAD + XaacEncoder::new(160_000).delay();
    let off = loudest.abs_diff(expected);
    assert!(off < 240, "heard at {loudest}, expected at {expected}");
}

#[test]
fn every_frame_has_the_size_of_the_bitrate_on_average() {
    let mut encoder = XaacEncoder::new(160_000);
    let noise =
        |number: usize| (number as u32).wrapping_mul(2_654_435_761).wrapping_shr(17) as i16 / 8;
    let mut bytes = 0;

    for block in 0..470 {
        let samples: Vec<i16> = (0..2_048)
            .map(|number| noise(block * 2_048 + number))
            .collect();
        let frame = encoder.encode(&samples).unwrap();
        assert!(!frame.is_empty());
        bytes += frame.len();
    }

    let bits_per_second = bytes as f64 * 8.0 / (470.0 * 1_024.0 / 48_000.0);
    assert!(
        (bits_per_second / 160_000.0 - 1.0).abs() < 0.03,
        "{bits_per_second}"
    );
}

#[test]
fn an_encoder_works_on_whatever_thread_it_is() {
    let mut encoder = XaacEncoder::new(160_000);
    encoder.encode(&[0; 2_048]).unwrap();

    let frame = std::thread::spawn(move || encoder.encode(&[0; 2_048]).unwrap())
        .join()
        .unwrap();

    assert!(!frame.is_empty());
}

fn handles() -> (usize, usize) {
    HANDLES.with_borrow(|handles| (handles.taken.len(), handles.idle.len()))
}

#[test]
fn a_dropped_encoder_leaves_its_handle_to_the_next_of_its_bitrate() {
    let mut encoder = XaacEncoder::new(160_000);
    encoder.encode(&[0; 2_048]).unwrap();
    drop(encoder);
    assert_eq!(handles(), (0, 1));

    let mut other = XaacEncoder::new(192_000);
    other.encode(&[0; 2_048]).unwrap();
    assert_eq!(handles(), (1, 1));
    let mut next = XaacEncoder::new(160_000);
    next.encode(&[0; 2_048]).unwrap();

    assert_eq!(handles(), (2, 0));
}

#[test]
fn a_handle_whose_encoder_ended_elsewhere_is_used_again() {
    let mut encoder = XaacEncoder::new(160_000);
    encoder.encode(&[0; 2_048]).unwrap();
    std::thread::spawn(move || drop(encoder)).join().unwrap();
    assert_eq!(handles(), (1, 0));

    let mut next = XaacEncoder::new(160_000);
    next.encode(&[0; 2_048]).unwrap();

    assert_eq!(handles(), (1, 0));
}

#[test]
fn nothing_is_left_in_a_handle_of_what_it_was_used_for() {
    let mut encoder = XaacEncoder::new(160_000);
    for number in 0..20_i16 {
        encoder.encode(&[number * 1_000; 2_048]).unwrap();
    }
    drop(encoder);

    let mut next = XaacEncoder::new(160_000);
    let config = next.audio_specific_config().unwrap();
    let adts = (0..20).flat_map(|_| {
        let frame = next.encode(&[0; 2_048]).unwrap();
        [&adts_header(&config, frame.len())[..], &frame].concat()
    });

    assert!(
        decode_by_ffmpeg(adts.collect())
            .iter()
            .flatten()
            .all(|sample| sample.abs() < 1e-4)
    );
}

#[test]
fn wrong_block_lengths_are_refused() {
    let mut encoder = XaacEncoder::new(160_000);

    assert!(matches!(
        encoder.encode(&[0; 7]),
        Err(EncoderError::Encode(_))
    ));
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// Guards `libxaac/toolchain.cmake`: without it an encoder makes 57 MB resident, with it less than 1 MB.
#[test]
fn an_encoder_does_not_fill_its_memory_with_zeros() {
    const ENCODERS: usize = 8;
    /// Far from both, since other tests may run in this process.
    const MOST_KIB_EACH: u64 = 16 * 1024;
    let before = resident_kib();

    let mut encoders: Vec<XaacEncoder> = (0..ENCODERS).map(|_| XaacEncoder::new(160_000)).collect();
    for encoder in &mut encoders {
        encoder.encode(&[0; FRAME_SAMPLES * CHANNELS]).unwrap();
    }

    let grown = resident_kib().saturating_sub(before);
    assert!(
        grown < MOST_KIB_EACH * ENCODERS as u64,
        "{grown} KiB for {ENCODERS} encoders"
    );
}
