//! The fake of `LiveKit`, and our client, as `LiveKit`'s own SDK sees them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use broadcast::{BroadcastId, Endpoint, StreamKey};
use egress_providers::{
    Trust,
    hosted::{
        EgressSpec, HostedApi as _, HostedTarget, Owner, Surroundings, TargetId, WebhookError,
    },
    livekit::{Livekit, LivekitSettings, Picture},
};
use fake_providers::{
    FakeSettings, NoMedia,
    livekit::{API_KEY, API_SECRET, FakeLivekit},
};
use serde_json::json;
use tests::eventually;

use super::{recorded, sdk};

const SCRIPT: &str = "sdk-livekit.mjs";

/// How long the fake may take to see what its media do.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn livekits_sdk_finds_the_fake_to_be_livekit() -> Result<()> {
    let fake = start().await?;

    sdk(
        SCRIPT,
        &["drive", fake.base().as_str(), API_KEY, API_SECRET],
    )
    .await?;

    assert!(fake.is_empty().await, "the SDK has left something");
    Ok(())
}

#[tokio::test]
async fn livekits_sdk_declares_all_that_our_client_sends() -> Result<()> {
    let fake = start().await?;
    live(&fake).await?;

    let sent = recorded(
        fake.records(),
        &[
            "CreateRoom",
            "ListRooms",
            "DeleteRoom",
            "CreateIngress",
            "ListIngress",
            "DeleteIngress",
            "StartParticipantEgress",
            "UpdateStream",
            "ListEgress",
            "StopEgress",
        ],
    );
    sdk(SCRIPT, &["requests", &sent]).await?;
    Ok(())
}

#[tokio::test]
async fn livekits_sdk_takes_the_fakes_webhooks_as_livekits() -> Result<()> {
    let fake = start().await?;
    live(&fake).await?;
    let sent = eventually("the egress's end", PATIENCE, async || {
        let sent = fake.webhooks().sent();
        let ended = sent.iter().any(|sent| sent.kind == "egress_ended");
        Ok(ended.then_some(sent))
    })
    .await?;

    let sent: Vec<_> = sent
        .into_iter()
        .map(|sent| json!({ "headers": sent.headers, "body": String::from_utf8_lossy(&sent.body) }))
        .collect();
    let sent = serde_json::to_string(&sent)?;
    let told = sdk(SCRIPT, &["webhooks", API_KEY, API_SECRET, &sent]).await?;

    for event in [
        "egress_started",
        "egress_updated",
        "egress_ended",
        "ingress_started",
        "room_started",
        "room_finished",
    ] {
        assert!(told.contains(event), "{event}: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn what_livekits_sdk_signs_is_taken_by_our_client_for_five_minutes() -> Result<()> {
    let fake = start().await?;
    let livekit = client(&fake)?;
    let body = r#"{"event":"egress_ended","id":"EV_1","egressInfo":{"egressId":"EG_1","roomName":"ä 🎬"}}"#;

    let signed_at = SystemTime::now();
    let token = sdk(SCRIPT, &["sign", API_KEY, API_SECRET, body]).await?;
    let headers = [("authorization".to_owned(), token.trim().to_owned())].into();
    let receive =
        |late: Duration, body: &str| livekit.webhook(&headers, body.as_bytes(), signed_at + late);

    let event = receive(Duration::ZERO, body)?;
    assert_eq!(event.id, "EV_1");
    assert_eq!(event.kind, "egress_ended");
    assert_eq!(event.subject.as_deref(), Some("ä 🎬"));
    assert!(receive(Duration::from_secs(290), body).is_ok());
    let late = Duration::from_secs(400);
    assert_eq!(receive(late, body), Err(WebhookError::Stale));
    let other = body.replace("EG_1", "EG_2");
    assert_eq!(
        receive(Duration::ZERO, &other),
        Err(WebhookError::Signature)
    );
    Ok(())
}

/// Lives through all that our client does.
async fn live(fake: &FakeLivekit) -> Result<()> {
    let livekit = client(fake)?;
    let (first, second) = (target("first")?, target("second")?);
    let mut handle = livekit.prepare(&spec()?).await?.handle;
    livekit
        .start(&mut handle, std::slice::from_ref(&first))
        .await?;
    eventually("the first is live", PATIENCE, async || {
        let status = livekit.status(&handle).await?;
        let state = &status.targets.first().context("no target")?.state;
        let is_live = *state == egress_providers::hosted::TargetState::Live;
        Ok(is_live.then_some(()))
    })
    .await?;
    livekit
        .update(&mut handle, &[first, second.clone()])
        .await?;
    livekit.update(&mut handle, &[second]).await?;
    livekit.health().await?;
    livekit.owned(&Owner::new("node1")?).await?;
    livekit.stop(&handle).await?;
    Ok(())
}

async fn start() -> Result<FakeLivekit> {
    let settings = FakeSettings {
        media: Arc::new(NoMedia::arriving()),
        ..FakeSettings::default()
    };
    Ok(FakeLivekit::start(settings).await?)
}

fn client(fake: &FakeLivekit) -> Result<Livekit> {
    let settings = LivekitSettings {
        url: fake.base().clone(),
        api_key: API_KEY.to_owned(),
        api_secret: StreamKey::new(API_SECRET),
        picture: Picture::default(),
    };
    let surroundings = Surroundings::new(Trust::with_roots([]));
    Ok(Livekit::new(settings, surroundings)?)
}

fn spec() -> Result<EgressSpec> {
    Ok(EgressSpec {
        broadcast: BroadcastId::new("show")?,
        owner: Owner::new("node1")?,
        targets: Vec::new(),
    })
}

fn target(id: &str) -> Result<HostedTarget> {
    Ok(HostedTarget {
        id: TargetId::known(id),
        endpoint: Endpoint::parse("rtmps://a.example/live2", Some(&format!("key-{id}")))?,
    })
}
