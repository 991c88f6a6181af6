//! A studio of numbers: coded pictures and sounds as packets with times, the weather on their way, and a worker.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test signals are small"
)]

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    sync::OnceLock,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use media::{CodecConfig, Reader, VideoCodec};
use opus::{Application, Channels};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
const SECONDS: usize = 12;
const PICTURES_A_SECOND: usize = 30;
pub(super) const VIDEO_SSRC: u32 = 0x5649;
const AUDIO_SSRC: u32 = 0x4155;

/// Both wrap a few seconds into the broadcast.
const VIDEO_TIMESTAMP: u32 = u32::MAX - 400_000;
const AUDIO_TIMESTAMP: u32 = u32::MAX - 300_000;
const SEQUENCE: u16 = 65_400;

/// How much later than sound pictures come, from the lens to the wire.
const PICTURE_DELAY: Duration = Duration::from_millis(190);
const SOUND_DELAY: Duration = Duration::from_millis(25);
const NTP: Duration = Duration::from_secs(4_000_000_000);

/// What happens to packets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    pub(super) lost: f64,
    /// Whether a lost packet comes after all, 60 to 150 ms later.
    pub(super) repaired: bool,
    pub(super) duplicated: f64,
    pub(super) jitter: Duration,
}

/// A picture as the studio coded it.
#[derive(Debug)]
pub(super) struct CodedPicture {
    pub(super) keyframe: bool,
    /// As an access unit has it.
    pub(super) data: Bytes,
    pub(super) nals: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    Packet(TrackKind, RtpPacket),
    Report(TrackKind, SenderReport),
}

/// Events with their times since the start, in order.
pub(super) type Script = Vec<(Duration, Event)>;

/// 12 s of 30 pictures a second with a flash each second, by x264 without B-frames.
pub(super) fn coded_pictures() -> &'static [CodedPicture] {
    static PICTURES: OnceLock<Vec<CodedPicture>> = OnceLock::new();
    PICTURES.get_or_init(|| {
        let mut raw = Vec::new();
        for number in 0..SECONDS * PICTURES_A_SECOND {
            let is_flash = number % PICTURES_A_SECOND < 2;
            for row in 0..HEIGHT {
                raw.extend((0..WIDTH).map(|column| match (row < 16, is_flash) {
                    // Its number in black and white makes each picture another.
                    (true, _) => (number >> (column / 32) & 1) as u8 * 200,
                    (false, true) => 235,
                    (false, false) => ((column * 3 + row * 5 + number * 7) % 120) as u8,
                }));
            }
        }
        let stream = ffmpeg(
            &[
                "-f",
                "rawvideo",
                "-pix_fmt",
                "gray",
                "-s",
                "320x180",
                "-r",
                "30",
                "-i",
                "-",
                "-c:v",
                "libx264",
                "-profile:v",
                "baseline",
                "-pix_fmt",
                "yuv420p",
                "-bf",
                "0",
                "-g",
                "30",
                "-sc_threshold",
                "0",
                "-aud",
                "1",
                "-threads",
                "1",
                "-f",
                "h264",
                "-",
            ],
            raw,
        );
        split_pictures(&stream)
    })
}

pub(super) fn ffmpeg(arguments: &[&str], input: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let mut output = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut output)
        .unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    output
}

pub(super) fn split_pictures(stream: &[u8]) -> Vec<CodedPicture> {
    let starts: Vec<usize> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, code)| *code == [0, 0, 1])
        .map(|(at, _)| at)
        .collect();
    let mut pictures: Vec<Vec<Vec<u8>>> = Vec::new();
    for (index, &start) in starts.iter().enumerate() {
        let mut end = starts.get(index + 1).copied().unwrap_or(stream.len());
        while stream[end - 1] == 0 {
            end -= 1;
        }
        let nal = stream[start + 3..end].to_vec();
        if nal[0] & 0x1f == 9 {
            pictures.push(Vec::new());
        }
        pictures.last_mut().unwrap().push(nal);
    }
    pictures
        .into_iter()
        .map(|nals| {
            let kept = nals.iter().filter(|nal| (1..=6).contains(&(nal[0] & 0x1f)));
            let data = kept
                .flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat())
                .collect();
            CodedPicture {
                keyframe: nals.iter().any(|nal| nal[0] & 0x1f == 5),
                data,
                nals,
            }
        })
        .collect()
}

