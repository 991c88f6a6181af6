//! Mux's JSON, as `@mux/mux-node` 15.3.0 types it.

use broadcast::{Endpoint, StreamKey};
use serde::{Deserialize, Serialize};

use crate::hosted::{
    Contribution, ContributionState, ProviderError, Refusal, TargetState, outputs::Output, secret,
};

/// What a request to make a live stream asks for. It has no `Debug`: its targets hold keys.
#[derive(Serialize)]
pub(super) struct NewStream<'a> {
    pub(super) playback_policies: [&'static str; 1],
    pub(super) new_asset_settings: NewAsset,
    pub(super) reconnect_window: u64,
    pub(super) max_continuous_duration: u64,
    pub(super) passthrough: &'a str,
    pub(super) simulcast_targets: Vec<NewTarget<'a>>,
}

/// What Mux makes of the show besides.
#[derive(Serialize)]
pub(super) struct NewAsset {
    pub(super) playback_policies: [&'static str; 1],
}

/// A destination to be made.
#[derive(Serialize)]
pub(super) struct NewTarget<'a> {
    pub(super) url: &'a str,
    pub(super) stream_key: &'a str,
    pub(super) passthrough: &'a str,
}

/// What every answer comes in.
#[derive(Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) data: T,
}

/// What a refusal says, where it says more than the HTTP status: an account without live streams gets 400 and
/// `invalid_parameters`, told apart by the message alone.
pub(super) fn refusal(refusal: &Refusal<'_>) -> Option<ProviderError> {
    let messages = refusal
        .document?
        .get("error")?
        .get("messages")?
        .as_array()?;
    messages
        .iter()
        .filter_map(serde_json::Value::as_str)
        .any(|message| message.contains("unavailable on the free plan"))
        .then(|| ProviderError::Quota("live streams need a paid plan".to_owned()))
}

/// A live stream, with the secret to publish to it.
#[derive(Deserialize)]
pub(super) struct LiveStream {
    pub(super) id: String,
    pub(super) status: String,
    #[serde(deserialize_with = "secret::deserialize")]
    pub(super) stream_key: StreamKey,
    pub(super) passthrough: Option<String>,
    #[serde(default)]
    pub(super) simulcast_targets: Vec<Target>,
    active_asset_id: Option<String>,
    #[serde(default)]
    recent_asset_ids: Vec<String>,
}

impl LiveStream {
    /// Whether its destinations can be changed.
    pub(super) fn is_idle(&self) -> bool {
        self.status == "idle"
    }

    /// Whether it takes no show any more.
    pub(super) fn is_disabled(&self) -> bool {
        self.status == "disabled"
    }

    /// Whether the show gets there.
    pub(super) fn contribution_state(&self) -> ContributionState {
        match self.status.as_str() {
            "active" => ContributionState::Arriving,
            "idle" | "disabled" => ContributionState::Absent,
            _ => ContributionState::Unknown,
        }
    }

    /// How to publish to it, at the address where Mux takes all shows.
    pub(super) fn contribution(&self, ingest: &str) -> Result<Contribution, ProviderError> {
        Endpoint::parse(ingest, Some(self.stream_key.expose()))
            .map(Contribution::Push)
            .map_err(|error| ProviderError::Protocol(format!("the stream key: {error}")))
    }

    /// The id of the target that was made under this name.
    pub(super) fn target_named(&self, name: &str) -> Option<&str> {
        self.simulcast_targets
            .iter()
            .find(|target| target.passthrough.as_deref() == Some(name))
            .map(|target| target.id.as_str())
    }

    /// The recordings of this stream's shows, each once.
    pub(super) fn recordings(self) -> Vec<String> {
        let mut recordings = self.recent_asset_ids;
        recordings.extend(self.active_asset_id);
        recordings.sort();
        recordings.dedup();
        recordings
    }
}

