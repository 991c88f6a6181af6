//! Has written down what another node would need to go on with a broadcast, whenever that changes.

use std::{sync::Arc, time::Duration};

use broadcast::Destination;
use jiff::Timestamp;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{runner::Runner, stand_in::nearest_rate};
use crate::{
    clock::now,
    nodes::{Holding, KeptBroadcast, KeptPicture, KeptShow, Sealer},
};

/// The least time between two writings.
const PERIOD: Duration = Duration::from_secs(1);

/// How long a broadcast waits for its first writing: destinations open after it, since a node that died in between would
/// leave a broadcast of which nobody knows where it goes.
const FIRST_LIMIT: Duration = Duration::from_secs(1);

/// By how much a timeline may run away from what was written down of it: sound cards and wall clocks differ.
const ZERO_TOLERANCE: Duration = Duration::from_millis(250);

/// What is to be written down.
pub(super) type Wanted = Option<Arc<KeptBroadcast>>;

/// Writes down how one broadcast is. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Keeper {
    wanted: watch::Sender<Wanted>,
    /// What another node wrote down of the show, until this one knows better.
    elsewhere: Option<KeptShow>,
    /// Whether anything has been written down.
    begun: watch::Receiver<bool>,
    _writer: JoinSet<()>,
}

impl Keeper {
    /// `elsewhere`: what another node wrote down of the show.
    pub(super) fn new(holding: Holding, sealer: Sealer, elsewhere: Option<KeptShow>) -> Self {
        let (wanted, inlet) = watch::channel(None);
        let (outlet, begun) = watch::channel(false);
        let mut writer = JoinSet::new();
        writer.spawn(write(holding, sealer, inlet, outlet));
        Self {
            wanted,
            elsewhere,
            begun,
            _writer: writer,
        }
    }

    /// Has this be written down, soon, if it is news.
    fn keep(&self, kept: KeptBroadcast) {
        self.wanted.send_if_modified(|known| {
            let is_news = known.as_deref() != Some(&kept);
            if is_news {
                *known = Some(Arc::new(kept));
            }
            is_news
        });
    }

    /// How the broadcast is now.
    pub(super) fn wanted(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    /// Becomes true with the first writing.
    pub(super) fn begun(&self) -> watch::Receiver<bool> {
        self.begun.clone()
    }

    /// What was known of the show last.
    fn latest_show(&self) -> Option<KeptShow> {
        let wanted = self.wanted.borrow();
        wanted.as_ref().map_or(self.elsewhere, |kept| kept.show)
    }

    /// Waits for the first writing, and not for long.
    async fn begin(&mut self) {
        wait_for_first(&mut self.begun).await;
    }
}

/// Waits for the first writing, and not for long. Without it a broadcast begins even so: it can only not be taken over yet.
pub(super) async fn wait_for_first(begun: &mut watch::Receiver<bool>) {
    drop(timeout(FIRST_LIMIT, begun.wait_for(|begun| *begun)).await);
}

/// Writes down what is wanted, at most once in a [`PERIOD`], until nobody wants anything any more.
async fn write(
    holding: Holding,
    sealer: Sealer,
    mut wanted: watch::Receiver<Wanted>,
    begun: watch::Sender<bool>,
) {
    let mut fails = false;
    while wanted.changed().await.is_ok() {
        let Some(kept) = wanted.borrow_and_update().clone() else {
            continue;
        };
        let broadcast = holding.broadcast();
        let sealed = sealer.seal(broadcast, holding.fence(), &kept.to_bytes());
        match holding.save(sealed).await {
            Ok(()) => {
                fails = false;
                begun.send_replace(true);
            }
            Err(error) => {
                if !std::mem::replace(&mut fails, true) {
                    tracing::warn!(broadcast, %error, "what another node would need was not written down");
                }
                wanted.mark_changed();
            }
        }
        sleep(PERIOD).await;
    }
}

impl Runner {
    /// Has written down how the broadcast is now.
    pub(super) fn keep(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.keep(self.kept(keeper.latest_show()));
        }
    }

    /// The same before anything else is done with it.
    pub(super) async fn keep_first(&mut self) {
        self.keep();
        if let Some(keeper) = &mut self.keeper {
            keeper.begin().await;
        }
    }

