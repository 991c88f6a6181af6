//! What is in the account, and what happens to it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use uuid::Uuid;

use super::{
    CloudflareQuirks, FakeCloudflare, FakeInput, StatusShape,
    answers::{NOT_FOUND, Refused},
};
use crate::{Delivery, Ingest, Media, Webhooks};

/// How long a key against doubles is remembered.
const KEY_LIFE: Duration = Duration::from_hours(6);

/// The most outputs of one live input.
const OUTPUTS_LIMIT: usize = 50;

/// How many minutes of storage the account has.
const STORAGE_MINUTES: u64 = 1000;

#[derive(Debug)]
pub(super) struct State {
    media: Arc<dyn Media>,
    webhooks: Webhooks,
    quirks: CloudflareQuirks,
    account: Mutex<Account>,
    /// Outputs that are deleted and not yet disconnected.
    leaving: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Account {
    inputs: BTreeMap<String, Input>,
    keys: HashMap<String, (String, Instant)>,
    is_full: bool,
}

#[derive(Debug)]
struct Input {
    meta: Value,
    recording: Value,
    enabled: bool,
    ingest: Ingest,
    outputs: BTreeMap<String, Output>,
    /// Whether the show has arrived before, and does now.
    has_arrived: bool,
    arrives: bool,
}

#[derive(Debug, Clone)]
struct Output {
    url: String,
    stream_key: String,
    enabled: bool,
}

impl State {
    pub(super) fn new(media: Arc<dyn Media>, webhooks: Webhooks, quirks: CloudflareQuirks) -> Self {
        Self {
            media,
            webhooks,
            quirks,
            account: Mutex::default(),
            leaving: Mutex::default(),
        }
    }

    pub(super) const fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    pub(super) fn inputs(&self) -> Vec<FakeInput> {
        let account = self.lock();
        let view = account.inputs.iter().map(|(uid, input)| FakeInput {
            uid: uid.clone(),
            name: input.meta["name"].as_str().unwrap_or_default().to_owned(),
            key: input.ingest.key.clone(),
            outputs: input
                .outputs
                .values()
                .filter(|output| output.enabled)
                .map(|output| (output.url.clone(), output.stream_key.clone()))
                .collect(),
        });
        view.collect()
    }

    pub(super) fn fill_storage(&self) {
        self.lock().is_full = true;
    }

    pub(super) fn switch_off(&self, uid: &str) {
        if let Some(input) = self.lock().inputs.get_mut(uid) {
            input.enabled = false;
        }
    }

    pub(super) async fn switch_outputs_off(&self) {
        let mut off = Vec::new();
        for input in self.lock().inputs.values_mut() {
            for (id, output) in &mut input.outputs {
                output.enabled = false;
                off.push((input.ingest.key.clone(), id.clone()));
            }
        }
        for (key, output) in off {
            self.disconnect(key, output).await;
        }
    }

    pub(super) fn storage(&self) -> Value {
        let used = if self.lock().is_full {
            STORAGE_MINUTES
        } else {
            0
        };
        json!({
            "totalStorageMinutes": used,
            "totalStorageMinutesLimit": STORAGE_MINUTES,
            "videoCount": 0,
        })
    }

    pub(super) fn list(&self) -> Value {
        let account = self.lock();
        let inputs: Vec<_> = account
            .inputs
            .iter()
            .map(|(uid, input)| json!({ "uid": uid, "meta": input.meta, "enabled": input.enabled }))
            .collect();
        json!({ "liveInputs": inputs, "range": inputs.len(), "total": inputs.len() })
    }

    pub(super) async fn create(&self, key: Option<&str>, wanted: &Value) -> Result<Value, Refused> {
        if let Some(answer) = self.repeated(key) {
            return answer;
        }
        let uid = Uuid::new_v4().simple().to_string();
        let stream_key = Uuid::new_v4().simple().to_string();
        let ingest = self.media.ingest(&stream_key).await;
        let input = Input {
            meta: wanted.get("meta").cloned().unwrap_or_else(|| json!({})),
            recording: wanted
                .get("recording")
                .cloned()
                .unwrap_or_else(|| json!({ "mode": "off" })),
            enabled: wanted["enabled"].as_bool().unwrap_or(true),
            ingest,
            outputs: BTreeMap::new(),
            has_arrived: false,
            arrives: false,
        };
        let mut account = self.lock();
        if let Some(key) = key {
            account
                .keys
                .insert(key.to_owned(), (uid.clone(), Instant::now()));
        }
        account.inputs.insert(uid.clone(), input);
        drop(account);
        self.read(&uid)
    }

