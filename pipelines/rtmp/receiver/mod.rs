//! A strict RTMP server that stands in for a platform: it takes any publish, checks it, and shows it.

mod behaviour;
pub(in crate::rtmp) mod conversation;
mod inspection;
mod report;
mod serve;
mod sps;
mod viewer;

use std::{
    collections::VecDeque,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

pub use behaviour::{Behaviour, Behaviours};
pub use report::{AudioReport, Cadence, Ending, StreamId, StreamReport, VideoReport};
pub use viewer::FlvStream;

use serve::StreamState;

/// How many publishes are remembered; the oldest that are over are forgotten first.
const STREAMS_LIMIT: usize = 256;

/// How many connections are served at once; more are closed as they come.
const CONNECTIONS_LIMIT: usize = 512;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 128;

/// How long accepting pauses when it fails, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a receiver is besides an address.
#[derive(Default)]
pub struct ReceiverOptions {
    /// How it treats publishers.
    pub behaviours: Behaviours,
    /// A folder for a recording of each publish, named `1.flv` for the first.
    pub recordings: Option<PathBuf>,
    /// Makes it an `rtmps` server.
    pub tls: Option<TlsIdentity>,
    /// The kernel's receive buffer of each connection, in bytes; a small one makes a stall show early.
    pub receive_buffer_bytes: Option<u32>,
}

/// Who an `rtmps` receiver is.
pub struct TlsIdentity {
    /// Certificates in DER, its own first.
    pub certificates: Vec<Vec<u8>>,
    /// The private key in PKCS #8 DER.
    pub private_key: Vec<u8>,
}

/// A running receiver. Dropping it cuts its connections. One that says nothing for a minute is cut too.
pub struct Receiver {
    local_address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Receiver {
    /// Listens on `address` and takes every publish.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind_with(address, ReceiverOptions::default()).await
    }

    /// Listens on `address` with options. Fails when the address is taken or the identity is not one.
    #[expect(
        clippy::unused_async,
        reason = "it needs a runtime and says so by its signature"
    )]
    pub async fn bind_with(address: SocketAddr, options: ReceiverOptions) -> io::Result<Self> {
        let acceptor = options.tls.map(acceptor).transpose()?;
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        if let Some(bytes) = options.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let local_address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            streams: Mutex::default(),
            behaviours: Mutex::new(options.behaviours),
            recordings: options.recordings,
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, acceptor, Arc::clone(&shared), stopped));
        Ok(Self {
            local_address,
            shared,
            stop,
            tasks,
        })
    }

    /// The address that it listens on.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// All publishes that are remembered (256), oldest first.
    pub fn streams(&self) -> Vec<StreamReport> {
        self.handle().streams()
    }

    /// The live bytes of a stream for an FLV player, or `None` when there is no such stream.
    pub fn flv(&self, stream: StreamId) -> Option<FlvStream> {
        self.handle().flv(stream)
    }

    /// Changes how publishers are treated from now on.
    pub fn set_behaviours(&self, behaviours: Behaviours) {
        *self.shared.behaviours() = behaviours;
    }

    /// A handle for readers of its state, which does not keep it running.
    pub fn handle(&self) -> ReceiverHandle {
        ReceiverHandle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Stops listening, cuts the connections, finishes the recordings.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = formatter.debug_struct("Receiver");
        out.field("local_address", &self.local_address)
            .finish_non_exhaustive()
    }
}

/// Reads the state of a [`Receiver`]. Cloning is cheap.
#[derive(Clone)]
pub struct ReceiverHandle {
    shared: Arc<Shared>,
}

impl ReceiverHandle {
    /// All publishes that are remembered (256), oldest first.
    pub fn streams(&self) -> Vec<StreamReport> {
        self.shared
            .streams()
            .states
            .iter()
            .map(|state| state.report().clone())
            .collect()
    }

    /// The live bytes of a stream for an FLV player, or `None` when there is no such stream.
    pub fn flv(&self, stream: StreamId) -> Option<FlvStream> {
        let streams = self.shared.streams();
        let state = streams
            .states
            .iter()
            .find(|state| state.report().id == stream)?;
        let configs = state.configs().clone();
        Some(FlvStream::new(state.subscriber.reader(), configs))
    }
}

impl fmt::Debug for ReceiverHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReceiverHandle")
            .finish_non_exhaustive()
    }
}

struct Shared {
    streams: Mutex<Streams>,
    behaviours: Mutex<Behaviours>,
    recordings: Option<PathBuf>,
}

#[derive(Default)]
struct Streams {
    last_id: u64,
    states: VecDeque<Arc<StreamState>>,
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behaviours(&self) -> MutexGuard<'_, Behaviours> {
        self.behaviours
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn recordings(&self) -> Option<&Path> {
        self.recordings.as_deref()
    }

    fn add_stream(&self, make: impl FnOnce(StreamId) -> StreamState) -> Arc<StreamState> {
        let mut streams = self.streams();
        streams.last_id += 1;
        let state = Arc::new(make(StreamId(streams.last_id)));
        if streams.states.len() >= STREAMS_LIMIT {
            let over = streams
                .states
                .iter()
                .position(|state| state.report().ending.is_some());
            streams.states.remove(over.unwrap_or_default());
        }
        streams.states.push_back(Arc::clone(&state));
        state
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(served) = connections.join_next() => {
                if let Err(error) = served {
                    tracing::error!(%error, "receiver connection panicked");
                }
                continue;
            }
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((socket, _)) if connections.len() < CONNECTIONS_LIMIT => {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                connections.spawn(begin(socket, acceptor, shared, stop.clone()));
            }
            Ok(_) => tracing::warn!(limit = CONNECTIONS_LIMIT, "receiver is full"),
            Err(error) => {
                tracing::warn!(%error, "receiver could not accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn begin(
    socket: TcpStream,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let _ = socket.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return serve::serve(socket, shared, stop).await;
    };
    let accepted = tokio::select! {
        accepted = acceptor.accept(socket) => accepted,
        _ = stop.changed() => return,
    };
    match accepted {
        Ok(stream) => serve::serve(stream, shared, stop).await,
        Err(error) => tracing::debug!(%error, "receiver refused a TLS client"),
    }
}

fn acceptor(identity: TlsIdentity) -> io::Result<TlsAcceptor> {
    let certificates = identity
        .certificates
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.private_key));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
