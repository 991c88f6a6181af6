//! The two ways to write a field's name.

use serde_json::{Map, Value};

/// How deep names are rewritten; what mediasoup defines is 4 deep.
const DEEPEST: usize = 8;

/// Rewrites the names of fields from `snake_case` to `camelCase`, so that both are understood.
///
/// What is below `parameters` or `app_data` keeps its names: those are a codec's and the application's. Of two fields
/// that become one, the last in the order of their names counts.
pub(super) fn camel(object: Map<String, Value>) -> Value {
    camel_within(object.into(), DEEPEST)
}

fn camel_within(value: Value, depth: usize) -> Value {
    if depth == 0 {
        return value;
    }
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| {
                let keep = matches!(name.as_str(), "parameters" | "app_data" | "appData");
                let value = if keep {
                    value
                } else {
                    camel_within(value, depth - 1)
                };
                (camel_name(&name), value)
            })
            .collect::<Map<String, Value>>()
            .into(),
        Value::Array(items) => items
            .into_iter()
            .map(|item| camel_within(item, depth - 1))
            .collect::<Vec<Value>>()
            .into(),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

fn camel_name(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> Value {
        camel(value.as_object().expect("an object").clone())
    }

    #[test]
    fn both_ways_of_writing_are_understood() {
        let snake = json!({ "rtp_parameters": { "codecs": [{ "mime_type": "video/H264", "payload_type": 96 }] } });
        let camel = json!({ "rtpParameters": { "codecs": [{ "mimeType": "video/H264", "payloadType": 96 }] } });

        assert_eq!(of(&snake), camel);
        assert_eq!(of(&camel), camel);
    }

    #[test]
    fn the_parameters_of_a_codec_keep_their_names() {
        let body =
            json!({ "codecs": [{ "parameters": { "sprop_x": 1, "level-asymmetry-allowed": 1 } }] });

        assert_eq!(of(&body), body);
    }

    proptest! {
        #[test]
        fn no_name_breaks_it(name in "[a-zA-Z_ä0-9-]{0,20}") {
            let camel = camel_name(&name);

            prop_assert!(!camel.contains('_'));
            prop_assert_eq!(camel_name(&camel), camel.clone());
        }
    }
}
