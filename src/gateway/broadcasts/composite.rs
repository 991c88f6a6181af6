//! A room's programme in the studio's seat: tracks of the room feed the broadcast as a studio's session does.

use media::VideoCodec;
use peers::{IngestStatistics, router::RouterId};
use tokio::time::timeout;

use super::{
    handle::{BroadcastHandle, Command, Gone, PublishError, StudioIdentity},
    room::carriage,
    runner::{Runner, WORKER_TIMEOUT},
    studio::Studio,
};
use crate::clock::now;

/// How the snapshot calls what comes from a room.
pub(crate) const ROOM_PROTOCOL: &str = "socketio";

/// A wish to bring tracks of a room to a broadcast.
#[derive(Debug)]
pub(crate) struct CompositeOrder {
    /// The room's router, which is on the broadcast's worker when both have the same name.
    pub router: RouterId,
    /// The composed picture, and how it is coded.
    pub video: Option<(String, VideoCodec)>,
    /// The mixed sound.
    pub audio: Option<String>,
    /// Who wants it.
    pub studio: StudioIdentity,
}

impl Runner {
    pub(super) async fn compose(&mut self, order: CompositeOrder) -> Result<String, PublishError> {
        let CompositeOrder {
            router,
            video,
            audio,
            studio,
        } = order;
        // The room decides by itself who directs it, so a programme replaces another one.
        if !self.studios.all_speak(ROOM_PROTOCOL) {
            self.studios.admit(&studio)?;
        }
        let sink = self.sink.ok_or(Gone)?;
        if let Some((_, codec)) = &video {
            self.make_room_for(*codec)?;
        }
        let video = video.map(|(producer, _)| producer);
        let composing = self
            .peers
            .compose(sink, router, video.as_deref(), audio.as_deref());
        let composed = timeout(WORKER_TIMEOUT, composing)
            .await
            .map_err(|_| PublishError::Timeout)??;
        if let Some(superseded) = self.studios.candidate.take() {
            self.peers.close(&superseded.session).await;
        }
        let session = composed.session.as_str().to_owned();
        self.studios.going_live_since = Some(now());
        self.studios.candidate = Some(Studio {
            session: composed.session,
            etag: String::new(),
            source: composed.source,
            events: composed.events,
            subject: studio.subject,
            // Nobody is given it: only who may take over a seat anyway takes over this one.
            resume_token: self.studios.issue_resume_token(),
            statistics: IngestStatistics::default(),
            protocol: ROOM_PROTOCOL,
        });
        tracing::info!(broadcast = %self.spec.id(), "programme of a room composed");
        Ok(session)
    }

    /// Takes the room that pictures of this codec need.
    fn make_room_for(&mut self, codec: VideoCodec) -> Result<(), PublishError> {
        let plan = *self.plan.borrow();
        let carriage = carriage(&self.machine, plan, codec, self.contribution(), None);
        let (accepts, left_out) = self.room.codecs(&carriage);
        if !accepts.contains(&codec) {
            return Err(
                left_out.map_or(PublishError::UnsupportedCodec(codec), PublishError::NoRoom)
            );
        }
        self.room.follow(&carriage).map_err(PublishError::NoRoom)
    }
}

impl BroadcastHandle {
    /// Lets tracks of a room feed the broadcast. Whatever feeds it already is replaced if it comes from the room, too, or if
    /// the studio may take its seat. Returns the session, which ends when one of the tracks ends.
    pub(crate) async fn publish_composite(
        &self,
        order: CompositeOrder,
    ) -> Result<String, PublishError> {
        let order = Box::new(order);
        self.ask(|reply| Command::Compose(order, reply)).await?
    }
}
