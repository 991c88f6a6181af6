//! What a hosted provider is told, and tells, is never shown: at TRACE, by one that carries shows and by one that says again
//! what it was told.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use fake_providers::{
    Action, Records,
    cloudflare::FakeCloudflare,
    daily::FakeDaily,
    livekit::{API_KEY, API_SECRET},
};
use jsonwebtoken::{EncodingKey, Header};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::{Gateway, Landlord, Studio, eventually, gateway_command};
use tokio::task::JoinSet;

use super::{
    ENOUGH, LIVE_LIMIT, Scene, WATCH_LIMIT,
    daily::Call,
    search::{Search, is_token},
};
use crate::heavy::{
    error_code,
    secrets::{JWT_SECRET, Shown, read_processes, token},
};

const GOOD_KEY: &str = "live_730918_Wd4LkQz7vTbNcPy?token=Gx3rUo5&x=a-b";
/// Of [`GOOD_KEY`], what a platform names a stream by.
const GOOD_NAME: &str = "live_730918_Wd4LkQz7vTbNcPy";
const REFUSED_KEY: &str = "rfsd-7vNq-Bt2x-LmH4-s9Wd";
const WRONG_SECRET: &str = "wrng-Qk3Ty8Zb5Nf1Rc6Jp9Lx2Vh7";
const FORGED_SECRET: &str = "frgd-Xa6Mw2Ks9Pd4Gu7Eo1Hj5Yv8";

/// From a terminated gateway to its end.
const END_LIMIT: Duration = Duration::from_secs(20);

const STUDIO_SECONDS: u32 = 120;

const SHOW: &str = "/api/v1/broadcasts/show";

/// A webhook of `LiveKit`, and its SHA-256 in base64, which its signature has.
const LIVEKIT_WEBHOOK: &str =
    r#"{"event":"room_started","id":"EV_9fQ2","room":{"name":"of-nobody"}}"#;
const LIVEKIT_WEBHOOK_DIGEST: &str = "q/X+zV9hyergejb1wj7zRkPK5l2XeKlz/O2BvVpVtAY=";

/// The variable with what a gateway is known by at a provider.
fn secret_variable(landlord: Landlord) -> &'static str {
    match landlord {
        Landlord::Cloudflare => "CLOUDFLARE_API_TOKEN",
        Landlord::Livekit => "LIVEKIT_API_SECRET",
        Landlord::Mux => "MUX_TOKEN_SECRET",
        Landlord::MediaMtx => "RESTREAM_TOKEN",
    }
}

/// A gateway that tells all it can, with a token for its API.
async fn scene(landlord: Landlord, more: &[(&str, &str)]) -> Result<(Scene, String)> {
    let mut variables = vec![
        ("LOG_LEVEL", "trace"),
        ("RUST_LOG", "trace"),
        ("AUTH_MODE", "jwt"),
        ("JWT_SECRET", JWT_SECRET),
    ];
    if landlord == Landlord::Cloudflare {
        variables.push(("CLOUDFLARE_WEBHOOK_SECRET", FakeCloudflare::WEBHOOK_SECRET));
    }
    variables.extend(more);
    let mut scene = Scene::with(landlord, &variables).await?;
    let token = token(JWT_SECRET)?;
    scene.gateway.authorise(&token);
    Ok((scene, token))
}

/// A destination whose key is not its name.
fn destination(scene: &Scene, id: &str, key: &str) -> Value {
    super::destination(id, scene.platform.address(), key)
}

async fn create(scene: &Scene, method: &str, shown: &mut Shown) -> Result<()> {
    let destinations = [destination(scene, "good", GOOD_KEY)];
    let body = json!({ "id": "show", "method": method, "destinations": destinations });
    let created = scene.gateway.post("/api/v1/broadcasts", &body).await?;
    ensure!(created.status == StatusCode::CREATED, "{}", created.body);
    shown.push(("creation", created.body));
    Ok(())
}

/// An error as Cloudflare and as `LiveKit` tell it, with `echo` wherever they have words.
fn error_with(echo: &str) -> String {
    json!({
        "success": false, "result": null, "messages": [echo],
        "errors": [{ "code": 10_005, "message": echo }],
        "code": "invalid_argument", "msg": echo, "meta": { "cause": echo },
    })
    .to_string()
}

/// Keeps all events of the show, until the gateway has ended.
async fn listen(gateway: &Gateway) -> Result<JoinSet<String>> {
    let request = gateway.request(Method::GET, &format!("{SHOW}/events"));
    let mut events = request.send().await?.error_for_status()?;
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        let mut text = String::new();
        while let Ok(Some(chunk)) = events.chunk().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    });
    Ok(listening)
}

