//! The way to a running broadcast: commands go in, a snapshot and its changes come out.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use broadcast::{
    BroadcastChange, BroadcastId, BroadcastSpec, DestinationChange, DestinationId, DestinationSpec,
    SpecError, StreamKey,
};
use media::VideoCodec;
use peers::{IceRestart, OfferError, SessionError, SinkId, router::RouterError};
use tokio::sync::{broadcast as fan, mpsc, oneshot, watch};

use super::{
    composite::CompositeOrder,
    keeper::{Wanted, wait_for_first},
    path::PathStatus,
    plain::PlainCommand,
    renditions::LivePicture,
    snapshot::{DatedChange, Snapshot},
    thumbnails::Thumbnails,
};
use crate::{admission::NoRoom, slates::Slate};

/// How many commands may wait for one broadcast; more callers wait in line, within their own request timeout.
pub(super) const COMMANDS_LIMIT: usize = 32;

/// How many changes a watcher may be behind before it is given a whole snapshot in their place.
pub(super) const CHANGES_LIMIT: usize = 256;

/// Who wants to publish, as far as authentication could tell.
#[derive(Clone, Default)]
pub struct StudioIdentity {
    /// The token's `sub`; none without authentication.
    pub subject: Option<String>,
    /// Whether it may take any seat.
    pub operator: bool,
    /// What an earlier answer called `Castgate-Resume-Token`.
    pub resume_token: Option<StreamKey>,
}

impl fmt::Debug for StudioIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StudioIdentity")
            .field("operator", &self.operator)
            .finish_non_exhaustive()
    }
}

/// The answer to a studio.
pub struct Published {
    /// The unguessable id of its session.
    pub session: String,
    /// SDP answer.
    pub answer: String,
    /// Names the ICE session; quoted it is the strong `ETag`.
    pub etag: String,
    /// Whoever shows it may take over from this session. The only right one once the session has connected.
    pub resume_token: StreamKey,
}

impl fmt::Debug for Published {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Published")
            .field("etag", &self.etag)
            .finish_non_exhaustive()
    }
}

/// The broadcast's task is over; 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broadcast has ended")]
pub struct Gone;

/// Why a studio may not publish.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The broadcast has ended; 404.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// Another studio publishes, and this one showed no right to take over; 409.
    #[error("another studio is publishing to this broadcast")]
    Taken,
    /// The resume token is wrong, or an older one; 403.
    #[error("the resume token is not the right one")]
    ResumeTokenRefused,
    /// The offer is not answered.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The node has no room for what the studio would send; 503.
    #[error("this node is full: {0}")]
    NoRoom(NoRoom),
    /// The media workers did not answer in time; 503.
    #[error("the media workers did not answer in time")]
    Timeout,
    /// The picture's codec is one that no engine takes; of a room's programme.
    #[error("no engine takes this codec: {0}")]
    UnsupportedCodec(VideoCodec),
    /// The room's router; of a room's programme.
    #[error(transparent)]
    Router(#[from] RouterError),
}

/// Why a command is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The broadcast has ended; 404.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The broadcast cannot be as asked.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The node has no room for it; 503.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

pub(super) type Reply<T> = oneshot::Sender<T>;

pub(super) enum Command {
    Start(Reply<Result<(), SpecError>>),
    Stop(Reply<Result<(), SpecError>>),
    Edit(BroadcastChange, Reply<Result<(), CommandError>>),
    Add(DestinationSpec, Reply<Result<(), CommandError>>),
    Change(
        DestinationId,
        DestinationChange,
        Reply<Result<(), SpecError>>,
    ),
    Remove(DestinationId, Reply<Result<(), SpecError>>),
    Publish(
        String,
        StudioIdentity,
        Reply<Result<Published, PublishError>>,
    ),
    Trickle(String, String, Reply<Result<(), SessionError>>),
    RestartIce(String, String, Reply<Result<IceRestart, SessionError>>),
    CloseSession(String, Reply<Result<(), SessionError>>),
    Plain(PlainCommand),
    Compose(Box<CompositeOrder>, Reply<Result<String, PublishError>>),
    End(Reply<()>),
    #[cfg(test)]
    Panic,
}

/// A running broadcast. Cloning shares it.
#[derive(Clone)]
pub struct BroadcastHandle {
    pub(super) spec: Arc<BroadcastSpec>,
    pub(super) slate: Slate,
    pub(super) thumbnails: Thumbnails,
    #[expect(
        dead_code,
        reason = "for handing a broadcast over to another node, which this does not do yet"
    )]
    pub(super) kept: Option<watch::Receiver<Wanted>>,
    /// Becomes true when it was written down for the first time; `None` in a process alone.
    pub(super) written: Option<watch::Receiver<bool>>,
    pub(super) path: PathStatus,
    pub(super) sink: Arc<OnceLock<SinkId>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) changes: fan::WeakSender<Arc<DatedChange>>,
}

