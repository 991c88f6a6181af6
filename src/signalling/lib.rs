//! The dialects by which studios and viewers talk to the gateway: WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep).
//! Each turns its own words into a small set of commands; none knows how media moves or who may do what.

mod bearer;
mod entity_tag;
mod exchange;
mod fragment;
mod hermes;
mod ice_server;
mod meetlite;
mod meetlite2;
mod nself;
mod origins;
mod problem;
pub mod rest;
pub mod rooms;
mod sfu;
pub mod socketio;
#[cfg(test)]
mod stand_in;
mod streamlick;
pub mod whep;
pub mod whip;

pub use bearer::{Bearer, BearerError};
pub use exchange::{
    BODY_LIMIT_BYTES, BODY_PATIENCE, DialectSettings, IceRestart, IceSession, IceSessions,
    NewSession, SessionAccess, SignallingError,
};
pub use fragment::{Fragment, FragmentError};
pub use ice_server::IceServer;
pub use origins::Origins;
pub use problem::{Moved, Problem, ProblemCode};
