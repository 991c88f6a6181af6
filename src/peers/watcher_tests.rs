//! Tests of those who get a copy of what a studio sends, and of sinks that are woken.

use std::{task::Waker, thread};

use tokio::sync::oneshot;

use super::*;
use crate::worker::{
    Command,
    watchers::{PacketWatcher, WATCHERS_LIMIT, WatcherKey},
};

impl Peers {
    /// Gives `watcher` a copy of what the current studio of `sink` sends, until it is removed or the sink is detached.
    /// `None`: the sink is gone, or has [`WATCHERS_LIMIT`] already.
    async fn add_watcher(
        &self,
        sink: SinkId,
        watcher: Box<dyn PacketWatcher>,
    ) -> Option<WatcherKey> {
        let worker = self.inner.shared.directory.worker_of_sink(sink)?;
        let key = self.inner.shared.directory.next_key();
        let (added, answer) = oneshot::channel();
        self.command(
            worker,
            Command::AddWatcher {
                sink,
                key,
                watcher,
                added,
            },
        )
        .await;
        answer.await.unwrap_or(false).then_some(key)
    }

    /// Drops a watcher. Removing one that is gone is no error.
    async fn remove_watcher(&self, sink: SinkId, key: WatcherKey) {
        if let Some(worker) = self.inner.shared.directory.worker_of_sink(sink) {
            let (removed, done) = oneshot::channel();
            self.command(worker, Command::RemoveWatcher { sink, key, removed })
                .await;
            let _ = done.await;
        }
    }
}

/// Tells what it is told, or panics.
struct Copying {
    seen: mpsc::Sender<Seen>,
    panics: bool,
    due: Option<Instant>,
}

impl Copying {
    fn new() -> (Self, mpsc::Receiver<Seen>) {
        let (sender, seen) = mpsc::channel(QUEUE);
        let watcher = Self {
            seen: sender,
            panics: false,
            due: None,
        };
        (watcher, seen)
    }
}

impl PacketWatcher for Copying {
    fn handle_source_started(&mut self, source: SourceDescription, _: Instant) {
        self.seen.try_send(Seen::Started(source)).unwrap();
    }

    fn handle_packet(&mut self, kind: TrackKind, packet: &RtpPacket, _: Instant) {
        assert!(!self.panics, "on purpose");
        self.seen
            .try_send(Seen::Packet(kind, packet.sequence, packet.payload.clone()))
            .unwrap();
    }

    fn handle_report(&mut self, kind: TrackKind, report: &SenderReport, _: Instant) {
        self.seen.try_send(Seen::Report(kind, *report)).unwrap();
    }

    fn handle_source_ended(&mut self, _: Instant) {
        self.seen.try_send(Seen::Ended).unwrap();
    }

