//! Secrets in providers' answers, which become [`StreamKey`] before anything can print them.

use broadcast::StreamKey;
use serde::{Deserialize as _, Deserializer};

/// For `#[serde(deserialize_with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<StreamKey, D::Error> {
    String::deserialize(deserializer).map(StreamKey::new)
}

/// For `#[serde(default, deserialize_with)]`: what is absent or null is none.
pub(crate) fn deserialize_optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<StreamKey>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(StreamKey::new))
}
