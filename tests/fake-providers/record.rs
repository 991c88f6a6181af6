//! What a server was asked, to be compared with what the provider documents.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

/// How many requests are kept; later ones are not, so that a demo that runs for days stays small.
const KEPT: usize = 10_000;

/// Headers whose values are not kept.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "cf-webhook-auth", "x-api-key"];

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What it asks for, as the server names it.
    pub operation: String,
    /// HTTP method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// The query as it came; empty if there is none.
    pub query: String,
    /// Headers with names in lower case; of secret ones only the first word is kept, such as `Bearer`.
    pub headers: BTreeMap<String, String>,
    /// The document; `Null` if there is none.
    pub body: Value,
}

/// What a server was asked, in order. Its clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Records(Arc<Mutex<Vec<Recorded>>>);

impl Records {
    /// Keeps a request.
    pub fn keep(&self, recorded: Recorded) {
        let mut records = self.lock();
        if records.len() < KEPT {
            records.push(recorded);
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Recorded> {
        self.lock().clone()
    }

    /// Those that asked for one operation.
    pub fn of(&self, operation: &str) -> Vec<Recorded> {
        self.lock()
            .iter()
            .filter(|recorded| recorded.operation == operation)
            .cloned()
            .collect()
    }

    /// How many asked for one operation.
    pub fn count(&self, operation: &str) -> usize {
        self.of(operation).len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept of a header.
pub(crate) fn kept_header(name: &str, value: &str) -> String {
    if SECRET_HEADERS.contains(&name) {
        let scheme = value.split_once(' ').map_or("", |(scheme, _)| scheme);
        return scheme.to_owned();
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_a_request_is_not_kept() {
        assert_eq!(kept_header("authorization", "Bearer SECRET"), "Bearer");
        assert_eq!(kept_header("cf-webhook-auth", "SECRET"), "");
        assert_eq!(kept_header("idempotency-key", "bc-1"), "bc-1");
    }

    #[test]
    fn no_more_than_the_limit_is_kept() {
        let records = Records::default();
        for nth in 0..=KEPT {
            records.keep(Recorded {
                operation: "ask".to_owned(),
                method: "GET".to_owned(),
                path: format!("/{nth}"),
                query: String::new(),
                headers: BTreeMap::new(),
                body: Value::Null,
            });
        }

        assert_eq!(records.count("ask"), KEPT);
    }
}
