//! The servers that are not ours, fed by `ffmpeg`: what they record is what the analyser is given.

use std::{process::Stdio, time::Duration};

use anyhow::{Result, ensure};
use tests::{Nginx, NodeMediaServer, Recording, eventually};
use tokio::process::Command;

#[tokio::test]
async fn nginx_records_what_it_is_sent_and_comes_back_on_the_same_port() -> Result<()> {
    let mut nginx = Nginx::start().await?;
    publish_by_ffmpeg(&format!("{}/first", nginx.url())).await?;
    nginx.kill().await?;
    nginx.restart().await?;
    publish_by_ffmpeg(&format!("{}/second", nginx.url())).await?;

    for key in ["first", "second"] {
        let path = eventually("a finished recording", Duration::from_mins(1), async || {
            Ok(nginx.finished_recording(key).await.ok())
        })
        .await?;
        let recording = Recording::analyse(&path).await?;

        assert!(
            recording.video.frames.len() >= 70,
            "{}",
            recording.video.frames.len()
        );
        recording.check_synchrony(Duration::from_millis(40), Duration::ZERO, 1)?;
    }
    Ok(())
}

#[tokio::test]
async fn node_media_server_records_what_it_is_sent() -> Result<()> {
    let server = NodeMediaServer::start().await?;

    publish_by_ffmpeg(&format!("rtmp://{}/live/key", server.address())).await?;

    let path = server.finished_recording("key").await?;
    let recording = Recording::analyse(&path).await?;
    assert_eq!(server.publications("key")?, 1);
    assert!(recording.video.frames.len() >= 70);
    recording.check_synchrony(Duration::from_millis(40), Duration::ZERO, 1)
}

async fn publish_by_ffmpeg(url: &str) -> Result<()> {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error"])
        .args([
            "-f",
            "lavfi",
            "-i",
            "color=gray:s=320x180:r=25,drawbox=c=white:t=fill:enable='lt(mod(t+0.0001,1),0.1)'",
        ])
        .args([
            "-f",
            "lavfi",
            "-i",
            "aevalsrc='if(lt(mod(t,1),0.1),0.5*sin(2*PI*1000*t),0)':s=48000",
        ])
        .args([
            "-t",
            "3",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-pix_fmt",
            "yuv420p",
        ])
        .args(["-c:a", "aac", "-f", "flv", url])
        .stdin(Stdio::null())
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
