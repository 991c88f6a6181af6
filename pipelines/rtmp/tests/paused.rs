use std::time::Duration;

use broadcast::AfterCut;
use tokio::sync::watch;

use super::{
    numbered::{GROUP, PICTURE, Recorded, Show, attempt, curtain},
    programme::{plain_target, until, within_patience},
};
use crate::rtmp::{
    Programme, What,
    receiver::{Ending, Receiver, ReceiverOptions},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_show_leaks_while_paused_and_the_stream_is_one() {
    let folder = std::env::temp_dir().join(format!("castgate-paused-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let options = ReceiverOptions {
        recordings: Some(folder.clone()),
        ..ReceiverOptions::default()
    };
    let address = "127.0.0.1:0".parse().unwrap();
    let receiver = Receiver::bind_with(address, options).await.unwrap();
    let mut show = Show::new(5_000);
    let (wish, is_wished) = watch::channel(None);
    let programme = Programme {
        curtain: is_wished,
        ..show.programme(AfterCut::Jump)
    };

    let (mut paused_at, mut resumed_at) = (0, 0);
    let ended = attempt(&plain_target(receiver.local_address()), &programme, async {
        show.play_until(|| programme.counters.frames_sent() > 30)
            .await;
        paused_at = show.pictures;
        wish.send_replace(Some(curtain()));
        show.play(100).await;
        resumed_at = show.pictures;
        wish.send_replace(None);
        show.play(2 * GROUP).await;
        let all = u64::from(show.pictures);
        until(|| receiver.streams()[0].video.cadence.frames + 60 > all).await;
    })
    .await;

    assert_eq!(ended, Ok(()));
    within_patience(until(|| {
        receiver.streams()[0].ending == Some(Ending::Deleted)
    }))
    .await;
    let streams = receiver.streams();
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0].violations, Vec::<String>::new());
    within_patience(receiver.shutdown()).await;
    let recorded = Recorded::read(&folder.join("1.flv"));
    std::fs::remove_dir_all(folder).unwrap();

    assert_eq!(recorded.configurations, 3);
    let pictures = &recorded.pictures;
    let interval = u32::try_from(PICTURE.as_millis()).unwrap();
    assert!(
        pictures
            .windows(2)
            .all(|pair| pair[1].1 - pair[0].1 == interval)
    );
    let stood_in = || pictures.iter().filter(|(number, _, _)| number.is_none());
    assert!(stood_in().count() >= 100);
    assert!(stood_in().next().unwrap().2);
    let (from, to) = (paused_at * interval, resumed_at * interval);
    let (first, last) = (
        stood_in().next().unwrap().1,
        stood_in().next_back().unwrap().1,
    );
    // A picture may be on its way when the curtain falls.
    assert!(first <= from + interval, "{first} {from}");
    assert!(last >= to - interval && last < to + GROUP * interval);
    assert_eq!(stood_in().count(), ((last - first) / interval + 1) as usize);
    let back = pictures
        .iter()
        .find(|(_, time, _)| *time == last + interval);
    assert!(matches!(back, Some((Some(_), _, true))), "{back:?}");
    let (loud, silent): (Vec<_>, Vec<_>) =
        recorded.sounds.iter().partition(|(_, is_show)| *is_show);
    assert!(
        loud.iter()
            .all(|(time, _)| *time < first || *time + 42 > last)
    );
    assert!(silent.len() >= 90);
    let gap = recorded
        .sounds
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .max();
    assert!(gap.unwrap() <= 22);
    let events = programme.black_box.view().events;
    let paused = events
        .iter()
        .position(|event| event.what == What::Paused)
        .unwrap();
    assert_eq!(events[paused + 1].what, What::Resumed);
    assert!(events[paused + 1].elapsed.unwrap() >= Duration::from_secs(2));
}
