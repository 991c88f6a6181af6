//! One WHIP session at a provider, from the show's first picture to DELETE.

use std::{
    collections::VecDeque,
    future::pending,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use broadcast::{Reason, StreamKey};
use egress_providers::{
    What,
    hosted::{ContributionOrder, ProviderError},
};
use media::{RtpPacket, TrackKind, VideoCodec};
use peers::client::{ClientError, ClientEvent, ClientOptions, PublishingPeer};
use pipelines::path::{OpusPacket, OpusReader};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{
    error::{lost, of_client, of_whip},
    pictures::Pictures,
    report_clock::ReportClock,
    tracks::{PictureTrack, SoundTrack},
};
use crate::{
    clock::now,
    pacer::Pacer,
    whip_client::{WhipClient, WhipError, WhipSession, local_address},
};

/// How long ICE and DTLS may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// How long the provider may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much longer an answer is waited for when the show is taken away, so that what it grants can be ended.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// How long DELETE may take, so that all is over within three seconds.
const GOODBYE_LIMIT: Duration = Duration::from_millis(1_500);

/// How long the connection may take to close.
const CLOSE_LIMIT: Duration = Duration::from_millis(300);

/// How often the provider is told how the clocks relate: often, since the first report makes lip-sync possible.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// How far sending may be ahead of the pace: usual pictures leave at once, and only keyframes are spread.
const PACING_BURST: Duration = Duration::from_millis(20);

/// The bitrate that is assumed until it is known, and the least: a low pace would only add delay.
const LEAST_BITS_PER_SECOND: u64 = 3_000_000;

/// From 1900, where NTP counts from, to 1970.
const NTP_TO_UNIX: Duration = Duration::from_hours(613_608);

/// What one session needs.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: WhipClient,
    pub(super) url: Url,
    /// What a server might repeat and nobody may see.
    pub(super) secrets: Vec<StreamKey>,
    pub(super) order: ContributionOrder,
}

/// A connection whose events are read.
struct Connection {
    peer: PublishingPeer,
    events: mpsc::Receiver<ClientEvent>,
}

impl Session {
    /// Publishes until it is asked to stop, or the show ends.
    pub(super) async fn run(self) -> Result<(), ProviderError> {
        let mut pictures = Pictures::new(self.order.show.media.clone());
        let begun = self.unless_stopped(pictures.begin()).await;
        if begun != Some(true) {
            return Ok(());
        }
        let asked = now();
        let Some(opened) = self.unless_stopped(self.open()).await else {
            return Ok(());
        };
        let (mut connection, offer) = opened?;
        let answer = self.client.publish(&self.url, &offer);
        let Some(granted) = patiently(&self.order.stop, answer).await else {
            return Ok(());
        };
        let granted = granted.map_err(|error| of_whip(&error, &self.secrets))?;
        let words = format!("WHIP at {}", granted.location.host_str().unwrap_or("?"));
        self.note(What::Publish, asked, &words);

        let published = self
            .publish(&mut connection, &granted, pictures, asked)
            .await;
        if self.order.show.permit.allows(now()) {
            self.end(connection, &granted).await;
        }
        if published.is_ok() {
            self.note(What::Closed, asked, "the WHIP session ended");
        }
        published
    }

    async fn open(&self) -> Result<(Connection, String), ProviderError> {
        let local = local_address(&self.url)
            .await
            .map_err(|error| lost(Reason::DnsFailed, error.to_string()))?;
        let options = ClientOptions {
            local,
            video: true,
            codec: VideoCodec::H264,
            audio: true,
            patience: PATIENCE,
        };
        let (peer, offer, events) = PublishingPeer::offer(options)
            .await
            .map_err(|error| of_client(&error))?;
        Ok((Connection { peer, events }, offer))
    }

    async fn publish(
        &self,
        connection: &mut Connection,
        granted: &WhipSession,
        pictures: Pictures,
        asked: Instant,
    ) -> Result<(), ProviderError> {
        let connecting = timeout(CONNECT_LIMIT, connection.come_up(&granted.answer));
        let Some(connected) = self.unless_stopped(connecting).await else {
            return Ok(());
        };
        connected.unwrap_or_else(|_| {
            let words = "ICE and DTLS took too long; is UDP let through to the provider?";
            Err(lost(Reason::ConnectTimeout, words.to_owned()))
        })?;
        self.note(What::Connect, asked, "ICE and DTLS are up");
        let mut stage = Stage::new(self, &connection.peer, pictures)
            .ok_or_else(|| ProviderError::Protocol("H.264 cannot be packed".to_owned()))?;
        let sent = stage.play(&mut connection.events, asked).await;
        self.order.counters.set_bits_per_second(0);
        sent
    }

