//! The parts that the process is made of, each by its piece of the configuration.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, serve::ListenerExt as _};
use broadcast::Method;
use egress_providers::{Trust, hosted::Observer};
use fleet::NodeId;
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
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::{
    admission::{self, Admission, Methods},
    broadcasts::Broadcasts,
    config::Config,
    guard::DestinationGuard,
    http::{self, RateLimiter, RtpSettings},
    metrics::Metrics,
    nodes::{self, Membership, Profile, Sealer, adopt_orphans},
    providers::{Outfit, ProviderSetupError, Providers, reap},
    receiver::LocalReceiver,
    rooms::{Faces, RoomService, RoomSettings, Rooms},
    slates::Slates,
    whep, whip,
};

/// How often addresses that ask for nothing any more are forgotten by the rate limit.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// Takes this node's place among others, or alone.
pub(super) async fn membership(
    config: &Config,
    http_address: SocketAddr,
    methods: &Methods,
    admission: &Admission,
) -> Result<Membership, StartError> {
    let profile = profile(config, http_address, methods)?;
    let joined = match &config.fleet {
        Some(fleet) => nodes::join(fleet, &profile, admission).await,
        None => Membership::alone(profile, admission.clone()).await,
    };
    Ok(joined?)
}

/// Who seals what other nodes may need; nobody where there are none.
pub(super) fn sealer(config: &Config) -> Option<Sealer> {
    let keys = &config.fleet.as_ref()?.keys;
    Some(Sealer::new(keys.newest(), keys.all().skip(1)))
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
        region: config.region.clone(),
        methods: able.map(|method| method.as_str().to_owned()).collect(),
    })
}

/// Without a slash at the end.
pub(super) fn public_url(config: &Config) -> Option<String> {
    let url = config.public_url.as_ref()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// Our own publisher, and whoever is configured beside it.
pub(super) fn start_providers(
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
pub(super) fn chores(
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

pub(super) fn start_rooms(
    config: &Config,
    peers: &Peers,
    broadcasts: &Broadcasts,
    guard: &DestinationGuard,
    metrics: &Arc<Metrics>,
    membership: &Membership,
) -> Rooms {
    Rooms::new(RoomSettings {
        peers: peers.clone(),
        broadcasts: broadcasts.clone(),
        guard: guard.clone(),
        metrics: Arc::clone(metrics),
        method: config.method,
        membership: membership.clone(),
        rooms_limit: config.rooms_limit,
        participants_limit: config.participants_limit,
    })
}

/// Everything that studios, viewers and people in rooms speak.
pub(super) fn dialects(
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
pub(super) async fn find_methods(config: &Config, providers: &Providers) -> Methods {
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
pub(super) fn engines(transcoders: &Transcoders, methods: &Methods) -> Engines {
    let engines = Engines::default().with_gstreamer(Arc::new(transcoders.clone()));
    match methods.ffmpeg() {
        Some(ffmpeg) => {
            let maker = FfmpegEngines::new(ffmpeg.clone(), Handle::current());
            engines.with_ffmpeg(Arc::new(maker))
        }
        None => engines,
    }
}

pub(super) async fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

pub(super) async fn start_receiver(
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
pub(super) fn rtp_settings(config: &Config, addresses: &[IpAddr]) -> RtpSettings {
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

pub(super) fn start_peers(config: &Config, addresses: &[IpAddr]) -> Result<Peers, StartError> {
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

pub(super) fn serve(
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
