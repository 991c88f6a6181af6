//! A studio whose clocks, ways and reports are as one likes, for hours of invented time, and what becomes of its marks.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test media is small"
)]

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use media::{RtpPacket, SenderReport, TrackKind};
use opus::{Application, Channels};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::path::tests::{Event, Script, coded_pictures};

/// Marks a picture whose capture time follows.
pub(super) const MARK: &[u8] = b"CAPTURED";

/// There is a beep this often by the sound's own clock.
pub(super) const BEEP_SECONDS: f64 = 12.0;

/// The sender's wall clock at the beginning.
const NTP: Duration = Duration::from_secs(4_000_000_000);

/// How one track is made and sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Track {
    /// How much faster its clock is than the wall's, in parts in a million.
    pub(super) drift: f64,
    /// From the lens or the microphone to us, at the least; longer than a packet of sound.
    pub(super) way: Duration,
    /// When it begins, and how long.
    pub(super) from: Duration,
    pub(super) until: Duration,
    pub(super) ssrc: u32,
}

/// What the sender reports of its clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reports {
    None,
    /// Every 5 s.
    From(Duration),
    /// Every 5 s up to then.
    Until(Duration),
    Only(TrackKind),
    /// Anything at all.
    Absurd,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) picture: Option<Track>,
    pub(super) sound: Option<Track>,
    pub(super) reports: Reports,
    /// Pictures a second.
    pub(super) rate: u32,
    /// Samples in a packet of sound.
    pub(super) samples: u32,
    pub(super) jitter: Duration,
    /// Part of the packets that are lost, in bursts of three on average.
    pub(super) lost: f64,
    /// Whether lost packets come after all, up to 150 ms later.
    pub(super) repaired: bool,
    /// Whether nothing is sent of what cannot be heard, but a packet every 400 ms.
    pub(super) discontinuous: bool,
    /// Every so many pictures a packet of nothing follows.
    pub(super) padding: Option<u64>,
    /// Whether sound is coded in one channel and two by turns.
    pub(super) changes_channels: bool,
}

const PICTURE: Track = Track {
    drift: 0.0,
    way: Duration::from_millis(190),
    from: Duration::ZERO,
    until: Duration::MAX,
    ssrc: 0x5649,
};

const SOUND: Track = Track {
    way: Duration::from_millis(25),
    ssrc: 0x4155,
    ..PICTURE
};

impl Options {
    /// Pictures take 165 ms longer than sound on their way.
    pub(super) const USUAL: Self = Self {
        picture: Some(PICTURE),
        sound: Some(SOUND),
        reports: Reports::From(Duration::ZERO),
        rate: 10,
        samples: 960,
        jitter: Duration::ZERO,
        lost: 0.0,
        repaired: false,
        discontinuous: false,
        padding: None,
        changes_channels: false,
    };

    /// Coarse enough to live for long.
    pub(super) const LONG: Self = Self {
        picture: Some(Track {
            way: Duration::from_millis(295),
            ..PICTURE
        }),
        sound: Some(Track {
            way: Duration::from_millis(130),
            ..SOUND
        }),
        rate: 5,
        samples: 5_760,
        ..Self::USUAL
    };

    pub(super) fn drifting(mut self, picture: f64, sound: f64) -> Self {
        if let Some(track) = &mut self.picture {
            track.drift = picture;
        }
        if let Some(track) = &mut self.sound {
            track.drift = sound;
        }
        self
    }

    /// Both tracks take equally long on their way.
    pub(super) fn level(mut self) -> Self {
        if let Some(track) = &mut self.picture {
            track.way = Duration::from_millis(130);
        }
        if let Some(track) = &mut self.sound {
            track.way = Duration::from_millis(130);
        }
        self
    }
}

/// A studio on its way through time.
#[derive(Debug)]
pub(super) struct Studio {
    pub(super) options: Options,
    random: StdRng,
    pending: Script,
    picture: u64,
    sound: u64,
    report: u64,
    sequences: [u16; 2],
    is_bursting: bool,
}

impl Studio {
    pub(super) fn new(options: Options, begins: Duration) -> Self {
        let begin = begins.as_secs_f64();
        Self {
            options,
            random: StdRng::seed_from_u64(5),
            pending: Vec::new(),
            picture: (begin * f64::from(options.rate)).ceil() as u64,
            sound: (begin * 48_000.0 / f64::from(options.samples)).ceil() as u64,
            report: begins.as_secs() / 5,
            sequences: [65_400; 2],
            is_bursting: false,
        }
    }

    /// Returns what arrives until then, in order.
    pub(super) fn advance(&mut self, until: Duration) -> Script {
        while let Some(track) = self.options.picture
            && let captured = seconds(self.picture as f64 / f64::from(self.options.rate))
            && captured < until
        {
            if (track.from..track.until).contains(&captured) {
                self.send_picture(track, captured);
            }
            self.picture += 1;
        }
        while let Some(track) = self.options.sound
            && let rate = 48_000.0 * (1.0 + track.drift / 1e6)
            && let start = self.sound as f64 * f64::from(self.options.samples) / rate
            && seconds(start) < until
        {
            if (track.from..track.until).contains(&seconds(start)) {
                self.send_sound(track, seconds(start));
            }
            self.sound += 1;
        }
        while self.options.reports != Reports::None
            && let time = Duration::from_secs(self.report * 5) + Duration::from_millis(700)
            && time < until
        {
            for kind in [TrackKind::Video, TrackKind::Audio] {
                self.send_report(kind, time);
            }
            self.report += 1;
        }
        self.pending.sort_by_key(|(time, _)| *time);
        let later = self.pending.partition_point(|(time, _)| *time < until);
        let rest = self.pending.split_off(later);
        std::mem::replace(&mut self.pending, rest)
    }

