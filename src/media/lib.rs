//! Media in motion: packets in, access units out, and the fan-out between them. No I/O, no clock, no tasks.

mod access_unit;
mod fanout;
mod packet;
mod ring;
mod sink;
mod stand_in;

pub use access_unit::{AccessUnit, AudioConfig, CodecConfig, TrackKind, VideoConfig};
pub use fanout::{Batch, Fanout, Reader, Retention, Subscriber, Unread};
pub use packet::{RtpPacket, SenderReport};
pub use sink::{MediaSink, SourceDescription, VideoCodec};
pub use stand_in::{StandIn, StandInPicture};
