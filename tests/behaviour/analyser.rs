//! The analyser itself, on recordings whose faults are known because `ffmpeg` was told to make them.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use tests::{Recording, Scratch};
use tokio::process::Command;

/// What is wrong with a made recording.
#[derive(Default)]
struct Faults {
    beep_late_by_ms: f64,
    /// These pictures are missing.
    dropped: Option<(u32, u32)>,
    /// This much sound is missing, in seconds.
    muted: Option<(f64, f64)>,
    keyframe_every: u32,
}

const SECONDS: u32 = 6;
const FRAMES_PER_SECOND: u32 = 30;

/// Makes six seconds of flash and beep each second, 320×180 at 30 a second.
async fn make(scratch: &Scratch, container: &str, faults: Faults) -> Result<PathBuf> {
    let path = scratch.path().join(format!("made.{container}"));
    let picture = format!(
        "color=gray:s=320x180:r={FRAMES_PER_SECOND}:d={SECONDS},drawbox=c=white:t=fill:enable='lt(mod(t+0.0001,1),0.1)'"
    );
    let late = faults.beep_late_by_ms / 1_000.0;
    let sound = format!(
        "aevalsrc='if(lt(mod(t+10-{late},1),0.1),0.5*sin(2*PI*1000*t),0)':s=48000:c=stereo:d={SECONDS}"
    );
    let (first, last) = faults.dropped.unwrap_or((u32::MAX, u32::MAX));
    let (mute_from, mute_to) = faults.muted.unwrap_or((1e6, 1e6));
    let keyframe_every = if faults.keyframe_every == 0 {
        60
    } else {
        faults.keyframe_every
    };
    let output = Command::new("ffmpeg")
        .args([
            "-nostdin", "-v", "error", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound,
        ])
        .args([
            "-vf",
            &format!("select='not(between(n,{first},{last}))'"),
            "-fps_mode",
            "vfr",
        ])
        .args([
            "-af",
            &format!("aselect='not(between(t,{mute_from},{mute_to}))'"),
        ])
        .args([
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-pix_fmt",
            "yuv420p",
        ])
        .args([
            "-g",
            &keyframe_every.to_string(),
            "-sc_threshold",
            "0",
            "-c:a",
            "aac",
            "-b:a",
            "160k",
        ])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .await
        .context("ffmpeg")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(path)
}

async fn made(container: &str, faults: Faults) -> Result<Recording> {
    let scratch = Scratch::new()?;
    let path = make(&scratch, container, faults).await?;
    Recording::analyse(&path).await
}

