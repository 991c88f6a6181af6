//! Who is in a room, what they send, and who receives what. Pure: no I/O, no clock, no tasks; time is an argument.

mod error;
mod event;
mod identity;
mod order;
mod view;

pub use error::RoomError;
pub use event::RoomEvent;
pub use identity::{ConsumerId, ParticipantId, ProducerId, TransportId};
pub use order::{
    ConsumeOrder, Direction, EgressOrder, JoinOrder, Layers, ProduceOrder, RoomDestination,
};
pub use view::{
    ConsumerStatistics, ConsumerView, EgressView, ParticipantView, ProducerView, RoomView,
    TransportState, TransportStates, TransportView,
};
