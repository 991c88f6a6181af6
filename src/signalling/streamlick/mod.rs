//! The dialect of Streamlick: kebab-case events with answers, by the name of a broadcast; the programme goes out by
//! `start-rtmp`.

mod destinations;
mod dialect;

pub(crate) use dialect::Streamlick;
