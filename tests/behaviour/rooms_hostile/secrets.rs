//! What clients of rooms show in confidence is in no log, at TRACE.

use anyhow::{Context, Result, ensure};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tests::{Crowd, Gateway};

const JWT_SECRET: &str = "b64-c41e7a90d3f2-of-a-test-of-rooms";
const KEY: &str = "live_room-81c2_Wq4TzR7?token=Kp5nV1";
const URL_KEY: &str = "room-inurl-66fa-Xc0vBn3m";
const LOST_KEY: &str = "room-lost-17bd-Lk2jHg8f";
const CUT_KEY: &str = "room-cut-90aa-Po6iUy1t";

/// Where nobody listens: what goes wrong is logged.
const NOWHERE: &str = "rtmp://127.0.0.1:9/live";

fn token(secret: &str) -> Result<String> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let claims = json!({ "sub": "anna", "broadcast": "*", "role": "operator", "exp": since.as_secs() + 600 });
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &key)?)
}

#[tokio::test]
async fn no_token_and_no_stream_key_of_a_room_is_ever_logged() -> Result<()> {
    let mut gateway = Gateway::start(&[
        ("LOG_LEVEL", "trace"),
        ("AUTH_MODE", "jwt"),
        ("JWT_SECRET", JWT_SECRET),
    ])
    .await?;
    let mut crowd = Crowd::open(&gateway.url("")).await?;
    let (good, forged) = (
        token(JWT_SECRET)?,
        token("another-secret-that-is-long-enough")?,
    );

    for polling in [false, true] {
        for dialect in ["sfu", "nself", "streamlick", "meetlite", "meetlite2"] {
            let name = format!("{dialect}-{polling}");
            let options = |token: &str| json!({ "token": token, "polling": polling, "auth": { "dialect": dialect } });
            let refused = crowd.knock(&name, options(&forged)).await?;
            assert_eq!(refused["refused"], "Authentication failed", "{name}");
            let admitted = crowd.knock(&name, options(&good)).await?;
            assert!(admitted.is_null(), "{name}: {admitted}");
        }
    }
    for name in ["streamlick-false", "streamlick-true"] {
        let started = start(&mut crowd, name).await?;
        assert_eq!(started["destinations"], json!(["one"]), "{started}");
    }
    let torn = format!(r#"42["start-rtmp",{{"destinations":[{{"streamKey":"{CUT_KEY}"}}]"#);
    let write = json!({ "name": "streamlick-false", "text": torn });
    crowd.tell("write", write).await?;

    gateway.terminate()?;
    gateway
        .process
        .wait(std::time::Duration::from_mins(1))
        .await?;
    let log = gateway.process.output()?;
    // There was something to show, and somewhere.
    ensure!(log.contains("TRACE"), "nothing was traced");
    ensure!(log.contains("participant joined"), "nobody came in");
    // The heads of tokens are alike and tell nothing.
    let tail = |token: &str| token.split_once('.').map(|(_, tail)| tail.to_owned());
    let tails = [
        tail(&good).context("token")?,
        tail(&forged).context("token")?,
    ];
    for secret in tails
        .iter()
        .map(String::as_str)
        .chain([JWT_SECRET, KEY, URL_KEY, LOST_KEY, CUT_KEY])
    {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is shown");
    }
    Ok(())
}

/// Makes a programme of somebody's tracks go out, also in ways that cannot be.
async fn start(crowd: &mut Crowd, name: &str) -> Result<Value> {
    let made = json!({ "name": name, "room": name });
    let producers = crowd.tell("compose", made).await?;
    let order = |destination: Value| {
        json!(["start-rtmp", {
            "broadcastId": name,
            "destinations": [destination],
            "compositeProducers": producers,
        }])
    };
    for destination in [
        json!({ "rtmpUrl": 7, "streamKey": LOST_KEY }),
        json!({ "rtmpUrl": format!("nonsense://{URL_KEY}"), "streamKey": LOST_KEY }),
    ] {
        let refused = crowd.ask(name, order(destination)).await?;
        ensure!(refused.get("error").is_some(), "{refused}");
        for secret in [URL_KEY, LOST_KEY] {
            ensure!(!refused.to_string().contains(secret), "{refused}");
        }
    }
    let unknown = json!(["start-broadcast", { "streamKey": LOST_KEY }]);
    crowd.ask(name, unknown).await?;
    let destination =
        json!({ "id": "one", "rtmpUrl": format!("{NOWHERE}/{URL_KEY}"), "streamKey": KEY });
    crowd.ask(name, order(destination)).await
}
