//! Who is let into a fleet, and in which words others are not.

use std::{process::ExitStatus, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use tests::{
    Fleet, Gateway, NodePlace, OldRedis, Process, Redis, Scratch, eventually, gateway_command,
};

use super::FLEET_LIMIT;

/// For a program that has nothing to wait for to end.
const REFUSAL_LIMIT: Duration = Duration::from_secs(60);

/// Exit code of a bad configuration (`EX_CONFIG`).
const BAD_CONFIGURATION: i32 = 78;

/// A gateway that nobody waits for, with the folder of its log.
async fn spawn(
    place: &NodePlace,
    command: &str,
    variables: &[(String, String)],
) -> Result<(Process, Scratch)> {
    let scratch = Scratch::new()?;
    let mut program = gateway_command().await?;
    program
        .arg(command)
        .env("HTTP_IP", place.http.ip().to_string())
        .env("PORT", place.http.port().to_string())
        .env("RTC_PORT", "0")
        .envs(variables.iter().cloned());
    let log = scratch.path().join("gateway.log");
    Ok((Process::spawn("gateway", program, log)?, scratch))
}

/// How a gateway ends that is not let in, and what it says.
async fn refused(
    place: &NodePlace,
    command: &str,
    variables: &[(String, String)],
) -> Result<(ExitStatus, String)> {
    let (mut process, _scratch) = spawn(place, command, variables).await?;
    let status = process.wait(REFUSAL_LIMIT).await?;
    Ok((status, process.output()?))
}

fn without(variables: &[(String, String)], left_out: &str) -> Vec<(String, String)> {
    let kept = variables.iter().filter(|(name, _)| name != left_out);
    kept.cloned().collect()
}

#[tokio::test]
async fn what_a_node_of_a_fleet_must_have_is_asked_for_by_name() -> Result<()> {
    let place = NodePlace::numbered(0)?;
    let whole = place.variables("redis://:canary-of-a-password@127.0.0.1:1");

    for name in ["SECRETS_KEY", "SERVER_ID", "PUBLIC_URL"] {
        let variables = without(&whole, name);
        for command in ["check-config", "serve"] {
            let (status, words) = refused(&place, command, &variables).await?;
            ensure!(
                status.code() == Some(BAD_CONFIGURATION),
                "{status}: {words}"
            );
            ensure!(words.contains(name), "{words}");
            ensure!(!words.contains("canary"), "{words}");
        }
    }
    let (status, words) = refused(&place, "check-config", &whole).await?;
    ensure!(status.success(), "{status}: {words}");
    for secret in ["canary", tests::SECRETS_KEY] {
        ensure!(!words.contains(secret), "{words}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_none_and_a_url_that_is_none_are_told_without_showing_them() -> Result<()> {
    let place = NodePlace::numbered(0)?;
    let bad = [
        ("SECRETS_KEY", "canary-too-short"),
        ("REDIS_URL", "http://:canary@127.0.0.1"),
        ("REDIS_URL", "redis+sentinel://:canary@127.0.0.1"),
    ];

    for (name, value) in bad {
        let mut variables = place.variables("redis://127.0.0.1:1");
        variables.retain(|(found, _)| found != name);
        variables.push((name.to_owned(), value.to_owned()));
        let (status, words) = refused(&place, "check-config", &variables).await?;
        ensure!(
            status.code() == Some(BAD_CONFIGURATION),
            "{status}: {words}"
        );
        ensure!(words.contains(name) && !words.contains("canary"), "{words}");
    }
    Ok(())
}

#[tokio::test]
async fn a_second_node_of_a_name_is_refused_and_the_first_stays() -> Result<()> {
    let fleet = Fleet::start(1).await?;
    let mut place = NodePlace::numbered(1)?;
    place.id.clone_from(&fleet.nodes[0].place.id);

    let variables = place.variables(&fleet.redis.url_by(fleet.redis.address()));
    let (status, words) = refused(&place, "serve", &variables).await?;

    ensure!(!status.success(), "{words}");
    ensure!(
        words.contains("SERVER_ID") && words.contains("node-0"),
        "{words}"
    );
    ensure!(!words.contains(Redis::PASSWORD), "{words}");
    let assigned = fleet.nodes[0]
        .gateway()?
        .get("/media-servers/assign?broadcast=show")
        .await?;
    ensure!(assigned.status == StatusCode::OK, "{}", assigned.body);
    Ok(())
}

#[tokio::test]
async fn a_killed_nodes_name_is_free_for_the_process_that_follows_it() -> Result<()> {
    let mut fleet = Fleet::start(2).await?;

    fleet.nodes[0].kill().await?;
    fleet.nodes[0].restart().await?;

    fleet.gathered().await
}

#[tokio::test]
async fn a_wrong_password_is_refused_without_showing_it() -> Result<()> {
    let redis = Redis::start().await?;
    let place = NodePlace::numbered(0)?;

    for url in [
        format!("redis://:canary-wrong@{}", redis.address()),
        format!("redis://{}", redis.address()),
    ] {
        let (status, words) = refused(&place, "serve", &place.variables(&url)).await?;
        ensure!(!status.success(), "{words}");
        ensure!(words.contains("password"), "{words}");
        ensure!(!words.contains("canary-wrong"), "{words}");
    }
    Ok(())
}

#[tokio::test]
async fn a_redis_of_long_ago_is_refused_with_both_versions() -> Result<()> {
    let redis = OldRedis::start("5.0.14").await?;
    let place = NodePlace::numbered(0)?;

    let (status, words) = refused(&place, "serve", &place.variables(&redis.url())).await?;

    ensure!(!status.success(), "{words}");
    ensure!(words.contains("5.0") && words.contains("6.0"), "{words}");
    Ok(())
}

#[tokio::test]
async fn a_node_waits_for_a_redis_that_comes_late() -> Result<()> {
    let mut redis = Redis::start().await?;
    redis.kill().await?;
    let place = NodePlace::numbered(0)?;
    let variables = place.variables(&redis.url_by(redis.address()));
    let (mut process, _scratch) = spawn(&place, "serve", &variables).await?;
    eventually("it says that it waits", FLEET_LIMIT, async || {
        let words = process.output()?;
        Ok(words.contains("cannot join yet").then_some(()))
    })
    .await?;
    ensure!(process.ended()?.is_none(), "{}", process.output()?);

    redis.restart().await?;

    let client = tests::client()?;
    eventually("it is ready", FLEET_LIMIT, async || {
        let ended = process.ended()?;
        ensure!(ended.is_none(), "{ended:?}: {}", process.output()?);
        let answer = client.get(format!("{}/readyz", place.url())).send().await;
        Ok(answer
            .is_ok_and(|answer| answer.status().is_success())
            .then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_process_alone_is_a_fleet_of_one() -> Result<()> {
    let gateway = Gateway::start(&[("SERVER_ID", "alone")]).await?;

    let list = gateway.get("/media-servers").await?.json()?;
    let assigned = gateway
        .get("/media-servers/assign?broadcast=show")
        .await?
        .json()?;
    let node = gateway.get("/api/v1/node").await?.json()?;

    let servers = list.as_array().context("a list")?;
    ensure!(servers.len() == 1 && servers[0]["id"] == "alone", "{list}");
    ensure!(assigned["serverId"] == "alone", "{assigned}");
    ensure!(
        node["id"] == "alone" && node["registry"] == "alone" && node["draining"] == false,
        "{node}"
    );
    Ok(())
}
