//! A live stream as FLV over HTTP: one viewer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use media::{AccessUnit, AudioConfig, CodecConfig, Reader, TrackKind, VideoConfig};

use crate::rtmp::{
    chunk::message_type,
    flv::{self, FILE_HEADER, MediaHints},
    media_writer::milliseconds,
};

/// The bytes of one live stream from its newest keyframe on: file header, metadata, sequence headers, tags.
///
/// Timestamps begin at 0. A viewer that is too slow goes on at a keyframe; the stream ends when the publish does.
pub struct FlvStream {
    reader: Reader,
    configs: [Option<Arc<CodecConfig>>; 2],
    units: Vec<AccessUnit>,
    begin: Option<Duration>,
}

impl FlvStream {
    /// A viewer that knows the parameters in force, picture and sound.
    pub(super) fn new(reader: Reader, configs: [Option<Arc<CodecConfig>>; 2]) -> Self {
        Self {
            reader,
            configs,
            units: Vec::new(),
            begin: None,
        }
    }

    fn write_batch(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        for unit in std::mem::take(&mut self.units) {
            let place = match unit.kind() {
                TrackKind::Video => 0,
                TrackKind::Audio => 1,
            };
            let known = &mut self.configs[place];
            let is_news = known.as_deref() != Some(&*unit.config);
            if is_news {
                *known = Some(Arc::clone(&unit.config));
            }
            if self.begin.is_none() {
                self.begin = Some(unit.timestamp);
                self.write_beginning(&mut out);
            } else if is_news {
                self.write_config(&mut out, &unit.config, unit.timestamp);
            }
            let kind = unit.kind();
            let time = self.time(unit.timestamp);
            let video = flv::video_prefix(unit.keyframe, flv::CODED);
            let prefix = match kind {
                TrackKind::Video => &video[..],
                TrackKind::Audio => &flv::audio_prefix(flv::CODED)[..],
            };
            flv::write_tag(&mut out, flv::tag_type(kind), time, prefix, &unit.data);
        }
        out.freeze()
    }

    fn write_beginning(&self, out: &mut BytesMut) {
        out.extend_from_slice(&FILE_HEADER);
        let metadata = flv::metadata(self.video(), self.audio(), &MediaHints::default());
        let body = flv::metadata_body(metadata);
        flv::write_tag(out, message_type::DATA_AMF0, 0, &[], &body);
        for config in self.configs.iter().flatten() {
            self.write_config(out, config, self.begin.unwrap_or_default());
        }
    }

    fn write_config(&self, out: &mut BytesMut, config: &CodecConfig, timestamp: Duration) {
        let kind = match config {
            CodecConfig::Avc(_) => TrackKind::Video,
            CodecConfig::Aac(_) => TrackKind::Audio,
        };
        let (prefix, body) = flv::sequence_header(config);
        flv::write_tag(
            out,
            flv::tag_type(kind),
            self.time(timestamp),
            &prefix,
            &body,
        );
    }

    fn time(&self, timestamp: Duration) -> u32 {
        milliseconds(timestamp.saturating_sub(self.begin.unwrap_or_default()))
    }

    fn video(&self) -> Option<&VideoConfig> {
        match self.configs[0].as_deref()? {
            CodecConfig::Avc(video) => Some(video),
            CodecConfig::Aac(_) => None,
        }
    }

    fn audio(&self) -> Option<&AudioConfig> {
        match self.configs[1].as_deref()? {
            CodecConfig::Aac(audio) => Some(audio),
            CodecConfig::Avc(_) => None,
        }
    }
}

impl Stream for FlvStream {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        while this.units.is_empty() {
            match this.reader.poll_batch(context, &mut this.units) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Some(this.write_batch()))
    }
}
