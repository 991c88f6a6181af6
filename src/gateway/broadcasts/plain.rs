//! Plain RTP of one broadcast: a sender in the studio's seat, and receivers of what the studio sends.

use media::VideoCodec;
use peers::{
    IngestStatistics, SinkId,
    plain::{
        EgressReport, IngestReport, PlainEgress, PlainEgressOrder, PlainError, PlainIngestOrder,
        PlainReceiver, PlainTrack, PortPair,
    },
};
use tokio::{sync::watch, time::timeout};

use super::{
    handle::{BroadcastHandle, Command, Gone, PublishError, Reply, StudioIdentity},
    room::carriage,
    runner::{Runner, WORKER_TIMEOUT},
    studio::Studio,
};
use crate::{admission::NoRoom, clock::now};

/// The most receivers of one broadcast.
pub(super) const RECEIVERS_LIMIT: usize = 8;

/// Why plain RTP is not set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlainRtpError {
    /// The broadcast has ended; 404.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// A studio publishes; 409.
    #[error("a studio is publishing to this broadcast")]
    Taken,
    /// The ports or the order.
    #[error(transparent)]
    Plain(#[from] PlainError),
    /// The node has no room for making the sender's pictures anew; 503.
    #[error(transparent)]
    NoRoom(NoRoom),
    /// The media workers did not answer in time; 503.
    #[error("the media workers did not answer in time")]
    Timeout,
}

/// Ports that take plain RTP, as they are now.
#[derive(Debug, Clone)]
pub struct RtpIngest {
    /// Names it.
    pub id: String,
    /// The pictures, and where they go.
    pub video: Option<(VideoCodec, PlainTrack, PortPair)>,
    /// The sound, and where it goes.
    pub audio: Option<(PlainTrack, PortPair)>,
    /// What has come.
    pub report: IngestReport,
}

/// A receiver of plain RTP, as it is now.
#[derive(Debug, Clone)]
pub struct RtpEgress {
    /// Names it.
    pub id: String,
    /// The pictures, where they are received and where they come from.
    pub video: Option<(VideoCodec, PlainTrack, PlainReceiver, PortPair)>,
    /// The sound, where it is received and where it comes from.
    pub audio: Option<(PlainTrack, PlainReceiver, PortPair)>,
    /// What has gone.
    pub report: EgressReport,
}

/// A wish for a receiver; the codec is the studio's when none is named.
#[derive(Debug)]
pub struct RtpEgressOrder {
    /// What is to go where.
    pub order: PlainEgressOrder,
    /// The codec that was asked for.
    pub codec: Option<VideoCodec>,
}

pub(super) enum PlainCommand {
    OpenIngest(
        Box<PlainIngestOrder>,
        bool,
        Reply<Result<RtpIngest, PlainRtpError>>,
    ),
    OpenEgress(Box<RtpEgressOrder>, Reply<Result<RtpEgress, PlainRtpError>>),
    CloseIngest(String, Reply<bool>),
    CloseEgress(String, Reply<bool>),
    Read(Reply<(Vec<RtpIngest>, Vec<RtpEgress>)>),
}

/// What is open.
#[derive(Debug, Default)]
pub(super) struct PlainBook {
    ingests: Vec<(RtpIngest, watch::Receiver<IngestReport>)>,
    egresses: Vec<(RtpEgress, PlainEgress)>,
    opened: u64,
}

impl PlainBook {
    fn ingests(&self) -> Vec<RtpIngest> {
        let current = |(ingest, report): &(RtpIngest, watch::Receiver<IngestReport>)| RtpIngest {
            report: *report.borrow(),
            ..ingest.clone()
        };
        self.ingests.iter().map(current).collect()
    }

    fn egresses(&self) -> Vec<RtpEgress> {
        let current = |(egress, open): &(RtpEgress, PlainEgress)| RtpEgress {
            report: *open.report.borrow(),
            ..egress.clone()
        };
        self.egresses.iter().map(current).collect()
    }

