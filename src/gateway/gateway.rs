//! The process: starts everything in order, and ends it in the opposite one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, serve::ListenerExt as _};
use broadcast::Method;
use egress_providers::{Trust, hosted::Observer};
use fleet::{NodeId, NodeIdError};
use futures_util::{FutureExt as _, future::BoxFuture};
use peers::{Peers, PeersConfig, plain::PlainPorts};
use pipelines::{
    engine::Engines,
    ffmpeg::{Ffmpeg, FfmpegAbsent, FfmpegEngines},
    rtmp::receiver::Receiver,
    transcoder::Transcoders,
};
use signalling::socketio::SocketServer;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{self, Admission, Methods},
    auth::{AuthSetupError, Authenticator},
    broadcasts::{Broadcasts, PathSettings, Surroundings},
    clock::now,
    config::{Config, machine_addresses},
    guard::{DestinationGuard, OwnSockets},
    http::{self, Face, RateLimiter, RtpSettings},
    ice_servers::IceServers,
    metrics::Metrics,
    nodes::{JoinError, Membership, Profile, adopt_orphans},
    providers::{Outfit, ProviderSetupError, Providers, reap},
    receiver::LocalReceiver,
    rooms::{Faces, RoomService, RoomSettings, Rooms},
    slates::Slates,
    whep, whip,
};

/// How long connections may take to end once the broadcasts have.
const CONNECTIONS_TIMEOUT: Duration = Duration::from_secs(3);

/// How long providers may take to end what the broadcasts have left: one answer of an API, and a moment.
const PROVIDERS_TIMEOUT: Duration = Duration::from_secs(13);

/// How often addresses that ask for nothing any more are forgotten by the rate limit.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

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

/// A running gateway. Dropping it cuts everything; [`shutdown`](Self::shutdown) ends it in order.
pub struct Gateway {
    http_address: SocketAddr,
    rtc_address: SocketAddr,
    broadcasts: Broadcasts,
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
        let profile = profile(&config, http_address, &methods)?;
        let membership = Membership::alone(profile, admission.clone()).await?;
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
            sealer: None,
        });
        let rooms = start_rooms(&config, &peers, &broadcasts, &guard, &metrics);
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
        if let Some((receiver, _)) = self.receiver.take() {
            receiver.shutdown().await;
        }
        self.peers.shutdown().await;
        tracing::info!("gateway ended");
    }
}

/// What this node tells others of itself.
fn profile(
    config: &Config,
    http_address: SocketAddr,
    methods: &Methods,
) -> Result<Profile, StartError> {
    let able = Method::ALL
        .into_iter()
        .filter(|method| methods.check(*method).is_ok());
    let ip = config.announced.first().copied();
    Ok(Profile {
        id: NodeId::new(config.server_id.as_str()).map_err(StartError::Name)?,
        instance: uuid::Uuid::new_v4().to_string(),
        url: public_url(config).unwrap_or_else(|| format!("http://{http_address}")),
        ip: ip.unwrap_or(http_address.ip()).to_string(),
        region: None,
        methods: able.map(|method| method.as_str().to_owned()).collect(),
    })
}

