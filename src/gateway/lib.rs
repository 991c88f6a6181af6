//! The gateway: one process that takes studios in by WHIP and sends them on to their destinations.
//! It alone knows every other crate, reads the configuration, and speaks HTTP.

mod broadcasts;
mod clock;
mod gateway;
mod http;
mod metrics;
mod nodes;
mod pacer;
mod receiver;
mod slates;
mod system;
mod whip_client;

pub mod admission;
pub mod auth;
pub mod config;
pub mod demo;
pub mod guard;
pub mod ice_servers;
pub mod logging;
pub mod providers;
pub mod publish;
pub mod rooms;
pub mod whep;
pub mod whip;
pub mod whip_out;

pub use broadcasts::{
    AlarmSnapshot, BroadcastHandle, Broadcasts, CommandError, CreateError, Created, DatedChange,
    DestinationSnapshot, EgressSnapshot, Expense, Gone, HostedSnapshot, IngestAudio,
    IngestSnapshot, IngestVideo, LineSnapshot, PathSettings, PublishError, Published,
    SessionSnapshot, SlateSnapshot, Snapshot, StudioIdentity, Surroundings,
};
pub use gateway::{Gateway, StartError};
pub use http::openapi_json;
pub use metrics::{EgressTotals, Metrics};
pub use nodes::JoinError;
pub use receiver::LocalReceiver;
pub use slates::{Slate, SlateDescription, SlatePicture, Slates, UploadError, UploadKind};
