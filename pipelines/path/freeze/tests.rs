//! Frozen pictures of real encoders, decoded by real decoders.
#![expect(clippy::cast_possible_truncation, reason = "test streams are small")]

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use proptest::prelude::*;

use super::*;
use crate::path::{bits::Bits, parameter_sets::ParameterSets};

const FRAMES: usize = 24;
const FROZEN: usize = 40;

/// A coded stream: parameters, and the slices and other NAL units of each picture.
struct Stream {
    sets: Vec<Vec<u8>>,
    config: VideoConfig,
    pictures: Vec<Vec<Vec<u8>>>,
    pixel_format: &'static str,
}

/// Runs a program; returns what it wrote, and what it complained of.
fn filter(program: &str, arguments: &[&str], input: Vec<u8>) -> (Vec<u8>, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stderr) = (child.stdin.take().unwrap(), child.stderr.take().unwrap());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let complaints = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let mut output = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut output)
        .unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    (output, complaints.join().unwrap().unwrap())
}

/// Moving pictures with noise, so that no two are alike.
fn source(pixel_format: &str) -> Vec<u8> {
    let description = format!("testsrc2=s=208x116:r=30,noise=alls=20:allf=t,format={pixel_format}");
    let count = FRAMES.to_string();
    let arguments = ["-v", "error", "-f", "lavfi", "-i", &description];
    let output = ["-frames:v", &count, "-f", "rawvideo", "-"];
    filter("ffmpeg", &[&arguments[..], &output].concat(), Vec::new()).0
}

fn x264(profile: &str, pixel_format: &'static str, parameters: &str) -> Stream {
    let parameters = format!("keyint=12:scenecut=0:aud=1:threads=1:{parameters}");
    let (stream, _) = filter(
        "ffmpeg",
        &[
            "-v",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            pixel_format,
            "-s",
            "208x116",
            "-r",
            "30",
            "-i",
            "-",
            "-c:v",
            "libx264",
            "-profile:v",
            profile,
            "-x264-params",
            &parameters,
            "-f",
            "h264",
            "-",
        ],
        source(pixel_format),
    );
    split(&stream, pixel_format)
}

/// The encoder that is in Chromium.
fn openh264(properties: &str) -> Stream {
    let pipeline = format!(
        "fdsrc fd=0 ! rawvideoparse width=208 height=116 framerate=30/1 format=i420 ! openh264enc gop-size=12 {properties} \
         ! video/x-h264,stream-format=byte-stream,alignment=au ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au \
         ! fdsink fd=1"
    );
    let arguments: Vec<&str> = ["-q"]
        .into_iter()
        .chain(pipeline.split_whitespace())
        .collect();
    let (stream, _) = filter("gst-launch-1.0", &arguments, source("yuv420p"));
    split(&stream, "yuv420p")
}

/// Splits a byte stream with access unit delimiters, or with one slice a picture.
fn split(stream: &[u8], pixel_format: &'static str) -> Stream {
    let starts: Vec<usize> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, code)| *code == [0, 0, 1])
        .map(|(at, _)| at + 3)
        .collect();
    let (mut sets, mut pictures) = (Vec::new(), Vec::<Vec<Vec<u8>>>::new());
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).map_or(stream.len(), |next| next - 3);
        let mut nal = stream[start..end].to_vec();
        while nal.last() == Some(&0) {
            nal.pop();
        }
        match nal[0] & 0x1f {
            7 | 8 if !sets.contains(&nal) => sets.push(nal),
            // The first macroblock of a picture.
            1 | 5 if nal[1] & 0x80 != 0 => pictures.push(vec![nal]),
            1..=5 => pictures.last_mut().unwrap().push(nal),
            _ => {}
        }
    }
    let mut parameters = ParameterSets::default();
    for nal in &sets {
        let _ = match nal[0] & 0x1f {
            7 => parameters.take_sequence(nal),
            _ => parameters.take_picture(nal),
        }
        .unwrap();
    }
    assert_eq!(pictures.len(), FRAMES);
    Stream {
        sets,
        config: parameters.configuration().unwrap(),
        pictures,
        pixel_format,
    }
}

