//! Rooms and ICE servers in the words of several trees at once.

use rooms::{ParticipantView, RoomView};
use serde_json::{Map, Value, json};

use super::time::iso;
use crate::IceServer;

/// A line of the camelCase SFU's list.
pub(super) fn line(room: &RoomView) -> Value {
    json!({
        "roomId": room.room.as_str(),
        "peerCount": room.participants.len(),
        "created": iso(room.created),
    })
}

/// A room in the words of the camelCase SFU and of nself-chat. A room has one router, which goes by the room's name.
pub(super) fn room(room: &RoomView) -> Value {
    let count = room.participants.len();
    let peers: Vec<Value> = room.participants.iter().map(peer).collect();
    json!({
        "roomId": room.room.as_str(),
        "routerId": room.room.as_str(),
        "created": iso(room.created),
        "peersCount": count,
        "peerCount": count,
        "participantCount": count,
        "peers": peers,
        "rtpCapabilities": room.capabilities,
    })
}

fn peer(participant: &ParticipantView) -> Value {
    json!({
        "id": participant.id.as_str(),
        "displayName": participant.display_name,
        "joined": true,
        "joinedAt": iso(participant.joined),
        "producersCount": participant.producers,
        "consumersCount": participant.consumers,
    })
}

/// A room as `MeetLite`'s statistics tell it.
pub(super) fn statistics(room: &RoomView) -> Value {
    let participants: Vec<Value> = room
        .participants
        .iter()
        .map(|participant| {
            json!({
                "id": participant.id.as_str(),
                "producers": participant.producers,
                "consumers": { "totalConsumers": participant.consumers },
            })
        })
        .collect();
    json!({
        "roomId": room.room.as_str(),
        "participantCount": room.participants.len(),
        "totalProducers": room.producers.len(),
        "totalConsumers": consumers(room),
        "participants": participants,
    })
}

/// How many tracks are received in a room.
pub(super) fn consumers(room: &RoomView) -> usize {
    room.participants
        .iter()
        .map(|participant| participant.consumers)
        .sum()
}

/// ICE servers as `RTCPeerConnection` takes them.
pub(crate) fn ice_servers(servers: &[IceServer]) -> Vec<Value> {
    servers
        .iter()
        .map(|server| with_credentials(server, json!(server.urls)))
        .collect()
}

/// ICE servers with one URL each, as nself-chat has them.
pub(super) fn single_ice_servers(servers: &[IceServer]) -> Vec<Value> {
    servers
        .iter()
        .flat_map(|server| {
            server
                .urls
                .iter()
                .map(|url| with_credentials(server, json!(url)))
        })
        .collect()
}

fn with_credentials(server: &IceServer, urls: Value) -> Value {
    let mut entry = Map::from_iter([("urls".to_owned(), urls)]);
    for (name, value) in [
        ("username", &server.username),
        ("credential", &server.credential),
    ] {
        if let Some(value) = value {
            entry.insert(name.to_owned(), json!(value));
        }
    }
    entry.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nself_gets_each_url_with_the_credentials_of_its_server() {
        let servers = [
            IceServer {
                urls: vec!["stun:a".to_owned()],
                username: None,
                credential: None,
            },
            IceServer {
                urls: vec!["turn:b".to_owned(), "turns:b".to_owned()],
                username: Some("ann".to_owned()),
                credential: Some("pass".to_owned()),
            },
        ];

        let turn = |url: &str| json!({ "urls": url, "username": "ann", "credential": "pass" });
        assert_eq!(
            single_ice_servers(&servers),
            [json!({ "urls": "stun:a" }), turn("turn:b"), turn("turns:b")]
        );
        assert_eq!(
            ice_servers(&servers)[1],
            json!({ "urls": ["turn:b", "turns:b"], "username": "ann", "credential": "pass" })
        );
    }
}
