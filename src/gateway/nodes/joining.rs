//! How a node joins the others: it waits for a registry that does not answer yet, and for its own name.

use std::{future::Future, sync::Arc, time::Duration};

use fleet::{LedgerError, RedisRegistry, RegistryError, Times};
use pipelines::Permit;
use tokio::time::sleep;

use super::{Membership, Profile};
use crate::{admission::Admission, clock::now, config::FleetConfig};

/// How long a node waits for a registry that does not answer: longer than a Redis takes to start.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(30);

/// How long it waits for its name: a process of this name that was killed is remembered for 3 s.
const NAME_PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Why this node is not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The registry cannot be used, does not answer, or refuses this node.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The other nodes could not be asked for anything.
    #[error("cannot make HTTP requests: {0}")]
    Http(#[from] reqwest::Error),
}

impl JoinError {
    /// Whether another configuration is needed: trying again does not help.
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Registry(error) if !matches!(error, RegistryError::Unavailable(_)))
    }
}

/// Joins the fleet that the configuration names.
///
/// # Errors
/// When the registry cannot be used, does not answer for half a minute, or another node of this name lives.
pub(crate) async fn join(
    config: &FleetConfig,
    profile: &Profile,
    admission: &Admission,
) -> Result<Membership, JoinError> {
    patiently(|| async {
        let times = Times::default();
        let registry = RedisRegistry::connect(config.registry.expose(), times).await?;
        let permit = Permit::to_be_renewed(now());
        let (profile, admission) = (profile.clone(), admission.clone());
        Membership::join(Arc::new(registry), profile, admission, permit).await
    })
    .await
}

/// Tries again what may yet succeed.
async fn patiently<F: Future<Output = Result<Membership, JoinError>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<Membership, JoinError> {
    let begun = now();
    loop {
        let error = match attempt().await {
            Ok(membership) => return Ok(membership),
            Err(error) => error,
        };
        let patience = match &error {
            JoinError::Registry(RegistryError::Unavailable(_)) => REGISTRY_PATIENCE,
            JoinError::Registry(RegistryError::Ledger(LedgerError::NameTaken(_))) => NAME_PATIENCE,
            JoinError::Registry(_) | JoinError::Http(_) => Duration::ZERO,
        };
        if now() + PAUSE > begun + patience {
            return Err(error);
        }
        tracing::warn!(%error, "this node cannot join yet");
        sleep(PAUSE).await;
    }
}
