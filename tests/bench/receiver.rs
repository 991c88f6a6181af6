//! The counting receiver: one thread that takes every destination and notes when each picture came.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
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

type Log = Arc<Mutex<HashMap<String, Received>>>;

/// The running receiver. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let log = Log::default();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("receiver".to_owned())
            .spawn({
                let log = Arc::clone(&log);
                move || runtime.block_on(accept(listener, log, stopped))
            })?;
        Ok(Self {
            address,
            log,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// How many pictures have come under this name.
    pub(crate) fn pictures(&self, name: &str) -> usize {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.get(name).map_or(0, |received| received.pictures.len())
    }

    /// Takes what came under this name.
    pub(crate) fn take(&self, name: &str) -> Received {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.remove(name).unwrap_or_default()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the receiver shows as pictures that did not come.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, log: Log, mut stopped: oneshot::Receiver<()>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, Arc::clone(&log)));
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => return,
        }
    }
}

async fn serve(mut stream: TcpStream, log: Log) -> io::Result<()> {
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
        if !told.is_empty() {
            note(&log, &mut name, told, at);
        }
        if !conversation.outgoing.is_empty() {
            stream.write_all(&conversation.outgoing).await?;
            conversation.outgoing.clear();
        }
    }
}

fn note(log: &Log, name: &mut Option<String>, told: Vec<Incoming>, at: Instant) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    for event in told {
        if let Incoming::Publish(published) = &event {
            log.entry(published.clone()).or_default().connections += 1;
            *name = Some(published.clone());
        }
        let Some(received) = name.as_ref().and_then(|name| log.get_mut(name)) else {
            continue;
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
