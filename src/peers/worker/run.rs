//! The loop of a media thread: receive a batch, judge, feed, pump, sleep until the earliest deadline.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{Command, Worker, clock, socket::ReceiveBuffers};
use crate::door::Path;

/// Batches taken from the socket before timers and commands get their turn.
const MOST_BATCHES: usize = 8;
/// Commands obeyed before the socket gets its turn.
const MOST_COMMANDS: usize = 64;
/// The pause after a batch, from the socket or from another worker, in which the next one gathers. At 20 studios each packet would wake the thread otherwise,
/// and the switches cost as much as the cryptography. It adds at most this to a picture's latency, and stays far below the
/// 5 ms in which Chrome's bandwidth estimate groups arrivals.
const GATHERING: Duration = Duration::from_millis(1);
/// How often expired paths of other workers are forgotten, and the longest sleep.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// Runs a worker until it is told to shut down or all handles are gone.
pub(crate) async fn run(mut worker: Worker, mut commands: mpsc::Receiver<Command>) {
    let mut buffers = ReceiveBuffers::new();
    let bell = Arc::clone(&worker.bell);
    let mut housekeeping = clock() + HOUSEKEEPING;
    loop {
        let deadline = worker
            .next_deadline()
            .map_or(housekeeping, |deadline| deadline.min(housekeeping));
        let mut command = None;
        // All arms are cancel-safe: readiness, one message, a timer.
        tokio::select! {
            biased;
            first = commands.recv() => match first {
                Some(first) => command = Some(first),
                None => return,
            },
            () = bell.heard() => {}
            _ = worker.socket.readable() => {}
            () = worker.plain.readable() => {}
            () = tokio::time::sleep_until(Instant::from_std(deadline)) => {}
        }
        let now = clock();
        worker.handle_wakes(now);
        let mut obeyed = 0;
        let mut received = false;
        while let Some(next) = command {
            received |= matches!(next, Command::Datagrams { .. });
            if worker.handle_command(next, now) {
                return;
            }
            obeyed += 1;
            command = if obeyed < MOST_COMMANDS {
                commands.try_recv().ok()
            } else {
                None
            };
        }
        worker.pump_touched(now);
        // Tried after every wake-up, so that commands cannot starve the socket; without readiness it is no system call.
        for _ in 0..MOST_BATCHES {
            if !worker.socket.receive(&mut buffers) {
                break;
            }
            received = true;
            let now = clock();
            for (from, datagram) in buffers.datagrams() {
                worker.handle_datagram(datagram, Path::Udp(from), None, now);
            }
            worker.pump_touched(now);
        }
        received |= worker.receive_plain(&mut buffers, clock());
        worker.hand_parcels();
        let now = clock();
        if worker
            .next_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            worker.handle_timeouts(now);
            worker.pump_touched(now);
        }
        if now >= housekeeping {
            worker.door.forget_expired(now);
            housekeeping = now + HOUSEKEEPING;
        }
        if received {
            // The thread itself, not a timer: nothing else runs on it, and epoll would wake for each datagram.
            std::thread::sleep(GATHERING);
        }
    }
}
