//! The events of `MediaSoup` SFU, and what its server said of errors.

use ::rooms::RoomError;

/// All that a client may send.
pub(crate) const EVENTS: [&str; 20] = [
    "getRouterRtpCapabilities",
    "joinRoom",
    "createWebRtcTransport",
    "connectTransport",
    "produce",
    "consume",
    "getProducers",
    "pauseProducer",
    "resumeProducer",
    "closeProducer",
    "pauseConsumer",
    "resumeConsumer",
    "closeConsumer",
    "setPreferredLayers",
    "getTransportState",
    "getConsumerStats",
    "restartIce",
    "leaveRoom",
    "enableActiveSpeakerDetection",
    "reportAudioLevel",
];

/// The words of an error.
pub(super) fn error(event: &str, error: &RoomError) -> &'static str {
    match (event, error) {
        ("getRouterRtpCapabilities", _) => "Failed to get router RTP capabilities",
        ("joinRoom", RoomError::NameTaken | RoomError::LimitReached(_)) => {
            "Failed to add peer to room"
        }
        ("joinRoom", _) => "Failed to join room",
        ("createWebRtcTransport" | "getProducers", RoomError::NotJoined) => "Not in a room",
        ("createWebRtcTransport", RoomError::NoSuchRoom) => "Room not found",
        ("createWebRtcTransport", RoomError::LimitReached(_)) => "Failed to add transport to peer",
        ("createWebRtcTransport", _) => "Failed to create WebRTC transport",
        ("produce", _) => "Failed to produce",
        (_, RoomError::NotJoined) => "Peer not found",
        ("consume", RoomError::NoSuchTransport) => "Specified transport not found",
        ("consume", RoomError::NoTransport) => "No transport available for consuming",
        ("consume", RoomError::TransportFailed) => "Transport failed",
        ("consume", RoomError::CannotConsume) => {
            "Cannot consume producer - RTP capabilities mismatch"
        }
        (_, RoomError::NoSuchTransport) => "Transport not found",
        (_, RoomError::NoSuchProducer) => "Producer not found",
        (_, RoomError::NoSuchConsumer) => "Consumer not found",
        ("connectTransport", _) => "Failed to connect transport",
        ("consume", _) => "Failed to consume",
        (_, _) => "Request failed",
    }
}
