//! A room, and what Daily takes for one.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answers::{Refused, invalid};

/// The properties of a room that this fake has heard of; Daily refuses the rest, and `start_video_on` among it.
const PROPERTIES: [&str; 14] = [
    "nbf",
    "exp",
    "eject_at_room_exp",
    "max_participants",
    "enable_chat",
    "enable_screenshare",
    "start_video_off",
    "start_audio_off",
    "enable_recording",
    "geo",
    "rtmp_geo",
    "disable_rtmp_geo_fallback",
    "enable_prejoin_ui",
    "streaming_endpoints",
];

/// The longest name of a room, in characters.
const NAME_LIMIT: usize = 128;

/// A room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: String,
    pub(super) name: String,
    /// Its place in the order in which rooms were made.
    pub(super) nth: u64,
    pub(super) config: Map<String, Value>,
    /// By instance.
    pub(super) streams: BTreeMap<String, Stream>,
}

/// A live stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The names of where it goes.
    pub(super) endpoints: BTreeSet<String>,
    /// Whether it was told that it has started.
    pub(super) told: bool,
}

impl Room {
    /// Takes the name and properties of a new one.
    pub(super) fn new(wanted: &Value, nth: u64) -> Result<Self, Refused> {
        let name = wanted["name"].as_str().unwrap_or_default();
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
        if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(fits) {
            return Err(invalid("name is not valid"));
        }
        let mut room = Self {
            id: Uuid::new_v4().to_string(),
            name: name.to_owned(),
            nth,
            config: Map::new(),
            streams: BTreeMap::new(),
        };
        room.change(wanted)?;
        Ok(room)
    }

    /// Takes other properties.
    pub(super) fn change(&mut self, wanted: &Value) -> Result<(), Refused> {
        let Some(properties) = wanted.get("properties") else {
            return Ok(());
        };
        let properties = properties
            .as_object()
            .ok_or_else(|| invalid("properties is not an object"))?;
        for (name, value) in properties {
            if !PROPERTIES.contains(&name.as_str()) {
                return Err(invalid(format!("unknown parameter '{name}'")));
            }
            if name == "streaming_endpoints" {
                check_endpoints(value)?;
            }
        }
        for (name, value) in properties {
            if value.is_null() {
                self.config.remove(name);
            } else {
                self.config.insert(name.clone(), value.clone());
            }
        }
        Ok(())
    }

    /// The address of one of its destinations, key and all.
    pub(super) fn address(&self, name: &str) -> Option<String> {
        let endpoints = self.config.get("streaming_endpoints")?.as_array()?;
        let found = endpoints.iter().find(|known| known["name"] == name)?;
        Some(found["rtmp_config"]["url"].as_str()?.to_owned())
    }

    /// The room as it is answered, joined behind `base`.
    pub(super) fn view(&self, base: &str, hides_endpoints: bool) -> Value {
        let mut config = self.config.clone();
        if hides_endpoints {
            config.remove("streaming_endpoints");
        }
        json!({
            "id": self.id,
            "name": self.name,
            "api_created": true,
            "privacy": "private",
            "url": format!("{base}{}", self.name),
            "created_at": "2026-11-21T09:00:00.000Z",
            "config": config,
        })
    }

    /// The names in a request's `endpoints`, which the room must know.
    pub(super) fn named(&self, wanted: &Value) -> Result<BTreeSet<String>, Refused> {
        let endpoints = wanted["endpoints"].as_array();
        let endpoints = endpoints.filter(|endpoints| !endpoints.is_empty());
        let endpoints = endpoints.ok_or_else(|| invalid("endpoints is missing"))?;
        let name = |endpoint: &Value| {
            let name = endpoint["endpoint"].as_str().unwrap_or_default();
            self.address(name)
                .map(|_| name.to_owned())
                .ok_or_else(|| invalid(format!("unknown endpoint '{name}'")))
        };
        endpoints.iter().map(name).collect()
    }

    /// A live stream that goes on.
    pub(super) fn stream(&mut self, wanted: &Value) -> Result<(String, &mut Stream), Refused> {
        let instance = instance(wanted)?;
        let stream = self.streams.get_mut(&instance);
        let stream = stream.ok_or_else(|| invalid("no active stream of this instanceId"))?;
        Ok((instance, stream))
    }
}

/// A request's `instanceId`, which has to be a UUID.
pub(super) fn instance(wanted: &Value) -> Result<String, Refused> {
    let instance = wanted["instanceId"].as_str().unwrap_or_default();
    let known =
        Uuid::parse_str(instance).is_ok_and(|uuid| (1..=5).contains(&uuid.get_version_num()));
    if known {
        Ok(instance.to_owned())
    } else {
        Err(invalid("instanceId is not a UUID"))
    }
}

/// What is asked of a new live stream must be what Daily can do.
pub(super) fn check_stream(wanted: &Value) -> Result<(), Refused> {
    if wanted.get("rtmpUrl").is_some() && wanted.get("endpoints").is_some() {
        return Err(invalid("cannot accept both rtmpURL and endpoints"));
    }
    for side in ["width", "height"] {
        if wanted[side].as_u64().is_some_and(|side| side % 2 == 1) {
            return Err(invalid(format!("{side} must be even")));
        }
    }
    for (rate, range) in [("videoBitrate", 10..=10_000), ("audioBitrate", 10..=320)] {
        if wanted[rate]
            .as_u64()
            .is_some_and(|rate| !range.contains(&rate))
        {
            return Err(invalid(format!("{rate} is out of range")));
        }
    }
    let layouts = ["default", "active-participant", "portrait", "custom"];
    let layout = wanted["layout"]["preset"].as_str();
    match layout {
        Some("single-participant") if wanted["layout"]["session_id"].is_string() => Ok(()),
        Some(preset) if layouts.contains(&preset) => Ok(()),
        None if wanted.get("layout").is_none() => Ok(()),
        _ => Err(invalid("layout is not valid")),
    }
}

/// Null resets them.
fn check_endpoints(endpoints: &Value) -> Result<(), Refused> {
    let Some(endpoints) = endpoints.as_array() else {
        return if endpoints.is_null() {
            Ok(())
        } else {
            Err(invalid("streaming_endpoints is not an array"))
        };
    };
    let mut names = BTreeSet::new();
    for endpoint in endpoints {
        let url = endpoint["rtmp_config"]["url"].as_str().unwrap_or_default();
        let is_rtmp = endpoint["type"] == "rtmp"
            && (url.starts_with("rtmp://") || url.starts_with("rtmps://"));
        let is_new = endpoint["name"]
            .as_str()
            .is_some_and(|name| names.insert(name));
        if !is_rtmp || !is_new {
            return Err(invalid("streaming_endpoints is not valid"));
        }
    }
    Ok(())
}

/// A name that is taken is told as any mistake, and not by 409.
pub(super) fn taken(name: &str) -> Refused {
    Refused(
        StatusCode::BAD_REQUEST,
        "invalid-request-error",
        format!("a room named {name} already exists"),
    )
}
