//! Names that we choose at Daily, so that the same thing has the same name however often it is asked for.

use broadcast::{Endpoint, StreamKey};
use sha2::{Digest as _, Sha256};

use crate::hosted::address::server_url;

/// The `instanceId` of a room's live stream.
///
/// Starting it twice is starting it once. Daily gives each room an id of its own, so that a broadcast's next room has other
/// instances; `attempt` counts the live streams that were stopped while the room stayed.
pub(super) fn instance(room_id: &str, attempt: u32) -> String {
    let mut bytes = digest(&[room_id.as_bytes(), &attempt.to_be_bytes()]);
    // Of version 5, although the hash is another one: older checks of UUIDs know none above it.
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = hex(&bytes[..16]);
    for dash in [20, 16, 12, 8] {
        text.insert(dash, '-');
    }
    text
}

/// A destination's whole address, with its key at the end, as RTMP players and Daily have it.
pub(super) fn whole_url(endpoint: &Endpoint) -> StreamKey {
    StreamKey::new(format!(
        "{}/{}",
        server_url(endpoint).expose(),
        endpoint.stream_key().expose()
    ))
}

/// The name of a destination among a room's streaming endpoints.
///
/// Another address or key is another name, and the same is the same, whichever destination has it: so one key is never
/// published to twice. It shows 32 bits of a hash, which is too little to find the key by.
pub(super) fn endpoint_name(room_id: &str, endpoint: &Endpoint) -> String {
    let bytes = digest(&[
        room_id.as_bytes(),
        server_url(endpoint).expose().as_bytes(),
        endpoint.stream_key().expose().as_bytes(),
    ]);
    format!("destination-{}", hex(&bytes[..4]))
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "d61cd7b2-a273-42b4-89bd-be763fd562c1";

    #[test]
    fn an_instance_is_a_uuid_of_the_usual_kind() {
        let instance = instance(ROOM, 0);

        let lengths: Vec<_> = instance.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&instance[14..15], "5");
        assert!(matches!(&instance[19..20], "8" | "9" | "a" | "b"));
    }

    #[test]
    fn an_instance_is_the_same_until_its_stream_is_stopped_or_its_room_is_another() {
        assert_eq!(instance(ROOM, 0), instance(ROOM, 0));
        assert_ne!(instance(ROOM, 0), instance(ROOM, 1));
        assert_ne!(instance(ROOM, 0), instance("another", 0));
    }

    #[test]
    fn a_name_belongs_to_one_address_and_key() {
        let endpoint = |key| Endpoint::parse("rtmps://host/live", Some(key)).unwrap();

        let name = endpoint_name(ROOM, &endpoint("SECRET"));

        assert_eq!(name, endpoint_name(ROOM, &endpoint("SECRET")));
        assert_ne!(name, endpoint_name(ROOM, &endpoint("OTHER")));
        assert_ne!(name, endpoint_name("another", &endpoint("SECRET")));
        assert!(!name.contains("SECRET"));
    }

    #[test]
    fn the_whole_address_keeps_the_key_byte_for_byte() {
        let endpoint = Endpoint::parse("rtmps://host/rtmp", Some("FB-1?s_bl=1&a=b%20c")).unwrap();

        assert_eq!(
            whole_url(&endpoint).expose(),
            "rtmps://host:443/rtmp/FB-1?s_bl=1&a=b%20c"
        );
    }
}