/// A destination of a live stream.
#[derive(Deserialize)]
pub(super) struct Target {
    pub(super) id: String,
    passthrough: Option<String>,
    status: String,
    error_severity: Option<String>,
    #[serde(default, deserialize_with = "secret::deserialize_optional")]
    url: Option<StreamKey>,
    #[serde(default, deserialize_with = "secret::deserialize_optional")]
    stream_key: Option<StreamKey>,
}

impl Target {
    /// How it is.
    ///
    /// An error of severity `normal` is one that Mux tries to get over by itself; after a `fatal` one it leaves the
    /// destination alone until the show ends.
    pub(super) fn state(&self) -> TargetState {
        match (self.status.as_str(), self.error_severity.as_deref()) {
            ("idle" | "starting", _) => TargetState::Connecting,
            ("broadcasting", _) => TargetState::Live,
            ("errored", Some("fatal")) => TargetState::Failed(
                "Mux gave it up: it does not take this show, or refuses the key".to_owned(),
            ),
            ("errored", _) => TargetState::Interrupted,
            _ => TargetState::Unknown,
        }
    }

    /// What is compared with what is wanted.
    pub(super) fn output(&self) -> Output {
        Output {
            uid: self.id.clone(),
            url: self.url.clone(),
            stream_key: self.stream_key.clone(),
            enabled: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(json: &str) -> LiveStream {
        serde_json::from_str::<Envelope<LiveStream>>(json)
            .unwrap()
            .data
    }

    fn target(json: &str) -> TargetState {
        serde_json::from_str::<Target>(json).unwrap().state()
    }

    #[test]
    fn each_state_of_a_target_is_told() {
        assert_eq!(
            target(r#"{"id":"1","url":"rtmp://x/a","status":"idle"}"#),
            TargetState::Connecting
        );
        assert_eq!(
            target(r#"{"id":"1","url":"rtmp://x/a","status":"starting"}"#),
            TargetState::Connecting
        );
        assert_eq!(
            target(r#"{"id":"1","url":"rtmp://x/a","status":"broadcasting"}"#),
            TargetState::Live
        );
        assert_eq!(
            target(r#"{"id":"1","url":"rtmp://x/a","status":"errored","error_severity":"normal"}"#),
            TargetState::Interrupted
        );
        assert!(matches!(
            target(r#"{"id":"1","url":"rtmp://x/a","status":"errored","error_severity":"fatal"}"#),
            TargetState::Failed(_)
        ));
        assert_eq!(
            target(r#"{"id":"1","url":"rtmp://x/a","status":"a_word_of_next_year"}"#),
            TargetState::Unknown
        );
    }

    #[test]
    fn a_stream_tells_whether_the_show_arrives() {
        let state = |status: &str| {
            stream(&format!(
                r#"{{"data":{{"id":"1","status":"{status}","stream_key":"k"}}}}"#
            ))
            .contribution_state()
        };

        assert_eq!(state("active"), ContributionState::Arriving);
        assert_eq!(state("idle"), ContributionState::Absent);
        assert_eq!(state("disabled"), ContributionState::Absent);
        assert_eq!(state("resting"), ContributionState::Unknown);
    }

    #[test]
    fn a_recording_is_told_once() {
        let stream = stream(
            r#"{"data":{"id":"1","status":"active","stream_key":"k","active_asset_id":"b","recent_asset_ids":["a","b"]}}"#,
        );

        assert_eq!(stream.recordings(), ["a", "b"]);
    }

    #[test]
    fn a_free_plan_is_a_quota_and_no_bad_request() {
        let error = |message: &str| {
            let document = serde_json::json!({
                "error": { "type": "invalid_parameters", "messages": [message] },
            });
            refusal(&Refusal {
                status: 400,
                document: Some(&document),
                retry_after: None,
                thing: "live stream",
            })
        };

        assert!(matches!(
            error("Live streams are unavailable on the free plan"),
            Some(ProviderError::Quota(_))
        ));
        assert_eq!(
            error("Cannot use max continuous duration with test live streams"),
            None
        );
    }
}
