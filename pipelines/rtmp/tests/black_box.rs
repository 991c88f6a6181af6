use std::{process::Command, time::Duration};

use broadcast::{AfterCut, Reason};

use super::{
    numbered::{Show, attempt},
    programme::{plain_target, within_patience},
};
use crate::rtmp::{
    What,
    receiver::{Behaviour, Behaviours, Receiver, ReceiverOptions},
};

async fn receiver(behaviour: Behaviour) -> Receiver {
    let options = ReceiverOptions {
        behaviours: Behaviours {
            default: behaviour,
            ..Behaviours::default()
        },
        receive_buffer_bytes: Some(16 * 1024),
        ..ReceiverOptions::default()
    };
    let address = "127.0.0.1:0".parse().unwrap();
    Receiver::bind_with(address, options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_box_tells_each_step_and_each_second() {
    let receiver = receiver(Behaviour::Accept).await;
    let mut show = Show::new(5_000);
    let programme = show.programme(AfterCut::Jump);
    let black_box = &programme.black_box;

    let ended = attempt(&plain_target(receiver.local_address()), &programme, async {
        show.play_until(|| black_box.view().samples.len() >= 2)
            .await;
    })
    .await;

    assert_eq!(ended, Ok(()));
    let view = black_box.view();
    let happened: Vec<What> = view.events.iter().map(|event| event.what).collect();
    assert_eq!(
        happened,
        [
            What::Connect,
            What::Handshake,
            What::ConnectReply,
            What::CreateStream,
            What::Publish,
            What::Live,
            What::Closed
        ]
    );
    assert_eq!(view.server, format!("rtmp://{}", receiver.local_address()));
    let sample = view.samples[1];
    assert!(sample.bits_per_second > 1_000_000, "{sample:?}");
    assert!(sample.round_trip > Duration::ZERO && sample.congestion_window > 0);
    assert!(sample.queued < Duration::from_secs(1) && sample.frames_sent > 50);
    assert!(view.events.is_sorted_by_key(|event| event.at));
    let shown = format!("{view:?}");
    assert!(
        !shown.contains("FB-1") && !shown.contains("live/"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_reads_nothing_is_found_and_told() {
    let receiver = receiver(Behaviour::StallAfter(100_000)).await;
    let mut show = Show::new(5_000);
    let programme = show.programme(AfterCut::CatchUp);
    let mut target = plain_target(receiver.local_address());
    target.limits.stall_window = Duration::from_millis(500);

    let ended = attempt(&target, &programme, show.play_until(|| false)).await;

    assert_eq!(ended.unwrap_err().reason, Reason::WriteStalled);
    let view = programme.black_box.view();
    let last = view.events.last().unwrap();
    assert_eq!(last.what, What::Stalled);
    let sample = view.samples.last().unwrap();
    assert!(sample.unacknowledged_bytes > 0 && sample.queued > Duration::from_millis(300));
    // What the server had not acknowledged is what the next connection begins with.
    let place = programme.place.acknowledged().unwrap();
    assert!(place < super::numbered::PICTURE * show.pictures);
}

/// Runs `work` in a network of its own, of which nothing is left but its own loopback. `None` without the right to make one.
fn in_a_network_of_its_own<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).ok()?;
        link("up");
        Some(work())
    });
    thread.join().unwrap()
}

fn link(state: &str) {
    let status = Command::new("ip")
        .args(["link", "set", "lo", state])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_peer_behind_a_black_hole_is_found() {
    let ended = in_a_network_of_its_own(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let receiver = receiver(Behaviour::Accept).await;
            let mut show = Show::new(5_000);
            let programme = show.programme(AfterCut::CatchUp);
            let mut target = plain_target(receiver.local_address());
            target.limits.stall_window = Duration::from_millis(500);
            let sent = || programme.counters.frames_sent();
            let ended = attempt(&target, &programme, async {
                show.play_until(|| sent() > 20).await;
                // Nothing comes through any more, and nobody is told.
                link("down");
                show.play_until(|| false).await;
            });
            let ended = within_patience(ended).await;
            (ended, programme.place.acknowledged())
        })
    });

    let Some((ended, place)) = ended else {
        eprintln!("skipped: making a network needs root");
        return;
    };
    assert_eq!(ended.unwrap_err().reason, Reason::WriteStalled);
    assert!(place.unwrap() < Duration::from_secs(2));
}
