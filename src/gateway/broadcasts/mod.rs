//! The broadcasts of this process: a task for each, which only its handle can reach.

mod carriers;
mod choices;
mod composite;
mod handle;
mod hosting;
mod journey;
mod keeper;
mod lookout;
mod method;
mod path;
mod plain;
mod registry;
mod renditions;
mod room;
mod runner;
mod seat;
mod snapshot;
mod stand_in;
mod studio;
mod supervisor;
mod thumbnails;
mod view;
mod vigil;
mod watching;

pub(crate) use composite::{CompositeOrder, ROOM_PROTOCOL};
pub use handle::{BroadcastHandle, CommandError, Gone, PublishError, Published, StudioIdentity};
pub use path::PathSettings;
pub(crate) use plain::{PlainRtpError, RtpEgress, RtpEgressOrder, RtpIngest};
pub use registry::{Broadcasts, CreateError, Created, Surroundings};
pub use snapshot::{
    AlarmSnapshot, DatedChange, DestinationSnapshot, EgressSnapshot, Expense, HostedSnapshot,
    IngestAudio, IngestSnapshot, IngestVideo, LineSnapshot, SessionSnapshot, SlateSnapshot,
    Snapshot,
};
