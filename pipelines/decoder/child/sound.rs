//! AAC to samples.

use std::{io, sync::Arc};

use ::gstreamer as gst;

use super::{
    super::{
        SOUND_CHANNELS, SOUND_HZ,
        message::{SoundRecord, UnitHead},
        playout::Sample,
    },
    feed::{Feed, place},
    pacer::Stage,
};
use crate::confinement::graph::{capsfilter, make, make_with};

/// A decoder of sound.
pub(super) struct Sound {
    feed: Feed,
    stage: Arc<Stage>,
    record: Option<SoundRecord>,
    is_new: bool,
}

impl Sound {
    pub(super) fn start(stage: &Arc<Stage>) -> io::Result<Self> {
        let missing = |_| io::Error::from(io::ErrorKind::Unsupported);
        // A broken frame costs 20 ms, and not the process.
        let decoder = make_with("avdec_aac", &[("max-errors", "-1")]).map_err(missing)?;
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let samples = gst::Caps::builder("audio/x-raw")
            .field("format", "S16LE")
            .field("layout", "interleaved")
            .field("rate", number(SOUND_HZ))
            .field("channels", number(SOUND_CHANNELS))
            .build();
        let row = [
            decoder,
            make("audioconvert").map_err(missing)?,
            make("audioresample").map_err(missing)?,
            capsfilter(&samples).map_err(missing)?,
        ];
        let taken = Arc::clone(stage);
        let feed = Feed::start(&row, move |sample| {
            let bytes = sample.buffer().map(gst::BufferRef::map_readable);
            if let (Some(time), Some(Ok(bytes))) = (place(sample), bytes) {
                let (samples, _) = bytes.as_chunks::<4>();
                let samples: Vec<Sample> = samples
                    .iter()
                    .map(|[a, b, c, d]| {
                        [i16::from_le_bytes([*a, *b]), i16::from_le_bytes([*c, *d])]
                    })
                    .collect();
                taken.put_sound(time, &samples);
            }
        })?;
        Ok(Self {
            feed,
            stage: Arc::clone(stage),
            record: None,
            is_new: false,
        })
    }

    /// Sets the parameters of the sound from here on.
    pub(super) fn set_record(&mut self, record: SoundRecord) {
        self.record = Some(record);
        self.is_new = true;
    }

    pub(super) fn decode(&mut self, head: UnitHead, body: Vec<u8>) -> io::Result<()> {
        let Some(record) = &self.record else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if std::mem::take(&mut self.is_new) {
            self.feed.announce(&caps(record));
        }
        if !self.feed.decode(head, body)? {
            self.stage.note_broken();
        }
        Ok(())
    }
}

fn caps(record: &SoundRecord) -> gst::Caps {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let config = gst::Buffer::from_mut_slice(record.audio_specific_config.clone());
    gst::Caps::builder("audio/mpeg")
        .field("mpegversion", 4)
        .field("stream-format", "raw")
        .field("framed", true)
        .field("rate", number(record.sample_rate_hz))
        .field("channels", i32::from(record.channels))
        .field("codec_data", config)
        .build()
}
