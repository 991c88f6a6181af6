use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use broadcast::Endpoint;
use bytes::Bytes;
use media::{AccessUnit, CodecConfig, Fanout, Subscriber, VideoConfig};
use tokio::{
    io::{AsyncReadExt, DuplexStream},
    sync::Notify,
};

use super::*;
use crate::rtmp::{
    Counters, MediaHints,
    handshake::RANDOM_BYTES,
    publish::{Goal, StepLimits},
    receiver::conversation::{Conversation, Event},
};

impl Transport for DuplexStream {
    fn reading(&self) -> Option<Reading> {
        None
    }

    fn abandon(&self) {}
}

const LIMITS: SessionLimits = SessionLimits {
    stall_window: Duration::from_secs(5),
    close: Duration::from_secs(2),
};

fn publication() -> Publication {
    let limits = StepLimits {
        handshake: Duration::from_secs(5),
        publish: Duration::from_secs(10),
    };
    let endpoint = Endpoint::parse("rtmp://host/live", Some("key")).unwrap();
    let now = Instant::now().into_std();
    Publication::new(endpoint, Goal::Publish, limits, &[7; RANDOM_BYTES], now)
}

fn picture(milliseconds: u64, bytes: usize) -> AccessUnit {
    let config = VideoConfig {
        decoder_configuration: Bytes::from_static(&[1, 66, 0, 30, 255, 225]),
        width: 320,
        height: 180,
    };
    AccessUnit {
        timestamp: Duration::from_millis(milliseconds),
        keyframe: true,
        config: Arc::new(CodecConfig::Avc(config)),
        data: Bytes::from(vec![7; bytes]),
    }
}

/// Publishes what `subscriber` reads over `stream`.
async fn publish(
    stream: DuplexStream,
    subscriber: Subscriber,
    counters: &Arc<Counters>,
    on_live: impl FnOnce(),
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let programme = Programme::new(subscriber, MediaHints::default(), Arc::clone(counters));
    let task = Task {
        programme: Some(&programme),
        black_box: &programme.black_box,
        began: Instant::now(),
        limits: LIMITS,
    };
    run(stream, publication(), task, on_live, pin!(stop)).await
}

/// A server at the other end of a pipe.
struct Server {
    stream: DuplexStream,
    conversation: Conversation,
}

impl Server {
    fn new(stream: DuplexStream) -> Self {
        Self {
            stream,
            conversation: Conversation::new(&[9; RANDOM_BYTES]),
        }
    }

    /// Reads and answers until `last` happens or the client is gone. Returns the events before.
    async fn serve(&mut self, last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        let mut bytes = vec![0; 64 * 1024];
        loop {
            while let Some(event) = self.conversation.poll_event().unwrap() {
                if matches!(event, Event::Connect { .. }) {
                    self.conversation.answer_connect(true);
                } else if is_publish(&event) {
                    self.conversation.answer_publish(true);
                }
                let is_last = last(&event);
                events.push(event);
                if is_last {
                    let output = self.conversation.poll_output().unwrap_or_default();
                    self.stream.write_all(&output).await.unwrap();
                    return events;
                }
            }
            if let Some(output) = self.conversation.poll_output() {
                self.stream.write_all(&output).await.unwrap();
            }
            match self.stream.read(&mut bytes).await.unwrap() {
                0 => return events,
                count => self.conversation.handle_bytes(&bytes[..count]).unwrap(),
            }
        }
    }
}