/// Everything that can be read of a gateway with a show.
async fn read_answers(gateway: &Gateway, state: &Path, shown: &mut Shown) -> Result<()> {
    let paths = [
        "/api/v1/providers",
        "/api/v1/broadcasts",
        SHOW,
        "/metrics",
        "/health",
        "/openapi.json",
        "/api/v1/broadcasts/show/join",
        "/api/v1/broadcasts/show/destinations/good/black-box",
        "/api/v1/broadcasts/show/destinations/good/black-box?download=true",
    ];
    for path in paths {
        let answer = gateway.get(path).await?;
        let may_be_missing = path.ends_with("/join") || path.contains("/black-box");
        ensure!(
            answer.status.is_success() || may_be_missing,
            "{path}: {}",
            answer.status
        );
        shown.push((path, format!("{:?}\n{}", answer.headers, answer.body)));
    }
    read_processes(gateway, shown)?;
    read_files(state, shown)
}

fn read_files(folder: &Path, shown: &mut Shown) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_files(&path, shown)?;
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            shown.push(("a file in STATE_DIR", format!("{}\n{text}", path.display())));
        }
    }
    Ok(())
}

/// A webhook from somebody who has `secret`.
fn webhook(landlord: Landlord, secret: &str) -> Result<(&'static str, String, String)> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = now.as_secs();
    if landlord == Landlord::Livekit {
        let claims = json!({ "iss": API_KEY, "nbf": now, "exp": now + 300, "sha256": LIVEKIT_WEBHOOK_DIGEST });
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key)?;
        return Ok(("authorization", token, LIVEKIT_WEBHOOK.to_owned()));
    }
    let body = json!({
        "name": "live", "text": "Live input connected", "ts": now,
        "data": {
            "notification_name": "Stream Live Input", "input_id": "of-nobody",
            "event_type": "live_input.connected", "updated_at": "2026-11-22T02:00:00Z",
        },
    });
    Ok(("cf-webhook-auth", secret.to_owned(), body.to_string()))
}

/// Sends webhooks, good and bad, and returns what showed that they may be sent.
async fn notify(scene: &Scene, landlord: Landlord, shown: &mut Shown) -> Result<Vec<String>> {
    let secret = match landlord {
        Landlord::Livekit => API_SECRET,
        Landlord::Cloudflare | Landlord::Mux | Landlord::MediaMtx => FakeCloudflare::WEBHOOK_SECRET,
    };
    let (header, good, body) = webhook(landlord, secret)?;
    let (_, forged, _) = webhook(landlord, FORGED_SECRET)?;
    let path = format!("/api/v1/providers/{}/webhooks", landlord.method());
    let nonsense = format!("{{ \"{secret}\": {GOOD_KEY}");
    for (what, proof, body, is_taken) in [
        ("a webhook", &good, &body, true),
        ("a webhook again", &good, &body, true),
        ("a forged webhook", &forged, &body, false),
        ("a webhook of nonsense", &good, &nonsense, false),
    ] {
        let request = scene.gateway.request(Method::POST, &path);
        // The gateway's own token, which the request has already, is not what providers send.
        let mut request = request.body(body.clone()).build()?;
        request.headers_mut().remove("authorization");
        request.headers_mut().insert(header, proof.parse()?);
        let answer = tests::client()?.execute(request).await?;
        let headers = answer.headers().clone();
        ensure!(
            answer.status().is_success() == is_taken,
            "{what}: {}",
            answer.status()
        );
        shown.push((what, format!("{headers:?} {}", answer.text().await?)));
    }
    Ok(vec![signed_part(good), signed_part(forged)])
}

/// A token without its head, which is alike for all; anything else as it is.
fn signed_part(proof: String) -> String {
    match proof.split_once('.') {
        Some((_, tail)) => tail.to_owned(),
        None => proof,
    }
}

/// Ends the gateway, and looks for canaries in all that it has shown, its log with it.
async fn search(
    mut gateway: Gateway,
    state: &Path,
    mut events: JoinSet<String>,
    mut shown: Shown,
    canaries: Vec<String>,
) -> Result<()> {
    gateway.terminate()?;
    gateway.process.wait(END_LIMIT).await?;
    read_files(state, &mut shown)?;
    shown.push(("events", events.join_next().await.context("events")??));
    shown.push(("the log", gateway.process.output()?));

    ensure!(
        shown.last().is_some_and(|(_, log)| log.contains("TRACE")),
        "nothing was traced"
    );
    let search = Search::new(&canaries);
    for (what, text) in &shown {
        ensure!(!text.is_empty(), "{what} is empty");
        if let Some(line) = search.line_with_any(text) {
            anyhow::bail!("{what} shows a secret: {line}");
        }
        if let Some(line) = text.lines().find(|line| is_token(line)) {
            anyhow::bail!("{what} shows a token: {line}");
        }
    }
    Ok(())
}