    fn kept(&self, before: Option<KeptShow>) -> KeptBroadcast {
        let destinations = self.machine.destinations().iter();
        KeptBroadcast {
            asked: self.spec.as_ref().clone(),
            method: self.method,
            video: self.video,
            destinations: destinations.map(Destination::spec).cloned().collect(),
            started: self.machine.started(),
            created_at: self.clock.at(self.created),
            show: self.kept_show(before),
            resume_tokens: self.studios.resume_tokens().to_vec(),
        }
    }

    fn kept_show(&self, before: Option<KeptShow>) -> Option<KeptShow> {
        let status = self.path.borrow().clone();
        let mark = status.timeline.filter(|_| status.is_live);
        let Some(mark) = mark else { return before };
        let now = now();
        let zero = steady(before, self.clock.at(now) - mark.position(now));
        Some(KeptShow {
            zero,
            first_live: self.machine.first_live().map(|at| self.clock.at(at)),
            picture: status.video.map(|video| KeptPicture {
                width: video.width,
                height: video.height,
                // One that is not known any more was known before.
                frames_per_second: status
                    .nominal_frames_per_second
                    .map(nearest_rate)
                    .or_else(|| before.and_then(|before| before.picture?.frames_per_second)),
            }),
        })
    }
}

/// Where the timeline is 0, as it was known before unless that is too wrong.
fn steady(before: Option<KeptShow>, zero: Timestamp) -> Timestamp {
    let before = before.map(|before| before.zero);
    before
        .filter(|before| zero.duration_since(*before).unsigned_abs() <= ZERO_TOLERANCE)
        .unwrap_or(zero)
}

#[cfg(test)]
mod tests {
    use broadcast::{BroadcastId, BroadcastSpec, Method, StreamKey, VideoSpec};
    use fleet::NodeId;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        admission::{Admission, Cost},
        nodes::{Membership, Profile},
    };

    const SECRET: [u8; 32] = [7; 32];

    fn kept(token: &str) -> KeptBroadcast {
        let id = BroadcastId::new("show").unwrap();
        KeptBroadcast {
            asked: BroadcastSpec::new(id, Method::default(), true, Vec::new()).unwrap(),
            method: Method::default(),
            video: VideoSpec::default(),
            destinations: Vec::new(),
            started: true,
            created_at: Timestamp::UNIX_EPOCH,
            show: None,
            resume_tokens: vec![StreamKey::new(token)],
        }
    }

    /// What a process alone holds.
    async fn held() -> (Membership, Holding) {
        let profile = Profile {
            id: NodeId::new("a").unwrap(),
            instance: String::new(),
            url: "http://a".to_owned(),
            ip: "127.0.0.1".to_owned(),
            region: None,
            methods: Vec::new(),
        };
        let admission = Admission::new(Cost::of_cores(1.0));
        let membership = Membership::alone(profile, admission).await.unwrap();
        let holding = membership.claim("show").await.unwrap();
        (membership, holding)
    }

    fn read(holding: &Holding) -> Option<KeptBroadcast> {
        let sealer = Sealer::new(&SECRET, []);
        let state = sealer
            .open("show", holding.fence(), &holding.state())
            .ok()?;
        KeptBroadcast::from_bytes(&state).ok()
    }

    async fn until_read(holding: &Holding, token: &str) {
        while read(holding) != Some(kept(token)) {
            sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn what_changes_is_written_down_at_once_and_then_at_most_once_a_second() {
        let (_membership, holding) = held().await;
        let mut keeper = Keeper::new(holding.clone(), Sealer::new(&SECRET, []), None);
        let start = Instant::now();

        keeper.keep(kept("one"));
        keeper.begin().await;
        assert_eq!(read(&holding), Some(kept("one")));
        keeper.keep(kept("two"));
        keeper.keep(kept("three"));
        until_read(&holding, "three").await;

        // However busy the machine is, it is never sooner.
        assert!(start.elapsed() >= PERIOD, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_broadcast_begins_even_if_nothing_can_be_written_down() {
        let (_membership, holding) = held().await;
        holding.release().await.unwrap();
        let mut keeper = Keeper::new(holding.clone(), Sealer::new(&SECRET, []), None);
        let start = Instant::now();

        keeper.keep(kept("one"));
        keeper.begin().await;

        assert!(start.elapsed() >= FIRST_LIMIT, "{:?}", start.elapsed());
        assert!(
            *holding.lost().borrow(),
            "whoever may not write is not the holder"
        );
    }
}
