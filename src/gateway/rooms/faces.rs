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
    /// Lets pages of these origins into rooms, and so many connections of one address; 0: any number.
    pub(crate) fn new(
        service: RoomService,
        peers: Peers,
        origins: Origins,
        connections_per_address: usize,
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
        let settings = SocketSettings {
            connections_per_address: match connections_per_address {
                0 => usize::MAX,
                limit => limit,
            },
            ..SocketSettings::new(origins)
        };
        let (sockets, server) = socketio::router(rooms, settings);
        Self {
            rest,
            sockets,
            server: Arc::new(server),
        }
    }
}