    /// Forgets what the media workers have ended.
    fn forget_ended(&mut self) {
        self.ingests
            .retain(|(_, report)| report.has_changed().is_ok());
        self.egresses
            .retain(|(_, open)| open.report.has_changed().is_ok());
    }
}

impl Runner {
    pub(super) async fn obey_plain(&mut self, command: PlainCommand) {
        self.plain.forget_ended();
        // An answer that nobody waits for any more is no error, hence the drops.
        match command {
            PlainCommand::OpenIngest(order, takeover, reply) => {
                let outcome = self.open_ingest(*order, takeover).await;
                drop(reply.send(outcome));
            }
            PlainCommand::OpenEgress(order, reply) => {
                let outcome = self.open_egress(*order).await;
                drop(reply.send(outcome));
            }
            PlainCommand::CloseIngest(id, reply) => {
                let known = self.close_session(&id).await.is_ok();
                let _ = reply.send(known);
            }
            PlainCommand::CloseEgress(id, reply) => {
                let index = self
                    .plain
                    .egresses
                    .iter()
                    .position(|(egress, _)| egress.id == id);
                if let Some(index) = index {
                    let (_, open) = self.plain.egresses.remove(index);
                    self.peers.close_plain_egress(open.id).await;
                }
                let _ = reply.send(index.is_some());
            }
            PlainCommand::Read(reply) => {
                drop(reply.send((self.plain.ingests(), self.plain.egresses())));
            }
        }
    }

    async fn open_ingest(
        &mut self,
        order: PlainIngestOrder,
        takeover: bool,
    ) -> Result<RtpIngest, PlainRtpError> {
        let identity = StudioIdentity {
            operator: takeover,
            ..StudioIdentity::default()
        };
        self.studios.admit(&identity).map_err(|error| match error {
            PublishError::Gone(gone) => PlainRtpError::Gone(gone),
            PublishError::Taken
            | PublishError::ResumeTokenRefused
            | PublishError::Offer(_)
            | PublishError::NoRoom(_)
            | PublishError::Timeout
            | PublishError::UnsupportedCodec(_)
            | PublishError::Router(_) => PlainRtpError::Taken,
        })?;
        let sink = self.sink()?;
        let (video, audio) = (order.video.clone(), order.audio.clone());
        let opening = self.peers.open_plain_ingest(sink, order);
        let opened = timeout(WORKER_TIMEOUT, opening)
            .await
            .map_err(|_| PlainRtpError::Timeout)??;
        if let Some(codec) = opened.source.video {
            let plan = *self.plan.borrow();
            let carriage = carriage(&self.machine, plan, codec, self.contribution(), None);
            if let Err(no_room) = self.room.follow(&carriage) {
                self.peers.close(&opened.session).await;
                return Err(PlainRtpError::NoRoom(no_room));
            }
        }
        if let Some(superseded) = self.studios.candidate.take() {
            self.peers.close(&superseded.session).await;
        }
        let ingest = RtpIngest {
            id: opened.session.as_str().to_owned(),
            video: video
                .zip(opened.video)
                .map(|((codec, track), ports)| (codec, track, ports)),
            audio: audio.zip(opened.audio),
            report: IngestReport::default(),
        };
        self.plain.ingests.push((ingest.clone(), opened.report));
        self.studios.going_live_since = Some(now());
        self.studios.candidate = Some(Studio {
            session: opened.session,
            etag: String::new(),
            source: opened.source,
            events: opened.events,
            subject: None,
            // Nobody is given it: only who may take over a seat anyway takes over this one.
            resume_token: self.studios.issue_resume_token(),
            statistics: IngestStatistics::default(),
            protocol: "rtp",
        });
        tracing::info!(broadcast = %self.spec.id(), takeover, "ports for plain RTP are open");
        Ok(ingest)
    }

