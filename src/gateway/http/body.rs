//! Reads JSON bodies: bounded, strict, and with errors that name the field but never show its value.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// The longest body of the API: twenty destinations with the longest URLs and keys are 130 kB.
pub(super) const BODY_LIMIT_BYTES: usize = 160 * 1024;

/// Fields whose values may hold a key, so that an error must not quote them.
const SECRET_FIELDS: [&str; 5] = ["streamKey", "rtmpUrl", "backupRtmpUrl", "keyBase64", "sdp"];

/// A JSON body. An empty one counts as `{}`.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = media_type(request.headers())
            .is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| refuse(&rejection))?;
        if bytes.is_empty() {
            return parse(b"{}").map(Self);
        }
        if !is_json {
            return Err(ApiError::MediaType);
        }
        parse(&bytes).map(Self)
    }
}

/// The media type of a body without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}

fn refuse(rejection: &BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::TooLarge(BODY_LIMIT_BYTES)
    } else {
        ApiError::BodyLost
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, error.inner())
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(parsed)
}

fn malformed(error: &serde_json::Error) -> ApiError {
    let place = format!("line {} column {}", error.line(), error.column());
    ApiError::MalformedJson(if error.is_eof() {
        format!("it ends early at {place}")
    } else {
        place
    })
}

/// Turns an error of serde into one of ours. Its text may quote the value, so only known shapes are told on.
fn explain(path: &str, error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        return malformed(error);
    }
    let text = error.to_string();
    let quoted = |prefix: &str| {
        let rest = text.strip_prefix(prefix)?;
        rest.split_once('`').map(|(name, _)| name.to_owned())
    };
    if let Some(name) = quoted("unknown field `") {
        return ApiError::UnknownField(join(path, &name));
    }
    if let Some(name) = quoted("missing field `") {
        return ApiError::MissingField(join(path, &name));
    }
    let field = if path == "." { "body" } else { path };
    let last = field.rsplit('.').next().unwrap_or(field);
    if SECRET_FIELDS.contains(&last) {
        return ApiError::invalid(field, format!("'{last}' must be a text"));
    }
    let expected = text
        .split_once("expected ")
        .map_or("another type", |(_, rest)| rest);
    let expected = expected.split(" at line ").next().unwrap_or(expected);
    ApiError::invalid(field, format!("'{field}' must be {expected}"))
}

/// The path of a field that is named by the error; serde's path may or may not end with it.
fn join(path: &str, name: &str) -> String {
    if path == "." || path == name {
        name.to_owned()
    } else if path.ends_with(&format!(".{name}")) {
        path.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::wire::BroadcastRequest;

    fn error(text: &str) -> ApiError {
        parse::<BroadcastRequest>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn an_unknown_field_is_named_with_its_path() {
        assert_eq!(
            error(r#"{"idd":"a"}"#),
            ApiError::UnknownField("idd".to_owned())
        );
        assert_eq!(
            error(r#"{"destinations":[{"rtmpUrl":"rtmp://a/b/c","key":"x"}]}"#),
            ApiError::UnknownField("destinations[0].key".to_owned())
        );
    }

    #[test]
    fn a_missing_field_is_named_with_its_path() {
        assert_eq!(
            error(r#"{"destinations":[{}]}"#),
            ApiError::MissingField("destinations[0].rtmpUrl".to_owned())
        );
    }

    #[test]
    fn a_wrong_type_is_named_and_the_value_is_not_shown() {
        let error = error(r#"{"destinations":[{"rtmpUrl":"rtmp://a/b/c","streamKey":123456789}]}"#);

        assert_eq!(
            error,
            ApiError::invalid("destinations[0].streamKey", "'streamKey' must be a text")
        );
    }

    #[test]
    fn what_is_not_json_is_told_by_its_place() {
        assert_eq!(
            error("{\"id\": secret}"),
            ApiError::MalformedJson("line 1 column 8".to_owned())
        );
        assert_eq!(
            error("{} {}"),
            ApiError::MalformedJson("line 1 column 4".to_owned())
        );
    }

    proptest! {
        #[test]
        fn no_error_shows_a_key(key in "[a-z]{12}", before in 0..4_usize) {
            let text = format!(r#"{{"destinations":[{{"rtmpUrl":"rtmp://a/{key}","streamKey":"{key}","x":1}}]}}"#);
            let cut = &text[..text.len() - before];

            let shown = format!("{:?}", error(cut));

            prop_assert!(!shown.contains(&key), "{shown}");
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
            drop(parse::<BroadcastRequest>(&bytes));
        }
    }
}
