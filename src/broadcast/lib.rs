//! What a broadcast is: identities, destinations, secrets, failures, and the machine that runs them.
//! No I/O, no clock, no tasks.

mod alarms;
mod destination;
mod endpoint;
mod event;
mod failure;
mod governor;
mod identity;
mod line;
mod machine;
mod provider;
mod rendition;
mod retry;
mod secret;
mod slate;
mod spec;

pub use alarms::{
    ALARM_PAUSE, ActiveAlarm, Alarm, AlarmChange, Alarms, Look, Measurement, PacketCounts,
};
pub use destination::{Destination, LineName};
pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use event::{BroadcastState, Cause, Change, DestinationEvent, Effect};
pub use failure::{Failure, Fault, Reason, Retry};
pub use governor::{
    AUDIO_ALLOWANCE, Governor, GovernorInput, LimitChange, RequiredFlow, VIDEO_FLOOR,
};
pub use identity::{BroadcastId, DestinationId, IdentityError};
pub use line::{Attempt, DestinationState, Line};
pub use machine::{Machine, STUDIO_GRACE};
pub use provider::Provider;
pub use rendition::{Rendition, RenditionError};
pub use secret::StreamKey;
pub use slate::{SlateSpec, SlateSpecError};
pub use spec::{
    AfterCut, BackupMode, BroadcastChange, BroadcastSpec, DESTINATIONS_LIMIT, DestinationChange,
    DestinationSpec, Method, Platform, SpecError, VideoSpec,
};
