//! Who can carry broadcasts from this node: our own publisher, and the hosted providers that are configured.

mod deliveries;
mod health;
mod owner;
mod reaper;
mod set;
mod setup;

pub(crate) use deliveries::Deliveries;
pub(crate) use health::Health;
pub(crate) use reaper::reap;
pub(crate) use set::Hosting;
pub use set::Providers;
pub(crate) use setup::Outfit;
pub use setup::ProviderSetupError;
