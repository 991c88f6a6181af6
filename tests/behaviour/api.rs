//! The HTTP API where no studio is needed: what is accepted, what is refused, and in which words.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Answer, Gateway, gateway_command, send};

/// Checks that an answer is a problem by RFC 9457 with a stable code and its own status, and returns it.
fn problem(answer: &Answer, status: StatusCode) -> Result<Value> {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.header("content-type")?, "application/problem+json");
    let problem = answer.json()?;
    assert_eq!(problem["status"], status.as_u16(), "{problem}");
    assert!(
        problem["code"]
            .as_str()
            .is_some_and(|code| !code.is_empty()),
        "{problem}"
    );
    Ok(problem)
}

#[tokio::test]
async fn a_new_gateway_is_alive_ready_and_empty() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;

    for path in ["/livez", "/readyz", "/health", "/api/health"] {
        assert_eq!(gateway.get(path).await?.status, StatusCode::OK, "{path}");
    }
    let list = gateway.get("/api/v1/broadcasts").await?.json()?;
    assert_eq!(list["broadcasts"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_broadcast_is_created_read_listed_and_ended() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let body = json!({
        "id": "show",
        "autoStart": false,
        "destinations": [{ "id": "one", "rtmpUrl": "rtmp://127.0.0.1/live", "streamKey": "k" }]
    });

    let created = gateway.post("/api/v1/broadcasts", &body).await?;
    let again = gateway.post("/api/v1/broadcasts", &body).await?;
    let other = gateway
        .post("/api/v1/broadcasts", &json!({ "id": "show" }))
        .await?;

    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    assert!(
        created
            .header("location")?
            .ends_with("/api/v1/broadcasts/show")
    );
    let broadcast = created.json()?;
    assert_eq!(broadcast["state"], "waiting");
    assert!(
        broadcast["whipUrl"]
            .as_str()
            .context("whipUrl")?
            .ends_with("/whip/show")
    );
    assert_eq!(again.status, StatusCode::OK);
    problem(&other, StatusCode::CONFLICT)?;
    assert_eq!(gateway.broadcast("show").await?["id"], "show");
    assert_eq!(
        gateway.get("/api/v1/broadcasts").await?.json()?["broadcasts"][0]["id"],
        "show"
    );
    for _ in 0..2 {
        assert_eq!(
            gateway.delete("/api/v1/broadcasts/show").await?.status,
            StatusCode::NO_CONTENT
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_destination_is_422_with_the_field_named() -> Result<()> {
    let gateway = Gateway::start(&[
        ("DESTINATION_ALLOW_PRIVATE", "false"),
        ("DESTINATION_ALLOW_PORTS", "1935"),
    ])
    .await?;
    let bad = [
        json!({ "rtmpUrl": "http://live.example.org/app", "streamKey": "k" }),
        json!({ "rtmpUrl": "nonsense", "streamKey": "k" }),
        json!({ "rtmpUrl": "rtmp://", "streamKey": "k" }),
        json!({ "rtmpUrl": "rtmp://live.example.org:22/app", "streamKey": "k" }),
        json!({ "rtmpUrl": "rtmp://127.0.0.1/app", "streamKey": "k" }),
        json!({ "rtmpUrl": "rtmp://[::ffff:127.0.0.1]/app", "streamKey": "k" }),
        json!({ "rtmpUrl": "rtmp://169.254.169.254/latest", "streamKey": "k" }),
        json!({ "rtmpUrl": "rtmp://10.1.2.3/app", "streamKey": "k" }),
        json!({ "streamKey": "k" }),
    ];

    for destination in bad {
        let body = json!({ "id": "show", "destinations": [destination] });
        let answer = gateway.post("/api/v1/broadcasts", &body).await?;
        let problem = problem(&answer, StatusCode::UNPROCESSABLE_ENTITY)?;
        assert!(problem.to_string().contains("rtmpUrl"), "{body}: {problem}");
    }
    assert_eq!(
        gateway.get("/api/v1/broadcasts").await?.json()?["broadcasts"],
        json!([])
    );
    Ok(())
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_its_name() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let bodies = [
        json!({ "id": "show", "streamKye": "k" }),
        json!({ "id": "show", "destinations": [{ "rtmpUrl": "rtmp://127.0.0.1/a", "streamKye": "k" }] }),
    ];

    for body in bodies {
        let answer = gateway.post("/api/v1/broadcasts", &body).await?;
        let problem = problem(&answer, StatusCode::UNPROCESSABLE_ENTITY)?;
        assert!(problem.to_string().contains("streamKye"), "{problem}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_json_are_problems_too() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;

    problem(
        &gateway.get("/api/v1/broadcasts/nobody").await?,
        StatusCode::NOT_FOUND,
    )?;
    problem(
        &gateway.get("/api/v1/nothing").await?,
        StatusCode::NOT_FOUND,
    )?;
    let cut_short = gateway
        .request(Method::POST, "/api/v1/broadcasts")
        .header("content-type", "application/json")
        .body("{\"id\":");
    problem(&send(cut_short).await?, StatusCode::BAD_REQUEST)?;
    let huge = gateway
        .request(Method::POST, "/api/v1/broadcasts")
        .header("content-type", "application/json")
        .body(vec![b' '; 200 * 1024]);
    problem(&send(huge).await?, StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok(())
}

#[tokio::test]
async fn destinations_are_added_changed_and_removed() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("show", json!([])).await?;
    let destinations = "/api/v1/broadcasts/show/destinations";

    let added = gateway
        .post(
            destinations,
            &json!({ "id": "one", "rtmpUrl": "rtmp://127.0.0.1/live", "streamKey": "k" }),
        )
        .await?;
    let changed = gateway
        .patch(&format!("{destinations}/one"), &json!({ "enabled": false }))
        .await?;
    let unknown = gateway
        .patch(&format!("{destinations}/two"), &json!({ "enabled": false }))
        .await?;

    assert_eq!(added.status, StatusCode::CREATED, "{}", added.body);
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.body);
    problem(&unknown, StatusCode::NOT_FOUND)?;
    let broadcast = gateway.broadcast("show").await?;
    assert_eq!(broadcast["destinations"][0]["enabled"], false);
    assert_eq!(
        gateway.delete(&format!("{destinations}/one")).await?.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(gateway.broadcast("show").await?["destinations"], json!([]));
    Ok(())
}

#[tokio::test]
async fn the_description_names_every_path_of_the_contract() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;

    let description = gateway.get("/openapi.json").await?.json()?;

    assert!(
        description["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    for path in [
        "/api/v1/broadcasts",
        "/api/v1/broadcasts/{id}",
        "/api/v1/broadcasts/{id}/start",
        "/api/v1/broadcasts/{id}/stop",
        "/api/v1/broadcasts/{id}/destinations",
        "/api/v1/broadcasts/{id}/events",
    ] {
        assert!(
            description["paths"].get(path).is_some(),
            "{path} is not described"
        );
    }
    Ok(())
}

#[tokio::test]
async fn metrics_are_prometheus_text_without_ids() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("very-own-show", json!([])).await?;

    let metrics = gateway.get("/metrics").await?;

    assert_eq!(metrics.status, StatusCode::OK);
    assert!(metrics.body.contains("castgate_"), "{}", metrics.body);
    assert!(
        metrics.body.contains("media_server_active_streams"),
        "{}",
        metrics.body
    );
    assert!(!metrics.body.contains("very-own-show"));
    Ok(())
}

#[tokio::test]
async fn a_bad_configuration_ends_with_78_and_every_mistake() -> Result<()> {
    let output = gateway_command()
        .await?
        .arg("check-config")
        .env("PORT", "99999")
        .env("AUTH_MODE", "maybe")
        .env("LOG_LEVEL", "loud")
        .output()
        .await?;

    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for variable in ["PORT", "AUTH_MODE", "LOG_LEVEL"] {
        assert!(said.contains(variable), "{variable} is not in: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn anonymous_access_from_elsewhere_is_refused_at_the_start() -> Result<()> {
    let mut command = gateway_command().await?;
    let port = tests::free_port()?.to_string();
    let mut child = command
        .arg("serve")
        .env("HTTP_IP", "0.0.0.0")
        .env("PORT", port)
        .kill_on_drop(true)
        .spawn()?;

    let status = tokio::time::timeout(Duration::from_mins(1), child.wait()).await??;

    assert_eq!(status.code(), Some(78));
    Ok(())
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once_and_content() -> Result<()> {
    for signal in [
        nix::sys::signal::Signal::SIGTERM,
        nix::sys::signal::Signal::SIGINT,
    ] {
        let mut gateway = Gateway::start(&[]).await?;

        gateway.process.signal(signal)?;
        let status = gateway.process.wait(Duration::from_mins(1)).await?;

        assert_eq!(status.code(), Some(0), "after {signal}");
    }
    Ok(())
}
