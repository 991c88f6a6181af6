//! A destination's connection within a session.

use std::sync::Arc;

use broadcast::DestinationId;
use pipelines::rtmp::{BlackBox, Curtain};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    hosted::{HostedTarget, machine::OrderId},
    open_destination::Attempt,
};

/// What a session knows of one attempt.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) attempt: Attempt,
    pub(super) target: HostedTarget,
    pub(super) destination: DestinationId,
    pub(super) black_box: Arc<BlackBox>,
    /// Whether the provider has been asked to send there.
    pub(super) was_asked_for: bool,
}

/// What sends a curtain.
pub(super) type CurtainInlet = watch::Receiver<Option<Arc<Curtain>>>;

/// What the broadcast wants of an attempt.
#[derive(Debug)]
pub(super) enum Watched {
    Closed,
    Paused(bool, CurtainInlet),
}

/// Waits until the broadcast wants something else of an attempt.
pub(super) async fn watch(
    id: OrderId,
    stop: CancellationToken,
    mut curtain: CurtainInlet,
    was_paused: bool,
) -> (OrderId, Watched) {
    let turned = async {
        loop {
            let paused = curtain.borrow_and_update().is_some();
            if paused != was_paused {
                return paused;
            }
            if curtain.changed().await.is_err() {
                // Nobody pauses it any more.
                std::future::pending::<()>().await;
            }
        }
    };
    let paused = tokio::select! {
        paused = turned => paused,
        () = stop.cancelled() => return (id, Watched::Closed),
    };
    (id, Watched::Paused(paused, curtain))
}
