//! Sets plain RTP up: from an order to bound sockets and to what a worker drives.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use media::{SourceDescription, TrackKind};
use rand::RngExt;
use rtc::{crypto::RTCCryptoProvider, shared::error::Error};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    EgressReport, EgressTrackReport, IngestReport, PlainEgress, PlainEgressId, PlainEgressOrder,
    PlainError, PlainIngest, PlainIngestOrder, PlainPorts, PlainReceiver, PlainTrack, PortPair,
    egress::{Egress, EgressTrack, Outlet},
    history::History,
    ingest::Ingest,
    ports::BoundPair,
    rewriter::Rewriter,
    track::clock_rate,
};
use crate::{
    OfferError, Peers, SinkId,
    peers::EVENT_QUEUE,
    worker::{Command, Place, PlainCommand},
};

/// From 1900, where NTP begins, to 1970.
const NTP_EPOCH: Duration = Duration::from_hours(613_608);

/// What a worker makes an egress of, once its sockets live there.
pub(crate) struct EgressParts {
    pub(crate) sockets: Vec<(TrackKind, BoundPair)>,
    pub(crate) build: Box<dyn FnOnce(Box<dyn Outlet>, Instant) -> Egress + Send>,
}

impl Peers {
    /// Opens ports that take plain RTP for `sink`. Media that come there end an earlier source of the same sink.
    pub async fn open_plain_ingest(
        &self,
        sink: SinkId,
        order: PlainIngestOrder,
    ) -> Result<PlainIngest, PlainError> {
        order.check()?;
        let limit = self.inner.sessions_limit;
        let berth = self.berth(sink, Place::Studio { limit })?;
        let tracks = [
            order
                .video
                .as_ref()
                .map(|(_, track)| (TrackKind::Video, track.rtcp_mux)),
            order
                .audio
                .as_ref()
                .map(|track| (TrackKind::Audio, track.rtcp_mux)),
        ];
        let sockets = bind(order.ports, tracks.into_iter().flatten())?;
        let (video, audio) = ports_of(&sockets);
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let (teller, report) = watch::channel(IngestReport::default());
        let source = SourceDescription {
            video: order.video.as_ref().map(|(codec, _)| *codec),
            audio: order.audio.is_some(),
        };
        let crypto = &self.inner.shared.crypto;
        let own = rand::rng().random();
        let ingest = Ingest::new(order, own, events, teller, crypto, Instant::now())
            .map_err(|error| internal(&error))?;
        let (opened, known) = oneshot::channel();
        let command = PlainCommand::OpenIngest {
            key: berth.session,
            sink,
            ingest: Box::new(ingest),
            sockets,
            opened,
        };
        self.command(berth.worker, Command::Plain(command)).await;
        known.await.unwrap_or(Err(PlainError::NoSuchSink))?;
        Ok(PlainIngest {
            session: berth.keep(),
            source,
            video,
            audio,
            events: receiver,
            report,
        })
    }

    /// Sends what the studios of `sink` send to a receiver of plain RTP.
    pub async fn open_plain_egress(
        &self,
        sink: SinkId,
        order: PlainEgressOrder,
    ) -> Result<PlainEgress, PlainError> {
        let worker = self.worker_of(sink).ok_or(PlainError::NoSuchSink)?;
        if order.video.is_none() && order.audio.is_none() {
            return Err(PlainError::invalid("video", "neither video nor audio"));
        }
        let video = order
            .video
            .map(|(track, to)| (TrackKind::Video, "video", track, to));
        let audio = order
            .audio
            .map(|(track, to)| (TrackKind::Audio, "audio", track, to));
        let wanted: Vec<_> = video.into_iter().chain(audio).collect();
        for (_, field, track, _) in &wanted {
            track.check(field)?;
        }
        let sockets = bind(
            order.ports,
            wanted
                .iter()
                .map(|(kind, _, track, _)| (*kind, track.rtcp_mux)),
        )?;
        let (video_ports, audio_ports) = ports_of(&sockets);
        let crypto = &self.inner.shared.crypto;
        let now = Instant::now();
        let mut tracks = Vec::new();
        for (kind, _, track, to) in wanted {
            let track =
                egress_track(kind, track, to, crypto, now).map_err(|error| internal(&error))?;
            tracks.push(track);
        }
        let video_ssrc = ssrc_of(&tracks, TrackKind::Video);
        let audio_ssrc = ssrc_of(&tracks, TrackKind::Audio);
        let (teller, report) = watch::channel(EgressReport::default());
        let (codec, wall) = (order.codec, wall());
        let build = Box::new(move |outlet: Box<dyn Outlet>, now| {
            Egress::new(codec, tracks, outlet, teller, wall, now)
        });
        let key = self.inner.shared.directory.next_key();
        let (opened, known) = oneshot::channel();
        let command = PlainCommand::OpenEgress {
            key,
            sink,
            parts: Box::new(EgressParts { sockets, build }),
            opened,
        };
        self.command(worker, Command::Plain(command)).await;
        known.await.unwrap_or(Err(PlainError::NoSuchSink))?;
        Ok(PlainEgress {
            id: PlainEgressId { sink, key },
            video_ssrc,
            audio_ssrc,
            video: video_ports,
            audio: audio_ports,
            report,
        })
    }

