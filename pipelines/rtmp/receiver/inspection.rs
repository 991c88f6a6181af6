//! The rules that media messages must keep, and the figures that come of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{AccessUnit, AudioConfig, CodecConfig, TrackKind, VideoConfig};

use super::{report::StreamReport, sps};
use crate::rtmp::{
    amf0::Value,
    flv::{AAC, AUDIO_PREFIX_BYTES, AVC, CODED, SEQUENCE_HEADER, VIDEO_PREFIX_BYTES},
};

const NAL_IDR: u8 = 5;

/// What some encoders send last.
const END_OF_SEQUENCE: u8 = 2;

/// `samplingFrequencyIndex` of ISO 14496-3.
const SAMPLE_RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Follows one publish.
#[derive(Default)]
pub(super) struct Inspection {
    video: Track,
    audio: Track,
    last_keyframe: Option<Duration>,
    /// The timestamp of the message before, of whatever track, without its wraps.
    clock: Option<Duration>,
}

#[derive(Default)]
struct Track {
    config: Option<Arc<CodecConfig>>,
    arrival: Option<Instant>,
}

impl Inspection {
    /// The parameters that came last, picture and sound.
    pub(super) fn configs(&self) -> [Option<Arc<CodecConfig>>; 2] {
        [self.video.config.clone(), self.audio.config.clone()]
    }

    /// Checks and counts a media message. Returns the access unit in it, if it is a good one.
    pub(super) fn handle_media(
        &mut self,
        kind: TrackKind,
        timestamp_ms: u32,
        body: &Bytes,
        now: Instant,
        report: &mut StreamReport,
    ) -> Option<AccessUnit> {
        report.bytes += body.len() as u64;
        let timestamp = self.unwrapped(timestamp_ms);
        let unit = match kind {
            TrackKind::Video => self.video_unit(timestamp, body, report),
            TrackKind::Audio => self.audio_unit(timestamp, body, report),
        };
        let unit = unit.unwrap_or_else(|words| {
            report.violate(format!("{words} at {} ms", timestamp.as_millis()));
            None
        })?;
        self.count(&unit, now, report);
        Some(unit)
    }

    /// Notes what `onMetaData` says.
    pub(super) fn handle_metadata(metadata: &Value, report: &mut StreamReport) {
        let encoder = metadata.member("encoder").and_then(Value::as_str);
        report.encoder = encoder.map(|text| text.chars().take(100).collect());
    }

    fn unwrapped(&mut self, timestamp_ms: u32) -> Duration {
        let Some(clock) = self.clock else {
            let timestamp = Duration::from_millis(u64::from(timestamp_ms));
            self.clock = Some(timestamp);
            return timestamp;
        };
        let before = u64::try_from(clock.as_millis()).unwrap_or(u64::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_possible_wrap,
            reason = "the difference of wrapping clocks is signed"
        )]
        let change = timestamp_ms.wrapping_sub(before as u32) as i32;
        let timestamp = Duration::from_millis(before.saturating_add_signed(i64::from(change)));
        self.clock = Some(timestamp);
        timestamp
    }

    fn video_unit(
        &mut self,
        timestamp: Duration,
        body: &Bytes,
        report: &mut StreamReport,
    ) -> Result<Option<AccessUnit>, &'static str> {
        let (prefix, _) = body
            .split_first_chunk::<VIDEO_PREFIX_BYTES>()
            .ok_or("a video message is too short")?;
        let [flags, packet, offset @ ..] = *prefix;
        if flags & 0x0F != AVC {
            return Err("the video codec is not AVC");
        }
        let keyframe = match flags >> 4 {
            1 => true,
            2 => false,
            _ => return Err("a frame is neither key nor inter"),
        };
        let data = body.slice(VIDEO_PREFIX_BYTES..);
        match packet {
            SEQUENCE_HEADER => {
                let config = video_config(&data)?;
                report.video.codec = Some("H.264");
                (report.video.width, report.video.height) = (config.width, config.height);
                report.video.configurations += 1;
                self.video.config = Some(Arc::new(CodecConfig::Avc(config)));
                Ok(None)
            }
            CODED => {
                let config = self
                    .video
                    .config
                    .clone()
                    .ok_or("a picture came before its sequence header")?;
                if offset != [0; 3] {
                    return Err("a picture has a composition offset");
                }
                let has_idr = check_nal_units(&data)?;
                if report.video.cadence.frames == 0 && !keyframe {
                    return Err("the first picture is not a keyframe");
                }
                if has_idr != keyframe {
                    return Err("the frame type and the NAL units disagree");
                }
                Ok(Some(AccessUnit {
                    timestamp,
                    keyframe,
                    config,
                    data,
                }))
            }
            END_OF_SEQUENCE => Ok(None),
            _ => Err("a video packet is of an unknown type"),
        }
    }

    fn audio_unit(
        &mut self,
        timestamp: Duration,
        body: &Bytes,
        report: &mut StreamReport,
    ) -> Result<Option<AccessUnit>, &'static str> {
        let (prefix, _) = body
            .split_first_chunk::<AUDIO_PREFIX_BYTES>()
            .ok_or("an audio message is too short")?;
        let [flags, packet] = *prefix;
        if flags != AAC {
            return Err("the audio codec is not AAC");
        }
        let data = body.slice(AUDIO_PREFIX_BYTES..);
        match packet {
            SEQUENCE_HEADER => {
                let config = audio_config(&data)?;
                report.audio.codec = Some("AAC");
                report.audio.sample_rate_hz = config.sample_rate_hz;
                report.audio.channels = config.channels;
                report.audio.configurations += 1;
                self.audio.config = Some(Arc::new(CodecConfig::Aac(config)));
                Ok(None)
            }
            CODED => {
                let config = self
                    .audio
                    .config
                    .clone()
                    .ok_or("sound came before its sequence header")?;
                if data.is_empty() {
                    return Err("a frame of sound is empty");
                }
                if data[0] == 0xFF && data.get(1).is_some_and(|byte| byte & 0xF6 == 0xF0) {
                    return Err("a frame of sound has an ADTS header");
                }
                Ok(Some(AccessUnit {
                    timestamp,
                    keyframe: true,
                    config,
                    data,
                }))
            }
            _ => Err("an audio packet is of an unknown type"),
        }
    }

    fn count(&mut self, unit: &AccessUnit, now: Instant, report: &mut StreamReport) {
        let kind = unit.kind();
        let (track, cadence) = match kind {
            TrackKind::Video => (&mut self.video, &mut report.video.cadence),
            TrackKind::Audio => (&mut self.audio, &mut report.audio.cadence),
        };
        let went_back = cadence.last.is_some_and(|last| unit.timestamp < last);
        let arrival_gap = track
            .arrival
            .replace(now)
            .map_or(Duration::ZERO, |last| now - last);
        cadence.add(unit.timestamp, arrival_gap);
        if went_back {
            let words = format!("{kind:?} went back to {} ms", unit.timestamp.as_millis());
            report.violate(words);
        }
        if kind == TrackKind::Audio {
            return;
        }
        if unit.keyframe {
            report.video.keyframes += 1;
            if let Some(last) = self.last_keyframe.replace(unit.timestamp) {
                report
                    .video
                    .add_keyframe_interval(unit.timestamp.saturating_sub(last));
            }
        }
        if let Some(audio) = report.audio.cadence.last {
            let offset = signed_milliseconds(audio) - signed_milliseconds(unit.timestamp);
            report.audio_video_offset_ms = Some(offset);
            let worst = report.worst_audio_video_offset_ms.get_or_insert(offset);
            if offset.abs() > worst.abs() {
                *worst = offset;
            }
        }
    }
}

