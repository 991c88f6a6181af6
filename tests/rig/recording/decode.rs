//! Runs `ffmpeg` over a recording and reads what it says about every frame.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::{
    Recording, counter, flv,
    tone::{self, Segment},
};

/// How complaints begin of `ffmpeg`'s parser, which runs before the decoder and is not told when an FLV brings another
/// configuration: it then reads slices by the parameter sets of before. The decoder is told.
const PARSER: &str = "[NULL @";

/// The picture of a recording.
#[derive(Debug)]
pub struct VideoStream {
    /// `ffmpeg`'s name of the codec.
    pub codec: String,
    /// `ffmpeg`'s name of the profile.
    pub profile: String,
    /// Every picture that could be decoded, in order of presentation.
    pub frames: Vec<Frame>,
    /// How many coded pictures the file holds.
    pub packets: usize,
}

/// One decoded picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// When it is presented.
    pub at: Duration,
    /// Whether a decoder can begin here.
    pub keyframe: bool,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Mean brightness, 0 to 255.
    pub luma: f32,
    /// Mean of both colour planes, 0 to 255; 128 is grey.
    pub chroma: [f32; 2],
    /// The number that the synthetic studio drew into it, modulo 2 to the power of 16. Nobody else draws one.
    pub counter: Option<u16>,
}

/// The sound of a recording.
#[derive(Debug)]
pub struct AudioStream {
    /// `ffmpeg`'s name of the codec.
    pub codec: String,
    /// `ffmpeg`'s name of the profile.
    pub profile: String,
    /// Samples a second.
    pub sample_rate_hz: u32,
    /// 1 or 2.
    pub channels: u32,
    /// When each coded block is presented.
    pub packets: Vec<Duration>,
    /// When each beep begins.
    pub beeps: Vec<Duration>,
}

#[derive(Deserialize)]
struct Probe {
    streams: Vec<ProbedStream>,
    packets: Vec<ProbedPacket>,
}

#[derive(Deserialize)]
struct ProbedStream {
    codec_type: String,
    /// Missing for data tracks, which some servers record too.
    #[serde(default)]
    codec_name: String,
    #[serde(default)]
    profile: String,
    #[serde(default)]
    sample_rate: String,
    #[serde(default)]
    channels: u32,
}

#[derive(Deserialize)]
struct ProbedPacket {
    codec_type: String,
    #[serde(default)]
    pts_time: String,
}

pub(super) async fn decode(path: &Path) -> Result<Recording> {
    let probe = probe(path).await?;
    let video = one_stream(&probe, "video")?;
    let audio = one_stream(&probe, "audio")?;
    let (frames, mut decode_errors) = decode_video(path).await?;
    let (beeps, audio_errors) = decode_audio(path).await?;
    decode_errors.extend(audio_errors);
    Ok(Recording {
        video: VideoStream {
            codec: video.codec_name.clone(),
            profile: video.profile.clone(),
            frames,
            packets: probe
                .packets
                .iter()
                .filter(|packet| packet.codec_type == "video")
                .count(),
        },
        audio: AudioStream {
            codec: audio.codec_name.clone(),
            profile: audio.profile.clone(),
            sample_rate_hz: audio.sample_rate.parse().context("sample rate")?,
            channels: audio.channels,
            packets: probe
                .packets
                .iter()
                .filter(|packet| packet.codec_type == "audio")
                .map(|packet| seconds(&packet.pts_time))
                .collect::<Result<_>>()?,
            beeps,
        },
        decode_errors,
        tags: flv::Tags::read(path)?,
    })
}

async fn probe(path: &Path) -> Result<Probe> {
    let entries =
        "stream=codec_type,codec_name,profile,sample_rate,channels:packet=codec_type,pts_time";
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json", "-show_entries", entries])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .await
        .context("ffprobe")?;
    ensure!(
        output.status.success(),
        "ffprobe of {}: {}",
        path.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("ffprobe's answer")
}

fn one_stream<'a>(probe: &'a Probe, kind: &str) -> Result<&'a ProbedStream> {
    let mut streams = probe
        .streams
        .iter()
        .filter(|stream| stream.codec_type == kind);
    match (streams.next(), streams.next()) {
        (Some(stream), None) => Ok(stream),
        (None, _) => bail!("the recording has no {kind}"),
        (Some(_), Some(_)) => bail!("the recording has more than one {kind} track"),
    }
}

