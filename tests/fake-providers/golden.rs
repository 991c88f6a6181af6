//! What providers document, kept as files: `golden/PROVIDER/NAME.json` with its `source`.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Recorded;

/// A text in a golden document that stands for any value.
const ANY: &str = "<any>";

/// Reads a golden file; `name` without its ending.
pub fn read(provider: &str, name: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(provider)
        .join(format!("{name}.json"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let golden: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    ensure!(
        golden["source"].is_string(),
        "{} does not name its source",
        path.display()
    );
    Ok(golden)
}

/// Compares a request with the `request` of a golden file: its `method`, `path`, `headers` and `body`, those that it has.
///
/// The body must have the same fields and no others; `<any>` stands for any value.
pub fn check_request(provider: &str, name: &str, recorded: &Recorded) -> Result<()> {
    let golden = read(provider, name)?;
    let request = &golden["request"];
    ensure!(request.is_object(), "{provider}/{name} has no request");
    if let Some(method) = request["method"].as_str() {
        ensure!(recorded.method == method, "method {}", recorded.method);
    }
    if let Some(path) = request["path"].as_str() {
        ensure!(like(path, &recorded.path), "path {}", recorded.path);
    }
    if let Some(headers) = request["headers"].as_object() {
        for (header, wanted) in headers {
            let sent = recorded.headers.get(header).map(String::as_str);
            let fits = match wanted.as_str() {
                Some(ANY) => sent.is_some(),
                wanted => sent == wanted,
            };
            ensure!(fits, "header {header}: {sent:?}");
        }
    }
    if let Some(body) = request.get("body") {
        compare("body", body, &recorded.body)?;
    }
    Ok(())
}

/// Whether a path has the same segments; `<any>` stands for any one.
fn like(wanted: &str, path: &str) -> bool {
    let (wanted, path): (Vec<_>, Vec<_>) = (wanted.split('/').collect(), path.split('/').collect());
    wanted.len() == path.len()
        && wanted
            .iter()
            .zip(&path)
            .all(|(wanted, segment)| *wanted == ANY || wanted == segment)
}

/// Compares two documents and names where they differ.
pub fn compare(place: &str, wanted: &Value, got: &Value) -> Result<()> {
    match (wanted, got) {
        (Value::String(any), _) if any == ANY => {}
        (Value::Object(wanted), Value::Object(got)) => {
            for (field, value) in wanted {
                let there = got.get(field);
                compare(
                    &format!("{place}.{field}"),
                    value,
                    there.with_context(|| format!("{place}.{field} is missing"))?,
                )?;
            }
            for field in got.keys() {
                ensure!(
                    wanted.contains_key(field),
                    "{place}.{field} is not documented"
                );
            }
        }
        (Value::Array(wanted), Value::Array(got)) => {
            ensure!(
                wanted.len() == got.len(),
                "{place} has {} items instead of {}",
                got.len(),
                wanted.len()
            );
            for (nth, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                compare(&format!("{place}[{nth}]"), wanted, got)?;
            }
        }
        _ => ensure!(wanted == got, "{place} is {got} instead of {wanted}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_the_same_but_for_what_may_be_anything() {
        let wanted = json!({ "name": "<any>", "urls": ["a", { "b": 1 }] });

        compare(
            "body",
            &wanted,
            &json!({ "name": 7, "urls": ["a", { "b": 1 }] }),
        )
        .unwrap();
    }

    #[test]
    fn a_missing_a_strange_and_another_field_are_told() {
        let wanted = json!({ "a": { "b": 1 } });

        for (got, words) in [
            (json!({ "a": {} }), "body.a.b is missing"),
            (
                json!({ "a": { "b": 1, "c": 2 } }),
                "body.a.c is not documented",
            ),
            (json!({ "a": { "b": 2 } }), "body.a.b is 2 instead of 1"),
        ] {
            let error = compare("body", &wanted, &got).unwrap_err();
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn a_path_is_compared_by_segments() {
        assert!(like("/v1/<any>/outputs", "/v1/7/outputs"));
        assert!(!like("/v1/<any>/outputs", "/v1/7/8/outputs"));
    }
}
