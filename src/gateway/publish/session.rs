//! One WHIP session of the synthetic studio, from offer to DELETE.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use media::{RtpPacket, TrackKind, VideoCodec};
use peers::client::{ClientEvent, ClientOptions, PublishingPeer};
use pipelines::gstreamer::TestStudio;
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc,
    },
    time::{interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::report::{Counters, SessionReport};
use crate::{
    pacer::Pacer,
    whip_client::{WhipClient, WhipSession, local_address},
};

/// How long ICE and DTLS may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the server is told how the clocks relate: often, since the first report makes lip-sync possible.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// How far sending may run ahead of the pace, so that the timer wakes once for several packets.
const PACING_BURST: Duration = Duration::from_millis(5);

/// RTP clock of every video codec.
const VIDEO_CLOCK_HZ: u32 = 90_000;

/// Descriptors of a payload and the first bytes of a picture, which are left as they are even in damaged packets, so that
/// the damage gets as far as a decoder.
const HEADERS_BYTES: usize = 16;

/// Where a session gets its media.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) video: broadcast::Sender<RtpPacket>,
    pub(super) audio: broadcast::Sender<RtpPacket>,
    pub(super) codec: VideoCodec,
    pub(super) video_bits_per_second: u32,
    pub(super) damage_percent: u8,
    pub(super) frames_per_second: u32,
    pub(super) studio: Arc<TestStudio>,
}

/// What one session needs.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) whip: WhipClient,
    pub(super) url: Url,
    pub(super) feed: Feed,
    pub(super) duration: Option<Duration>,
    pub(super) stop: CancellationToken,
    pub(super) counters: Arc<Counters>,
}

impl Session {
    /// Publishes until it is to end. Every failure is in the report.
    pub(super) async fn run(self) -> SessionReport {
        let mut report = SessionReport::new(self.url.clone());
        report.failure = self.publish(&mut report).await.err();
        self.counters.connected.store(false, Ordering::Relaxed);
        report.take(&self.counters);
        report
    }

    async fn publish(&self, report: &mut SessionReport) -> Result<(), String> {
        let local = local_address(&self.url)
            .await
            .map_err(|error| error.to_string())?;
        let options = ClientOptions {
            local,
            video: true,
            codec: self.feed.codec,
            audio: true,
            patience: PATIENCE,
        };
        let (peer, offer, mut events) = PublishingPeer::offer(options)
            .await
            .map_err(|error| error.to_string())?;
        let asked = Instant::now();
        let granted = self
            .whip
            .publish(&self.url, &offer)
            .await
            .map_err(|error| error.to_string())?;
        report.answered_after = Some(asked.elapsed());

        let connected = self.connect(&peer, &granted, &mut events).await;
        let published = match connected {
            Ok(true) => {
                report.connected_after = Some(asked.elapsed());
                self.counters.connected.store(true, Ordering::Relaxed);
                self.send(&peer, &mut events).await
            }
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        let ended = self.whip.end(&granted).await;
        let closed = peer.close().await;
        published
            .and(ended.map_err(|error| error.to_string()))
            .and(closed.map_err(|error| error.to_string()))
    }

    /// Waits for ICE and DTLS. False: it was stopped before.
    async fn connect(
        &self,
        peer: &PublishingPeer,
        granted: &WhipSession,
        events: &mut mpsc::Receiver<ClientEvent>,
    ) -> Result<bool, String> {
        peer.accept_answer(&granted.answer)
            .await
            .map_err(|error| error.to_string())?;
        let connected = async {
            loop {
                match events.recv().await {
                    Some(ClientEvent::Connected) => break Ok(true),
                    Some(ClientEvent::Closed) | None => {
                        break Err("the connection did not come up".to_owned());
                    }
                    Some(_) => {}
                }
            }
        };
        tokio::select! {
            connected = timeout(CONNECT_LIMIT, connected) => {
                connected.unwrap_or_else(|_| Err("the connection took too long".to_owned()))
            }
            () = self.stop.cancelled() => Ok(false),
        }
    }

    /// Sends media until it is to end. Every arm of the select is cancel-safe: each waits for one thing only.
    async fn send(
        &self,
        peer: &PublishingPeer,
        events: &mut mpsc::Receiver<ClientEvent>,
    ) -> Result<(), String> {
        let (mut video, mut audio) = (self.feed.video.subscribe(), self.feed.audio.subscribe());
        let mut outlet = Outlet {
            peer,
            counters: &self.counters,
            codec: self.feed.codec,
            damage_percent: self.feed.damage_percent,
            frame_ticks: VIDEO_CLOCK_HZ / self.feed.frames_per_second.max(1),
            last_frame: None,
            begun: false,
        };
        let mut pacer = Pacer::new(u64::from(self.feed.video_bits_per_second), PACING_BURST);
        let mut reports = interval(REPORT_INTERVAL);
        let end = self.duration.map(|duration| Instant::now() + duration);
        self.feed.studio.request_keyframe();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                () = at(end) => return Ok(()),
                event = events.recv() => match event {
                    Some(ClientEvent::KeyframeRequested) => {
                        self.counters.keyframe_requests.fetch_add(1, Ordering::Relaxed);
                        self.feed.studio.request_keyframe();
                    }
                    Some(ClientEvent::Closed) | None => {
                        return Err("the server ended the connection".to_owned());
                    }
                    Some(_) => {}
                },
                _ = reports.tick() => {
                    if let Some(failure) = self.feed.studio.failure() {
                        return Err(failure.to_string());
                    }
                    for kind in [TrackKind::Video, TrackKind::Audio] {
                        let report = self.feed.studio.sender_report(kind);
                        peer.send_report(kind, report).await.map_err(|error| error.to_string())?;
                    }
                }
                packet = audio.recv() => outlet.send(TrackKind::Audio, packet).await?,
                packet = paced(&mut video, pacer.ready_at()) => {
                    let octets = packet.as_ref().map_or(0, |packet| packet.payload.len());
                    outlet.send(TrackKind::Video, packet).await?;
                    pacer.handle_sent(octets, Instant::now());
                }
            }
        }
    }
}