pub(super) fn payloads(nals: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let (small, large): (Vec<_>, Vec<_>) = nals
        .iter()
        .partition(|nal| nal.len() < 100 && nal[0] & 0x1f != 1);
    let mut payloads = Vec::new();
    let mut aggregate = vec![0x78];
    for nal in small {
        aggregate.extend_from_slice(&(nal.len() as u16).to_be_bytes());
        aggregate.extend_from_slice(nal);
    }
    if aggregate.len() > 1 {
        payloads.push(aggregate);
    }
    for nal in large {
        if nal.len() <= 1_200 {
            payloads.push(nal.clone());
            continue;
        }
        let chunks: Vec<&[u8]> = nal[1..].chunks(1_100).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let start = if index == 0 { 0x80 } else { 0 };
            let end = if index + 1 == chunks.len() { 0x40 } else { 0 };
            payloads.push([&[nal[0] & 0x60 | 0x1c, nal[0] & 0x1f | start | end], *chunk].concat());
        }
    }
    payloads
}

/// What a studio sends and how it arrives.
pub(super) fn studio(seed: u64, weather: Weather) -> Script {
    let mut random = StdRng::seed_from_u64(seed);
    let mut script: Script = Vec::new();
    let mut sequence = SEQUENCE;
    for (number, picture) in coded_pictures().iter().enumerate() {
        let time = Duration::from_secs(1) * number as u32 / PICTURES_A_SECOND as u32;
        let payloads = payloads(&picture.nals);
        let last = payloads.len() - 1;
        let mut packets: Vec<(Bytes, bool)> = payloads
            .into_iter()
            .enumerate()
            .map(|(index, payload)| (payload.into(), index == last))
            .collect();
        if number % 10 == 5 {
            packets.push((Bytes::new(), false));
        }
        for (index, (payload, marker)) in packets.into_iter().enumerate() {
            let timestamp = VIDEO_TIMESTAMP.wrapping_add((number * 3_000) as u32);
            let packet = RtpPacket {
                sequence,
                timestamp,
                ssrc: VIDEO_SSRC,
                marker,
                payload,
            };
            sequence = sequence.wrapping_add(1);
            let sent = time + PICTURE_DELAY + Duration::from_micros(150) * index as u32;
            // The first keyframe comes whole, as after a wish.
            let weather = if number == 0 {
                Weather::default()
            } else {
                weather
            };
            travel(
                &mut script,
                &mut random,
                weather,
                sent,
                Event::Packet(TrackKind::Video, packet),
            );
        }
    }
    for (number, payload) in coded_sounds().iter().enumerate() {
        let packet = RtpPacket {
            sequence: SEQUENCE.wrapping_add(number as u16),
            timestamp: AUDIO_TIMESTAMP.wrapping_add((number * 960) as u32),
            ssrc: AUDIO_SSRC,
            marker: false,
            payload: payload.clone(),
        };
        let sent = Duration::from_millis(20) * number as u32 + SOUND_DELAY;
        let weather = if number == 0 {
            Weather::default()
        } else {
            weather
        };
        travel(
            &mut script,
            &mut random,
            weather,
            sent,
            Event::Packet(TrackKind::Audio, packet),
        );
    }
    for second in 0..SECONDS {
        let time = Duration::from_secs(second as u64) + Duration::from_millis(700);
        for (kind, ssrc, base, rate) in [
            (TrackKind::Video, VIDEO_SSRC, VIDEO_TIMESTAMP, 90_000.0),
            (TrackKind::Audio, AUDIO_SSRC, AUDIO_TIMESTAMP, 48_000.0),
        ] {
            let rtp_timestamp = base.wrapping_add((time.as_secs_f64() * rate) as u32);
            let report = SenderReport {
                ssrc,
                ntp_time: NTP + time,
                rtp_timestamp,
            };
            script.push((
                time + Duration::from_millis(30),
                Event::Report(kind, report),
            ));
        }
    }
    script.sort_by_key(|(time, _)| *time);
    script
}

fn travel(
    script: &mut Script,
    random: &mut StdRng,
    weather: Weather,
    sent: Duration,
    event: Event,
) {
    let mut arrival = sent + weather.jitter.mul_f64(random.random::<f64>());
    if random.random_bool(weather.lost) {
        if !weather.repaired {
            return;
        }
        arrival += Duration::from_millis(random.random_range(60..150));
    }
    if random.random_bool(weather.duplicated) {
        script.push((arrival + Duration::from_millis(5), event.clone()));
    }
    script.push((arrival, event));
}

/// Opus packets of 20 ms, with 50 ms of a tone at each second.
pub(super) fn coded_sounds() -> &'static [Bytes] {
    static SOUNDS: OnceLock<Vec<Bytes>> = OnceLock::new();
    SOUNDS.get_or_init(|| {
        let mut encoder = opus::Encoder::new(48_000, Channels::Stereo, Application::Audio).unwrap();
        encoder.set_bitrate(opus::Bitrate::Bits(128_000)).unwrap();
        (0..SECONDS * 50)
            .map(|packet| {
                let block: Vec<f32> = (packet * 960..(packet + 1) * 960)
                    .flat_map(|sample| {
                        let tone = (sample as f32 * 1_000.0 * std::f32::consts::TAU / 48_000.0)
                            .sin()
                            * 0.6;
                        [if sample % 48_000 < 2_400 { tone } else { 0.0 }; 2]
                    })
                    .collect();
                encoder.encode_vec_float(&block, 1_500).unwrap().into()
            })
            .collect()
    })
}

