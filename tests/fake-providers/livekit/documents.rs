//! Documents as protojson makes them.

use serde_json::{Map, Value};

/// Values that are the default of their field, which webhooks leave out.
const DEFAULTS: [&str; 6] = [
    "",
    "0",
    "EGRESS_STARTING",
    "ACTIVE",
    "ENDPOINT_INACTIVE",
    "RTMP_INPUT",
];

/// A request's fields in `snake_case`: they may come in either.
pub(super) fn snake(document: Value) -> Value {
    renamed(document, |name| {
        let mut snake = String::with_capacity(name.len() + 4);
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        }
        snake
    })
}

/// An answer as a webhook has it: in `camelCase`, without default values.
pub(super) fn of_webhook(document: Value) -> Value {
    pruned(renamed(document, |name| {
        let mut words = name.split('_');
        let mut camel = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (first, rest) = word.split_at(word.len().min(1));
            camel.push_str(&first.to_ascii_uppercase());
            camel.push_str(rest);
        }
        camel
    }))
}

fn renamed(document: Value, rename: impl Fn(&str) -> String + Copy) -> Value {
    match document {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (rename(&name), renamed(value, rename)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items
            .into_iter()
            .map(|item| renamed(item, rename))
            .collect::<Vec<_>>()
            .into(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn pruned(document: Value) -> Value {
    match document {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, pruned(value)))
            .filter(|(_, value)| !is_default(value))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(pruned).collect::<Vec<_>>().into(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => DEFAULTS.contains(&text.as_str()),
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_may_come_in_either_spelling() {
        let snake_case =
            json!({ "room_name": "a", "stream_outputs": [{ "urls": ["rtmp://A/b/C"] }] });
        let camel_case =
            json!({ "roomName": "a", "streamOutputs": [{ "urls": ["rtmp://A/b/C"] }] });

        assert_eq!(snake(camel_case), snake_case);
        assert_eq!(snake(snake_case.clone()), snake_case);
    }

    #[test]
    fn a_webhook_leaves_default_values_out() {
        let document = json!({
            "egress_id": "EG_1", "status": "EGRESS_STARTING", "error": "", "ended_at": "0",
            "stream_results": [{ "url": "u", "status": "ACTIVE", "started_at": "7" }],
        });

        assert_eq!(
            of_webhook(document),
            json!({ "egressId": "EG_1", "streamResults": [{ "url": "u", "startedAt": "7" }] })
        );
    }
}