    /// Tells the provider that the show is over, as far as it listens.
    async fn end(&self, connection: Connection, granted: &WhipSession) {
        let ended = timeout(GOODBYE_LIMIT, self.client.end(granted)).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = of_whip(&error, &self.secrets);
                tracing::debug!(broadcast = %self.order.broadcast, %error, "a WHIP session did not end in order");
            }
            Err(_) => {
                tracing::debug!(broadcast = %self.order.broadcast, "a WHIP session's end was not confirmed in time");
            }
        }
        // What is not closed in time is cut by being dropped.
        let _ = timeout(CLOSE_LIMIT, connection.peer.close()).await;
    }

    fn note(&self, what: What, asked: Instant, words: &str) {
        let elapsed = now().saturating_duration_since(asked);
        self.order.black_box.note(what, Some(elapsed), words);
        tracing::debug!(broadcast = %self.order.broadcast, ?elapsed, "{words}");
    }

    /// `None`: it was stopped before.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.order.stop.cancelled() => None,
            done = work => Some(done),
        }
    }
}

/// Waits for the answer to an offer, and only a little longer when the show is taken away.
async fn patiently(
    stop: &CancellationToken,
    answer: impl Future<Output = Result<WhipSession, WhipError>>,
) -> Option<Result<WhipSession, WhipError>> {
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => return Some(answer),
        () = stop.cancelled() => {}
    }
    timeout(ANSWER_GRACE, answer).await.ok()
}

impl Connection {
    /// Takes the answer and waits for ICE and DTLS.
    async fn come_up(&mut self, answer: &str) -> Result<(), ProviderError> {
        self.peer
            .accept_answer(answer)
            .await
            .map_err(|error| of_client(&error))?;
        loop {
            match self.events.recv().await {
                Some(ClientEvent::Connected) => return Ok(()),
                Some(ClientEvent::Closed) | None => return Err(closed()),
                Some(ClientEvent::KeyframeRequested | ClientEvent::BitrateLimited(_) | _) => {}
            }
        }
    }
}

fn closed() -> ProviderError {
    let words = "the provider ended the connection, or is not reached any more";
    lost(Reason::ClosedByPeer, words.to_owned())
}

/// The show on its way.
struct Stage<'a> {
    session: &'a Session,
    peer: &'a PublishingPeer,
    pictures: Pictures,
    picture_track: PictureTrack,
    /// Packets of the picture that is being sent.
    packets: VecDeque<RtpPacket>,
    opus: OpusReader,
    has_sound: bool,
    sound_track: SoundTrack,
    clock: ReportClock,
    pacer: Pacer,
    /// Payload bytes since the latest report.
    bytes: u64,
    bits_per_second: u64,
    reported: Instant,
    is_flowing: bool,
}

impl<'a> Stage<'a> {
    fn new(session: &'a Session, peer: &'a PublishingPeer, pictures: Pictures) -> Option<Self> {
        let started = now();
        // A clock before 1970 is as good as any: both tracks are told of the same.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let ntp = NTP_TO_UNIX + since_1970.unwrap_or_default();
        Some(Self {
            session,
            peer,
            pictures,
            picture_track: PictureTrack::new(rand::random(), rand::random())?,
            packets: VecDeque::new(),
            opus: session.order.show.opus.reader(),
            has_sound: true,
            sound_track: SoundTrack::new(rand::random(), rand::random()),
            clock: ReportClock::new(started, ntp),
            pacer: Pacer::new(LEAST_BITS_PER_SECOND, PACING_BURST),
            bytes: 0,
            bits_per_second: LEAST_BITS_PER_SECOND,
            reported: started,
            is_flowing: false,
        })
    }

