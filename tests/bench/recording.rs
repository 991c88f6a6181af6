//! The load's media: made once by the synthetic studio, kept as RTP packets in a file, replayed in a loop.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use bytes::{Buf, BufMut, Bytes};
use media::{RtpPacket, TrackKind, VideoCodec};
use pipelines::gstreamer::{Pace, StudioOptions, TestStudio};

/// Length of the loop; a whole number of groups of pictures and of Opus frames.
pub(crate) const LOOP: Duration = Duration::from_secs(10);

/// Pictures a second.
pub(crate) const FRAMES_PER_SECOND: u32 = 30;

/// Pictures in the loop.
pub(crate) const FRAMES: usize = 300;

/// RTP clocks.
pub(crate) const VIDEO_CLOCK_HZ: u32 = 90_000;
pub(crate) const AUDIO_CLOCK_HZ: u32 = 48_000;

/// What Chrome's software encoder sends of a busy 1080p canvas.
const VIDEO_BITS_PER_SECOND: u32 = 4_500_000;
const AUDIO_BITS_PER_SECOND: u32 = 128_000;

/// The platforms' rule: a keyframe every two seconds.
const KEYFRAME_INTERVAL_FRAMES: u32 = 60;

/// Opus frames in the loop.
const AUDIO_PACKETS: usize = 500;

/// A picture's packets leave at this multiple of the bitrate, as Chrome paces them.
const PACING_PERCENT: u64 = 250;

/// Names the file's layout.
const MAGIC: &[u8; 7] = b"cgbench";

/// How long the encoder may take on a busy machine.
const ENCODING_LIMIT: Duration = Duration::from_mins(10);

/// The loop, in order of sending.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) codec: VideoCodec,
    pub(crate) packets: Vec<Item>,
    pub(crate) frames: Vec<Frame>,
}

/// One packet of the loop.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// When it leaves, since the loop began.
    pub(crate) at: Duration,
    pub(crate) kind: TrackKind,
    /// RTP timestamp since the loop began.
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Bytes,
}

/// One picture of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// H.264: bytes of its NAL units without parameter sets, each behind a 4-byte length, as FLV carries them. Others: bytes
    /// of its payloads.
    pub(crate) bytes: usize,
    pub(crate) keyframe: bool,
}

impl Recording {
    /// Reads the loop from `path`, or makes it and keeps it there. That of another codec than H.264 is beside it.
    pub(crate) fn prepare(path: &Path, codec: VideoCodec) -> anyhow::Result<Self> {
        let path = &match codec {
            VideoCodec::H264 => path.to_owned(),
            VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1 => {
                path.with_extension(codec.as_str().to_lowercase())
            }
        };
        let packets = if let Ok(bytes) = fs::read(path) {
            parse(codec, &bytes).with_context(|| format!("{} is damaged", path.display()))?
        } else {
            let packets = encode(codec)?;
            // Renamed when whole, so that an interrupted run leaves no half of it.
            let part = path.with_extension("part");
            fs::write(&part, serialise(codec, &packets))
                .and_then(|()| fs::rename(&part, path))
                .with_context(|| format!("{} cannot be written", path.display()))?;
            packets
        };
        Self::new(codec, packets)
    }

    fn new(codec: VideoCodec, packets: Vec<(TrackKind, RtpPacket)>) -> anyhow::Result<Self> {
        let mut items = Vec::with_capacity(packets.len());
        let mut frames = Vec::with_capacity(FRAMES);
        let mut frame = Frame {
            bytes: 0,
            keyframe: false,
        };
        let mut pace = Duration::ZERO;
        for (kind, packet) in packets {
            let clock = match kind {
                TrackKind::Video => VIDEO_CLOCK_HZ,
                TrackKind::Audio => AUDIO_CLOCK_HZ,
            };
            let captured = Duration::from_nanos(
                u64::from(packet.timestamp) * 1_000_000_000 / u64::from(clock),
            );
            let at = match kind {
                TrackKind::Audio => captured,
                TrackKind::Video => {
                    match codec {
                        VideoCodec::H264 => add_units(&mut frame, &packet.payload),
                        VideoCodec::Vp8 | VideoCodec::Vp9 | VideoCodec::Av1 => {
                            frame.keyframe |= starts_keyframe(codec, &packet.payload);
                            frame.bytes += packet.payload.len();
                        }
                    }
                    if packet.marker {
                        frames.push(frame);
                        frame = Frame {
                            bytes: 0,
                            keyframe: false,
                        };
                    }
                    let at = pace.max(captured);
                    pace = at + time_at_pace(packet.payload.len());
                    at
                }
            };
            items.push(Item {
                at,
                kind,
                timestamp: packet.timestamp,
                marker: packet.marker,
                payload: packet.payload,
            });
        }
        items.sort_by_key(|item| item.at);
        ensure!(
            frames.len() == FRAMES && frames[0].keyframe,
            "the loop has {} pictures",
            frames.len()
        );
        ensure!(
            pace < LOOP + Duration::from_millis(100),
            "the last picture is too large"
        );
        Ok(Self {
            codec,
            packets: items,
            frames,
        })
    }

