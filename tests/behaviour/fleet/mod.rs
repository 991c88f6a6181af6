//! Several nodes and one Redis, without media: who takes what, who says so, and who is not let in.

mod assign;
mod joining;
mod redirects;
mod registry;

use std::time::Duration;

use serde_json::{Value, json};

/// For what comes with the next heartbeats, on a machine that is busy.
const FLEET_LIMIT: Duration = Duration::from_secs(30);

/// A broadcast that waits for its studio, with one destination.
fn show(id: &str) -> Value {
    json!({
        "id": id,
        "destinations": [{ "id": "one", "rtmpUrl": "rtmp://127.0.0.1/live", "streamKey": "key" }],
    })
}