fn signed_milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Checks an `AVCDecoderConfigurationRecord` and reads the picture's size from it.
fn video_config(record: &Bytes) -> Result<VideoConfig, &'static str> {
    const SHORT: &str = "a decoder configuration is too short";
    let [version, _, _, _, lengths, sets, rest @ ..] = &record[..] else {
        return Err(SHORT);
    };
    if *version != 1 {
        return Err("a decoder configuration is not of version 1");
    }
    if lengths & 3 != 3 {
        return Err("NAL units do not have lengths of 4 bytes");
    }
    let sets = sets & 0x1F;
    if sets == 0 {
        return Err("a decoder configuration has no sequence parameter set");
    }
    let (length, rest) = rest.split_first_chunk().ok_or(SHORT)?;
    let sps = rest
        .get(..usize::from(u16::from_be_bytes(*length)))
        .ok_or(SHORT)?;
    if sps.first().is_none_or(|header| header & 0x1F != 7) {
        return Err("a sequence parameter set is none");
    }
    let (width, height) = sps::picture_size(sps).ok_or("a sequence parameter set is malformed")?;
    Ok(VideoConfig {
        decoder_configuration: record.clone(),
        width,
        height,
    })
}

/// Checks an `AudioSpecificConfig` for AAC-LC.
fn audio_config(config: &Bytes) -> Result<AudioConfig, &'static str> {
    let (first, _) = config
        .split_first_chunk()
        .ok_or("an audio configuration is too short")?;
    let bits = u16::from_be_bytes(*first);
    if bits >> 11 != 2 {
        return Err("the sound is not AAC-LC");
    }
    let rate = SAMPLE_RATES_HZ.get(usize::from(bits >> 7 & 0xF));
    let channels = u8::try_from(bits >> 3 & 0xF).unwrap_or_default();
    if !(1..=2).contains(&channels) {
        return Err("the sound is neither mono nor stereo");
    }
    Ok(AudioConfig {
        audio_specific_config: config.clone(),
        sample_rate_hz: *rate.ok_or("the sample rate is reserved")?,
        channels,
    })
}

/// Checks that lengths and NAL units fill a picture exactly. Returns whether one is an IDR slice.
fn check_nal_units(mut data: &[u8]) -> Result<bool, &'static str> {
    let mut has_idr = false;
    let mut has_slice = false;
    while !data.is_empty() {
        let (length, rest) = data
            .split_first_chunk()
            .ok_or("a NAL unit's length is cut off")?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length == 0 {
            return Err("a NAL unit is empty");
        }
        let (unit, rest) = rest
            .split_at_checked(length)
            .ok_or("a NAL unit is longer than its picture")?;
        let kind = unit[0] & 0x1F;
        has_idr |= kind == NAL_IDR;
        has_slice |= (1..=NAL_IDR).contains(&kind);
        data = rest;
    }
    if has_slice {
        Ok(has_idr)
    } else {
        Err("a picture has no slice")
    }
}

#[cfg(test)]
#[path = "inspection_tests.rs"]
mod tests;
