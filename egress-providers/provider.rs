//! What every provider does: it opens destinations, and ends them all.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use broadcast::{AfterCut, BroadcastId, DestinationId, Endpoint, Failure, LineName, Rendition};
use media::Subscriber;
use pipelines::rtmp::{BlackBox, Counters, Curtain, MediaHints, Place};
use pipelines::{Permit, path::OpusSubscriber};
use tokio::sync::{Notify, watch};

use crate::OpenDestination;

/// A broadcast's main programme, for providers that are brought it once and send it to all destinations.
#[derive(Debug, Clone)]
pub struct Show {
    /// Its pictures and AAC.
    pub media: Subscriber,
    /// Its sound as the studio coded it.
    pub opus: OpusSubscriber,
    /// To be notified when a receiver asks for a keyframe.
    pub keyframe_wanted: Arc<Notify>,
    /// Whether any of it may leave this process.
    pub permit: Permit,
}

/// One attempt to carry a broadcast to one destination.
#[derive(Debug, Clone)]
pub struct DestinationOrder {
    /// The broadcast.
    pub broadcast: BroadcastId,
    /// The destination.
    pub destination: DestinationId,
    /// Which of its connections.
    pub line: LineName,
    /// Where to, and with which key.
    pub endpoint: Endpoint,
    /// The endpoint's addresses, resolved and allowed; no other is connected to. At most eight are tried.
    pub addresses: Vec<SocketAddr>,
    /// What the broadcast shows; a provider on another machine gets this once, whatever the destinations are.
    pub show: Show,
    /// The shape that the destination wants, where it is not the show's own.
    pub rendition: Option<Rendition>,
    /// The media in that shape.
    pub media: Subscriber,
    /// What is known about them.
    pub hints: MediaHints,
    /// Where to count. The same for all attempts makes counters of the destination.
    pub counters: Arc<Counters>,
    /// Where it goes on after the attempt before this one was cut.
    pub after_cut: AfterCut,
    /// How far the destination has come; the same for all attempts.
    ///
    /// It may keep 30 s of media between attempts: [`Place::clear`] it when there will be no other.
    pub place: Arc<Place>,
    /// What is sent in place of the show while there is one.
    pub curtain: watch::Receiver<Option<Arc<Curtain>>>,
    /// What is told of the destination; the same for all attempts.
    pub black_box: Arc<BlackBox>,
}

/// Carries broadcasts to destinations.
///
/// One order is one attempt; whether there is another is for the broadcast to decide.
#[async_trait]
pub trait EgressProvider: Send + Sync {
    /// A short name for logs and metrics, such as `own`.
    fn name(&self) -> &'static str;

    /// Begins to carry. What comes of it is told by the events of what is returned.
    ///
    /// Fails only when the provider refuses to begin at all.
    async fn open(&self, order: DestinationOrder) -> Result<OpenDestination, Failure>;

    /// Ends all destinations in order, and returns when they have ended. What is opened later ends at once.
    async fn shutdown(&self);
}
