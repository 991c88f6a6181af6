//! WHIP over the broadcasts of this process: permissions, seats, and the errors in WHIP's words.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use axum::Router;
use broadcast::BroadcastId;
use peers::{OfferError, SessionError};
use signalling::{
    Bearer, DialectSettings, Fragment, IceRestart, IceSession, IceSessions, NewSession, Origins,
    SessionAccess, SignallingError,
    whip::{self, Publication, StudioOffer, Studios},
};

use crate::{
    auth::{Action, AuthError, Authenticator, Identity},
    broadcasts::{BroadcastHandle, Broadcasts, PublishError, StudioIdentity},
    ice_servers::IceServers,
};

/// When a studio may come back after "not now".
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What WHIP and WHEP work with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The broadcasts of this process.
    pub broadcasts: Broadcasts,
    /// Who tells studios and viewers apart.
    pub authenticator: Arc<Authenticator>,
    /// What helps them through their NAT.
    pub ice_servers: IceServers,
    /// Whose pages may publish and watch.
    pub origins: Origins,
    /// What this node is called from outside; `None`: `Location` is relative.
    pub public_url: Option<String>,
}

/// Serves WHIP, with CORS and errors of its own.
pub fn router(settings: Settings) -> Router {
    let Settings {
        broadcasts,
        authenticator,
        ice_servers,
        origins,
        public_url,
    } = settings;
    let gate = Gate {
        broadcasts,
        authenticator,
        ice_servers,
        ufrags: Ufrags::default(),
    };
    whip::router(
        Arc::new(gate),
        DialectSettings {
            origins,
            public_url,
        },
    )
}

struct Gate {
    broadcasts: Broadcasts,
    authenticator: Arc<Authenticator>,
    ice_servers: IceServers,
    ufrags: Ufrags,
}

impl Gate {
    async fn admit(
        &self,
        token: Option<&Bearer>,
        broadcast: &BroadcastId,
    ) -> Result<(Identity, BroadcastHandle), SignallingError> {
        let action = Action::Publish(broadcast);
        let identity = admit(&self.authenticator, token, action).await?;
        let handle = self
            .broadcasts
            .find(broadcast)
            .ok_or(SignallingError::NoSuchBroadcast)?;
        Ok((identity, handle))
    }

    async fn session(&self, access: &SessionAccess) -> Result<BroadcastHandle, SignallingError> {
        let (_, handle) = self.admit(access.token.as_ref(), &access.broadcast).await?;
        Ok(handle)
    }
}

#[async_trait]
impl Studios for Gate {
    async fn publish(&self, offer: StudioOffer) -> Result<Publication, SignallingError> {
        let (identity, handle) = self.admit(offer.token.as_ref(), &offer.broadcast).await?;
        let studio = StudioIdentity {
            operator: identity.may_take_over(),
            subject: identity.subject,
            resume_token: offer.resume_token,
        };
        let ufrag = ufrag_of(&offer.sdp).map(str::to_owned);
        let published = handle
            .publish(offer.sdp, studio)
            .await
            .map_err(publish_refusal)?;
        self.ufrags.remember(
            &self.broadcasts,
            &offer.broadcast,
            &published.session,
            ufrag,
        );
        let session = NewSession {
            id: published.session,
            answer: published.answer,
            etag: published.etag,
            ice_servers: self
                .ice_servers
                .issue(offer.broadcast.as_str(), SystemTime::now()),
        };
        Ok(Publication {
            session,
            resume_token: Bearer::new(published.resume_token.expose())
                .map_err(|_| SignallingError::Internal)?,
        })
    }
}

#[async_trait]
impl IceSessions for Gate {
    async fn ice_session(&self, access: &SessionAccess) -> Result<IceSession, SignallingError> {
        let handle = self.session(access).await?;
        let snapshot = handle.snapshot();
        let session = snapshot
            .session(&access.session)
            .ok_or(SignallingError::NoSuchSession)?;
        Ok(IceSession {
            etag: session.etag.clone(),
            peer_ufrag: self.ufrags.of(&access.session),
        })
    }

    async fn trickle(&self, access: &SessionAccess, fragment: &str) -> Result<(), SignallingError> {
        // `ice_session` has admitted this very request.
        let handle = self
            .broadcasts
            .find(&access.broadcast)
            .ok_or(SignallingError::NoSuchBroadcast)?;
        handle
            .trickle(&access.session, fragment.to_owned())
            .await
            .map_err(session_refusal)
    }

