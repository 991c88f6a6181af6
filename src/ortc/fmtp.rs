//! Reads the parameters of codecs, which come as numbers or as their digits.

use serde_json::Value;

use crate::Fmtp;

/// The number of this name; digits in a string count.
pub(crate) fn number(parameters: &Fmtp, name: &str) -> Option<u64> {
    match parameters.get(name)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text of this name. Readers of SDP make a number of what looks like one, so numbers count as their digits.
pub(crate) fn text(parameters: &Fmtp, name: &str) -> Option<String> {
    match parameters.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Some(String::new()),
    }
}
