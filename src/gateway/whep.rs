//! WHEP over the broadcasts of this process: permissions, viewers' sessions, and the errors in WHEP's words.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use ::rooms::{ProducerId, RoomError};
use async_trait::async_trait;
use axum::Router;
use broadcast::BroadcastId;
use peers::{PeerEvent, Peers, SessionId, SinkId, Watching};
use signalling::{
    DialectSettings, Fragment, IceRestart, IceSession, IceSessions, NewSession, SessionAccess,
    SignallingError,
    whep::{self, ViewerOffer, Viewers},
};
use tokio::sync::mpsc;

use crate::{
    auth::{Action, Authenticator},
    broadcasts::Broadcasts,
    ice_servers::IceServers,
    rooms::{Lease, Rooms},
    whip::{Settings, admit, offer_refusal, session_refusal, ufrag_of, unavailable},
};

/// Serves WHEP, with CORS and errors of its own.
pub fn router(settings: Settings, peers: Peers, rooms: Rooms) -> Router {
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
        peers,
        rooms,
        sessions: Sessions::default(),
    };
    whep::router(
        Arc::new(gate),
        DialectSettings {
            origins,
            public_url,
        },
    )
}

/// The broadcast has not yet got its place; 503.
#[derive(Debug, thiserror::Error)]
#[error("the broadcast is only just beginning")]
struct Beginning;

struct Gate {
    broadcasts: Broadcasts,
    authenticator: Arc<Authenticator>,
    ice_servers: IceServers,
    peers: Peers,
    rooms: Rooms,
    sessions: Sessions,
}

impl Gate {
    async fn admit(&self, access: &SessionAccess) -> Result<(), SignallingError> {
        let action = Action::Read(&access.broadcast);
        admit(&self.authenticator, access.token.as_ref(), action).await?;
        Ok(())
    }

    /// Where what is to be watched is on its worker.
    async fn place(&self, offer: &ViewerOffer) -> Result<(SinkId, Option<Lease>), SignallingError> {
        if let Some(producer) = &offer.producer {
            let producer = ProducerId::new(producer.clone());
            let watching = self.rooms.watch(&offer.broadcast, &producer);
            let (sink, lease) = watching.await.map_err(|error| room_refusal(&error))?;
            return Ok((sink, Some(lease)));
        }
        let handle = self
            .broadcasts
            .find(&offer.broadcast)
            .ok_or(SignallingError::NoSuchBroadcast)?;
        let sink = handle.sink().ok_or_else(|| unavailable(&Beginning))?;
        Ok((sink, None))
    }

    /// Whether there is a broadcast or a room of this name.
    fn is_known(&self, name: &BroadcastId) -> bool {
        self.broadcasts.find(name).is_some() || self.rooms.has(name)
    }

    fn session(&self, access: &SessionAccess) -> Result<Session, SignallingError> {
        self.sessions
            .find(&access.broadcast, &access.session)
            .ok_or(SignallingError::NoSuchSession)
    }
}

#[async_trait]
impl Viewers for Gate {
    async fn watch(&self, offer: ViewerOffer) -> Result<NewSession, SignallingError> {
        let action = Action::Read(&offer.broadcast);
        admit(&self.authenticator, offer.token.as_ref(), action).await?;
        let (sink, lease) = self.place(&offer).await?;
        let Watching {
            session,
            answer,
            etag,
            events,
        } = self
            .peers
            .watch(sink, &offer.sdp)
            .await
            .map_err(offer_refusal)?;
        tracing::info!(broadcast = %offer.broadcast, dialect = "whep", "viewer answered");
        let events = match lease {
            Some(lease) => self.rooms.hold(lease, events),
            None => events,
        };
        let id = session.as_str().to_owned();
        let begun = Session {
            id: session,
            etag: etag.clone(),
            ufrag: ufrag_of(&offer.sdp).map(str::to_owned),
        };
        self.sessions
            .remember(offer.broadcast.clone(), begun, events);
        Ok(NewSession {
            id,
            answer,
            etag,
            ice_servers: self
                .ice_servers
                .issue(offer.broadcast.as_str(), SystemTime::now()),
        })
    }
}

#[async_trait]
impl IceSessions for Gate {
    async fn ice_session(&self, access: &SessionAccess) -> Result<IceSession, SignallingError> {
        self.admit(access).await?;
        let session = self.session(access)?;
        Ok(IceSession {
            etag: session.etag,
            peer_ufrag: session.ufrag,
        })
    }

    async fn trickle(&self, access: &SessionAccess, fragment: &str) -> Result<(), SignallingError> {
        let session = self.session(access)?;
        self.peers
            .trickle(&session.id, fragment)
            .map_err(session_refusal)
    }

    async fn restart_ice(
        &self,
        access: &SessionAccess,
        fragment: &str,
    ) -> Result<IceRestart, SignallingError> {
        let session = self.session(access)?;
        let restart = self
            .peers
            .restart_ice(&session.id, fragment)
            .await
            .map_err(session_refusal)?;
        let ufrag = Fragment::parse(fragment)?.ufrag.map(str::to_owned);
        self.sessions
            .restart(&access.session, restart.etag.clone(), ufrag);
        Ok(IceRestart {
            fragment: restart.fragment,
            etag: restart.etag,
        })
    }

    async fn end(&self, access: &SessionAccess) -> Result<(), SignallingError> {
        self.admit(access).await?;
        match self.session(access) {
            Ok(session) => {
                self.peers.close(&session.id).await;
                Ok(())
            }
            // An ended one, or one of another broadcast, which this token may have nothing to do with.
            Err(_) if self.is_known(&access.broadcast) => Ok(()),
            Err(_) => Err(SignallingError::NoSuchBroadcast),
        }
    }
}

/// Why a track of a room is not watched.
fn room_refusal(error: &RoomError) -> SignallingError {
    if let RoomError::NoSuchRoom | RoomError::NoSuchProducer = error {
        return SignallingError::NoSuchBroadcast;
    }
    unavailable(error)
}

/// A viewer's session.
#[derive(Clone)]
struct Session {
    id: SessionId,
    etag: String,
    ufrag: Option<String>,
}

/// The sessions of the viewers that live, of which there is a bounded number for each broadcast. What is dead is forgotten
/// when another one comes.
#[derive(Default)]
struct Sessions {
    by_id: Mutex<HashMap<String, Living>>,
}

struct Living {
    broadcast: BroadcastId,
    session: Session,
    /// Closes when the session has ended.
    events: mpsc::Receiver<PeerEvent>,
}

impl Sessions {
    fn remember(
        &self,
        broadcast: BroadcastId,
        session: Session,
        events: mpsc::Receiver<PeerEvent>,
    ) {
        let mut by_id = self.lock();
        by_id.retain(|_, living| !living.events.is_closed());
        by_id.insert(
            session.id.as_str().to_owned(),
            Living {
                broadcast,
                session,
                events,
            },
        );
    }

    fn find(&self, broadcast: &BroadcastId, id: &str) -> Option<Session> {
        self.lock()
            .get(id)
            .filter(|living| living.broadcast == *broadcast && !living.events.is_closed())
            .map(|living| living.session.clone())
    }

    fn restart(&self, id: &str, etag: String, ufrag: Option<String>) {
        if let Some(living) = self.lock().get_mut(id) {
            living.session.etag = etag;
            living.session.ufrag = ufrag;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Living>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
