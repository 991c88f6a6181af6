//! The synthetic studio: a camera thread that draws and hums, and a graph that codes and packetises.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use ::gstreamer as gst;
use bytes::Bytes;
use gst::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use gstreamer_rtp::RTPBuffer;
use media::{RtpPacket, SenderReport, TrackKind, VideoCodec};

use super::{
    cue,
    graph::{self, Chain, RtpNumbers},
    picture::Painter,
    tone,
};

/// From the NTP epoch (1900) to the Unix epoch (1970), in seconds.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// RTP clock of every video codec.
const VIDEO_CLOCK_HZ: u32 = 90_000;

/// Sound is captured in blocks of one Opus frame.
const AUDIO_BLOCK_SAMPLES: u32 = tone::SAMPLE_RATE_HZ / 50;

/// The encoder dates its packets back by its delay, which must not lead to before time zero.
const FIRST_BLOCK: u64 = 1;

/// Pictures that may wait for the encoder; with more the camera skips some, as a real one does.
const PICTURES_WAITING: u64 = 2;

/// Blocks of sound that may wait for the encoder: half a second.
const AUDIO_BLOCKS_WAITING: u64 = 25;

/// What the synthetic studio makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudioOptions {
    /// How the picture is coded: H.264, VP8 or VP9.
    pub codec: VideoCodec,
    /// Picture width in pixels; even.
    pub width: u32,
    /// Picture height in pixels; even.
    pub height: u32,
    /// Pictures a second.
    pub frames_per_second: u32,
    /// Target bitrate of the picture.
    pub video_bits_per_second: u32,
    /// Bitrate of the sound.
    pub audio_bits_per_second: u32,
    /// Keyframes at least this often; `None`: only when asked for, as browsers do.
    pub keyframe_interval_frames: Option<u32>,
    /// Threads of the video encoder; 0 takes one per core.
    pub encoder_threads: u32,
    /// How fast it runs.
    pub pace: Pace,
}

impl Default for StudioOptions {
    /// H.264, 720p30 at 3 Mb/s and 128 kb/s of sound.
    fn default() -> Self {
        Self {
            codec: VideoCodec::H264,
            width: 1280,
            height: 720,
            frames_per_second: 30,
            video_bits_per_second: 3_000_000,
            audio_bits_per_second: 128_000,
            keyframe_interval_frames: None,
            encoder_threads: 0,
            pace: Pace::RealTime,
        }
    }
}

/// How fast a studio runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As a camera does, until stopped. Pictures that the encoder has no time for are skipped.
    RealTime,
    /// As fast as the encoder can, for this much media.
    Unpaced(Duration),
}

/// Why there is no studio.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StudioError {
    /// `GStreamer` itself does not start.
    #[error("GStreamer does not start: {0}")]
    Library(String),
    /// A plugin is not installed, or too old.
    #[error("the GStreamer element {0} is missing or too old")]
    MissingElement(&'static str),
    /// The graph does not link, does not start, or has broken down.
    #[error("the studio's graph failed: {0}")]
    Graph(String),
    /// A size or rate that cannot be coded.
    #[error("the picture is not possible: {0}")]
    Options(&'static str),
}

/// A running synthetic studio. Dropping it stops it.
#[derive(Debug)]
pub struct TestStudio {
    pipeline: gst::Pipeline,
    encoder: gst::Element,
    numbers: TrackNumbers,
    started: Instant,
    /// Dropping it ends the camera.
    stop: Option<mpsc::Sender<()>>,
    camera: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy)]
struct TrackNumbers {
    video: RtpNumbers,
    audio: RtpNumbers,
}

