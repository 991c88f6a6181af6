//! From an address to a publishing connection: TCP, TLS, RTMP.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use broadcast::{AfterCut, Endpoint, Failure, Reason, Retry, Scheme};
use media::Subscriber;
use rand::Rng;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    black_box::{BlackBox, What},
    counters::Counters,
    curtain::Curtain,
    flv::MediaHints,
    handshake::RANDOM_BYTES,
    place::Place,
    publish::{Goal, Publication, StepLimits},
    session::{self, SessionLimits, Task},
};
use crate::Permit;

/// How many of a destination's addresses are tried.
const ADDRESSES_LIMIT: usize = 8;

/// How much may wait unsent in the kernel: a second of media at 4 Mb/s.
///
/// Without it the kernel would hoard 4 MB, and a slow destination would lag by that much before pictures are dropped.
const UNSENT_BYTES: u32 = 512 * 1024;

/// Whom `rtmps` destinations are trusted by. Cloning is cheap; make one per process.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The certificates of the system and those of Mozilla, whichever knows the server.
    pub fn system() -> Self {
        Self::with_roots([])
    }

    /// The same and `extra` root certificates in DER. Those that cannot be parsed are left out.
    #[expect(clippy::missing_panics_doc, reason = "the provider is known to fit")]
    pub fn with_roots(extra: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(extra.into_iter().map(CertificateDer::from));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .expect("ring has the suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }

    /// The same as a configuration of TLS, for other clients than ours.
    pub fn tls(&self) -> ClientConfig {
        ClientConfig::clone(&self.0)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Trust").finish_non_exhaustive()
    }
}

/// How long each part of a connection may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// TCP, over all addresses.
    pub connect: Duration,
    /// TLS, and again the RTMP handshake.
    pub handshake: Duration,
    /// From the handshake to the server's consent to publish.
    pub publish: Duration,
    /// Less than 12 KiB of progress in a bit less than three of these, though there is something to send, is a stall;
    /// it is found within three.
    pub stall_window: Duration,
    /// An orderly end.
    pub close: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            publish: Duration::from_secs(10),
            stall_window: Duration::from_secs(5),
            close: Duration::from_secs(2),
        }
    }
}

/// Where to connect, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// The destination; its host is the name that TLS verifies.
    pub endpoint: Endpoint,
    /// Its resolved addresses, the only ones that are connected to, in order, at most eight.
    pub addresses: Vec<SocketAddr>,
    /// Whom to trust when it is `rtmps`.
    pub trust: Trust,
    /// How long things may take.
    pub limits: Limits,
}

/// What to publish there, and what the destination's attempts share.
#[derive(Debug, Clone)]
pub struct Programme {
    /// The media. A reader is made when the server has consented.
    pub media: Subscriber,
    /// What is known about them.
    pub hints: MediaHints,
    /// Where to count.
    pub counters: Arc<Counters>,
    /// Where it goes on after the connection before this one was cut.
    pub after_cut: AfterCut,
    /// How far the destination has come.
    pub place: Arc<Place>,
    /// What is sent in place of the show while there is one.
    pub curtain: watch::Receiver<Option<Arc<Curtain>>>,
    /// What is told of the destination.
    pub black_box: Arc<BlackBox>,
    /// Whether anything may be sent. Without it the connection is cut, and the server is not told.
    pub permit: Permit,
}

impl Programme {
    /// A programme that begins at the newest keyframe and is never paused.
    pub fn new(media: Subscriber, hints: MediaHints, counters: Arc<Counters>) -> Self {
        Self {
            media,
            hints,
            counters,
            after_cut: AfterCut::default(),
            place: Arc::default(),
            curtain: watch::channel(None).1,
            black_box: Arc::default(),
            permit: Permit::unlimited(),
        }
    }
}

