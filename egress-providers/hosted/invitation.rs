//! A studio that goes to a provider itself may come before there is any destination: what it goes to is made ahead of them.

use std::time::Duration;

use broadcast::BroadcastId;
use tokio::time::Instant;

use super::{
    Contribution, DirectJoin, EgressSpec, Handle, Hosted, ProviderError, hosted::Shared, reaper,
};
use crate::ContributionKind;

/// How long what was made for a studio is kept without a destination. Whoever prepares a show for longer asks again.
const INVITATION: Duration = Duration::from_hours(1);

/// How many broadcasts may have been invited at a time: each is a room at a provider, which somebody may pay for.
pub(super) const INVITATIONS_LIMIT: usize = 1_000;

/// What a studio is invited to.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Where to, and with which token.
    pub join: DirectJoin,
    /// The provider's names of it, as a handle remembers them.
    pub handle: Handle,
}

impl Hosted {
    /// Makes what a broadcast's studio goes to, or finds it, also when a session goes there already. Nothing is sent from there
    /// yet, and it stays for an hour without a destination.
    ///
    /// Fails where studios do not go themselves.
    pub async fn invite(&self, broadcast: &BroadcastId) -> Result<Invitation, ProviderError> {
        if self.capabilities().contribution != ContributionKind::Direct {
            return Err(not_direct());
        }
        let shared = self.shared();
        let busy = || ProviderError::Unavailable {
            message: "this broadcast is being begun or ended there".to_owned(),
            retry_after: Some(Duration::from_secs(1)),
        };
        if !shared.keep(broadcast.as_str(), Instant::now() + INVITATION) {
            let words = format!("{INVITATIONS_LIMIT} broadcasts are being prepared");
            return Err(ProviderError::Quota(words));
        }
        // A session of the same broadcast waits until this is done, and then finds what was made.
        let Some(_alone) = shared.begin_reaping(broadcast.as_str()) else {
            return self.find_invitation(broadcast).await.ok_or_else(busy);
        };
        let invited = make(shared, broadcast).await;
        if invited.is_err() {
            shared.keep_no_more(broadcast.as_str());
        }
        invited
    }

    async fn find_invitation(&self, broadcast: &BroadcastId) -> Option<Invitation> {
        let join = self.view(broadcast)?.join?;
        let parts = &self.shared().parts;
        let written = parts.store.list(parts.api.provider()).await.ok()?;
        let handle = written.into_iter().find(|handle| {
            handle.broadcast == broadcast.as_str() && handle.owner == parts.owner.as_str()
        })?;
        Some(Invitation { join, handle })
    }

    /// Removes what was made for a studio, unless a session uses it.
    pub async fn uninvite(&self, broadcast: &BroadcastId) {
        let shared = self.shared();
        shared.keep_no_more(broadcast.as_str());
        reaper::remove_written(shared, broadcast.as_str()).await;
    }
}

async fn make(shared: &Shared, broadcast: &BroadcastId) -> Result<Invitation, ProviderError> {
    let parts = &shared.parts;
    let spec = EgressSpec {
        broadcast: broadcast.clone(),
        owner: parts.owner.clone(),
        targets: Vec::new(),
    };
    let prepared = parts.api.prepare(&spec).await?;
    let handle = prepared.handle;
    // If this fails it is found by its name.
    if let Err(error) = parts.store.put(parts.api.provider(), &handle).await {
        tracing::warn!(%error, "a handle was not written down");
    }
    let Contribution::Direct { url, token } = prepared.contribution else {
        return Err(not_direct());
    };
    let join = DirectJoin { url, token };
    Ok(Invitation { join, handle })
}

fn not_direct() -> ProviderError {
    let words = "the show is brought there by this gateway, and not by the studio";
    ProviderError::Invalid(words.to_owned())
}
