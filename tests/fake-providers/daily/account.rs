//! All rooms of the account, what moves their media, and what is told of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::{
    DailyQuirks, FakeDaily, FakeRoom,
    answers::{Refused, invalid, not_found, too_often},
    room::{Room, Stream, check_stream, instance, taken},
};
use crate::{Delivery, Media, OutputState, Webhooks};

/// How many live streams are begun within [`STARTS_WINDOW`].
const STARTS: usize = 5;

const STARTS_WINDOW: Duration = Duration::from_secs(5);

/// The most rooms of a page.
const PAGE_LIMIT: usize = 100;

/// The one who brings a show; others are not seen.
const CONTRIBUTOR: &str = "castgate";

#[derive(Debug)]
pub(super) struct Account {
    media: Arc<dyn Media>,
    webhooks: Webhooks,
    quirks: DailyQuirks,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: BTreeMap<String, Room>,
    made: u64,
    starts: VecDeque<Instant>,
    /// Where rooms are joined, with a slash at the end.
    base: String,
}

impl Account {
    pub(super) fn new(media: Arc<dyn Media>, webhooks: Webhooks, quirks: DailyQuirks) -> Self {
        Self {
            media,
            webhooks,
            quirks,
            state: Mutex::default(),
        }
    }

    /// Says where its rooms are.
    pub(super) fn live_at(&self, base: &Url) {
        self.lock().base = base.to_string();
    }

    pub(super) const fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a room that is there.
    fn with<T>(
        &self,
        name: &str,
        what: impl FnOnce(&mut Room) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        what(self.lock().rooms.get_mut(name).ok_or_else(not_found)?)
    }

    fn show(&self, name: &str) -> Result<Value, Refused> {
        let base = self.lock().base.clone();
        let hides = self.quirks.hides_endpoints;
        self.with(name, |room| Ok(room.view(&base, hides)))
    }

    pub(super) async fn create(&self, wanted: &Value) -> Result<Value, Refused> {
        let name = {
            let mut state = self.lock();
            let room = Room::new(wanted, state.made)?;
            if state.rooms.contains_key(&room.name) {
                return Err(taken(&room.name));
            }
            let name = room.name.clone();
            state.made += 1;
            state.rooms.insert(name.clone(), room);
            name
        };
        self.media.ingest(&name).await;
        self.show(&name)
    }

    pub(super) async fn add(&self, name: &str) {
        drop(self.create(&json!({ "name": name })).await);
    }

    pub(super) fn read(&self, name: &str) -> Result<Value, Refused> {
        self.show(name)
    }

    pub(super) fn change(&self, name: &str, wanted: &Value) -> Result<Value, Refused> {
        self.with(name, |room| room.change(wanted))?;
        self.show(name)
    }

    /// Newest first.
    pub(super) fn list(
        &self,
        limit: Option<usize>,
        ending_before: Option<&str>,
        starting_after: Option<&str>,
    ) -> Value {
        let state = self.lock();
        let (older, newer) = if self.quirks.older_come_after {
            (starting_after, ending_before)
        } else {
            (ending_before, starting_after)
        };
        let place = |id: Option<&str>| {
            let id = id?;
            state
                .rooms
                .values()
                .find(|room| room.id == id)
                .map(|room| room.nth)
        };
        let (below, above) = (place(older), place(newer));
        let mut rooms: Vec<_> = state
            .rooms
            .values()
            .filter(|room| below.is_none_or(|nth| room.nth < nth))
            .filter(|room| above.is_none_or(|nth| room.nth > nth))
            .collect();
        rooms.sort_by_key(|room| std::cmp::Reverse(room.nth));
        let most = self.quirks.page_limit.unwrap_or(PAGE_LIMIT);
        let shown = rooms.iter().take(limit.unwrap_or(most).min(most));
        json!({
            "total_count": state.rooms.len(),
            "data": shown
                .map(|room| room.view(&state.base, self.quirks.hides_endpoints))
                .collect::<Vec<_>>(),
        })
    }

    pub(super) fn view(&self) -> Vec<FakeRoom> {
        let addresses = |room: &Room, stream: &Stream| {
            let names = stream.endpoints.iter();
            names.filter_map(|name| room.address(name)).collect()
        };
        self.lock()
            .rooms
            .values()
            .map(|room| FakeRoom {
                name: room.name.clone(),
                expires: room.config.get("exp").and_then(Value::as_u64),
                streams: room
                    .streams
                    .iter()
                    .map(|(instance, stream)| (instance.clone(), addresses(room, stream)))
                    .collect(),
            })
            .collect()
    }