fn is_publish(event: &Event) -> bool {
    matches!(event, Event::Publish { .. })
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_is_found_within_15_seconds() {
    let (near, far) = tokio::io::duplex(100_000);
    let mut fanout = Fanout::new(Duration::from_secs(4));
    let subscriber = fanout.subscriber();
    let counters = Arc::<Counters>::default();
    let mut server = Server::new(far);
    let began = Notify::new();

    let published = publish(
        near,
        subscriber,
        &counters,
        || began.notify_one(),
        pending(),
    );
    let play = async {
        server.serve(is_publish).await;
        began.notified().await;
        let from = Instant::now();
        for number in 0.. {
            fanout.push(picture(number * 33, 20_000));
            tokio::time::sleep(Duration::from_millis(33)).await;
            assert!(from.elapsed() < Duration::from_secs(30));
        }
    };
    let from = Instant::now();
    let ended = tokio::select! {
        ended = published => ended,
        () = play => unreachable!("it plays for ever"),
    };

    assert_eq!(ended.unwrap_err().reason, Reason::WriteStalled);
    let elapsed = from.elapsed();
    assert!(
        (13.0..=15.0).contains(&elapsed.as_secs_f32()),
        "{elapsed:?}"
    );
    assert!(counters.frames_sent() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_studio_that_sends_nothing_for_an_hour_is_no_failure() {
    let (near, far) = tokio::io::duplex(100_000);
    let fanout = Fanout::new(Duration::from_secs(4));
    let subscriber = fanout.subscriber();
    let counters = Arc::<Counters>::default();
    let mut server = Server::new(far);

    let stop = tokio::time::sleep(Duration::from_hours(1));
    let published = publish(near, subscriber, &counters, || (), stop);
    let (ended, events) = tokio::join!(published, server.serve(|_| false));

    assert_eq!(ended, Ok(()));
    assert!(matches!(events[2..], [Event::Unpublish, Event::Delete]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_hear_the_good_bye_gets_two_seconds() {
    let (near, far) = tokio::io::duplex(100_000);
    let fanout = Fanout::new(Duration::from_secs(4));
    let subscriber = fanout.subscriber();
    let counters = Arc::<Counters>::default();
    let mut server = Server::new(far);
    let began = Notify::new();

    let on_live = || began.notify_one();
    let stop = began.notified();
    let published = publish(near, subscriber, &counters, on_live, stop);
    let from = Instant::now();
    // The server goes on holding its end without reading it.
    let (ended, _) = tokio::join!(published, server.serve(is_publish));

    assert_eq!(ended, Ok(()));
    assert_eq!(from.elapsed(), LIMITS.close);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_said_last_is_the_reason() {
    let (near, far) = tokio::io::duplex(100_000);
    let fanout = Fanout::new(Duration::from_secs(4));
    let subscriber = fanout.subscriber();
    let counters = Arc::<Counters>::default();
    let mut server = Server::new(far);

    let published = publish(near, subscriber, &counters, || (), pending());
    let refuse = async {
        server.serve(is_publish).await;
        server.conversation.answer_publish(false);
        let output = server.conversation.poll_output().unwrap();
        server.stream.write_all(&output).await.unwrap();
        drop(server);
    };
    let (ended, ()) = tokio::join!(published, refuse);

    assert_eq!(ended.unwrap_err().reason, Reason::KeyRefused);
}

#[tokio::test(start_paused = true)]
async fn the_bitrate_is_that_of_the_last_second_and_0_at_the_end() {
    let (near, far) = tokio::io::duplex(1_000_000);
    let mut fanout = Fanout::new(Duration::from_secs(4));
    let subscriber = fanout.subscriber();
    let counters = Arc::<Counters>::default();
    let mut server = Server::new(far);
    let began = Notify::new();
    let mut measured = 0;

    let on_live = || began.notify_one();
    let stop = async {
        began.notified().await;
        for number in 0..100 {
            fanout.push(picture(number * 40, 20_000));
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        measured = counters.bits_per_second();
    };
    let published = publish(near, subscriber, &counters, on_live, stop);
    let (ended, _) = tokio::join!(published, server.serve(|_| false));

    assert_eq!(ended, Ok(()));
    assert!((3_900_000..4_300_000).contains(&measured), "{measured}");
    assert_eq!(counters.bits_per_second(), 0);
    assert_eq!(counters.frames_sent(), 100);
    assert_eq!(
        counters.keyframe_interval(),
        Some(Duration::from_millis(40))
    );
}
