use super::*;

/// Samples of the left ear.
fn heard(slate: &StandIn) -> Vec<f64> {
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Stereo).unwrap();
    let mut samples = Vec::new();
    for packet in &slate.sound {
        let mut block = [0_i16; 2 * 960];
        assert_eq!(decoder.decode(packet, &mut block, false).unwrap(), 960);
        samples.extend(block.chunks_exact(2).map(|pair| f64::from(pair[0])));
    }
    samples
}

/// How often the sign changes from minus to plus, a second.
fn pitch(samples: &[f64]) -> usize {
    let rises = samples
        .windows(2)
        .filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0)
        .count();
    rises * 48_000 / samples.len()
}

fn tone(frequency: u32, seconds: u32, coding: &[&str]) -> Vec<u8> {
    let source = format!("sine=frequency={frequency}:duration={seconds}");
    let mut all = vec!["-f", "lavfi", "-i", &source];
    all.extend(coding);
    made_by_ffmpeg(&all)
}

#[tokio::test]
async fn music_of_any_kind_is_played() {
    let renderer = renderer();
    let geometry = Geometry {
        frames_per_second: 1,
        ..SMALL
    };
    for coding in [
        &["-c:a", "libmp3lame", "-f", "mp3"][..],
        &["-c:a", "libvorbis", "-f", "ogg"],
        &["-c:a", "libopus", "-f", "ogg"],
        &["-c:a", "pcm_s16le", "-f", "wav"],
        &["-c:a", "aac", "-f", "ipod"],
        &["-c:a", "flac", "-f", "flac"],
    ] {
        let source = SlateSource {
            music: Some(upload(&tone(440, 3, coding))),
            ..card("Music")
        };

        let slate = renderer.render(&source, geometry).await.unwrap();

        assert!(
            (145..=160).contains(&slate.sound.len()),
            "{coding:?}: {}",
            slate.sound.len()
        );
        let samples = heard(&slate);
        let pitch = pitch(&samples[48_000..96_000]);
        assert!((436..=444).contains(&pitch), "{coding:?}: {pitch} Hz");
    }
}

#[tokio::test]
async fn a_video_brings_its_sound_of_the_same_length() {
    let bytes = made_by_ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x180:rate=30:duration=4.4",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=600:duration=3",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        "-f",
        "mp4",
    ]);

    let slate = renderer()
        .render(&showing(PictureKind::Video, &bytes), SMALL)
        .await
        .unwrap();

    assert_eq!(slate.pictures.len(), 100);
    assert_eq!(slate.sound.len(), 200);
    let samples = heard(&slate);
    assert!((595..=605).contains(&pitch(&samples[48_000..96_000])));
    assert!(
        samples[4 * 48_000 - 24_000..]
            .iter()
            .all(|sample| sample.abs() < 50.0)
    );
}

#[tokio::test]
async fn music_takes_the_place_of_a_video_s_sound() {
    let bytes = made_by_ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x180:rate=30:duration=2",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=600:duration=2",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "aac",
        "-f",
        "mp4",
    ]);
    let source = SlateSource {
        music: Some(upload(&tone(300, 5, &["-c:a", "libmp3lame", "-f", "mp3"]))),
        ..showing(PictureKind::Video, &bytes)
    };

    let slate = renderer().render(&source, SMALL).await.unwrap();

    assert!(slate.sound.len() >= 250);
    assert!((297..=303).contains(&pitch(&heard(&slate)[48_000..96_000])));
}

#[tokio::test]
async fn what_is_no_music_is_refused() {
    let renderer = renderer();
    let silent = made_by_ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "testsrc=duration=1",
        "-pix_fmt",
        "yuv420p",
        "-c:v",
        "libx264",
        "-f",
        "mp4",
    ]);
    for bytes in [
        &b"no music"[..],
        &silent,
        b"ID3\x04\0\0\0\0\0\0",
        b"#EXTM3U\nhttp://127.0.0.1/x.ts\n",
    ] {
        let source = SlateSource {
            music: Some(upload(bytes)),
            ..card("Music")
        };

        let refused = renderer.check(&source).await.unwrap_err();

        assert_eq!(refused, SlateError::InvalidMusic);
    }
}
