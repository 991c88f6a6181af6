//! One attempt to bring a session's show to its provider.

use std::time::Duration;

use broadcast::{Failure, Reason};
use pipelines::Permit;
use tokio::time::sleep;

use super::{calls::within, now};
use crate::hosted::{Contribution, ContributionOrder, Handle, HostedParts, ProviderError};

/// How long a contribution may take to say goodbye before it is cut.
const FAREWELL_LIMIT: Duration = Duration::from_secs(3);

/// How often it is asked whether anything may still be sent, for contributions that do not ask themselves.
const PERMIT_POLL: Duration = Duration::from_millis(250);

/// What has come of an attempt.
#[derive(Debug)]
pub(super) struct Carried {
    /// The way in from now on, if the attempt had a new one made.
    pub(super) renewed: Option<Contribution>,
    pub(super) result: Result<(), ProviderError>,
}

impl Carried {
    /// The attempt's task broke.
    pub(super) fn broken() -> Self {
        let failure = Failure::new(Reason::EngineFailed, "it broke inside the gateway");
        Self {
            renewed: None,
            result: Err(ProviderError::Contribution(failure)),
        }
    }
}

/// Brings the show there, by a new way in to what `renew` names, if it does.
pub(super) async fn carry(
    parts: HostedParts,
    permit: Permit,
    renew: Option<Handle>,
    mut order: ContributionOrder,
) -> Carried {
    let mut renewed = None;
    let stop = order.stop.clone();
    if let Some(handle) = renew {
        let made = tokio::select! {
            biased;
            // A token that nobody uses is no harm.
            () = stop.cancelled() => return Carried { renewed, result: Ok(()) },
            made = within(parts.api.renew(&handle)) => made,
        };
        match made.and_then(|made| made.ok_or(ProviderError::Auth)) {
            Ok(made) => order.contribution = made,
            Err(error) => {
                return Carried {
                    renewed,
                    result: Err(error),
                };
            }
        }
        renewed = Some(order.contribution.clone());
    }
    let cut = async {
        stop.cancelled().await;
        sleep(FAREWELL_LIMIT).await;
    };
    let result = tokio::select! {
        result = parts.contribute.carry(order) => result,
        failure = forbidden(permit) => Err(ProviderError::Contribution(failure)),
        () = cut => Ok(()),
    };
    Carried { renewed, result }
}

/// Waits until nothing may be sent any more.
async fn forbidden(permit: Permit) -> Failure {
    loop {
        if let Err(failure) = permit.check(now()) {
            return failure;
        }
        sleep(PERMIT_POLL).await;
    }
}
