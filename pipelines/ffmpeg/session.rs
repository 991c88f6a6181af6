//! What one child was sent and what it made of it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use media::{CodecConfig, VideoCodec};

use super::{
    command::{PAYLOAD_TYPE, Task},
    flv::FlvVideo,
    ledger::{Ledger, Sent},
    link::Link,
    process::{Handed, breathe},
};
use crate::{
    decoder_configuration,
    engine::EnginePicture,
    packetise::{Coded, Packetiser, Stream, nal_units},
    path::video_config,
};

/// The most bytes of a payload. `FFmpeg` reads at most 8,192 of a packet; fewer packets cost less.
const PAYLOAD_BYTES: usize = 8_000;

/// How much is sent at once; the kernel holds at least twice that for a socket.
const BURST_BYTES: usize = 96 * 1024;

/// The RTP timestamp of the first picture. Zero is no timestamp to `FFmpeg`.
const FIRST_RTP_TIMESTAMP: u32 = 90_000;

/// RTP's ticks in a millisecond of video.
const TICKS_PER_MS: u32 = 90;

/// Seconds from the epoch of NTP to that of Unix.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// Pictures were lost on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spoiled;

/// What became of something that a child made.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// A picture that can go out, and the number of the one that it was made of.
    pub(super) picture: Option<(u64, EnginePicture)>,
    /// Whether nothing goes out until a keyframe comes.
    pub(super) wishes_keyframe: bool,
}

/// The life of one child, without the child.
#[derive(Debug)]
pub(super) struct Session {
    copies: bool,
    delimits: bool,
    packetiser: Packetiser,
    ledger: Ledger,
    /// What an encoder announced.
    config: Option<Arc<CodecConfig>>,
    needs_keyframe: bool,
    latest: Option<Duration>,
    latest_rtp_timestamp: u32,
}

impl Session {
    /// `None` for a codec that goes in no packets of ours.
    pub(super) fn new(codec: VideoCodec, task: Task) -> Option<Self> {
        let stream = Stream {
            ssrc: rand::random(),
            payload_type: PAYLOAD_TYPE,
            sequence: rand::random(),
            payload_bytes: PAYLOAD_BYTES,
        };
        let copies = task == Task::Copy;
        Some(Self {
            copies,
            delimits: copies && codec == VideoCodec::H264,
            packetiser: Packetiser::new(codec, stream)?,
            ledger: Ledger::default(),
            config: None,
            needs_keyframe: true,
            latest: None,
            latest_rtp_timestamp: FIRST_RTP_TIMESTAMP,
        })
    }

    /// A sender report for this moment.
    pub(super) fn report(&self) -> Bytes {
        // FFmpeg compares these among themselves only.
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        let ntp = (unix.as_secs() + NTP_TO_UNIX_SECONDS) << 32 | fraction;
        self.packetiser
            .sender_report(ntp, self.latest_rtp_timestamp)
    }

    /// Nothing goes out until a keyframe does.
    pub(super) fn require_keyframe(&mut self) {
        self.needs_keyframe = true;
    }

    /// Sends a picture. Fails when the child has kept too many.
    pub(super) async fn send(&mut self, handed: Handed, link: &Link) -> Result<(), Spoiled> {
        let Handed { number, picture } = handed;
        let label_ms = self.ledger.label(picture.timestamp);
        let rtp_timestamp = rtp_timestamp(label_ms);
        let sent = Sent {
            number,
            label_ms,
            timestamp: picture.timestamp,
            keyframe: picture.keyframe,
            config: picture.config.clone(),
            data: picture.data.clone(),
            arrival: picture.arrival,
        };
        self.ledger.note(sent).map_err(|_| Spoiled)?;
        self.latest_rtp_timestamp = rtp_timestamp;
        let coded = Coded {
            rtp_timestamp,
            keyframe: picture.keyframe,
            config: picture.config.as_deref(),
            data: &picture.data,
        };
        if picture.data.len() <= BURST_BYTES {
            self.packetiser
                .packetise(&coded, |packet| link.send(packet));
        } else {
            let mut packets = Vec::new();
            self.packetiser.packetise(&coded, |packet| {
                packets.push(Bytes::copy_from_slice(packet));
            });
            for burst in packets.chunks(BURST_BYTES / PAYLOAD_BYTES) {
                for packet in burst {
                    link.send(packet);
                }
                breathe().await;
            }
        }
        if self.delimits {
            // The parser in FFmpeg waits for the next picture's beginning before it lets go of one.
            let end = self.latest_rtp_timestamp.wrapping_add(TICKS_PER_MS);
            link.send(self.packetiser.delimiter(end));
        }
        Ok(())
    }

