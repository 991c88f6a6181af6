//! A thread that obeys commands, and ends when nobody can give it any.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use anyhow::{Context, anyhow};
use tokio::sync::oneshot;

/// Commands that may wait; the thread takes them all at each of its turns. One more is refused.
const COMMANDS: usize = 64;

/// The thread's owner. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Commanded<C> {
    name: &'static str,
    commands: Option<SyncSender<C>>,
    thread: Option<JoinHandle<()>>,
}

impl<C: Send + 'static> Commanded<C> {
    pub(crate) fn start(
        name: &'static str,
        run: impl FnOnce(Receiver<C>) + Send + 'static,
    ) -> io::Result<Self> {
        let (commands, receiver) = sync_channel(COMMANDS);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(receiver))?;
        Ok(Self {
            name,
            commands: Some(commands),
            thread: Some(thread),
        })
    }

    /// Gives a command that has no answer.
    pub(crate) fn tell(&self, command: C) -> anyhow::Result<()> {
        self.commands
            .as_ref()
            .and_then(|commands| commands.try_send(command).ok())
            .ok_or_else(|| anyhow!("the thread '{}' has died", self.name))
    }

    /// Gives a command and waits for its answer.
    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> C,
    ) -> anyhow::Result<T> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply))?;
        answer
            .await
            .with_context(|| format!("the thread '{}' has died", self.name))
    }
}

impl<C> Drop for Commanded<C> {
    fn drop(&mut self) {
        self.commands.take();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported to whoever waited for an answer.
            let _ = thread.join();
        }
    }
}
