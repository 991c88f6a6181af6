//! Providers on other machines: what each of them must do, and what all of them have in common.

mod api;
mod error;
mod identity;

pub use api::{
    Contribution, ContributionState, EgressSpec, EgressStatus, Handle, HostedApi, HostedTarget,
    Prepared, SidecarOrder, TargetState, TargetStatus, WebhookError, WebhookEvent, WebhookHeaders,
    WhipOrder,
};
pub use error::{ProviderError, Stage};
pub use identity::{Owner, OwnerError, TargetId};
