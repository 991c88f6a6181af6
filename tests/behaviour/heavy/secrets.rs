//! Nothing secret is ever shown: at TRACE, with failures on the way.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use jsonwebtoken::{EncodingKey, Header};
use pipelines::rtmp::receiver::Receiver;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::{Gateway, Studio, eventually, free_port};

use super::LIVE_LIMIT;

pub(super) const JWT_SECRET: &str = "b64-5f0c2a9d7e1843f6a1d2-of-a-test";
const TURN_SECRET: &str = "turn-77ac10e4bd2f49d8-of-a-test";
const GOOD_KEY: &str = "live_518204_Zq9ResR0tWmXkPa?token=Yh7sJ2&x=a/b";
const REFUSED_KEY: &str = "rfsd-4kx9-Wm3z-81pp-Qe7u";
const PATH_KEY: &str = "pthk-9d2f-Uu1v-77ab-Zz0c";
const ROTATED_KEY: &str = "rttd-1a2b-Cc3d-99ef-Gg4h";

const PROBED_KEY: &str = "prbd-5e6f-Ii7j-00kk-Ll8m";

/// At this many characters in a row a piece of a secret is the secret.
const PIECE: usize = 10;

/// A token of somebody who may do everything.
pub(super) fn token(secret: &str) -> Result<String> {
    let expiry = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?
        + Duration::from_mins(10);
    let claims =
        json!({ "sub": "anna", "broadcast": "*", "role": "operator", "exp": expiry.as_secs() });
    Ok(jsonwebtoken::encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )?)
}

/// Fails if `text` holds a piece of a secret, as it is or escaped for a URL.
pub(super) fn check(what: &str, text: &str, secrets: &[&str]) -> Result<()> {
    for secret in secrets {
        let escaped: String = url_escaped(secret);
        for form in [*secret, &escaped] {
            let characters: Vec<char> = form.chars().collect();
            for piece in characters.windows(PIECE.min(characters.len())) {
                let piece: String = piece.iter().collect();
                if let Some(at) = text.find(&piece) {
                    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                    let line = text[line..].lines().next().unwrap_or_default();
                    anyhow::bail!("{what} shows '{piece}': {line}");
                }
            }
        }
    }
    Ok(())
}

fn url_escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The processes whose parent is `id`.
pub(super) fn children(id: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(child) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let Ok(status) = fs::read_to_string(format!("/proc/{child}/status")) else {
            continue;
        };
        if status.lines().any(|line| {
            line.strip_prefix("PPid:")
                .is_some_and(|parent| parent.trim() == id.to_string())
        }) {
            found.push(child);
        }
    }
    Ok(found)
}

#[test]
fn the_search_finds_what_is_there() {
    let secrets = [GOOD_KEY];

    assert!(check("text", "nothing here", &secrets).is_ok());
    assert!(check("text", &format!("a {GOOD_KEY} b"), &secrets).is_err());
    assert!(check("text", "cut: live_518204_Z", &secrets).is_err());
    assert!(check("text", "escaped: %3Ftoken%3DYh7sJ2%26x", &secrets).is_err());
}

