//! Real accounts, when somebody asks for it: `CASTGATE_SMOKE_MUX=1` and the provider's own variables. See `docs/providers.md`.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tests::{Gateway, Studio};
use tokio::time::sleep;

/// A provider on the other side of the world, and its start.
const LIVE_LIMIT: Duration = Duration::from_mins(1);

/// How long the show stays on, for somebody to look at it.
const SHOW: Duration = Duration::from_secs(20);

const STUDIO_SECONDS: u32 = 120;

#[expect(clippy::disallowed_methods, reason = "set by whoever has an account")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::print_stdout, reason = "a test that does nothing says so")]
fn is_wanted(provider: &str) -> bool {
    let name = format!("CASTGATE_SMOKE_{}", provider.to_uppercase());
    let wanted = variable(&name).as_deref() == Some("1");
    if !wanted {
        println!("SKIPPED: {provider} is not tried with a real account; {name}=1 tries it");
    }
    wanted
}

/// Sends a show by a provider to `CASTGATE_SMOKE_RTMP_URL` with `CASTGATE_SMOKE_STREAM_KEY`.
async fn smoke(provider: &str, names: &[&'static str]) -> Result<()> {
    if !is_wanted(provider) {
        return Ok(());
    }
    let needed = |name: &str| variable(name).with_context(|| format!("{name} is not set"));
    let variables: Vec<_> = names
        .iter()
        .filter_map(|name| Some((*name, variable(name)?)))
        .collect();
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let gateway = Gateway::start(&variables).await?;
    let body = json!({ "id": "smoke", "method": provider, "destinations": [{
        "id": "platform",
        "rtmpUrl": needed("CASTGATE_SMOKE_RTMP_URL")?,
        "streamKey": needed("CASTGATE_SMOKE_STREAM_KEY")?,
    }]});
    let created = gateway.post("/api/v1/broadcasts", &body).await?;
    assert!(created.status.is_success(), "{}", created.body);

    let studio = Studio::publish(&gateway.url("/whip/smoke"), None, STUDIO_SECONDS).await?;
    gateway
        .destination_until("smoke", "platform", "live", LIVE_LIMIT)
        .await?;
    sleep(SHOW).await;
    let after = gateway.broadcast("smoke").await?;
    gateway.delete("/api/v1/broadcasts/smoke").await?;
    studio.leave().await?;

    assert_eq!(after["destinations"][0]["state"], "live", "{after:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_with_a_real_account() -> Result<()> {
    let names = ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"];
    smoke("livekit", &names).await
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudflare_with_a_real_account() -> Result<()> {
    smoke(
        "cloudflare",
        &["CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_API_TOKEN"],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn mux_with_a_real_account() -> Result<()> {
    smoke("mux", &["MUX_TOKEN_ID", "MUX_TOKEN_SECRET"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn daily_with_a_real_account() -> Result<()> {
    smoke("daily", &["DAILY_API_KEY", "DAILY_PYTHON"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn restream_with_a_real_server() -> Result<()> {
    let names = [
        "RESTREAM_KIND",
        "RESTREAM_API_URL",
        "RESTREAM_TOKEN",
        "RESTREAM_INGEST_URL",
    ];
    smoke("restream", &names).await
}
