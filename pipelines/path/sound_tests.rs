#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "test signals are small"
)]

use bytes::Bytes;
use opus::{Application, Channels};

use super::*;
use crate::audio::XaacEncoder;

/// An encoder that keeps what it gets, so that a test can look at the samples.
#[derive(Clone, Default)]
struct Tape(Arc<std::sync::Mutex<Vec<i16>>>);

impl Tape {
    fn record(&self, samples: &[i16]) {
        self.0.lock().unwrap().extend_from_slice(samples);
    }
}

impl AacEncoder for Tape {
    fn encode(&mut self, samples: &[i16]) -> Result<Bytes, EncoderError> {
        assert_eq!(samples.len(), FRAME_SAMPLES * CHANNELS);
        self.record(samples);
        Ok(Bytes::from_static(b"frame"))
    }

    fn audio_specific_config(&mut self) -> Result<Bytes, EncoderError> {
        Ok(Bytes::from_static(&[0x11, 0x90]))
    }

    fn delay(&self) -> usize {
        1_600
    }
}

/// Packets of 20 ms of a tone.
fn packets(count: usize) -> Vec<Vec<u8>> {
    let mut encoder = opus::Encoder::new(48_000, Channels::Stereo, Application::Audio).unwrap();
    (0..count)
        .map(|packet| {
            let block: Vec<f32> = (packet * 960..(packet + 1) * 960)
                .flat_map(|sample| {
                    [(sample as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin() * 0.5; 2]
                })
                .collect();
            encoder.encode_vec_float(&block, 1_500).unwrap()
        })
        .collect()
}

fn place(sound: &mut Sound, payload: &[u8], place: Samples, follows_loss: bool) {
    sound
        .place(&PlacedPacket {
            payload,
            place,
            follows_loss,
        })
        .unwrap();
}

fn on_tape() -> (Sound, Tape) {
    let tape = Tape::default();
    (Sound::new(Box::new(tape.clone())), tape)
}

/// Root mean square of each 10 ms of the left channel.
fn loudness(tape: &Tape) -> Vec<f64> {
    let samples = tape.0.lock().unwrap();
    samples
        .chunks_exact(960)
        .map(|block| {
            (block
                .iter()
                .step_by(2)
                .map(|&sample| f64::from(sample).powi(2))
                .sum::<f64>()
                / 480.0)
                .sqrt()
        })
        .collect()
}

#[test]
fn frames_lie_on_a_grid_that_begins_before_the_first_sample_by_the_delay() {
    let mut sound = Sound::new(Box::new(XaacEncoder::new(160_000)));
    for (number, payload) in packets(50).iter().enumerate() {
        place(&mut sound, payload, 48_000 + 960 * number as Samples, false);
    }

    let units: Vec<AccessUnit> = sound.drain().collect();

    assert_eq!(units.len(), 50 * 960 / 1_024);
    for (number, unit) in units.iter().enumerate() {
        let samples = 48_000 + 1_024 * number as u64 - 1_600 - 312;
        assert_eq!(unit.timestamp, Duration::from_nanos(samples * 125_000 / 6));
        assert!(Arc::ptr_eq(&unit.config, &units[0].config));
    }
}

#[test]
fn a_lost_packet_is_made_up_and_the_grid_keeps_its_step() {
    let (mut sound, tape) = on_tape();
    for (number, payload) in packets(50).iter().enumerate() {
        if number != 20 {
            place(&mut sound, payload, 960 * number as Samples, number == 21);
        }
    }

    assert_eq!(sound.head(), Some(48_000));
    assert_eq!(sound.counters().concealed_samples, 960);
    assert!(
        loudness(&tape)[2..].iter().all(|&level| level > 4_000.0),
        "{:?}",
        loudness(&tape)
    );
}

#[test]
fn a_long_gap_fades_to_silence_and_is_as_long_as_it_was() {
    let (mut sound, tape) = on_tape();
    let packets = packets(100);
    for (number, payload) in packets.iter().enumerate() {
        let late = if number < 50 { 0 } else { 48_000 };
        place(&mut sound, payload, 960 * number as Samples + late, false);
    }

    assert_eq!(sound.head(), Some(96_000 + 48_000));
    let levels = loudness(&tape);
    assert!(
        levels[125..195].iter().all(|&level| level < 10.0),
        "{levels:?}"
    );
    assert!(levels[210..].iter().all(|&level| level > 4_000.0));
}

#[test]
fn jitter_in_timestamps_moves_no_sound() {
    let (mut sound, _) = on_tape();
    for (number, payload) in packets(100).iter().enumerate() {
        let jitter = [0, 300, -300, 479][number % 4];
        place(&mut sound, payload, 960 * number as Samples + jitter, false);
    }

    assert_eq!(sound.head(), Some(96_000));
    assert_eq!(sound.counters(), SoundCounters::default());
}

#[test]
fn sound_for_which_silence_has_been_made_is_cut() {
    let (mut sound, _) = on_tape();
    let packets = packets(10);
    place(&mut sound, &packets[0], 48_000, false);

    sound.fill_silence(48_000 + 960 * 4 + 100).unwrap();
    for (number, payload) in packets.iter().enumerate().skip(1) {
        place(&mut sound, payload, 48_000 + 960 * number as Samples, false);
    }

    // The last 100 samples are within the tolerance for jitter.
    assert_eq!(sound.head(), Some(57_600 + 100));
    assert_eq!(sound.late(), 0);
    assert_eq!(sound.counters().silent_frames, 3);
}

#[test]
fn a_gap_of_minutes_is_jumped_over_in_whole_frames() {
    let (mut sound, _) = on_tape();
    let packets = packets(2);
    place(&mut sound, &packets[0], 0, false);

    place(&mut sound, &packets[1], 480_000, false);

    assert_eq!(sound.head(), Some(480_960));
    assert!(sound.drain().count() < 5);
}
