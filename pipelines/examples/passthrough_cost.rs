//! Measures what passthrough broadcasts cost, in percent of one core per broadcast, in real time on one thread.
//!
//! `passthrough_cost [BROADCASTS] [SECONDS]`: 1080p30 4.5 Mb/s H.264 and 128 kb/s Opus each. Prints the whole engine,
//! the engine making silence, the sound alone (decoded and encoded in one go, and with a wake-up per packet), and what
//! stands in for a studio that is gone: a freeze, and slates without and with sound.
#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a measurement for people"
)]

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{
    CodecConfig, MediaSink, RtpPacket, SourceDescription, StandIn, StandInPicture, TrackKind,
    VideoCodec, VideoConfig,
};
use nix::sys::resource::{UsageWho, getrusage};
use opus::{Application, Bitrate, Channels, Encoder};
use pipelines::{
    audio::{AacEncoder, OpusDecoder, XaacEncoder},
    path::{MediaPath, PathConfig, Showing},
};
use tokio::sync::watch;

const PICTURES_A_SECOND: u32 = 30;
const BITS_PER_SECOND: usize = 4_500_000;
const PAYLOAD_BYTES: usize = 1_150;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (broadcasts, seconds): (usize, u64) = (number(20) as usize, number(10));
    let sounds = opus_packets();
    println!("{broadcasts} broadcasts, {seconds} s");

    let fast = measure(1, 60, || encode_in_one_go(&sounds));
    println!("sound in one go           {fast:.2} %");
    let live = measure(broadcasts, seconds, || {
        encode_per_packet(&sounds, broadcasts, seconds);
    });
    println!("sound, a wake-up a packet {live:.2} %");
    for (name, has_sound) in [("engine", true), ("engine, silent studio", false)] {
        let cost = measure(broadcasts, seconds, || {
            broadcast(&sounds, broadcasts, seconds, has_sound);
        });
        let memory = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
        println!(
            "{name:25} {cost:.2} %, resident at most {} MB",
            memory / 1_024
        );
    }
    for (name, slate) in [
        ("freeze", None),
        ("slate", Some(slate(&[]))),
        ("slate with sound", Some(slate(&sounds))),
    ] {
        let mut engines = abandoned(&sounds, broadcasts, slate.as_ref());
        let cost = measure(broadcasts, seconds, || stand_in(&mut engines, seconds));
        println!("{name:25} {cost:.2} %");
    }
}

/// Percent of one core per broadcast.
fn measure(broadcasts: usize, seconds: u64, work: impl FnOnce()) -> f64 {
    let used = || {
        let usage =
            getrusage(UsageWho::RUSAGE_SELF).expect("the process may ask for its own usage");
        [usage.user_time(), usage.system_time()]
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum::<f64>()
    };
    let before = used();
    work();
    (used() - before) * 100.0 / broadcasts as f64 / seconds as f64
}

/// Ten seconds of a chord with noise.
fn opus_packets() -> Vec<Bytes> {
    let mut encoder =
        Encoder::new(48_000, Channels::Stereo, Application::Audio).expect("libopus starts");
    encoder
        .set_bitrate(Bitrate::Bits(128_000))
        .expect("a usual bitrate");
    let mut noise = 1_u32;
    (0..500)
        .map(|packet| {
            let block: Vec<f32> = (packet * 960..(packet + 1) * 960)
                .flat_map(|sample| {
                    let time = sample as f32 / 48_000.0;
                    let tone = |hertz: f32| (time * hertz * std::f32::consts::TAU).sin() * 0.15;
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let hiss = (noise >> 16) as f32 / 65_536.0 * 0.05;
                    [
                        tone(220.0) + tone(554.0) + hiss,
                        tone(330.0) + tone(880.0) - hiss,
                    ]
                })
                .collect();
            Bytes::from(
                encoder
                    .encode_vec_float(&block, 1_500)
                    .expect("20 ms of stereo"),
            )
        })
        .collect()
}

struct Transcoder {
    decoder: OpusDecoder,
    encoder: XaacEncoder,
    samples: Vec<i16>,
}

