//! What a client shows when it connects.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Uri};
use serde_json::Value;

use super::Handshake;
use crate::Bearer;

/// The most of a handshake's query that is kept, in bytes; and of what is beside the token.
const LONGEST: usize = 4096;

/// Engine.IO's own parameters.
const OWN: [&str; 5] = ["EIO", "transport", "sid", "t", "b64"];

/// The token: `auth.token`, else the `Authorization` header. `Err`: there is one, but it is no token.
pub(super) fn token(auth: &Value, headers: &HeaderMap) -> Result<Option<Bearer>, ()> {
    match auth.get("token") {
        None | Some(Value::Null) => Bearer::of_request(headers).map_err(drop),
        Some(Value::String(token)) if token.trim().is_empty() => Ok(None),
        Some(Value::String(token)) => {
            let token = token.trim();
            let bare = token.strip_prefix("Bearer ").unwrap_or(token);
            Bearer::new(bare.trim()).map(Some).map_err(drop)
        }
        Some(_) => Err(()),
    }
}

/// What else was told.
pub(super) fn handshake(mut auth: Value, uri: &Uri) -> Handshake {
    if let Value::Object(fields) = &mut auth {
        fields.remove("token");
    }
    if auth.to_string().len() > LONGEST {
        auth = Value::Null;
    }
    let query = uri.query().filter(|query| query.len() <= LONGEST);
    let query: BTreeMap<String, String> = query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| !OWN.contains(name))
        .filter_map(|(name, value)| Some((decode(name)?, decode(value)?)))
        .collect();
    Handshake { auth, query }
}

/// Undoes the escaping of a query; `None` when it is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header::AUTHORIZATION};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn exposed(auth: &Value, header: Option<&'static str>) -> Result<Option<String>, ()> {
        let headers = header
            .map(|header| (AUTHORIZATION, HeaderValue::from_static(header)))
            .into_iter()
            .collect();
        token(auth, &headers).map(|token| token.map(|token| token.expose().to_owned()))
    }

    #[test]
    fn a_token_stands_in_the_handshake_or_in_the_header() {
        assert_eq!(
            exposed(&json!({ "token": "a.b" }), Some("Bearer c.d")),
            Ok(Some("a.b".to_owned()))
        );
        assert_eq!(
            exposed(&json!({ "token": "Bearer a.b" }), None),
            Ok(Some("a.b".to_owned()))
        );
        assert_eq!(
            exposed(&Value::Null, Some("Bearer c.d")),
            Ok(Some("c.d".to_owned()))
        );
        assert_eq!(exposed(&json!({ "token": "" }), None), Ok(None));
        assert_eq!(exposed(&json!({ "token": 7 }), None), Err(()));
        assert_eq!(exposed(&json!({ "token": "a b" }), None), Err(()));
    }

    #[test]
    fn a_token_is_not_kept() {
        let uri = "/socket.io/?EIO=4&transport=websocket&roomId=a%20b&sid=x"
            .parse()
            .unwrap();

        let handshake = handshake(json!({ "token": "secret", "dialect": "sfu" }), &uri);

        assert_eq!(handshake.auth, json!({ "dialect": "sfu" }));
        assert_eq!(
            handshake.query,
            BTreeMap::from([("roomId".to_owned(), "a b".to_owned())])
        );
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let uri = format!("/?a={}", "b".repeat(LONGEST)).parse().unwrap();

        let handshake = handshake(json!({ "profile": "c".repeat(LONGEST) }), &uri);

        assert_eq!(handshake, Handshake::default());
    }

    proptest! {
        #[test]
        fn no_query_breaks_it(text in "[a-z%+=&0-9]{0,64}") {
            let uri = format!("/?{text}").parse().unwrap();
            let _ = handshake(Value::Null, &uri);
        }
    }
}
