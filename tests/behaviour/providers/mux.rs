//! The fake of Mux, and our client, as Mux's own SDK sees them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use broadcast::{BroadcastId, Endpoint, StreamKey};
use egress_providers::{
    Trust,
    hosted::{
        EgressSpec, HostedApi as _, HostedTarget, LocalBudget, Owner, Surroundings, TargetId,
        WebhookError,
    },
    mux::{MUX_INGEST, MUX_RATES, Mux, MuxSettings},
};
use fake_providers::{
    FakeSettings, NoMedia,
    mux::{FakeMux, MuxQuirks},
};
use serde_json::json;
use tests::eventually;

use super::{recorded, sdk};

const ACCOUNT: [&str; 2] = [FakeMux::TOKEN_ID, FakeMux::TOKEN_SECRET];

#[tokio::test]
async fn muxs_sdk_finds_the_fake_to_be_mux() -> Result<()> {
    let media = Arc::new(NoMedia::silent());
    let fake = start(&media).await?;
    let base = fake.base().to_string();

    let [id, secret] = ACCOUNT;
    let stream = sdk("sdk-mux.mjs", &["idle", &base, id, secret]).await?;
    media.arrive(&fake.streams().first().context("no live stream")?.key);
    sdk("sdk-mux.mjs", &["active", &base, id, secret, stream.trim()]).await?;

    assert!(fake.streams().is_empty(), "the SDK has left something");
    Ok(())
}

#[tokio::test]
async fn muxs_sdk_declares_all_that_our_client_sends() -> Result<()> {
    let fake = start(&Arc::new(NoMedia::silent())).await?;
    let mux = client(&fake)?;

    let mut handle = mux.prepare(&spec()?).await?.handle;
    mux.start(&mut handle, &[target("first")?, target("second")?])
        .await?;
    mux.stop(&handle).await?;

    let sent = recorded(
        fake.records(),
        &["create_live_stream", "create_simulcast_target"],
    );
    sdk("sdk-mux.mjs", &["requests", &sent]).await?;
    Ok(())
}

#[tokio::test]
async fn muxs_sdk_takes_the_fakes_webhooks_as_muxs() -> Result<()> {
    let media = Arc::new(NoMedia::silent());
    let fake = start(&media).await?;
    let mux = client(&fake)?;
    let handle = mux.prepare(&spec()?).await?.handle;
    media.arrive(&fake.streams().first().context("no live stream")?.key);
    eventually("a target's webhook", Duration::from_mins(1), async || {
        let sent = fake.webhooks();
        let told = sent.iter().any(|sent| sent.kind.ends_with(".broadcasting"));
        Ok(told.then_some(()))
    })
    .await?;
    mux.stop(&handle).await?;

    let sent: Vec<_> = fake
        .webhooks()
        .into_iter()
        .map(|sent| json!({ "headers": sent.headers, "body": String::from_utf8_lossy(&sent.body) }))
        .collect();
    let sent = serde_json::to_string(&sent)?;
    sdk("sdk-mux.mjs", &["webhooks", FakeMux::WEBHOOK_SECRET, &sent]).await?;
    Ok(())
}

#[tokio::test]
async fn what_muxs_sdk_signs_is_taken_by_our_client_for_five_minutes() -> Result<()> {
    let fake = start(&Arc::new(NoMedia::silent())).await?;
    let mux = client(&fake)?;
    let body = r#"{"type":"video.live_stream.idle","id":"event","data":{"id":"stream"},"text":"ä, \"€\" & 🎬"}"#;
    let signed_at = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seconds = signed_at.as_secs().to_string();

    let arguments = ["sign", FakeMux::WEBHOOK_SECRET, &seconds, body];
    let header = sdk("sdk-mux.mjs", &arguments).await?;
    let headers = [("mux-signature".to_owned(), header.trim().to_owned())].into();
    let receive = |late: u64, body: &str| {
        let now = UNIX_EPOCH + Duration::from_secs(signed_at.as_secs() + late);
        mux.webhook(&headers, body.as_bytes(), now)
    };

    assert_eq!(receive(300, body)?.subject.as_deref(), Some("stream"));
    assert_eq!(receive(301, body), Err(WebhookError::Stale));
    assert_eq!(
        receive(0, &body.replace("idle", "active")),
        Err(WebhookError::Signature)
    );
    Ok(())
}

async fn start(media: &Arc<NoMedia>) -> Result<FakeMux> {
    let settings = FakeSettings {
        media: Arc::clone(media) as _,
        ..FakeSettings::default()
    };
    Ok(FakeMux::start(&settings, MuxQuirks::default()).await?)
}

fn client(fake: &FakeMux) -> Result<Mux> {
    Ok(Mux::new(MuxSettings {
        base: fake.base().clone(),
        ingest: MUX_INGEST.to_owned(),
        token_id: FakeMux::TOKEN_ID.to_owned(),
        token_secret: StreamKey::new(FakeMux::TOKEN_SECRET),
        webhook_secret: Some(StreamKey::new(FakeMux::WEBHOOK_SECRET)),
        keep_recordings: false,
        budget: Arc::new(LocalBudget::new(MUX_RATES)),
        surroundings: Surroundings::new(Trust::with_roots([])),
    })?)
}

fn spec() -> Result<EgressSpec> {
    Ok(EgressSpec {
        broadcast: BroadcastId::new("show")?,
        owner: Owner::new("node1")?,
        targets: vec![target("first")?],
    })
}

fn target(id: &str) -> Result<HostedTarget> {
    Ok(HostedTarget {
        id: TargetId::known(id),
        endpoint: Endpoint::parse("rtmps://a.example/live2", Some(&format!("key-{id}")))?,
    })
}
