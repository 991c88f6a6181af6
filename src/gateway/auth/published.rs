//! Keys that an issuer publishes (RFC 7517), kept for a while and fetched again when an unknown one is named.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, jwk::Jwk};
use reqwest::Client;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::{
    AuthError, AuthSetupError,
    bounded::{self, exchange},
    key::Key,
};

/// After how long keys are fetched again, so that a revoked one is forgotten.
const FRESH_FOR: Duration = Duration::from_mins(10);

/// How long keys are trusted while the issuer cannot be reached.
const USABLE_FOR: Duration = Duration::from_hours(1);

/// How long not to ask again after an answer or a failure: tokens with invented key ids must not make
/// the gateway a flood of requests.
const PAUSE: Duration = Duration::from_secs(10);

/// The most bytes of a key set; large issuers publish 10 KiB.
const SET_LIMIT_BYTES: usize = 256 * 1024;

/// The most keys that are kept.
const KEYS_LIMIT: usize = 64;

#[derive(Debug)]
pub(super) struct Published {
    client: Client,
    url: Url,
    /// Held only to read or replace what it points to.
    set: RwLock<Option<Arc<KeySet>>>,
    /// When was last asked; whoever asks holds it, so that one asks for all.
    asking: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct KeySet {
    by_id: HashMap<String, Key>,
    nameless: Vec<Key>,
    fetched: Instant,
}

impl Published {
    pub(super) fn new(url: Url) -> Result<Self, AuthSetupError> {
        Ok(Self {
            client: bounded::client()?,
            url,
            set: RwLock::new(None),
            asking: Mutex::new(None),
        })
    }

    /// Finds the key that a token names, fetching the set when it is old or does not hold it.
    pub(super) async fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Instant,
    ) -> Result<Key, AuthError> {
        let known = self
            .usable(now)
            .and_then(|set| Some((set.fetched, set.find(id, algorithm)?)));
        if let Some((fetched, key)) = known {
            if now.duration_since(fetched) < FRESH_FOR {
                return Ok(key);
            }
            // Old but usable: one asks, the others go on with what there is.
            let Ok(asked) = self.asking.try_lock() else {
                return Ok(key);
            };
            return match self.ask(asked, now).await {
                Ok(()) => self.find(id, algorithm, now),
                Err(_) => Ok(key),
            };
        }
        let asked = self.asking.lock().await;
        if let Ok(key) = self.find(id, algorithm, now) {
            return Ok(key);
        }
        let asking = self.ask(asked, now).await;
        match (asking, self.usable(now)) {
            (Err(error), None) => Err(error),
            (Ok(()) | Err(_), _) => self.find(id, algorithm, now),
        }
    }

    async fn ask(
        &self,
        mut asked: tokio::sync::MutexGuard<'_, Option<Instant>>,
        now: Instant,
    ) -> Result<(), AuthError> {
        if asked.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            return Err(AuthError::Unavailable(
                "the issuer's keys could not be fetched".to_owned(),
            ));
        }
        *asked = Some(now);
        let set = self.fetch(now).await.inspect_err(
            |error| tracing::warn!(%error, fault = "gateway", "keys for tokens could not be fetched"),
        )?;
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(set));
        Ok(())
    }

    async fn fetch(&self, now: Instant) -> Result<KeySet, AuthError> {
        let unavailable = |why: String| AuthError::Unavailable(format!("the issuer's keys: {why}"));
        let (status, body) = exchange(self.client.get(self.url.clone()), SET_LIMIT_BYTES)
            .await
            .map_err(|error| unavailable(error.to_string()))?;
        if !status.is_success() {
            return Err(unavailable(format!(
                "the server answered with status {}",
                status.as_u16()
            )));
        }
        KeySet::parse(&body, now).ok_or_else(|| unavailable("there are none for tokens".to_owned()))
    }

    fn usable(&self, now: Instant) -> Option<Arc<KeySet>> {
        let set = self
            .set
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        (now.saturating_duration_since(set.fetched) < USABLE_FOR).then_some(set)
    }

    fn find(&self, id: Option<&str>, algorithm: Algorithm, now: Instant) -> Result<Key, AuthError> {
        self.usable(now)
            .and_then(|set| set.find(id, algorithm))
            .ok_or_else(|| AuthError::Refused("its key is not among the issuer's".to_owned()))
    }
}

impl KeySet {
    /// Keeps the keys that are for tokens; one that is not understood does not spoil the others.
    fn parse(body: &[u8], fetched: Instant) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(body).ok()?;
        let mut by_id = HashMap::new();
        let mut nameless = Vec::new();
        for value in set.keys.into_iter().take(KEYS_LIMIT) {
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else {
                continue;
            };
            let Some(key) = Key::of_jwk(&jwk) else {
                continue;
            };
            match jwk.common.key_id {
                Some(id) => drop(by_id.insert(id, key)),
                None => nameless.push(key),
            }
        }
        (!by_id.is_empty() || !nameless.is_empty()).then_some(Self {
            by_id,
            nameless,
            fetched,
        })
    }

    /// A token without a key id is checked by the only key of its algorithm.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Key> {
        if let Some(id) = id {
            let key = self.by_id.get(id)?;
            return (key.algorithm == algorithm).then(|| key.clone());
        }
        let all = self.by_id.values().chain(&self.nameless);
        let mut candidates = all.filter(|key| key.algorithm == algorithm);
        let key = candidates.next()?;
        candidates.next().is_none().then(|| key.clone())
    }
}
