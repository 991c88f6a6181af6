//! The renditions of one broadcast: each is made once, for as long as a destination wants it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use broadcast::{BroadcastId, Failure, Reason, Rendition};
use media::{StandIn, Subscriber};
use pipelines::{
    path::Status,
    rendition::{self, RenditionState, RenditionStatus, RunningRendition},
    slate::Geometry,
    transcoder::Transcoders,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::JoinSet,
    time::timeout,
};

use super::path::PathStatus;
use crate::{metrics::Metrics, slates::Slate};

/// How long a picture may be smaller than a rendition before that counts: a browser begins small and grows.
const GROWTH_TIME: Duration = Duration::from_secs(10);

/// A field of a rendition that the live picture does not have enough of, and why, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct TooLarge {
    /// As in the API.
    pub field: &'static str,
    /// One sentence.
    pub words: String,
}

/// What of a live picture bounds its renditions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LivePicture {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Pictures a second that the studio means to send, once known.
    pub frames_per_second: Option<f64>,
}

impl LivePicture {
    /// The picture that goes out, once there is one.
    pub(super) fn of(status: &Status) -> Option<Self> {
        let video = status.video?;
        Some(Self {
            size: (video.width, video.height),
            frames_per_second: status.nominal_frames_per_second,
        })
    }

    /// Refuses a rendition that is larger than this picture.
    ///
    /// A rate is too large when it is more than half as many again: what a studio sends trembles, and no picture is
    /// shown twice to reach it.
    pub fn allow(self, rendition: Rendition) -> Result<(), TooLarge> {
        let (width, height) = self.size;
        let too_large = |field, words| Err(TooLarge { field, words });
        if rendition.width() > width {
            return too_large("width", format!("the picture is {width} pixels wide"));
        }
        if rendition.height() > height {
            return too_large("height", format!("the picture is {height} pixels high"));
        }
        let wanted = f64::from(rendition.frames_per_second());
        match self.frames_per_second {
            Some(rate) if wanted > rate * 1.5 => too_large(
                "framesPerSecond",
                format!("the studio sends {rate:.0} pictures a second"),
            ),
            _ => Ok(()),
        }
    }
}

/// What all broadcasts use to make renditions.
#[derive(Debug, Clone)]
pub(super) struct Workshop {
    pub(super) transcoders: Transcoders,
    pub(super) metrics: Arc<Metrics>,
}

/// The renditions of one broadcast.
#[derive(Debug)]
pub(super) struct Renditions {
    broadcast: BroadcastId,
    workshop: Workshop,
    source: Subscriber,
    slate: Slate,
    path: PathStatus,
    /// Those that somebody holds a share of.
    known: HashMap<Rendition, Weak<Made>>,
    /// The slate of one of them was coded.
    coded: Arc<Notify>,
}

/// A rendition at work, with what belongs to it. It ends with the last share.
#[derive(Debug)]
pub(super) struct Made {
    running: RunningRendition,
    slate: watch::Receiver<Option<Arc<StandIn>>>,
    /// Why it cannot be, once that is known.
    verdict: watch::Receiver<Option<TooLarge>>,
    counted: std::sync::Mutex<RenditionStatus>,
    metrics: Arc<Metrics>,
    _tasks: JoinSet<()>,
}

impl Renditions {
    pub(super) fn new(
        broadcast: BroadcastId,
        workshop: Workshop,
        source: Subscriber,
        slate: Slate,
        path: PathStatus,
    ) -> Self {
        Self {
            broadcast,
            workshop,
            source,
            slate,
            path,
            known: HashMap::new(),
            coded: Arc::default(),
        }
    }

    /// A share of a rendition, which is begun unless it is at work already.
    pub(super) fn share(&mut self, rendition: Rendition) -> Arc<Made> {
        self.known.retain(|_, made| made.strong_count() > 0);
        if let Some(made) = self.known.get(&rendition).and_then(Weak::upgrade) {
            return made;
        }
        let made = Arc::new(self.make(rendition));
        self.known.insert(rendition, Arc::downgrade(&made));
        made
    }

    /// The slate of a rendition was coded, perhaps anew. Cancel-safe.
    pub(super) async fn slate_coded(&self) {
        self.coded.notified().await;
    }

    /// Adds what became of the renditions since the last time to the metrics.
    pub(super) fn measure(&self) {
        for made in self.known.values().filter_map(Weak::upgrade) {
            made.measure();
        }
    }

    fn make(&self, rendition: Rendition) -> Made {
        let running = rendition::start(
            &self.workshop.transcoders,
            &self.source,
            rendition,
            &Handle::current(),
        );
        let mut tasks = JoinSet::new();
        let (outlet, slate) = watch::channel(None);
        let mut news = slate.clone();
        let (keeper, broadcast) = (self.slate.clone(), self.broadcast.clone());
        tasks.spawn(async move {
            // Its shape never changes.
            let (_shape, wanted) = watch::channel(Some(geometry(rendition)));
            keeper.keep_rendered(&broadcast, wanted, &outlet).await;
        });
        let coded = Arc::clone(&self.coded);
        tasks.spawn(async move {
            while news.changed().await.is_ok() {
                coded.notify_one();
            }
        });
        let (verdict_outlet, verdict) = watch::channel(None);
        let mut path = self.path.clone();
        tasks.spawn(async move {
            if let Some(too_large) = judge(rendition, &mut path, GROWTH_TIME).await {
                verdict_outlet.send_replace(Some(too_large));
            }
        });
        tasks.spawn(tell(self.broadcast.clone(), rendition, running.status()));
        self.workshop.metrics.rendition_begun();
        Made {
            running,
            slate,
            verdict,
            counted: std::sync::Mutex::default(),
            metrics: Arc::clone(&self.workshop.metrics),
            _tasks: tasks,
        }
    }
}

