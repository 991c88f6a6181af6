//! What is there: rooms, the ways into them, and the ways out.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    egress::{Egress, Phase, Stream, StreamPhase},
    hooks::{Hooks, now_seconds},
};
use crate::Media;

/// How many streams one egress may have in all of its life, so that a caller that adds the same for ever is noticed.
const STREAMS_LIMIT: usize = 1000;

/// Why a method is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// Twirp's word.
    pub(super) code: &'static str,
    pub(super) words: String,
}

impl Refused {
    pub(super) fn new(code: &'static str, words: &str) -> Self {
        Self {
            code,
            words: words.to_owned(),
        }
    }
}

/// All of it.
#[derive(Debug)]
pub(super) struct State {
    media: Arc<dyn Media>,
    hooks: Hooks,
    rooms: BTreeMap<String, Room>,
    ingresses: BTreeMap<String, Ingress>,
    egresses: BTreeMap<String, Egress>,
    /// How many egresses may run at a time.
    pub(super) egress_limit: usize,
}

#[derive(Debug)]
struct Room {
    sid: String,
    metadata: String,
    empty_timeout: u64,
    departure_timeout: u64,
    max_participants: u64,
    created: u64,
}

#[derive(Debug)]
struct Ingress {
    name: String,
    room: String,
    identity: String,
    participant_name: String,
    /// What its media are named by.
    show: String,
    url: String,
    stream_key: String,
    publishing: bool,
}

impl State {
    pub(super) fn new(media: Arc<dyn Media>, hooks: Hooks) -> Self {
        Self {
            media,
            hooks,
            rooms: BTreeMap::new(),
            ingresses: BTreeMap::new(),
            egresses: BTreeMap::new(),
            egress_limit: usize::MAX,
        }
    }

    pub(super) fn create_room(&mut self, request: &Value) -> Result<Value, Refused> {
        let name = request["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            return Err(Refused::new("invalid_argument", "room name is required"));
        }
        let number = |field: &str| request[field].as_u64().unwrap_or_default();
        let made = !self.rooms.contains_key(name);
        self.rooms.entry(name.to_owned()).or_insert_with(|| Room {
            sid: id("RM_"),
            metadata: request["metadata"].as_str().unwrap_or_default().to_owned(),
            empty_timeout: number("empty_timeout"),
            departure_timeout: number("departure_timeout"),
            max_participants: number("max_participants"),
            created: now_seconds(),
        });
        let document = self.room(name);
        if made {
            self.hooks.tell("room_started", "room", &document);
        }
        Ok(document)
    }

    pub(super) fn rooms(&self, names: &[String]) -> Vec<Value> {
        let wanted = |name: &&String| names.is_empty() || names.contains(name);
        let names = self.rooms.keys().filter(wanted);
        names.map(|name| self.room(name)).collect()
    }

    /// Whoever is in it is sent away, and the egresses with them.
    pub(super) fn delete_room(&mut self, name: &str) -> Result<Value, Refused> {
        let document = self.room(name);
        if self.rooms.remove(name).is_none() {
            return Err(Refused::new("not_found", "requested room does not exist"));
        }
        for egress in self.egresses.values_mut() {
            if egress.room == name && egress.phase.runs() {
                egress.end(now_nanos());
            }
        }
        self.hooks.tell("room_finished", "room", &document);
        Ok(json!({}))
    }

    fn room(&self, name: &str) -> Value {
        let Some(room) = self.rooms.get(name) else {
            return Value::Null;
        };
        let publishing = |ingress: &&Ingress| ingress.room == name && ingress.publishing;
        json!({
            "sid": room.sid,
            "name": name,
            "empty_timeout": room.empty_timeout,
            "departure_timeout": room.departure_timeout,
            "max_participants": room.max_participants,
            "creation_time": room.created.to_string(),
            "turn_password": "",
            "enabled_codecs": [],
            "metadata": room.metadata,
            "num_participants": self.ingresses.values().filter(publishing).count(),
            "num_publishers": self.ingresses.values().filter(publishing).count(),
            "active_recording": self.egresses.values().any(|egress| egress.room == name && egress.phase.runs()),
            "version": null,
        })
    }

    pub(super) async fn create_ingress(&mut self, request: &Value) -> Result<Value, Refused> {
        let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
        // A client may name the kind by its number, or leave it out.
        let whip = request["input_type"] == "WHIP_INPUT" || request["input_type"] == 1;
        if !whip {
            return Err(Refused::new("invalid_argument", "this fake has WHIP only"));
        }
        if text("participant_identity").is_empty() {
            return Err(Refused::new("invalid_argument", "no participant identity"));
        }
        let show = id("");
        let ingest = self.media.ingest(&show).await;
        let url = if ingest.url.starts_with("http") {
            ingest.url
        } else {
            // Media that are none: nothing listens at the port of the discard protocol.
            "http://127.0.0.1:9/w".to_owned()
        };
        let ingress = Ingress {
            name: text("name"),
            room: text("room_name"),
            identity: text("participant_identity"),
            participant_name: text("participant_name"),
            show,
            url,
            stream_key: ingest.key,
            publishing: false,
        };
        let id = id("IN_");
        let document = ingress.document(&id);
        self.ingresses.insert(id, ingress);
        Ok(document)
    }