/// What a provider was told shows that there was something to be told, and that it would be found.
fn check_told(records: &Records, keys: &[&str]) -> Result<()> {
    let records = format!("{:?}", records.all());
    for key in keys {
        let search = Search::new(&[(*key).to_owned()]);
        ensure!(
            search.line_with_any(&records).is_some(),
            "the provider was not told {key}"
        );
    }
    Ok(())
}

/// What a provider may say again, because it was told: `LiveKit` is told what its secret signs, and not the secret.
fn echo_of(landlord: Landlord, secret: &str) -> String {
    match landlord {
        Landlord::Livekit => format!("no: {GOOD_KEY} {REFUSED_KEY}"),
        Landlord::Cloudflare | Landlord::Mux | Landlord::MediaMtx => {
            format!("no: {secret} {GOOD_KEY} {REFUSED_KEY}")
        }
    }
}

async fn carry(landlord: Landlord, make: &str, add: &str) -> Result<()> {
    let (scene, token) = scene(landlord, &[]).await?;
    let secret = scene.rented.secret();
    let echo = echo_of(landlord, secret);
    let mut shown = Shown::new();
    scene
        .rented
        .faults
        .add(make, 1, Action::Answer(200, echo.clone()));
    scene.rented.faults.add(make, 2, Action::TruncatedJson);
    create(&scene, landlord.method(), &mut shown).await?;
    let events = listen(&scene.gateway).await?;
    let entrance = scene.gateway.url("/whip/show");
    let studio = Studio::publish(&entrance, Some(&token), STUDIO_SECONDS).await?;
    let live = scene
        .gateway
        .destination_until("show", "good", "live", 2 * LIVE_LIMIT);
    live.await?;
    scene.watch(GOOD_NAME).await?;

    scene
        .rented
        .faults
        .add(add, 0, Action::Answer(400, error_with(&echo)));
    let refused = destination(&scene, "refused", REFUSED_KEY);
    let added = scene
        .gateway
        .post(&format!("{SHOW}/destinations"), &refused)
        .await?;
    shown.push(("a destination", added.body));
    let told = scene
        .gateway
        .broadcast_until("show", "the refusal is told", LIVE_LIMIT, |broadcast| {
            !error_code(tests::destination_of(broadcast, "refused")).is_empty()
        })
        .await?;
    shown.push(("a refused destination", told.to_string()));
    let ingest_keys = scene.rented.ingest_keys().await;
    let proofs = notify(&scene, landlord, &mut shown).await?;
    read_answers(&scene.gateway, scene.state.path(), &mut shown).await?;
    scene.gateway.delete(SHOW).await?;
    studio.leave().await?;
    scene.rented.faults.clear();
    scene.nothing_left().await?;

    ensure!(
        !ingest_keys.is_empty(),
        "the provider has handed out no key"
    );
    check_told(scene.rented.records(), &[GOOD_KEY, REFUSED_KEY])?;
    let mut canaries: Vec<String> = [secret, JWT_SECRET, GOOD_KEY, REFUSED_KEY, FORGED_SECRET]
        .map(str::to_owned)
        .into();
    if landlord == Landlord::Livekit {
        canaries.push(API_KEY.to_owned());
    }
    canaries.push(signed_part(token));
    canaries.extend(ingest_keys);
    canaries.extend(proofs);
    search(scene.gateway, scene.state.path(), events, shown, canaries).await
}