impl TestStudio {
    /// Starts the camera. `on_packet` is called from two threads and must not block them.
    ///
    /// The first picture is a keyframe.
    pub fn start(
        options: &StudioOptions,
        on_packet: impl Fn(TrackKind, RtpPacket) + Send + Sync + 'static,
    ) -> Result<Self, StudioError> {
        check(options)?;
        gst::init().map_err(|error| StudioError::Library(error.to_string()))?;
        let numbers = TrackNumbers {
            video: random_numbers(),
            audio: random_numbers(),
        };
        let on_packet: OnPacket = Arc::new(on_packet);
        let pipeline = gst::Pipeline::new();
        let (video, encoder) = assemble(
            &pipeline,
            TrackKind::Video,
            &graph::video_chain(options, &numbers.video)?,
            &video_caps(options),
            Arc::clone(&on_packet),
        )?;
        let (audio, _) = assemble(
            &pipeline,
            TrackKind::Audio,
            &graph::audio_chain(options, &numbers.audio),
            &audio_caps(),
            on_packet,
        )?;
        let blocking = matches!(options.pace, Pace::Unpaced(_));
        for (source, waiting) in [(&video, PICTURES_WAITING), (&audio, AUDIO_BLOCKS_WAITING)] {
            source.set_format(gst::Format::Time);
            source.set_is_live(!blocking);
            source.set_block(blocking);
            source.set_max_buffers(waiting);
            source.set_max_bytes(0);
        }
        pipeline
            .set_state(gst::State::Playing)
            .map_err(|error| StudioError::Graph(error.to_string()))?;

        let started = Instant::now();
        let (stop, stopped) = mpsc::channel();
        let camera = Camera {
            painter: Painter::new(options.width as usize, options.height as usize),
            frames_per_second: options.frames_per_second,
            pace: options.pace,
            started,
            stopped,
            video,
            audio,
        };
        let camera = std::thread::Builder::new()
            .name("studio-camera".to_owned())
            .spawn(move || camera.run())
            .map_err(|error| StudioError::Graph(error.to_string()))?;
        Ok(Self {
            pipeline,
            encoder,
            numbers,
            started,
            stop: Some(stop),
            camera: Some(camera),
        })
    }

    /// Makes the next picture a keyframe.
    pub fn request_keyframe(&self) {
        let request = gst::Structure::builder("GstForceKeyUnit")
            .field("running-time", gst::ClockTime::NONE)
            .field("all-headers", true)
            .field("count", 0_u32)
            .build();
        if let Some(pad) = self.encoder.static_pad("src") {
            pad.send_event(gst::event::CustomUpstream::new(request));
        }
    }

    /// How a track's RTP clock relates to this machine's wall clock now, for a sender report.
    ///
    /// It is the time of capture, not of sending, so that picture and sound stay in step however long each is coded.
    pub fn sender_report(&self, kind: TrackKind) -> SenderReport {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let (numbers, clock_hz) = match kind {
            TrackKind::Video => (self.numbers.video, VIDEO_CLOCK_HZ),
            TrackKind::Audio => (self.numbers.audio, tone::SAMPLE_RATE_HZ),
        };
        SenderReport {
            ssrc: numbers.ssrc,
            ntp_time: wall + Duration::from_secs(NTP_TO_UNIX_SECONDS),
            rtp_timestamp: numbers
                .first_timestamp
                .wrapping_add(ticks(self.started.elapsed(), clock_hz)),
        }
    }

    /// RTP timestamp of time zero.
    #[cfg(test)]
    pub(super) fn first_timestamp(&self, kind: TrackKind) -> u32 {
        match kind {
            TrackKind::Video => self.numbers.video.first_timestamp,
            TrackKind::Audio => self.numbers.audio.first_timestamp,
        }
    }

    /// Why the graph has broken down, if it has.
    pub fn failure(&self) -> Option<StudioError> {
        let message = self
            .pipeline
            .bus()?
            .pop_filtered(&[gst::MessageType::Error])?;
        Some(StudioError::Graph(describe(&message)))
    }

    /// Waits until an unpaced studio has made all its media, at most `limit`.
    pub fn wait(&self, limit: Duration) -> Result<(), StudioError> {
        let limit = gst::ClockTime::try_from(limit).unwrap_or(gst::ClockTime::MAX);
        let message = self.pipeline.bus().and_then(|bus| {
            bus.timed_pop_filtered(limit, &[gst::MessageType::Eos, gst::MessageType::Error])
        });
        match message {
            Some(message) if message.type_() == gst::MessageType::Eos => Ok(()),
            Some(message) => Err(StudioError::Graph(describe(&message))),
            None => Err(StudioError::Graph("it took too long".to_owned())),
        }
    }