    fn send_picture(&mut self, track: Track, captured: Duration) {
        let coded = coded_pictures();
        let is_key = self.picture.is_multiple_of(u64::from(self.options.rate));
        let picture = &coded[usize::from(!is_key)];
        let timestamp = ticks(captured, 90_000.0, track);
        for nal in picture.nals.iter().filter(|nal| nal[0] & 0x1f != 9) {
            let is_slice = matches!(nal[0] & 0x1f, 1 | 5);
            let mut payload = nal[..nal.len().min(200)].to_vec();
            if is_slice {
                payload.extend_from_slice(MARK);
                payload.extend_from_slice(&(captured.as_micros() as u64).to_be_bytes());
            }
            self.send(
                TrackKind::Video,
                track,
                captured,
                timestamp,
                is_slice,
                payload.into(),
            );
        }
        if self
            .options
            .padding
            .is_some_and(|every| self.picture.is_multiple_of(every))
        {
            self.send(
                TrackKind::Video,
                track,
                captured,
                timestamp,
                false,
                Bytes::new(),
            );
        }
    }

    fn send_sound(&mut self, track: Track, start: Duration) {
        let period = (BEEP_SECONDS * 48_000.0) as u64 / u64::from(self.options.samples);
        let place = (self.sound % period) as usize;
        let every = 19_200 / self.options.samples as usize;
        if self.options.discontinuous && place > 5 && !place.is_multiple_of(every) {
            return;
        }
        let is_mono = self.options.changes_channels && self.sound / 777 % 2 == 1;
        let coded = &coded_beeps(self.options.samples)[usize::from(is_mono)];
        let payload = coded[place.min(coded.len() - 1)].clone();
        let number = self.sound * u64::from(self.options.samples);
        let timestamp = track
            .ssrc
            .wrapping_mul(77_777_777)
            .wrapping_add(number as u32);
        self.send(TrackKind::Audio, track, start, timestamp, false, payload);
    }

    fn send(
        &mut self,
        kind: TrackKind,
        track: Track,
        ready: Duration,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
    ) {
        let sequence = &mut self.sequences[usize::from(kind == TrackKind::Audio)];
        let packet = RtpPacket {
            sequence: *sequence,
            timestamp,
            ssrc: track.ssrc,
            marker,
            payload,
        };
        *sequence = sequence.wrapping_add(1);
        let mut arrival = ready + track.way + self.options.jitter.mul_f64(self.random.random());
        let lost = self.options.lost;
        self.is_bursting = self.random.random_bool(if self.is_bursting {
            2.0 / 3.0
        } else {
            (lost / (1.0 - lost) / 3.0).min(1.0)
        });
        if self.is_bursting {
            if !self.options.repaired {
                return;
            }
            arrival += Duration::from_millis(self.random.random_range(60..150));
        }
        self.pending.push((arrival, Event::Packet(kind, packet)));
    }

    fn send_report(&mut self, kind: TrackKind, time: Duration) {
        let (track, rate) = match kind {
            TrackKind::Video => (self.options.picture, 90_000.0),
            TrackKind::Audio => (self.options.sound, 48_000.0),
        };
        let is_sent = match self.options.reports {
            Reports::None => false,
            Reports::From(from) => time >= from,
            Reports::Until(until) => time < until,
            Reports::Only(only) => only == kind,
            Reports::Absurd => true,
        };
        let Some(track) = track.filter(|_| is_sent) else {
            return;
        };
        let mut report = SenderReport {
            ssrc: track.ssrc,
            ntp_time: NTP + time,
            rtp_timestamp: ticks(time, rate, track),
        };
        if self.options.reports == Reports::Absurd {
            match self.random.random_range(0..4) {
                0 => report.ntp_time = Duration::from_nanos(self.random.random()),
                1 => report.rtp_timestamp = self.random.random(),
                2 => report.ntp_time = Duration::ZERO,
                _ => report.ntp_time += Duration::from_millis(self.random.random_range(0..90_000)),
            }
        }
        let arrival = time + track.way;
        self.pending.push((arrival, Event::Report(kind, report)));
    }
}

/// Packets of a beep of 50 ms and of the silence after it, in two channels and in one. The last goes on for ever.
fn coded_beeps(samples: u32) -> &'static [Vec<Bytes>; 2] {
    static LONG: OnceLock<[Vec<Bytes>; 2]> = OnceLock::new();
    static USUAL: OnceLock<[Vec<Bytes>; 2]> = OnceLock::new();
    let cell = if samples == 5_760 { &LONG } else { &USUAL };
    cell.get_or_init(|| {
        [(Channels::Stereo, 2), (Channels::Mono, 1)].map(|(channels, count)| {
            let mut encoder = opus::Encoder::new(48_000, channels, Application::Audio).unwrap();
            let mut code = |from: u32, is_loud: bool| -> Bytes {
                let block: Vec<f32> = (from..from + samples)
                    .flat_map(|sample| {
                        let tone = (sample as f32 * std::f32::consts::TAU / 48.0).cos() * 0.6;
                        vec![if is_loud && sample < 2_400 { tone } else { 0.0 }; count]
                    })
                    .collect();
                encoder.encode_vec_float(&block, 1_500).unwrap().into()
            };
            for _ in 0..5 {
                code(0, false);
            }
            (0..12).map(|packet| code(packet * samples, true)).collect()
        })
    })
}

fn ticks(time: Duration, rate: f64, track: Track) -> u32 {
    let ticks = time.as_secs_f64() * rate * (1.0 + track.drift / 1e6);
    track
        .ssrc
        .wrapping_mul(77_777_777)
        .wrapping_add(ticks as u64 as u32)
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}
