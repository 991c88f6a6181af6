//! One connection of a receiver.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use broadcast::StreamKey;
use bytes::BytesMut;
use media::{CodecConfig, Fanout, Subscriber};
use rand::Rng;
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter},
    sync::watch,
    time::Instant,
};

use super::{
    Shared,
    behaviour::Behaviour,
    conversation::{Conversation, Event},
    inspection::Inspection,
    report::{Ending, StreamReport},
};
use crate::rtmp::{
    amf0::{self, Value},
    chunk::message_type,
    flv::{self, FILE_HEADER},
    handshake::RANDOM_BYTES,
};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// How much a viewer may lag before it is moved to a newer keyframe.
const VIEWER_WINDOW: Duration = Duration::from_secs(4);

/// How long a connection may say nothing before it is closed.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);

/// How many violations are kept from before the publish.
const EARLY_VIOLATIONS_LIMIT: usize = 8;

/// What others see of one publish.
pub(super) struct StreamState {
    report: Mutex<StreamReport>,
    configs: Mutex<[Option<Arc<CodecConfig>>; 2]>,
    pub(super) subscriber: Subscriber,
}

impl StreamState {
    fn new(report: StreamReport, subscriber: Subscriber) -> Self {
        Self {
            report: Mutex::new(report),
            configs: Mutex::default(),
            subscriber,
        }
    }

    pub(super) fn report(&self) -> MutexGuard<'_, StreamReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn configs(&self) -> MutexGuard<'_, [Option<Arc<CodecConfig>>; 2]> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A publish that goes on.
struct Publish {
    state: Arc<StreamState>,
    inspection: Inspection,
    fanout: Fanout,
    recording: Option<BufWriter<File>>,
}

/// Serves one connection until it ends or `stop` changes.
pub(super) async fn serve<S>(stream: S, shared: Arc<Shared>, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut random = [0; RANDOM_BYTES];
    rand::rng().fill_bytes(&mut random);
    let behaviour = shared.behaviours().default;
    let mut connection = Connection {
        stream,
        conversation: Conversation::new(&random),
        behaviour,
        shared,
        early_violations: Vec::new(),
        application: String::new(),
        publish: None,
        received_bytes: 0,
        is_over: false,
    };
    let served = connection.run(&mut stop).await;
    if let Err(error) = served {
        tracing::debug!(%error, "receiver connection broke");
        if let Some(publish) = &connection.publish {
            publish.state.report().violate(error.to_string());
        }
    }
    connection.end_publish(Ending::Cut).await;
}

struct Connection<S> {
    stream: S,
    shared: Arc<Shared>,
    conversation: Conversation,
    behaviour: Behaviour,
    application: String,
    /// What was against the rules before there was a report.
    early_violations: Vec<String>,
    publish: Option<Publish>,
    received_bytes: u64,
    /// A refusal has been sent; the connection ends.
    is_over: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(&mut self, stop: &mut watch::Receiver<bool>) -> io::Result<()> {
        let mut bytes = vec![0; READ_BYTES];
        loop {
            match self.behaviour {
                Behaviour::CloseAfter(limit) if self.received_bytes >= limit => return Ok(()),
                Behaviour::StallAfter(limit) if self.received_bytes >= limit => {
                    return stop.changed().await.or(Ok(()));
                }
                Behaviour::Silent => return stop.changed().await.or(Ok(())),
                Behaviour::Accept
                | Behaviour::RefuseConnect
                | Behaviour::RefusePublish
                | Behaviour::StallAfter(_)
                | Behaviour::CloseAfter(_) => {}
            }
            let count = tokio::select! {
                read = self.stream.read(&mut bytes) => read?,
                _ = stop.changed() => return Ok(()),
                () = tokio::time::sleep(SILENCE_LIMIT) => return Err(io::ErrorKind::TimedOut.into()),
            };
            if count == 0 {
                return Ok(());
            }
            self.received_bytes += count as u64;
            self.conversation
                .handle_bytes(&bytes[..count])
                .map_err(io::Error::other)?;
            while let Some(event) = self.conversation.poll_event().map_err(io::Error::other)? {
                self.handle_event(event).await?;
            }
            if let Some(output) = self.conversation.poll_output() {
                self.stream.write_all(&output).await?;
                self.stream.flush().await?;
            }
            if self.is_over {
                return self.stream.shutdown().await;
            }
        }
    }

