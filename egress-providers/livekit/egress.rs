//! Has the show sent to the destinations that are wanted and no others: the difference between what is and what should be.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use broadcast::StreamKey;
use tokio::time::sleep;

use super::{
    Livekit,
    address::{mark, redacted},
    remote::{Remote, Sent},
    wire::{Egress, EgressPhase, StreamPhase},
};
use crate::hosted::ProviderError;

/// How often an ending egress is looked at, and how far apart: it flushes for some seconds.
const ENDING_LOOKS: u32 = 20;
const ENDING_PAUSE: Duration = Duration::from_millis(500);

/// What each room was told, keys with it: without them, no destination can be taken away again.
///
/// It lives in this process alone. A room that is not in here is begun anew.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<String, Told>>);

/// What one room was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    sent: Vec<Sent>,
    /// Addresses that may have been added: the answer never came.
    doubtful: Vec<StreamKey>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, room: &str) -> Option<Told> {
        self.lock().get(room).cloned()
    }

    fn keep(&self, room: &str, told: Told) {
        self.lock().insert(room.to_owned(), told);
    }

    pub(super) fn forget(&self, room: &str) {
        self.lock().remove(room);
    }
}

impl Livekit {
    /// Begins an egress, unless one that was begun for the same is there already. Any other is ended first, and gone before
    /// the new one begins: two of them would publish with the same keys.
    pub(super) async fn begin(
        &self,
        remote: &mut Remote,
        wanted: &[Sent],
    ) -> Result<(), ProviderError> {
        let active = self.rpc.active_egresses(Some(&remote.room)).await?;
        let told = self.memory.of(&remote.room);
        if let ([egress], Some(told)) = (active.as_slice(), told)
            && told.sent == wanted
            && told.doubtful.is_empty()
            && is_begun_with(egress, wanted)
        {
            remote.begin(egress, wanted);
            return Ok(());
        }
        self.end_all(&active).await?;
        remote.egress = None;
        remote.places.clear();
        if wanted.is_empty() {
            self.memory.forget(&remote.room);
            return Ok(());
        }
        // Before it is asked for, because its answer may be lost.
        let told = Told {
            sent: wanted.to_vec(),
            doubtful: Vec::new(),
        };
        self.memory.keep(&remote.room, told);
        let addresses: Vec<&str> = wanted.iter().map(|sent| sent.address.expose()).collect();
        let egress = self
            .rpc
            .start_egress(&remote.room, self.picture, &addresses)
            .await?;
        remote.begin(&egress, wanted);
        Ok(())
    }

    /// Changes a running egress; begins one if there is none.
    pub(super) async fn change(
        &self,
        remote: &mut Remote,
        wanted: &[Sent],
    ) -> Result<(), ProviderError> {
        let told = self.memory.of(&remote.room);
        let (Some(id), Some(mut told)) = (remote.egress.clone(), told) else {
            return self.begin(remote, wanted).await;
        };
        let egress = self.rpc.egress(&id).await?;
        let egress = match egress {
            Some(egress) if is_running(&egress) && !wanted.is_empty() => egress,
            _ => return self.begin(remote, wanted).await,
        };
        let changed = self.differ(remote, &mut told, &egress, wanted).await;
        self.memory.keep(&remote.room, told);
        changed
    }

