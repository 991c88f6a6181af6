use std::{path::PathBuf, time::Duration};

use broadcast::{AfterCut, Reason};

use super::{
    cutter::Cutter,
    numbered::{GROUP, PICTURE, Recorded, Show, attempt},
    programme::{KEY, target, within_patience},
};
use crate::rtmp::{
    Programme, Target, What,
    receiver::{Receiver, ReceiverOptions},
};

/// Bytes of a picture: 2 Mb/s.
const PICTURE_BYTES: usize = 5_000;

/// A receiver that records, behind a proxy that cuts.
struct Stage {
    receiver: Receiver,
    cutter: Cutter,
    target: Target,
    folder: PathBuf,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("castgate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let options = ReceiverOptions {
            recordings: Some(folder.clone()),
            ..ReceiverOptions::default()
        };
        let address = "127.0.0.1:0".parse().unwrap();
        let receiver = Receiver::bind_with(address, options).await.unwrap();
        let cutter = Cutter::new(receiver.local_address()).await;
        let url = format!("rtmp://{}/live", cutter.address);
        let target = target(&url, KEY, cutter.address);
        Self {
            receiver,
            cutter,
            target,
            folder,
        }
    }

    /// Ends everything; what each publish has recorded.
    async fn recorded(self) -> Vec<Recorded> {
        let streams = self.receiver.streams();
        for report in &streams {
            assert_eq!(report.violations, Vec::<String>::new());
        }
        within_patience(self.receiver.shutdown()).await;
        let file = |number| self.folder.join(format!("{number}.flv"));
        let recorded = (1..=streams.len()).map(|number| Recorded::read(&file(number)));
        let recorded = recorded.collect();
        std::fs::remove_dir_all(self.folder).unwrap();
        recorded
    }
}

fn happenings(programme: &Programme) -> Vec<What> {
    let events = programme.black_box.view().events;
    events.into_iter().map(|event| event.what).collect()
}

/// Publishes for `before` pictures, cuts, plays `away` pictures to nobody, publishes again until all is caught up.
async fn cut(stage: &Stage, show: &mut Show, programme: &Programme, before: u32, away: u32) {
    let ended = attempt(&stage.target, programme, async {
        show.play(before).await;
        stage.cutter.cut();
        show.play_until(|| false).await;
    })
    .await;
    assert_eq!(ended.unwrap_err().reason, Reason::ClosedByPeer);
    show.play(away).await;

    let ended = attempt(&stage.target, programme, async {
        let counters = &programme.counters;
        let sent = counters.frames_sent();
        show.play_until(|| counters.frames_sent() > sent).await;
        show.play_until(|| !counters.is_catching_up()).await;
        show.play(2 * GROUP).await;
    })
    .await;
    assert_eq!(ended, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_catches_up_loses_no_picture_and_repeats_a_group_at_most() {
    let stage = Stage::new("catch-up").await;
    let mut show = Show::new(PICTURE_BYTES);
    let programme = show.programme(AfterCut::CatchUp);

    cut(&stage, &mut show, &programme, 90, 75).await;

    let happenings = happenings(&programme);
    assert!(
        happenings.ends_with(&[What::CatchingUp, What::CaughtUp, What::Closed]),
        "{happenings:?}"
    );
    let events = programme.black_box.view().events;
    let caught_up = events.iter().find(|event| event.what == What::CaughtUp);
    let took = caught_up.unwrap().elapsed.unwrap();
    // It missed a second and a half, gains half a second a second, and stops at the newest group.
    assert!(took >= PICTURE * (75 - 2 * GROUP), "{took:?}");
    assert_eq!(programme.counters.frames_dropped(), 0);
    assert_eq!(programme.place.acknowledged(), None);
    let recorded = stage.recorded().await;
    let [before, after] = &recorded[..] else {
        panic!("{} publishes", recorded.len());
    };
    let (before, after) = (before.numbers(), after.numbers());
    let in_a_row = |numbers: &[u32]| numbers.windows(2).all(|pair| pair[1] == pair[0] + 1);
    assert!(in_a_row(&before) && in_a_row(&after));
    let (last, first) = (before[before.len() - 1], after[0]);
    assert_eq!(before[0], 0);
    assert!(first.is_multiple_of(GROUP));
    assert!(first <= last + 1, "lost {last} to {first}");
    assert!(last < first + GROUP, "repeated {first} to {last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_jumps_begins_at_the_newest_keyframe() {
    let stage = Stage::new("jump").await;
    let mut show = Show::new(PICTURE_BYTES);
    let programme = show.programme(AfterCut::Jump);

    cut(&stage, &mut show, &programme, 60, 100).await;

    let recorded = stage.recorded().await;
    let after = recorded[1].numbers();
    assert!(
        after[0].is_multiple_of(GROUP) && after[0] >= 150,
        "{}",
        after[0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_never_catches_up_goes_on_at_the_newest_keyframe_and_counts() {
    let stage = Stage::new("slow").await;
    // 80 Mb/s, so that the ring's 48 MiB are 5 s.
    let mut show = Show::new(200_000);
    let programme = show.programme(AfterCut::CatchUp);
    stage.cutter.slow_down(1_000_000);

    let ended = attempt(&stage.target, &programme, async {
        let counters = &programme.counters;
        show.play_until(|| counters.frames_dropped() > 0).await;
        assert!(counters.queued() > Duration::from_secs(3));
        stage.cutter.slow_down(0);
        show.play_until(|| counters.queued() < Duration::from_millis(500))
            .await;
    })
    .await;

    assert_eq!(ended, Ok(()));
    assert!(happenings(&programme).contains(&What::Jumped));
    let numbers = stage.recorded().await[0].numbers();
    let holes: Vec<_> = numbers
        .windows(2)
        .filter(|pair| pair[1] != pair[0] + 1)
        .collect();
    assert!(!holes.is_empty());
    let dropped: u32 = holes.iter().map(|pair| pair[1] - pair[0] - 1).sum();
    assert_eq!(u64::from(dropped), programme.counters.frames_dropped());
    assert!(holes.iter().all(|pair| pair[1].is_multiple_of(GROUP)));
}
