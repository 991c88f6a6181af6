//! One live stream with its targets.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::answers::{Refused, invalid};
use crate::{Ingest, Media, OutputState};

/// The most simulcast targets of one live stream.
const TARGETS_LIMIT: usize = 6;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: String,
    pub(super) ingest: Ingest,
    pub(super) passthrough: Option<String>,
    pub(super) disabled: bool,
    /// In the order of being made.
    pub(super) targets: Vec<Target>,
    /// What it was made with, as far as it is told again.
    settings: Value,
    /// When the show was last seen.
    pub(super) seen: Option<Instant>,
    pub(super) active_asset: Option<String>,
    pub(super) assets: Vec<String>,
    /// What was told by webhook.
    pub(super) told: Option<&'static str>,
    pub(super) told_targets: BTreeMap<String, &'static str>,
}

#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) id: String,
    pub(super) url: String,
    pub(super) stream_key: String,
    passthrough: Option<String>,
}

impl Stream {
    pub(super) fn new(ingest: Ingest, wanted: &Value) -> Result<Self, Refused> {
        let targets = match wanted.get("simulcast_targets") {
            None => Vec::new(),
            Some(targets) => targets
                .as_array()
                .ok_or(invalid("simulcast_targets must be a list"))?
                .iter()
                .map(Target::new)
                .collect::<Result<_, _>>()?,
        };
        if targets.len() > TARGETS_LIMIT {
            return Err(invalid("too many simulcast targets"));
        }
        let or = |field: &str, default: Value| wanted.get(field).cloned().unwrap_or(default);
        let settings = json!({
            "latency_mode": or("latency_mode", json!("standard")),
            "reconnect_window": or("reconnect_window", json!(60)),
            "max_continuous_duration": or("max_continuous_duration", json!(43200)),
            "new_asset_settings": or("new_asset_settings", json!({})),
            "playback_ids": or("playback_policies", json!([])).as_array().map(|policies| {
                policies
                    .iter()
                    .map(|policy| json!({ "id": new_id(), "policy": policy }))
                    .collect::<Vec<_>>()
            }),
        });
        Ok(Self {
            id: new_id(),
            ingest,
            passthrough: wanted["passthrough"].as_str().map(str::to_owned),
            disabled: false,
            targets,
            settings,
            seen: None,
            active_asset: None,
            assets: Vec::new(),
            told: None,
            told_targets: BTreeMap::new(),
        })
    }

    /// One more target, which only an idle stream takes.
    pub(super) fn add(
        &mut self,
        wanted: &Value,
        media: &dyn Media,
        window: Duration,
    ) -> Result<Target, Refused> {
        if self.status(media, window) != "idle" {
            return Err(invalid(
                "Simulcast targets can only be created while the live stream is idle",
            ));
        }
        if self.targets.len() >= TARGETS_LIMIT {
            return Err(invalid("too many simulcast targets"));
        }
        let target = Target::new(wanted)?;
        self.targets.push(target.clone());
        Ok(target)
    }

    /// `idle`, `active` or `disabled`.
    pub(super) fn status(&mut self, media: &dyn Media, window: Duration) -> &'static str {
        if self.disabled {
            return "disabled";
        }
        if media.is_arriving(&self.ingest.key) {
            self.seen = Some(Instant::now());
            if self.active_asset.is_none() {
                let asset = new_id();
                self.assets.push(asset.clone());
                self.active_asset = Some(asset);
            }
            return "active";
        }
        if self.seen.is_some_and(|seen| seen.elapsed() < window) {
            return "active";
        }
        self.active_asset = None;
        "idle"
    }

    /// The document of it.
    pub(super) fn told(&mut self, media: &dyn Media, window: Duration, hides_keys: bool) -> Value {
        let status = self.status(media, window);
        let targets: Vec<_> = self
            .targets
            .iter()
            .map(|target| self.told_target(target, status, media, hides_keys))
            .collect();
        let mut told = self.settings.clone();
        told["id"] = json!(self.id);
        told["created_at"] = json!("1763715600");
        told["status"] = json!(status);
        told["stream_key"] = json!(self.ingest.key);
        told["srt_passphrase"] = json!(self.ingest.key);
        told["simulcast_targets"] = json!(targets);
        told["recent_asset_ids"] = json!(self.assets);
        if let Some(passthrough) = &self.passthrough {
            told["passthrough"] = json!(passthrough);
        }
        if let Some(asset) = &self.active_asset {
            told["active_asset_id"] = json!(asset);
            told["active_ingest_protocol"] = json!("rtmp");
        }
        told
    }

    /// The document of one target.
    pub(super) fn told_target(
        &self,
        target: &Target,
        status: &str,
        media: &dyn Media,
        hides_keys: bool,
    ) -> Value {
        let (state, severity) = self.target_state(target, status, media);
        let mut told = json!({ "id": target.id, "url": target.url, "status": state });
        if !hides_keys {
            told["stream_key"] = json!(target.stream_key);
        }
        if let Some(severity) = severity {
            told["error_severity"] = json!(severity);
        }
        if let Some(passthrough) = &target.passthrough {
            told["passthrough"] = json!(passthrough);
        }
        told
    }

    /// A target's word, and how bad its error is; one whose words begin with `fatal` is not tried again.
    pub(super) fn target_state(
        &self,
        target: &Target,
        status: &str,
        media: &dyn Media,
    ) -> (&'static str, Option<&'static str>) {
        if status != "active" {
            return ("idle", None);
        }
        match media.state(&self.ingest.key, &target.id) {
            OutputState::Absent => ("idle", None),
            OutputState::Connecting => ("starting", None),
            OutputState::Live => ("broadcasting", None),
            OutputState::Failed(words) if words.starts_with("fatal") => ("errored", Some("fatal")),
            OutputState::Failed(_) => ("errored", Some("normal")),
        }
    }
}

impl Target {
    fn new(wanted: &Value) -> Result<Self, Refused> {
        let url = wanted["url"].as_str().ok_or(invalid("url is required"))?;
        if !["rtmp://", "rtmps://", "srt://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(invalid("url must be RTMP, RTMPS or SRT"));
        }
        Ok(Self {
            id: new_id(),
            url: url.to_owned(),
            stream_key: wanted["stream_key"].as_str().unwrap_or_default().to_owned(),
            passthrough: wanted["passthrough"].as_str().map(str::to_owned),
        })
    }

    /// Address and key in one.
    pub(super) fn address(&self) -> String {
        format!("{}/{}", self.url.trim_end_matches('/'), self.stream_key)
    }
}

pub(super) fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}
