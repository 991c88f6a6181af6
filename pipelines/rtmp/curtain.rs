//! What a paused destination is sent over its open connection: a stand-in for each picture, and silence.

use std::{
    sync::{Arc, LazyLock},
    thread,
};

use bytes::Bytes;
use media::{AccessUnit, AudioConfig, CodecConfig, StandIn, TrackKind};

use crate::audio::{AacEncoder, CHANNELS, FRAME_SAMPLES, SAMPLE_RATE_HZ, XaacEncoder};

/// The bitrate that silence is encoded at; there is next to nothing in it.
const SILENCE_BITS_PER_SECOND: u32 = 64_000;

/// Frames after which an encoder that was only ever given silence writes nothing else: its delay is 1600 samples.
const PRIMING_FRAMES: usize = 4;

/// One frame of silence in 48 kHz stereo, encoded once per process.
static SILENCE: LazyLock<Option<Bytes>> = LazyLock::new(|| {
    // On a thread of its own, since an encoder lives as long as its thread does.
    let encoded = thread::Builder::new()
        .name("silence".to_owned())
        .spawn(encode_silence)
        .ok()?
        .join();
    encoded.ok().flatten()
});

/// What is drawn in front of a paused destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curtain {
    /// The pictures that are sent in place of the show's, one for one, as a loop. Without it no picture is sent at all.
    ///
    /// Its sound is not used: a paused destination is silent.
    pub stand_in: Option<Arc<StandIn>>,
}

/// What a call of [`Stage::play`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Paused { with_picture: bool },
    Resumed,
}

/// Where one connection stands between show and curtain.
///
/// The curtain falls at once: nothing that is written after it comes from the show. It rises at a keyframe of the show.
#[derive(Debug, Default)]
pub(super) struct Stage {
    drawn: Option<Drawn>,
    /// Without pictures there is no keyframe to wait for.
    has_pictures: bool,
}

#[derive(Debug)]
struct Drawn {
    curtain: Arc<Curtain>,
    /// The stand-in's next picture.
    next: usize,
}

impl Stage {
    /// Puts in place of `units` what is to be sent while `wish` is in force.
    pub(super) fn play(
        &mut self,
        wish: Option<&Arc<Curtain>>,
        units: &mut Vec<AccessUnit>,
    ) -> Option<Change> {
        self.has_pictures =
            self.has_pictures || units.iter().any(|unit| unit.kind() == TrackKind::Video);
        if wish.is_none() && self.drawn.is_none() {
            return None;
        }
        let was_drawn = self.drawn.is_some();
        if let Some(wish) = wish
            && self
                .drawn
                .as_ref()
                .is_none_or(|drawn| !Arc::ptr_eq(&drawn.curtain, wish))
        {
            self.drawn = Some(Drawn {
                curtain: Arc::clone(wish),
                next: 0,
            });
        }
        if wish.is_none() && !self.has_pictures {
            self.drawn = None;
        }
        if self.drawn.is_some() {
            units.retain_mut(|unit| self.put(wish.is_none(), unit));
        }
        match (was_drawn, &self.drawn) {
            (false, Some(drawn)) => Some(Change::Paused {
                with_picture: drawn.curtain.stand_in.is_some(),
            }),
            (true, None) => Some(Change::Resumed),
            (false, None) | (true, Some(_)) => None,
        }
    }

    /// Puts the curtain in place of a unit. Returns whether there is anything to send.
    fn put(&mut self, rises: bool, unit: &mut AccessUnit) -> bool {
        let is_picture = unit.kind() == TrackKind::Video;
        if rises && is_picture && unit.keyframe {
            self.drawn = None;
        }
        match &mut self.drawn {
            None => true,
            Some(drawn) if is_picture => drawn.put_picture(unit),
            Some(_) => put_silence(unit),
        }
    }
}

impl Drawn {
    fn put_picture(&mut self, unit: &mut AccessUnit) -> bool {
        let Some(stand_in) = &self.curtain.stand_in else {
            return false;
        };
        let Some(picture) = stand_in.pictures.get(self.next) else {
            return false;
        };
        self.next = (self.next + 1) % stand_in.pictures.len();
        unit.keyframe = picture.keyframe;
        unit.config = Arc::clone(&stand_in.config);
        unit.data = picture.data.clone();
        true
    }
}

/// Sound that is not 48 kHz stereo, which no engine makes, is left out.
fn put_silence(unit: &mut AccessUnit) -> bool {
    match (&*unit.config, &*SILENCE) {
        (
            CodecConfig::Aac(AudioConfig {
                sample_rate_hz: SAMPLE_RATE_HZ,
                channels: 2,
                ..
            }),
            Some(silence),
        ) => {
            unit.data = silence.clone();
            true
        }
        _ => false,
    }
}

fn encode_silence() -> Option<Bytes> {
    let mut encoder = XaacEncoder::new(SILENCE_BITS_PER_SECOND);
    let samples = [0; FRAME_SAMPLES * CHANNELS];
    for _ in 0..PRIMING_FRAMES {
        encoder.encode(&samples).ok()?;
    }
    encoder.encode(&samples).ok()
}

#[cfg(test)]
#[path = "curtain_tests.rs"]
mod tests;
