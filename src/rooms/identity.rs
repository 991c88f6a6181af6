//! The names of what is in a room.

use std::fmt;

use serde::Serialize;

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a name as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

identity! {
    /// Somebody in a room: what clients call peer, participant or user. Chosen by the client or its token; 1 to 128 bytes.
    ParticipantId
}
identity! {
    /// A connection of a participant's. Unguessable: who knows it may use it.
    TransportId
}
identity! {
    /// A track that somebody sends. Unguessable.
    ProducerId
}
identity! {
    /// A track that somebody receives. Unguessable.
    ConsumerId
}