    /// Sends until it is to end. Every arm of the select is cancel-safe: each waits for one thing only.
    async fn play(
        &mut self,
        events: &mut mpsc::Receiver<ClientEvent>,
        asked: Instant,
    ) -> Result<(), ProviderError> {
        let order = &self.session.order;
        self.pictures.await_fresh(now());
        order.show.keyframe_wanted.notify_one();
        let mut reports = report_interval();
        loop {
            tokio::select! {
                biased;
                () = order.stop.cancelled() => return Ok(()),
                event = events.recv() => match event {
                    Some(ClientEvent::KeyframeRequested) => order.show.keyframe_wanted.notify_one(),
                    Some(ClientEvent::Closed) | None => return Err(closed()),
                    Some(ClientEvent::Connected | ClientEvent::BitrateLimited(_) | _) => {}
                },
                _ = reports.tick() => self.report().await?,
                () = at(self.pictures.fresh_until()) => {
                    self.pictures.take_any();
                    // There may be no picture at all.
                    self.flow(asked);
                }
                sound = self.opus.next(), if self.has_sound => match sound {
                    Some(sound) => self.send_sound(sound).await?,
                    None => self.has_sound = false,
                },
                () = ready(self.pacer.ready_at()), if !self.packets.is_empty() => {
                    self.send_pictures().await?;
                    if self.packets.is_empty() {
                        self.flow(asked);
                    }
                }
                picture = self.pictures.next(), if self.packets.is_empty() => {
                    let Some(picture) = picture else { return Ok(()) };
                    self.clock.handle_media(picture.timestamp, now());
                    let packets = &mut self.packets;
                    self.picture_track.packets(&picture, |packet| packets.push_back(packet));
                    order.counters.add_frame();
                    order.counters.add_dropped(self.pictures.take_dropped());
                }
            }
        }
    }

    /// The provider has media now.
    fn flow(&mut self, asked: Instant) {
        if std::mem::replace(&mut self.is_flowing, true) {
            return;
        }
        let order = &self.session.order;
        order.flowing.notify_one();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        order
            .counters
            .set_published_at(since_1970.unwrap_or_default());
        self.session.note(What::Live, asked, "media flow by WHIP");
    }

    async fn send_sound(&mut self, sound: OpusPacket) -> Result<(), ProviderError> {
        let place = Duration::from_nanos(sound.place.saturating_mul(125_000) / 6);
        self.clock.handle_media(place, now());
        let packet = self.sound_track.packet(sound);
        self.send(TrackKind::Audio, packet).await
    }

    /// Sends as many packets of a picture as the pace allows.
    async fn send_pictures(&mut self) -> Result<(), ProviderError> {
        let now = now();
        while let Some(packet) = self.packets.pop_front() {
            self.pacer.handle_sent(packet.payload.len(), now);
            self.send(TrackKind::Video, packet).await?;
            if self.pacer.ready_at().is_some() {
                break;
            }
        }
        Ok(())
    }

    async fn send(&mut self, kind: TrackKind, packet: RtpPacket) -> Result<(), ProviderError> {
        let permit = &self.session.order.show.permit;
        permit.check(now()).map_err(ProviderError::Contribution)?;
        let octets = u64::try_from(packet.payload.len()).unwrap_or_default();
        self.bytes += octets;
        self.session.order.counters.add_bytes(octets);
        sent(self.peer.send(kind, packet).await)
    }

    /// Tells how the clocks relate, and takes note of what was sent since.
    async fn report(&mut self) -> Result<(), ProviderError> {
        let now = now();
        let elapsed = now.saturating_duration_since(self.reported);
        self.reported = now;
        if let Some(millis) = u64::try_from(elapsed.as_millis())
            .ok()
            .filter(|&one| one > 0)
        {
            let bits = std::mem::take(&mut self.bytes) * 8_000 / millis;
            self.bits_per_second = u64::midpoint(self.bits_per_second, bits);
            self.session
                .order
                .counters
                .set_bits_per_second(self.bits_per_second);
            let pace = self.bits_per_second.max(LEAST_BITS_PER_SECOND);
            self.pacer.set_bits_per_second(pace);
        }
        if let Some((ntp, place)) = self.clock.report(now) {
            let picture = self.picture_track.report(ntp, place);
            sent(self.peer.send_report(TrackKind::Video, picture).await)?;
            let sound = self.sound_track.report(ntp, place);
            sent(self.peer.send_report(TrackKind::Audio, sound).await)?;
        }
        Ok(())
    }
}

fn sent(result: Result<(), ClientError>) -> Result<(), ProviderError> {
    result.map_err(|error| of_client(&error))
}

fn report_interval() -> Interval {
    let mut reports = interval(REPORT_INTERVAL);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    reports
}

/// Waits until then; for ever without a time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => pending().await,
    }
}

/// Waits until then; not at all without a time.
async fn ready(time: Option<Instant>) {
    if let Some(time) = time {
        sleep_until(time.into()).await;
    }
}
