//! What the dialects ask of rooms, with permissions.

use std::{sync::Arc, time::SystemTime};

use async_trait::async_trait;
use broadcast::BroadcastId;
use futures_util::future::join_all;
use ortc::RtpCapabilities;
use rooms::{JoinOrder, ParticipantId, RoomError, RoomView, TransportId};
use signalling::{
    Bearer, IceServer,
    rooms::{Guest, Membership},
};
use uuid::Uuid;

use super::{
    handle::RoomHandle, member::Seat, pass::Pass, registry::Rooms, task::Entered, words::of_auth,
};
use crate::{auth::Authenticator, ice_servers::IceServers};

/// How often a join is tried again when the room ends at that very moment.
const JOIN_ATTEMPTS: usize = 3;

/// The rooms of this node as the dialects see them.
#[derive(Debug, Clone)]
pub struct RoomService {
    rooms: Rooms,
    authenticator: Arc<Authenticator>,
    ice_servers: IceServers,
}

impl RoomService {
    /// Lets people into `rooms` whom the authenticator knows.
    pub const fn new(
        rooms: Rooms,
        authenticator: Arc<Authenticator>,
        ice_servers: IceServers,
    ) -> Self {
        Self {
            rooms,
            authenticator,
            ice_servers,
        }
    }

    fn seat(&self, room: RoomHandle, pass: Pass, entered: Entered) -> Membership {
        let seat = Seat {
            room,
            place: entered.place,
            participant: entered.participant,
            pass,
            outside: self.rooms.outside(),
            tasks: self.rooms.tasks().clone(),
        };
        Membership {
            member: Arc::new(seat),
            events: entered.events,
            resumed: entered.resumed,
            room: entered.view,
        }
    }

    /// A room that the guest may see.
    async fn known(&self, guest: &Guest, room: &BroadcastId) -> Result<RoomHandle, RoomError> {
        Pass::of(guest)?.check_join(room)?;
        match self.rooms.find(room) {
            Some(handle) => Ok(handle),
            None => Err(self.rooms.why_absent(room).await),
        }
    }
}

#[async_trait]
impl signalling::rooms::Rooms for RoomService {
    async fn admit(&self, token: Option<&Bearer>) -> Result<Guest, RoomError> {
        let (identity, claims) = self
            .authenticator
            .authenticate_guest(token)
            .await
            .map_err(of_auth)?;
        Ok(Guest {
            subject: identity.subject.clone(),
            claims,
            pass: Arc::new(Pass::new(identity)),
        })
    }

    async fn capabilities(
        &self,
        guest: &Guest,
        room: &BroadcastId,
    ) -> Result<RtpCapabilities, RoomError> {
        Pass::of(guest)?.check_join(room)?;
        self.rooms.open(room).await?;
        Ok(ortc::router_capabilities())
    }

    async fn join(&self, guest: &Guest, order: JoinOrder) -> Result<Membership, RoomError> {
        let pass = Pass::of(guest)?;
        pass.check_join(&order.room)?;
        let name = match &order.participant {
            Some(name) => name.clone(),
            None => ParticipantId::new(Uuid::new_v4().to_string()),
        };
        for _ in 0..JOIN_ATTEMPTS {
            let (room, _) = self.rooms.open(&order.room).await?;
            let (pass_in, name, order) = (pass.clone(), name.clone(), order.clone());
            let entering =
                room.ask(move |task| Box::pin(async move { task.join(&pass_in, &name, order) }));
            match entering.await {
                Err(RoomError::NoSuchRoom) => {}
                entered => return Ok(self.seat(room, pass, entered?)),
            }
        }
        Err(RoomError::NoSuchRoom)
    }

    async fn resume(
        &self,
        guest: &Guest,
        transport: &TransportId,
    ) -> Result<Membership, RoomError> {
        let pass = Pass::of(guest)?;
        let room = self
            .rooms
            .find_by_transport(transport)
            .ok_or(RoomError::NoSuchTransport)?;
        pass.check_join(&room.id)?;
        let (transport, pass_in) = (transport.clone(), pass.clone());
        let entering =
            room.ask(move |task| Box::pin(async move { task.resume(&pass_in, &transport) }));
        let entered = entering.await?;
        Ok(self.seat(room, pass, entered))
    }

    async fn list(&self, guest: &Guest) -> Result<Vec<RoomView>, RoomError> {
        let pass = Pass::of(guest)?;
        let rooms = self.rooms.list();
        let visible = rooms.iter().filter(|room| pass.may_see(&room.id));
        let views = join_all(visible.map(view)).await;
        // A room that has just ended is none.
        Ok(views.into_iter().flatten().collect())
    }

    async fn create(&self, guest: &Guest, room: &BroadcastId) -> Result<RoomView, RoomError> {
        Pass::of(guest)?.check_join(room)?;
        let (handle, is_new) = self.rooms.open(room).await?;
        if !is_new {
            return Err(RoomError::RoomExists);
        }
        view(&handle).await
    }

    async fn find(&self, guest: &Guest, room: &BroadcastId) -> Result<RoomView, RoomError> {
        view(&self.known(guest, room).await?).await
    }

    async fn close(&self, guest: &Guest, room: &BroadcastId) -> Result<(), RoomError> {
        let pass = Pass::of(guest)?;
        pass.check_direct(room)?;
        let room = self.known(guest, room).await?;
        room.ask(|task| {
            Box::pin(async move {
                task.closing = Some("the room was closed");
                Ok(())
            })
        })
        .await?;
        room.jobs.closed().await;
        Ok(())
    }

    fn ice_servers(&self, guest: &Guest) -> Vec<IceServer> {
        let name = guest.subject.as_deref().unwrap_or("guest");
        self.ice_servers.issue(name, SystemTime::now())
    }
}

async fn view(room: &RoomHandle) -> Result<RoomView, RoomError> {
    room.ask(|task| Box::pin(async move { Ok(task.room.view()) }))
        .await
}
