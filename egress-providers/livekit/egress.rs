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
    remote::{Place, Remote, Sent},
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
        self.differ(remote, &mut told, &egress, wanted).await
    }

    /// Adds before it removes: an egress without any stream ends. What is refused does not keep the others from changing.
    ///
    /// It may be cut off at any request: what a request may do is remembered before it is sent.
    async fn differ(
        &self,
        remote: &mut Remote,
        told: &mut Told,
        egress: &Egress,
        wanted: &[Sent],
    ) -> Result<(), ProviderError> {
        for sent in &told.sent {
            if remote.place(&sent.target).is_none() {
                remote.claim(sent, egress);
            }
        }
        // What has ended there by itself is added again if it is wanted, and needs no removal if it is not.
        told.sent.retain(|sent| {
            let place = remote.place(&sent.target);
            let stream = place.and_then(|place| place.find(egress));
            stream.is_none_or(|stream| stream.status == StreamPhase::Active)
        });
        let dropped: Vec<Sent> = told
            .sent
            .iter()
            .filter(|sent| !wanted.contains(sent))
            .cloned()
            .collect();
        let mut refused = Ok(());
        for sent in wanted {
            if told.sent.contains(sent) {
                continue;
            }
            match self.add(remote, told, egress, sent).await {
                Ok(()) => {}
                // Whether it was added is not known: what to remove is left to the next change.
                Err(error) if is_doubtful(&error) => return Err(error),
                Err(error) => refused = refused.and(Err(error)),
            }
        }
        for sent in dropped {
            let removed = self.remove(remote, told, egress, &sent).await;
            refused = refused.and(removed);
        }
        self.memory.keep(&remote.room, told.clone());
        refused
    }

    async fn add(
        &self,
        remote: &mut Remote,
        told: &mut Told,
        egress: &Egress,
        sent: &Sent,
    ) -> Result<(), ProviderError> {
        let same = told.sent.iter().find(|one| one.address == sent.address);
        if let Some(place) = same.and_then(|one| remote.place(&one.target)) {
            let place = Place {
                target: sent.target.to_string(),
                ..place.clone()
            };
            remote.forget(&sent.target);
            remote.places.push(place);
            told.sent.push(sent.clone());
            return Ok(());
        }
        let is_doubtful_already = told.doubtful.contains(&sent.address);
        told.doubtful.retain(|address| *address != sent.address);
        if is_doubtful_already && remote.claim(sent, egress) {
            told.sent.push(sent.clone());
            return Ok(());
        }
        let mut before = told.clone();
        before.doubtful.push(sent.address.clone());
        self.memory.keep(&remote.room, before);
        let added = self.rpc.add_stream(&egress.id, sent.address.expose()).await;
        match added {
            Ok(egress) => {
                remote.added(sent, &egress);
                told.sent.push(sent.clone());
            }
            Err(error) if is_doubtful(&error) => return Err(error),
            Err(error) => {
                self.memory.keep(&remote.room, told.clone());
                return Err(error);
            }
        }
        self.memory.keep(&remote.room, told.clone());
        Ok(())
    }

    async fn remove(
        &self,
        remote: &mut Remote,
        told: &mut Told,
        egress: &Egress,
        sent: &Sent,
    ) -> Result<(), ProviderError> {
        let is_shared = |kept: &Sent| kept != sent && kept.address == sent.address;
        if !told.sent.iter().any(is_shared) {
            let removed = self.rpc.remove_stream(&egress.id, sent.address.expose());
            match removed.await {
                Ok(()) | Err(ProviderError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        told.sent.retain(|kept| kept != sent);
        if !told.sent.iter().any(|kept| kept.target == sent.target) {
            remote.forget(&sent.target);
        }
        self.memory.keep(&remote.room, told.clone());
        Ok(())
    }

    /// Ends egresses, and returns when they send nothing any more.
    pub(super) async fn end_all(&self, egresses: &[Egress]) -> Result<(), ProviderError> {
        for egress in egresses {
            match self.rpc.stop_egress(&egress.id).await {
                // It is over already, or on its way.
                Ok(()) | Err(ProviderError::NotFound(_) | ProviderError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for egress in egresses {
            self.await_end(&egress.id).await?;
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
