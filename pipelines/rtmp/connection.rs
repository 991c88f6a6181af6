//! From an address to a publishing connection: TCP, TLS, RTMP.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use broadcast::{Endpoint, Failure, Reason, Scheme};
use media::Subscriber;
use rand::Rng;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    counters::Counters,
    flv::MediaHints,
    handshake::RANDOM_BYTES,
    publish::{Goal, Publication, StepLimits},
    session::{self, Media, SessionLimits},
};

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
    /// Three of these without 4 KiB of progress each, though there is something to send, are a stall.
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

/// What to publish there.
#[derive(Debug, Clone)]
pub struct Programme {
    /// The media. A reader is made when the server has consented.
    pub media: Subscriber,
    /// What is known about them.
    pub hints: MediaHints,
    /// Where to count.
    pub counters: Arc<Counters>,
}

/// Publishes over one connection until `stop` ends, the media end (both `Ok`), or the connection is lost.
///
/// `on_live` is called once the server has consented. There is no second attempt.
/// After `stop` the server is told, within [`Limits::close`].
pub async fn publish(
    target: &Target,
    programme: &Programme,
    on_live: impl FnOnce() + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Failure> {
    let media = Media {
        subscriber: &programme.media,
        hints: programme.hints,
        counters: &programme.counters,
    };
    converse(target, Goal::Publish, Some(media), on_live, pin!(stop)).await
}

/// Tries a destination up to the point where its server gives a stream, without naming the key.
pub async fn probe(target: &Target) -> Result<(), Failure> {
    converse(
        target,
        Goal::CreateStream,
        None,
        || (),
        pin!(std::future::pending()),
    )
    .await
}

async fn converse(
    target: &Target,
    goal: Goal,
    media: Option<Media<'_>>,
    on_live: impl FnOnce() + Send,
    mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
) -> Result<(), Failure> {
    let limits = &target.limits;
    let socket = tokio::select! {
        biased;
        () = stop.as_mut() => return Ok(()),
        socket = connect(&target.addresses, limits.connect) => socket?,
    };
    let session_limits = SessionLimits {
        stall_window: limits.stall_window,
        close: limits.close,
    };
    match target.endpoint.scheme() {
        Scheme::Rtmp => {
            let publication = begin(target, goal);
            session::run(socket, publication, media, session_limits, on_live, stop).await
        }
        Scheme::Rtmps => {
            let stream = tokio::select! {
                biased;
                () = stop.as_mut() => return Ok(()),
                stream = secure(socket, target) => stream?,
            };
            let publication = begin(target, goal);
            session::run(stream, publication, media, session_limits, on_live, stop).await
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
