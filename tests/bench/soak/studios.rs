//! The soak's studios: one thread turns a replaying session for each, which can be lost and come back.

use std::{
    collections::HashMap,
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

/// How often packets are looked for that are due.
const TURN: Duration = Duration::from_millis(2);

#[derive(Debug)]
enum Command {
    Offer(usize, oneshot::Sender<anyhow::Result<String>>),
    Answer(usize, String, oneshot::Sender<anyhow::Result<()>>),
    Kill(usize),
    Lose(usize, u64, Instant),
    Latest(oneshot::Sender<Duration>),
}

/// The running studios. Dropping it ends them without a good-bye.
#[derive(Debug)]
pub(crate) struct Studios(Commanded<Command>);

impl Studios {
    pub(crate) fn start(recording: Arc<Recording>) -> io::Result<Self> {
        Commanded::start("studios", move |commands| run(&recording, &commands)).map(Self)
    }

    /// Opens another session for a studio and returns its offer. The old one goes on until the answer is there.
    pub(crate) async fn offer(&self, studio: usize) -> anyhow::Result<String> {
        self.0.ask(|reply| Command::Offer(studio, reply)).await?
    }

    /// Gives a studio's newest session its answer.
    pub(crate) async fn answer(&self, studio: usize, sdp: String) -> anyhow::Result<()> {
        self.0
            .ask(|reply| Command::Answer(studio, sdp, reply))
            .await?
    }

    /// Ends a studio's session without a good-bye.
    pub(crate) fn kill(&self, studio: usize) -> anyhow::Result<()> {
        self.0.tell(Command::Kill(studio))
    }

    /// Loses so many of a hundred media packets of a studio until then.
    pub(crate) fn lose(&self, studio: usize, percent: u64, until: Instant) -> anyhow::Result<()> {
        self.0.tell(Command::Lose(studio, percent, until))
    }

    /// How late the worst packet of all left: how busy the machine was.
    pub(crate) async fn latest(&self) -> anyhow::Result<Duration> {
        self.0.ask(Command::Latest).await
    }
}

#[derive(Default)]
struct Sessions {
    live: HashMap<usize, Peer>,
    offered: HashMap<usize, Peer>,
    opened: u32,
    latest: Duration,
}

fn run(recording: &Arc<Recording>, commands: &mpsc::Receiver<Command>) {
    let mut sessions = Sessions::default();
    let mut buffer = datagram_buffer();
    loop {
        let turn = Instant::now();
        loop {
            match commands.try_recv() {
                Ok(command) => sessions.obey(command, recording, turn),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
        for peer in sessions.live.values_mut() {
            if !peer.failed && peer.turn(Instant::now(), &mut buffer).is_err() {
                peer.failed = true;
            }
            sessions.latest = sessions.latest.max(peer.latest);
        }
        std::thread::sleep(TURN.saturating_sub(turn.elapsed()));
    }
}

impl Sessions {
    /// Whoever asked may have given up; then nobody misses the reply.
    fn obey(&mut self, command: Command, recording: &Arc<Recording>, now: Instant) {
        match command {
            Command::Offer(studio, reply) => {
                self.opened += 1;
                let opened = Peer::offer(Arc::clone(recording), self.opened, now);
                let _ = reply.send(opened.map(|(peer, offer)| {
                    self.offered.insert(studio, peer);
                    offer
                }));
            }
            Command::Answer(studio, sdp, reply) => {
                let accepted = match self.offered.remove(&studio) {
                    Some(mut peer) => peer.accept_answer(sdp, now).map(|()| {
                        self.live.insert(studio, peer);
                    }),
                    None => Err(anyhow!("no session waits for an answer")),
                };
                let _ = reply.send(accepted);
            }
            Command::Kill(studio) => drop(self.live.remove(&studio)),
            Command::Lose(studio, percent, until) => {
                if let Some(peer) = self.live.get_mut(&studio) {
                    peer.lose(percent, until);
                }
            }
            Command::Latest(reply) => {
                let _ = reply.send(self.latest);
            }
        }
    }
}
