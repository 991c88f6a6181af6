//! Which node takes a broadcast, and why.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Fleet, Gateway, send};
use tokio::task::JoinSet;

use super::show;

/// Room for three broadcasts with three destinations each, which is what an assignment reckons with (0.026 cores), and not for
/// four.
const SMALL_NODE: (&str, &str) = ("NODE_CAPACITY_CORES", "0.1");
const SMALL_NODE_BROADCASTS: usize = 3;

/// A broadcast with three destinations.
fn large_show(id: &str) -> Value {
    let destinations = ["one", "two", "three"]
        .map(|name| json!({ "id": name, "rtmpUrl": "rtmp://127.0.0.1/live", "streamKey": name }));
    json!({ "id": id, "destinations": destinations })
}

async fn assign(gateway: &Gateway, query: &str) -> Result<Value> {
    let answer = gateway
        .get(&format!("/media-servers/assign?{query}"))
        .await?;
    ensure!(
        answer.status == StatusCode::OK,
        "{query}: {} {}",
        answer.status,
        answer.body
    );
    answer.json()
}

#[tokio::test]
async fn the_answer_names_a_node_and_says_why_it_is_that_one() -> Result<()> {
    let fleet = Fleet::start(2).await?;
    let asked = fleet.nodes[1].gateway()?;

    let assigned = assign(asked, "broadcast=show").await?;
    let again = assign(fleet.nodes[0].gateway()?, "broadcast=show").await?;
    let alias = asked
        .get("/api/media-servers/assign?broadcast=show")
        .await?;

    let node = fleet
        .nodes
        .iter()
        .find(|node| assigned["serverId"] == node.place.id.as_str())
        .with_context(|| assigned.to_string())?;
    ensure!(assigned["url"] == node.place.url(), "{assigned}");
    ensure!(
        assigned["ip"] == node.place.http.ip().to_string(),
        "{assigned}"
    );
    ensure!(assigned["activeStreams"].is_u64(), "{assigned}");
    ensure!(
        assigned["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("room")),
        "{assigned}"
    );
    // A place is kept there.
    ensure!(again["serverId"] == assigned["serverId"], "{again}");
    ensure!(
        alias.json()?["serverId"] == assigned["serverId"],
        "{}",
        alias.body
    );
    Ok(())
}

#[tokio::test]
async fn the_seeds_lists_tell_of_all_nodes() -> Result<()> {
    let fleet = Fleet::start(3).await?;
    let ids: BTreeSet<_> = fleet
        .nodes
        .iter()
        .map(|node| node.place.id.as_str())
        .collect();

    for prefix in ["", "/api"] {
        let gateway = fleet.nodes[0].gateway()?;
        let list = gateway
            .get(&format!("{prefix}/media-servers"))
            .await?
            .json()?;
        let stats = gateway
            .get(&format!("{prefix}/media-servers/stats"))
            .await?
            .json()?;
        let one = gateway
            .get(&format!("{prefix}/media-servers/node-2"))
            .await?
            .json()?;
        let unknown = gateway
            .get(&format!("{prefix}/media-servers/nobody"))
            .await?;
        let selected = gateway
            .post(&format!("{prefix}/media-servers/select"), &json!({}))
            .await?;

        let listed: BTreeSet<_> = list
            .as_array()
            .context("a list")?
            .iter()
            .filter_map(|server| server["id"].as_str())
            .collect();
        ensure!(listed == ids, "{list}");
        ensure!(
            stats["totalServers"] == 3
                && stats["healthyServers"] == 3
                && stats["hasCapacity"] == true,
            "{stats}"
        );
        ensure!(
            one["url"] == fleet.nodes[2].place.url() && one["isHealthy"] == true,
            "{one}"
        );
        ensure!(unknown.status == StatusCode::NOT_FOUND, "{}", unknown.body);
        ensure!(selected.status == StatusCode::OK, "{}", selected.body);
        let selected = selected.json()?;
        ensure!(
            selected["serverId"]
                .as_str()
                .is_some_and(|id| ids.contains(id)),
            "{selected}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn two_shows_land_on_two_nodes() -> Result<()> {
    let fleet = Fleet::start(2).await?;

    let mut taken = BTreeSet::new();
    for id in ["one", "two"] {
        let node = assign(fleet.nodes[0].gateway()?, &format!("broadcast={id}")).await?;
        let node = node["serverId"].as_str().context("serverId")?.to_owned();
        let place = fleet.nodes.iter().find(|found| found.place.id == node);
        let gateway = place.context("an unknown node")?.gateway()?;
        let created = gateway.post("/api/v1/broadcasts", &show(id)).await?;
        ensure!(created.status == StatusCode::CREATED, "{}", created.body);
        taken.insert(node);
    }

    ensure!(taken.len() == 2, "{taken:?}");
    Ok(())
}

#[tokio::test]
async fn a_broadcast_keeps_its_node_while_it_lives() -> Result<()> {
    let fleet = Fleet::start(3).await?;
    fleet.nodes[1].gateway()?.create("show", json!([])).await?;

    for node in &fleet.nodes {
        // Neither a region nor a method moves what lives.
        let assigned = assign(node.gateway()?, "broadcast=show&region=nowhere").await?;
        ensure!(assigned["serverId"] == "node-1", "{assigned}");
        ensure!(
            assigned["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("lives there")),
            "{assigned}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_region_is_preferred_and_not_demanded() -> Result<()> {
    let regions = [("REGION", "eu"), ("REGION", "us"), ("REGION", "us")];
    let fleet = Fleet::start_each(&regions.map(|region| vec![region])).await?;
    let asked = fleet.nodes[1].gateway()?;

    for number in 0..6 {
        let near = assign(asked, &format!("broadcast=near-{number}&region=eu")).await?;
        ensure!(near["serverId"] == "node-0", "{near}");
    }
    let far = assign(asked, "broadcast=far&region=mars").await?;

    ensure!(
        far["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("region")),
        "{far}"
    );
    Ok(())
}

#[tokio::test]
async fn a_method_that_no_node_can_run_is_told() -> Result<()> {
    let fleet = Fleet::start(2).await?;

    let refused = fleet.nodes[0]
        .gateway()?
        .get("/media-servers/assign?broadcast=show&method=livekit")
        .await?;

    ensure!(
        refused.status == StatusCode::SERVICE_UNAVAILABLE && refused.body.contains("method"),
        "{} {}",
        refused.status,
        refused.body
    );
    Ok(())
}

#[tokio::test]
async fn thirty_who_ask_at_once_never_over_book() -> Result<()> {
    let fleet = Fleet::start_with(3, &[SMALL_NODE]).await?;

    let mut asked = JoinSet::new();
    for number in 0..30 {
        let gateway = fleet.nodes[number % fleet.nodes.len()].gateway()?;
        let path = format!("/media-servers/assign?broadcast=show-{number}");
        let request = gateway.request(Method::GET, &path);
        asked.spawn(async move { (number, send(request).await) });
    }
    let answers = asked.join_all().await;

    let mut given = Vec::new();
    let mut refused = Vec::new();
    for (number, answer) in answers {
        let answer = answer?;
        if answer.status == StatusCode::OK {
            given.push((number, answer));
        } else {
            refused.push(answer);
        }
    }
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, answer) in &given {
        let node = answer.json()?["serverId"]
            .as_str()
            .context("serverId")?
            .to_owned();
        places.entry(node).or_default().push(*number);
    }
    let counts: Vec<_> = places.values().map(Vec::len).collect();
    ensure!(counts == [SMALL_NODE_BROADCASTS; 3], "{places:?}");
    for answer in refused {
        ensure!(
            answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.body.contains("full"),
            "{} {}",
            answer.status,
            answer.body
        );
    }
    // What was given is there when its broadcast comes.
    for (node, numbers) in &places {
        let node = fleet.nodes.iter().find(|found| found.place.id == *node);
        let gateway = node.context("an unknown node")?.gateway()?;
        for number in numbers {
            let show = large_show(&format!("show-{number}"));
            let created = gateway.post("/api/v1/broadcasts", &show).await?;
            ensure!(created.status == StatusCode::CREATED, "{}", created.body);
        }
        let more = gateway
            .post("/api/v1/broadcasts", &large_show("one-more"))
            .await?;
        ensure!(
            more.status == StatusCode::SERVICE_UNAVAILABLE,
            "{}",
            more.body
        );
    }
    Ok(())
}
