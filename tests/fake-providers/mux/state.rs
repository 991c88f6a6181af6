//! What is in the account, and what happens to it.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    FakeMux, FakeStream, MuxQuirks,
    answers::{NOT_FOUND, Refused, invalid},
    stream::{Stream, new_id},
};
use crate::{Delivery, Media, Webhooks};

#[derive(Debug)]
pub(super) struct State {
    media: Arc<dyn Media>,
    webhooks: Webhooks,
    quirks: MuxQuirks,
    account: Mutex<Account>,
}

#[derive(Debug, Default)]
struct Account {
    /// The newest last.
    streams: Vec<Stream>,
    /// Recordings of live streams that are gone.
    left: Vec<String>,
}

impl Account {
    fn stream(&mut self, id: &str) -> Result<&mut Stream, Refused> {
        self.streams
            .iter_mut()
            .find(|stream| stream.id == id)
            .ok_or(NOT_FOUND)
    }
}

impl State {
    pub(super) fn new(media: Arc<dyn Media>, webhooks: Webhooks, quirks: MuxQuirks) -> Self {
        Self {
            media,
            webhooks,
            quirks,
            account: Mutex::default(),
        }
    }

    pub(super) const fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    pub(super) fn view(&self) -> Vec<FakeStream> {
        let account = self.lock();
        let view = account.streams.iter().map(|stream| FakeStream {
            id: stream.id.clone(),
            passthrough: stream.passthrough.clone().unwrap_or_default(),
            key: stream.ingest.key.clone(),
            targets: stream
                .targets
                .iter()
                .map(|target| (target.url.clone(), target.stream_key.clone()))
                .collect(),
        });
        view.collect()
    }

    pub(super) fn recordings(&self) -> Vec<String> {
        let account = self.lock();
        let recordings = account.streams.iter().flat_map(|stream| &stream.assets);
        recordings.chain(&account.left).cloned().collect()
    }

    /// The newest first.
    pub(super) fn list(&self, page: usize, limit: usize) -> Vec<Value> {
        let mut account = self.lock();
        let listed = account.streams.iter_mut().rev();
        listed
            .skip((page - 1).saturating_mul(limit))
            .take(limit)
            .map(|stream| self.told(stream))
            .collect()
    }

    pub(super) async fn create(&self, wanted: &Value) -> Result<Value, Refused> {
        if self.quirks.is_free {
            return Err(invalid("Live streams are unavailable on the free plan"));
        }
        let ingest = self.media.ingest(&new_id()).await;
        let mut stream = Stream::new(ingest, wanted)?;
        for target in &stream.targets {
            let key = &stream.ingest.key;
            self.media.connect(key, &target.id, &target.address()).await;
        }
        let told = self.told(&mut stream);
        self.tell("video.live_stream.created", &stream.id, &told);
        self.lock().streams.push(stream);
        Ok(told)
    }

    pub(super) fn read(&self, id: &str) -> Result<Value, Refused> {
        Ok(self.told(self.lock().stream(id)?))
    }

    pub(super) async fn remove(&self, id: &str) -> Result<(), Refused> {
        let stream = {
            let mut account = self.lock();
            let nth = account
                .streams
                .iter()
                .position(|stream| stream.id == id)
                .ok_or(NOT_FOUND)?;
            let stream = account.streams.remove(nth);
            account.left.extend(stream.assets.iter().cloned());
            stream
        };
        self.media.forget(&stream.ingest.key).await;
        self.tell("video.live_stream.deleted", id, &json!({ "id": id }));
        Ok(())
    }

    /// Ends the recording; the show may go on for a minute.
    pub(super) fn complete(&self, id: &str) -> Result<Value, Refused> {
        self.lock().stream(id).map(|_| json!({}))
    }

    /// Ends the show, and takes none any more.
    pub(super) async fn disable(&self, id: &str) -> Result<Value, Refused> {
        let key = {
            let mut account = self.lock();
            let stream = account.stream(id)?;
            stream.disabled = true;
            stream.ingest.key.clone()
        };
        self.media.forget(&key).await;
        Ok(json!({}))
    }

    pub(super) async fn enable(&self, id: &str) -> Result<Value, Refused> {
        let (key, targets) = {
            let mut account = self.lock();
            let stream = account.stream(id)?;
            stream.disabled = false;
            (stream.ingest.key.clone(), stream.targets.clone())
        };
        self.media.ingest(&key).await;
        for target in targets {
            self.media
                .connect(&key, &target.id, &target.address())
                .await;
        }
        Ok(json!({}))
    }

