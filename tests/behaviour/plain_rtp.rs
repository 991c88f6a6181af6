//! Plain RTP with senders and receivers that are not ours: `FFmpeg`, `GStreamer`, Janus, and another gateway.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{
    Gateway, Janus, Nginx, Process, Recording, Scratch, Studio, eventually, free_port_pair,
};
use tokio::process::Command;

use super::{LIVE_LIMIT, WATCH_LIMIT, check, destination, end_and_analyse, watch};

/// A black picture that is white in the first tenth of each second.
const FLASH: &str =
    "color=black:s=640x360:r=30,drawbox=t=fill:c=white:enable='lt(mod(t,1),0.1)',format=yuv420p";

/// A beep in the first tenth of each second.
const BEEP: &str = "aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.1)|0.5*sin(2*PI*1000*t)*lt(mod(t,1),0.1)':s=48000";

/// Pictures of eight seconds.
const PICTURES: u64 = 240;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";

/// A picture's and a sound's port.
fn ports(ingest: &Value) -> Result<(u64, u64)> {
    let port = |kind: &str| {
        ingest[kind]["port"]
            .as_u64()
            .with_context(|| format!("no {kind} port in {ingest}"))
    };
    Ok((port("video")?, port("audio")?))
}

async fn open_ingest(gateway: &Gateway, body: &Value) -> Result<Value> {
    let answer = gateway
        .post("/api/v1/broadcasts/show/rtp-ingest", body)
        .await?;
    ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
    let location = answer.header("location")?.to_owned();
    let ingest = answer.json()?;
    let again = gateway.get(&location).await?.json()?;
    ensure!(again["id"] == ingest["id"], "{again}");
    Ok(ingest)
}

fn h264_and_opus() -> Value {
    json!({
        "video": { "codec": "H264", "payloadType": 96, "fmtp": "packetization-mode=1" },
        "audio": { "codec": "opus", "payloadType": 97 },
    })
}

/// `FFmpeg` that makes flash and beep, as H.264 and Opus, and sends them to two ports.
fn ffmpeg_sender(video: u64, audio: u64, more: &[&str]) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        .args([
            "-hide_banner",
            "-nostdin",
            "-re",
            "-f",
            "lavfi",
            "-i",
            FLASH,
        ])
        .args(["-re", "-f", "lavfi", "-i", BEEP])
        .args(more)
        .args(["-map", "0:v", "-c:v", "libx264", "-preset", "ultrafast"])
        .args(["-tune", "zerolatency", "-g", "60", "-b:v", "1M"])
        .args(["-rtpflags", "send_bye", "-payload_type", "96", "-f", "rtp"])
        .arg(format!("rtp://127.0.0.1:{video}"))
        .args(["-map", "1:a", "-c:a", "libopus", "-b:a", "96k"])
        .args(["-rtpflags", "send_bye", "-payload_type", "97", "-f", "rtp"])
        .arg(format!("rtp://127.0.0.1:{audio}"));
    command
}

/// What `FFmpeg` wrote to a file about both its outputs.
async fn whole_description(path: &Path) -> Result<String> {
    eventually("the description is whole", LIVE_LIMIT, async || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        Ok(text.contains("opus/48000").then_some(text))
    })
    .await
}

/// A gateway with a broadcast that goes to nginx.
async fn broadcast() -> Result<(Gateway, Nginx)> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let destinations = json!([destination("nginx", nginx.address(), "plain")]);
    gateway.create("show", destinations).await?;
    Ok((gateway, nginx))
}

async fn live(gateway: &Gateway) -> Result<()> {
    gateway
        .destination_until("show", "nginx", "live", LIVE_LIMIT)
        .await
        .map(drop)
}

