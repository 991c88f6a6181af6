//! Why something does not happen in a room.

/// Why something does not happen. Each dialect has its own words for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// There is no token and one is needed, or it is not good.
    #[error("authentication failed: {0}")]
    Unauthenticated(String),
    /// The token does not allow it.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The order breaks a rule, in words.
    #[error("{0}")]
    Malformed(String),
    /// There is no such room.
    #[error("the room was not found")]
    NoSuchRoom,
    /// Another node has the room, which goes by this URL.
    #[error("the room is on another node: {0}")]
    Elsewhere(String),
    /// Nobody can tell at the moment which node has the room, in words.
    #[error("the room is not available: {0}")]
    Unavailable(String),
    /// There is another room of this name.
    #[error("the room exists already")]
    RoomExists,
    /// There is somebody of this name, who is connected, and it is not the same person.
    #[error("somebody of this name is in the room")]
    NameTaken,
    /// Whoever asks is not in the room any more.
    #[error("not in the room")]
    NotJoined,
    /// There is no such transport, or it is somebody else's.
    #[error("the transport was not found")]
    NoSuchTransport,
    /// There is no such producer.
    #[error("the producer was not found")]
    NoSuchProducer,
    /// There is no such consumer, or it is somebody else's.
    #[error("the consumer was not found")]
    NoSuchConsumer,
    /// There is no transport for it.
    #[error("there is no transport for it")]
    NoTransport,
    /// The transport has failed.
    #[error("the transport has failed")]
    TransportFailed,
    /// The transport is connected already, with another certificate.
    #[error("the transport is connected already")]
    AlreadyConnected,
    /// Its codecs or encodings are not supported, in words.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The receiver cannot take it.
    #[error("the receiver's capabilities do not fit")]
    CannotConsume,
    /// A limit is reached, named in words with its number.
    #[error("the limit is reached: {0}")]
    LimitReached(String),
    /// This node takes nothing new, in words.
    #[error("this node is full: {0}")]
    NodeFull(String),
    /// The programme cannot go out, in words.
    #[error("it cannot go out: {0}")]
    Egress(String),
    /// It takes too long.
    #[error("it takes too long")]
    Timeout,
    /// We are broken.
    #[error("the gateway failed")]
    Internal,
}