    /// Ends the call, and what is streamed of it.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Refused> {
        let room = self.lock().rooms.remove(name).ok_or_else(not_found)?;
        self.media.forget(name).await;
        for instance in room.streams.keys() {
            self.tell("streaming.ended", json!({ "instance_id": instance }));
        }
        self.tell("meeting.ended", json!({ "room": name }));
        Ok(())
    }

    pub(super) fn presence(&self, name: &str) -> Result<Value, Refused> {
        self.with(name, |_| Ok(()))?;
        let present = self.media.is_arriving(name).then(|| {
            json!({
                "room": name,
                "id": Uuid::new_v4().to_string(),
                "userId": CONTRIBUTOR,
                "userName": CONTRIBUTOR,
                "joinTime": "2026-11-21T09:00:05.000Z",
                "duration": 5,
            })
        });
        let present: Vec<_> = present.into_iter().collect();
        Ok(json!({ "total_count": present.len(), "data": present }))
    }

    /// Begins a live stream, whether anybody is in the room or not.
    pub(super) async fn begin(&self, name: &str, wanted: &Value) -> Result<(), Refused> {
        self.count_start()?;
        check_stream(wanted)?;
        let instance = instance(wanted)?;
        let addresses = self.with(name, |room| {
            if !room.streams.is_empty() {
                return Err(invalid(format!("room {name} has an active stream")));
            }
            let endpoints = room.named(wanted)?;
            let addresses = addresses(room, &endpoints);
            let told = false;
            room.streams.insert(instance, Stream { endpoints, told });
            Ok(addresses)
        })?;
        self.connect(name, addresses).await;
        Ok(())
    }

    fn count_start(&self) -> Result<(), Refused> {
        let now = Instant::now();
        let starts = &mut self.lock().starts;
        starts.retain(|start| now.duration_since(*start) < STARTS_WINDOW);
        if starts.len() >= STARTS {
            return Err(too_often());
        }
        starts.push_back(now);
        Ok(())
    }

    pub(super) async fn end(&self, name: &str, wanted: &Value) -> Result<(), Refused> {
        let (instance, stream) = self.with(name, |room| {
            let (instance, _) = room.stream(wanted)?;
            let stream = room.streams.remove(&instance).unwrap_or_default();
            Ok((instance, stream))
        })?;
        for endpoint in &stream.endpoints {
            self.media.disconnect(name, endpoint).await;
        }
        self.tell("streaming.ended", json!({ "instance_id": instance }));
        Ok(())
    }

    pub(super) async fn add_endpoints(&self, name: &str, wanted: &Value) -> Result<(), Refused> {
        let (instance, addresses) = self.with(name, |room| {
            let endpoints = room.named(wanted)?;
            let addresses = addresses(room, &endpoints);
            let (instance, stream) = room.stream(wanted)?;
            stream.endpoints.extend(endpoints);
            Ok((instance, addresses))
        })?;
        self.connect(name, addresses).await;
        self.tell("streaming.updated", json!({ "instance_id": instance }));
        Ok(())
    }

    /// The last one stays: a warning says so, and not the answer.
    pub(super) async fn remove_endpoints(&self, name: &str, wanted: &Value) -> Result<(), Refused> {
        let (instance, removed) = self.with(name, |room| {
            let endpoints = room.named(wanted)?;
            let (instance, stream) = room.stream(wanted)?;
            if stream.endpoints.is_subset(&endpoints) {
                return Ok((instance, Err(endpoints)));
            }
            stream.endpoints.retain(|name| !endpoints.contains(name));
            Ok((instance, Ok(endpoints)))
        })?;
        match removed {
            Ok(endpoints) => {
                for endpoint in endpoints {
                    self.media.disconnect(name, &endpoint).await;
                }
                self.tell("streaming.updated", json!({ "instance_id": instance }));
            }
            Err(endpoints) => self.warn(&instance, &endpoints),
        }
        Ok(())
    }

    /// Ends all live streams of a room.
    pub(super) async fn break_streams(&self, name: &str, words: &str) {
        let streams = self.with(name, |room| Ok(std::mem::take(&mut room.streams)));
        for (instance, stream) in streams.into_iter().flatten() {
            for endpoint in &stream.endpoints {
                self.media.disconnect(name, endpoint).await;
            }
            self.tell(
                "streaming.error",
                json!({ "instance_id": instance, "room_name": name, "error_message": words }),
            );
            self.tell("streaming.ended", json!({ "instance_id": instance }));
        }
    }

    async fn connect(&self, room: &str, addresses: Vec<(String, String)>) {
        for (endpoint, url) in addresses {
            self.media.connect(room, &endpoint, &url).await;
        }
    }

    /// Tells what has begun, and lets go of what cannot be reached: Daily does not try again.
    pub(super) async fn look(&self) {
        let mut begun = Vec::new();
        let mut dropped = Vec::new();
        for room in self.lock().rooms.values_mut() {
            for (instance, stream) in &mut room.streams {
                if !stream.told {
                    stream.told = true;
                    begun.push(instance.clone());
                }
                let failed: BTreeSet<String> = stream
                    .endpoints
                    .iter()
                    .filter(|name| {
                        let state = self.media.state(&room.name, name);
                        matches!(state, OutputState::Failed(_))
                    })
                    .cloned()
                    .collect();
                if !failed.is_empty() {
                    stream.endpoints.retain(|name| !failed.contains(name));
                    dropped.push((room.name.clone(), instance.clone(), failed));
                }
            }
        }
        for instance in begun {
            let layout = json!({ "preset": "default" });
            let payload = json!({ "instance_id": instance, "layout": layout });
            self.tell("streaming.started", payload);
        }
        for (room, instance, endpoints) in dropped {
            for endpoint in &endpoints {
                self.media.disconnect(&room, endpoint).await;
            }
            self.warn(&instance, &endpoints);
        }
    }

    fn warn(&self, instance: &str, endpoints: &BTreeSet<String>) {
        self.tell(
            "streaming.warning",
            json!({ "instance_id": instance, "details": { "endpoints": endpoints } }),
        );
    }

    fn tell(&self, kind: &str, mut payload: Value) {
        let now = seconds();
        payload["domain_id"] = FakeDaily::DOMAIN_ID.into();
        payload["timestamp"] = now.into();
        let body = json!({
            "version": "1.0.0",
            "type": kind,
            "id": Uuid::new_v4().to_string(),
            "payload": payload,
            "event_ts": now,
        })
        .to_string();
        let timestamp = now.to_string();
        let headers = BTreeMap::from([
            ("content-type".to_owned(), "application/json".to_owned()),
            ("x-webhook-signature".to_owned(), sign(&timestamp, &body)),
            ("x-webhook-timestamp".to_owned(), timestamp),
        ]);
        self.webhooks.send(Delivery {
            kind: kind.to_owned(),
            headers,
            body: body.into_bytes(),
        });
    }
}

