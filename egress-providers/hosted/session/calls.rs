//! A session's calls to its provider, one at a time, each with its handle written down before it is told.

use std::{mem, time::Duration};

use broadcast::BroadcastId;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::hosted::{
    EgressSpec, EgressStatus, Handle, HostedParts, HostedTarget, Prepared, ProviderError, Stage,
    machine::Answer,
};

/// How long one call may take: a few answers of ten seconds, asked for again.
const CALL_LIMIT: Duration = Duration::from_secs(40);

/// What has come of a call.
#[derive(Debug)]
pub(super) enum Called {
    Prepared(Result<Prepared, ProviderError>),
    Started(Handle, Result<(), ProviderError>),
    Updated(Handle, Result<(), ProviderError>),
    Status(Result<EgressStatus, ProviderError>),
    Stopped(Result<(), ProviderError>),
}

/// The call that is under way, if there is one.
#[derive(Debug, Default)]
pub(super) struct Calls {
    task: JoinSet<Called>,
    /// What is told if its task breaks.
    broken: Option<Called>,
}

impl Calls {
    /// What has come of the call; `None` when there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Called> {
        let called = self.task.join_next().await?;
        match called {
            Ok(called) => Some(called),
            Err(error) => {
                tracing::error!(%error, "a call to the provider broke");
                self.broken.take()
            }
        }
    }

    /// Has what a broadcast needs made, once `free` is cancelled.
    pub(super) fn prepare(
        &mut self,
        parts: &HostedParts,
        broadcast: &BroadcastId,
        targets: Vec<HostedTarget>,
        free: CancellationToken,
    ) {
        let parts = parts.clone();
        let spec = EgressSpec {
            broadcast: broadcast.clone(),
            owner: parts.owner.clone(),
            targets,
        };
        self.call(Called::Prepared(Err(broken())), async move {
            free.cancelled().await;
            let prepared = within(parts.api.prepare(&spec)).await;
            if let Ok(prepared) = &prepared {
                write_down(&parts, &prepared.handle).await;
            }
            Called::Prepared(prepared)
        });
    }

    /// Has a show sent to its first destinations.
    pub(super) fn start(
        &mut self,
        parts: &HostedParts,
        handle: Option<Handle>,
        targets: Vec<HostedTarget>,
    ) {
        let Some(mut handle) = handle else { return };
        let parts = parts.clone();
        let broken = Called::Started(handle.clone(), Err(broken()));
        self.call(broken, async move {
            let before = handle.clone();
            let started = within(parts.api.start(&mut handle, &targets)).await;
            if handle != before {
                write_down(&parts, &handle).await;
            }
            Called::Started(handle, started)
        });
    }

    /// Has a show sent to other destinations.
    pub(super) fn update(
        &mut self,
        parts: &HostedParts,
        handle: Option<Handle>,
        targets: Vec<HostedTarget>,
    ) {
        let Some(mut handle) = handle else { return };
        let parts = parts.clone();
        let broken = Called::Updated(handle.clone(), Err(broken()));
        self.call(broken, async move {
            let before = handle.clone();
            let updated = within(parts.api.update(&mut handle, &targets)).await;
            if handle != before {
                write_down(&parts, &handle).await;
            }
            Called::Updated(handle, updated)
        });
    }

    /// Asks how the show is.
    pub(super) fn status(&mut self, parts: &HostedParts, handle: Option<Handle>) {
        let Some(handle) = handle else { return };
        let parts = parts.clone();
        self.call(Called::Status(Err(broken())), async move {
            Called::Status(within(parts.api.status(&handle)).await)
        });
    }

    /// Has everything removed that was made.
    pub(super) fn stop(&mut self, parts: &HostedParts, handle: Option<Handle>) {
        let parts = parts.clone();
        self.call(Called::Stopped(Err(broken())), async move {
            let Some(handle) = handle else {
                return Called::Stopped(Ok(()));
            };
            let stopped = within(parts.api.stop(&handle)).await;
            let is_gone = matches!(stopped, Ok(()) | Err(ProviderError::NotFound(_)));
            if is_gone && let Err(error) = parts.store.remove(parts.api.provider(), &handle).await {
                tracing::warn!(%error, "a handle was not forgotten");
            }
            Called::Stopped(stopped)
        });
    }

    /// A call takes the place of the one before it, which is a question for the status.
    fn call(&mut self, broken: Called, call: impl Future<Output = Called> + Send + 'static) {
        drop(mem::take(&mut self.task));
        self.broken = Some(broken);
        self.task.spawn(call);
    }
}

impl Answer {
    /// Why it is not what was asked for.
    pub(super) const fn error(&self) -> Option<&ProviderError> {
        match self {
            Self::Prepared(Err(error))
            | Self::Started(Err(error))
            | Self::Updated(Err(error))
            | Self::Status(Err(error))
            | Self::Stopped(Err(error)) => Some(error),
            Self::Prepared(Ok(()))
            | Self::Started(Ok(()))
            | Self::Updated(Ok(()))
            | Self::Status(Ok(_))
            | Self::Stopped(Ok(())) => None,
        }
    }
}

pub(super) async fn within<T>(
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    let answer = timeout(CALL_LIMIT, call).await;
    answer.unwrap_or(Err(ProviderError::Timeout(Stage::Answer)))
}

/// Without it the reaper still finds what was made by its name, so a full disk does not keep a show from going on.
async fn write_down(parts: &HostedParts, handle: &Handle) {
    if let Err(error) = parts.store.put(parts.api.provider(), handle).await {
        tracing::error!(%error, "what was made at the provider was not written down");
    }
}

fn broken() -> ProviderError {
    ProviderError::Protocol("the call broke inside the gateway".to_owned())
}
