//! A show that `FFmpeg` made, and what it sees and hears of a recording: white and a beep in the first tenth of each second.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use media::{AccessUnit, AudioConfig, CodecConfig, Fanout, VideoConfig};

const PICTURES: &str =
    "color=black:size=320x180:rate=30,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.099)'";

const SOUND: &str = "aevalsrc='if(lt(mod(t,1),0.1),0.8*sin(2*PI*1000*t),0)':sample_rate=48000:channel_layout=stereo";

pub(super) fn ffmpeg(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    ffmpeg.stdin.take().unwrap().write_all(input).unwrap();
    ffmpeg.wait_with_output().unwrap().stdout
}

/// The access units of so many seconds.
pub(super) fn show(seconds: u32) -> Vec<AccessUnit> {
    let length = seconds.to_string();
    let flv = ffmpeg(
        &[
            "-f",
            "lavfi",
            "-i",
            PICTURES,
            "-f",
            "lavfi",
            "-i",
            SOUND,
            "-t",
            &length,
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-pix_fmt",
            "yuv420p",
            "-g",
            "30",
            "-profile:v",
            "baseline",
            "-c:a",
            "aac",
            "-b:a",
            "128k",
            "-f",
            "flv",
            "-",
        ],
        &[],
    );
    units(&flv)
}

/// Reads FLV (Adobe's specification, annex E): a head, and tags behind the length of the one before.
fn units(flv: &[u8]) -> Vec<AccessUnit> {
    let (mut rest, mut units) = (&flv[9..], Vec::new());
    let (mut video, mut audio) = (None, None);
    while let Some((head, tail)) = rest.get(4..).and_then(|rest| rest.split_at_checked(11)) {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let (body, tail) = tail.split_at(number(&head[1..4]));
        rest = tail;
        let time = u64::try_from(number(&[head[7], head[4], head[5], head[6]])).unwrap();
        let timestamp = Duration::from_millis(time);
        let (config, keyframe, data) = match (head[0], body) {
            (9, [_, 0, _, _, _, record @ ..]) => {
                video = Some(Arc::new(CodecConfig::Avc(VideoConfig {
                    decoder_configuration: Bytes::copy_from_slice(record),
                    width: 320,
                    height: 180,
                })));
                continue;
            }
            (9, [flags, 1, _, _, _, data @ ..]) => (&video, flags >> 4 == 1, data),
            (8, [_, 0, config @ ..]) => {
                audio = Some(Arc::new(CodecConfig::Aac(AudioConfig {
                    audio_specific_config: Bytes::copy_from_slice(config),
                    sample_rate_hz: 48_000,
                    channels: 2,
                })));
                continue;
            }
            (8, [_, 1, data @ ..]) => (&audio, true, data),
            _ => continue,
        };
        units.push(AccessUnit {
            timestamp,
            keyframe,
            config: config.clone().unwrap(),
            data: Bytes::copy_from_slice(data),
        });
    }
    units
}

/// Gives a show to readers at its own pace.
pub(super) async fn play(fanout: &mut Fanout, units: &[AccessUnit], from: Duration) {
    let begun = tokio::time::Instant::now();
    for unit in units {
        tokio::time::sleep_until(begun + unit.timestamp).await;
        fanout.push(AccessUnit {
            timestamp: from + unit.timestamp,
            ..unit.clone()
        });
    }
}

/// What a recording shows.
pub(super) struct Seen {
    pub(super) pictures: usize,
    /// Where flashes begin, in seconds.
    pub(super) flashes: Vec<f64>,
    /// Where beeps begin, in seconds.
    pub(super) beeps: Vec<f64>,
}

/// Decodes a recording.
pub(super) fn see(recording: &Path) -> Seen {
    let file = recording.to_str().unwrap();
    let pictures = ffmpeg(
        &[
            "-i",
            file,
            "-vf",
            "fps=30:start_time=0,scale=2:2,format=gray",
            "-f",
            "rawvideo",
            "-",
        ],
        &[],
    );
    let sound = ffmpeg(
        &[
            "-i",
            file,
            "-af",
            "aresample=8000:async=1:first_pts=0",
            "-ac",
            "1",
            "-f",
            "s16le",
            "-",
        ],
        &[],
    );
    let luma: Vec<bool> = pictures
        .chunks_exact(4)
        .map(|picture| picture[0] > 130)
        .collect();
    // Blocks of 5 ms.
    let loud: Vec<bool> = sound
        .chunks_exact(80)
        .map(|block| {
            let samples = block.as_chunks::<2>().0.iter();
            samples
                .map(|sample| i16::from_le_bytes(*sample).unsigned_abs())
                .max()
                > Some(5_000)
        })
        .collect();
    Seen {
        pictures: luma.len(),
        flashes: beginnings(&luma, 1.0 / 30.0),
        beeps: beginnings(&loud, 0.005),
    }
}

fn beginnings(row: &[bool], step: f64) -> Vec<f64> {
    let begins = (1..)
        .zip(row.windows(2))
        .filter(|(_, pair)| !pair[0] && pair[1]);
    begins.map(|(number, _)| f64::from(number) * step).collect()
}