/// The provider does not know the gateway, and says of whom it does not know.
async fn refuse(landlord: Landlord) -> Result<()> {
    let wrong = [(secret_variable(landlord), WRONG_SECRET)];
    let (scene, token) = scene(landlord, &wrong).await?;
    let echo = format!("nobody is known by {WRONG_SECRET}, who has {GOOD_KEY}");
    let mut shown = Shown::new();
    scene
        .rented
        .faults
        .add("*", 0, Action::Answer(401, error_with(&echo)));
    create(&scene, landlord.method(), &mut shown).await?;
    let events = listen(&scene.gateway).await?;
    let entrance = scene.gateway.url("/whip/show");
    let studio = Studio::publish(&entrance, Some(&token), STUDIO_SECONDS).await?;

    let failed = scene
        .gateway
        .destination_until("show", "good", "failed", LIVE_LIMIT)
        .await?;
    read_answers(&scene.gateway, scene.state.path(), &mut shown).await?;
    studio.leave().await?;

    ensure!(
        !scene.rented.records().all().is_empty(),
        "the provider was not asked"
    );
    ensure!(error_code(&failed) == "provider_auth", "{failed:#}");
    let canaries = [WRONG_SECRET, JWT_SECRET, GOOD_KEY].map(str::to_owned);
    let mut canaries = Vec::from(canaries);
    canaries.push(signed_part(token));
    search(scene.gateway, scene.state.path(), events, shown, canaries).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_of_a_show_by_daily_is_ever_shown() -> Result<()> {
    let state = tempfile::tempdir()?;
    let folder = state.path().display().to_string();
    let mut call = Call::with(&[
        ("LOG_LEVEL", "trace"),
        ("RUST_LOG", "trace"),
        ("AUTH_MODE", "jwt"),
        ("JWT_SECRET", JWT_SECRET),
        ("DAILY_WEBHOOK_SECRET", FakeDaily::WEBHOOK_SECRET),
        ("STATE_DIR", &folder),
    ])
    .await?;
    let token = token(JWT_SECRET)?;
    call.gateway.authorise(&token);
    let mut shown = Shown::new();
    let destinations = json!([super::destination(
        "good",
        call.platform.address(),
        GOOD_KEY
    )]);
    let created = call.gateway.create("show", destinations).await?;
    shown.push(("creation", created.to_string()));
    let events = listen(&call.gateway).await?;
    let entrance = call.gateway.url("/whip/show");
    let studio = Studio::publish(&entrance, Some(&token), STUDIO_SECONDS).await?;
    call.gateway
        .destination_until("show", "good", "live", 2 * LIVE_LIMIT)
        .await?;
    eventually("the platform records", WATCH_LIMIT, async || {
        Ok((call.platform.recorded(GOOD_NAME)? >= ENOUGH).then_some(()))
    })
    .await?;

    // The sidecar is there, with all that its surroundings show of it.
    read_answers(&call.gateway, state.path(), &mut shown).await?;
    let sidecars = shown.iter().filter(|(_, text)| text.contains("sidecar.py"));
    ensure!(sidecars.count() >= 1, "no sidecar was seen");
    call.gateway.delete(SHOW).await?;
    studio.leave().await?;

    check_told(call.daily.records(), &[GOOD_KEY])?;
    let canaries = [
        FakeDaily::API_KEY,
        FakeDaily::WEBHOOK_SECRET,
        JWT_SECRET,
        GOOD_KEY,
    ];
    let mut canaries = Vec::from(canaries.map(str::to_owned));
    canaries.push(signed_part(token));
    search(call.gateway, state.path(), events, shown, canaries).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_of_a_show_by_cloudflare_is_ever_shown() -> Result<()> {
    carry(Landlord::Cloudflare, "create_live_input", "create_output").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_of_a_show_by_livekit_is_ever_shown() -> Result<()> {
    carry(Landlord::Livekit, "CreateIngress", "UpdateStream").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cloudflare_refuses_is_never_shown() -> Result<()> {
    refuse(Landlord::Cloudflare).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_livekit_refuses_is_never_shown() -> Result<()> {
    refuse(Landlord::Livekit).await
}

#[tokio::test]
async fn check_config_hides_the_secrets_of_providers() -> Result<()> {
    let good = [
        ("CLOUDFLARE_ACCOUNT_ID", FakeCloudflare::ACCOUNT),
        ("CLOUDFLARE_API_TOKEN", FakeCloudflare::TOKEN),
        ("CLOUDFLARE_WEBHOOK_SECRET", FakeCloudflare::WEBHOOK_SECRET),
        ("LIVEKIT_URL", "wss://livekit.example"),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
    ];
    let canaries = [good[1].1, good[2].1, good[4].1, good[5].1].map(str::to_owned);
    let search = Search::new(&canaries);

    for (more, is_good) in [("output:0.001", true), ("output:dear", false)] {
        let mut command = gateway_command().await?;
        command
            .arg("check-config")
            .envs(good)
            .env("CLOUDFLARE_PRICES", more);
        let output = command.output().await?;
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);

        ensure!(output.status.success() == is_good, "{said}");
        ensure!(said.contains("CLOUDFLARE_"), "{said}");
        ensure!(search.line_with_any(&said).is_none(), "{said}");
    }
    Ok(())
}
