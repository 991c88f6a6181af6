//! What of a provider's own words may be shown: nothing that was sent to it, no address beyond its host, little of it.

use std::collections::VecDeque;

use broadcast::StreamKey;
use serde_json::Value;

/// The longest text that is shown, in characters.
const LONGEST: usize = 200;

/// The shortest piece of what was sent that is hidden, in bytes; shorter ones would hide ordinary words.
const SHORTEST_HIDDEN: usize = 4;

/// What stands in place of what is hidden.
const HIDDEN: &str = "…";

/// The shortest piece of an earlier request that is hidden, in bytes: keys are longer, and most words are not.
const SHORTEST_REMEMBERED: usize = 8;

/// How many pieces of earlier requests are remembered: those of some hundred destinations.
const REMEMBERED_LIMIT: usize = 2048;

/// What was sent before, the newest of it: a provider may quote in one answer what it was told in another request.
#[derive(Debug, Default)]
pub(super) struct Remembered(VecDeque<StreamKey>);

impl Remembered {
    /// Remembers what a request hides.
    pub(super) fn add(&mut self, hidden: &Hidden) {
        for piece in &hidden.0 {
            if piece.expose().len() >= SHORTEST_REMEMBERED && !self.0.contains(piece) {
                self.0.push_back(piece.clone());
            }
        }
        let excess = self.0.len().saturating_sub(REMEMBERED_LIMIT);
        self.0.drain(..excess);
    }

    /// What a request hides, and all that is remembered.
    pub(super) fn with(&self, hidden: &Hidden) -> Hidden {
        Hidden(self.0.iter().chain(&hidden.0).cloned().collect())
    }
}

/// Pieces of text that no error may hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Hidden(Vec<StreamKey>);

impl Hidden {
    /// Hides a text, what it looks like in a URL, and the parts of it if it is one.
    pub(super) fn add(&mut self, text: &str) {
        self.piece(text);
        if let Some((_, rest)) = text.split_once("://") {
            let path = rest.split_once('/').map_or("", |(_, path)| path);
            self.piece(path);
            for piece in path.split(['/', '?', '&', '#', ' ']) {
                self.piece(piece);
                if let Some((_, value)) = piece.split_once('=') {
                    self.piece(value);
                }
            }
        }
    }

    /// Hides every text in a document.
    pub(super) fn add_all(&mut self, document: &Value) {
        match document {
            Value::String(text) => self.add(text),
            Value::Array(items) => items.iter().for_each(|item| self.add_all(item)),
            Value::Object(fields) => fields.values().for_each(|field| self.add_all(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn piece(&mut self, piece: &str) {
        if piece.len() < SHORTEST_HIDDEN {
            return;
        }
        self.0.push(StreamKey::new(piece));
        let encoded: String = url::form_urlencoded::byte_serialize(piece.as_bytes()).collect();
        if encoded != piece {
            self.0.push(StreamKey::new(encoded));
        }
    }

    /// The text without what is hidden, without control characters, and not longer than 200 characters.
    pub(super) fn shown(&self, text: &str) -> String {
        let mut pieces: Vec<&str> = self.0.iter().map(StreamKey::expose).collect();
        // A piece of a piece would leave the rest of it in the open.
        pieces.sort_unstable_by_key(|piece| std::cmp::Reverse(piece.len()));
        let mut text = text.to_owned();
        for piece in pieces {
            text = text.replace(piece, HIDDEN);
        }
        harmless(&text)
    }
}

/// A provider's words about what it was not sent in the same request: without control characters, with hosts in place of
/// addresses, and not longer than 200 characters.
pub fn harmless(text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(without_path)
        .collect();
    let text = words.join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars()
        .take(LONGEST - 1)
        .chain(HIDDEN.chars())
        .collect()
}

/// `rtmps://host/…` of `rtmps://user@host:443/app/key`; a key may stand anywhere behind the host, and before it.
fn without_path(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let end = rest
        .find(['/', '?', '#', '"', '\'', ',', ';', ')'])
        .unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if end == rest.len() {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}/{HIDDEN}")
    }
}

/// Where the usual error documents say what is wrong.
pub(super) fn said(document: &Value) -> Option<&str> {
    let error = &document["error"];
    [
        &document["msg"],
        &document["message"],
        &document["info"],
        &error["messages"][0],
        &error["message"],
        &document["errors"][0]["message"],
        &document["errors"][0],
        &document["title"],
        error,
        &document["code"],
    ]
    .into_iter()
    .find_map(Value::as_str)
    .filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_long_pieces_of_earlier_requests_are_remembered() {
        let mut remembered = Remembered::default();
        for number in 0..=REMEMBERED_LIMIT {
            let mut hidden = Hidden::default();
            hidden.add(&format!("stream-key-{number:04}"));
            hidden.add("seven77");
            remembered.add(&hidden);
            remembered.add(&hidden);
        }

        let all = remembered.with(&Hidden::default());

        assert_eq!(all.0.len(), REMEMBERED_LIMIT);
        assert_eq!(
            all.shown("stream-key-0000 stream-key-0001 seven77"),
            "stream-key-0000 … seven77"
        );
    }

    #[test]
    fn nothing_that_was_sent_is_shown() {
        let mut hidden = Hidden::default();
        hidden.add_all(&json!({
            "outputs": [{ "urls": ["rtmps://a.example:443/live2/KEY-1?s_bl=1&sign=SIGNED"] }],
            "streamKey": "FB-1 2/3",
        }));

        for text in [
            "bad url rtmps://a.example:443/live2/KEY-1?s_bl=1&sign=SIGNED given",
            "no stream KEY-1",
            "signature SIGNED expired",
            "refused: FB-1 2/3",
            "refused: FB-1+2%2F3",
        ] {
            let shown = hidden.shown(text);
            for secret in ["KEY-1", "SIGNED", "FB-1"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }

    #[test]
    fn an_address_is_shown_up_to_its_host() {
        assert_eq!(
            harmless("cannot reach rtmps://user:pass@a.example:443/live2/KEY, gave up"),
            "cannot reach rtmps://a.example:443/… gave up"
        );
        assert_eq!(
            harmless("see https://docs.example"),
            "see https://docs.example"
        );
    }

    #[test]
    fn short_words_stay() {
        let mut hidden = Hidden::default();
        hidden.add("is");

        assert_eq!(hidden.shown("this is it"), "this is it");
    }

    #[test]
    fn words_are_found_where_the_providers_put_them() {
        for document in [
            json!({ "code": "not_found", "msg": "gone" }),
            json!({ "error": "not-found", "info": "gone" }),
            json!({ "error": { "type": "not_found", "messages": ["gone"] } }),
            json!({ "success": false, "errors": [{ "code": 1, "message": "gone" }] }),
            json!({ "errors": ["gone"] }),
            json!({ "error": "gone" }),
            json!({ "message": "gone" }),
        ] {
            assert_eq!(said(&document), Some("gone"), "{document}");
        }
        assert_eq!(said(&json!([1])), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_short_and_printable(text in any::<String>(), key in "[a-zA-Z0-9/?&=_-]{4,40}") {
            let mut hidden = Hidden::default();
            hidden.add(&key);

            let shown = hidden.shown(&format!("{text} {key} {text}"));

            prop_assert!(shown.chars().count() <= LONGEST);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert!(!shown.contains(&key) || key.len() < SHORTEST_HIDDEN);
        }
    }
}