    /// Mean bitrate of the pictures, in bit/s.
    pub(crate) fn video_bits_per_second(&self) -> usize {
        let bytes: usize = self.frames.iter().map(|frame| frame.bytes).sum();
        bytes * 8 / usize::try_from(LOOP.as_secs()).unwrap_or(1)
    }
}

fn time_at_pace(bytes: usize) -> Duration {
    let bytes_per_second = u64::from(VIDEO_BITS_PER_SECOND) * PACING_PERCENT / 800;
    Duration::from_nanos(
        u64::try_from(bytes).unwrap_or_default() * 1_000_000_000 / bytes_per_second,
    )
}

/// Adds what a packet brings to its picture (RFC 6184: single NAL units, STAP-A, FU-A).
fn add_units(frame: &mut Frame, payload: &[u8]) {
    const IDR: u8 = 5;
    const SEI: u8 = 6;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let mut add = |kind: u8, bytes: usize, first: bool| {
        frame.keyframe |= kind == IDR;
        if (1..=SEI).contains(&kind) {
            frame.bytes += bytes + if first { 4 } else { 0 };
        }
    };
    match payload {
        [head, rest @ ..] if head & 0x1f == STAP_A => {
            let mut rest = rest;
            while let [high, low, tail @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
                if let Some(head) = tail.first() {
                    add(head & 0x1f, length, true);
                }
                rest = &tail[length..];
            }
        }
        [head, fragment, rest @ ..] if head & 0x1f == FU_A => {
            let first = fragment & 0x80 != 0;
            add(fragment & 0x1f, rest.len() + usize::from(first), first);
        }
        [head, ..] => add(head & 0x1f, payload.len(), true),
        [] => {}
    }
}

/// Whether a packet of the studio's begins a keyframe: its descriptors have picture identifiers of 15 bits.
fn starts_keyframe(codec: VideoCodec, payload: &[u8]) -> bool {
    const VP8_HEADER_BYTES: usize = 4;
    match codec {
        VideoCodec::Vp8 => {
            let begins = payload.first().is_some_and(|first| first & 0x10 != 0);
            begins
                && payload
                    .get(VP8_HEADER_BYTES)
                    .is_some_and(|frame| frame & 0x01 == 0)
        }
        VideoCodec::Vp9 => payload.first().is_some_and(|first| first & 0x48 == 0x08),
        VideoCodec::H264 | VideoCodec::Av1 => false,
    }
}

/// Makes the loop; timestamps then count from its beginning.
fn encode(codec: VideoCodec) -> anyhow::Result<Vec<(TrackKind, RtpPacket)>> {
    let options = StudioOptions {
        width: 1920,
        height: 1080,
        frames_per_second: FRAMES_PER_SECOND,
        video_bits_per_second: VIDEO_BITS_PER_SECOND,
        audio_bits_per_second: AUDIO_BITS_PER_SECOND,
        keyframe_interval_frames: Some(KEYFRAME_INTERVAL_FRAMES),
        encoder_threads: 1,
        codec,
        // A little more than the loop, since the last Opus frame is the encoder's delay.
        pace: Pace::Unpaced(LOOP + Duration::from_millis(100)),
    };
    let packets = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&packets);
    let studio = TestStudio::start(&options, move |kind, packet| {
        sink.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((kind, packet));
    })?;
    studio.wait(ENCODING_LIMIT)?;
    studio.stop();
    let packets = std::mem::take(&mut *packets.lock().unwrap_or_else(PoisonError::into_inner));
    let first = |kind| {
        packets
            .iter()
            .find(|(of, _)| *of == kind)
            .map(|(_, packet): &(_, RtpPacket)| packet.timestamp)
    };
    let (Some(video), Some(audio)) = (first(TrackKind::Video), first(TrackKind::Audio)) else {
        bail!("the studio made no media");
    };
    let mut sounds = 0;
    Ok(packets
        .into_iter()
        .map(|(kind, mut packet)| {
            let zero = match kind {
                TrackKind::Video => video,
                TrackKind::Audio => audio,
            };
            packet.timestamp = packet.timestamp.wrapping_sub(zero);
            (kind, packet)
        })
        .filter(|(kind, packet)| match kind {
            TrackKind::Video => {
                Duration::from_secs(u64::from(packet.timestamp)) < LOOP * VIDEO_CLOCK_HZ
            }
            TrackKind::Audio => {
                sounds += 1;
                sounds <= AUDIO_PACKETS
            }
        })
        .collect())
}