    pub(super) fn ingresses(&self, room: &str, id: &str) -> Result<Vec<Value>, Refused> {
        if !id.is_empty() {
            let ingress = self.ingresses.get(id);
            let gone = || Refused::new("not_found", "ingress does not exist");
            return Ok(vec![ingress.ok_or_else(gone)?.document(id)]);
        }
        let wanted = self.ingresses.iter();
        let wanted = wanted.filter(|(_, ingress)| room.is_empty() || ingress.room == room);
        Ok(wanted.map(|(id, ingress)| ingress.document(id)).collect())
    }

    pub(super) async fn delete_ingress(&mut self, id: &str) -> Result<Value, Refused> {
        let Some(mut ingress) = self.ingresses.remove(id) else {
            return Err(Refused::new("not_found", "ingress does not exist"));
        };
        self.media.forget(&ingress.show).await;
        ingress.publishing = false;
        Ok(ingress.document(id))
    }

    pub(super) fn start_egress(&mut self, request: &Value) -> Result<Value, Refused> {
        let text = |field: &str| request[field].as_str().unwrap_or_default();
        let room = text("room_name");
        let sid = match self.rooms.get(room) {
            Some(room) => room.sid.clone(),
            None => return Err(Refused::new("not_found", "requested room does not exist")),
        };
        if self.active_egresses() >= self.egress_limit {
            let words = "concurrent egress limit reached";
            return Err(Refused::new("resource_exhausted", words));
        }
        let outputs = request["stream_outputs"].as_array().into_iter().flatten();
        let urls: Vec<&str> = outputs
            .flat_map(|output| output["urls"].as_array().into_iter().flatten())
            .filter_map(Value::as_str)
            .collect();
        if urls.is_empty() {
            return Err(Refused::new(
                "invalid_argument",
                "missing or invalid field: output",
            ));
        }
        let streams = urls.iter().map(|url| Stream::new(url, 0));
        let egress = Egress {
            id: id("EG_"),
            room: room.to_owned(),
            room_id: sid,
            identity: text("identity").to_owned(),
            phase: Phase::Starting,
            streams: streams.collect::<Result<_, _>>()?,
            error: String::new(),
            requested: SystemTime::now(),
            started: 0,
            updated: now_nanos(),
            ended: 0,
        };
        let document = egress.document();
        self.hooks.tell("egress_started", "egress_info", &document);
        self.egresses.insert(egress.id.clone(), egress);
        Ok(document)
    }

    /// As the real one: what can be added is, what can be removed is, and the first refusal is told.
    pub(super) async fn update_stream(
        &mut self,
        id: &str,
        add: &[String],
        remove: &[String],
    ) -> Result<Value, Refused> {
        let media = Arc::clone(&self.media);
        let show = self.show_of(id);
        let Some(egress) = self.egresses.get_mut(id) else {
            return Err(Refused::new("not_found", "egress not found"));
        };
        if !egress.phase.runs() {
            let words = format!(
                "egress with status {} cannot be updated",
                egress.phase.word()
            );
            return Err(Refused::new("failed_precondition", &words));
        }
        let mut refused = None;
        for url in add {
            match Stream::new(url, now_nanos()) {
                Ok(stream) if egress.streams.len() < STREAMS_LIMIT => {
                    if egress.phase == Phase::Active
                        && let Some(show) = &show
                    {
                        media.connect(show, &stream.output, url).await;
                    }
                    egress.streams.push(stream);
                }
                Ok(_) => refused = Some(Refused::new("resource_exhausted", "too many streams")),
                Err(why) => refused = Some(why),
            }
        }
        for url in remove {
            let running =
                |stream: &&mut Stream| stream.url == *url && stream.phase == StreamPhase::Active;
            let Some(stream) = egress.streams.iter_mut().find(running) else {
                let words = format!("stream not found: {url}");
                refused = Some(Refused::new("not_found", &words));
                continue;
            };
            stream.finish(StreamPhase::Finished, "", now_nanos());
            if let Some(show) = &show {
                media.disconnect(show, &stream.output).await;
            }
        }
        if egress.running_streams().next().is_none() {
            egress.end(now_nanos());
        }
        egress.updated = now_nanos();
        let document = egress.document();
        self.hooks.tell("egress_updated", "egress_info", &document);
        refused.map_or(Ok(document), Err)
    }

    pub(super) fn egresses(&self, room: &str, id: &str, active: bool) -> Vec<Value> {
        let wanted = self.egresses.values().filter(|egress| {
            (room.is_empty() || egress.room == room)
                && (id.is_empty() || egress.id == id)
                && (!active || !egress.phase.is_over())
        });
        wanted.map(Egress::document).collect()
    }

