//! What a broadcast has at hand for when its studio is away.

use std::sync::Arc;

use broadcast::BroadcastId;
use media::StandIn;
use pipelines::{path::Status, slate::Geometry};
use tokio::{sync::watch, task::JoinSet};

use crate::slates::Slate;

/// Pictures a second that a slate is made with: the nearest to the studio's.
const RATES: [u32; 9] = [10, 15, 20, 24, 25, 30, 48, 50, 60];

/// Keeps the slate of one broadcast coded for its live picture. Dropping it ends that.
#[derive(Debug)]
pub(super) struct SlatePlace {
    slate: Slate,
    geometry: watch::Sender<Option<Geometry>>,
    coded: watch::Receiver<Option<Arc<StandIn>>>,
    _keeper: JoinSet<()>,
}

impl SlatePlace {
    /// A place for `slate`; the answer's second half is where the media path finds it.
    pub(super) fn new(
        broadcast: BroadcastId,
        slate: Slate,
    ) -> (Self, watch::Receiver<Option<Arc<StandIn>>>) {
        let (outlet, coded) = watch::channel(None);
        let (geometry, wanted) = watch::channel(None);
        let kept = slate.clone();
        let mut keeper = JoinSet::new();
        keeper.spawn(async move { kept.keep_rendered(&broadcast, wanted, &outlet).await });
        let place = Self {
            slate,
            geometry,
            coded: coded.clone(),
            _keeper: keeper,
        };
        (place, coded)
    }

    /// What it is made of.
    pub(super) const fn slate(&self) -> &Slate {
        &self.slate
    }

    /// Takes note of the live picture's shape.
    pub(super) fn follow(&self, status: &Status) {
        if let Some(shape) = geometry(status) {
            self.geometry.send_if_modified(|known| {
                let is_news = *known != Some(shape);
                *known = Some(shape);
                is_news
            });
        }
    }

    /// Another slate was coded. Cancel-safe; never comes when there will be none.
    pub(super) async fn changed(&mut self) -> Option<Arc<StandIn>> {
        match self.coded.changed().await {
            Ok(()) => self.coded.borrow_and_update().clone(),
            Err(_) => std::future::pending().await,
        }
    }
}

/// The shape of a slate for the live picture, once that is known.
fn geometry(status: &Status) -> Option<Geometry> {
    let video = status.video?;
    Some(Geometry {
        // A picture with subsampled chroma is coded with even sides.
        width: video.width & !1,
        height: video.height & !1,
        frames_per_second: nearest_rate(status.nominal_frames_per_second?),
    })
}

/// The rate of those that slates are made with that is nearest to this one.
pub(super) fn nearest_rate(frames_per_second: f64) -> u32 {
    let distance = |rate: u32| (f64::from(rate) - frames_per_second).abs();
    RATES
        .into_iter()
        .min_by(|one, other| distance(*one).total_cmp(&distance(*other)))
        .unwrap_or(RATES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_nearest_of_those_that_shows_have() {
        assert_eq!(
            [3.0, 29.2, 29.97, 27.0, 59.9, 240.0].map(nearest_rate),
            [10, 30, 30, 25, 60, 60]
        );
    }
}
