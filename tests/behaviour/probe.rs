//! Trying a destination out: what is told of each kind, and that a forbidden one hears nothing.

use std::net::TcpListener;

use anyhow::{Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Gateway, Nginx, free_port};

async fn probe(gateway: &Gateway, url: &str, publish: bool) -> Result<Value> {
    let body = json!({ "rtmpUrl": url, "streamKey": "kq7-hidden-b81", "publish": publish });
    let answer = gateway.post("/api/v1/destinations/probe", &body).await?;
    ensure!(
        answer.status == StatusCode::OK,
        "{} {}",
        answer.status,
        answer.body
    );
    ensure!(!answer.body.contains("kq7-hidden-b81"), "{}", answer.body);
    answer.json()
}

#[tokio::test]
async fn a_good_address_is_told_step_by_step_and_a_bad_one_by_its_reason() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let closed = format!("rtmp://127.0.0.1:{}/live", free_port()?);
    let mute = TcpListener::bind("127.0.0.1:0")?;
    let mute = format!("rtmp://{}/live", mute.local_addr()?);

    let good = probe(&gateway, &nginx.url(), false).await?;
    let published = probe(&gateway, &nginx.url(), true).await?;
    let refused = probe(&gateway, &closed, false).await?;
    let unknown = probe(&gateway, "rtmp://nowhere.invalid/live", false).await?;
    let silent = probe(&gateway, &mute, false).await?;

    ensure!(
        good["ok"] == true && published["ok"] == true,
        "{good} {published}"
    );
    let steps = |told: &Value| -> Vec<String> {
        let steps = told["steps"].as_array().into_iter().flatten();
        steps
            .filter_map(|step| step["step"].as_str().map(str::to_owned))
            .collect()
    };
    for step in ["connect", "handshake", "connectReply", "createStream"] {
        ensure!(
            steps(&good).iter().any(|done| done == step),
            "no {step}: {good}"
        );
    }
    ensure!(!steps(&good).iter().any(|step| step == "publish"), "{good}");
    ensure!(
        steps(&published).iter().any(|step| step == "publish"),
        "{published}"
    );
    // A publisher that sends nothing leaves the head of a file.
    for recording in nginx.recordings("kq7-hidden-b81")? {
        ensure!(recording.metadata()?.len() < 1_000, "media was sent");
    }
    for (told, codes) in [
        (refused, vec!["connect_refused"]),
        (unknown, vec!["dns_failed"]),
        (silent, vec!["handshake_failed", "connect_timeout"]),
    ] {
        let code = told["code"].as_str().unwrap_or_default();
        ensure!(told["ok"] == false && codes.contains(&code), "{told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_forbidden_address_hears_nothing() -> Result<()> {
    let gateway = Gateway::start(&[("DESTINATION_ALLOW_PRIVATE", "false")]).await?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();

    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let told = probe(&gateway, &format!("rtmp://{host}:{port}/live"), true).await?;

        ensure!(
            told["ok"] == false && told["code"] == "forbidden_address",
            "{host}: {told}"
        );
    }

    // A connection would have been in the listener's queue before the answer was there.
    let heard = listener.accept();
    ensure!(
        heard
            .as_ref()
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        "{heard:?}"
    );
    Ok(())
}
