//! Access units as RTMP messages on one connection.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use media::{AccessUnit, CodecConfig, TrackKind};

use super::{
    amf0::{self, Value},
    chunk::{Header, chunk_stream, message_type},
    counters::Counters,
    flv::{self, MediaHints},
    outgoing::Outgoing,
    place::Marks,
};

/// The longest unit that a message can hold: its length, with the prefix, has 24 bits.
const MEDIA_BYTES_LIMIT: usize = 0x00FF_FFFF - flv::VIDEO_PREFIX_BYTES - PARAMETERS_LIMIT;

/// The most bytes of parameter sets that are repeated in front of a picture; real ones have 40.
const PARAMETERS_LIMIT: usize = 2 * 1024;

/// Writes media on one message stream; it knows what the server has been told.
pub(super) struct MediaWriter {
    message_stream: u32,
    hints: MediaHints,
    video: Option<Arc<CodecConfig>>,
    audio: Option<Arc<CodecConfig>>,
    last_keyframe: Option<Duration>,
    /// Where the pictures end in the byte stream.
    pub(super) marks: Marks,
}

impl MediaWriter {
    pub(super) fn new(message_stream: u32, hints: MediaHints) -> Self {
        Self {
            message_stream,
            hints,
            video: None,
            audio: None,
            last_keyframe: None,
            marks: Marks::default(),
        }
    }

    /// Moves a batch into the queue, behind which are `written` bytes, with metadata and sequence headers in front where
    /// parameters are new.
    pub(super) fn write(
        &mut self,
        units: &mut Vec<AccessUnit>,
        written: u64,
        outgoing: &mut Outgoing,
        counters: &Counters,
    ) {
        if self.video.is_none() && self.audio.is_none() {
            self.begin(units, outgoing);
        }
        for unit in units.drain(..) {
            self.write_unit(unit, written, outgoing, counters);
        }
    }

    /// Tells of both tracks at once when the first batch holds both.
    fn begin(&mut self, units: &[AccessUnit], outgoing: &mut Outgoing) {
        let first = |kind| units.iter().find(|unit| unit.kind() == kind);
        let tracks = [first(TrackKind::Video), first(TrackKind::Audio)];
        for unit in tracks.into_iter().flatten() {
            *self.known(unit.kind()) = Some(Arc::clone(&unit.config));
        }
        let Some(begin) = units.first() else { return };
        self.write_metadata(begin.timestamp, outgoing);
        for unit in tracks.into_iter().flatten() {
            self.write_sequence_header(&unit.config, begin.timestamp, outgoing);
        }
    }

    fn write_unit(
        &mut self,
        unit: AccessUnit,
        written: u64,
        outgoing: &mut Outgoing,
        counters: &Counters,
    ) {
        let kind = unit.kind();
        let mut parameters = Vec::new();
        let known = self.known(kind);
        if known
            .as_ref()
            .is_none_or(|known| !Arc::ptr_eq(known, &unit.config))
        {
            // Equal parameters in a new allocation are no news to the server.
            let is_news = known.as_deref() != Some(&*unit.config);
            *known = Some(Arc::clone(&unit.config));
            if is_news {
                self.write_metadata(unit.timestamp, outgoing);
                self.write_sequence_header(&unit.config, unit.timestamp, outgoing);
                // Parsers that read a sequence header only once learn of the new parameters by the picture itself.
                if let CodecConfig::Avc(config) = &*unit.config {
                    parameters = flv::parameter_sets(&config.decoder_configuration);
                    if parameters.len() > PARAMETERS_LIMIT {
                        parameters.clear();
                    }
                }
            }
        }
        if unit.data.len() > MEDIA_BYTES_LIMIT {
            counters.add_dropped(1);
            return;
        }
        let header = self.header(kind, unit.timestamp);
        match kind {
            TrackKind::Video => {
                let prefix = flv::video_prefix(unit.keyframe, flv::CODED);
                if parameters.is_empty() {
                    outgoing.push_message(header, &prefix, unit.data);
                } else {
                    outgoing.push_message(header, &[&prefix, &parameters[..]].concat(), unit.data);
                }
                self.marks
                    .add(written + outgoing.len() as u64, unit.timestamp);
                counters.add_frame();
                if unit.keyframe {
                    if let Some(last) = self.last_keyframe {
                        counters.set_keyframe_interval(unit.timestamp.saturating_sub(last));
                    }
                    self.last_keyframe = Some(unit.timestamp);
                }
            }
            TrackKind::Audio => {
                outgoing.push_message(header, &flv::audio_prefix(flv::CODED), unit.data);
            }
        }
    }

    fn write_metadata(&self, timestamp: Duration, outgoing: &mut Outgoing) {
        let video = self.video.as_deref().and_then(|config| match config {
            CodecConfig::Avc(video) => Some(video),
            CodecConfig::Aac(_) => None,
        });
        let audio = self.audio.as_deref().and_then(|config| match config {
            CodecConfig::Aac(audio) => Some(audio),
            CodecConfig::Avc(_) => None,
        });
        let metadata = flv::metadata(video, audio, &self.hints);
        let name = amf0::encode(&[Value::string("@setDataFrame")]);
        let header = Header {
            chunk_stream: chunk_stream::DATA,
            timestamp: milliseconds(timestamp),
            kind: message_type::DATA_AMF0,
            message_stream: self.message_stream,
        };
        outgoing.push_message(header, &name, Bytes::from(flv::metadata_body(metadata)));
    }

    fn write_sequence_header(
        &self,
        config: &CodecConfig,
        timestamp: Duration,
        outgoing: &mut Outgoing,
    ) {
        let kind = match config {
            CodecConfig::Avc(_) => TrackKind::Video,
            CodecConfig::Aac(_) => TrackKind::Audio,
        };
        let (prefix, body) = flv::sequence_header(config);
        outgoing.push_message(self.header(kind, timestamp), &prefix, body);
    }

    fn known(&mut self, kind: TrackKind) -> &mut Option<Arc<CodecConfig>> {
        match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }

    fn header(&self, kind: TrackKind, timestamp: Duration) -> Header {
        Header {
            chunk_stream: match kind {
                TrackKind::Video => chunk_stream::VIDEO,
                TrackKind::Audio => chunk_stream::AUDIO,
            },
            timestamp: milliseconds(timestamp),
            kind: flv::tag_type(kind),
            message_stream: self.message_stream,
        }
    }
}

/// Milliseconds as RTMP counts them: they wrap after 49.7 days.
#[expect(clippy::cast_possible_truncation, reason = "wrapping is meant")]
pub(super) const fn milliseconds(timestamp: Duration) -> u32 {
    timestamp.as_millis() as u32
}