    /// Takes what the child made. Fails in words when it is nothing that can be believed.
    pub(super) fn take(&mut self, video: FlvVideo) -> Result<Answer, &'static str> {
        match video {
            FlvVideo::Configuration(_) if self.copies => Ok(Answer::default()),
            FlvVideo::Configuration(record) => {
                let config = configuration(&record).ok_or("it told senseless parameters")?;
                if self.config.as_deref() != Some(&config) {
                    self.config = Some(Arc::new(config));
                }
                Ok(Answer::default())
            }
            FlvVideo::Picture { data, .. } if self.copies => Ok(self.take_copy(&data)),
            FlvVideo::Picture {
                timestamp_ms, data, ..
            } => self.take_encoded(timestamp_ms, &data),
        }
    }

    fn take_copy(&mut self, data: &[u8]) -> Answer {
        let Some(recognised) = self.ledger.recognise_copy(data) else {
            self.needs_keyframe = true;
            return Answer {
                picture: None,
                wishes_keyframe: true,
            };
        };
        let sent = recognised.sent;
        self.needs_keyframe = (self.needs_keyframe || recognised.after_loss) && !sent.keyframe;
        let Some(config) = sent.config.filter(|_| !self.needs_keyframe) else {
            return Answer {
                picture: None,
                wishes_keyframe: true,
            };
        };
        let picture = EnginePicture {
            timestamp: sent.timestamp,
            keyframe: sent.keyframe,
            config,
            data: sent.data,
            arrival: sent.arrival,
        };
        Answer {
            picture: Some((sent.number, picture)),
            wishes_keyframe: false,
        }
    }

    fn take_encoded(&mut self, timestamp_ms: u32, data: &[u8]) -> Result<Answer, &'static str> {
        let config = self.config.clone().ok_or("it told no parameters")?;
        let (data, keyframe) = slices(data);
        if data.is_empty() {
            return Err("a picture of its has no slices");
        }
        self.needs_keyframe &= !keyframe;
        let Some(sent) = self.ledger.recognise_encoded(timestamp_ms) else {
            return Ok(Answer::default());
        };
        if self.needs_keyframe || self.latest.is_some_and(|latest| sent.timestamp <= latest) {
            // What comes next refers to what is left out here.
            self.needs_keyframe = true;
            return Ok(Answer {
                picture: None,
                wishes_keyframe: true,
            });
        }
        self.latest = Some(sent.timestamp);
        let picture = EnginePicture {
            timestamp: sent.timestamp,
            keyframe,
            config,
            data,
            arrival: sent.arrival,
        };
        Ok(Answer {
            picture: Some((sent.number, picture)),
            wishes_keyframe: false,
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "RTP timestamps wrap")]
fn rtp_timestamp(label_ms: u64) -> u32 {
    FIRST_RTP_TIMESTAMP.wrapping_add(label_ms.wrapping_mul(TICKS_PER_MS.into()) as u32)
}

/// Reads what an encoder says of its pictures, as strictly as if a stranger said it.
fn configuration(record: &[u8]) -> Option<CodecConfig> {
    let (sequences, pictures) = decoder_configuration::parameter_sets(record)?;
    let config = video_config(sequences.first()?, pictures.first()?)?;
    Some(CodecConfig::Avc(config))
}

/// Takes out what does not belong into a container, and tells whether a decoder can begin here.
fn slices(data: &[u8]) -> (Bytes, bool) {
    let mut kept = BytesMut::with_capacity(data.len());
    let (mut keyframe, mut has_slices) = (false, false);
    for unit in nal_units(data) {
        let kind = unit[0] & 0x1f;
        if (1..=6).contains(&kind) {
            kept.put_u32(u32::try_from(unit.len()).unwrap_or_default());
            kept.put_slice(unit);
            keyframe |= kind == 5;
            has_slices |= kind != 6;
        }
    }
    if has_slices {
        (kept.freeze(), keyframe)
    } else {
        (Bytes::new(), false)
    }
}
