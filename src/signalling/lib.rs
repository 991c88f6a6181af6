//! The dialects by which studios talk to the gateway: WHIP (RFC 9725).
//! Each turns its own words into a small set of commands; none knows how media moves or who may do what.

mod bearer;
mod entity_tag;
mod fragment;
mod ice_server;
mod origins;
mod problem;
pub mod whip;

pub use bearer::{Bearer, BearerError};
pub use fragment::{Fragment, FragmentError};
pub use ice_server::IceServer;
pub use origins::Origins;
pub use problem::Problem;