    /// The answer to a request that was made before.
    fn repeated(&self, key: Option<&str>) -> Option<Result<Value, Refused>> {
        let mut account = self.lock();
        account
            .keys
            .retain(|_, (_, made)| made.elapsed() < KEY_LIFE);
        let uid = account.keys.get(key?)?.0.clone();
        let is_there = account.inputs.contains_key(&uid);
        drop(account);
        let deleted = "the live input of this idempotency key was deleted";
        Some(if is_there {
            self.read(&uid)
        } else {
            Err(Refused(StatusCode::CONFLICT, 10_009, deleted))
        })
    }

    pub(super) fn read(&self, uid: &str) -> Result<Value, Refused> {
        let account = self.lock();
        let input = account.inputs.get(uid).ok_or(NOT_FOUND)?;
        let Ingest { url, key } = &input.ingest;
        Ok(json!({
            "uid": uid,
            "rtmps": { "url": url, "streamKey": key },
            "rtmpsPlayback": { "url": url, "streamKey": format!("play{key}") },
            "srt": { "url": "srt://127.0.0.1:9", "streamId": uid, "passphrase": key },
            "srtPlayback": { "url": "srt://127.0.0.1:9", "streamId": format!("play{uid}"), "passphrase": key },
            "webRTC": { "url": format!("https://customer-fake.cloudflarestream.com/{key}/webRTC/publish") },
            "webRTCPlayback": { "url": format!("https://customer-fake.cloudflarestream.com/{uid}/webRTC/play") },
            "created": "2026-11-21T09:00:00.000000Z",
            "modified": "2026-11-21T09:00:00.000000Z",
            "meta": input.meta,
            "enabled": input.enabled,
            "status": self.status(input),
            "recording": input.recording,
            "deleteRecordingAfterDays": null,
            "preferLowLatency": false,
        }))
    }

    fn status(&self, input: &Input) -> Value {
        let arrives = input.enabled && self.media.is_arriving(&input.ingest.key);
        let (state, reason) = match (arrives, input.has_arrived) {
            (true, _) => ("connected", "connected"),
            (false, true) => ("disconnected", "client_disconnect"),
            (false, false) => return Value::Null,
        };
        match self.quirks.status {
            StatusShape::Word => json!(reason),
            StatusShape::History => json!({
                "current": {
                    "state": state,
                    "reason": reason,
                    "ingestProtocol": "rtmp",
                    "statusEnteredAt": "2026-11-21T09:00:00Z",
                },
                "history": [],
            }),
        }
    }

    pub(super) fn update(&self, uid: &str, wanted: &Value) -> Result<Value, Refused> {
        let mut account = self.lock();
        let input = account.inputs.get_mut(uid).ok_or(NOT_FOUND)?;
        if let Some(enabled) = wanted["enabled"].as_bool() {
            input.enabled = enabled;
        }
        if let Some(meta) = wanted.get("meta") {
            input.meta = meta.clone();
        }
        drop(account);
        self.read(uid)
    }

    pub(super) async fn delete(&self, uid: &str) -> Result<(), Refused> {
        let input = self.lock().inputs.remove(uid).ok_or(NOT_FOUND)?;
        self.media.forget(&input.ingest.key).await;
        Ok(())
    }

    pub(super) fn outputs(&self, uid: &str) -> Result<Vec<Value>, Refused> {
        let account = self.lock();
        let input = account.inputs.get(uid).ok_or(NOT_FOUND)?;
        let outputs = input.outputs.iter();
        Ok(outputs
            .map(|(uid, output)| self.told(uid, output))
            .collect())
    }

    /// An output's answer: nothing of its health.
    fn told(&self, uid: &str, output: &Output) -> Value {
        let mut told = json!({ "uid": uid, "url": output.url, "enabled": output.enabled });
        if !self.quirks.hides_keys {
            told["streamKey"] = json!(output.stream_key);
        }
        told
    }