    async fn restart_ice(
        &self,
        access: &SessionAccess,
        fragment: &str,
    ) -> Result<IceRestart, SignallingError> {
        let handle = self
            .broadcasts
            .find(&access.broadcast)
            .ok_or(SignallingError::NoSuchBroadcast)?;
        let restart = handle
            .restart_ice(&access.session, fragment.to_owned())
            .await
            .map_err(session_refusal)?;
        let ufrag = Fragment::parse(fragment)?.ufrag.map(str::to_owned);
        self.ufrags
            .remember(&self.broadcasts, &access.broadcast, &access.session, ufrag);
        Ok(IceRestart {
            fragment: restart.fragment,
            etag: restart.etag,
        })
    }

    async fn end(&self, access: &SessionAccess) -> Result<(), SignallingError> {
        let handle = self.session(access).await?;
        match handle.close_session(&access.session).await {
            Ok(()) | Err(SessionError::NoSuchSession) => Ok(()),
            Err(error) => Err(session_refusal(error)),
        }
    }
}

/// The user fragments of the studios that live. At most two sessions of a broadcast live at a time, and what
/// is dead is forgotten when another one comes.
#[derive(Default)]
struct Ufrags {
    by_session: Mutex<HashMap<String, (BroadcastId, String)>>,
}

impl Ufrags {
    fn remember(
        &self,
        broadcasts: &Broadcasts,
        broadcast: &BroadcastId,
        session: &str,
        ufrag: Option<String>,
    ) {
        let mut by_session = self
            .by_session
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        by_session.retain(|session, (broadcast, _)| {
            broadcasts
                .find(broadcast)
                .is_some_and(|handle| handle.snapshot().session(session).is_some())
        });
        if let Some(ufrag) = ufrag {
            by_session.insert(session.to_owned(), (broadcast.clone(), ufrag));
        }
    }

    fn of(&self, session: &str) -> Option<String> {
        let by_session = self
            .by_session
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        by_session.get(session).map(|(_, ufrag)| ufrag.clone())
    }
}

/// Tells who asks, and whether they may.
pub(crate) async fn admit(
    authenticator: &Authenticator,
    token: Option<&Bearer>,
    action: Action<'_>,
) -> Result<Identity, SignallingError> {
    let identity = authenticator.authenticate(token).await.map_err(refusal)?;
    if identity.may(action) {
        return Ok(identity);
    }
    Err(SignallingError::Forbidden(format!(
        "a token of role {} and this scope may not {}",
        identity.role.as_str(),
        action.in_words()
    )))
}

/// The first user fragment of an offer; a bundled offer has one.
pub(crate) fn ufrag_of(sdp: &str) -> Option<&str> {
    sdp.lines()
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .map(str::trim)
}

fn refusal(error: AuthError) -> SignallingError {
    match error {
        AuthError::Missing => SignallingError::TokenMissing,
        AuthError::Refused(why) => SignallingError::TokenRefused(why),
        AuthError::Unavailable(_) => unavailable(&error),
    }
}

fn publish_refusal(error: PublishError) -> SignallingError {
    match error {
        PublishError::Gone(_) => SignallingError::NoSuchBroadcast,
        PublishError::Taken => SignallingError::StudioPresent,
        PublishError::ResumeTokenRefused => SignallingError::ResumeTokenRefused,
        PublishError::NoRoom(_) => SignallingError::NodeFull {
            message: error.to_string(),
            retry_after: RETRY_AFTER,
        },
        PublishError::Timeout => unavailable(&error),
        PublishError::UnsupportedCodec(_) | PublishError::Router(_) => {
            unanswered(&error.to_string())
        }
        PublishError::Offer(error) => offer_refusal(error),
    }
}

/// Why an offer of a studio or a viewer is not answered.
pub(crate) fn offer_refusal(error: OfferError) -> SignallingError {
    match error {
        OfferError::NoSuchSink => SignallingError::NoSuchBroadcast,
        OfferError::Malformed(why) => SignallingError::MalformedOffer(why),
        OfferError::UnsupportedCodec(why) => SignallingError::UnsupportedCodec(why),
        OfferError::Full => unavailable(&error),
        OfferError::TooManyViewers => SignallingError::TooManyViewers {
            retry_after: RETRY_AFTER,
        },
        OfferError::Internal(error) => unanswered(&error),
        error => unanswered(&error.to_string()),
    }
}

fn unanswered(error: &str) -> SignallingError {
    tracing::error!(error, fault = "gateway", "offer could not be answered");
    SignallingError::Internal
}

pub(crate) fn session_refusal(error: SessionError) -> SignallingError {
    match error {
        SessionError::NoSuchSession => SignallingError::NoSuchSession,
        SessionError::Malformed(why) => SignallingError::MalformedFragment(why),
        error => {
            tracing::error!(%error, fault = "gateway", "session could not be changed");
            SignallingError::Internal
        }
    }
}

pub(crate) fn unavailable(error: &dyn std::error::Error) -> SignallingError {
    SignallingError::Unavailable {
        message: error.to_string(),
        retry_after: RETRY_AFTER,
    }
}
