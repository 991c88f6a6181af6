//! Asks the backend about a token, as the seeds' servers do: any 2xx is a yes.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::json;
use signalling::Bearer;
use tokio::{sync::Semaphore, time::timeout};
use url::Url;

use super::{
    AuthError, AuthSetupError,
    bounded::{self, exchange},
    claims::Claims,
    identity::Identity,
};

/// The most bytes of an answer.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;

/// How many questions may be open at a time; more wait.
const QUESTIONS_LIMIT: usize = 64;

/// How long a question may wait for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Callback {
    client: Client,
    url: Url,
    turns: Semaphore,
}

/// What a backend may say beside its status. The seeds' backends say nothing.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Answer {
    valid: Option<bool>,
    #[serde(alias = "userId")]
    sub: Option<String>,
    user: Option<User>,
    role: Option<String>,
    #[serde(alias = "broadcastId")]
    broadcast: Option<String>,
    #[serde(alias = "roomId")]
    room: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: Option<String>,
    role: Option<String>,
}

impl Callback {
    pub(super) fn new(base: &Url) -> Result<Self, AuthSetupError> {
        let mut url = base.clone();
        let path = format!(
            "{}/api/verify-media-server-token",
            base.path().trim_end_matches('/')
        );
        url.set_path(&path);
        Ok(Self {
            client: bounded::client()?,
            url,
            turns: Semaphore::new(QUESTIONS_LIMIT),
        })
    }

    pub(super) async fn authenticate(&self, token: &Bearer) -> Result<Identity, AuthError> {
        let unavailable = |why: &str| AuthError::Unavailable(format!("the backend {why}"));
        let _turn = timeout(TURN_PATIENCE, self.turns.acquire())
            .await
            .map_err(|_| unavailable("is asked too often"))?;
        let question = self
            .client
            .post(self.url.clone())
            .json(&json!({ "token": token.expose() }));
        let (status, body) = exchange(question, ANSWER_LIMIT_BYTES)
            .await
            .map_err(|error| AuthError::Unavailable(error.to_string()))?;
        match status {
            status if status.is_success() => understand(&body),
            StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::UNPROCESSABLE_ENTITY => Err(AuthError::Refused(
                "the backend does not know it".to_owned(),
            )),
            status => Err(unavailable(&format!(
                "answered with status {}",
                status.as_u16()
            ))),
        }
    }
}

/// A success that is neither empty nor a JSON object is not a yes: it may come from anything on the way.
fn understand(body: &[u8]) -> Result<Identity, AuthError> {
    let answer = if body.iter().all(u8::is_ascii_whitespace) {
        Answer::default()
    } else {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body)
            .map_err(|_| {
                AuthError::Unavailable("the backend's answer is not understood".to_owned())
            })?;
        serde_json::from_value(object.into())
            .map_err(|_| AuthError::Refused("the backend's answer is not understood".to_owned()))?
    };
    if answer.valid == Some(false) {
        return Err(AuthError::Refused(
            "the backend does not know it".to_owned(),
        ));
    }
    let (id, role) = answer
        .user
        .map_or((None, None), |user| (user.id, user.role));
    Claims::of_backend(
        answer.sub.or(id),
        answer.role.or(role),
        answer.broadcast,
        answer.room,
    )
    .vouched_identity()
    .map_err(AuthError::Refused)
}