fn unit(nals: &[Vec<u8>]) -> Vec<u8> {
    nals.iter()
        .flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat())
        .collect()
}

impl Stream {
    fn freezer(&self, shown: usize) -> Option<Freezer> {
        Freezer::new(&self.config, &unit(&self.pictures[shown - 1]))
    }

    /// The first `shown` pictures, frozen ones, and the rest from the next keyframe on, as a byte stream.
    fn interrupted(&self, shown: usize, frozen: &[Bytes]) -> Vec<u8> {
        let rest = self.pictures.iter().skip(shown);
        let rest = rest.skip_while(|nals| nals[0][0] & 0x1f != 5);
        let (before, after) = (&self.pictures[..shown], rest);
        let frozen = frozen.iter().map(|unit| vec![unit[4..].to_vec()]);
        let mut stream = Vec::new();
        let pictures = before.iter().cloned().chain(frozen).chain(after.cloned());
        for nal in self.sets.iter().cloned().chain(pictures.flatten()) {
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(&nal);
        }
        stream
    }

    fn decode(&self, stream: Vec<u8>) -> Vec<Vec<u8>> {
        let arguments = [
            "-v",
            "warning",
            "-xerror",
            "-err_detect",
            "explode",
            "-f",
            "h264",
            "-i",
            "-",
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-pix_fmt",
            self.pixel_format,
            "-",
        ];
        let (raw, complaints) = filter("ffmpeg", &arguments, stream);
        assert_eq!(complaints, "");
        let bytes = match self.pixel_format {
            "yuv420p" | "yuvj420p" => 208 * 116 * 3 / 2,
            "yuv422p" => 208 * 116 * 2,
            "yuv420p10le" => 208 * 116 * 3,
            _ => 208 * 116,
        };
        assert_eq!(raw.len() % bytes, 0);
        raw.chunks(bytes).map(<[u8]>::to_vec).collect()
    }

    /// Freezes at several places and looks at each decoded picture.
    fn check(&self) {
        let plain = self.decode(self.interrupted(FRAMES, &[]));
        assert_eq!(plain.len(), FRAMES);
        for shown in [1, 2, 7, 12, 13, FRAMES] {
            let mut freezer = self.freezer(shown).unwrap();
            let frozen: Vec<Bytes> = (0..FROZEN).map(|_| freezer.next()).collect();
            let decoded = self.decode(self.interrupted(shown, &frozen));

            assert_eq!(decoded[..shown], plain[..shown]);
            for picture in &decoded[shown..shown + FROZEN] {
                assert!(picture == &plain[shown - 1], "after {shown}");
            }
            let back = &decoded[shown + FROZEN..];
            assert!(back.len() >= if shown <= 12 { 10 } else { 0 });
            assert_eq!(back, &plain[FRAMES - back.len()..]);
        }
    }
}

#[test]
fn baseline_is_frozen() {
    let stream = x264("baseline", "yuv420p", "bframes=0:ref=1");
    stream.check();
    let mut freezer = stream.freezer(5).unwrap();
    assert!(freezer.next().len() < 16);
}

#[test]
fn many_references_weights_and_slices_are_frozen() {
    x264("baseline", "yuv420p", "bframes=0:ref=3:slices=3").check();
    x264("main", "yuv420p", "bframes=0:ref=3:weightp=2").check();
    x264(
        "main",
        "yuv420p",
        "bframes=0:ref=4:cabac=0:weightp=2:no-deblock=1",
    )
    .check();
}

#[test]
fn arithmetic_coding_is_frozen() {
    let stream = x264("main", "yuv420p", "bframes=0:ref=1:qp=12");
    stream.check();
    assert!(stream.freezer(5).unwrap().next().len() < 32);
    x264("high", "yuv420p", "bframes=0:ref=3:qp=44:8x8dct=1").check();
}