/// All that was shown, by where.
pub(super) type Shown = Vec<(&'static str, String)>;

/// Creates the broadcast, and makes requests that fail with a key in them.
async fn make_requests(
    gateway: &Gateway,
    server: SocketAddr,
    closed: u16,
    shown: &mut Shown,
) -> Result<()> {
    let destinations = "/api/v1/broadcasts/show/destinations";
    let show = json!({ "id": "show", "destinations": [
        { "id": "good", "rtmpUrl": format!("rtmp://{server}/live"), "streamKey": GOOD_KEY },
        { "id": "refused", "rtmpUrl": format!("rtmp://127.0.0.1:{closed}/live"), "streamKey": REFUSED_KEY },
        { "id": "path", "rtmpUrl": format!("rtmp://{server}/live/{PATH_KEY}") },
    ]});
    let misspelt = json!({
        "rtmpUrl": format!("rtmq://{server}/live/{PATH_KEY}"), "streamKey": GOOD_KEY, "streamKye": REFUSED_KEY
    });
    let mistyped =
        json!({ "rtmpUrl": format!("rtmp://{server}/live/{PATH_KEY}"), "streamKey": [GOOD_KEY] });
    let mistyped_url = json!({ "rtmpUrl": { "rtmp": PATH_KEY }, "streamKey": GOOD_KEY });
    let probe = json!({ "rtmpUrl": format!("rtmp://{server}/live"), "streamKey": PROBED_KEY, "publish": true });
    let refused_probe = json!({ "rtmpUrl": format!("rtmp://127.0.0.1:{closed}/live/{PROBED_KEY}"), "publish": true });
    let probes = "/api/v1/destinations/probe";
    let requests = [
        ("a probe", probes, &probe),
        ("a refused probe", probes, &refused_probe),
        ("creation", "/api/v1/broadcasts", &show),
        ("creation again", "/api/v1/broadcasts", &show),
        ("a misspelt destination", destinations, &misspelt),
        ("a mistyped key", destinations, &mistyped),
        ("a mistyped URL", destinations, &mistyped_url),
    ];
    for (what, path, body) in requests {
        shown.push((what, gateway.post(path, body).await?.body));
    }
    Ok(())
}

/// Everything that can be read of a running broadcast.
async fn read_answers(gateway: &Gateway, shown: &mut Shown) -> Result<()> {
    let paths = [
        "/api/v1/broadcasts",
        "/api/v1/broadcasts/show",
        "/metrics",
        "/health",
        "/openapi.json",
        "/media-servers",
        "/api/v1/broadcasts/show/slate",
        "/api/v1/broadcasts/show/destinations/good/black-box",
        "/api/v1/broadcasts/show/destinations/refused/black-box",
        "/api/v1/broadcasts/show/destinations/path/black-box?download=true",
    ];
    for path in paths {
        let answer = gateway.get(path).await?;
        let is_there = answer.status.is_success() || path == "/media-servers";
        ensure!(is_there, "{path}: {}", answer.status);
        shown.push((path, answer.body));
    }
    let events = gateway.request(Method::GET, "/api/v1/broadcasts/show/events");
    let first = events.send().await?.chunk().await?.context("no event")?;
    shown.push(("events", String::from_utf8_lossy(&first).into_owned()));
    Ok(())
}

/// What other users of the machine see.
pub(super) fn read_processes(gateway: &Gateway, shown: &mut Shown) -> Result<()> {
    let own = gateway.process.proc_file("cmdline")?;
    shown.push((
        "the command line",
        String::from_utf8_lossy(&own).into_owned(),
    ));
    for child in children(gateway.process.id()?)? {
        for file in ["cmdline", "environ"] {
            let path = Path::new("/proc").join(child.to_string()).join(file);
            // It may have ended meanwhile, and one that has ended shows nothing.
            let bytes = fs::read(path).unwrap_or_default();
            if !bytes.is_empty() {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                shown.push(("a child process", text));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_key_token_or_secret_is_ever_shown() -> Result<()> {
    let receiver = Receiver::bind(([127, 0, 0, 1], 0).into()).await?;
    let mut gateway = Gateway::start(&[
        ("LOG_LEVEL", "trace"),
        ("AUTH_MODE", "jwt"),
        ("JWT_SECRET", JWT_SECRET),
        ("TURN_URL", "turn:127.0.0.1:3478"),
        ("TURN_SECRET", TURN_SECRET),
    ])
    .await?;
    let good_token = token(JWT_SECRET)?;
    let forged_token = token("another-secret-that-is-long-enough")?;
    let mut shown = Shown::new();

    gateway.authorise(&forged_token);
    let refused = gateway.get("/api/v1/broadcasts").await?;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    shown.push(("the refusal", refused.body));
    gateway.authorise(&good_token);
    make_requests(&gateway, receiver.local_address(), free_port()?, &mut shown).await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), Some(&good_token), 600).await?;
    for (id, state) in [("good", "live"), ("path", "live"), ("refused", "retrying")] {
        gateway
            .destination_until("show", id, state, LIVE_LIMIT)
            .await?;
    }
    let rotation = json!({ "streamKey": ROTATED_KEY });
    let rotated = gateway
        .patch("/api/v1/broadcasts/show/destinations/good", &rotation)
        .await?;
    shown.push(("a rotation", rotated.body));
    let published = |key: &str| {
        receiver
            .streams()
            .iter()
            .any(|report| report.stream_key.expose() == key)
    };
    eventually("the rotated key is published to", LIVE_LIMIT, async || {
        Ok(published(ROTATED_KEY).then_some(()))
    })
    .await?;
    read_answers(&gateway, &mut shown).await?;
    read_processes(&gateway, &mut shown)?;
    studio.vanish().await?;
    gateway.terminate()?;
    gateway.process.wait(Duration::from_secs(20)).await?;
    shown.push(("the log", gateway.process.output()?));

    // There was something to show, and somewhere.
    for key in [GOOD_KEY, PATH_KEY, ROTATED_KEY, PROBED_KEY] {
        ensure!(published(key), "{key} was not used");
    }
    ensure!(shown.iter().all(|(_, text)| !text.is_empty()));
    ensure!(
        shown.last().is_some_and(|(_, log)| log.contains("TRACE")),
        "nothing was traced"
    );
    // The heads of tokens are alike and tell nothing.
    let tail = |token: &str| token.split_once('.').map(|(_, tail)| tail.to_owned());
    let (good, forged) = (
        tail(&good_token).context("token")?,
        tail(&forged_token).context("token")?,
    );
    let secrets = [
        JWT_SECRET,
        TURN_SECRET,
        GOOD_KEY,
        REFUSED_KEY,
        PATH_KEY,
        ROTATED_KEY,
        PROBED_KEY,
        &good,
        &forged,
    ];
    for (what, text) in &shown {
        check(what, text, &secrets)?;
    }
    Ok(())
}

#[tokio::test]
async fn check_config_hides_secrets() -> Result<()> {
    let output = tests::gateway_command()
        .await?
        .arg("check-config")
        .env("JWT_SECRET", JWT_SECRET)
        .env("AUTH_MODE", "jwt")
        .env("TURN_URL", "turn:127.0.0.1:3478")
        .env("TURN_SECRET", TURN_SECRET)
        .output()
        .await?;

    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    ensure!(said.contains("JWT_SECRET"), "{said}");
    check("check-config", &said, &[JWT_SECRET, TURN_SECRET])
}