#[tokio::test]
async fn what_ffmpeg_sends_by_its_own_description_arrives_in_step() -> Result<()> {
    let (gateway, nginx) = broadcast().await?;
    let scratch = Scratch::new()?;
    let description = scratch.path().join("sender.sdp");
    let text = description.to_str().context("a path")?;
    // FFmpeg only writes the description when it sends: here to the port that discards.
    let rehearsal = Process::spawn(
        "rehearsal",
        ffmpeg_sender(9, 9, &["-sdp_file", text]),
        scratch.path().join("rehearsal.log"),
    )?;
    let sdp = whole_description(&description).await?;
    drop(rehearsal);
    let ingest = open_ingest(&gateway, &json!({ "sdp": sdp })).await?;
    let (video, audio) = ports(&ingest)?;

    let sender = Process::spawn(
        "ffmpeg",
        ffmpeg_sender(video, audio, &[]),
        scratch.path().join("ffmpeg.log"),
    )?;
    live(&gateway).await?;
    watch(&gateway, PICTURES).await?;
    let broadcast = gateway.broadcast("show").await?;
    let recording = end_and_analyse(&gateway, "show", &nginx, "plain").await?;
    drop(sender);

    ensure!(broadcast["ingest"]["protocol"] == "rtp", "{broadcast}");
    ensure!(
        broadcast["ingest"]["video"]["width"] == 640,
        "{}",
        broadcast["ingest"]
    );
    check(&recording)
}

#[tokio::test]
async fn a_sender_that_ends_and_comes_back_goes_on_in_the_same_recording() -> Result<()> {
    let (gateway, nginx) = broadcast().await?;
    let scratch = Scratch::new()?;
    let ingest = open_ingest(&gateway, &h264_and_opus()).await?;
    let (video, audio) = ports(&ingest)?;
    let mut first = Process::spawn(
        "first",
        ffmpeg_sender(video, audio, &[]),
        scratch.path().join("first.log"),
    )?;
    live(&gateway).await?;
    watch(&gateway, PICTURES / 4).await?;

    // FFmpeg says good-bye by RTCP when it is asked to end.
    first.signal(Signal::SIGINT)?;
    first.wait(LIVE_LIMIT).await?;
    gateway
        .broadcast_until("show", "the slate", WATCH_LIMIT, |now| {
            now["showing"] == "slate" && now["ingest"].is_null()
        })
        .await?;
    let _second = Process::spawn(
        "second",
        ffmpeg_sender(video, audio, &[]),
        scratch.path().join("second.log"),
    )?;
    gateway
        .broadcast_until("show", "the sender again", WATCH_LIMIT, |now| {
            now["showing"] == "studio"
        })
        .await?;
    watch(&gateway, PICTURES / 4).await?;
    let destination = gateway
        .destination_until("show", "nginx", "live", LIVE_LIMIT)
        .await?;
    let recording = end_and_analyse(&gateway, "show", &nginx, "plain").await?;

    ensure!(destination["reconnects"] == 0, "{destination}");
    ensure!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );
    Ok(())
}

/// A file of flash and beep, coded as asked for.
async fn make_file(path: &Path, coding: &[&str]) -> Result<()> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-y", "-f", "lavfi", "-i", FLASH])
        .args(["-f", "lavfi", "-i", BEEP, "-t", "20"])
        .args(coding)
        .args(["-g", "60", "-c:a", "libopus"])
        .arg(path)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// `GStreamer` that sends a file with sender reports, and hears receiver reports.
fn gstreamer_sender(file: &Path, ingest: &Value, payloader: &[&str]) -> Command {
    let sink = |kind: &str, field: &str| {
        let port = &ingest[kind][field];
        format!("udpsink host=127.0.0.1 port={port}")
    };
    let line = format!(
        "rtpbin name=bin \
         filesrc location={} ! matroskademux name=file \
         file.video_0 ! queue ! {} pt=96 ! bin.send_rtp_sink_0 \
         bin.send_rtp_src_0 ! {} \
         bin.send_rtcp_src_0 ! {} sync=false async=false \
         file.audio_0 ! queue ! rtpopuspay pt=97 ! bin.send_rtp_sink_1 \
         bin.send_rtp_src_1 ! {} \
         bin.send_rtcp_src_1 ! {} sync=false async=false",
        file.display(),
        payloader.join(" "),
        sink("video", "port"),
        sink("video", "rtcpPort"),
        sink("audio", "port"),
        sink("audio", "rtcpPort"),
    );
    let mut command = Command::new("gst-launch-1.0");
    command.args(line.split_ascii_whitespace());
    command
}