#[test]
fn an_order_by_lowest_bits_goes_on() {
    // B pictures are announced and none is made.
    let stream = x264("high", "yuv420p", "bframes=2:b-adapt=1:b-bias=-100:ref=2");
    let (sequences, _) = parameter_sets(&stream.config.decoder_configuration).unwrap();
    let order = Sequence::parse(sequences[0]).unwrap().order;
    assert!(matches!(order, PictureOrder::LowestBits(_)));
    stream.check();
}

#[test]
fn other_chroma_and_deeper_samples_are_frozen() {
    x264("high422", "yuv422p", "bframes=0:ref=2").check();
    x264("high10", "yuv420p10le", "bframes=0:ref=2").check();
    x264("high", "gray", "bframes=0:ref=2").check();
}

#[test]
fn the_browsers_encoder_is_frozen() {
    openh264("").check();
    openh264("usage-type=screen complexity=high").check();
    openh264("slice-mode=n-slices num-slices=4").check();
}

/// What Chromium 156 sent of a canvas by WebRTC: `fixtures/chromium.h264`, 24 pictures, the 14th a keyframe again.
#[test]
fn what_chromium_sends_is_frozen() {
    let stream = split(include_bytes!("../fixtures/chromium.h264"), "yuvj420p");
    assert_eq!(stream.sets.len(), 2);
    stream.check();
}

#[test]
fn another_decoder_sees_the_same() {
    for stream in [
        openh264(""),
        x264("main", "yuv420p", "bframes=0:ref=3:weightp=1"),
    ] {
        let mut freezer = stream.freezer(7).unwrap();
        let frozen: Vec<Bytes> = (0..FROZEN).map(|_| freezer.next()).collect();
        let pipeline = "-q fdsrc fd=0 ! h264parse ! openh264dec ! videoconvert ! video/x-raw,format=I420 ! fdsink fd=1";
        let arguments: Vec<&str> = pipeline.split_whitespace().collect();

        let (raw, _) = filter("gst-launch-1.0", &arguments, stream.interrupted(7, &frozen));

        let pictures: Vec<&[u8]> = raw.chunks(raw.len() / (7 + FROZEN + 12)).collect();
        assert_eq!(raw.len() % (7 + FROZEN + 12), 0);
        assert!(
            pictures[7..7 + FROZEN]
                .iter()
                .all(|picture| *picture == pictures[6])
        );
        assert_ne!(pictures[5], pictures[6]);
        assert_ne!(pictures[7 + FROZEN], pictures[6]);
    }
}

/// Makes a P slice by CAVLC one that nothing refers to.
fn without_reference(stream: &Stream, nal: &[u8]) -> Vec<u8> {
    let (_, pictures) = parameter_sets(&stream.config.decoder_configuration).unwrap();
    let picture = PictureParameters::parse(pictures[0]).unwrap();
    let (sequences, _) = parameter_sets(&stream.config.decoder_configuration).unwrap();
    let sequence = Sequence::parse(sequences[0]).unwrap();
    let plain = super::super::bits::without_emulation_prevention(&nal[1..], usize::MAX);
    let marking = header::marking_position(nal, &sequence, &picture);
    let mut bits = Bits::new(&plain);
    let mut writer = BitWriter::default();
    // All but the bit that says how the reference is kept.
    for place in 0..plain.len() * 8 {
        let bit = bits.flag().unwrap();
        assert!(place != marking || !bit);
        if place != marking {
            writer.put_flag(bit);
        }
    }
    let mut plain = writer.into_bytes();
    while plain.last() == Some(&0) {
        plain.pop();
    }
    let mut changed = vec![nal[0] & 0x1f];
    put_with_emulation_prevention(&mut changed, &plain);
    changed
}

