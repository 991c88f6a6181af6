//! What one child was sent and what it made of it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadcast::Rendition;
use bytes::{BufMut as _, Bytes, BytesMut};
use media::{CodecConfig, VideoCodec};

use super::{
    command::{KEYFRAME_SHIFT, PAYLOAD_TYPE, TICKS_PER_MS, Task},
    flv::FlvVideo,
    ledger::{Ledger, Sent},
    link::Link,
    process::{Handed, breathe},
};
use crate::{
    decoder_configuration,
    engine::{EnginePicture, Keyframes},
    packetise::{Coded, Packetiser, Stream, nal_units},
    path::video_config,
};

/// The most bytes of a payload. `FFmpeg` reads at most 8,192 of a packet; fewer packets cost less.
const PAYLOAD_BYTES: usize = 8_000;

/// How much is sent at once; the kernel holds at least twice that for a socket.
const BURST_BYTES: usize = 96 * 1024;

/// The RTP timestamp of the first picture. Zero is no timestamp to `FFmpeg`.
const FIRST_RTP_TIMESTAMP: u32 = 90_000;

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
    codec: VideoCodec,
    task: Task,
    orders: Orders,
    packetiser: Packetiser,
    ledger: Ledger,
    /// What an encoder announced.
    config: Option<Arc<CodecConfig>>,
    needs_keyframe: bool,
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
        Some(Self {
            codec,
            task,
            orders: Orders::default(),
            packetiser: Packetiser::new(codec, stream)?,
            ledger: Ledger::default(),
            config: None,
            needs_keyframe: true,
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

    /// Nothing goes out until a keyframe does. An encoder makes one of the next picture that is sent.
    pub(super) fn require_keyframe(&mut self) {
        self.needs_keyframe = true;
        self.orders.keyframes.wish();
    }

    /// Sends a picture. Fails when the child has kept too many.
    pub(super) async fn send(&mut self, handed: Handed, link: &Link) -> Result<(), Spoiled> {
        let Handed {
            number,
            picture,
            begins,
        } = handed;
        if begins {
            self.orders.keyframes.wish();
        }
        let label_ms = self.ledger.label(picture.timestamp);
        let shift = match self.task {
            Task::Copy => 0,
            Task::Encode(canvas) => self.orders.shift(picture.timestamp, canvas),
        };
        let rtp_timestamp = rtp_timestamp(label_ms).wrapping_add(shift);
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
        // A picture has the time of what begins it: of one that is not recognised by its time, that may be any.
        if self.task == Task::Copy {
            self.end(link);
        }
        Ok(())
    }

    /// The picture that was sent last is whole: the parser of H.264 in `FFmpeg` waits for the next one's beginning before it
    /// lets go of one.
    pub(super) fn end(&mut self, link: &Link) {
        if self.codec == VideoCodec::H264 {
            let end = self.latest_rtp_timestamp.wrapping_add(TICKS_PER_MS);
            link.send(self.packetiser.delimiter(end));
        }
    }

    /// Takes what the child made. Fails in words when it is nothing that can be believed.
    pub(super) fn take(&mut self, video: FlvVideo) -> Result<Answer, &'static str> {
        match video {
            FlvVideo::Configuration(_) if self.task == Task::Copy => Ok(Answer::default()),
            FlvVideo::Configuration(record) => {
                let config = configuration(&record).ok_or("it told senseless parameters")?;
                if self.config.as_deref() != Some(&config) {
                    self.config = Some(Arc::new(config));
                }
                Ok(Answer::default())
            }
            FlvVideo::Picture { data, .. } if self.task == Task::Copy => Ok(self.take_copy(&data)),
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
            // What comes next refers to what is left out here.
            self.require_keyframe();
            return Ok(Answer::default());
        };
        if self.needs_keyframe {
            return Ok(Answer::default());
        }
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

/// The keyframes that an encoder is told to make.
#[derive(Debug, Default)]
struct Orders {
    keyframes: Keyframes,
    /// How much the times are moved; `None` before the first picture, of which a keyframe is made in any case.
    shift: Option<u32>,
}

impl Orders {
    /// By how many ticks the next picture's time is moved, which is this one.
    fn shift(&mut self, timestamp: Duration, canvas: Rendition) -> u32 {
        let interval = Duration::from_secs(1) / canvas.frames_per_second().max(1);
        let is_ordered = self.keyframes.take(timestamp, interval);
        let shift = match self.shift {
            None => 0,
            Some(shift) if is_ordered => KEYFRAME_SHIFT - shift,
            Some(shift) => shift,
        };
        *self.shift.insert(shift)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the pictures at which the times begin to be moved, or cease to.
    fn ordered(times_ms: impl Iterator<Item = u64>, wished_at: usize) -> Vec<usize> {
        let canvas = Rendition::new(640, 360, 30, 1_000).unwrap();
        let mut orders = Orders::default();
        let mut before = 0;
        let ordered = times_ms.enumerate().filter(|(number, time)| {
            if *number == wished_at {
                orders.keyframes.wish();
            }
            let shift = orders.shift(Duration::from_millis(*time), canvas);
            std::mem::replace(&mut before, shift) != shift
        });
        ordered.map(|(number, _)| number).collect()
    }

    #[test]
    fn a_keyframe_is_ordered_every_two_seconds_however_many_pictures_there_are() {
        let times = |step| (0..6_500).step_by(step);

        assert_eq!(ordered(times(100), usize::MAX), [20, 40, 60]);
        assert_eq!(ordered(times(500), usize::MAX), [4, 8, 12]);
    }

    #[test]
    fn a_keyframe_that_is_wished_for_is_ordered_at_once_and_the_beat_begins_anew() {
        assert_eq!(ordered((0..6_500).step_by(100), 33), [20, 33, 53]);
    }
}
