//! The dialect of `MediaSoup` SFU: camelCase events with answers, by room and peer.

mod dialect;
mod statistics;
mod words;

pub(crate) use dialect::Sfu;
pub(crate) use words::EVENTS;