#[test]
fn a_picture_that_nothing_refers_to_is_followed_by_the_one_before() {
    for parameters in [
        "bframes=0:ref=1",
        "bframes=2:b-adapt=1:b-bias=-100:ref=2:cabac=0",
    ] {
        let profile = if parameters.starts_with("bframes=0") {
            "baseline"
        } else {
            "main"
        };
        let mut stream = x264(profile, "yuv420p", parameters);
        let slice = without_reference(&stream, &stream.pictures[6][0]);
        stream.pictures[6] = vec![slice];
        let mut freezer = stream.freezer(7).unwrap();
        let frozen: Vec<Bytes> = (0..FROZEN).map(|_| freezer.next()).collect();

        let decoded = stream.decode(stream.interrupted(7, &frozen));

        assert_eq!(decoded.len(), 7 + FROZEN + 12);
        assert_ne!(decoded[6], decoded[5]);
        assert!(
            decoded[7..7 + FROZEN]
                .iter()
                .all(|picture| *picture == decoded[5])
        );
    }
}

#[test]
fn a_freeze_of_minutes_wraps_its_numbers() {
    let stream = x264("main", "yuv420p", "bframes=2:b-adapt=1:b-bias=-100:ref=2");
    let plain = stream.decode(stream.interrupted(FRAMES, &[]));
    let mut freezer = stream.freezer(7).unwrap();
    let frozen: Vec<Bytes> = (0..1_800).map(|_| freezer.next()).collect();

    let decoded = stream.decode(stream.interrupted(7, &frozen));

    assert_eq!(decoded.len(), 7 + 1_800 + 12);
    assert!(
        decoded[7..7 + 1_800]
            .iter()
            .all(|picture| *picture == plain[6])
    );
}

#[test]
fn what_cannot_be_frozen_is_said_so() {
    assert!(
        x264("high", "yuv420p", "bframes=0:interlaced=1:ref=1")
            .freezer(5)
            .is_none(),
        "fields"
    );
    let stream = x264("main", "yuv420p", "bframes=2:b-adapt=0:ref=2");
    let frozen = (1..=FRAMES)
        .filter(|&shown| stream.freezer(shown).is_some())
        .count();
    assert!((1..FRAMES).contains(&frozen), "not after a B picture");
    assert!(Freezer::new(&stream.config, &[]).is_none());
    assert!(Freezer::new(&stream.config, &[0, 0, 0, 9, 0x41]).is_none());
}

/// Chromium's parameters, and High ones of x264 with CABAC and many references.
fn configs() -> Vec<VideoConfig> {
    let sets: [[&[u8]; 2]; 2] = [
        [
            &[
                0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x17, 0xfc, 0xb0, 0x0f, 0x08,
            ],
            &[0x68, 0xce, 0x3c, 0x80],
        ],
        [
            &[
                0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00,
                0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
            ],
            &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0],
        ],
    ];
    sets.iter()
        .map(|[sequence, picture]| {
            let mut parameters = ParameterSets::default();
            parameters.take_sequence(sequence).unwrap();
            parameters.take_picture(picture).unwrap();
            parameters.configuration().unwrap()
        })
        .collect()
}

proptest! {
    #[test]
    fn any_bytes_give_pictures_or_nothing(
        record in prop::collection::vec(any::<u8>(), 0..80),
        flips in prop::collection::vec((0..80_usize, any::<u8>()), 0..4),
        slice in prop::collection::vec(any::<u8>(), 0..60),
        kind in prop_oneof![Just(0x41_u8), Just(0x65), Just(0x01), any::<u8>()],
        cut in 0..4_usize,
    ) {
        let last = unit(&[vec![6, 1, 2], [&[kind], &slice[..]].concat()]);
        let last = &last[..last.len() - cut.min(last.len())];
        for mut config in configs() {
            let mut damaged = config.decoder_configuration.to_vec();
            for (place, flip) in &flips {
                let place = place % damaged.len();
                damaged[place] ^= flip;
            }
            for record in [&damaged, &record] {
                config.decoder_configuration = record.clone().into();
                if let Some(mut freezer) = Freezer::new(&config, last) {
                    for _ in 0..3 {
                        let unit = freezer.next();
                        prop_assert_eq!(&unit[..4], ((unit.len() - 4) as u32).to_be_bytes());
                        prop_assert!(unit.len() < 4_096);
                    }
                }
            }
        }
    }
}