/// Mean brightness of each picture.
pub(super) fn decode_pictures(pictures: &[&AccessUnit]) -> Vec<f64> {
    let mut stream = Vec::new();
    for picture in pictures {
        if picture.keyframe {
            let CodecConfig::Avc(config) = &*picture.config else {
                panic!("not video")
            };
            let record = &config.decoder_configuration;
            let sequence_length = usize::from(u16::from_be_bytes([record[6], record[7]]));
            let (sequence, rest) = record[8..].split_at(sequence_length);
            for set in [sequence, &rest[3..]] {
                stream.extend_from_slice(&[0, 0, 0, 1]);
                stream.extend_from_slice(set);
            }
        }
        let mut rest = &picture.data[..];
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (nal, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend_from_slice(&[0, 0, 0, 1]);
            stream.extend_from_slice(nal);
            rest = tail;
        }
    }
    let raw = ffmpeg(
        &[
            "-f", "h264", "-i", "-", "-vsync", "0", "-f", "rawvideo", "-pix_fmt", "gray", "-",
        ],
        stream,
    );
    raw.chunks_exact(WIDTH * HEIGHT)
        .map(|picture| {
            picture.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / (WIDTH * HEIGHT) as f64
        })
        .collect()
}

/// Samples of the left channel.
pub(super) fn decode_sound(sounds: &[&AccessUnit]) -> Vec<f32> {
    let mut stream = Vec::new();
    for unit in sounds {
        let length = unit.data.len() + 7;
        let header = [
            0xff,
            0xf1,
            0x4c,
            0x80 | (length >> 11) as u8,
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1f,
            0xfc,
        ];
        stream.extend_from_slice(&header);
        stream.extend_from_slice(&unit.data);
    }
    let raw = ffmpeg(
        &[
            "-f",
            "aac",
            "-i",
            "-",
            "-f",
            "f32le",
            "-c:a",
            "pcm_f32le",
            "-",
        ],
        stream,
    );
    raw.chunks_exact(8)
        .map(|pair| f32::from_le_bytes(pair[..4].try_into().unwrap()))
        .collect()
}

/// A worker with one broadcast, in invented time.
pub(super) struct Worker {
    pub(super) engine: MediaPath,
    pub(super) status: watch::Receiver<Status>,
    pub(super) start: Instant,
    pub(super) units: Vec<AccessUnit>,
    pub(super) wakes: usize,
    reader: Reader,
}

impl Worker {
    pub(super) fn new(start: Instant) -> Self {
        Self::with_slate(start, watch::channel(None).1)
    }

    pub(super) fn with_slate(start: Instant, slate: watch::Receiver<Option<Arc<StandIn>>>) -> Self {
        let (engine, subscriber, status) = MediaPath::new(PathConfig::default(), slate);
        Self {
            engine,
            status,
            start,
            units: Vec::new(),
            wakes: 0,
            reader: subscriber.reader(),
        }
    }

    /// Lets time pass up to `until`.
    pub(super) fn wait(&mut self, until: Duration) {
        while let Some(due) = self
            .engine
            .poll_timeout()
            .filter(|due| *due <= self.start + until)
        {
            self.engine.handle_timeout(due);
            self.wakes += 1;
            self.read();
            assert!(
                self.wakes < 100_000,
                "the engine wants to be woken again and again"
            );
        }
    }

    pub(super) fn play(&mut self, script: &Script, offset: Duration) {
        for (time, event) in script {
            let time = *time + offset;
            self.wait(time);
            let now = self.start + time;
            match event.clone() {
                Event::Packet(kind, packet) => self.engine.handle_packet(kind, packet, now),
                Event::Report(kind, report) => self.engine.handle_sender_report(kind, report, now),
            }
            self.read();
        }
    }

    pub(super) fn read(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(batch)) = self.reader.poll_batch(&mut context, &mut self.units) {
            assert_eq!(batch.dropped, 0);
        }
    }
}

pub(super) const BOTH: SourceDescription = SourceDescription {
    video: Some(VideoCodec::H264),
    audio: true,
};

/// Plays a script to its end; returns what came out, and the last status.
pub(super) fn run(script: &Script) -> (Vec<AccessUnit>, Status) {
    let mut worker = Worker::new(Instant::now());
    worker.engine.handle_source_started(BOTH, worker.start);
    worker.play(script, Duration::ZERO);
    let status = worker.status.borrow().clone();
    worker.wait(script.last().unwrap().0 + Duration::from_millis(300));
    (worker.units, status)
}
