//! Cloudflare Stream's JSON, as `cloudflare` 7.3.0 (npm) types it and as older answers of the API still look.

use broadcast::StreamKey;
use serde::{Deserialize, Serialize};

use crate::hosted::{
    Contribution, ContributionState, ProviderError, Refusal, outputs::Output, secret,
};

/// What a request to make a live input asks for.
#[derive(Serialize)]
pub(super) struct NewInput<'a> {
    pub(super) meta: Meta<'a>,
    pub(super) recording: Recording,
    #[serde(rename = "preferLowLatency")]
    pub(super) prefer_low_latency: bool,
    pub(super) enabled: bool,
}

/// A live input's own notes, by which it is found again.
#[derive(Serialize)]
pub(super) struct Meta<'a> {
    pub(super) name: &'a str,
}

/// Whether Cloudflare keeps the show.
#[derive(Serialize)]
pub(super) struct Recording {
    pub(super) mode: &'static str,
}

/// What a request to make an output asks for. It has no `Debug`: it holds a key.
#[derive(Serialize)]
pub(super) struct NewOutput<'a> {
    pub(super) url: &'a str,
    #[serde(rename = "streamKey")]
    pub(super) stream_key: &'a str,
    pub(super) enabled: bool,
}

/// What a request to switch an output asks for; nothing else of it can be changed.
#[derive(Serialize)]
pub(super) struct OutputSwitch {
    pub(super) enabled: bool,
}

/// What every answer comes in.
#[derive(Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) result: Option<T>,
}

impl<T> Envelope<T> {
    /// What was asked for.
    pub(super) fn result(self, what: &str) -> Result<T, ProviderError> {
        self.result
            .ok_or_else(|| ProviderError::Protocol(format!("no {what} in the answer")))
    }
}

/// What the number of a refusal says, where it says more than the HTTP status.
///
/// The numbers are Cloudflare's, of all its products; unverified against a real account are 10011 and that a wrong token
/// is answered with 400 at times.
pub(super) fn refusal(refusal: &Refusal<'_>) -> Option<ProviderError> {
    let errors = refusal.document?.get("errors")?.as_array()?;
    errors
        .iter()
        .filter_map(|error| error.get("code")?.as_i64())
        .find_map(|code| match code {
            // Authentication error; unable to authenticate; invalid access token; invalid request headers, and the
            // format of the Authorization header in particular.
            10_000 | 10_001 | 9_109 | 6_003 | 6_111 => Some(ProviderError::Auth),
            10_011 => Some(ProviderError::Quota("storage is full".to_owned())),
            _ => None,
        })
}

/// A live input, with the secrets to publish to it.
#[derive(Deserialize)]
pub(super) struct LiveInput {
    pub(super) uid: String,
    pub(super) rtmps: Option<Ingest>,
    #[serde(default)]
    pub(super) status: Option<Status>,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
}

const fn yes() -> bool {
    true
}

impl LiveInput {
    /// How to publish to it.
    pub(super) fn contribution(&self) -> Result<Contribution, ProviderError> {
        let ingest = self.rtmps.as_ref().ok_or_else(|| {
            ProviderError::Protocol("the live input has no RTMPS address".to_owned())
        })?;
        broadcast::Endpoint::parse(ingest.url.expose(), Some(ingest.stream_key.expose()))
            .map(Contribution::Push)
            .map_err(|error| ProviderError::Protocol(format!("the RTMPS address: {error}")))
    }
}

/// Where a live input takes RTMPS.
#[derive(Deserialize)]
pub(super) struct Ingest {
    #[serde(deserialize_with = "secret::deserialize")]
    pub(super) url: StreamKey,
    #[serde(rename = "streamKey", deserialize_with = "secret::deserialize")]
    pub(super) stream_key: StreamKey,
}

/// Whether a live input is published to. Today's answers are one word; older ones tell it apart and keep a history.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Status {
    Word(String),
    History { current: Option<CurrentStatus> },
}

/// The older answer's latest entry.
#[derive(Debug, Deserialize)]
pub(super) struct CurrentStatus {
    state: Option<String>,
    reason: Option<String>,
}

impl Status {
    /// Whether the show gets there, and why it never will again if it has been ended.
    pub(super) fn read(&self) -> (ContributionState, Option<ProviderError>) {
        let (state, reason) = match self {
            Self::Word(word) => (word.as_str(), None),
            Self::History { current: None } => return (ContributionState::Absent, None),
            Self::History {
                current: Some(current),
            } => (
                current.state.as_deref().unwrap_or_default(),
                current.reason.as_deref(),
            ),
        };
        if [Some(state), reason].contains(&Some("ttl_exceeded")) {
            let ended = ProviderError::Quota("the longest time of a show is over".to_owned());
            return (ContributionState::Absent, Some(ended));
        }
        let contribution = match state {
            "connected" | "reconnected" => ContributionState::Arriving,
            "connecting"
            | "disconnected"
            | "reconnecting"
            | "client_disconnect"
            | "failed_to_connect"
            | "failed_to_reconnect"
            | "new_configuration_accepted" => ContributionState::Absent,
            _ => ContributionState::Unknown,
        };
        (contribution, None)
    }
}

