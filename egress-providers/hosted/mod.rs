//! Providers on other machines: what each of them must do, and what all of them have in common.

pub(crate) mod address;
pub(crate) mod age;
mod api;
mod breaker;
mod budget;
mod contribution;
mod error;
mod handles;
pub(crate) mod hex;
#[expect(clippy::module_inception, reason = "the type that the folder is for")]
mod hosted;
mod http;
mod identity;
mod invitation;
mod machine;
mod meter;
mod observer;
pub(crate) mod outputs;
mod push;
mod reaper;
pub(crate) mod secret;
mod session;
mod view;

pub use api::{
    Contribution, ContributionState, EgressSpec, EgressStatus, Handle, HostedApi, HostedTarget,
    Prepared, SidecarOrder, TargetState, TargetStatus, WebhookError, WebhookEvent, WebhookHeaders,
    WhipOrder,
};
pub use breaker::BreakerState;
pub use budget::{Budget, Cost, LocalBudget, Rate, Rates};
pub use contribution::{Contribute, ContributionOrder};
pub use error::{ProviderError, Stage};
pub use handles::{DirectoryHandles, HandleStore, HandleStoreError, MemoryHandles};
pub use hosted::{Hosted, HostedParts};
pub use http::{
    Answer, ApiClient, ApiLimits, ApiSettings, ApiSetupError, Authorization, Operation, Refusal,
    Refusals, Request, Surroundings, harmless,
};
pub use identity::{Owner, OwnerError, TargetId};
pub use invitation::Invitation;
pub use machine::GOODBYE_LIMIT;
pub use observer::{Observer, RequestOutcome, Unobserved};
pub use push::Push;
pub use reaper::Reaped;
pub use view::{Brought, DirectJoin, SessionState, SessionView};
