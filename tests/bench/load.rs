//! The load's one thread: it turns all sessions, a thousand times a second.

use std::{
    io,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use anyhow::anyhow;
use tokio::sync::oneshot;

use crate::{
    commanded::Commanded,
    peer::{Peer, datagram_buffer},
    recording::Recording,
};

/// How often packets are looked for that are due; fine enough for a pace of one packet each 0.8 ms.
const TURN: Duration = Duration::from_millis(1);

/// What a session sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// When the last packet of each picture left, by number.
    pub(crate) pictures: Vec<Instant>,
    /// How late the worst packet left.
    pub(crate) latest: Duration,
    /// The connection broke.
    pub(crate) failed: bool,
}

#[derive(Debug)]
enum Command {
    Offer(oneshot::Sender<anyhow::Result<String>>),
    Answer(String, oneshot::Sender<anyhow::Result<()>>),
    Finish(oneshot::Sender<Vec<Sent>>),
}

/// The running load. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Load(Commanded<Command>);

impl Load {
    pub(crate) fn start(recording: Arc<Recording>) -> io::Result<Self> {
        Commanded::start("load", move |commands| run(&recording, &commands)).map(Self)
    }

    /// Opens the next session and returns its offer.
    pub(crate) async fn offer(&self) -> anyhow::Result<String> {
        self.0.ask(Command::Offer).await?
    }

    /// Gives the newest session its answer.
    pub(crate) async fn answer(&self, sdp: String) -> anyhow::Result<()> {
        self.0.ask(|reply| Command::Answer(sdp, reply)).await?
    }

    /// Ends all sessions and tells what each sent.
    pub(crate) async fn finish(&self) -> anyhow::Result<Vec<Sent>> {
        self.0.ask(Command::Finish).await
    }
}

fn run(recording: &Arc<Recording>, commands: &mpsc::Receiver<Command>) {
    let mut peers: Vec<Peer> = Vec::new();
    let mut buffer = datagram_buffer();
    loop {
        let turn = Instant::now();
        loop {
            // Whoever asked may have given up; then nobody misses the reply.
            match commands.try_recv() {
                Ok(Command::Offer(reply)) => {
                    let number = u32::try_from(peers.len()).unwrap_or_default();
                    let opened = Peer::offer(Arc::clone(recording), number, turn);
                    let _ = reply.send(opened.map(|(peer, offer)| {
                        peers.push(peer);
                        offer
                    }));
                }
                Ok(Command::Answer(sdp, reply)) => {
                    let accepted = match peers.last_mut() {
                        Some(peer) => peer.accept_answer(sdp, turn),
                        None => Err(anyhow!("no session waits for an answer")),
                    };
                    let _ = reply.send(accepted);
                }
                Ok(Command::Finish(reply)) => {
                    let _ = reply.send(peers.drain(..).map(finish).collect());
                }
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
        for peer in &mut peers {
            if !peer.failed && peer.turn(Instant::now(), &mut buffer).is_err() {
                peer.failed = true;
            }
        }
        std::thread::sleep(TURN.saturating_sub(turn.elapsed()));
    }
}

fn finish(mut peer: Peer) -> Sent {
    let failed = peer.failed || !peer.connected || peer.close().is_err();
    Sent {
        pictures: peer.sent,
        latest: peer.latest,
        failed,
    }
}