    pub(super) fn stop_egress(&mut self, id: &str) -> Result<Value, Refused> {
        let Some(egress) = self.egresses.get_mut(id) else {
            return Err(Refused::new("not_found", "egress not found"));
        };
        if !egress.phase.runs() {
            let words = format!(
                "egress with status {} cannot be stopped",
                egress.phase.word()
            );
            return Err(Refused::new("failed_precondition", &words));
        }
        egress.end(now_nanos());
        Ok(egress.document())
    }

    /// Lets the time pass: looks at the media, and changes what depends on them.
    pub(super) async fn step(&mut self) {
        for (id, ingress) in &mut self.ingresses {
            let arriving = self.media.is_arriving(&ingress.show);
            if arriving != ingress.publishing {
                ingress.publishing = arriving;
                let event = if arriving {
                    "ingress_started"
                } else {
                    "ingress_ended"
                };
                let document = ingress.document(id);
                self.hooks.tell(event, "ingress_info", &document);
            }
        }
        let ids: Vec<String> = self.egresses.keys().cloned().collect();
        for id in ids {
            let show = self.show_of(&id);
            let publishing = show
                .as_deref()
                .is_some_and(|show| self.media.is_arriving(show));
            let Some(egress) = self.egresses.get_mut(&id) else {
                continue;
            };
            let show = show.unwrap_or_default();
            if egress.step(&*self.media, &show, publishing).await {
                let event = if egress.phase.is_over() {
                    "egress_ended"
                } else {
                    "egress_updated"
                };
                let document = egress.document();
                self.hooks.tell(event, "egress_info", &document);
            }
        }
    }

    pub(super) async fn reach_limit(&mut self, room: &str) {
        let ids: Vec<String> = self.egresses.keys().cloned().collect();
        for id in ids {
            let show = self.show_of(&id).unwrap_or_default();
            if let Some(egress) = self.egresses.get_mut(&id)
                && egress.room == room
                && egress.phase.runs()
            {
                egress.finish(Phase::LimitReached, "", now_nanos());
                egress.disconnect(&*self.media, &show).await;
            }
        }
    }

    /// The media of an egress: those of the way into its room.
    fn show_of(&self, egress: &str) -> Option<String> {
        let egress = self.egresses.get(egress)?;
        let mut ingresses = self.ingresses.values();
        let ingress = ingresses
            .find(|ingress| ingress.room == egress.room && ingress.identity == egress.identity);
        ingress.map(|ingress| ingress.show.clone())
    }

    pub(super) fn room_names(&self) -> Vec<String> {
        self.rooms.keys().cloned().collect()
    }

    pub(super) fn stream_keys(&self, room: &str) -> Vec<String> {
        let ingresses = self.ingresses.values();
        let ingresses = ingresses.filter(|ingress| ingress.room == room);
        ingresses
            .map(|ingress| ingress.stream_key.clone())
            .collect()
    }

    pub(super) fn addresses(&self, room: &str) -> Vec<String> {
        let egresses = self.egresses.values();
        let egresses = egresses.filter(|egress| egress.room == room && !egress.phase.is_over());
        egresses
            .flat_map(Egress::running_streams)
            .map(|stream| stream.url.clone())
            .collect()
    }

    pub(super) fn active_egresses(&self) -> usize {
        let mut phases = self.egresses.values().map(|egress| egress.phase);
        phases.by_ref().filter(|phase| !phase.is_over()).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.ingresses.is_empty() && self.active_egresses() == 0
    }
}

impl Ingress {
    fn document(&self, id: &str) -> Value {
        let status = if self.publishing {
            "ENDPOINT_PUBLISHING"
        } else {
            "ENDPOINT_INACTIVE"
        };
        json!({
            "ingress_id": id,
            "name": self.name,
            "stream_key": self.stream_key,
            "url": self.url,
            "input_type": "WHIP_INPUT",
            "bypass_transcoding": true,
            "enable_transcoding": false,
            "audio": null,
            "video": null,
            "room_name": self.room,
            "participant_identity": self.identity,
            "participant_name": self.participant_name,
            "participant_metadata": "",
            "reusable": true,
            "enabled": true,
            "state": {
                "status": status,
                "error": "",
                "video": null,
                "audio": null,
                "room_id": "",
                "started_at": "0",
                "ended_at": "0",
                "updated_at": "0",
                "resource_id": "",
                "tracks": [],
            },
        })
    }
}

/// A name as `LiveKit` makes them.
fn id(prefix: &str) -> String {
    let text = Uuid::new_v4().simple().to_string();
    format!("{prefix}{}", &text[..12])
}

pub(super) fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// How long an egress waits for its participant.
pub(super) const PARTICIPANT_PATIENCE: Duration = Duration::from_secs(30);