impl Made {
    /// What goes out of it.
    pub(super) fn media(&self) -> Subscriber {
        self.running.subscriber()
    }

    /// The broadcast's slate in its shape, once coded.
    pub(super) fn slate(&self) -> Option<Arc<StandIn>> {
        self.slate.borrow().clone()
    }

    /// Waits until it turns out that it cannot be, if ever.
    pub(super) async fn refused(&self) -> Failure {
        let mut verdict = self.verdict.clone();
        let is_refused = verdict.wait_for(Option::is_some).await.is_ok();
        let words = verdict
            .borrow()
            .as_ref()
            .map(|too_large| format!("the rendition is larger than the picture: {too_large}"));
        match words {
            Some(words) if is_refused => Failure::new(Reason::RenditionTooLarge, words),
            _ => std::future::pending().await,
        }
    }

    fn measure(&self) {
        let now = *self.running.status().borrow();
        let mut before = self
            .counted
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.metrics.add_rendition(&before, &now);
        *before = now;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.measure();
        self.metrics.rendition_ended();
    }
}

fn geometry(rendition: Rendition) -> Geometry {
    Geometry {
        width: rendition.width(),
        height: rendition.height(),
        frames_per_second: rendition.frames_per_second(),
    }
}

/// Compares a rendition with the live picture, which may take `growth` to become as large. What has fitted once is not
/// asked again: a studio that shrinks later is enlarged.
async fn judge(rendition: Rendition, path: &mut PathStatus, growth: Duration) -> Option<TooLarge> {
    let check = |status: &Status| LivePicture::of(status).map(|live| live.allow(rendition));
    if path
        .wait_for(|status| check(status).is_some())
        .await
        .is_err()
    {
        return None;
    }
    let fits = path.wait_for(|status| matches!(check(status), Some(Ok(()))));
    let is_over = timeout(growth, fits).await.is_err();
    let verdict = check(&path.borrow());
    verdict?.err().filter(|_| is_over)
}

/// Logs how a rendition is.
async fn tell(
    broadcast: BroadcastId,
    rendition: Rendition,
    mut status: watch::Receiver<RenditionStatus>,
) {
    tracing::info!(%broadcast, %rendition, "rendition begins");
    while status.changed().await.is_ok() {
        let state = status.borrow_and_update().state;
        if state == RenditionState::Frozen {
            tracing::warn!(%broadcast, %rendition, fault = "gateway", "rendition repeats its last picture");
        } else {
            tracing::info!(%broadcast, %rendition, state = state.as_str(), "rendition changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn rendition(width: u32, height: u32, rate: u32) -> Rendition {
        Rendition::new(width, height, rate, 1_000).unwrap()
    }

    fn field(outcome: Result<(), TooLarge>) -> Option<&'static str> {
        outcome.err().map(|too_large| too_large.field)
    }

    #[test]
    fn a_rendition_is_as_large_as_the_picture_or_smaller() {
        let live = LivePicture {
            size: (1_280, 720),
            frames_per_second: Some(29.97),
        };

        assert_eq!(field(live.allow(rendition(1_280, 720, 30))), None);
        assert_eq!(field(live.allow(rendition(1_282, 720, 30))), Some("width"));
        assert_eq!(field(live.allow(rendition(1_280, 722, 30))), Some("height"));
        assert_eq!(field(live.allow(rendition(640, 360, 44))), None);
        assert_eq!(
            field(live.allow(rendition(640, 360, 45))),
            Some("framesPerSecond")
        );
    }

    fn seen(size: Option<(u32, u32)>) -> Status {
        let mut status = Status::default();
        status.video = size.map(|(width, height)| pipelines::path::VideoStatus {
            width,
            height,
            frames_per_second: 30.0,
            bitrate_kbps: 1_000,
            keyframe_interval: None,
        });
        status
    }

    #[tokio::test]
    async fn a_picture_has_some_time_to_grow() {
        let wanted = rendition(1_280, 720, 30);
        let (outlet, mut path) = watch::channel(seen(Some((640, 360))));

        let verdict = judge(wanted, &mut path, Duration::ZERO).await;
        let growing = async { outlet.send_replace(seen(Some((1_280, 720)))) };
        let (grown, _) = tokio::join!(judge(wanted, &mut path, Duration::MAX), growing);

        assert_eq!(verdict.map(|verdict| verdict.field), Some("width"));
        assert_eq!(grown, None);
        assert_eq!(judge(wanted, &mut path, Duration::ZERO).await, None);
    }

    #[tokio::test]
    async fn without_a_picture_nothing_is_judged() {
        let (outlet, mut path) = watch::channel(seen(None));
        let wanted = rendition(640, 360, 30);

        let judged = judge(wanted, &mut path, Duration::ZERO).now_or_never();
        drop(outlet);

        assert!(judged.is_none());
        assert_eq!(judge(wanted, &mut path, Duration::ZERO).await, None);
    }
}
