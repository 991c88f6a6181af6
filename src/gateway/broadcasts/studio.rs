//! The studio's seat in a broadcast: who has it, and who may take it over.

use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use broadcast::StreamKey;
use media::SourceDescription;
use peers::{IngestStatistics, PeerEvent, SessionId};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::sync::mpsc;

use super::{
    handle::{PublishError, StudioIdentity},
    snapshot::SessionSnapshot,
};

/// Length of a resume token, in bytes of randomness.
const RESUME_TOKEN_BYTES: usize = 32;

/// How many resume tokens are right at a time: the connected session's, and of those given since, whose answers may have
/// been lost, the latest.
const RESUME_TOKENS_LIMIT: usize = 8;

/// A studio's session.
#[derive(Debug)]
pub(super) struct Studio {
    pub(super) session: SessionId,
    pub(super) etag: String,
    pub(super) source: SourceDescription,
    pub(super) events: mpsc::Receiver<PeerEvent>,
    /// The `sub` of its token.
    pub(super) subject: Option<String>,
    /// What it was given, to show when it comes back.
    pub(super) resume_token: StreamKey,
    pub(super) statistics: IngestStatistics,
    /// How its media come: `whip`, `rtp` or `socketio`.
    pub(super) protocol: &'static str,
}

impl Studio {
    pub(super) fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot {
            id: self.session.as_str().to_owned(),
            etag: self.etag.clone(),
        }
    }
}

/// Whose event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    Current,
    Candidate,
}

/// Who publishes, who is about to, and what it takes to replace them.
#[derive(Debug, Default)]
pub(super) struct Studios {
    /// Connected.
    pub(super) current: Option<Studio>,
    /// Answered, not connected yet; becomes the current one by connecting.
    pub(super) candidate: Option<Studio>,
    /// The right ones, oldest first; they outlive the studios.
    resume_tokens: Vec<StreamKey>,
    /// To be ended: somebody else has the seat now.
    pub(super) retired: Vec<SessionId>,
    /// When the last offer was answered, until a destination has gone live after it.
    pub(super) going_live_since: Option<Instant>,
}

impl Studios {
    /// Nobody yet, and whoever shows one of these may come: they were given by another node.
    pub(super) fn with_resume_tokens(resume_tokens: Vec<StreamKey>) -> Self {
        Self {
            resume_tokens,
            ..Self::default()
        }
    }

    /// The right ones, oldest first.
    pub(super) fn resume_tokens(&self) -> &[StreamKey] {
        &self.resume_tokens
    }

    /// Whether `studio` may publish: nobody else does, or it may replace whoever does. A wrong token is refused in any case.
    pub(super) fn admit(&self, studio: &StudioIdentity) -> Result<(), PublishError> {
        if let Some(shown) = &studio.resume_token
            && !self.resume_tokens.is_empty()
        {
            return if self.is_right(shown) {
                Ok(())
            } else {
                Err(PublishError::ResumeTokenRefused)
            };
        }
        let mut others = [&self.current, &self.candidate]
            .into_iter()
            .flatten()
            .peekable();
        let is_admitted = others.peek().is_none()
            || studio.operator
            || others.any(|other| other.subject.is_some() && other.subject == studio.subject);
        if is_admitted {
            Ok(())
        } else {
            Err(PublishError::Taken)
        }
    }

    /// Whether somebody has the seat or is about to have it, and all of them send by this protocol.
    pub(super) fn all_speak(&self, protocol: &str) -> bool {
        let mut present = [&self.current, &self.candidate]
            .into_iter()
            .flatten()
            .peekable();
        present.peek().is_some() && present.all(|studio| studio.protocol == protocol)
    }

    /// A token for a new session. The earlier ones stay right until it has connected, as its answer may get lost.
    pub(super) fn issue_resume_token(&mut self) -> StreamKey {
        let token = new_resume_token();
        if self.resume_tokens.len() == RESUME_TOKENS_LIMIT {
            // Not the first: it is the connected session's.
            self.resume_tokens.remove(1);
        }
        self.resume_tokens.push(token.clone());
        token
    }

    /// The candidate has connected, and only its token is right from now on. Whether it replaced another;
    /// `None`: there is no candidate.
    pub(super) fn seat_candidate(&mut self) -> Option<bool> {
        let candidate = self.candidate.take()?;
        self.resume_tokens = vec![candidate.resume_token.clone()];
        Some(self.current.replace(candidate).is_some())
    }

    pub(super) fn find(&mut self, session: &str) -> Option<&mut Studio> {
        [&mut self.current, &mut self.candidate]
            .into_iter()
            .flatten()
            .find(|studio| studio.session.as_str() == session)
    }

    /// Nobody is going live any more.
    pub(super) fn forget_if_empty(&mut self) {
        if self.current.is_none() && self.candidate.is_none() {
            self.going_live_since = None;
        }
    }

    /// The next event of either studio; never comes when there is none. A closed channel counts as the end. Cancel-safe.
    ///
    /// The candidate's comes first: the workers end the session that it replaces, and that is a takeover, not a loss.
    pub(super) async fn next_event(&mut self) -> (Seat, PeerEvent) {
        tokio::select! {
            biased;
            event = next_event(&mut self.candidate) => (Seat::Candidate, event),
            event = next_event(&mut self.current) => (Seat::Current, event),
        }
    }

    /// Compares with every right token, whichever of them it is, in constant time.
    fn is_right(&self, shown: &StreamKey) -> bool {
        let shown = shown.expose().as_bytes();
        let equal = self
            .resume_tokens
            .iter()
            .fold(Choice::from(0), |equal, right| {
                equal | right.expose().as_bytes().ct_eq(shown)
            });
        equal.into()
    }
}

/// Makes a token that nobody can guess.
fn new_resume_token() -> StreamKey {
    StreamKey::new(URL_SAFE_NO_PAD.encode(rand::random::<[u8; RESUME_TOKEN_BYTES]>()))
}

async fn next_event(studio: &mut Option<Studio>) -> PeerEvent {
    match studio {
        Some(studio) => match studio.events.recv().await {
            Some(event) => event,
            None => PeerEvent::Ended("the session is gone".to_owned()),
        },
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "studio_tests.rs"]
mod tests;
