//! The destinations of `start-rtmp`.

use ::rooms::{EgressOrder, ProducerId, RoomDestination, RoomError};
use broadcast::{
    AfterCut, BackupMode, DESTINATIONS_LIMIT, DestinationId, DestinationSpec, Endpoint, Platform,
};
use serde_json::Value;

use crate::socketio::Payload;

/// Reads `destinations` and `compositeProducers`. No error holds an address or a key.
pub(super) fn read(payload: &Payload) -> Result<EgressOrder, RoomError> {
    let destinations = payload.field("destinations").as_array();
    let destinations = destinations.map_or(&[][..], Vec::as_slice);
    if destinations.is_empty() {
        return Err(egress("at least one destination is required"));
    }
    if destinations.len() > DESTINATIONS_LIMIT {
        return Err(egress(format!(
            "there may be {DESTINATIONS_LIMIT} destinations"
        )));
    }
    let mut read: Vec<RoomDestination> = Vec::with_capacity(destinations.len());
    for (index, entry) in destinations.iter().enumerate() {
        let taken = |id: &DestinationId| read.iter().any(|other| other.spec.id == *id);
        let destination = destination(index, entry, taken)?;
        read.push(destination);
    }
    let producers = payload.field("compositeProducers");
    let producer = |name: &str| {
        let id = producers.get(name).and_then(Value::as_str);
        id.filter(|id| !id.is_empty()).map(ProducerId::new)
    };
    Ok(EgressOrder {
        destinations: read,
        video: producer("videoProducerId"),
        audio: producer("audioProducerId"),
    })
}

fn destination(
    index: usize,
    entry: &Value,
    taken: impl Fn(&DestinationId) -> bool,
) -> Result<RoomDestination, RoomError> {
    let text = |name: &str| {
        let text = entry.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    let number = index + 1;
    let url =
        text("rtmpUrl").ok_or_else(|| egress(format!("destination {number} has no rtmpUrl")))?;
    let endpoint = Endpoint::parse(url, text("streamKey"))
        .map_err(|error| egress(format!("destination {number}: {error}")))?;
    let named = text("id").and_then(|id| DestinationId::new(id).ok());
    let made = || {
        (number..).find_map(|number| {
            let id = DestinationId::new(format!("d{number}")).ok()?;
            (!taken(&id)).then_some(id)
        })
    };
    let id = named.filter(|id| !taken(id)).or_else(made);
    let id = id.ok_or(RoomError::Internal)?;
    let platform = text("platform").and_then(|platform| Platform::new(platform).ok());
    Ok(RoomDestination {
        label: text("id").unwrap_or(id.as_str()).to_owned(),
        spec: DestinationSpec {
            id,
            platform: platform.unwrap_or_else(|| Platform::of_host(endpoint.host())),
            endpoint,
            backup: None,
            backup_mode: BackupMode::default(),
            required: false,
            enabled: true,
            paused: false,
            after_cut: AfterCut::default(),
            rendition: None,
            provider: None,
        },
    })
}

fn egress(why: impl Into<String>) -> RoomError {
    RoomError::Egress(why.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn order(content: Value) -> Result<EgressOrder, RoomError> {
        read(&Payload::of(vec![content]))
    }

    #[test]
    fn a_destination_is_an_address_and_a_key() {
        let order = order(json!({
            "destinations": [
                { "id": "a1", "platform": "youtube", "rtmpUrl": "rtmp://a.example/live2", "streamKey": "k-1" },
                { "rtmpUrl": "rtmps://live.twitch.tv/app/k-2" },
            ],
            "compositeProducers": { "videoProducerId": "v", "audioProducerId": "" },
        }))
        .unwrap();

        assert_eq!(order.destinations[0].label, "a1");
        assert_eq!(
            order.destinations[0].spec.endpoint.stream_key().expose(),
            "k-1"
        );
        assert_eq!(order.destinations[1].label, "d2");
        assert_eq!(order.destinations[1].spec.platform.as_str(), "twitch");
        assert_eq!(order.video, Some(ProducerId::new("v")));
        assert_eq!(order.audio, None);
    }

    #[test]
    fn two_of_one_id_have_two_names() {
        let destination = json!({ "id": "d2", "rtmpUrl": "rtmp://a/b", "streamKey": "c" });

        let order = order(json!({ "destinations": [destination, destination] })).unwrap();

        let ids: Vec<&str> = order
            .destinations
            .iter()
            .map(|each| each.spec.id.as_str())
            .collect();
        assert_eq!(ids, ["d2", "d3"]);
    }

    #[test]
    fn nowhere_is_refused() {
        for content in [
            json!({}),
            json!({ "destinations": [] }),
            json!({ "destinations": "rtmp://a/b/c" }),
        ] {
            assert_eq!(
                order(content),
                Err(egress("at least one destination is required"))
            );
        }
    }

    #[test]
    fn there_are_twenty_destinations_at_most() {
        let many = |count: usize| {
            let entries: Vec<Value> = (0..count)
                .map(|key| json!({ "rtmpUrl": "rtmp://a/b", "streamKey": key.to_string() }))
                .collect();
            order(json!({ "destinations": entries }))
        };

        assert_eq!(many(DESTINATIONS_LIMIT).unwrap().destinations.len(), 20);
        assert!(many(DESTINATIONS_LIMIT + 1).is_err());
    }

    #[test]
    fn a_refusal_tells_no_key() {
        let error = order(json!({ "destinations": [
            { "rtmpUrl": "rtmp://hunter2@a/hunter2", "streamKey": "hunter2" },
        ] }))
        .unwrap_err();

        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(url in ".{0,64}", key in ".{0,16}", id in ".{0,8}") {
            let _ = order(json!({ "destinations": [{ "id": id, "rtmpUrl": url, "streamKey": key }] }));
        }
    }
}
