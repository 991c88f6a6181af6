//! Whoever asks the wrong node is told the right one.

use anyhow::{Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Answer, Fleet, eventually, send};
use tokio::task::JoinSet;

use super::{FLEET_LIMIT, show};

const OFFER: &str = include_str!("../../../src/peers/fixtures/chrome-offer.sdp");

fn check_elsewhere(answer: &Answer, location: &str) -> Result<()> {
    ensure!(
        answer.status == StatusCode::TEMPORARY_REDIRECT,
        "{location}: {} {}",
        answer.status,
        answer.body
    );
    ensure!(
        answer.header("location")? == location,
        "{location}: {:?}",
        answer.headers
    );
    ensure!(answer.json()?["code"] == "elsewhere", "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn everything_about_a_broadcast_leads_to_its_node() -> Result<()> {
    let fleet = Fleet::start(2).await?;
    let home = fleet.nodes[1].gateway()?;
    home.create("show", json!([])).await?;
    let elsewhere = fleet.nodes[0].gateway()?;
    let none = Value::Null;
    let destination = json!({ "rtmpUrl": "rtmp://127.0.0.1/live", "streamKey": "key" });
    let orders = [
        (Method::GET, "/api/v1/broadcasts/show", &none),
        (
            Method::GET,
            "/api/v1/broadcasts/show?from=here&to=there",
            &none,
        ),
        (Method::GET, "/api/v1/broadcasts/show/events", &none),
        (Method::GET, "/api/v1/broadcasts/show/thumbnail.jpg", &none),
        (Method::GET, "/api/v1/broadcasts/show/slate", &none),
        (Method::POST, "/api/v1/broadcasts/show/start", &none),
        (Method::POST, "/api/v1/broadcasts/show/stop", &none),
        (
            Method::POST,
            "/api/v1/broadcasts/show/destinations",
            &destination,
        ),
        (Method::POST, "/api/v1/broadcasts/show/rtp-ingest", &none),
        (Method::DELETE, "/api/v1/broadcasts/show", &none),
    ];

    for (method, path, body) in orders {
        let mut request = elsewhere.request(method, path);
        if !body.is_null() {
            request = request.json(body);
        }
        check_elsewhere(&send(request).await?, &home.url(path))?;
    }
    check_elsewhere(
        &elsewhere.offer("show", OFFER).await?,
        &home.url("/whip/show"),
    )?;
    let watched = elsewhere
        .request(Method::POST, "/whep/show")
        .header("content-type", "application/sdp")
        .body(OFFER);
    check_elsewhere(&send(watched).await?, &home.url("/whep/show"))?;

    // Nothing of it was done on the way.
    let broadcast = home.broadcast("show").await?;
    ensure!(broadcast["state"] == "waiting", "{broadcast}");
    let list = elsewhere.get("/api/v1/broadcasts").await?.json()?;
    ensure!(list["broadcasts"] == json!([]), "{list}");
    Ok(())
}

#[tokio::test]
async fn of_many_who_create_one_broadcast_at_once_one_succeeds() -> Result<()> {
    let fleet = Fleet::start(3).await?;
    for round in 0..5 {
        let id = format!("show-{round}");

        let mut asked = JoinSet::new();
        for node in &fleet.nodes {
            let request = node.gateway()?.request(Method::POST, "/api/v1/broadcasts");
            asked.spawn(send(request.json(&show(&id))));
        }
        let answers: Vec<Answer> = asked.join_all().await.into_iter().collect::<Result<_>>()?;

        let holder = fleet.holder(&id).await?;
        let created = answers
            .iter()
            .filter(|answer| answer.status == StatusCode::CREATED);
        ensure!(created.count() == 1 && holder.is_some(), "{answers:?}");
        let home = holder.map(|number| fleet.nodes[number].place.url());
        for answer in &answers {
            if answer.status == StatusCode::TEMPORARY_REDIRECT {
                let location = answer.header("location")?;
                let home = home.as_deref().unwrap_or_default();
                ensure!(
                    location == format!("{home}/api/v1/broadcasts"),
                    "{location}"
                );
            } else {
                ensure!(answer.status == StatusCode::CREATED, "{answer:?}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_broadcast_is_created_where_its_place_was_kept() -> Result<()> {
    let fleet = Fleet::start(2).await?;
    let assigned = fleet.nodes[0]
        .gateway()?
        .get("/media-servers/assign?broadcast=show")
        .await?;
    let assigned = assigned.json()?;
    let other = fleet
        .nodes
        .iter()
        .find(|node| assigned["serverId"] != node.place.id.as_str());
    let Some(other) = other else {
        anyhow::bail!("{assigned}");
    };

    let answer = other
        .gateway()?
        .post("/api/v1/broadcasts", &show("show"))
        .await?;

    let home = assigned["url"].as_str().unwrap_or_default();
    check_elsewhere(&answer, &format!("{home}/api/v1/broadcasts"))
}

#[tokio::test]
async fn a_lone_survivor_of_three_adopts_nothing_and_says_so() -> Result<()> {
    let mut fleet = Fleet::start(3).await?;
    fleet.nodes[1].gateway()?.create("show", json!([])).await?;

    let (_, others) = fleet.nodes.split_at_mut(1);
    for node in others {
        node.kill().await?;
    }

    let survivor = fleet.nodes[0].gateway()?;
    let path = "/api/v1/broadcasts/show";
    let orphaned = eventually("the broadcast is orphaned", FLEET_LIMIT, async || {
        let answer = survivor.get(path).await?;
        Ok((answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer))
    })
    .await?;
    ensure!(orphaned.json()?["code"] == "orphaned", "{}", orphaned.body);
    ensure!(
        orphaned.header("retry-after")? == "1",
        "{:?}",
        orphaned.headers
    );
    Ok(())
}

#[tokio::test]
async fn a_killed_nodes_waiting_broadcast_is_there_again_on_another() -> Result<()> {
    let mut fleet = Fleet::start(3).await?;
    fleet.nodes[1]
        .gateway()?
        .post("/api/v1/broadcasts", &show("show"))
        .await?;
    let before = fleet.nodes[1].gateway()?.broadcast("show").await?;

    fleet.nodes[1].kill().await?;
    let heir = fleet.moved("show", 1, FLEET_LIMIT).await?;

    let after = fleet.nodes[heir].gateway()?.broadcast("show").await?;
    for field in ["id", "method", "createdAt", "state"] {
        ensure!(before[field] == after[field], "{field}: {before} {after}");
    }
    ensure!(
        after["node"] == fleet.nodes[heir].place.id.as_str(),
        "{after}"
    );
    for field in ["id", "platform", "server", "state"] {
        let (was, is) = (
            &before["destinations"][0][field],
            &after["destinations"][0][field],
        );
        ensure!(was == is, "{field}: {before} {after}");
    }
    Ok(())
}