/// Sends a file by `GStreamer` and checks what becomes of it.
async fn gstreamer_arrives(codec: &str, coding: &[&str], payloader: &[&str]) -> Result<()> {
    let (gateway, nginx) = broadcast().await?;
    let scratch = Scratch::new()?;
    let file = scratch.path().join("show.mkv");
    make_file(&file, coding).await?;
    let ingest = open_ingest(
        &gateway,
        &json!({
            "video": { "codec": codec, "payloadType": 96 },
            "audio": { "codec": "opus", "payloadType": 97 },
        }),
    )
    .await?;

    let sender = Process::spawn(
        "gstreamer",
        gstreamer_sender(&file, &ingest, payloader),
        scratch.path().join("gstreamer.log"),
    )?;
    live(&gateway).await?;
    watch(&gateway, PICTURES).await?;
    let recording = end_and_analyse(&gateway, "show", &nginx, "plain").await?;
    drop(sender);

    check(&recording)
}

#[tokio::test]
async fn h264_of_gstreamer_arrives_in_step() -> Result<()> {
    let coding = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"];
    gstreamer_arrives(
        "H264",
        &coding,
        &["h264parse", "!", "rtph264pay", "config-interval=-1"],
    )
    .await
}

#[tokio::test]
async fn parameter_sets_that_only_the_description_holds_are_enough() -> Result<()> {
    let (gateway, nginx) = broadcast().await?;
    let scratch = Scratch::new()?;
    let file = scratch.path().join("show.mkv");
    let coding = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"];
    make_file(&file, &coding).await?;
    let description = scratch.path().join("sender.sdp");
    let copy = |video: u64, audio: u64| {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-hide_banner", "-nostdin", "-re", "-i"])
            .arg(&file)
            .args(["-sdp_file"])
            .arg(&description)
            .args([
                "-map",
                "0:v",
                "-c",
                "copy",
                "-payload_type",
                "96",
                "-f",
                "rtp",
            ])
            .arg(format!("rtp://127.0.0.1:{video}"))
            .args([
                "-map",
                "0:a",
                "-c",
                "copy",
                "-payload_type",
                "97",
                "-f",
                "rtp",
            ])
            .arg(format!("rtp://127.0.0.1:{audio}"));
        command
    };
    let rehearsal = Process::spawn(
        "rehearsal",
        copy(9, 9),
        scratch.path().join("rehearsal.log"),
    )?;
    let sdp = whole_description(&description).await?;
    drop(rehearsal);
    ensure!(sdp.contains("sprop-parameter-sets="), "{sdp}");
    let ingest = open_ingest(&gateway, &json!({ "sdp": sdp })).await?;
    let (video, audio) = ports(&ingest)?;

    let sender = Process::spawn(
        "ffmpeg",
        copy(video, audio),
        scratch.path().join("ffmpeg.log"),
    )?;
    live(&gateway).await?;
    watch(&gateway, PICTURES).await?;
    let recording = end_and_analyse(&gateway, "show", &nginx, "plain").await?;
    drop(sender);

    check(&recording)
}

#[tokio::test]
async fn vp8_of_gstreamer_is_transcoded_and_arrives_in_step() -> Result<()> {
    let coding = [
        "-c:v",
        "libvpx",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-b:v",
        "1M",
    ];
    gstreamer_arrives("VP8", &coding, &["rtpvp8pay"]).await
}