impl fmt::Debug for BroadcastHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BroadcastHandle")
            .field("id", self.id())
            .finish_non_exhaustive()
    }
}

impl BroadcastHandle {
    /// Its name.
    pub fn id(&self) -> &BroadcastId {
        self.spec.id()
    }

    /// What it was created from.
    pub fn spec(&self) -> &BroadcastSpec {
        &self.spec
    }

    /// What stands in for its studio.
    pub const fn slate(&self) -> &Slate {
        &self.slate
    }

    /// Waits until it was written down for other nodes, and not for long.
    pub(super) async fn written(&self) {
        if let Some(mut written) = self.written.clone() {
            wait_for_first(&mut written).await;
        }
    }

    /// Small pictures of what goes out.
    pub const fn thumbnails(&self) -> &Thumbnails {
        &self.thumbnails
    }

    /// The picture that goes out, once there is one.
    pub fn live_picture(&self) -> Option<LivePicture> {
        LivePicture::of(&self.path.borrow())
    }

    /// Its place on a media worker; none in the first moment of its life.
    pub fn sink(&self) -> Option<SinkId> {
        self.sink.get().copied()
    }

    /// What it looks like. Never waits for it.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// What it looks like from now on; closes when it has ended.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Its changes from now on; a watcher that is too slow loses the oldest. `None` once it has ended.
    pub fn changes(&self) -> Option<fan::Receiver<Arc<DatedChange>>> {
        self.changes.upgrade().map(|changes| changes.subscribe())
    }

    /// Opens all destinations, now or once the studio is there.
    pub async fn start(&self) -> Result<(), CommandError> {
        Ok(self.ask(Command::Start).await??)
    }

    /// Closes all destinations; the studio stays.
    pub async fn stop(&self) -> Result<(), CommandError> {
        Ok(self.ask(Command::Stop).await??)
    }

    /// Changes how the broadcast is carried; destinations, studio and slate notice nothing of it.
    pub async fn change(&self, change: BroadcastChange) -> Result<(), CommandError> {
        self.ask(|reply| Command::Edit(change, reply)).await?
    }

    /// Adds a destination.
    pub async fn add_destination(&self, destination: DestinationSpec) -> Result<(), CommandError> {
        self.ask(|reply| Command::Add(destination, reply)).await?
    }

    /// Edits a destination.
    pub async fn change_destination(
        &self,
        destination: DestinationId,
        change: DestinationChange,
    ) -> Result<(), CommandError> {
        Ok(self
            .ask(|reply| Command::Change(destination, change, reply))
            .await??)
    }

    /// Closes a destination and forgets it.
    pub async fn remove_destination(&self, destination: DestinationId) -> Result<(), CommandError> {
        Ok(self
            .ask(|reply| Command::Remove(destination, reply))
            .await??)
    }

    /// Answers a studio's offer. Whoever publishes already is replaced once the new session connects,
    /// if `studio` shows the right resume token, is the same subject, or an operator.
    pub async fn publish(
        &self,
        offer: String,
        studio: StudioIdentity,
    ) -> Result<Published, PublishError> {
        self.ask(|reply| Command::Publish(offer, studio, reply))
            .await?
    }

    /// Takes trickled candidates of a session.
    pub async fn trickle(&self, session: &str, fragment: String) -> Result<(), SessionError> {
        self.ask(|reply| Command::Trickle(session.to_owned(), fragment, reply))
            .await
            .map_err(|Gone| SessionError::NoSuchSession)?
    }

    /// Gives a session new ICE credentials.
    pub async fn restart_ice(
        &self,
        session: &str,
        fragment: String,
    ) -> Result<IceRestart, SessionError> {
        self.ask(|reply| Command::RestartIce(session.to_owned(), fragment, reply))
            .await
            .map_err(|Gone| SessionError::NoSuchSession)?
    }

    /// Ends a session; the broadcast goes on and waits for the next.
    pub async fn close_session(&self, session: &str) -> Result<(), SessionError> {
        self.ask(|reply| Command::CloseSession(session.to_owned(), reply))
            .await
            .map_err(|Gone| SessionError::NoSuchSession)?
    }

    /// Ends the broadcast and returns when its destinations are closed. Ending an ended one is no error.
    pub async fn end(&self) {
        // An error means that it has ended already, which is what was wanted.
        let _ = self.ask(Command::End).await;
        self.commands.closed().await;
    }

    #[cfg(test)]
    pub(crate) async fn panic(&self) {
        drop(self.commands.send(Command::Panic).await);
        self.commands.closed().await;
    }

    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}
