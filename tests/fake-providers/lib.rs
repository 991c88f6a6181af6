//! Hosted providers that are not there: small servers with the state, the quirks and, by script, the faults of the real ones.

pub mod cloudflare;
pub mod daily;
mod faults;
pub mod golden;
mod line;
pub mod livekit;
mod media;
pub mod mux;
mod record;
pub mod restream;
mod server;
mod webhooks;

pub use faults::{Action, Fault, Faults};
pub use media::{Ingest, Media, NoMedia, OutputState};
pub use record::{Recorded, Records};
pub use server::{FakeSettings, Operations, Server};
pub use webhooks::{Delivery, Webhooks};
