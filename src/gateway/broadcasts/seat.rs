//! The studio's seat, seen by the broadcast's task: offers, sessions that connect and end, takeovers.

use media::VideoCodec;
use peers::{IngestStatistics, OfferError, PeerEvent, SessionError};
use tokio::time::timeout;

use super::{
    handle::{Gone, PublishError, Published, StudioIdentity},
    room::carriage,
    runner::{Runner, WORKER_TIMEOUT},
    studio::Studio,
};
use crate::clock::now;

impl Runner {
    pub(super) async fn publish(
        &mut self,
        offer: &str,
        studio: &StudioIdentity,
    ) -> Result<Published, PublishError> {
        self.studios.admit(studio)?;
        let sink = self.sink.ok_or(Gone)?;
        let asked = now();
        let plan = *self.plan.borrow();
        let reckoned = carriage(
            &self.machine,
            plan,
            VideoCodec::H264,
            self.contribution(),
            None,
        );
        let (accepts, left_out) = self.room.codecs(&reckoned);
        let answer = self.peers.publish(sink, offer, &accepts);
        let answered = timeout(WORKER_TIMEOUT, answer)
            .await
            .map_err(|_| PublishError::Timeout)?;
        let published = match (answered, left_out) {
            (Err(OfferError::UnsupportedCodec(_)), Some(no_room)) => {
                return Err(PublishError::NoRoom(no_room));
            }
            (answered, _) => answered?,
        };
        if let Some(codec) = published.source.video {
            let carriage = carriage(&self.machine, plan, codec, self.contribution(), None);
            if let Err(no_room) = self.room.follow(&carriage) {
                self.peers.close(&published.session).await;
                return Err(PublishError::NoRoom(no_room));
            }
        }
        self.metrics.whip_answered(now() - asked);
        if let Some(superseded) = self.studios.candidate.take() {
            self.peers.close(&superseded.session).await;
        }
        let resume_token = self.studios.issue_resume_token();
        self.studios.going_live_since = Some(asked);
        let answer = Published {
            session: published.session.as_str().to_owned(),
            answer: published.answer,
            etag: published.etag.clone(),
            resume_token: resume_token.clone(),
        };
        self.studios.candidate = Some(Studio {
            session: published.session,
            etag: published.etag,
            source: published.source,
            events: published.events,
            subject: studio.subject.clone(),
            resume_token,
            statistics: IngestStatistics::default(),
            protocol: "whip",
        });
        tracing::info!(broadcast = %self.spec.id(), elapsed = ?(now() - asked), "studio answered");
        Ok(answer)
    }

    pub(super) async fn close_session(&mut self, session: &str) -> Result<(), SessionError> {
        let id = self
            .studios
            .find(session)
            .map(|studio| studio.session.clone())
            .ok_or(SessionError::NoSuchSession)?;
        self.peers.close(&id).await;
        if self
            .studios
            .current
            .as_ref()
            .is_some_and(|studio| studio.session == id)
        {
            self.lose_studio("the studio said goodbye");
        } else {
            self.studios.candidate = None;
            self.studios.forget_if_empty();
        }
        Ok(())
    }

    pub(super) fn handle_current(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::MediaArrived => self.machine.handle_media_arrived(now()),
            PeerEvent::Statistics(statistics) => {
                if let Some(studio) = &mut self.studios.current {
                    studio.statistics = statistics;
                }
            }
            PeerEvent::SourceGone(reason) => self.rest_studio(&reason),
            PeerEvent::Ended(reason) => self.lose_studio(&reason),
            PeerEvent::Connected => {}
            _ => {}
        }
    }

    pub(super) fn handle_candidate(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Connected => self.seat_candidate(),
            PeerEvent::MediaArrived => {
                self.seat_candidate();
                self.machine.handle_media_arrived(now());
            }
            PeerEvent::Ended(reason) => {
                tracing::info!(broadcast = %self.spec.id(), reason, "studio never connected");
                self.studios.candidate = None;
                self.studios.forget_if_empty();
            }
            PeerEvent::Statistics(_) | PeerEvent::SourceGone(_) | _ => {}
        }
    }

    /// The candidate has connected; the workers end the session that it replaces.
    fn seat_candidate(&mut self) {
        let Some(took_over) = self.studios.seat_candidate() else {
            return;
        };
        tracing::info!(broadcast = %self.spec.id(), took_over, "studio connected");
        self.metrics.studio_connected();
        self.machine.handle_studio_connected(now());
    }

    fn lose_studio(&mut self, reason: &str) {
        tracing::info!(broadcast = %self.spec.id(), reason, "studio lost");
        self.studios.current = None;
        self.studios.forget_if_empty();
        if !self.studio_is_elsewhere() {
            self.machine.handle_studio_lost(now());
        }
    }

    pub(super) async fn end_studio(&mut self) {
        for studio in [self.studios.current.take(), self.studios.candidate.take()]
            .into_iter()
            .flatten()
        {
            self.peers.close(&studio.session).await;
        }
        self.studios.forget_if_empty();
    }
}