    async fn handle_event(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Connect { application } => {
                self.behaviour = self.shared.behaviours().of(&application);
                let accept = self.behaviour != Behaviour::RefuseConnect;
                self.conversation.answer_connect(accept);
                self.application = application;
                self.is_over = !accept;
            }
            Event::Publish { stream_key } => {
                let accept = self.behaviour != Behaviour::RefusePublish && self.publish.is_none();
                self.conversation.answer_publish(accept);
                self.is_over = !accept;
                if accept {
                    self.begin_publish(stream_key).await?;
                }
            }
            Event::Unpublish => {
                if let Some(publish) = &self.publish {
                    publish.state.report().ending = Some(Ending::Unpublished);
                }
            }
            Event::Delete => self.end_publish(Ending::Deleted).await,
            Event::Violation(words) => {
                tracing::debug!(words, "publisher broke a rule");
                match &self.publish {
                    Some(publish) => publish.state.report().violate(words),
                    None if self.early_violations.len() < EARLY_VIOLATIONS_LIMIT => {
                        self.early_violations.push(words);
                    }
                    None => {}
                }
            }
            Event::Metadata {
                timestamp_ms,
                values,
            } => {
                if let Some(publish) = &mut self.publish {
                    publish.handle_metadata(timestamp_ms, values).await?;
                }
            }
            Event::Media {
                kind,
                timestamp_ms,
                body,
            } => {
                let Some(publish) = &mut self.publish else {
                    return Ok(());
                };
                publish
                    .record(flv::tag_type(kind), timestamp_ms, &body)
                    .await?;
                let now = Instant::now().into_std();
                let unit = {
                    let mut report = publish.state.report();
                    publish
                        .inspection
                        .handle_media(kind, timestamp_ms, &body, now, &mut report)
                };
                match unit {
                    Some(unit) => publish.fanout.push(unit),
                    None => *publish.state.configs() = publish.inspection.configs(),
                }
            }
        }
        Ok(())
    }
}

impl<S> Connection<S> {
    async fn begin_publish(&mut self, stream_key: String) -> io::Result<()> {
        let fanout = Fanout::new(VIEWER_WINDOW);
        let subscriber = fanout.subscriber();
        let application = self.application.clone();
        let early_violations = std::mem::take(&mut self.early_violations);
        let state = self.shared.add_stream(|id| {
            let mut report = StreamReport::new(id, application, StreamKey::new(stream_key));
            for words in early_violations {
                report.violate(words);
            }
            StreamState::new(report, subscriber)
        });
        let id = state.report().id;
        let recording = match self.shared.recordings() {
            Some(folder) => Some(begin_recording(&folder.join(format!("{}.flv", id.0))).await?),
            None => None,
        };
        tracing::debug!(stream = id.0, "publish began");
        let inspection = Inspection::default();
        self.publish = Some(Publish {
            state,
            inspection,
            fanout,
            recording,
        });
        Ok(())
    }

    async fn end_publish(&mut self, how: Ending) {
        let Some(mut publish) = self.publish.take() else {
            return;
        };
        if let Some(recording) = &mut publish.recording
            && let Err(error) = recording.flush().await
        {
            tracing::warn!(%error, "recording was not finished");
        }
        let mut report = publish.state.report();
        if how != Ending::Cut || report.ending.is_none() {
            report.ending = Some(how);
        }
    }
}

impl Publish {
    async fn handle_metadata(&mut self, timestamp_ms: u32, values: Vec<Value>) -> io::Result<()> {
        let is_set = values.first().and_then(Value::as_str) == Some("@setDataFrame");
        let values = &values[usize::from(is_set)..];
        if values.first().and_then(Value::as_str) != Some("onMetaData") {
            return Ok(());
        }
        if let Some(metadata) = values.get(1) {
            Inspection::handle_metadata(metadata, &mut self.state.report());
        }
        self.record(message_type::DATA_AMF0, timestamp_ms, &amf0::encode(values))
            .await
    }

    async fn record(&mut self, tag_type: u8, timestamp_ms: u32, body: &[u8]) -> io::Result<()> {
        let Some(recording) = &mut self.recording else {
            return Ok(());
        };
        let mut tag = BytesMut::new();
        flv::write_tag(&mut tag, tag_type, timestamp_ms, body, &[]);
        recording.write_all(&tag).await
    }
}

async fn begin_recording(path: &Path) -> io::Result<BufWriter<File>> {
    let mut recording = BufWriter::new(File::create(path).await?);
    recording.write_all(&FILE_HEADER).await?;
    Ok(recording)
}
