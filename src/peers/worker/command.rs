//! What others ask of a worker.

use bytes::Bytes;
use media::{MediaSink, SourceDescription};
use tokio::sync::{mpsc, oneshot};

#[cfg(test)]
use super::watchers::{PacketWatcher, WatcherKey};
use super::{parcel::SealedParcel, plain::PlainCommand};
use crate::{
    OfferError, SinkId,
    door::{Path, PeerKey, stun::Credentials},
    router::RouterCommand,
    session::SessionParts,
};

/// Commands that may wait for a worker. The callers wait when it is full; datagrams from other workers are lost.
pub(crate) const COMMAND_QUEUE: usize = 1024;

/// What others ask of a worker.
pub(crate) enum Command {
    Attach {
        sink: SinkId,
        media: Box<dyn MediaSink>,
    },
    Detach {
        sink: SinkId,
        done: oneshot::Sender<()>,
    },
    Open {
        session: PeerKey,
        sink: SinkId,
        /// What a studio sends; `None` for a viewer.
        source: Option<SourceDescription>,
        parts: Box<SessionParts>,
        opened: oneshot::Sender<Result<(), OfferError>>,
    },
    RestartIce {
        session: PeerKey,
        local: Credentials,
        remote: Credentials,
        done: oneshot::Sender<bool>,
    },
    Close {
        session: PeerKey,
        done: oneshot::Sender<()>,
    },
    RequestKeyframe {
        sink: SinkId,
    },
    LimitBitrate {
        sink: SinkId,
        limit: Option<u64>,
    },
    /// For tests of watchers; others come with what they belong to. Answered by whether there was a place for it.
    #[cfg(test)]
    AddWatcher {
        sink: SinkId,
        key: WatcherKey,
        watcher: Box<dyn PacketWatcher>,
        added: oneshot::Sender<bool>,
    },
    #[cfg(test)]
    RemoveWatcher {
        sink: SinkId,
        key: WatcherKey,
        removed: oneshot::Sender<()>,
    },
    Plain(PlainCommand),
    Router(RouterCommand),
    /// Datagrams that the kernel gave to worker `via`.
    Datagrams {
        via: usize,
        parcel: SealedParcel,
    },
    /// Worker `owner` has proven this path, on which we receive.
    PathElsewhere {
        path: Path,
        owner: usize,
    },
    /// An ICE-TCP connection that named one of our peers.
    TcpOpened {
        connection: u64,
        frames: mpsc::Sender<Bytes>,
    },
    TcpFrame {
        path: Path,
        bytes: Bytes,
    },
    TcpClosed {
        path: Path,
    },
    Shutdown {
        done: oneshot::Sender<()>,
    },
}
