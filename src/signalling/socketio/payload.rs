//! What clients say: the first argument of an event, read field by field, whatever it is.

use ::rooms::RoomError;
use broadcast::BroadcastId;
use ortc::{DtlsParameters, MediaKind, RtpCapabilities, RtpParameters};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The longest name of a participant, transport, producer or consumer, in bytes.
const LONGEST_NAME: usize = 128;

/// The most of what is told to others as it came, in bytes of JSON.
const LONGEST_SMALL: usize = 4096;

/// The first argument of an event; an event without one has an empty payload, as has one whose argument is no object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Payload(Value);

impl Payload {
    /// Takes the first of the arguments.
    pub fn of(arguments: Vec<Value>) -> Self {
        Self(arguments.into_iter().next().unwrap_or_default())
    }

    /// A field as it is; `null` when it is absent.
    pub fn field(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// A text that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.field(name).as_str().filter(|text| !text.is_empty())
    }

    /// A name of 1 to 128 bytes.
    pub fn name(&self, name: &str) -> Result<&str, RoomError> {
        match self.text(name) {
            Some(text) if text.len() <= LONGEST_NAME => Ok(text),
            Some(_) => Err(malformed(name, "is too long")),
            None => Err(malformed(name, "is missing")),
        }
    }

    /// The name of a room.
    pub fn room(&self, name: &str) -> Result<BroadcastId, RoomError> {
        BroadcastId::new(self.name(name)?).map_err(|error| malformed(name, &error.to_string()))
    }

    /// `kind`: picture or sound.
    pub fn kind(&self) -> Result<MediaKind, RoomError> {
        self.value("kind")
    }

    /// `dtlsParameters`.
    pub fn dtls(&self) -> Result<DtlsParameters, RoomError> {
        self.value("dtlsParameters")
    }

    /// `rtpParameters`.
    pub fn rtp(&self) -> Result<RtpParameters, RoomError> {
        self.value("rtpParameters")
    }

    /// `rtpCapabilities`.
    pub fn capabilities(&self) -> Result<RtpCapabilities, RoomError> {
        if self.field("rtpCapabilities").is_null() {
            return Err(malformed("rtpCapabilities", "is missing"));
        }
        self.value("rtpCapabilities")
    }

    /// `appData`: what the application says of a track; at most 4 KiB as JSON.
    pub fn app_data(&self) -> Result<Value, RoomError> {
        self.small("appData")
    }

    /// A field that others are told as it came; at most 4 KiB as JSON.
    pub fn small(&self, name: &str) -> Result<Value, RoomError> {
        let value = self.field(name);
        if value.to_string().len() > LONGEST_SMALL {
            return Err(malformed(name, "is larger than 4 KiB"));
        }
        Ok(value.clone())
    }

    fn value<T: DeserializeOwned>(&self, name: &str) -> Result<T, RoomError> {
        T::deserialize(self.field(name)).map_err(|error| malformed(name, &error.to_string()))
    }
}

fn malformed(name: &str, why: &str) -> RoomError {
    RoomError::Malformed(format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_object_has_no_fields() {
        for arguments in [
            vec![],
            vec![json!(null)],
            vec![json!(["roomId"])],
            vec![json!("roomId")],
        ] {
            assert_eq!(Payload::of(arguments).text("roomId"), None);
        }
    }

    #[test]
    fn a_name_has_one_to_128_bytes() {
        let named = |text: String| Payload::of(vec![json!({ "peerId": text })]);

        assert!(named("a".repeat(128)).name("peerId").is_ok());
        assert!(named("a".repeat(129)).name("peerId").is_err());
        assert!(named(String::new()).name("peerId").is_err());
    }

    #[test]
    fn what_others_are_told_has_4_kib_at_most() {
        let said = |length| Payload::of(vec![json!({ "appData": "a".repeat(length) })]);

        assert!(said(4094).app_data().is_ok());
        assert!(said(4095).app_data().is_err());
        assert_eq!(Payload::default().app_data(), Ok(Value::Null));
    }

    #[test]
    fn what_is_missing_is_named() {
        let payload = Payload::of(vec![json!({ "kind": "smell" })]);

        assert_eq!(
            payload.name("transportId"),
            Err(RoomError::Malformed("transportId: is missing".to_owned()))
        );
        assert!(payload.kind().is_err());
        assert!(payload.capabilities().is_err());
    }

    proptest! {
        #[test]
        fn no_json_breaks_it(text in r#"[\[\]{}:,"a-z0-9 .-]{0,64}"#) {
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            let payload = Payload::of(vec![value]);

            let _ = (payload.room("a"), payload.kind(), payload.dtls(), payload.rtp(), payload.capabilities());
        }
    }
}
