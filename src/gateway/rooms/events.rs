//! What all transports of a room tell, in one stream.

use futures_util::{Stream, StreamExt as _, stream, stream::SelectAll};
use peers::router::TransportEvent;
use rooms::TransportId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

type Told = (TransportId, TransportEvent);

/// The events of all transports.
#[derive(Default)]
pub(super) struct TransportEvents {
    streams: SelectAll<std::pin::Pin<Box<dyn Stream<Item = Told> + Send>>>,
}

impl TransportEvents {
    /// Listens to one more, until it has ended.
    pub(super) fn add(&mut self, id: TransportId, events: mpsc::Receiver<TransportEvent>) {
        let last = (
            id.clone(),
            TransportEvent::Ended("the transport is gone".to_owned()),
        );
        let told = ReceiverStream::new(events).map(move |event| (id.clone(), event));
        self.streams
            .push(Box::pin(told.chain(stream::iter([last]))));
    }

    /// The next event; never comes while there is no transport. Cancel-safe. What has ended is told once at least.
    pub(super) async fn next(&mut self) -> Told {
        match self.streams.next().await {
            Some(told) => told,
            None => std::future::pending().await,
        }
    }
}