#[tokio::test]
async fn a_sound_recording_is_found_to_be_sound() -> Result<()> {
    for container in ["flv", "mp4"] {
        let recording = made(container, Faults::default()).await?;

        assert_eq!(recording.video.codec, "h264");
        assert_eq!(recording.audio.codec, "aac");
        assert_eq!(recording.audio.profile, "LC");
        assert_eq!(
            (recording.audio.sample_rate_hz, recording.audio.channels),
            (48_000, 2)
        );
        assert_eq!(
            recording.video.frames.len(),
            (SECONDS * FRAMES_PER_SECOND) as usize
        );
        assert_eq!(recording.video.packets, recording.video.frames.len());
        assert!(
            recording
                .video
                .frames
                .iter()
                .all(|frame| (frame.width, frame.height) == (320, 180))
        );
        assert!(recording.worst_video_gap(Duration::ZERO).0 <= Duration::from_millis(35));
        assert!(recording.worst_audio_gap(Duration::ZERO).0 <= Duration::from_millis(24));
        assert_eq!(
            recording
                .longest_keyframe_interval()
                .as_millis()
                .div_ceil(10),
            200
        );
        assert!(
            recording.decode_errors.is_empty(),
            "{:?}",
            recording.decode_errors
        );
        recording.check_synchrony(Duration::from_millis(8), Duration::ZERO, 2)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_late_and_an_early_beep_are_measured_to_the_millisecond() -> Result<()> {
    for late_by_ms in [60.0, -90.0] {
        let faults = Faults {
            beep_late_by_ms: late_by_ms,
            ..Faults::default()
        };
        let recording = made("flv", faults).await?;

        let offsets = recording.offsets();

        assert!(offsets.len() >= 4, "{offsets:?}");
        for offset in &offsets {
            assert!(
                (offset.milliseconds - late_by_ms).abs() <= 8.0,
                "{late_by_ms}: {offsets:?}"
            );
        }
        assert!(
            recording
                .check_synchrony(Duration::from_millis(40), Duration::ZERO, 2)
                .is_err()
        );
    }
    Ok(())
}

#[tokio::test]
async fn missing_pictures_are_a_gap_where_they_are_missing() -> Result<()> {
    let faults = Faults {
        dropped: Some((70, 76)),
        ..Faults::default()
    };
    let recording = made("flv", faults).await?;

    let (gap, at) = recording.worst_video_gap(Duration::from_secs(1));

    assert_eq!(gap.as_millis().div_ceil(10), 27, "{gap:?}");
    assert_eq!(at.as_millis() / 100, 23, "{at:?}");
    assert_eq!(
        recording.video.frames.len(),
        (SECONDS * FRAMES_PER_SECOND) as usize - 7
    );
    Ok(())
}

#[tokio::test]
async fn a_gap_in_the_first_second_can_be_left_out() -> Result<()> {
    let faults = Faults {
        dropped: Some((5, 15)),
        ..Faults::default()
    };
    let recording = made("flv", faults).await?;

    assert!(recording.worst_video_gap(Duration::ZERO).0 >= Duration::from_millis(350));
    assert!(recording.worst_video_gap(Duration::from_secs(1)).0 <= Duration::from_millis(35));
    Ok(())
}

#[tokio::test]
async fn missing_sound_is_a_gap_and_does_not_move_the_beeps_behind_it() -> Result<()> {
    let faults = Faults {
        muted: Some((2.3, 2.8)),
        ..Faults::default()
    };
    let recording = made("flv", faults).await?;

    let (gap, _) = recording.worst_audio_gap(Duration::from_secs(1));

    assert!((450..550).contains(&gap.as_millis()), "{gap:?}");
    recording.check_synchrony(Duration::from_millis(8), Duration::ZERO, 2)
}

#[tokio::test]
async fn rare_keyframes_are_measured() -> Result<()> {
    let faults = Faults {
        keyframe_every: 105,
        ..Faults::default()
    };
    let recording = made("flv", faults).await?;

    assert_eq!(
        recording
            .longest_keyframe_interval()
            .as_millis()
            .div_ceil(10),
        350
    );
    Ok(())
}

#[tokio::test]
async fn damaged_pictures_are_decode_errors() -> Result<()> {
    let scratch = Scratch::new()?;
    let path = make(&scratch, "flv", Faults::default()).await?;
    let mut bytes = fs::read(&path)?;
    let length = bytes.len();
    for byte in bytes[length / 2..].iter_mut().step_by(97) {
        *byte ^= 0x5a;
    }
    fs::write(&path, bytes)?;

    let damaged = Recording::analyse(&path).await;

    assert!(damaged.is_err() || damaged.is_ok_and(|recording| !recording.decode_errors.is_empty()));
    Ok(())
}

#[tokio::test]
async fn a_recording_without_sound_is_refused() -> Result<()> {
    let scratch = Scratch::new()?;
    let path = make(&scratch, "mp4", Faults::default()).await?;
    let silent = scratch.path().join("silent.mp4");
    let stripped = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(&path)
        .args(["-an", "-c", "copy"])
        .arg(&silent)
        .status()
        .await?;
    assert!(stripped.success());

    let error = Recording::analyse(&silent).await.unwrap_err();

    assert_eq!(error.to_string(), "the recording has no audio");
    Ok(())
}
