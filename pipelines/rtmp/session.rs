//! One connection at work: bytes in, bytes out, media, time, until it ends.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use broadcast::{Failure, Reason};
use bytes::Bytes;
use media::{AccessUnit, Reader, Subscriber};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;

use super::{
    counters::Counters,
    flv::MediaHints,
    liveness::{Flow, Liveness},
    media_writer::MediaWriter,
    outgoing::Outgoing,
    publish::Publication,
    tcp_info,
};

/// How much is read at once. Servers say little.
const READ_BYTES: usize = 4 * 1024;

/// How often the bitrate is measured.
const TICK: Duration = Duration::from_secs(1);

/// A byte stream to a server.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// Where the stream stands by what the peer acknowledged, if anybody knows.
    fn flow(&self) -> Option<Flow>;

    /// Makes the end of the stream drop what the peer does not take.
    fn abandon(&self);
}

impl Transport for TcpStream {
    fn flow(&self) -> Option<Flow> {
        tcp_info::flow(self)
    }

    fn abandon(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Transport for TlsStream<TcpStream> {
    fn flow(&self) -> Option<Flow> {
        self.get_ref().0.flow()
    }

    fn abandon(&self) {
        self.get_ref().0.abandon();
    }
}

/// What a connection publishes, and what it tells meanwhile.
pub(super) struct Media<'a> {
    pub(super) subscriber: &'a Subscriber,
    pub(super) hints: MediaHints,
    pub(super) counters: &'a Counters,
}

/// The limits of a session beyond those of the conversation's steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionLimits {
    /// Three windows without progress are a stall.
    pub(super) stall_window: Duration,
    /// How long an orderly end may take.
    pub(super) close: Duration,
}

/// Runs a conversation until `stop` or the end of the media (`Ok`), or until it is lost.
///
/// Without `media` it ends when the goal is reached. `on_live` is called once, when the goal is reached.
pub(super) async fn run<S: Transport>(
    transport: S,
    publication: Publication,
    media: Option<Media<'_>>,
    limits: SessionLimits,
    on_live: impl FnOnce(),
    stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), Failure> {
    let mut session = Session::new(transport, publication, media, limits);
    let ended = session.run(on_live, stop).await;
    if let Some(media) = &session.media {
        media.counters.set_bits_per_second(0);
    }
    match &ended {
        Ok(()) => session.close().await,
        Err(failure) if failure.reason == Reason::WriteStalled => session.transport.abandon(),
        Err(_) => {}
    }
    ended
}

/// Why a session is not lost and yet over, or what has just begun.
enum Happening {
    Live,
    MediaEnded,
}

struct Session<'a, S> {
    transport: S,
    publication: Publication,
    media: Option<Media<'a>>,
    limits: SessionLimits,
    outgoing: Outgoing,
    /// Bytes may wait in the TLS layer although the queue is empty.
    wants_flush: bool,
    /// Bytes that the transport has taken.
    taken_bytes: u64,
    timer: Pin<Box<Sleep>>,
    live: Option<Live>,
    units: Vec<AccessUnit>,
}

/// What there is besides while media flow.
struct Live {
    reader: Reader,
    writer: MediaWriter,
    liveness: Liveness,
    tick: Instant,
    tick_bytes: u64,
}

impl<'a, S: Transport> Session<'a, S> {
    fn new(
        transport: S,
        publication: Publication,
        media: Option<Media<'a>>,
        limits: SessionLimits,
    ) -> Self {
        let mut session = Self {
            transport,
            publication,
            media,
            limits,
            outgoing: Outgoing::default(),
            wants_flush: false,
            taken_bytes: 0,
            timer: Box::pin(sleep_until(Instant::now())),
            live: None,
            units: Vec::new(),
        };
        session.set_timer();
        session
    }

    async fn run(
        &mut self,
        on_live: impl FnOnce(),
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), Failure> {
        let mut on_live = Some(on_live);
        loop {
            let happening = tokio::select! {
                biased;
                () = stop.as_mut() => return Ok(()),
                happening = poll_fn(|context| self.poll(context)) => happening?,
            };
            match happening {
                Happening::Live => {
                    if let Some(on_live) = on_live.take() {
                        on_live();
                    }
                    if self.media.is_none() {
                        return Ok(());
                    }
                }
                Happening::MediaEnded => return Ok(()),
            }
        }
    }