    /// Stops the camera and joins its threads. Blocks for as long as one picture takes.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for TestStudio {
    fn drop(&mut self) {
        self.stop.take();
        // A state change to null can only fail for elements that have failed already; it also frees a blocked camera.
        let _ = self.pipeline.set_state(gst::State::Null);
        if let Some(camera) = self.camera.take()
            && camera.join().is_err()
        {
            tracing::error!("the studio's camera panicked");
        }
    }
}

type OnPacket = Arc<dyn Fn(TrackKind, RtpPacket) + Send + Sync>;

/// Draws pictures and sound when they are due.
struct Camera {
    painter: Painter,
    frames_per_second: u32,
    pace: Pace,
    started: Instant,
    stopped: mpsc::Receiver<()>,
    video: AppSrc,
    audio: AppSrc,
}

impl Camera {
    fn run(self) {
        let blocks_per_second = tone::SAMPLE_RATE_HZ / AUDIO_BLOCK_SAMPLES;
        let (mut picture, mut block) = (0, FIRST_BLOCK);
        loop {
            let picture_due = cue::time_of(picture, self.frames_per_second);
            // A block of sound exists only once its last sample has been heard.
            let block_due = cue::time_of(block + 1, blocks_per_second);
            let due = picture_due.min(block_due);
            if !self.wait_until(due) {
                break;
            }
            let pushed = if picture_due <= block_due {
                picture += 1;
                self.push_picture(picture - 1, picture_due)
            } else {
                block += 1;
                self.push_block(block - 1, cue::time_of(block - 1, blocks_per_second))
            };
            if pushed.is_err() {
                break;
            }
        }
        // Fails only when the graph has been stopped already.
        let _ = self.video.end_of_stream();
        let _ = self.audio.end_of_stream();
    }

    /// Waits until it is time to capture what is due. False: there is nothing more to capture.
    fn wait_until(&self, due: Duration) -> bool {
        let wait = match self.pace {
            Pace::RealTime => due.saturating_sub(self.started.elapsed()),
            Pace::Unpaced(length) if due < length => Duration::ZERO,
            Pace::Unpaced(_) => return false,
        };
        self.stopped.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout)
    }

    fn push_picture(&self, number: u64, time: Duration) -> Result<(), gst::FlowError> {
        if self.pace == Pace::RealTime && self.video.current_level_buffers() >= PICTURES_WAITING {
            tracing::trace!(number, "the encoder was late, a picture was skipped");
            return Ok(());
        }
        let mut picture = vec![0; self.painter.size_bytes()];
        self.painter.draw(number, time, &mut picture);
        push(
            &self.video,
            picture,
            time,
            cue::time_of(1, self.frames_per_second),
        )
    }

    fn push_block(&self, number: u64, time: Duration) -> Result<(), gst::FlowError> {
        let samples = u64::from(AUDIO_BLOCK_SAMPLES);
        let block = tone::block(number * samples, samples);
        push(
            &self.audio,
            block,
            time,
            cue::time_of(samples, tone::SAMPLE_RATE_HZ),
        )
    }
}

fn push(
    source: &AppSrc,
    data: Vec<u8>,
    time: Duration,
    duration: Duration,
) -> Result<(), gst::FlowError> {
    let mut buffer = gst::Buffer::from_mut_slice(data);
    if let Some(buffer) = buffer.get_mut() {
        buffer.set_pts(gst::ClockTime::try_from(time).ok());
        buffer.set_duration(gst::ClockTime::try_from(duration).ok());
    }
    source.push_buffer(buffer).map(|_| ())
}

