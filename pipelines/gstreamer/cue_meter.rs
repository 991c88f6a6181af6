//! Measures lip-sync in a recording of the synthetic studio: when the picture flashes, and when it beeps.

use std::{path::Path, time::Duration};

use ::gstreamer as gst;
use gst::prelude::*;
use gstreamer_app::AppSink;

use super::{CUE_PERIOD, StudioError};

/// Mean brightness (0 to 255) above which a picture is a flash; the test picture's own is below 130.
const FLASH_BRIGHTNESS: u64 = 200;
/// Amplitude above which sound is a beep. The codecs' ringing before it stays below a tenth of the beep's 0.5.
const BEEP_AMPLITUDE: f32 = 0.1;
/// Two onsets of one kind are at least this far apart.
const LEAST_PAUSE: Duration = CUE_PERIOD.checked_div(2).expect("two is not zero");
/// How long decoding may wait for the next picture or block of sound.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// How far each beep of a recording was behind its flash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CueOffsets(Vec<i64>);

impl CueOffsets {
    /// Pairs each flash with the nearest beep, if one is nearer than half a period.
    fn pair(flashes: &[Duration], beeps: &[Duration]) -> Self {
        let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let offsets = flashes.iter().filter_map(|flash| {
            let nearest = beeps.iter().min_by_key(|beep| beep.abs_diff(*flash))?;
            (nearest.abs_diff(*flash) < LEAST_PAUSE)
                .then(|| milliseconds(*nearest) - milliseconds(*flash))
        });
        Self(offsets.collect())
    }

    /// How many pairs there were.
    pub fn pairs(&self) -> usize {
        self.0.len()
    }

    /// The middle offset in milliseconds; positive: the sound is late.
    pub fn median(&self) -> Option<i64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// The offset farthest from zero, in milliseconds.
    pub fn worst(&self) -> Option<i64> {
        self.0.iter().copied().max_by_key(|offset| offset.abs())
    }
}

/// Decodes an FLV file of H.264 and AAC and measures its cues. Blocks while it decodes.
pub fn measure(recording: &Path) -> Result<CueOffsets, StudioError> {
    gst::init().map_err(|error| StudioError::Graph(error.to_string()))?;
    let flashes = onsets(recording, &Kind::PICTURE)?;
    let beeps = onsets(recording, &Kind::SOUND)?;
    Ok(CueOffsets::pair(&flashes, &beeps))
}

/// How one kind of cue is decoded and recognised.
struct Kind {
    chain: &'static str,
    /// Where in a decoded block the cue begins, if it is in there, in seconds.
    find: fn(&[u8]) -> Option<f64>,
}

impl Kind {
    const PICTURE: Self = Self {
        chain: "flv.video ! queue ! h264parse ! avdec_h264 ! videoconvert ! videoscale \
                ! video/x-raw,format=GRAY8,width=64,height=36",
        find: |block| {
            let sum: u64 = block.iter().map(|pixel| u64::from(*pixel)).sum();
            (sum > FLASH_BRIGHTNESS * block.len() as u64).then_some(0.0)
        },
    };
    const SOUND: Self = Self {
        chain: "flv.audio ! queue ! aacparse ! avdec_aac ! audioconvert ! audioresample \
                ! audio/x-raw,format=F32LE,channels=1,rate=48000",
        find: |block| {
            let position = block.chunks_exact(4).position(|sample| {
                let sample: [u8; 4] = sample.try_into().unwrap_or_default();
                f32::from_le_bytes(sample).abs() > BEEP_AMPLITUDE
            })?;
            u32::try_from(position)
                .ok()
                .map(|position| f64::from(position) / 48_000.0)
        },
    };
}

