use std::{net::SocketAddr, time::Duration};

use tokio::sync::oneshot;

use super::*;
use crate::router::{ConsumerOrder, ProducerOrder, RouterCommand, RouterId, TransportOrder};

/// Two workers; the second one only as a queue.
fn pair() -> (Worker, mpsc::Receiver<Command>) {
    let (near, _) = mpsc::channel(COMMAND_QUEUE);
    let (far, queue) = mpsc::channel(COMMAND_QUEUE);
    let socket = socket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let crypto = rtc::crypto::default_provider().unwrap();
    let shared = Arc::new(Shared {
        directory: Directory::default(),
        identity: Identity::new(crypto.crypto()).unwrap(),
        crypto,
        panics: AtomicU64::new(0),
    });
    let socket = WorkerSocket::new(socket).unwrap();
    (Worker::new(0, socket, vec![near, far], shared), queue)
}

#[tokio::test]
async fn a_batch_for_another_worker_is_one_command() {
    let (mut worker, mut queue) = pair();
    let now = clock();
    let studio = SocketAddr::from(([192, 0, 2, 1], 4000));
    worker
        .door
        .remember_elsewhere(Path::Udp(studio), 1, now + Duration::from_mins(1));
    let datagrams: Vec<[u8; 1200]> = (0..20_u8)
        .map(|number| {
            let mut datagram = [0x80; 1200];
            datagram[1] = number;
            datagram
        })
        .collect();

    for datagram in &datagrams {
        worker.handle_datagram(datagram, Path::Udp(studio), None, now);
    }
    worker.hand_parcels();

    let Ok(Command::Datagrams { via: 0, parcel }) = queue.try_recv() else {
        panic!("nothing was handed over");
    };
    assert!(queue.try_recv().is_err(), "one wake-up for all");
    let handed: Vec<&[u8]> = parcel
        .datagrams()
        .map(|(from, datagram)| {
            assert_eq!(from, studio);
            datagram
        })
        .collect();
    assert_eq!(handed, datagrams);
}

/// A sink that does nothing.
struct Deaf;

impl media::MediaSink for Deaf {
    fn handle_source_started(&mut self, _: SourceDescription, _: Instant) {}
    fn handle_packet(&mut self, _: media::TrackKind, _: media::RtpPacket, _: Instant) {}
    fn handle_sender_report(&mut self, _: media::TrackKind, _: media::SenderReport, _: Instant) {}
    fn handle_source_ended(&mut self, _: Instant) {}
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn handle_timeout(&mut self, _: Instant) {}
    fn poll_keyframe_request(&mut self) -> bool {
        false
    }
}

fn sound() -> ortc::RtpParameters {
    let encoding = ortc::EncodingParameters {
        ssrc: Some(7),
        ..Default::default()
    };
    let opus = ortc::CodecParameters {
        mime_type: "audio/opus".to_owned(),
        payload_type: 111,
        clock_rate: 48_000,
        channels: Some(2),
        parameters: ortc::Fmtp::default(),
        rtcp_feedback: Vec::new(),
    };
    ortc::RtpParameters {
        codecs: vec![opus],
        encodings: vec![encoding],
        ..Default::default()
    }
}

#[tokio::test]
async fn a_room_that_closes_leaves_nothing_behind() {
    let (mut worker, _queue) = pair();
    let now = clock();
    let (router, sink) = (RouterId(1), SinkId(2));
    worker.attach(sink, Box::new(Deaf), now);
    worker.handle_router_command(RouterCommand::Open { router }, now);
    let mut order = |command| worker.handle_router_command(command, now);
    for transport in [10, 11] {
        let (events, _) = mpsc::channel(1);
        let (opened, mut done) = oneshot::channel();
        order(RouterCommand::OpenTransport {
            router,
            transport,
            local: crate::door::new_credentials(0),
            events,
            opened,
        });
        assert_eq!(done.try_recv().unwrap(), Ok(()));
    }
    let (reply, mut done) = oneshot::channel();
    let producer = ProducerOrder {
        id: "microphone".to_owned(),
        kind: ortc::MediaKind::Audio,
        rtp: sound(),
        paused: false,
    };
    order(RouterCommand::Transport {
        transport: 10,
        order: TransportOrder::Produce(producer, reply),
    });
    assert_eq!(done.try_recv().unwrap(), Ok(()));
    let (reply, mut done) = oneshot::channel();
    let consumer = ConsumerOrder {
        id: "ear".to_owned(),
        producer: "microphone".to_owned(),
        rtp: sound(),
        paused: false,
    };
    order(RouterCommand::Transport {
        transport: 11,
        order: TransportOrder::Consume(consumer, reply),
    });
    assert_eq!(done.try_recv().unwrap(), Ok(()));
    let (events, _) = mpsc::channel(1);
    let (composed, mut done) = oneshot::channel();
    order(RouterCommand::Compose {
        composite: 20,
        sink,
        router,
        video: None,
        audio: Some("microphone".to_owned()),
        events,
        composed,
    });
    assert!(done.try_recv().unwrap().is_ok());

    let (done, _) = oneshot::channel();
    order(RouterCommand::Close { router, done });
    worker.pump_touched(now);

    assert!(worker.routers.is_empty());
    assert_eq!(worker.sinks.len(), 1, "the broadcast goes on");
}

#[tokio::test]
async fn datagrams_that_were_handed_over_are_not_handed_on() {
    let (mut worker, mut queue) = pair();
    let now = clock();
    let studio = SocketAddr::from(([192, 0, 2, 1], 4000));
    worker
        .door
        .remember_elsewhere(Path::Udp(studio), 1, now + Duration::from_mins(1));

    worker.handle_datagram(&[0x80; 100], Path::Udp(studio), Some(1), now);
    worker.hand_parcels();

    assert!(queue.try_recv().is_err());
}