impl Transcoder {
    fn new() -> Self {
        let decoder = OpusDecoder::new().expect("libopus starts");
        Self {
            decoder,
            encoder: XaacEncoder::new(160_000),
            samples: Vec::new(),
        }
    }

    fn take(&mut self, payload: &[u8]) {
        self.samples
            .extend_from_slice(self.decoder.decode(payload).samples);
        while self.samples.len() >= 2_048 {
            self.encoder
                .encode(&self.samples[..2_048])
                .expect("a whole frame");
            self.samples.drain(..2_048);
        }
    }
}

fn encode_in_one_go(sounds: &[Bytes]) {
    let mut transcoder = Transcoder::new();
    for payload in sounds.iter().cycle().take(60 * 50) {
        transcoder.take(payload);
    }
}

fn encode_per_packet(sounds: &[Bytes], broadcasts: usize, seconds: u64) {
    let mut transcoders: Vec<Transcoder> = (0..broadcasts).map(|_| Transcoder::new()).collect();
    let start = Instant::now();
    let step = Duration::from_millis(20) / broadcasts as u32;
    for turn in 0..seconds as usize * 50 * broadcasts {
        sleep_until(start + step * turn as u32);
        transcoders[turn % broadcasts].take(&sounds[turn / broadcasts % sounds.len()]);
    }
}

fn sleep_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// A picture's packets: a keyframe every 2 s that is five times as large as the others.
fn picture(number: u32, sequence: &mut u16) -> Vec<RtpPacket> {
    let is_keyframe = number.is_multiple_of(2 * PICTURES_A_SECOND);
    let average = BITS_PER_SECOND / 8 / PICTURES_A_SECOND as usize;
    let bytes = if is_keyframe {
        average * 5
    } else {
        average * 55 / 59
    };
    let count = bytes.div_ceil(PAYLOAD_BYTES);
    let header = if is_keyframe { 0x05 } else { 0x01 };
    let mut payloads: Vec<Bytes> = (0..count)
        .map(|index| {
            let start = if index == 0 { 0x80 } else { 0 };
            let end = if index + 1 == count { 0x40 } else { 0 };
            let mut payload = vec![0x5a; PAYLOAD_BYTES];
            payload[..2].copy_from_slice(&[0x7c, header | start | end]);
            if index == 0 {
                // The beginning of a slice header by x264.
                let slice = if is_keyframe {
                    [0x88, 0x84]
                } else {
                    [0x9a, 0x21]
                };
                payload[2..4].copy_from_slice(&slice);
            }
            Bytes::from(payload)
        })
        .collect();
    if is_keyframe {
        payloads.insert(
            0,
            Bytes::from_static(&[
                0x78, 0, 27, 0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5,
                0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60,
                0xc6, 0x58, 0, 4, 0x68, 0xce, 0x3c, 0x80,
            ]),
        );
    }
    let last = payloads.len() - 1;
    payloads
        .into_iter()
        .enumerate()
        .map(|(index, payload)| {
            *sequence = sequence.wrapping_add(1);
            let timestamp = number * 90_000 / PICTURES_A_SECOND;
            RtpPacket {
                sequence: *sequence,
                timestamp,
                ssrc: 1,
                marker: index == last,
                payload,
            }
        })
        .collect()
}

