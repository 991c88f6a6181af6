//! The counting receiver: one thread that takes every destination and writes a ledger of what came.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use crate::rtmp::{Conversation, Incoming, NotRtmp};

/// Read at once: a keyframe and more.
const READ_BYTES: usize = 256 * 1024;

/// A picture that came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// When its last byte was read.
    pub(crate) at: Instant,
    /// RTMP timestamp in milliseconds.
    pub(crate) timestamp: u32,
    /// Whole message: five bytes of FLV header and the slices.
    pub(crate) bytes: usize,
    pub(crate) keyframe: bool,
}

/// What came under one stream name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) pictures: Vec<Arrival>,
    pub(crate) sounds: u64,
    /// How often it was published; more than once means that the connection was lost.
    pub(crate) connections: u64,
}

/// What is kept of all that comes.
pub(crate) trait Ledger: Default + Send + 'static {
    /// Something came on a connection. `name` is the connection's own, to keep what it was published as.
    fn note(&mut self, name: &mut Option<String>, event: Incoming, at: Instant);
}

/// Every picture under every stream name.
#[derive(Debug, Default)]
pub(crate) struct Log(HashMap<String, Received>);

/// The running receiver. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Receiver<L> {
    pub(crate) address: SocketAddr,
    ledger: Arc<Mutex<L>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<L: Ledger> Receiver<L> {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let ledger = Arc::<Mutex<L>>::default();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("receiver".to_owned())
            .spawn({
                let ledger = Arc::clone(&ledger);
                move || runtime.block_on(accept(listener, ledger, stopped))
            })?;
        Ok(Self {
            address,
            ledger,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What came until now. The receiver waits while it is held.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, L> {
        lock(&self.ledger)
    }
}

impl Receiver<Log> {
    /// How many pictures have come under this name.
    pub(crate) fn pictures(&self, name: &str) -> usize {
        let log = self.ledger();
        log.0
            .get(name)
            .map_or(0, |received| received.pictures.len())
    }

    /// Takes what came under this name.
    pub(crate) fn take(&self, name: &str) -> Received {
        self.ledger().0.remove(name).unwrap_or_default()
    }
}

impl<L> Drop for Receiver<L> {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the receiver shows as pictures that did not come.
            let _ = thread.join();
        }
    }
}

fn lock<L>(ledger: &Mutex<L>) -> MutexGuard<'_, L> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept<L: Ledger>(
    listener: std::net::TcpListener,
    ledger: Arc<Mutex<L>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, Arc::clone(&ledger)));
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => return,
        }
    }
}

async fn serve<L: Ledger>(mut stream: TcpStream, ledger: Arc<Mutex<L>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut conversation = Conversation::new();
    let mut name = None;
    let mut bytes = vec![0; READ_BYTES];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut bytes[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let at = Instant::now();
        let mut told = Vec::new();
        let taken = conversation
            .handle(&bytes[..filled], |event| told.push(event))
            .map_err(|NotRtmp| io::ErrorKind::InvalidData)?;
        bytes.copy_within(taken..filled, 0);
        filled -= taken;
        if filled == bytes.len() {
            // One chunk is larger than the buffer.
            bytes.resize(2 * filled, 0);
        }
        if !told.is_empty() {
            let mut ledger = lock(&ledger);
            for event in told {
                ledger.note(&mut name, event, at);
            }
        }
        if !conversation.outgoing.is_empty() {
            stream.write_all(&conversation.outgoing).await?;
            conversation.outgoing.clear();
        }
    }
}

impl Ledger for Log {
    fn note(&mut self, name: &mut Option<String>, event: Incoming, at: Instant) {
        if let Incoming::Publish(published) = &event {
            self.0.entry(published.clone()).or_default().connections += 1;
            *name = Some(published.clone());
        }
        let Some(received) = name.as_ref().and_then(|name| self.0.get_mut(name)) else {
            return;
        };
        match event {
            Incoming::Publish(_) => {}
            Incoming::Audio => received.sounds += 1,
            Incoming::Video(timestamp, bytes, keyframe) => received.pictures.push(Arrival {
                at,
                timestamp,
                bytes,
                keyframe,
            }),
        }
    }
}