/// The file's last byte of the head.
fn mark(codec: VideoCodec) -> u8 {
    match codec {
        VideoCodec::H264 => b'1',
        VideoCodec::Vp8 => b'8',
        VideoCodec::Vp9 => b'9',
        VideoCodec::Av1 => b'a',
    }
}

fn serialise(codec: VideoCodec, packets: &[(TrackKind, RtpPacket)]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(mark(codec));
    for (kind, packet) in packets {
        bytes.put_u8(u8::from(*kind == TrackKind::Audio));
        bytes.put_u8(u8::from(packet.marker));
        bytes.put_u32(packet.timestamp);
        bytes.put_u16(u16::try_from(packet.payload.len()).unwrap_or_default());
        bytes.put_slice(&packet.payload);
    }
    bytes
}

fn parse(codec: VideoCodec, bytes: &[u8]) -> anyhow::Result<Vec<(TrackKind, RtpPacket)>> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let fits = bytes.starts_with(MAGIC) && bytes.get(MAGIC.len()) == Some(&mark(codec));
    ensure!(fits, "it is another kind of file");
    bytes.advance(MAGIC.len() + 1);
    let mut packets = Vec::new();
    while bytes.remaining() >= 8 {
        let kind = match bytes.get_u8() {
            0 => TrackKind::Video,
            _ => TrackKind::Audio,
        };
        let marker = bytes.get_u8() != 0;
        let timestamp = bytes.get_u32();
        let length = usize::from(bytes.get_u16());
        ensure!(bytes.remaining() >= length, "it is cut short");
        packets.push((
            kind,
            RtpPacket {
                sequence: 0,
                timestamp,
                ssrc: 0,
                marker,
                payload: bytes.split_to(length),
            },
        ));
    }
    Ok(packets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(payloads: &[&[u8]]) -> Frame {
        let mut frame = Frame {
            bytes: 0,
            keyframe: false,
        };
        for payload in payloads {
            add_units(&mut frame, payload);
        }
        frame
    }

    #[test]
    fn a_picture_is_its_units_without_parameter_sets() {
        let parameter_sets: &[u8] = &[0x78, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce];
        let start: &[u8] = &[0x7c, 0x85, 1, 2, 3];
        let end: &[u8] = &[0x7c, 0x45, 4, 5];

        assert_eq!(
            picture(&[parameter_sets, start, end]),
            Frame {
                bytes: 4 + 1 + 5,
                keyframe: true
            }
        );
        assert_eq!(
            picture(&[&[0x41, 9, 9]]),
            Frame {
                bytes: 4 + 3,
                keyframe: false
            }
        );
    }

    #[test]
    fn a_file_gives_back_what_was_put_in() {
        let packets = vec![
            (TrackKind::Video, packet(0, true, b"picture")),
            (TrackKind::Audio, packet(960, false, b"sound")),
        ];

        let file = serialise(VideoCodec::Vp8, &packets);
        assert_eq!(parse(VideoCodec::Vp8, &file).unwrap(), packets);
        assert!(parse(VideoCodec::H264, &file).is_err());
        assert!(parse(VideoCodec::H264, b"something else").is_err());
    }

    fn packet(timestamp: u32, marker: bool, payload: &'static [u8]) -> RtpPacket {
        RtpPacket {
            sequence: 0,
            timestamp,
            ssrc: 0,
            marker,
            payload: Bytes::from_static(payload),
        }
    }
}
