//! Who may publish while somebody does, and what happens when nobody does any more.

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::{Gateway, Nginx, Studio, send};

use super::{LIVE_LIMIT, destination, end_and_analyse};

const OFFER: &str = include_str!("../../../src/peers/fixtures/chrome-offer.sdp");

/// Of each studio; some of its flashes a busy machine never makes.
const SECONDS: u32 = 8;

#[tokio::test]
async fn a_second_studio_is_refused_unless_it_shows_the_token() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("show", json!([])).await?;
    let first = gateway.offer("show", OFFER).await?;
    let token = first.header("castgate-resume-token")?.to_owned();
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    studio.fail().await?;

    let offer = |token: Option<&str>| {
        let request = gateway
            .request(Method::POST, "/whip/show")
            .header("content-type", "application/sdp");
        match token {
            Some(token) => request.header("castgate-resume-token", token),
            None => request,
        }
        .body(OFFER)
    };
    let stranger = send(offer(None)).await?;
    let liar = send(offer(Some("x"))).await?;
    let owner = send(offer(Some(&token))).await?;

    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(stranger.status, StatusCode::CONFLICT);
    assert_eq!(liar.status, StatusCode::FORBIDDEN);
    assert_eq!(owner.status, StatusCode::CREATED, "{}", owner.body);
    Ok(())
}

#[tokio::test]
async fn a_studio_that_comes_back_goes_on_in_the_same_stream() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create("show", json!([destination("one", nginx.address(), "back")]))
        .await?;
    let first = Studio::publish(&gateway.url("/whip/show"), None, SECONDS).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    first.finish().await?;

    Studio::publish(&gateway.url("/whip/show"), None, SECONDS)
        .await?
        .finish()
        .await?;

    let one = gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    assert_eq!(one["reconnects"], 0, "{one}");
    let recording = end_and_analyse(&gateway, "show", &nginx, "back").await?;
    assert!(
        recording
            .video
            .frames
            .is_sorted_by(|one, next| one.at < next.at)
    );
    assert!(recording.audio.packets.is_sorted());
    assert!(
        recording.decode_errors.is_empty(),
        "{:?}",
        recording.decode_errors
    );
    recording.check_usual_synchrony(super::SYNCHRONY_LIMIT, super::SETTLING)
}
