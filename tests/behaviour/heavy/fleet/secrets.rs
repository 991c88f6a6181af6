//! What is written down for other nodes tells nobody else anything: keys are sealed in the registry, and in no log.

use anyhow::{Context, Result, ensure};
use pipelines::rtmp::receiver::Receiver;
use serde_json::json;
use tests::{Fleet, Redis, SECRETS_KEY, eventually};

use super::{LIVE_LIMIT, TAKEOVER_LIMIT, showing, studio, watch};
use crate::heavy::secrets::{check, children};

const KEY: &str = "live_90417_Wq4TzR7bNmLk?token=Kp5nV1cX";
const PATH_KEY: &str = "flpt-3c1e-Aa9s-20dd-Xx4y";

#[tokio::test]
async fn no_key_of_a_fleet_is_ever_shown_nor_kept_in_clear() -> Result<()> {
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into()).await?;
    let server = receiver.local_address();
    let mut fleet = Fleet::start_with(3, &[("LOG_LEVEL", "trace")]).await?;
    fleet.redis.listen().await?;
    let mut shown: Vec<(String, String)> = Vec::new();

    let destinations = json!([
        { "id": "key", "rtmpUrl": format!("rtmp://{server}/live"), "streamKey": KEY },
        { "id": "path", "rtmpUrl": format!("rtmp://{server}/live/{PATH_KEY}") },
    ]);
    fleet.nodes[0]
        .gateway()?
        .create("show", destinations)
        .await?;
    let door = fleet.door().await?;
    let first = studio(&door.whip("show")).await?;
    let before = fleet.nodes[0].gateway()?;
    before
        .destination_until("show", "path", "live", LIVE_LIMIT)
        .await?;
    watch(before, "show", 60).await?;
    let old_token = door.resume_token().context("no resume token")?;
    read(&fleet, 0, &mut shown).await?;
    let log = fleet.nodes[0].kill().await?;
    shown.push(("the log of the node that died".to_owned(), log));
    first.vanish().await?;

    // By what was written down another can do all that the first could.
    let heir = fleet.moved("show", 0, TAKEOVER_LIMIT).await?;
    let after = fleet.nodes[heir].gateway()?;
    after
        .destination_until("show", "path", "live", TAKEOVER_LIMIT)
        .await?;
    let second = studio(&door.whip("show")).await?;
    showing(after, "show", "studio").await?;
    read(&fleet, heir, &mut shown).await?;
    let memory = fleet.redis.memory().await?;
    shown.push((
        "the registry".to_owned(),
        String::from_utf8_lossy(&memory).into_owned(),
    ));
    let new_token = door.resume_token().context("no resume token")?;
    second.vanish().await?;
    for node in &mut fleet.nodes[1..] {
        let log = node.leave(TAKEOVER_LIMIT).await?;
        shown.push((format!("the log of {}", node.place.id), log));
    }
    shown.push((
        "what the registry was told".to_owned(),
        fleet.redis.heard()?,
    ));

    let published = |key: &str| {
        let streams = receiver.streams();
        let found = streams
            .iter()
            .filter(|report| report.stream_key.expose() == key);
        found.count()
    };
    eventually("both nodes published both", LIVE_LIMIT, async || {
        Ok((published(KEY) >= 2 && published(PATH_KEY) >= 2).then_some(()))
    })
    .await?;
    // There was something to find, and somewhere.
    let told = |what: &str| {
        shown
            .iter()
            .find(|(name, _)| name == what)
            .map(|(_, text)| text)
    };
    ensure!(told("the registry").is_some_and(|text| text.contains("show")));
    ensure!(told("what the registry was told").is_some_and(|text| text.contains("show")));
    ensure!(told("the log of node-1").is_some_and(|text| text.contains("TRACE")));
    let secrets = [
        KEY,
        PATH_KEY,
        SECRETS_KEY,
        Redis::PASSWORD,
        &old_token,
        &new_token,
    ];
    for (what, text) in &shown {
        check(what, text, &secrets)?;
    }
    Ok(())
}

/// Everything that can be read of a node: answers, metrics, and what other users of the machine see of its children.
async fn read(fleet: &Fleet, node: usize, shown: &mut Vec<(String, String)>) -> Result<()> {
    let gateway = fleet.nodes[node].gateway()?;
    for path in [
        "/api/v1/broadcasts",
        "/api/v1/broadcasts/show",
        "/api/v1/node",
        "/media-servers",
        "/media-servers/stats",
        "/media-servers/assign?broadcast=show",
        "/metrics",
        "/health",
        "/readyz",
    ] {
        shown.push((
            format!("{path} of node {node}"),
            gateway.get(path).await?.body,
        ));
    }
    let own = gateway.process.proc_file("cmdline")?;
    shown.push((
        "a command line".to_owned(),
        String::from_utf8_lossy(&own).into_owned(),
    ));
    for child in children(gateway.process.id()?)? {
        for file in ["cmdline", "environ"] {
            // It may have ended meanwhile.
            let bytes = std::fs::read(format!("/proc/{child}/{file}")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            shown.push((format!("{file} of a child process"), text));
        }
    }
    Ok(())
}