    /// Does all that can be done now. All of it is registered with `context` when it is pending.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Happening, Failure>> {
        loop {
            let mut is_idle = true;
            if self.timer.as_mut().poll(context).is_ready() {
                self.handle_timeout()?;
                is_idle = false;
            }
            if self.poll_read(context)? {
                is_idle = false;
            }
            if let Some(bytes) = self.publication.poll_output() {
                self.outgoing.push(Bytes::from(bytes));
            }
            if let Some(stream) = self.publication.live_stream()
                && self.live.is_none()
                && self.begin_media(stream)
            {
                return Poll::Ready(Ok(Happening::Live));
            }
            match self.poll_media(context) {
                Poll::Ready(true) => is_idle = false,
                Poll::Ready(false) => return Poll::Ready(Ok(Happening::MediaEnded)),
                Poll::Pending => {}
            }
            match self.poll_write(context) {
                Poll::Ready(Ok(wrote)) => is_idle &= !wrote,
                Poll::Ready(Err(error)) => {
                    // What the server said before it closed is the better reason.
                    self.poll_read(context)?;
                    return Poll::Ready(Err(self.publication.handle_end(Some(&error))));
                }
                Poll::Pending => {}
            }
            if is_idle {
                return Poll::Pending;
            }
        }
    }

    /// Reads what is there. Returns whether anything was.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Result<bool, Failure> {
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.transport).poll_read(context, &mut buffer) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(self.publication.handle_end(Some(&error))),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                Err(self.publication.handle_end(None))
            }
            Poll::Ready(Ok(())) => {
                self.publication
                    .handle_bytes(buffer.filled(), Instant::now().into_std())?;
                self.set_timer();
                Ok(true)
            }
        }
    }

    /// Moves the next batch into the empty queue. Returns `false` when the media have ended.
    fn poll_media(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let (Some(live), Some(media)) = (&mut self.live, &self.media) else {
            return Poll::Pending;
        };
        if !self.outgoing.is_empty() {
            return Poll::Pending;
        }
        match live.reader.poll_batch(context, &mut self.units) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(false),
            Poll::Ready(Some(batch)) => {
                media.counters.add_dropped(batch.dropped);
                live.writer
                    .write(&mut self.units, &mut self.outgoing, media.counters);
                Poll::Ready(true)
            }
        }
    }

    /// Writes what waits. Returns whether anything was written; pending while anything still waits.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut wrote = false;
        while !self.outgoing.is_empty() {
            let (slices, count) = self.outgoing.slices();
            let transport = Pin::new(&mut self.transport);
            let Poll::Ready(written) = transport.poll_write_vectored(context, &slices[..count])?
            else {
                return Poll::Pending;
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
            self.taken_bytes += written as u64;
            if let Some(media) = &self.media {
                media.counters.add_bytes(written as u64);
            }
            self.wants_flush = true;
            wrote = true;
        }
        if self.wants_flush {
            let Poll::Ready(()) = Pin::new(&mut self.transport).poll_flush(context)? else {
                return Poll::Pending;
            };
            self.wants_flush = false;
        }
        Poll::Ready(Ok(wrote))
    }

    /// Returns `true` when the goal is reached just now.
    fn begin_media(&mut self, stream: u32) -> bool {
        let Some(media) = &self.media else {
            return true;
        };
        let now = Instant::now();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        media
            .counters
            .set_published_at(since_1970.unwrap_or_default());
        self.live = Some(Live {
            reader: media.subscriber.reader(),
            writer: MediaWriter::new(stream, media.hints),
            liveness: Liveness::new(self.limits.stall_window, self.flow(), now.into_std()),
            tick: now,
            tick_bytes: self.taken_bytes,
        });
        self.set_timer();
        true
    }

    fn handle_timeout(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.publication.handle_timeout(now.into_std())?;
        let flow = self.flow();
        if let (Some(live), Some(media)) = (&mut self.live, &self.media) {
            if live.liveness.handle_timeout(flow, now.into_std()) {
                return Err(Failure::new(
                    Reason::WriteStalled,
                    "the server stopped taking what it is sent",
                ));
            }
            let elapsed = now - live.tick;
            if elapsed >= TICK {
                let bits = u128::from(self.taken_bytes - live.tick_bytes) * 8_000;
                let rate = bits / elapsed.as_millis().max(1);
                media
                    .counters
                    .set_bits_per_second(u64::try_from(rate).unwrap_or(u64::MAX));
                live.tick = now;
                live.tick_bytes = self.taken_bytes;
            }
        }
        self.set_timer();
        Ok(())
    }

    /// Where the stream stands: by the peer's acknowledgements, or else by what the transport has taken.
    fn flow(&self) -> Flow {
        let waiting = self.outgoing.len() as u64;
        let flow = self.transport.flow().unwrap_or(Flow {
            handed: self.taken_bytes,
            acknowledged: self.taken_bytes,
        });
        Flow {
            handed: flow.handed + waiting,
            ..flow
        }
    }

    fn set_timer(&mut self) {
        let step = self.publication.poll_timeout().map(Instant::from_std);
        let tick = self
            .live
            .as_ref()
            .map(|live| (live.tick + TICK).min(Instant::from_std(live.liveness.poll_timeout())));
        let next = step.into_iter().chain(tick).min();
        // Without a deadline there is nothing to wait for but the peer.
        let next = next.unwrap_or_else(|| Instant::now() + TICK);
        if next != self.timer.deadline() {
            self.timer.as_mut().reset(next);
        }
    }

    /// Says good-bye, and waits for the server to have heard it.
    async fn close(&mut self) {
        self.publication.close();
        if let Some(bytes) = self.publication.poll_output() {
            self.outgoing.push(Bytes::from(bytes));
        }
        let limit = self.limits.close;
        let goodbye = async {
            let written = poll_fn(|context| self.poll_write(context)).await;
            if written.is_ok() && self.transport.shutdown().await.is_ok() {
                // A socket that is dropped with unread bytes would reset the connection.
                poll_fn(|context| match self.poll_read(context) {
                    Ok(true) => {
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }
                    Ok(false) => Poll::Pending,
                    Err(_) => Poll::Ready(()),
                })
                .await;
            }
        };
        if timeout(limit, goodbye).await.is_err() {
            self.transport.abandon();
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
