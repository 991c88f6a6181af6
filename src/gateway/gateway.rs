//! The process: starts everything in order, and ends it in the opposite one.

mod parts;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use egress_providers::Trust;
use fleet::NodeIdError;
use futures_util::FutureExt as _;
use peers::Peers;
use pipelines::{rtmp::receiver::Receiver, transcoder::Transcoders};
use signalling::socketio::SocketServer;
use tokio::{runtime::Handle, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use self::parts::{
    chores, dialects, engines, find_methods, listen, public_url, rtp_settings, serve, start_peers,
    start_providers, start_receiver, start_rooms,
};
use crate::{
    admission::Admission,
    auth::{AuthSetupError, Authenticator},
    broadcasts::{Broadcasts, PathSettings, Surroundings},
    clock::now,
    config::{Config, machine_addresses},
    guard::{DestinationGuard, OwnSockets},
    http::{self, Face},
    ice_servers::IceServers,
    metrics::Metrics,
    nodes::{JoinError, Membership},
    providers::{ProviderSetupError, Providers},
    receiver::LocalReceiver,
    rooms::Rooms,
    slates::Slates,
    whip,
};

/// How long connections may take to end once the broadcasts have.
const CONNECTIONS_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the registry may take to hear that this node goes; it finds out by itself within 3 s.
const LEAVING_TIMEOUT: Duration = Duration::from_secs(2);

/// How long providers may take to end what the broadcasts have left: one answer of an API, and a moment.
const PROVIDERS_TIMEOUT: Duration = Duration::from_secs(13);

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The HTTP listener.
    #[error("cannot listen for HTTP on {0}: {1}")]
    Http(SocketAddr, #[source] io::Error),
    /// The WebRTC listener or its threads.
    #[error("cannot listen for WebRTC on {0}: {1}")]
    Rtc(SocketAddr, #[source] io::Error),
    /// The local receiver.
    #[error("cannot listen for RTMP on {0}: {1}")]
    LocalReceiver(SocketAddr, #[source] io::Error),
    /// The addresses of this machine.
    #[error("cannot list the addresses of this machine: {0}")]
    Addresses(#[source] io::Error),
    /// The folder for what codes slates.
    #[error("cannot make a temporary folder: {0}")]
    Slates(#[source] io::Error),
    /// A provider that is configured.
    #[error(transparent)]
    Provider(#[from] ProviderSetupError),
    /// The name of this node.
    #[error("SERVER_ID is no name of a node: {0}")]
    Name(#[source] NodeIdError),
    /// The registry of nodes.
    #[error("this node cannot join: {0}")]
    Registry(#[from] JoinError),
    /// What checks tokens.
    #[error(transparent)]
    Authentication(#[from] AuthSetupError),
}

impl StartError {
    /// Whether another configuration is needed: starting again does not help.
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_configuration(),
            Self::Name(_) => true,
            _ => false,
        }
    }
}

/// A running gateway. Dropping it cuts everything; [`shutdown`](Self::shutdown) ends it in order.
pub struct Gateway {
    http_address: SocketAddr,
    rtc_address: SocketAddr,
    broadcasts: Broadcasts,
    membership: Membership,
    rooms: Rooms,
    sockets: Arc<SocketServer>,
    peers: Peers,
    metrics: Arc<Metrics>,
    receiver: Option<(Receiver, LocalReceiver)>,
    providers: Arc<Providers>,
    shutdown_timeout: Duration,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Gateway")
            .field("http_address", &self.http_address)
            .field("rtc_address", &self.rtc_address)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// Starts on the configured ports; port 0 takes a free one.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // Whoever installed one before is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let (listener, http_address) = listen(config.http)
            .await
            .map_err(|error| StartError::Http(config.http, error))?;
        let receiver = start_receiver(config.local_receiver).await?;
        let addresses = machine_addresses().map_err(StartError::Addresses)?;
        let peers = start_peers(&config, &addresses)?;
        let rtc_address = peers.local_address();
        let view = receiver.as_ref().map(|(_, view)| view.clone());
        let rtp_addresses = addresses.clone();
        let own = OwnSockets {
            listeners: vec![http_address, rtc_address],
            addresses,
        };
        let guard = DestinationGuard::new(
            config.destinations.clone(),
            own,
            view.as_ref().map(LocalReceiver::address),
        );
        let authenticator = Arc::new(Authenticator::new(&config.auth)?);
        let metrics = Arc::new(Metrics::new());
        let trust = Trust::system();
        let slates = Slates::start().map_err(StartError::Slates)?;
        let providers = start_providers(&config, &trust, &metrics, &slates)?;
        let transcoders = Transcoders::new(slates.launcher().clone(), Handle::current());
        let methods = find_methods(&config, &providers).await;
        let engines = engines(&transcoders, &methods);
        let admission = Admission::new(config.capacity);
        let membership = parts::membership(&config, http_address, &methods, &admission).await?;
        let broadcasts = Broadcasts::new(Surroundings {
            peers: peers.clone(),
            guard: guard.clone(),
            providers: Arc::clone(&providers),
            slates,
            path: PathSettings {
                audio_bits_per_second: config.audio_bitrate_kbps * 1000,
                ..PathSettings::default()
            },
            engines,
            transcoders,
            metrics: Arc::clone(&metrics),
            limit: config.broadcasts_limit,
            admission,
            methods,
            membership: membership.clone(),
            sealer: parts::sealer(&config),
        });
        let rooms = start_rooms(&config, &peers, &broadcasts, &guard, &metrics, &membership);
        let started = now();
        let stop = CancellationToken::new();
        let public_url = public_url(&config);
        let settings = whip::Settings {
            broadcasts: broadcasts.clone(),
            authenticator: Arc::clone(&authenticator),
            ice_servers: IceServers::new(config.ice_servers.clone()),
            origins: config.origins.clone(),
            public_url: public_url.clone(),
        };
        let per_address = config.connections_per_address;
        let (dialects, sockets) = dialects(settings, &peers, &rooms, per_address, started);
        let face = Arc::new(Face {
            broadcasts: broadcasts.clone(),
            rooms: rooms.clone(),
            sockets: Arc::clone(&sockets),
            peers: peers.clone(),
            metrics: Arc::clone(&metrics),
            providers: Arc::clone(&providers),
            authenticator,
            guard,
            rtp: rtp_settings(&config, &rtp_addresses),
            probes: http::Probes::new(trust),
            receiver: view,
            origins: config.origins.clone(),
            public_url,
            local_address: http_address,
            node: config.server_id.clone(),
            membership: membership.clone(),
            method: config.method,
            media_server_secret: config.hosted.media_server_secret(),
            started,
            stop: stop.clone(),
        });
        let limiter = config.rate_limit.map(http::rate_limiter);
        let router = http::router(&face, dialects, limiter.clone());
        let mut tasks = serve(listener, router, limiter, &stop);
        for chore in chores(&broadcasts, &providers, &membership) {
            tasks.spawn(stop.clone().run_until_cancelled_owned(chore).map(drop));
        }
        tracing::info!(%http_address, %rtc_address, node = config.server_id, "gateway started");
        Ok(Self {
            http_address,
            rtc_address,
            broadcasts,
            membership,
            rooms,
            sockets,
            peers,
            metrics,
            receiver,
            providers,
            shutdown_timeout: config.shutdown_timeout,
            stop,
            tasks,
        })
    }

    /// Where HTTP is served.
    pub const fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where WebRTC is served.
    pub const fn rtc_address(&self) -> SocketAddr {
        self.rtc_address
    }

    /// The broadcasts of this process.
    pub const fn broadcasts(&self) -> &Broadcasts {
        &self.broadcasts
    }

    #[cfg(test)]
    pub(crate) const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The rooms of this process.
    pub const fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The built-in receiver, if it runs.
    pub fn local_receiver(&self) -> Option<&LocalReceiver> {
        self.receiver.as_ref().map(|(_, view)| view)
    }

    /// Takes no more broadcasts, ends those that are (each destination is told), then everything else.
    ///
    /// Returns within the configured time and a few seconds, whatever the destinations do.
    pub async fn shutdown(mut self) {
        tracing::info!(broadcasts = self.broadcasts.count(), "gateway draining");
        self.broadcasts.drain();
        self.membership.drain();
        self.rooms.drain();
        // First, so that their clients take it for a lost connection and look for us elsewhere.
        self.sockets.shutdown().await;
        if timeout(CONNECTIONS_TIMEOUT, self.rooms.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("rooms did not end in time");
        }
        if timeout(self.shutdown_timeout, self.broadcasts.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(
                broadcasts = self.broadcasts.count(),
                "broadcasts did not end in time"
            );
        }
        if timeout(PROVIDERS_TIMEOUT, self.providers.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("destinations did not end in time");
        }
        self.stop.cancel();
        let tasks_end = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(CONNECTIONS_TIMEOUT, tasks_end).await.is_err() {
            self.tasks.shutdown().await;
        }
        // Not before its heartbeat has ended, which would bring it back.
        if timeout(LEAVING_TIMEOUT, self.membership.leave())
            .await
            .is_err()
        {
            tracing::warn!("the registry was not told in time that this node goes");
        }
        if let Some((receiver, _)) = self.receiver.take() {
            receiver.shutdown().await;
        }
        self.peers.shutdown().await;
        tracing::info!("gateway ended");
    }
}