    pub(super) async fn create_output(&self, uid: &str, wanted: &Value) -> Result<Value, Refused> {
        let bad = |words| Refused(StatusCode::BAD_REQUEST, 10_005, words);
        let text = |field: &str| wanted[field].as_str().filter(|text| !text.is_empty());
        let url = text("url").ok_or(bad("url is required"))?;
        let stream_key = text("streamKey").ok_or(bad("streamKey is required"))?;
        if !["rtmp://", "rtmps://", "srt://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(bad("url must be RTMP, RTMPS or SRT"));
        }
        let output = Output {
            url: url.to_owned(),
            stream_key: stream_key.to_owned(),
            enabled: wanted["enabled"].as_bool().unwrap_or(true),
        };
        let id = Uuid::new_v4().simple().to_string();
        let key = {
            let mut account = self.lock();
            let input = account.inputs.get_mut(uid).ok_or(NOT_FOUND)?;
            if input.outputs.len() >= OUTPUTS_LIMIT {
                return Err(bad("too many outputs"));
            }
            input.outputs.insert(id.clone(), output.clone());
            input.ingest.key.clone()
        };
        if output.enabled {
            self.media.connect(&key, &id, &output.address()).await;
        }
        Ok(self.told(&id, &output))
    }

    /// Only `enabled` can be changed.
    pub(super) async fn switch_output(
        &self,
        uid: &str,
        id: &str,
        wanted: &Value,
    ) -> Result<Value, Refused> {
        let bad = |words| Refused(StatusCode::BAD_REQUEST, 10_005, words);
        let fields = wanted.as_object().ok_or(bad("no document"))?;
        if fields.keys().any(|field| field != "enabled") {
            return Err(bad("only enabled can be changed"));
        }
        let enabled = wanted["enabled"]
            .as_bool()
            .ok_or(bad("enabled is required"))?;
        let (key, output) = {
            let mut account = self.lock();
            let input = account.inputs.get_mut(uid).ok_or(NOT_FOUND)?;
            let output = input.outputs.get_mut(id).ok_or(NOT_FOUND)?;
            output.enabled = enabled;
            (input.ingest.key.clone(), output.clone())
        };
        if enabled {
            self.media.connect(&key, id, &output.address()).await;
        } else {
            self.disconnect(key, id.to_owned()).await;
        }
        Ok(self.told(id, &output))
    }

    pub(super) async fn delete_output(&self, uid: &str, id: &str) -> Result<(), Refused> {
        let key = {
            let mut account = self.lock();
            let input = account.inputs.get_mut(uid).ok_or(NOT_FOUND)?;
            input.outputs.remove(id).ok_or(NOT_FOUND)?;
            input.ingest.key.clone()
        };
        self.disconnect(key, id.to_owned()).await;
        Ok(())
    }

    async fn disconnect(&self, key: String, output: String) {
        let media = Arc::clone(&self.media);
        let delay = self.quirks.disconnects_after;
        if delay.is_zero() {
            media.disconnect(&key, &output).await;
            return;
        }
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        while leaving.try_join_next().is_some() {}
        leaving.spawn(async move {
            sleep(delay).await;
            media.disconnect(&key, &output).await;
        });
    }

    /// Tells what has changed since the last look.
    pub(super) fn look(&self) {
        let mut changed = Vec::new();
        for (uid, input) in &mut self.lock().inputs {
            let arrives = input.enabled && self.media.is_arriving(&input.ingest.key);
            if arrives != input.arrives {
                input.arrives = arrives;
                input.has_arrived |= arrives;
                changed.push((uid.clone(), arrives));
            }
        }
        for (uid, arrives) in changed {
            let kind = if arrives {
                "live_input.connected"
            } else {
                "live_input.disconnected"
            };
            self.notify(&uid, kind, None);
        }
    }

    /// Sends a notification, as developers.cloudflare.com/stream/stream-live/webhooks shows them.
    pub(super) fn notify(&self, uid: &str, kind: &str, errored: Option<Value>) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // Not a date as the real one's, but as much another one each time.
        let updated = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
        let mut data = json!({
            "notification_name": "Stream Live Input",
            "input_id": uid,
            "event_type": kind,
            "updated_at": updated,
        });
        if let Some(errored) = errored {
            data["live_input_errored"] = errored;
        }
        let body = json!({
            "name": "Live Webhook Test",
            "text": format!("Notification type: Stream Live Input\nInput ID: {uid}\nEvent type: {kind}"),
            "data": data,
            "ts": now.as_secs(),
        });
        let headers = [
            ("content-type", "application/json"),
            ("cf-webhook-auth", FakeCloudflare::WEBHOOK_SECRET),
        ];
        self.webhooks.send(Delivery {
            kind: kind.to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            body: body.to_string().into_bytes(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    /// Address and key in one.
    fn address(&self) -> String {
        format!("{}/{}", self.url.trim_end_matches('/'), self.stream_key)
    }
}
