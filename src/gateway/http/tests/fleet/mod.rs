//! Two nodes of one process, and a real Redis between them.

mod assigning;
mod finding;
mod redis;

use reqwest::redirect::Policy;

use self::redis::Redis;
use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Loopback addresses of this test process alone, so that its ports can be known before they are bound.
fn address(last: u8) -> String {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // The lowest bits move up: processes that are near each other in time differ there.
    format!(
        "127.{}.{middle}.{}",
        64 + high % 64 + (low & 1),
        (low & 0xfc) | last
    )
}

/// A node that others can reach, and a client that does not follow redirects.
async fn node(redis: &Redis, name: &str, more: &[(&str, &str)]) -> Rig {
    let last = if name == "one" { 1 } else { 2 };
    let ip = address(last);
    let port = if name == "one" { "3101" } else { "3102" };
    let url = format!("http://{ip}:{port}");
    let mut variables = vec![
        ("HTTP_IP", ip.as_str()),
        ("PORT", port),
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
