//! Two nodes of one process, and a real Redis between them.

mod assigning;
mod finding;
mod redis;

use reqwest::redirect::Policy;

use self::redis::Redis;
use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A loopback address of this test process alone, so that ports there can be known before they are bound.
fn address() -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    format!("127.{}.{middle}.{low}", 64 + high % 64)
}

/// A node that others can reach, and a client that does not follow redirects.
async fn node(redis: &Redis, name: &str, more: &[(&str, &str)]) -> Rig {
    let ip = address();
    // Beside the registry's own port, which no other test has.
    let port = (redis.port + if name == "one" { 1 } else { 2 }).to_string();
    let url = format!("http://{ip}:{port}");
    let mut variables = vec![
        ("HTTP_IP", ip.as_str()),
        ("PORT", port.as_str()),
        ("SERVER_ID", name),
        ("PUBLIC_URL", url.as_str()),
        ("REDIS_URL", redis.url.as_str()),
        ("SECRETS_KEY", KEY),
    ];
    variables.extend_from_slice(more);
    let mut rig = Rig::with(&variables).await;
    rig.client = Client::builder().redirect(Policy::none()).build().unwrap();
    rig
}

/// Asks again until the answer is as it is to be.
async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !check().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Until each node knows of the other.
async fn meet(nodes: &[&Rig]) {
    for node in nodes {
        until("the nodes know each other", async || {
            let list: Value = node.get("/media-servers").await.json().await.unwrap();
            list.as_array().unwrap().len() == nodes.len()
        })
        .await;
    }
}