/// Hands packets to the connection and counts them.
struct Outlet<'a> {
    peer: &'a PublishingPeer,
    counters: &'a Counters,
    codec: VideoCodec,
    damage_percent: u8,
    /// From one picture to the next.
    frame_ticks: u32,
    /// RTP timestamp of the last picture.
    last_frame: Option<u32>,
    /// Whether the first keyframe has begun; pictures before it could not be decoded.
    begun: bool,
}

impl Outlet<'_> {
    async fn send(
        &mut self,
        kind: TrackKind,
        packet: Result<RtpPacket, RecvError>,
    ) -> Result<(), String> {
        let mut packet = match packet {
            Ok(packet) => packet,
            Err(RecvError::Lagged(skipped)) => {
                self.counters.skipped.fetch_add(skipped, Ordering::Relaxed);
                return Ok(());
            }
            Err(RecvError::Closed) => return Err("the studio stopped".to_owned()),
        };
        if kind == TrackKind::Video && !self.begun {
            self.begun = starts_keyframe(self.codec, &packet.payload);
            if !self.begun {
                return Ok(());
            }
        }
        if kind == TrackKind::Video && packet.marker {
            self.count_late_frames(packet.timestamp);
        }
        if kind == TrackKind::Video && rand::random_range(0..100) < self.damage_percent {
            damage(&mut packet);
        }
        let octets = u64::try_from(packet.payload.len()).unwrap_or_default();
        self.counters.bytes.fetch_add(octets, Ordering::Relaxed);
        let counter = match kind {
            TrackKind::Video => &self.counters.frames,
            TrackKind::Audio => &self.counters.audio_packets,
        };
        // A picture ends with its marker; each packet of sound is whole.
        if kind == TrackKind::Audio || packet.marker {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.peer
            .send(kind, packet)
            .await
            .map_err(|error| error.to_string())
    }
}

impl Outlet<'_> {
    /// Pictures that are missing before this one were never made.
    fn count_late_frames(&mut self, timestamp: u32) {
        if let Some(before) = self.last_frame.replace(timestamp) {
            let steps = (timestamp.wrapping_sub(before) + self.frame_ticks / 2) / self.frame_ticks;
            let late = u64::from(steps.saturating_sub(1));
            self.counters.late_frames.fetch_add(late, Ordering::Relaxed);
        }
    }
}