/// Publishes over one connection until `stop` ends, the media end (both `Ok`), or the connection is lost.
///
/// `on_live` is called once the server has consented. There is no second attempt.
/// After `stop` the server is told, within [`Limits::close`].
///
/// With [`AfterCut::CatchUp`] it begins where the last attempt with the same [`Place`] was cut, and sends at one and a
/// half times real time until it is within the newest group of pictures. The place is cleared when nothing was cut:
/// after an `Ok`, and after a failure that is never tried again.
pub async fn publish(
    target: &Target,
    programme: &Programme,
    on_live: impl FnOnce() + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Failure> {
    programme.permit.check(Instant::now().into_std())?;
    if programme.after_cut == AfterCut::Jump {
        programme.place.let_go();
    }
    let black_box = &programme.black_box;
    let (goal, stop) = (Goal::Publish, pin!(stop));
    let ended = converse(target, goal, Some(programme), black_box, on_live, stop).await;
    let was_cut = matches!(&ended, Err(failure) if failure.retry() == Retry::Backoff);
    if !was_cut {
        programme.place.clear();
    }
    ended
}

/// Tries a destination up to the point where its server gives a stream, without naming the key.
///
/// With `publish` it names the key and asks to publish, and takes that back when the server has consented: no media
/// are sent, so that nothing is shown to anybody, but a platform may call it the beginning of a broadcast.
/// The steps that were taken are in `black_box`.
pub async fn probe(target: &Target, publish: bool, black_box: &BlackBox) -> Result<(), Failure> {
    let goal = if publish {
        Goal::Publish
    } else {
        Goal::CreateStream
    };
    let stop = pin!(std::future::pending());
    converse(target, goal, None, black_box, || (), stop).await
}

async fn converse(
    target: &Target,
    goal: Goal,
    programme: Option<&Programme>,
    black_box: &BlackBox,
    on_live: impl FnOnce() + Send,
    stop: Pin<&mut (impl Future<Output = ()> + Send)>,
) -> Result<(), Failure> {
    let limits = SessionLimits {
        stall_window: target.limits.stall_window,
        close: target.limits.close,
    };
    let task = Task {
        programme,
        black_box,
        began: Instant::now(),
        limits,
    };
    black_box.begin(&target.endpoint);
    let ended = reach(target, goal, task, on_live, stop).await;
    let elapsed = Some(task.began.elapsed());
    match &ended {
        Ok(()) => black_box.note(What::Closed, elapsed, ""),
        Err(failure) => black_box.note_failure(failure, elapsed),
    }
    ended
}

async fn reach(
    target: &Target,
    goal: Goal,
    task: Task<'_>,
    on_live: impl FnOnce() + Send,
    mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
) -> Result<(), Failure> {
    let limits = &target.limits;
    let socket = tokio::select! {
        biased;
        () = stop.as_mut() => return Ok(()),
        socket = connect(&target.addresses, limits.connect) => socket?,
    };
    let connected = Instant::now();
    let peer = socket.peer_addr().map(|peer| peer.to_string());
    let words = peer.unwrap_or_default();
    let elapsed = connected - task.began;
    task.black_box.note(What::Connect, Some(elapsed), &words);
    match target.endpoint.scheme() {
        Scheme::Rtmp => {
            let publication = begin(target, goal);
            session::run(socket, publication, task, on_live, stop).await
        }
        Scheme::Rtmps => {
            let stream = tokio::select! {
                biased;
                () = stop.as_mut() => return Ok(()),
                stream = secure(socket, target) => stream?,
            };
            let elapsed = Some(connected.elapsed());
            task.black_box.note(What::Tls, elapsed, "");
            let publication = begin(target, goal);
            session::run(stream, publication, task, on_live, stop).await
        }
    }
}

fn begin(target: &Target, goal: Goal) -> Publication {
    let mut random = [0; RANDOM_BYTES];
    rand::rng().fill_bytes(&mut random);
    let limits = StepLimits {
        handshake: target.limits.handshake,
        publish: target.limits.publish,
    };
    Publication::new(
        target.endpoint.clone(),
        goal,
        limits,
        &random,
        Instant::now().into_std(),
    )
}

/// Tries the addresses one after another, each for its share of the time that is left.
async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, Failure> {
    let addresses = &addresses[..addresses.len().min(ADDRESSES_LIMIT)];
    let deadline = Instant::now() + limit;
    let mut failure = Failure::new(Reason::DnsFailed, "the name has no address");
    for (left, address) in (1..=addresses.len()).rev().zip(addresses) {
        let share = deadline.saturating_duration_since(Instant::now())
            / u32::try_from(left).unwrap_or(u32::MAX);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                let options = SockRef::from(&socket);
                let set = options
                    .set_tcp_nodelay(true)
                    .and_then(|()| options.set_tcp_notsent_lowat(UNSENT_BYTES));
                if let Err(error) = set {
                    tracing::debug!(%error, "socket options were refused");
                }
                return Ok(socket);
            }
            Ok(Err(error)) => failure = not_connected(&error),
            Err(_) => {
                failure = Failure::new(Reason::ConnectTimeout, "the server did not answer");
            }
        }
    }
    Err(failure)
}

fn not_connected(error: &io::Error) -> Failure {
    let kind = error.kind();
    let is_refusal =
        kind == io::ErrorKind::ConnectionRefused || kind == io::ErrorKind::ConnectionReset;
    let reason = if is_refusal {
        Reason::ConnectRefused
    } else {
        Reason::ConnectTimeout
    };
    Failure::new(
        reason,
        format!("the server cannot be connected to ({error})"),
    )
}

async fn secure(
    socket: TcpStream,
    target: &Target,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(target.endpoint.host().to_owned())
        .map_err(|error| Failure::new(Reason::TlsFailed, error.to_string()))?;
    let connector = TlsConnector::from(Arc::clone(&target.trust.0));
    match timeout(target.limits.handshake, connector.connect(name, socket)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Failure::new(
            Reason::TlsFailed,
            format!("TLS failed ({error})"),
        )),
        Err(_) => Err(Failure::new(
            Reason::TlsFailed,
            "the server did not finish TLS in time",
        )),
    }
}
