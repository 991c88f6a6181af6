//! One connection at work: bytes in, bytes out, media, time, until it ends.

use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use broadcast::{Failure, Reason};
use bytes::Bytes;
use media::AccessUnit;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_rustls::client::TlsStream;

use super::{
    black_box::{BlackBox, What},
    connection::Programme,
    live::{Live, Standing},
    liveness::Flow,
    outgoing::Outgoing,
    publish::Publication,
    tcp_info::{self, Reading},
};

/// How much is read at once. Servers say little.
const READ_BYTES: usize = 4 * 1024;

/// How long a session sleeps at most that has nothing to wait for but the peer.
const IDLE: Duration = Duration::from_secs(1);

/// A byte stream to a server.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// How the connection stands by what the peer acknowledged, if anybody knows.
    fn reading(&self) -> Option<Reading>;

    /// Makes the end of the stream drop what the peer does not take.
    fn abandon(&self);
}

impl Transport for TcpStream {
    fn reading(&self) -> Option<Reading> {
        tcp_info::reading(self)
    }

    fn abandon(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Transport for TlsStream<TcpStream> {
    fn reading(&self) -> Option<Reading> {
        self.get_ref().0.reading()
    }

    fn abandon(&self) {
        self.get_ref().0.abandon();
    }
}

/// What a connection is for.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    /// What it publishes; without, it ends when the goal is reached.
    pub(super) programme: Option<&'a Programme>,
    pub(super) black_box: &'a BlackBox,
    /// When the attempt began.
    pub(super) began: Instant,
    pub(super) limits: SessionLimits,
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
/// `on_live` is called once, when the goal is reached.
pub(super) async fn run<S: Transport>(
    transport: S,
    publication: Publication,
    task: Task<'_>,
    on_live: impl FnOnce(),
    stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), Failure> {
    let mut session = Session::new(transport, publication, task);
    let ended = session.run(on_live, stop).await;
    let standing = session.standing();
    if let Some(live) = &mut session.live {
        live.settle(standing, ended.is_err());
    }
    match &ended {
        // Whoever goes on in this process's place publishes with the same key: the goodbye would be said to that one.
        Ok(()) if session.check_permit().is_err() => session.transport.abandon(),
        Ok(()) => session.close().await,
        Err(failure) if matches!(failure.reason, Reason::WriteStalled | Reason::Fenced) => {
            session.transport.abandon();
        }
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
    task: Task<'a>,
    outgoing: Outgoing,
    /// Bytes may wait in the TLS layer although the queue is empty.
    wants_flush: bool,
    /// Bytes that the transport has taken.
    taken_bytes: u64,
    /// Those that are not in the TLS layer any more.
    flushed_bytes: u64,
    timer: Pin<Box<Sleep>>,
    live: Option<Live<'a>>,
    units: Vec<AccessUnit>,
}

impl<'a, S: Transport> Session<'a, S> {
    fn new(transport: S, publication: Publication, task: Task<'a>) -> Self {
        let mut session = Self {
            transport,
            publication,
            task,
            outgoing: Outgoing::default(),
            wants_flush: false,
            taken_bytes: 0,
            flushed_bytes: 0,
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
                    if self.task.programme.is_none() {
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
            self.check_permit()?;
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
                    self.check_permit()?;
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
                let now = Instant::now().into_std();
                let handled = self.publication.handle_bytes(buffer.filled(), now);
                for step in self.publication.take_steps() {
                    let elapsed = Some(step.elapsed);
                    self.task.black_box.note(step.what, elapsed, &step.words);
                }
                handled?;
                self.set_timer();
                Ok(true)
            }
        }
    }

    /// Whether anything may be sent. What only tries a server is nobody's broadcast.
    fn check_permit(&self) -> Result<(), Failure> {
        let programme = self.task.programme;
        programme.map_or(Ok(()), |programme| {
            programme.permit.check(Instant::now().into_std())
        })
    }

    /// Moves the next batch into the empty queue. Returns `false` when the media have ended.
    fn poll_media(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Some(live) = &mut self.live else {
            return Poll::Pending;
        };
        if !self.outgoing.is_empty() {
            return Poll::Pending;
        }
        let goes_on = ready!(live.poll_units(context, &mut self.units));
        live.write(&mut self.units, self.taken_bytes, &mut self.outgoing);
        Poll::Ready(goes_on)
    }

    /// Writes what waits, as long as anything may be sent. Returns whether anything was written; pending while anything still waits.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut wrote = false;
        while !self.outgoing.is_empty() {
            if self.check_permit().is_err() {
                return Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()));
            }
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
            if let Some(programme) = self.task.programme {
                programme.counters.add_bytes(written as u64);
            }
            self.wants_flush = true;
            wrote = true;
        }
        if self.wants_flush {
            if self.check_permit().is_err() {
                return Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()));
            }
            let Poll::Ready(()) = Pin::new(&mut self.transport).poll_flush(context)? else {
                return Poll::Pending;
            };
            self.wants_flush = false;
            self.flushed_bytes = self.taken_bytes;
        }
        Poll::Ready(Ok(wrote))
    }

    /// Returns `true` when the goal is reached just now.
    fn begin_media(&mut self, stream: u32) -> bool {
        let Some(programme) = self.task.programme else {
            return true;
        };
        let now = Instant::now();
        let elapsed = Some(now - self.task.began);
        self.task.black_box.note(What::Live, elapsed, "");
        let (standing, window) = (self.standing(), self.task.limits.stall_window);
        let live = Live::new(programme, stream, window, standing, now.into_std());
        self.live = Some(live);
        self.set_timer();
        true
    }

    fn handle_timeout(&mut self) -> Result<(), Failure> {
        let now = Instant::now().into_std();
        self.publication.handle_timeout(now)?;
        let standing = self.standing();
        if let Some(live) = &mut self.live {
            live.handle_timeout(standing, now)?;
        }
        self.set_timer();
        Ok(())
    }

    /// Where the stream stands: by the peer's acknowledgements, or else by what the transport has taken.
    fn standing(&self) -> Standing {
        let reading = self.transport.reading().unwrap_or(Reading {
            flow: Flow {
                handed: self.taken_bytes,
                acknowledged: self.taken_bytes,
            },
            ..Reading::default()
        });
        let flow = Flow {
            handed: reading.flow.handed + self.outgoing.len() as u64,
            ..reading.flow
        };
        Standing {
            reading: Reading { flow, ..reading },
            taken_bytes: self.taken_bytes,
            // TLS makes bytes more and never fewer: no more of ours are on their way than of the socket's.
            arrived_bytes: self
                .flushed_bytes
                .saturating_sub(reading.flow.unacknowledged()),
        }
    }

    fn set_timer(&mut self) {
        let step = self.publication.poll_timeout();
        let live = self.live.as_ref().map(Live::poll_timeout);
        let next = step.into_iter().chain(live).min().map(Instant::from_std);
        // Without a deadline there is nothing to wait for but the peer.
        let next = next.unwrap_or_else(|| Instant::now() + IDLE);
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
        let limit = self.task.limits.close;
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
        if timeout(limit, goodbye).await.is_err() || self.check_permit().is_err() {
            self.transport.abandon();
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
