//! What a broadcast is: identities, destinations, secrets, failures. No I/O, no clock, no tasks.

mod endpoint;
mod failure;
mod identity;
mod secret;

pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use failure::{Failure, Fault, Reason, Retry};
pub use identity::{BroadcastId, DestinationId, IdentityError};
pub use secret::StreamKey;