fn onsets(recording: &Path, kind: &Kind) -> Result<Vec<Duration>, StudioError> {
    let graph = |error: gst::glib::Error| StudioError::Graph(error.to_string());
    // The file's name is set as a property, never parsed as part of the description.
    let description = format!(
        "filesrc name=file ! flvdemux name=flv {} ! appsink name=out sync=false max-buffers=64",
        kind.chain
    );
    let pipeline = gst::parse::launch(&description).map_err(graph)?;
    let pipeline = pipeline
        .downcast::<gst::Pipeline>()
        .map_err(|_| missing("pipeline"))?;
    pipeline
        .by_name("file")
        .ok_or_else(|| missing("file"))?
        .set_property("location", recording);
    let out = pipeline
        .by_name("out")
        .and_then(|element| element.downcast::<AppSink>().ok());
    let out = out.ok_or_else(|| missing("out"))?;
    let started = pipeline.set_state(gst::State::Playing);
    let result = started
        .map_err(|error| StudioError::Graph(error.to_string()))
        .map(|_| read_onsets(&out, kind));
    let _ = pipeline.set_state(gst::State::Null);
    result
}

fn missing(name: &str) -> StudioError {
    StudioError::Graph(format!("the element \"{name}\" is missing"))
}

fn read_onsets(out: &AppSink, kind: &Kind) -> Vec<Duration> {
    let mut onsets: Vec<Duration> = Vec::new();
    let mut last_on: Option<Duration> = None;
    while let Some(sample) = out.try_pull_sample(PATIENCE) {
        let Some((buffer, time)) = sample
            .buffer()
            .and_then(|buffer| Some((buffer, buffer.pts()?)))
        else {
            continue;
        };
        let Ok(bytes) = buffer.map_readable() else {
            continue;
        };
        let Some(position) = (kind.find)(&bytes) else {
            continue;
        };
        let at = Duration::from(time) + Duration::from_secs_f64(position);
        if last_on.is_none_or(|last| at.saturating_sub(last) > LEAST_PAUSE) {
            onsets.push(at);
        }
        last_on = Some(at);
    }
    onsets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(times: &[f64]) -> Vec<Duration> {
        times
            .iter()
            .map(|time| Duration::from_secs_f64(*time))
            .collect()
    }

    #[test]
    fn each_flash_is_paired_with_the_nearest_beep() {
        let offsets = CueOffsets::pair(&seconds(&[1.0, 2.0, 3.0]), &seconds(&[1.02, 1.99, 3.04]));

        assert_eq!(
            (offsets.pairs(), offsets.median(), offsets.worst()),
            (3, Some(20), Some(40))
        );
    }

    #[test]
    fn a_flash_without_a_beep_is_not_paired() {
        let offsets = CueOffsets::pair(&seconds(&[1.0, 2.0]), &seconds(&[2.01]));

        assert_eq!((offsets.pairs(), offsets.median()), (1, Some(10)));
    }

    /// Makes a file with a known offset by `ffmpeg`, so that the meter itself is measured.
    #[test]
    fn a_known_offset_is_measured() {
        for late in [0_i32, 60, -40] {
            let directory =
                std::env::temp_dir().join(format!("castgate-cues-{}-{late}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            let file = directory.join("cues.flv");
            let beep = format!(
                "aevalsrc='0.5*sin(6283*t)*lt(mod(t-{},1),0.1)*gte(t,0.9)':s=48000:d=6",
                f64::from(late) / 1000.0
            );
            let picture = "color=black:s=64x36:r=50:d=6,geq=lum='if(lt(mod(T,1),0.1)*gte(T,0.9),255,16)':cb=128:cr=128";
            let made = std::process::Command::new("ffmpeg")
                .args([
                    "-loglevel",
                    "error",
                    "-y",
                    "-f",
                    "lavfi",
                    "-i",
                    picture,
                    "-f",
                    "lavfi",
                    "-i",
                    &beep,
                ])
                .args([
                    "-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p", "-c:a", "aac",
                ])
                .arg(&file)
                .status()
                .unwrap();
            assert!(made.success());

            let offsets = measure(&file).unwrap();

            std::fs::remove_dir_all(&directory).unwrap();
            assert_eq!(offsets.pairs(), 5);
            let measured = offsets.median().unwrap();
            assert!(
                (measured - i64::from(late)).abs() <= 25,
                "{measured} in place of {late}"
            );
        }
    }
}
