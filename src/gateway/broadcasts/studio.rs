//! The studio's seat in a broadcast: who has it, and who may take it over.

use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use broadcast::StreamKey;
use media::SourceDescription;
use peers::{IngestStatistics, PeerEvent, SessionId};
use subtle::ConstantTimeEq as _;
use tokio::sync::mpsc;

use super::{handle::StudioIdentity, snapshot::SessionSnapshot};

/// Length of a resume token, in bytes of randomness.
const RESUME_TOKEN_BYTES: usize = 32;

/// Makes a token that nobody can guess.
pub(super) fn new_resume_token() -> StreamKey {
    StreamKey::new(URL_SAFE_NO_PAD.encode(rand::random::<[u8; RESUME_TOKEN_BYTES]>()))
}

/// A studio's session.
#[derive(Debug)]
pub(super) struct Studio {
    pub(super) session: SessionId,
    pub(super) etag: String,
    pub(super) source: SourceDescription,
    pub(super) events: mpsc::Receiver<PeerEvent>,
    /// The `sub` of its token.
    pub(super) subject: Option<String>,
    pub(super) statistics: IngestStatistics,
}

impl Studio {
    pub(super) fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot {
            id: self.session.as_str().to_owned(),
            etag: self.etag.clone(),
        }
    }
}

/// Who publishes, who is about to, and what it takes to replace them.
#[derive(Debug, Default)]
pub(super) struct Studios {
    /// Connected.
    pub(super) current: Option<Studio>,
    /// Answered, not connected yet; becomes the current one by connecting.
    pub(super) candidate: Option<Studio>,
    /// What either was given to show.
    pub(super) resume_token: Option<StreamKey>,
    /// When the last offer was answered, until a destination has gone live after it.
    pub(super) going_live_since: Option<Instant>,
}

impl Studios {
    /// Whether `studio` may publish: nobody else does, or it may replace whoever does.
    pub(super) fn admits(&self, studio: &StudioIdentity) -> bool {
        let mut others = [&self.current, &self.candidate]
            .into_iter()
            .flatten()
            .peekable();
        others.peek().is_none()
            || studio.operator
            || shows(studio, self.resume_token.as_ref())
            || others.any(|other| other.subject.is_some() && other.subject == studio.subject)
    }

    pub(super) fn find(&mut self, session: &str) -> Option<&mut Studio> {
        [&mut self.current, &mut self.candidate]
            .into_iter()
            .flatten()
            .find(|studio| studio.session.as_str() == session)
    }

    /// The next studio gets a token of its own.
    pub(super) fn forget_if_empty(&mut self) {
        if self.current.is_none() && self.candidate.is_none() {
            self.resume_token = None;
            self.going_live_since = None;
        }
    }
}

fn shows(studio: &StudioIdentity, token: Option<&StreamKey>) -> bool {
    let Some((shown, right)) = studio.resume_token.as_ref().zip(token) else {
        return false;
    };
    shown
        .expose()
        .as_bytes()
        .ct_eq(right.expose().as_bytes())
        .into()
}

/// The next event of a studio; never comes when there is none. A closed channel counts as the end.
pub(super) async fn next_event(studio: &mut Option<Studio>) -> PeerEvent {
    match studio {
        Some(studio) => match studio.events.recv().await {
            Some(event) => event,
            None => PeerEvent::Ended("the session is gone".to_owned()),
        },
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(subject: Option<&str>, token: Option<&str>, operator: bool) -> StudioIdentity {
        StudioIdentity {
            subject: subject.map(str::to_owned),
            resume_token: token.map(StreamKey::new),
            operator,
        }
    }

    #[test]
    fn whoever_comes_first_is_let_in() {
        assert!(Studios::default().admits(&identity(None, None, false)));
    }

    #[test]
    fn only_the_right_token_is_right() {
        let right = StreamKey::new("right");

        assert!(shows(&identity(None, Some("right"), false), Some(&right)));
        assert!(!shows(&identity(None, Some("wrong"), false), Some(&right)));
        assert!(!shows(&identity(None, None, false), Some(&right)));
        assert!(!shows(&identity(None, Some("right"), false), None));
    }

    #[test]
    fn every_token_is_new_and_long() {
        let (one, other) = (new_resume_token(), new_resume_token());

        assert!(one != other);
        assert_eq!(one.expose().len(), 43);
    }
}
