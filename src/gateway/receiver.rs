//! The built-in RTMP receiver as the rest of the gateway sees it.

use std::{io, net::SocketAddr};

use pipelines::rtmp::receiver::{FlvStream, Receiver, ReceiverHandle, StreamId, StreamReport};

/// The application that the receiver is shown with; it takes any.
const APPLICATION: &str = "live";

/// A running receiver's address and state. Cloning shares it.
#[derive(Debug, Clone)]
pub struct LocalReceiver {
    handle: ReceiverHandle,
    address: SocketAddr,
    rtmp_url: String,
}

impl LocalReceiver {
    /// Starts a receiver, whose owner keeps it, and what others may see of it.
    pub async fn start(address: SocketAddr) -> io::Result<(Receiver, Self)> {
        let receiver = Receiver::bind(address).await?;
        let address = receiver.local_address();
        let view = Self {
            handle: receiver.handle(),
            address,
            rtmp_url: format!("rtmp://{address}/{APPLICATION}"),
        };
        Ok((receiver, view))
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// It as a destination, without a key.
    pub fn rtmp_url(&self) -> &str {
        &self.rtmp_url
    }

    /// All publishes that are remembered, the oldest first. They hold keys.
    pub fn streams(&self) -> Vec<StreamReport> {
        self.handle.streams()
    }

    /// The live bytes of a stream for an FLV player.
    pub fn flv(&self, stream: StreamId) -> Option<FlvStream> {
        self.handle.flv(stream)
    }
}