/// Puts garbage in the place of all but the headers.
fn damage(packet: &mut RtpPacket) {
    let mut bytes = packet.payload.to_vec();
    if let Some(coded) = bytes.get_mut(HEADERS_BYTES..) {
        rand::fill(coded);
    }
    packet.payload = bytes.into();
}

/// Waits until the pace allows a packet, then for the packet.
async fn paced(
    video: &mut broadcast::Receiver<RtpPacket>,
    ready_at: Option<Instant>,
) -> Result<RtpPacket, RecvError> {
    if let Some(ready_at) = ready_at {
        sleep_until(ready_at.into()).await;
    }
    video.recv().await
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether a decoder can begin with the packet.
fn starts_keyframe(codec: VideoCodec, payload: &[u8]) -> bool {
    match codec {
        VideoCodec::H264 => starts_with_parameters(payload),
        VideoCodec::Vp8 => starts_vp8_keyframe(payload).unwrap_or(false),
        VideoCodec::Vp9 => payload.first().is_some_and(|first| {
            const PREDICTED: u8 = 0x40;
            const BEGINS_FRAME: u8 = 0x08;
            first & (PREDICTED | BEGINS_FRAME) == BEGINS_FRAME
        }),
        // N of the aggregation header: a coded video sequence begins.
        VideoCodec::Av1 => payload.first().is_some_and(|first| first & 0x08 != 0),
    }
}

/// Whether the packet begins with a sequence parameter set, alone or first in a STAP-A (RFC 6184).
fn starts_with_parameters(payload: &[u8]) -> bool {
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    let kind = |byte: &u8| byte & 0x1f;
    match payload.first().map(kind) {
        Some(SPS) => true,
        Some(STAP_A) => payload.get(3).map(kind) == Some(SPS),
        _ => false,
    }
}

/// Reads the payload descriptor (RFC 7741 section 4.2) and the first bit of the frame. `None`: it is cut off.
fn starts_vp8_keyframe(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let mut header = 1;
    if first & 0x80 != 0 {
        let extensions = *payload.get(1)?;
        header += 1;
        if extensions & 0x80 != 0 {
            header += if payload.get(header)? & 0x80 != 0 {
                2
            } else {
                1
            };
        }
        header += usize::from(extensions & 0x40 != 0) + usize::from(extensions & 0x30 != 0);
    }
    let begins_frame = first & 0x17 == 0x10;
    let predicted = payload.get(header)? & 0x01 != 0;
    Some(begins_frame && !predicted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_begin_a_keyframe() {
        let starts = |payload: &[u8]| starts_keyframe(VideoCodec::H264, payload);

        assert!(starts(&[0x67, 0x42]));
        assert!(starts(&[0x78, 0x00, 0x08, 0x67]));

        assert!(!starts(&[0x41, 0x9a]));
        assert!(!starts(&[0x78, 0x00, 0x08, 0x06]));
        assert!(!starts(&[]));
    }

    #[test]
    fn the_descriptor_tells_a_keyframe_of_vp8() {
        let starts = |payload: &[u8]| starts_keyframe(VideoCodec::Vp8, payload);

        assert!(starts(&[0x10, 0x10, 0x02]));
        assert!(starts(&[0x90, 0x80, 0x81, 0x23, 0x10]));

        assert!(!starts(&[0x10, 0x11]), "a predicted picture");
        assert!(!starts(&[0x00, 0x10]), "the middle of a picture");
        assert!(!starts(&[0x90, 0x80, 0x81]), "cut off");
        assert!(!starts(&[]));
    }

    #[test]
    fn the_descriptor_tells_a_keyframe_of_vp9() {
        let starts = |payload: &[u8]| starts_keyframe(VideoCodec::Vp9, payload);

        assert!(starts(&[0x88, 0x80, 0x01]));

        assert!(!starts(&[0xc8, 0x80, 0x01]), "a predicted picture");
        assert!(!starts(&[0x80, 0x80, 0x01]), "the middle of a picture");
        assert!(!starts(&[]));
    }
}