    fn worker_of(&self, sink: SinkId) -> Option<usize> {
        self.inner.shared.directory.worker_of_sink(sink)
    }

    /// Ends an egress; the receiver is told good-bye. Ending an ended one is no error.
    pub async fn close_plain_egress(&self, id: PlainEgressId) {
        let Some(worker) = self.worker_of(id.sink) else {
            return;
        };
        let (closed, done) = oneshot::channel();
        let command = PlainCommand::CloseEgress {
            key: id.key,
            sink: id.sink,
            closed,
        };
        self.command(worker, Command::Plain(command)).await;
        let _ = done.await;
    }
}

fn bind(
    ports: PlainPorts,
    tracks: impl Iterator<Item = (TrackKind, bool)>,
) -> Result<Vec<(TrackKind, BoundPair)>, PlainError> {
    tracks
        .map(|(kind, mux)| Ok((kind, ports.bind(mux)?)))
        .collect()
}

fn ports_of(sockets: &[(TrackKind, BoundPair)]) -> (Option<PortPair>, Option<PortPair>) {
    let of = |kind| {
        sockets
            .iter()
            .find(|(of, _)| *of == kind)
            .map(|(_, pair)| pair.ports)
    };
    (of(TrackKind::Video), of(TrackKind::Audio))
}

fn ssrc_of(tracks: &[EgressTrack], kind: TrackKind) -> Option<u32> {
    tracks
        .iter()
        .find(|track| track.kind == kind)
        .map(|track| track.rewriter.ssrc())
}

fn egress_track(
    kind: TrackKind,
    track: PlainTrack,
    to: PlainReceiver,
    crypto: &Arc<dyn RTCCryptoProvider>,
    now: Instant,
) -> Result<EgressTrack, Error> {
    let mut random = rand::rng();
    let ssrc = track.ssrc.unwrap_or_else(|| random.random());
    // In the lower half, so that SRTP's count of rounds starts together at both ends (RFC 3711 § 3.3.1).
    let sequence = random.random_range(0..0x8000);
    let rewriter = Rewriter::new(ssrc, clock_rate(kind), sequence, random.random(), now);
    let sealer = match &track.srtp {
        Some(srtp) => Some(srtp.sealer(crypto)?),
        None => None,
    };
    let opener = match track.srtp {
        Some(srtp) => Some(srtp.opener(crypto)?),
        None => None,
    };
    Ok(EgressTrack {
        kind,
        payload_type: track.payload_type,
        to: SocketAddr::new(to.ip, to.ports.rtp),
        reports_to: SocketAddr::new(to.ip, to.ports.rtcp),
        sealer,
        opener,
        rewriter,
        history: History::new(now),
        report: EgressTrackReport::default(),
    })
}

impl From<OfferError> for PlainError {
    /// Of those that a place can be refused with.
    fn from(error: OfferError) -> Self {
        match error {
            OfferError::NoSuchSink => Self::NoSuchSink,
            OfferError::Full => Self::Full,
            error @ (OfferError::Malformed(_)
            | OfferError::UnsupportedCodec(_)
            | OfferError::TooManyViewers
            | OfferError::Internal(_)) => Self::Internal(error.to_string()),
        }
    }
}

fn internal(error: &Error) -> PlainError {
    PlainError::Internal(error.to_string())
}

/// The time since 1900.
fn wall() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    NTP_EPOCH + since.unwrap_or_default()
}
