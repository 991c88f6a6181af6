//! The soak's receiver: one thread that takes every destination and keeps, for each, what matters and no more.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use crate::rtmp::{Conversation, Incoming, NotRtmp};

const READ_BYTES: usize = 64 * 1024;

/// What came at one destination, whatever its key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// How often it was published.
    pub(crate) publications: u64,
    pub(crate) pictures: u64,
    /// The longest wait from one picture to the next.
    pub(crate) worst_pause: Duration,
    /// The largest step of the timestamps within one connection.
    pub(crate) worst_step: Duration,
    /// Pictures whose timestamp was not later than the one before, within one connection.
    pub(crate) backwards: u64,
    last: Option<(Instant, u32)>,
}

type Tallies = Arc<Mutex<HashMap<String, Tally>>>;

/// The running receiver. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct CountingReceiver {
    pub(crate) address: SocketAddr,
    tallies: Tallies,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CountingReceiver {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let tallies = Tallies::default();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let thread = std::thread::Builder::new()
            .name("receiver".to_owned())
            .spawn({
                let tallies = Arc::clone(&tallies);
                move || runtime.block_on(accept(listener, tallies, stopped))
            })?;
        Ok(Self {
            address,
            tallies,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What has come at a destination until now.
    pub(crate) fn tally(&self, destination: &str) -> Tally {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.get(destination).cloned().unwrap_or_default()
    }
}

impl Drop for CountingReceiver {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the receiver shows as pictures that did not come.
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    tallies: Tallies,
    mut stopped: oneshot::Receiver<()>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, Arc::clone(&tallies)));
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => return,
        }
    }
}

async fn serve(mut stream: TcpStream, tallies: Tallies) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut conversation = Conversation::new();
    let mut destination = None;
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
            let mut tallies = tallies.lock().unwrap_or_else(PoisonError::into_inner);
            for event in told {
                note(&mut tallies, &mut destination, &event, at);
            }
        }
        if !conversation.outgoing.is_empty() {
            stream.write_all(&conversation.outgoing).await?;
            conversation.outgoing.clear();
        }
    }
}

/// A key is the destination's name, and behind a point the number of its rotation.
fn note(
    tallies: &mut HashMap<String, Tally>,
    destination: &mut Option<String>,
    event: &Incoming,
    at: Instant,
) {
    match event {
        Incoming::Publish(key) => {
            let name = key.split('.').next().unwrap_or_default().to_owned();
            let tally = tallies.entry(name.clone()).or_default();
            tally.publications += 1;
            tally.last = None;
            *destination = Some(name);
        }
        Incoming::Video(timestamp, _, _) => {
            let Some(tally) = destination.as_ref().and_then(|name| tallies.get_mut(name)) else {
                return;
            };
            tally.pictures += 1;
            if let Some((last_at, last_timestamp)) = tally.last.replace((at, *timestamp)) {
                let step = timestamp.saturating_sub(last_timestamp);
                tally.backwards += u64::from(step == 0);
                tally.worst_step = tally.worst_step.max(Duration::from_millis(u64::from(step)));
                tally.worst_pause = tally.worst_pause.max(at - last_at);
            }
        }
        Incoming::Audio => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_pauses_and_publications_are_counted_whatever_the_key() {
        let (mut tallies, mut destination) = (HashMap::new(), None);
        let start = Instant::now();
        let mut tell = |event, milliseconds| {
            let at = start + Duration::from_millis(milliseconds);
            note(&mut tallies, &mut destination, &event, at);
        };

        tell(Incoming::Publish("one.1".to_owned()), 0);
        tell(Incoming::Video(0, 9, true), 10);
        tell(Incoming::Video(33, 9, false), 500);
        tell(Incoming::Video(33, 9, false), 520);
        tell(Incoming::Publish("one.2".to_owned()), 5_000);
        tell(Incoming::Video(900, 9, true), 5_010);
        tell(Incoming::Video(990, 9, true), 5_020);

        let tally = &tallies["one"];
        assert_eq!(
            (tally.publications, tally.pictures, tally.backwards),
            (2, 5, 1)
        );
        assert_eq!(tally.worst_pause, Duration::from_millis(490));
        assert_eq!(tally.worst_step, Duration::from_millis(90));
    }
}
