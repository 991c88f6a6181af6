//! Coded pictures made by `FFmpeg`, for tests and for measurements: it is the studio that we did not write.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use bytes::Bytes;
use media::{CodecConfig, VideoCodec, VideoConfig};

/// A picture as a studio would have coded it.
#[derive(Debug, Clone)]
pub(crate) struct Coded {
    pub(crate) keyframe: bool,
    pub(crate) config: Option<Arc<CodecConfig>>,
    pub(crate) data: Bytes,
}

/// Codes what `FFmpeg` reads by the arguments `input`, perhaps from `raw`. A keyframe is made every `group` pictures.
pub(crate) fn record(
    codec: VideoCodec,
    (width, height): (u32, u32),
    group: u32,
    input: &[&str],
    raw: Vec<u8>,
) -> Vec<Coded> {
    let group = group.to_string();
    let encoder: &[&str] = match codec {
        VideoCodec::H264 => &[
            "libx264",
            "-preset",
            "veryfast",
            "-tune",
            "zerolatency",
            "-profile:v",
            "baseline",
            "-sc_threshold",
            "0",
            "-f",
            "flv",
        ],
        VideoCodec::Vp8 => &[
            "libvpx",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-auto-alt-ref",
            "0",
            "-lag-in-frames",
            "0",
            "-f",
            "ivf",
        ],
        VideoCodec::Vp9 => &[
            "libvpx-vp9",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-auto-alt-ref",
            "0",
            "-lag-in-frames",
            "0",
            "-row-mt",
            "1",
            "-f",
            "ivf",
        ],
        VideoCodec::Av1 => &[
            "libaom-av1",
            "-usage",
            "realtime",
            "-cpu-used",
            "8",
            "-lag-in-frames",
            "0",
            "-row-mt",
            "1",
            "-f",
            "ivf",
        ],
    };
    let size = format!("{width}x{height}");
    let made = [
        "-pix_fmt",
        "yuv420p",
        "-s",
        &size,
        "-b:v",
        "5M",
        "-g",
        &group,
        "-keyint_min",
        &group,
        "-threads",
        "2",
        "-c:v",
    ];
    let output = piped(&[input, &made, encoder, &["-"]].concat(), raw);
    match codec {
        VideoCodec::H264 => flv(&output, (width, height)),
        VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1 => ivf(codec, &output),
    }
}

/// Runs `FFmpeg` from standard input to standard output.
pub(crate) fn piped(arguments: &[&str], input: Vec<u8>) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("FFmpeg starts");
    let mut stdin = ffmpeg.stdin.take().expect("there is a pipe");
    // A pipe that nobody reads any more is no failure.
    let feed = thread::spawn(move || stdin.write_all(&input));
    let output = ffmpeg.wait_with_output().expect("FFmpeg ends");
    let _ = feed.join();
    assert!(output.status.success(), "FFmpeg does {arguments:?}");
    output.stdout
}

/// A header of 32 bytes, then frames behind a length and a time.
fn ivf(codec: VideoCodec, file: &[u8]) -> Vec<Coded> {
    /// A temporal delimiter (AV1 § 5.6), which RTP leaves out.
    const DELIMITER: [u8; 2] = [0x12, 0];
    let mut rest = file.get(32..).unwrap_or_default();
    let mut pictures = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<12>() {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (mut data, tail) = tail.split_at(length);
        let keyframe = match codec {
            VideoCodec::Vp8 => data[0] & 1 == 0,
            // Frame marker 2, profile 0, shown, not an existing one, key (VP9 § 6.2).
            VideoCodec::Vp9 => data[0] & 0xfc == 0x80,
            VideoCodec::Av1 => {
                data = data.strip_prefix(&DELIMITER).unwrap_or(data);
                // A sequence header comes with each keyframe.
                data[0] >> 3 == 1
            }
            VideoCodec::H264 => false,
        };
        pictures.push(Coded {
            keyframe,
            config: None,
            data: Bytes::copy_from_slice(data),
        });
        rest = tail;
    }
    pictures
}

/// Tags of a type, a length and a time, each followed by a length.
fn flv(file: &[u8], (width, height): (u32, u32)) -> Vec<Coded> {
    let mut rest = file.get(13..).unwrap_or_default();
    let mut config = None;
    let mut pictures = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<11>() {
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let (body, tail) = tail.split_at(length);
        match body {
            [0x17, 0, _, _, _, record @ ..] => {
                config = Some(Arc::new(CodecConfig::Avc(VideoConfig {
                    decoder_configuration: Bytes::copy_from_slice(record),
                    width,
                    height,
                })));
            }
            [kind @ (0x17 | 0x27), 1, _, _, _, data @ ..] => pictures.push(Coded {
                keyframe: *kind == 0x17,
                config: config.clone(),
                data: Bytes::copy_from_slice(data),
            }),
            _ => {}
        }
        rest = tail.get(4..).unwrap_or_default();
    }
    pictures
}