    pub(super) async fn create_target(&self, id: &str, wanted: &Value) -> Result<Value, Refused> {
        let (key, target, told) = {
            let mut account = self.lock();
            let stream = account.stream(id)?;
            let target = stream.add(wanted, &*self.media, self.quirks.reconnect_window)?;
            let told = stream.told_target(&target, "idle", &*self.media, self.quirks.hides_keys);
            (stream.ingest.key.clone(), target, told)
        };
        self.media
            .connect(&key, &target.id, &target.address())
            .await;
        Ok(told)
    }

    pub(super) fn read_target(&self, id: &str, target: &str) -> Result<Value, Refused> {
        let mut account = self.lock();
        let stream = account.stream(id)?;
        let status = stream.status(&*self.media, self.quirks.reconnect_window);
        let targets = &stream.targets;
        let target = targets
            .iter()
            .find(|known| known.id == target)
            .ok_or(NOT_FOUND)?;
        Ok(stream.told_target(target, status, &*self.media, self.quirks.hides_keys))
    }

    pub(super) async fn remove_target(&self, id: &str, target: &str) -> Result<(), Refused> {
        let key = {
            let mut account = self.lock();
            let stream = account.stream(id)?;
            let status = stream.status(&*self.media, self.quirks.reconnect_window);
            let nth = stream
                .targets
                .iter()
                .position(|known| known.id == target)
                .ok_or(NOT_FOUND)?;
            if status != "idle" {
                return Err(invalid(
                    "Simulcast targets can only be deleted while the live stream is idle",
                ));
            }
            stream.targets.remove(nth);
            stream.ingest.key.clone()
        };
        self.media.disconnect(&key, target).await;
        Ok(())
    }

    pub(super) fn remove_asset(&self, id: &str) -> Result<(), Refused> {
        let mut account = self.lock();
        let before = account.left.len();
        account.left.retain(|asset| asset != id);
        let mut found = account.left.len() < before;
        for stream in &mut account.streams {
            let before = stream.assets.len();
            stream.assets.retain(|asset| asset != id);
            found |= stream.assets.len() < before;
        }
        found.then_some(()).ok_or(NOT_FOUND)
    }

    /// Tells what has changed since the last look.
    pub(super) fn look(&self) {
        let window = self.quirks.reconnect_window;
        let mut news = Vec::new();
        for stream in &mut self.lock().streams {
            let status = stream.status(&*self.media, window);
            let before = stream.told.replace(status).unwrap_or("idle");
            let kinds: &[&str] = match (before, status) {
                (before, status) if before == status => &[],
                (_, "active") => &[
                    "video.live_stream.connected",
                    "video.live_stream.recording",
                    "video.live_stream.active",
                ],
                (_, "disabled") => &["video.live_stream.disabled"],
                (_, _) => &["video.live_stream.disconnected", "video.live_stream.idle"],
            };
            for kind in kinds {
                news.push(((*kind).to_owned(), stream.id.clone(), self.told(stream)));
            }
            for target in stream.targets.clone() {
                let (state, _) = stream.target_state(&target, status, &*self.media);
                let before = stream.told_targets.insert(target.id.clone(), state);
                if before.unwrap_or("idle") != state {
                    let kind = format!("video.live_stream.simulcast_target.{state}");
                    let mut told = stream.told_target(&target, status, &*self.media, false);
                    told["live_stream_id"] = json!(stream.id);
                    news.push((kind, stream.id.clone(), told));
                }
            }
        }
        for (kind, id, data) in news {
            self.tell(&kind, &id, &data);
        }
    }

    fn told(&self, stream: &mut Stream) -> Value {
        let MuxQuirks {
            reconnect_window,
            hides_keys,
            ..
        } = self.quirks;
        stream.told(&*self.media, reconnect_window, hides_keys)
    }

    /// Sends a webhook, signed.
    fn tell(&self, kind: &str, id: &str, data: &Value) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let body = json!({
            "type": kind,
            "id": uuid::Uuid::new_v4().to_string(),
            "created_at": "2026-11-21T09:00:00.000000Z",
            "object": { "type": "live", "id": id },
            "environment": { "name": "Fake", "id": "fake" },
            "data": data,
            "attempts": [],
        })
        .to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(FakeMux::WEBHOOK_SECRET.as_bytes())
            .expect("a key of any length is one");
        mac.update(format!("{now}.{body}").as_bytes());
        let signature = mac.finalize().into_bytes();
        let signature = signature.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all that is written");
            text
        });
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("mux-signature", format!("t={now},v1={signature}")),
        ];
        self.webhooks.send(Delivery {
            kind: kind.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body: body.into_bytes(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
