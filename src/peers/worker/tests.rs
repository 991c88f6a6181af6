use std::{net::SocketAddr, time::Duration};

use super::*;

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
