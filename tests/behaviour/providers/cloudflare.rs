//! The fake of Cloudflare Stream, and our client, as Cloudflare's own SDK sees them.

use std::sync::Arc;

use anyhow::Result;
use broadcast::{BroadcastId, Endpoint, StreamKey};
use egress_providers::{
    Trust,
    cloudflare::{CLOUDFLARE_RATES, Cloudflare, CloudflareSettings},
    hosted::{
        EgressSpec, HostedApi as _, HostedTarget, LocalBudget, Owner, Surroundings, TargetId,
    },
};
use fake_providers::{
    FakeSettings,
    cloudflare::{CloudflareQuirks, FakeCloudflare, StatusShape},
};

use super::{recorded, sdk};

#[tokio::test]
async fn cloudflares_sdk_finds_the_fake_to_be_cloudflare() -> Result<()> {
    let fake = FakeCloudflare::start(&FakeSettings::default(), CloudflareQuirks::default()).await?;

    let base = fake.base().to_string();
    let account = [FakeCloudflare::ACCOUNT, FakeCloudflare::TOKEN];
    sdk(
        "sdk-cloudflare.mjs",
        &["drive", &base, account[0], account[1]],
    )
    .await?;

    assert!(fake.inputs().is_empty(), "the SDK has left something");
    Ok(())
}

#[tokio::test]
async fn cloudflares_sdk_declares_all_that_our_client_sends() -> Result<()> {
    let quirks = CloudflareQuirks {
        status: StatusShape::Word,
        ..CloudflareQuirks::default()
    };
    let fake = FakeCloudflare::start(&FakeSettings::default(), quirks).await?;
    let cloudflare = Cloudflare::new(CloudflareSettings {
        base: fake.base(),
        account: FakeCloudflare::ACCOUNT.to_owned(),
        token: StreamKey::new(FakeCloudflare::TOKEN),
        webhook_secret: None,
        budget: Arc::new(LocalBudget::new(CLOUDFLARE_RATES)),
        surroundings: Surroundings::new(Trust::with_roots([])),
    })?;
    let target = HostedTarget {
        id: TargetId::known("first"),
        endpoint: Endpoint::parse("rtmps://a.example/live2", Some("key"))?,
    };

    let mut handle = cloudflare
        .prepare(&EgressSpec {
            broadcast: BroadcastId::new("show")?,
            owner: Owner::new("node1")?,
            targets: vec![target.clone()],
        })
        .await?
        .handle;
    cloudflare
        .start(&mut handle, std::slice::from_ref(&target))
        .await?;
    // One that somebody has switched off in the dashboard is switched on again.
    fake.switch_outputs_off().await;
    cloudflare.update(&mut handle, &[target]).await?;
    cloudflare.stop(&handle).await?;

    let sent = recorded(
        fake.records(),
        &["create_live_input", "create_output", "enable_output"],
    );
    sdk("sdk-cloudflare.mjs", &["requests", &sent]).await?;
    Ok(())
}