    async fn open_egress(&mut self, wish: RtpEgressOrder) -> Result<RtpEgress, PlainRtpError> {
        if self.plain.egresses.len() >= RECEIVERS_LIMIT {
            return Err(PlainError::Full.into());
        }
        let sink = self.sink()?;
        let studio = self.studios.current.as_ref();
        let codec = wish
            .codec
            .or_else(|| studio.and_then(|studio| studio.source.video))
            .unwrap_or(VideoCodec::H264);
        let order = PlainEgressOrder {
            codec,
            ..wish.order
        };
        let (video, audio) = (order.video.clone(), order.audio.clone());
        let opening = self.peers.open_plain_egress(sink, order);
        let opened = timeout(WORKER_TIMEOUT, opening)
            .await
            .map_err(|_| PlainRtpError::Timeout)??;
        self.plain.opened += 1;
        let with_ssrc = |mut track: PlainTrack, ssrc: Option<u32>| {
            track.ssrc = ssrc;
            track
        };
        let egress = RtpEgress {
            id: self.plain.opened.to_string(),
            video: video.zip(opened.video).map(|((track, to), ports)| {
                (codec, with_ssrc(track, opened.video_ssrc), to, ports)
            }),
            audio: audio
                .zip(opened.audio)
                .map(|((track, to), ports)| (with_ssrc(track, opened.audio_ssrc), to, ports)),
            report: EgressReport::default(),
        };
        self.plain.egresses.push((egress.clone(), opened));
        tracing::info!(broadcast = %self.spec.id(), codec = %codec, "plain RTP goes out");
        Ok(egress)
    }

    fn sink(&self) -> Result<SinkId, Gone> {
        self.sink.ok_or(Gone)
    }

    /// Nothing of the current source comes any more, but it may come again: it waits as a candidate does, unless another
    /// source is about to take its seat.
    pub(super) fn rest_studio(&mut self, reason: &str) {
        tracing::info!(broadcast = %self.spec.id(), reason, "studio silent");
        if let Some(resting) = self.studios.current.take() {
            if self.studios.candidate.is_none() {
                self.studios.candidate = Some(resting);
            } else {
                self.studios.retired.push(resting.session);
            }
        }
        self.machine.handle_studio_lost(now());
    }

    /// Ends sources that nothing will come of any more.
    pub(super) async fn end_retired(&mut self) {
        while let Some(session) = self.studios.retired.pop() {
            self.peers.close(&session).await;
        }
    }
}

impl BroadcastHandle {
    /// Opens ports that take plain RTP in the studio's seat, which must be free unless it is to be taken over.
    pub async fn open_rtp_ingest(
        &self,
        order: PlainIngestOrder,
        takeover: bool,
    ) -> Result<RtpIngest, PlainRtpError> {
        let order = Box::new(order);
        self.ask(|reply| Command::Plain(PlainCommand::OpenIngest(order, takeover, reply)))
            .await?
    }

    /// Sends the studio's packets to a receiver of plain RTP.
    pub async fn open_rtp_egress(&self, order: RtpEgressOrder) -> Result<RtpEgress, PlainRtpError> {
        let order = Box::new(order);
        self.ask(|reply| Command::Plain(PlainCommand::OpenEgress(order, reply)))
            .await?
    }

    /// Closes ports that take plain RTP. `false`: there are none of this name.
    pub async fn close_rtp_ingest(&self, id: &str) -> Result<bool, Gone> {
        let id = id.to_owned();
        self.ask(|reply| Command::Plain(PlainCommand::CloseIngest(id, reply)))
            .await
    }

    /// Sends no more to a receiver. `false`: there is none of this name.
    pub async fn close_rtp_egress(&self, id: &str) -> Result<bool, Gone> {
        let id = id.to_owned();
        self.ask(|reply| Command::Plain(PlainCommand::CloseEgress(id, reply)))
            .await
    }

    /// What is open of plain RTP.
    pub async fn plain_rtp(&self) -> Result<(Vec<RtpIngest>, Vec<RtpEgress>), Gone> {
        self.ask(|reply| Command::Plain(PlainCommand::Read(reply)))
            .await
    }
}
