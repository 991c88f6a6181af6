//! What a fleet does while its registry is out of order, and afterwards.

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Fleet, TcpCondition, eventually};

use super::{FLEET_LIMIT, show};

/// Waits until every node says this of the registry.
async fn registry_is(fleet: &Fleet, what: &str) -> Result<()> {
    for node in fleet.running() {
        eventually(what, FLEET_LIMIT, async || {
            let told = node.gateway()?.get("/api/v1/node").await?.json()?;
            Ok((told["registry"] == what).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Waits until every node leads to the node that has a broadcast.
async fn is_known(fleet: &Fleet, broadcast: &str, home: usize) -> Result<()> {
    let path = format!("/api/v1/broadcasts/{broadcast}");
    for (number, node) in fleet.nodes.iter().enumerate() {
        let wanted = if number == home {
            StatusCode::OK
        } else {
            StatusCode::TEMPORARY_REDIRECT
        };
        eventually("the broadcast is known", FLEET_LIMIT, async || {
            let answer = node.gateway()?.get(&path).await?;
            Ok((answer.status == wanted).then_some(()))
        })
        .await
        .with_context(|| node.place.id.clone())?;
    }
    Ok(())
}

#[tokio::test]
async fn without_a_registry_all_nodes_name_the_same_one_and_say_how_they_know() -> Result<()> {
    let mut fleet = Fleet::start(3).await?;
    fleet.nodes[1].gateway()?.create("show", json!([])).await?;

    fleet.redis.kill().await?;
    registry_is(&fleet, "unreachable").await?;

    for number in 0..4 {
        let mut named = Vec::new();
        for node in &fleet.nodes {
            let path = format!("/media-servers/assign?broadcast=new-{number}");
            let answer = node.gateway()?.get(&path).await?;
            ensure!(answer.status == StatusCode::OK, "{}", answer.body);
            let assigned = answer.json()?;
            let reason = assigned["reason"].as_str().unwrap_or_default();
            ensure!(reason.contains("last known"), "{assigned}");
            named.push(assigned["serverId"].clone());
        }
        ensure!(named.windows(2).all(|pair| pair[0] == pair[1]), "{named:?}");
    }
    for node in &fleet.nodes {
        let ready = node.gateway()?.get("/readyz").await?;
        ensure!(
            ready.status == StatusCode::OK && ready.body.contains("registry"),
            "{} {}",
            ready.status,
            ready.body
        );
    }
    // What lives goes on.
    let broadcast = fleet.nodes[1].gateway()?.broadcast("show").await?;
    ensure!(broadcast["state"] == "waiting", "{broadcast}");
    Ok(())
}

#[tokio::test]
async fn a_new_broadcast_is_refused_without_a_registry_and_taken_with_it() -> Result<()> {
    let mut fleet = Fleet::start(2).await?;
    fleet.redis.kill().await?;
    registry_is(&fleet, "unreachable").await?;
    let node = fleet.nodes[0].gateway()?;

    let refused = node.post("/api/v1/broadcasts", &show("show")).await?;
    fleet.redis.restart().await?;
    registry_is(&fleet, "reachable").await?;
    let created = node.post("/api/v1/broadcasts", &show("show")).await?;

    ensure!(
        refused.status == StatusCode::SERVICE_UNAVAILABLE && refused.header("retry-after").is_ok(),
        "{} {}",
        refused.status,
        refused.body
    );
    ensure!(
        !refused.body.contains(tests::Redis::PASSWORD),
        "{}",
        refused.body
    );
    ensure!(created.status == StatusCode::CREATED, "{}", created.body);
    Ok(())
}

#[tokio::test]
async fn a_registry_that_lost_its_memory_learns_again_who_has_what() -> Result<()> {
    let mut fleet = Fleet::start(3).await?;
    fleet.nodes[1].gateway()?.create("show", json!([])).await?;
    is_known(&fleet, "show", 1).await?;

    // Twice: by a restart, and under the nodes' hands.
    fleet.redis.kill().await?;
    registry_is(&fleet, "unreachable").await?;
    fleet.redis.restart().await?;
    registry_is(&fleet, "reachable").await?;
    fleet.gathered().await?;
    is_known(&fleet, "show", 1).await?;
    fleet.redis.ask(&["FLUSHALL"]).await?;
    fleet.gathered().await?;
    is_known(&fleet, "show", 1).await?;

    // And whoever dies now is adopted all the same.
    fleet.nodes[1].kill().await?;
    fleet.moved("show", 1, FLEET_LIMIT).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_alone_loses_the_registry_says_so_and_its_broadcast_moves() -> Result<()> {
    let fleet = Fleet::start(3).await?;
    fleet.nodes[1].gateway()?.create("show", json!([])).await?;

    fleet.nodes[1].set_line(TcpCondition::Stalled);
    let told = eventually("the node says so", FLEET_LIMIT, async || {
        let told = fleet.nodes[1]
            .gateway()?
            .get("/api/v1/node")
            .await?
            .json()?;
        Ok((told["registry"] == "unreachable").then_some(told))
    })
    .await?;
    let heir = eventually("another has the broadcast", FLEET_LIMIT, async || {
        for number in [0, 2] {
            let gateway = fleet.nodes[number].gateway()?;
            let answer = gateway.get("/api/v1/broadcasts/show").await?;
            if answer.status == StatusCode::OK {
                return Ok(Some(number));
            }
        }
        Ok(None)
    })
    .await?;
    fleet.nodes[1].set_line(TcpCondition::Clear);

    // Whoever comes back learns that it is no longer in charge.
    is_known(&fleet, "show", heir).await?;
    ensure!(told["id"] == "node-1", "{told}");
    Ok(())
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_sent_again() -> Result<()> {
    let fleet = Fleet::start(2).await?;
    fleet.redis.ask(&["SCRIPT", "FLUSH"]).await?;

    let created = fleet.nodes[0]
        .gateway()?
        .post("/api/v1/broadcasts", &show("show"))
        .await?;

    ensure!(created.status == StatusCode::CREATED, "{}", created.body);
    is_known(&fleet, "show", 0).await
}

#[tokio::test]
async fn the_metrics_tell_of_the_fleet() -> Result<()> {
    let fleet = Fleet::start(2).await?;

    let metrics = fleet.nodes[0].gateway()?.get("/metrics").await?.body;
    let value = |name: &str| -> Option<&str> {
        let line = metrics.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()
    };

    ensure!(
        value("castgate_registry_reachable") == Some("1"),
        "{metrics}"
    );
    ensure!(
        metrics
            .lines()
            .any(|line| line.starts_with("castgate_fleet_nodes{") && line.ends_with(" 2")),
        "{metrics}"
    );
    let _: Value = fleet.nodes[0].gateway()?.get("/health").await?.json()?;
    Ok(())
}