fn addresses(room: &Room, names: &BTreeSet<String>) -> Vec<(String, String)> {
    let address = |name: &String| Some((name.clone(), room.address(name)?));
    names.iter().filter_map(address).collect()
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn sign(timestamp: &str, body: &str) -> String {
    let secret = BASE64_STANDARD.decode(FakeDaily::WEBHOOK_SECRET);
    let secret = secret.expect("the fake's own secret is base64");
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&secret).expect("a key of any length makes an HMAC");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

/// Makes the token that was asked for; one for all rooms, or for ever, is not.
pub(super) fn issue(wanted: &Value) -> Result<String, Refused> {
    if !wanted["room_name"].is_string() || !wanted["exp"].is_u64() {
        return Err(invalid("a token needs room_name and exp"));
    }
    let claims = json!({
        "r": wanted["room_name"],
        "d": FakeDaily::DOMAIN_ID,
        "iat": seconds(),
        "exp": wanted["exp"],
        "u": wanted["user_name"],
        "ud": wanted["user_id"],
    });
    let key = EncodingKey::from_secret(FakeDaily::API_KEY.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|error| invalid(error.to_string()))
}

pub(super) fn opens(token: &str, room: &str) -> bool {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.required_spec_claims = HashSet::from(["exp".to_owned()]);
    let key = DecodingKey::from_secret(FakeDaily::API_KEY.as_bytes());
    decode::<Value>(token, &key, &rules).is_ok_and(|read| {
        read.claims["r"] == room
            && read.claims["d"] == FakeDaily::DOMAIN_ID
            && read.claims["ud"] == CONTRIBUTOR
    })
}
