//! How rooms are spoken to: Socket.IO and the REST trees of the seeds, wired to the rooms of this process.

use std::{sync::Arc, time::Instant};

use axum::Router;
use peers::Peers;
use signalling::{
    Origins,
    rest::{self, NodeFigures, RestSettings},
    socketio::{self, SocketServer, SocketSettings},
};

use super::RoomService;
use crate::{clock::now, system::Usage};

/// The ways into rooms.
pub(crate) struct Faces {
    /// The REST trees, with CORS and errors of their own.
    pub(crate) rest: Router,
    /// Socket.IO, whose answers take their time.
    pub(crate) sockets: Router,
    /// What ends the connections.
    pub(crate) server: Arc<SocketServer>,
}

impl Faces {
    /// Lets pages of these origins into rooms.
    pub(crate) fn new(
        service: RoomService,
        peers: Peers,
        origins: Origins,
        started: Instant,
    ) -> Self {
        let rooms: Arc<dyn signalling::rooms::Rooms> = Arc::new(service);
        let figures = move || NodeFigures {
            workers: peers.workers(),
            uptime: now().saturating_duration_since(started),
            memory_bytes: Usage::read().resident_bytes,
        };
        let settings = RestSettings {
            origins: origins.clone(),
            figures: Arc::new(figures),
        };
        let rest = rest::router(Arc::clone(&rooms), settings);
        let (sockets, server) = socketio::router(rooms, SocketSettings::new(origins));
        Self {
            rest,
            sockets,
            server: Arc::new(server),
        }
    }
}
