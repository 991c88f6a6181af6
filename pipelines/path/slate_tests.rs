//! Slates for tests, and what a platform would make of all that goes out.
#![expect(clippy::cast_possible_truncation, reason = "test media is small")]

use std::{
    fmt::Write as _,
    io::{Read, Write},
    process::{Command, Stdio},
    sync::OnceLock,
};

use bytes::Bytes;
use media::{CodecConfig, StandInPicture};
use opus::{Application, Channels};

use super::{
    described::video_config,
    tests::{ffmpeg, split_pictures},
    *,
};

pub(super) const SLATE_INTERVAL: Duration = Duration::from_millis(40);

/// One second of 25 pictures of a size of its own, with or without a tone.
pub(super) fn slate(has_sound: bool) -> Arc<StandIn> {
    static SLATES: [OnceLock<Arc<StandIn>>; 2] = [const { OnceLock::new() }; 2];
    let make = || Arc::new(make_slate(has_sound));
    Arc::clone(SLATES[usize::from(has_sound)].get_or_init(make))
}

fn make_slate(has_sound: bool) -> StandIn {
    let arguments = "-f lavfi -i testsrc=s=256x144:r=25 -frames:v 25 -c:v libx264 -profile:v baseline -pix_fmt yuv420p \
                     -g 25 -bf 0 -sc_threshold 0 -aud 1 -threads 1 -f h264 -";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let pictures = split_pictures(&ffmpeg(&arguments, Vec::new()));
    let set = |kind| pictures[0].nals.iter().find(|nal| nal[0] & 0x1f == kind);
    let config = video_config(set(7).unwrap(), set(8).unwrap()).unwrap();
    let mut encoder = opus::Encoder::new(48_000, Channels::Stereo, Application::Audio).unwrap();
    let sound = (0..50).map(|packet| {
        let tone =
            |sample: u16| (f32::from(sample) * 440.0 * std::f32::consts::TAU / 48_000.0).sin();
        let block: Vec<f32> = (packet * 960..(packet + 1) * 960)
            .flat_map(|sample| [tone(sample) * 0.4; 2])
            .collect();
        Bytes::from(encoder.encode_vec_float(&block, 1_500).unwrap())
    });
    StandIn {
        config: Arc::new(CodecConfig::Avc(config)),
        pictures: pictures
            .iter()
            .map(|picture| StandInPicture {
                keyframe: picture.keyframe,
                data: picture.data.clone(),
            })
            .collect(),
        picture_interval: SLATE_INTERVAL,
        sound: if has_sound {
            sound.collect()
        } else {
            Vec::new()
        },
    }
}

/// Units in a file, with a new sequence header wherever a configuration is another than before.
fn flash_video(units: &[AccessUnit]) -> Vec<u8> {
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    let mut put = |kind: u8, timestamp: Duration, prefix: &[u8], body: &[u8]| {
        let (size, milliseconds) = (prefix.len() + body.len(), timestamp.as_millis() as u32);
        file.push(kind);
        file.extend_from_slice(&(size as u32).to_be_bytes()[1..]);
        file.extend_from_slice(&milliseconds.to_be_bytes()[1..]);
        file.extend_from_slice(&[(milliseconds >> 24) as u8, 0, 0, 0]);
        file.extend_from_slice(prefix);
        file.extend_from_slice(body);
        file.extend_from_slice(&(size as u32 + 11).to_be_bytes());
    };
    let mut known: [Option<Arc<CodecConfig>>; 2] = [None, None];
    for unit in units {
        let known = &mut known[usize::from(unit.kind() == TrackKind::Audio)];
        let is_new = known.as_ref() != Some(&unit.config);
        *known = Some(Arc::clone(&unit.config));
        match &*unit.config {
            CodecConfig::Avc(config) => {
                if is_new {
                    put(
                        9,
                        unit.timestamp,
                        &[0x17, 0, 0, 0, 0],
                        &config.decoder_configuration,
                    );
                }
                let kind = if unit.keyframe { 0x17 } else { 0x27 };
                put(9, unit.timestamp, &[kind, 1, 0, 0, 0], &unit.data);
            }
            CodecConfig::Aac(config) => {
                if is_new {
                    put(8, unit.timestamp, &[0xaf, 0], &config.audio_specific_config);
                }
                put(8, unit.timestamp, &[0xaf, 1], &unit.data);
            }
        }
    }
    file
}

/// A checksum of each picture as decoded, in order. Any complaint of the decoder's fails the test.
pub(super) fn decode_all(units: &[AccessUnit]) -> Vec<String> {
    let arguments = "-v warning -xerror -err_detect explode -f flv -i - -map 0:a -f null - -map 0:v -fps_mode passthrough \
                     -autoscale 0 -c:v rawvideo -f framemd5 -";
    let mut child = Command::new("ffmpeg")
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let file = flash_video(units);
    let writer = std::thread::spawn(move || stdin.write_all(&file));
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let mut complaints = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut complaints)
        .unwrap();
    assert_eq!(complaints, "");
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    let lines = reader.join().unwrap().unwrap();
    lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

/// What must hold of all that goes out, whatever the studio did.
pub(super) fn check_continuity(units: &[AccessUnit]) -> Result<(), String> {
    let pictures: Vec<&AccessUnit> = units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Video)
        .collect();
    let mut problems = String::new();
    for pair in pictures.windows(2) {
        let gap = pair[1].timestamp.saturating_sub(pair[0].timestamp);
        if gap < Duration::from_millis(1) || gap > Duration::from_secs(1) {
            let _ = writeln!(problems, "a gap of {gap:?} at {:?}", pair[0].timestamp);
        }
        if !Arc::ptr_eq(&pair[0].config, &pair[1].config) && !pair[1].keyframe {
            let _ = writeln!(problems, "no keyframe at {:?}", pair[1].timestamp);
        }
    }
    let sounds: Vec<u128> = units
        .iter()
        .filter(|unit| unit.kind() == TrackKind::Audio)
        .map(|unit| unit.timestamp.as_nanos())
        .collect();
    for pair in sounds.windows(2) {
        if !(21_333_333..=21_333_334).contains(&(pair[1] - pair[0])) {
            let _ = writeln!(problems, "sound at {} then {}", pair[0], pair[1]);
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}
