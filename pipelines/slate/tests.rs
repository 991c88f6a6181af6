//! Slates are made by real children, and looked at by `FFmpeg`, which we did not write.

use std::{
    fs::File,
    io::{self, Seek as _, Write as _},
    process::{Command, Stdio},
    sync::Arc,
};

use media::{CodecConfig, StandIn};

use super::*;
use crate::confinement::Launcher;

mod pictures;
mod sound;

const SMALL: Geometry = Geometry {
    width: 320,
    height: 180,
    frames_per_second: 25,
};

/// Not a test: the process that the others start.
#[test]
#[ignore = "is the child of other tests"]
fn child() {
    let output = File::options().write(true).open("/proc/self/fd/3").unwrap();
    child::render(&mut io::stdin().lock(), output);
}

/// Starts this test program as the child; what the test harness prints is kept apart from the answer.
fn launcher() -> Launcher {
    // The next run finds the list of plugins there.
    let folder = std::env::temp_dir().join("castgate-test-children");
    std::fs::create_dir_all(&folder).unwrap();
    let script = "exec \"$0\" --exact slate::tests::child --ignored --nocapture 3>&1 >/dev/null";
    let this = std::env::current_exe().unwrap();
    Launcher::new("/bin/sh", folder).with_arguments([
        "-c".into(),
        script.into(),
        this.into_os_string(),
    ])
}

fn renderer() -> Renderer {
    Renderer::new(launcher())
}

/// A file without a name that holds these bytes. The hash tells the test's uploads apart, and is none.
fn upload(bytes: &[u8]) -> Upload {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path =
        std::env::temp_dir().join(format!("castgate-upload-{}-{number}", std::process::id()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    Upload {
        file: Arc::new(file),
        hash,
    }
}

fn card(title: &str) -> SlateSource {
    SlateSource {
        title: title.to_owned(),
        ..SlateSource::default()
    }
}

fn showing(kind: PictureKind, bytes: &[u8]) -> SlateSource {
    SlateSource {
        picture: Some((kind, upload(bytes))),
        ..card("unseen")
    }
}

/// Has `FFmpeg` make a file of this format from its own test sources.
fn made_by_ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let name = format!(
        "castgate-made-{}-{}",
        std::process::id(),
        arguments.join("-").len()
    );
    let path = std::env::temp_dir().join(name + &format!("-{:?}", std::thread::current().id()));
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-y"])
        .args(arguments)
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
}

/// The loop so many times, as a file of H.264.
fn elementary_stream(slate: &StandIn, times: usize) -> Vec<u8> {
    let CodecConfig::Avc(config) = &*slate.config else {
        panic!("no H.264");
    };
    let record = &config.decoder_configuration;
    let mut stream = Vec::new();
    let mut put = |nal: &[u8]| {
        stream.extend([0, 0, 0, 1]);
        stream.extend(nal);
    };
    let sequence_end = 8 + usize::from(u16::from_be_bytes([record[6], record[7]]));
    put(&record[8..sequence_end]);
    put(&record[sequence_end + 3..]);
    for _ in 0..times {
        for picture in &slate.pictures {
            let mut rest = &picture.data[..];
            while let Some((length, tail)) = rest.split_first_chunk::<4>() {
                let (nal, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
                put(nal);
                rest = tail;
            }
        }
    }
    stream
}

/// What `FFmpeg` decodes of a file of H.264: luma of each picture. Any complaint is a failure.
fn decoded(stream: Vec<u8>, geometry: Geometry) -> Vec<Vec<u8>> {
    let pixels = (geometry.width * geometry.height) as usize;
    let arguments = "-loglevel warning -err_detect explode -xerror -f h264 -i - -fps_mode passthrough -pix_fmt yuv420p -f rawvideo -";
    let output = piped("ffmpeg", arguments, stream);
    assert_eq!(output.1, "", "FFmpeg complained");
    let pictures = output.0.chunks(pixels * 3 / 2);
    pictures.map(|picture| picture[..pixels].to_vec()).collect()
}

/// Runs a program on bytes; returns its output and its complaints.
fn piped(program: &str, arguments: &str, input: Vec<u8>) -> (Vec<u8>, String) {
    let mut child = Command::new(program)
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.stdout, complaints)
}

fn mean(luma: &[u8]) -> f64 {
    let sum: u32 = luma.iter().map(|&value| u32::from(value)).sum();
    f64::from(sum) / f64::from(u32::try_from(luma.len()).unwrap())
}
