//! Keeps a broadcast's slate coded for the live picture, whatever changes, and tries again what fails.

use std::{sync::Arc, time::Duration};

use broadcast::BroadcastId;
use media::StandIn;
use pipelines::slate::{Geometry, SlateError, SlateFault};
use tokio::{sync::watch, time::sleep};

use super::Slate;

/// The pause before the first repetition; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How long the live picture must keep its shape before the slate takes that on: a browser that adapts may soon
/// go back. The first shape counts at once.
const SETTLE: Duration = Duration::from_secs(3);

impl Slate {
    /// Codes the slate whenever the live picture's shape or what it is made of changes, and shows each that is ready.
    ///
    /// An upload that cannot be coded is tried again with growing pauses where that may help, and the card stands in
    /// for it. The earlier slate stays until the next is ready. Ends when nobody tells the geometry any more.
    /// A disabled slate is never coded.
    pub async fn keep_rendered(
        &self,
        broadcast: &BroadcastId,
        mut geometry: watch::Receiver<Option<Geometry>>,
        shown: &watch::Sender<Option<Arc<StandIn>>>,
    ) {
        if !self.describe().enabled {
            return;
        }
        let mut changes = self.changes();
        let mut rendered = None;
        let mut failures = 0_u32;
        loop {
            let revision = changes.borrow_and_update().revision;
            let wish = geometry
                .borrow_and_update()
                .map(|geometry| (similar(geometry, rendered), revision));
            let work = async {
                let Some((geometry, revision)) = wish.filter(|wish| Some(*wish) != rendered) else {
                    return std::future::pending().await;
                };
                // What was uploaded is wished for at once; a new shape has to last.
                if failures > 0 {
                    let doublings = (failures - 1).min(10);
                    sleep((FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)).await;
                } else if rendered.is_some_and(|(_, rendered)| rendered == revision) {
                    sleep(SETTLE).await;
                }
                (self.render(geometry).await, geometry, revision)
            };
            tokio::select! {
                // Giving up a wish ends its child, and the loop makes the next wish.
                is_gone = async { geometry.wait_for(|shape| is_other(*shape, wish)).await.is_err() } => {
                    if is_gone {
                        return;
                    }
                    failures = 0;
                }
                // Its sender is in `self`, so it does not close.
                _ = async { changes.wait_for(|now| now.revision != revision).await.is_ok() } => failures = 0,
                (outcome, geometry, revision) = work => match outcome {
                    Ok(slate) => {
                        shown.send_replace(Some(slate));
                        rendered = Some((geometry, revision));
                        failures = 0;
                    }
                    Err(error) => {
                        self.note(broadcast, &error);
                        if failures == 0 && let Ok(card) = self.render_card(geometry).await {
                            shown.send_replace(Some(card));
                        }
                        failures += 1;
                        if !error.may_pass() {
                            rendered = Some((geometry, revision));
                            failures = 0;
                        }
                    }
                },
            }
        }
    }

    fn note(&self, broadcast: &BroadcastId, error: &SlateError) {
        let (source, _) = self.source();
        match error.fault(&source) {
            SlateFault::Studio => {
                tracing::info!(%broadcast, %error, fault = "studio", "slate was not coded");
            }
            SlateFault::Gateway => {
                tracing::error!(%broadcast, %error, fault = "gateway", "slate was not coded");
            }
        }
    }
}

/// A measured rate is never quite the same: what differs by less than a quarter counts as the one that is coded.
fn similar(wanted: Geometry, rendered: Option<(Geometry, u64)>) -> Geometry {
    match rendered {
        Some((geometry, _))
            if (geometry.width, geometry.height) == (wanted.width, wanted.height)
                && geometry
                    .frames_per_second
                    .abs_diff(wanted.frames_per_second)
                    * 4
                    < geometry.frames_per_second =>
        {
            geometry
        }
        Some(_) | None => wanted,
    }
}

/// Whether this shape is not the one that is wished for. A picture that is gone changes nothing.
fn is_other(geometry: Option<Geometry>, wish: Option<(Geometry, u64)>) -> bool {
    geometry
        .is_some_and(|geometry| wish.is_none_or(|(wanted, _)| similar(geometry, wish) != wanted))
}
