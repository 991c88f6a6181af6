//! Who is in a room, what they send, and who receives what. Pure: no I/O, no clock, no tasks; time is an argument.

mod canonical;
mod effect;
mod error;
mod event;
mod identity;
mod limits;
mod order;
mod participant;
mod room;
mod speaker;
mod track;
mod transport;
mod view;

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod room_tests;

pub use effect::{Effect, Place};
pub use error::RoomError;
pub use event::RoomEvent;
pub use identity::{ConsumerId, ParticipantId, ProducerId, TransportId};
pub use limits::{
    APPLICATION_BYTES_LIMIT, CONSUMERS_LIMIT, DISPLAY_NAME_BYTES_LIMIT, EMPTY_ROOM_PATIENCE,
    PARTICIPANT_NAME_BYTES_LIMIT, PARTICIPANTS_LIMIT, PRODUCERS_LIMIT, RECONNECT_PATIENCE,
    RoomLimits, TRANSPORTS_LIMIT,
};
pub use order::{
    ConsumeOrder, Direction, EgressOrder, JoinOrder, Layers, ProduceOrder, RoomDestination,
};
pub use participant::Arrival;
pub use room::{NewRoom, Room, RoomFigures};
pub use speaker::Speakers;
pub use track::{ConsumePlan, ConsumerFacts, NewConsumer, NewProducer};
pub use view::{
    ConsumerStatistics, ConsumerView, EgressView, ParticipantView, ProducerView, RoomView,
    TransportState, TransportStates, TransportView,
};