/// A page of live inputs, which come without secrets.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Listing {
    Named {
        #[serde(rename = "liveInputs", default)]
        live_inputs: Vec<Listed>,
        total: Option<u64>,
    },
    Bare(Vec<Listed>),
}

impl Listing {
    /// The inputs, and how many there are in all if that is said.
    pub(super) fn inputs(self) -> (Vec<Listed>, Option<u64>) {
        match self {
            Self::Named { live_inputs, total } => (live_inputs, total),
            Self::Bare(inputs) => (inputs, None),
        }
    }
}

/// A live input in a list.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) uid: String,
    /// Anything that the account's owner likes, so that it is looked into with care.
    #[serde(default)]
    meta: serde_json::Value,
}

impl Listed {
    /// The name that it was given.
    pub(super) fn name(&self) -> Option<&str> {
        self.meta.get("name")?.as_str()
    }
}

/// A destination of a live input.
#[derive(Debug, Deserialize)]
pub(super) struct LiveOutput {
    uid: String,
    #[serde(default, deserialize_with = "secret::deserialize_optional")]
    url: Option<StreamKey>,
    #[serde(
        rename = "streamKey",
        default,
        deserialize_with = "secret::deserialize_optional"
    )]
    stream_key: Option<StreamKey>,
    #[serde(default = "yes")]
    enabled: bool,
}

impl From<LiveOutput> for Output {
    fn from(output: LiveOutput) -> Self {
        let LiveOutput {
            uid,
            url,
            stream_key,
            enabled,
        } = output;
        Self {
            uid,
            url,
            stream_key,
            enabled,
        }
    }
}

/// How much of the account's storage is used, in minutes.
#[derive(Deserialize)]
pub(super) struct StorageUsage {
    #[serde(rename = "totalStorageMinutes", default)]
    used: f64,
    #[serde(rename = "totalStorageMinutesLimit", default)]
    limit: f64,
}

impl StorageUsage {
    /// Whether nothing more can begin: a full account takes no live input's show, recorded or not.
    pub(super) fn is_full(&self) -> bool {
        self.limit > 0.0 && self.used >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> (ContributionState, Option<ProviderError>) {
        let input = format!(r#"{{"uid":"1","rtmps":null,"status":{json}}}"#);
        let input: LiveInput = serde_json::from_str(&input).unwrap();
        input
            .status
            .map_or((ContributionState::Absent, None), |status| status.read())
    }

    #[test]
    fn both_shapes_of_a_status_are_read() {
        let arriving = (ContributionState::Arriving, None);
        let absent = (ContributionState::Absent, None);

        assert_eq!(status("\"connected\""), arriving);
        assert_eq!(status("\"reconnected\""), arriving);
        assert_eq!(
            status(r#"{"current":{"state":"connected","reason":"reconnected"},"history":[]}"#),
            arriving
        );
        assert_eq!(status("\"client_disconnect\""), absent);
        assert_eq!(
            status(r#"{"current":{"state":"disconnected","reason":"client_disconnect"}}"#),
            absent
        );
        assert_eq!(status(r#"{"current":null,"history":[]}"#), absent);
        assert_eq!(status("null"), absent);
        assert_eq!(
            status("\"a_word_of_next_year\"").0,
            ContributionState::Unknown
        );
    }

    #[test]
    fn a_show_that_lasted_too_long_is_over() {
        for shape in [
            "\"ttl_exceeded\"",
            r#"{"current":{"state":"disconnected","reason":"ttl_exceeded"}}"#,
        ] {
            assert!(matches!(status(shape).1, Some(ProviderError::Quota(_))));
        }
    }

    #[test]
    fn a_refusal_is_known_by_its_number_whatever_its_status() {
        let error = |code: i64| {
            let document = serde_json::json!({
                "success": false,
                "errors": [{ "code": code, "message": "words" }],
                "result": null,
            });
            refusal(&Refusal {
                status: 400,
                document: Some(&document),
                retry_after: None,
                thing: "live input",
            })
        };

        assert_eq!(error(10_000), Some(ProviderError::Auth));
        assert!(matches!(error(10_011), Some(ProviderError::Quota(_))));
        assert_eq!(error(10_005), None);
    }

    #[test]
    fn a_list_is_read_with_and_without_its_name_and_with_notes_of_others() {
        let listing = r#"{"liveInputs":[{"uid":"1","meta":{"name":"a"}},{"uid":"2","meta":"text"},{"uid":"3"}],"total":3}"#;
        let bare = r#"[{"uid":"1","meta":{"name":"a"}}]"#;

        let (inputs, total) = serde_json::from_str::<Listing>(listing).unwrap().inputs();
        let names: Vec<_> = inputs.iter().map(Listed::name).collect();
        assert_eq!((names, total), (vec![Some("a"), None, None], Some(3)));
        assert_eq!(
            serde_json::from_str::<Listing>(bare).unwrap().inputs().1,
            None
        );
    }

    #[test]
    fn an_input_without_an_address_is_a_mistake_of_the_provider() {
        let input: LiveInput =
            serde_json::from_str(r#"{"uid":"1","rtmps":{"url":"https://x/","streamKey":"k"}}"#)
                .unwrap();

        assert!(matches!(
            input.contribution(),
            Err(ProviderError::Protocol(_))
        ));
    }
}