fn broadcast(sounds: &[Bytes], broadcasts: usize, seconds: u64, has_sound: bool) {
    let mut engines: Vec<_> = (0..broadcasts)
        .map(|_| MediaPath::new(PathConfig::default(), watch::channel(None).1))
        .collect();
    for (engine, ..) in &mut engines {
        let source = SourceDescription {
            video: Some(VideoCodec::H264),
            audio: has_sound,
        };
        engine.handle_source_started(source, Instant::now());
    }
    let start = Instant::now();
    let mut sequence = 0;
    let mut sounds_sent = 0;
    // All studios send the same; what costs is receiving it.
    for number in 0..seconds as u32 * PICTURES_A_SECOND {
        let due = start + Duration::from_secs(1) * number / PICTURES_A_SECOND;
        let packets = picture(number, &mut sequence);
        while has_sound && start + Duration::from_millis(20) * sounds_sent < due {
            for (engine, ..) in &mut engines {
                let payload = sounds[sounds_sent as usize % sounds.len()].clone();
                let packet = RtpPacket {
                    sequence: sounds_sent as u16,
                    timestamp: sounds_sent * 960,
                    ssrc: 2,
                    marker: false,
                    payload,
                };
                engine.handle_packet(TrackKind::Audio, packet, Instant::now());
            }
            sounds_sent += 1;
        }
        for (index, (engine, ..)) in engines.iter_mut().enumerate() {
            sleep_until(due + Duration::from_millis(33) * index as u32 / broadcasts as u32);
            for packet in packets.clone() {
                engine.handle_packet(TrackKind::Video, packet, Instant::now());
            }
            let now = Instant::now();
            // A silent studio brings no other timers about than the pictures do.
            if has_sound && engine.poll_timeout().is_some_and(|timeout| timeout <= now) {
                engine.handle_timeout(now);
            }
        }
    }
    for (_, _, status) in &engines {
        assert_eq!(status.borrow().counters.losses, 0);
    }
}

/// Two seconds of 30 pictures a second that would have 2 Mb/s.
fn slate(sounds: &[Bytes]) -> Arc<StandIn> {
    Arc::new(StandIn {
        config: Arc::new(CodecConfig::Avc(VideoConfig {
            decoder_configuration: Bytes::from_static(&[1, 0x42, 0, 0x1f, 0xff, 0xe0, 0]),
            width: 1_920,
            height: 1_080,
        })),
        pictures: (0..60)
            .map(|number| StandInPicture {
                keyframe: number == 0,
                data: vec![0x5a; 8_000].into(),
            })
            .collect(),
        picture_interval: Duration::from_secs(1) / PICTURES_A_SECOND,
        sound: sounds.to_vec(),
    })
}

/// Engines whose studios are gone after a second, and for which something stands in.
fn abandoned(sounds: &[Bytes], broadcasts: usize, slate: Option<&Arc<StandIn>>) -> Vec<MediaPath> {
    let config = PathConfig {
        slate_after: slate.map(|_| Duration::ZERO),
        ..PathConfig::default()
    };
    let start = Instant::now();
    let mut engines = Vec::new();
    for index in 0..broadcasts {
        let (mut engine, _, status) = MediaPath::new(config, watch::channel(slate.cloned()).1);
        // They were there one after another, so that not all wake at once.
        let begin = start + Duration::from_millis(33) * index as u32 / broadcasts as u32;
        let source = SourceDescription {
            video: Some(VideoCodec::H264),
            audio: true,
        };
        engine.handle_source_started(source, begin);
        let mut sequence = 0;
        for number in 0..PICTURES_A_SECOND {
            let now = begin + Duration::from_secs(1) * number / PICTURES_A_SECOND;
            for packet in picture(number, &mut sequence) {
                engine.handle_packet(TrackKind::Video, packet, now);
            }
            let packet = RtpPacket {
                sequence: number as u16,
                timestamp: number * 960,
                ssrc: 2,
                marker: false,
                payload: sounds[number as usize].clone(),
            };
            engine.handle_packet(TrackKind::Audio, packet, now);
        }
        let end = begin + Duration::from_secs(1);
        engine.handle_source_ended(end);
        engine.handle_timeout(end + Duration::from_millis(100));
        let expected = match slate {
            Some(_) => Showing::Slate,
            None => Showing::Freeze,
        };
        assert_eq!(status.borrow().showing, expected);
        engines.push(engine);
    }
    sleep_until(start + Duration::from_millis(1_200));
    engines
}

fn stand_in(engines: &mut [MediaPath], seconds: u64) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while let Some(due) = engines
        .iter()
        .filter_map(MediaSink::poll_timeout)
        .min()
        .filter(|due| *due < end)
    {
        sleep_until(due);
        let now = Instant::now();
        for engine in &mut *engines {
            if engine.poll_timeout().is_some_and(|due| due <= now) {
                engine.handle_timeout(now);
            }
        }
    }
}