#[tokio::test]
async fn ffmpeg_plays_what_goes_out() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("show", json!([])).await?;
    let scratch = Scratch::new()?;
    let port = free_port_pair()?;
    // The synthetic studio repeats its parameter sets within a keyframe, which FFmpeg takes for two pictures.
    let ingest = open_ingest(&gateway, &h264_and_opus()).await?;
    let (video, audio) = ports(&ingest)?;
    let sender = Process::spawn(
        "sender",
        ffmpeg_sender(video, audio, &[]),
        scratch.path().join("sender.log"),
    )?;
    gateway
        .broadcast_until("show", "the studio", LIVE_LIMIT, |now| {
            now["ingest"]["video"].is_object()
        })
        .await?;

    let answer = gateway
        .post(
            "/api/v1/broadcasts/show/rtp-egress",
            &json!({ "address": format!("127.0.0.1:{port}") }),
        )
        .await?;
    ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
    let egress = answer.json()?;
    let description = scratch.path().join("receiver.sdp");
    std::fs::write(&description, egress["sdp"].as_str().context("an SDP")?)?;
    let recording = scratch.path().join("received.mkv");
    let mut command = Command::new("ffmpeg");
    command
        .args([
            "-hide_banner",
            "-nostdin",
            "-protocol_whitelist",
            "file,udp,rtp",
            "-i",
        ])
        .arg(&description)
        .args(["-t", "8", "-c", "copy"])
        .arg(&recording);
    let mut receiver = Process::spawn("receiver", command, scratch.path().join("receiver.log"))?;
    let status = receiver.wait(WATCH_LIMIT).await?;
    let location = answer.header("location")?.to_owned();
    let after = gateway.get(&location).await?.json()?;
    let closed = gateway.delete(&location).await?;
    let gone = gateway.get(&location).await?;
    drop(sender);

    ensure!(status.success(), "{}", receiver.output()?);
    ensure!(closed.status == StatusCode::NO_CONTENT && gone.status == StatusCode::NOT_FOUND);
    ensure!(
        after["video"]["packets"].as_u64() > Some(100)
            && after["audio"]["packets"].as_u64() > Some(100),
        "{after}"
    );
    let recording = Recording::analyse(&recording).await?;
    ensure!(
        recording.video.frames.len() > 150,
        "{} pictures",
        recording.video.frames.len()
    );
    recording.check_usual_synchrony(super::SYNCHRONY_LIMIT, super::SETTLING)
}

#[tokio::test]
async fn one_gateway_feeds_another_by_srtp() -> Result<()> {
    let near = Gateway::start(&[]).await?;
    near.create("show", json!([])).await?;
    let (far, nginx) = broadcast().await?;
    let srtp = json!({ "cryptoSuite": "AES_CM_128_HMAC_SHA1_80", "keyBase64": KEY });
    let mut wish = h264_and_opus();
    wish["srtp"] = srtp.clone();
    wish["video"]["nack"] = true.into();
    let ingest = open_ingest(&far, &wish).await?;
    ensure!(!ingest.to_string().contains(KEY), "{ingest}");
    let (video, audio) = ports(&ingest)?;
    let answer = near
        .post(
            "/api/v1/broadcasts/show/rtp-egress",
            &json!({
                "address": { "ip": "127.0.0.1", "videoPort": video, "audioPort": audio },
                "srtp": srtp,
            }),
        )
        .await?;
    ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
    ensure!(!answer.body.contains(KEY), "{}", answer.body);

    let studio = Studio::publish(&near.url("/whip/show"), None, 40).await?;
    live(&far).await?;
    watch(&far, PICTURES).await?;
    let recording = end_and_analyse(&far, "show", &nginx, "plain").await?;
    studio.vanish().await?;

    check(&recording)
}

#[tokio::test]
async fn janus_forwards_a_browser_s_canvas() -> Result<()> {
    let (gateway, nginx) = broadcast().await?;
    let ingest = open_ingest(
        &gateway,
        &json!({
            "video": { "codec": "H264", "payloadType": 96, "fmtp": "packetization-mode=1" },
            "audio": { "codec": "opus", "payloadType": 97 },
        }),
    )
    .await?;
    let janus = Janus::start().await?;

    let publisher = janus.publish_and_forward(&ingest).await?;
    live(&gateway).await?;
    watch(&gateway, PICTURES).await?;
    let recording = end_and_analyse(&gateway, "show", &nginx, "plain").await?;
    drop(publisher);

    ensure!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );
    ensure!(
        recording.length() >= Duration::from_secs(6),
        "{:?}",
        recording.length()
    );
    recording.check_usual_synchrony(super::SYNCHRONY_LIMIT, super::SETTLING)
}
