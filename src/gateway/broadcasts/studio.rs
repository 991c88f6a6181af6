//! The studio's seat in a broadcast: who has it, and who may take it over.

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

/// What a studio has to show to take over.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) subject: Option<String>,
    pub(super) resume_token: StreamKey,
}

impl Seat {
    /// Whether `studio` may replace whoever sits here.
    pub(super) fn admits(&self, studio: &StudioIdentity) -> bool {
        let shows_token = studio.resume_token.as_ref().is_some_and(|token| {
            bool::from(
                token
                    .expose()
                    .as_bytes()
                    .ct_eq(self.resume_token.expose().as_bytes()),
            )
        });
        let same_subject = studio.subject.is_some() && studio.subject == self.subject;
        shows_token || same_subject || studio.operator
    }
}

/// A studio's session.
#[derive(Debug)]
pub(super) struct Studio {
    pub(super) session: SessionId,
    pub(super) etag: String,
    pub(super) source: SourceDescription,
    pub(super) events: mpsc::Receiver<PeerEvent>,
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

    fn seat(subject: Option<&str>) -> Seat {
        Seat {
            subject: subject.map(str::to_owned),
            resume_token: StreamKey::new("right"),
        }
    }

    fn with_token(token: &str) -> StudioIdentity {
        StudioIdentity {
            resume_token: Some(StreamKey::new(token)),
            ..StudioIdentity::default()
        }
    }

    fn with_subject(subject: &str) -> StudioIdentity {
        StudioIdentity {
            subject: Some(subject.to_owned()),
            ..StudioIdentity::default()
        }
    }

    #[test]
    fn a_stranger_does_not_take_over() {
        assert!(!seat(None).admits(&StudioIdentity::default()));
        assert!(!seat(None).admits(&with_token("wrong")));
        assert!(!seat(Some("anna")).admits(&with_subject("berta")));
        assert!(!seat(None).admits(&with_subject("berta")));
    }

    #[test]
    fn the_token_the_subject_or_an_operator_takes_over() {
        let operator = StudioIdentity {
            operator: true,
            ..StudioIdentity::default()
        };

        assert!(seat(None).admits(&with_token("right")));
        assert!(seat(Some("anna")).admits(&with_subject("anna")));
        assert!(seat(Some("anna")).admits(&operator));
    }

    #[test]
    fn every_token_is_new_and_long() {
        let (one, other) = (new_resume_token(), new_resume_token());

        assert!(one != other);
        assert_eq!(one.expose().len(), 43);
    }
}