/// Adds `source → chain → sink` to the pipeline; returns the source and the chain's encoder.
fn assemble(
    pipeline: &gst::Pipeline,
    kind: TrackKind,
    chain: &Chain,
    caps: &gst::Caps,
    on_packet: OnPacket,
) -> Result<(AppSrc, gst::Element), StudioError> {
    let source = AppSrc::builder().caps(caps).build();
    let sink = AppSink::builder().sync(false).async_(false).build();
    sink.set_callbacks(
        AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                let buffer = sample.buffer().ok_or(gst::FlowError::Error)?;
                on_packet(kind, packet(buffer).ok_or(gst::FlowError::Error)?);
                Ok(gst::FlowSuccess::Ok)
            })
            .build(),
    );
    let middle = chain
        .elements
        .iter()
        .map(graph::Element::build)
        .collect::<Result<Vec<_>, _>>()?;
    let encoder = middle
        .first()
        .cloned()
        .ok_or_else(|| StudioError::Graph("a chain is empty".to_owned()))?;
    let mut elements = vec![source.clone().upcast::<gst::Element>()];
    elements.extend(middle);
    elements.push(sink.upcast());
    pipeline
        .add_many(&elements)
        .and_then(|()| gst::Element::link_many(&elements))
        .map_err(|error| StudioError::Graph(error.to_string()))?;
    Ok((source, encoder))
}

fn packet(buffer: &gst::BufferRef) -> Option<RtpPacket> {
    let rtp = RTPBuffer::from_buffer_readable(buffer).ok()?;
    Some(RtpPacket {
        sequence: rtp.seq(),
        timestamp: rtp.timestamp(),
        ssrc: rtp.ssrc(),
        marker: rtp.is_marker(),
        payload: Bytes::copy_from_slice(rtp.payload().ok()?),
    })
}

fn video_caps(options: &StudioOptions) -> gst::Caps {
    gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", options.width.cast_signed())
        .field("height", options.height.cast_signed())
        .field(
            "framerate",
            gst::Fraction::new(options.frames_per_second.cast_signed(), 1),
        )
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build()
}

fn audio_caps() -> gst::Caps {
    gst::Caps::builder("audio/x-raw")
        .field("format", "S16LE")
        .field("layout", "interleaved")
        .field("rate", tone::SAMPLE_RATE_HZ.cast_signed())
        .field("channels", tone::CHANNELS.cast_signed())
        .build()
}

fn check(options: &StudioOptions) -> Result<(), StudioError> {
    let sane_side = |side: u32| (64..=4096).contains(&side) && side.is_multiple_of(2);
    if !sane_side(options.width) || !sane_side(options.height) {
        return Err(StudioError::Options("a side is even and 64 to 4096 pixels"));
    }
    if !(1..=120).contains(&options.frames_per_second) {
        return Err(StudioError::Options("1 to 120 pictures a second"));
    }
    if !(10_000..=100_000_000).contains(&options.video_bits_per_second) {
        return Err(StudioError::Options("10 kb/s to 100 Mb/s of picture"));
    }
    if !(6_000..=510_000).contains(&options.audio_bits_per_second) {
        return Err(StudioError::Options("6 to 510 kb/s of sound"));
    }
    Ok(())
}

/// Random, as RFC 3550 wants it; to the payloader the highest value means that it may choose.
fn random_numbers() -> RtpNumbers {
    RtpNumbers {
        ssrc: rand::random_range(1..u32::MAX),
        first_sequence: rand::random(),
        first_timestamp: rand::random_range(0..u32::MAX),
    }
}

/// RTP ticks in `elapsed`, wrapping as RTP timestamps do.
fn ticks(elapsed: Duration, clock_hz: u32) -> u32 {
    let ticks = elapsed.as_nanos() * u128::from(clock_hz) / 1_000_000_000;
    u32::try_from(ticks & u128::from(u32::MAX)).unwrap_or_default()
}

fn describe(message: &gst::Message) -> String {
    if let gst::MessageView::Error(error) = message.view() {
        error.error().to_string()
    } else {
        "unknown message".to_owned()
    }
}