    fn poll_keyframe_request(&mut self) -> bool {
        false
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    fn handle_timeout(&mut self, _: Instant) {
        self.due = None;
        self.seen.try_send(Seen::Ended).unwrap();
    }
}

pub(super) async fn connected(studio: &mut Studio) {
    until(&mut studio.published.events, |event| {
        matches!(event, PeerEvent::Connected)
    })
    .await;
    while next(&mut studio.events).await != ClientEvent::Connected {}
}

/// The queue's other end is dropped.
async fn closes(queue: &mut mpsc::Receiver<Seen>) {
    let end = timeout(DEADLINE, queue.recv()).await.unwrap();
    assert_eq!(end, None);
}

#[tokio::test]
async fn a_watcher_gets_a_copy_for_as_long_as_it_is_there() {
    let peers = workers(2, 10);
    let (sink, mut seen) = tapped(&peers).await;
    let mut studio = studio(&peers, sink).await;
    connected(&mut studio).await;
    let (late, mut copies) = Copying::new();

    let key = peers.add_watcher(sink, Box::new(late)).await.unwrap();

    assert!(matches!(
        next(&mut copies).await,
        Seen::Started(SourceDescription {
            video: Some(_),
            audio: true
        })
    ));
    for sequence in 1..=20 {
        studio
            .peer
            .send(TrackKind::Video, packet(sequence, &KEYFRAME))
            .await
            .unwrap();
    }
    for sequence in 1..=20 {
        let Seen::Packet(TrackKind::Video, number, payload) = next(&mut copies).await else {
            panic!("something else");
        };
        assert_eq!((number, &payload[..]), (sequence, &KEYFRAME[..]));
    }
    peers.remove_watcher(sink, key).await;
    closes(&mut copies).await;
    let mut fed = 0;
    while fed < 20 {
        fed += usize::from(matches!(next(&mut seen).await, Seen::Packet(..)));
    }
    peers.shutdown().await;
    assert_eq!(peers.panics(), 0);
}

#[tokio::test]
async fn a_watcher_that_panics_is_the_only_one_to_go() {
    let peers = workers(1, 10);
    let (sink, mut seen) = tapped(&peers).await;
    let (broken, mut gone) = Copying::new();
    let broken = Copying {
        panics: true,
        ..broken
    };
    let (sound, mut copies) = Copying::new();
    peers.add_watcher(sink, Box::new(broken)).await.unwrap();
    peers.add_watcher(sink, Box::new(sound)).await.unwrap();
    let mut studio = studio(&peers, sink).await;
    connected(&mut studio).await;

    for sequence in 1..=2 {
        studio
            .peer
            .send(TrackKind::Video, packet(sequence, &KEYFRAME))
            .await
            .unwrap();
    }

    assert!(matches!(next(&mut gone).await, Seen::Started(_)));
    closes(&mut gone).await;
    for queue in [&mut copies, &mut seen] {
        let mut packets = 0;
        while packets < 2 {
            packets += usize::from(matches!(next(queue).await, Seen::Packet(..)));
        }
    }
    assert_eq!(peers.panics(), 1);
}

#[tokio::test]
async fn a_watcher_is_told_the_time_when_it_is_due_without_any_studio() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    let (watcher, mut copies) = Copying::new();
    let due = Some(Instant::now() + Duration::from_millis(5));

    peers
        .add_watcher(sink, Box::new(Copying { due, ..watcher }))
        .await
        .unwrap();

    assert_eq!(next(&mut copies).await, Seen::Ended);
    peers.shutdown().await;
}

#[tokio::test]
async fn a_sink_has_a_bounded_number_of_watchers() {
    let peers = workers(1, 10);
    let (sink, _seen) = tapped(&peers).await;
    let mut keys = Vec::new();
    for _ in 0..WATCHERS_LIMIT {
        let (watcher, _) = Copying::new();
        keys.push(peers.add_watcher(sink, Box::new(watcher)).await.unwrap());
    }
    let (one_more, _) = Copying::new();
    assert_eq!(peers.add_watcher(sink, Box::new(one_more)).await, None);

    peers.remove_watcher(sink, keys[0]).await;

    let (again, _) = Copying::new();
    assert!(peers.add_watcher(sink, Box::new(again)).await.is_some());
    peers.detach(sink).await;
    let (late, _) = Copying::new();
    assert_eq!(peers.add_watcher(sink, Box::new(late)).await, None);
}

/// A sink that gives its waker away and tells when it is woken.
struct Sleeper {
    wakers: std::sync::mpsc::Sender<Waker>,
    woken: mpsc::Sender<()>,
}

impl MediaSink for Sleeper {
    fn handle_attached(&mut self, waker: &Waker) {
        self.wakers.send(waker.clone()).unwrap();
    }

    fn handle_source_started(&mut self, _: SourceDescription, _: Instant) {}
    fn handle_packet(&mut self, _: TrackKind, _: RtpPacket, _: Instant) {}
    fn handle_sender_report(&mut self, _: TrackKind, _: SenderReport, _: Instant) {}
    fn handle_source_ended(&mut self, _: Instant) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant) {
        let _ = self.woken.try_send(());
    }

    fn poll_keyframe_request(&mut self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_sink_is_woken_from_any_thread_every_time() {
    let peers = workers(1, 10);
    let (giver, receiver) = std::sync::mpsc::channel();
    let (woken, mut told) = mpsc::channel(1);
    let sink = peers
        .attach(
            "sleeper",
            Box::new(Sleeper {
                wakers: giver,
                woken,
            }),
        )
        .await;
    let waker = tokio::task::spawn_blocking(move || receiver.recv().unwrap())
        .await
        .unwrap();

    for _ in 0..100 {
        let waker = waker.clone();
        thread::spawn(move || waker.wake()).join().unwrap();
        next(&mut told).await;
    }

    peers.detach(sink).await;
    waker.wake();
    peers.shutdown().await;
    assert_eq!(peers.panics(), 0);
}