/// Decodes one track; returns what it wrote to standard output, `ffmpeg`'s log lines, and its complaints.
async fn run_ffmpeg(path: &Path, arguments: &[&str]) -> Result<(Vec<u8>, String, Vec<String>)> {
    let output = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-hide_banner",
            "-nostats",
            "-loglevel",
            "repeat+level+info",
            "-copyts",
            "-i",
        ])
        .arg(path)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .context("ffmpeg")?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success(),
        "ffmpeg of {}: {log}",
        path.display()
    );
    let errors = log
        .lines()
        .filter(|line| line.contains("[error]") || line.contains("[fatal]"))
        .filter(|line| !line.starts_with(PARSER))
        .map(str::to_owned)
        .collect();
    Ok((output.stdout, log, errors))
}

async fn decode_video(path: &Path) -> Result<(Vec<Frame>, Vec<String>)> {
    let filter = format!(
        "showinfo,crop=iw:trunc(ih/{}):0:0,scale={}:1:flags=area,format=gray",
        counter::HEIGHT_DIVISOR,
        counter::BLOCKS
    );
    let arguments = [
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        // In units of the frame rate, frames that came a little early would fall together.
        "-enc_time_base",
        "-1",
        "-vf",
        &filter,
        "-f",
        "rawvideo",
        "-",
    ];
    let (rows, log, errors) = run_ffmpeg(path, &arguments).await?;
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("showinfo") && line.contains(" pts_time:"))
        .collect();
    let rows = rows.chunks_exact(counter::BLOCKS);
    ensure!(
        lines.len() == rows.len(),
        "{} pictures announced, {} decoded",
        lines.len(),
        rows.len()
    );
    let frames = lines
        .into_iter()
        .zip(rows)
        .map(|(line, blocks)| frame(line, blocks))
        .collect::<Result<_>>()?;
    Ok((frames, errors))
}

/// One line of `showinfo`, and the brightness of the blocks along the picture's upper edge.
fn frame(line: &str, blocks: &[u8]) -> Result<Frame> {
    let (width, height) = field(line, " s:")?.split_once('x').context("size")?;
    let (_, means) = line.split_once(" mean:[").context("means")?;
    let means: Vec<f32> = means
        .split(']')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [luma, blue, red] = means[..] else {
        bail!("not three planes: {line}");
    };
    Ok(Frame {
        at: seconds(field(line, " pts_time:")?)?,
        keyframe: field(line, " iskey:")? == "1",
        width: width.parse()?,
        height: height.parse()?,
        luma,
        chroma: [blue, red],
        counter: counter::read(blocks),
    })
}

async fn decode_audio(path: &Path) -> Result<(Vec<Duration>, Vec<String>)> {
    let arguments = [
        "-map",
        "0:a",
        "-af",
        "ashowinfo",
        "-ac",
        "1",
        "-f",
        "f32le",
        "-",
    ];
    let (pcm, log, errors) = run_ffmpeg(path, &arguments).await?;
    let samples: Vec<f32> = pcm
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let mut segments = Vec::new();
    let mut next_sample = 0;
    let mut rate_hz = 0;
    for line in log
        .lines()
        .filter(|line| line.contains("ashowinfo") && line.contains(" pts_time:"))
    {
        segments.push(Segment {
            first_sample: next_sample,
            at: seconds(field(line, " pts_time:")?)?,
        });
        next_sample += field(line, " nb_samples:")?.parse::<usize>()?;
        rate_hz = field(line, " rate:")?.parse()?;
    }
    ensure!(
        samples.len() == next_sample,
        "{} samples decoded, {next_sample} announced",
        samples.len()
    );
    Ok((tone::beeps(&samples, &segments, rate_hz), errors))
}

/// The word behind `name`, which may be padded.
fn field<'a>(line: &'a str, name: &str) -> Result<&'a str> {
    line.split_once(name)
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .with_context(|| format!("no '{name}' in: {line}"))
}

/// A time before zero, as of an encoder's run-in, is told as zero.
fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text
        .parse()
        .with_context(|| format!("not a time: '{text}'"))?;
    Ok(Duration::from_secs_f64(seconds.max(0.0)))
}
