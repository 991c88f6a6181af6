//! What a room wants done.

use crate::{ConsumerId, ProducerId, RoomEvent, TransportId};

/// A participant's connection to a room. Whoever comes again gets another one; the old one is good for nothing then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub(crate) u64);

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell whoever has this place.
    Tell(Place, RoomEvent),
    /// Nobody has this place any more. With a reason it is told as [`RoomEvent::Closed`] before.
    Dismiss(Place, Option<String>),
    /// End this transport and what is on it.
    CloseTransport(TransportId),
    /// End this track.
    CloseProducer(TransportId, ProducerId),
    /// End receiving.
    CloseConsumer(TransportId, ConsumerId),
}