/// Without a slash at the end.
fn public_url(config: &Config) -> Option<String> {
    let url = config.public_url.as_ref()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// Our own publisher, and whoever is configured beside it.
fn start_providers(
    config: &Config,
    trust: &Trust,
    metrics: &Arc<Metrics>,
    slates: &Slates,
) -> Result<Arc<Providers>, ProviderSetupError> {
    let observer = Arc::clone(metrics) as Arc<dyn Observer>;
    let outfit = Outfit {
        trust,
        observer,
        slates,
    };
    Providers::start(&config.hosted, outfit).map(Arc::new)
}

/// What is done again and again until the end.
fn chores(
    broadcasts: &Broadcasts,
    providers: &Arc<Providers>,
    membership: &Membership,
) -> [BoxFuture<'static, ()>; 4] {
    let measuring = admission::measure(broadcasts.admission().clone());
    let reaping = reap(Arc::clone(providers));
    let beating = membership.clone().keep();
    let adopting = adopt_orphans(membership.clone(), broadcasts.clone());
    [
        measuring.boxed(),
        reaping.boxed(),
        beating.boxed(),
        adopting.boxed(),
    ]
}

fn start_rooms(
    config: &Config,
    peers: &Peers,
    broadcasts: &Broadcasts,
    guard: &DestinationGuard,
    metrics: &Arc<Metrics>,
) -> Rooms {
    Rooms::new(RoomSettings {
        peers: peers.clone(),
        broadcasts: broadcasts.clone(),
        guard: guard.clone(),
        metrics: Arc::clone(metrics),
        method: config.method,
        rooms_limit: config.rooms_limit,
        participants_limit: config.participants_limit,
    })
}

/// Everything that studios, viewers and people in rooms speak.
fn dialects(
    settings: whip::Settings,
    peers: &Peers,
    rooms: &Rooms,
    connections_per_address: usize,
    started: Instant,
) -> (http::Dialects, Arc<SocketServer>) {
    let service = RoomService::new(
        rooms.clone(),
        Arc::clone(&settings.authenticator),
        settings.ice_servers.clone(),
    );
    let faces = Faces::new(
        service,
        peers.clone(),
        settings.origins.clone(),
        connections_per_address,
        started,
    );
    let whep = whep::router(settings.clone(), peers.clone(), rooms.clone());
    let dialects = http::Dialects {
        exchange: whip::router(settings).merge(whep),
        rest: faces.rest,
        sockets: faces.sockets,
    };
    (dialects, faces.server)
}

/// Programs are asked elsewhere: they may take their time.
async fn find_methods(config: &Config, providers: &Providers) -> Methods {
    let (program, search) = (config.ffmpeg.clone(), config.search.clone());
    let finding = tokio::task::spawn_blocking(move || Ffmpeg::find(&program, &search)).await;
    let ffmpeg = finding.unwrap_or_else(|_| Err(FfmpegAbsent::Silent("ffmpeg".to_owned())));
    let hosted = providers.hosted();
    let hosted = hosted.map(|hosting| hosting.provider.provider());
    let methods = Methods::new(ffmpeg).with_hosted(hosted);
    methods.announce(config.method);
    methods
}

/// The engines that this node has.
fn engines(transcoders: &Transcoders, methods: &Methods) -> Engines {
    let engines = Engines::default().with_gstreamer(Arc::new(transcoders.clone()));
    match methods.ffmpeg() {
        Some(ffmpeg) => {
            let maker = FfmpegEngines::new(ffmpeg.clone(), Handle::current());
            engines.with_ffmpeg(Arc::new(maker))
        }
        None => engines,
    }
}

async fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

async fn start_receiver(
    address: Option<SocketAddr>,
) -> Result<Option<(Receiver, LocalReceiver)>, StartError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let started = LocalReceiver::start(address).await;
    started
        .map(Some)
        .map_err(|error| StartError::LocalReceiver(address, error))
}

/// Plain RTP is bound to the announced address when that is this machine's, else to what WebRTC listens on.
fn rtp_settings(config: &Config, addresses: &[IpAddr]) -> RtpSettings {
    let listen = config.rtc.ip();
    let machine = addresses
        .first()
        .copied()
        .filter(|_| listen.is_unspecified());
    let announced = config.announced.first().copied().or(machine);
    let announced = announced.unwrap_or(listen);
    let is_ours = listen.is_unspecified() && addresses.contains(&announced);
    let (first, last) = config.rtp_ports;
    RtpSettings {
        ports: PlainPorts {
            listen: if is_ours { announced } else { listen },
            first,
            last,
        },
        announced,
    }
}

fn start_peers(config: &Config, addresses: &[IpAddr]) -> Result<Peers, StartError> {
    let announced = if config.announced.is_empty() && config.rtc.ip().is_unspecified() {
        addresses.to_vec()
    } else {
        config.announced.clone()
    };
    let peers = Peers::start(PeersConfig {
        listen: config.rtc,
        announced,
        workers: config.workers,
        sessions_limit: config.sessions_limit,
    });
    peers.map_err(|error| StartError::Rtc(config.rtc, error))
}

fn serve(
    listener: TcpListener,
    router: Router,
    limiter: Option<RateLimiter>,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a socket refused TCP_NODELAY");
        }
    });
    let served = axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, fault = "gateway", "HTTP ended");
        }
    });
    if let Some(limiter) = limiter {
        tasks.spawn(forget_addresses(limiter, stop.clone()));
    }
    tasks
}

async fn forget_addresses(limiter: RateLimiter, stop: CancellationToken) {
    let mut ticks = interval(FORGET_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => limiter.limiter().retain_recent(),
            () = stop.cancelled() => return,
        }
    }
}