    /// Adds before it removes: an egress without any stream ends. What is refused does not keep the others from changing.
    async fn differ(
        &self,
        remote: &mut Remote,
        told: &mut Told,
        egress: &Egress,
        wanted: &[Sent],
    ) -> Result<(), ProviderError> {
        let runs = |remote: &Remote, sent: &Sent| {
            let stream = remote
                .place(&sent.target)
                .and_then(|place| place.find(egress));
            // One that is not listed yet is on its way.
            stream.is_none_or(|stream| stream.status == StreamPhase::Active)
        };
        let (kept, dropped): (Vec<Sent>, Vec<Sent>) = told
            .sent
            .drain(..)
            .partition(|sent| wanted.contains(sent) && runs(remote, sent));
        told.sent = kept;
        let mut refused = Ok(());
        for sent in wanted {
            if told.sent.contains(sent) {
                continue;
            }
            match self.add(remote, told, egress, sent).await {
                Ok(()) => {}
                // The rest is left to the next change: whether this one was added is not known.
                Err(error) if is_doubtful(&error) => {
                    told.sent.extend(dropped);
                    return Err(error);
                }
                Err(error) => refused = refused.and(Err(error)),
            }
        }
        for sent in dropped {
            let wanted_again = told.sent.iter().any(|kept| kept.address == sent.address);
            if wanted_again || !runs(remote, &sent) {
                continue;
            }
            let removed = self
                .rpc
                .remove_stream(&egress.egress_id, sent.address.expose());
            match removed.await {
                Ok(()) | Err(ProviderError::NotFound(_)) => {}
                Err(error) => {
                    told.sent.push(sent);
                    refused = refused.and(Err(error));
                    continue;
                }
            }
            if !told.sent.iter().any(|kept| kept.target == sent.target) {
                remote.forget(&sent.target);
            }
        }
        refused
    }

    async fn add(
        &self,
        remote: &mut Remote,
        told: &mut Told,
        egress: &Egress,
        sent: &Sent,
    ) -> Result<(), ProviderError> {
        let doubtful = told.doubtful.iter().position(|one| *one == sent.address);
        if let Some(nth) = doubtful {
            told.doubtful.remove(nth);
            if remote.claim(sent, egress) {
                told.sent.push(sent.clone());
                return Ok(());
            }
        }
        let added = self
            .rpc
            .add_stream(&egress.egress_id, sent.address.expose());
        match added.await {
            Ok(egress) => {
                remote.added(sent, &egress);
                told.sent.push(sent.clone());
                Ok(())
            }
            Err(error) => {
                if is_doubtful(&error) {
                    told.doubtful.push(sent.address.clone());
                }
                Err(error)
            }
        }
    }

    /// Ends egresses, and returns when they send nothing any more.
    pub(super) async fn end_all(&self, egresses: &[Egress]) -> Result<(), ProviderError> {
        for egress in egresses {
            match self.rpc.stop_egress(&egress.egress_id).await {
                // It is over already, or on its way.
                Ok(()) | Err(ProviderError::NotFound(_) | ProviderError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for egress in egresses {
            self.await_end(&egress.egress_id).await?;
        }
        Ok(())
    }

    async fn await_end(&self, id: &str) -> Result<(), ProviderError> {
        for _ in 0..ENDING_LOOKS {
            match self.rpc.egress(id).await? {
                Some(egress) if !egress.status.is_over() => sleep(ENDING_PAUSE).await,
                _ => return Ok(()),
            }
        }
        Err(ProviderError::Unavailable {
            message: "its egress was stopped and does not end".to_owned(),
            retry_after: None,
        })
    }
}

/// Whether streams can be added to it.
fn is_running(egress: &Egress) -> bool {
    matches!(egress.status, EgressPhase::Starting | EgressPhase::Active)
}

/// Whether what was asked for may have been done.
fn is_doubtful(error: &ProviderError) -> bool {
    matches!(
        error,
        ProviderError::Timeout(_) | ProviderError::Unavailable { .. } | ProviderError::Protocol(_)
    )
}

/// Whether it runs, and its streams are these, in this order.
fn is_begun_with(egress: &Egress, wanted: &[Sent]) -> bool {
    let streams = egress.stream_results.iter();
    is_running(egress)
        && egress.stream_results.len() == wanted.len()
        && streams.zip(wanted).all(|(stream, sent)| {
            stream.status == StreamPhase::Active
                && mark(&stream.url) == mark(&redacted(sent.address.expose()))
        })
}
