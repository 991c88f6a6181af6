//! WHIP by RFC 9725, as far as HTTP goes: statuses, headers, trickle and restart.

use anyhow::{Context, Result};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::{Answer, Gateway, send};

/// What Chromium offers for a canvas with sound.
const OFFER: &str = include_str!("../../src/peers/fixtures/chrome-offer.sdp");

/// Credentials of another ICE session of the same browser.
const RESTART: &str = "a=ice-ufrag:NEWu\r\na=ice-pwd:aaaaBBBBccccDDDDeeee1234\r\n";

const CANDIDATE: &str = "a=ice-ufrag:J79k\r\na=ice-pwd:hnf8F+lTBANFQ5F+w8FP1AbF\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n\
    a=mid:0\r\na=candidate:1 1 udp 2122260223 127.0.0.1 50000 typ host\r\n";

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A gateway with a broadcast, and the answer to an offer into it.
async fn session() -> Result<(Gateway, Answer, String)> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("show", json!([])).await?;
    let answer = gateway.offer("show", OFFER).await?;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let location = answer.header("location")?;
    let path = &location[location.find("/whip/").context("location")?..];
    let path = path.to_owned();
    Ok((gateway, answer, path))
}

async fn change(
    gateway: &Gateway,
    path: &str,
    tag: Option<&str>,
    content_type: &str,
    body: &str,
) -> Result<Answer> {
    let mut request = gateway
        .request(Method::PATCH, path)
        .header("content-type", content_type);
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    send(request.body(body.to_owned())).await
}

/// The offer with none of a codec's payload types left in the picture's section.
fn without(offer: &str, codecs: &[&str]) -> String {
    let doomed: Vec<String> = offer
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '))
        .filter(|(_, codec)| codecs.iter().any(|doomed| codec.starts_with(doomed)))
        .map(|(payload_type, _)| payload_type.to_owned())
        .collect();
    offer
        .lines()
        .filter(|line| {
            !doomed.iter().any(|payload_type| {
                ["rtpmap", "fmtp", "rtcp-fb"]
                    .iter()
                    .any(|kind| line.starts_with(&format!("a={kind}:{payload_type} ")))
            })
        })
        .map(|line| {
            let kept: Vec<_> = line
                .split(' ')
                .filter(|word| {
                    !line.starts_with("m=")
                        || !doomed.iter().any(|payload_type| payload_type == word)
                })
                .collect();
            kept.join(" ") + "\r\n"
        })
        .collect()
}

#[tokio::test]
async fn an_offer_is_answered_with_all_that_the_standard_wants() -> Result<()> {
    let (_gateway, answer, _) = session().await?;

    assert_eq!(answer.header("content-type")?, "application/sdp");
    let tag = answer.header("etag")?;
    assert!(
        tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'),
        "{tag}"
    );
    for line in [
        "a=ice-lite",
        "a=setup:passive",
        "a=recvonly",
        "H264/90000",
        "opus/48000/2",
        "typ host",
    ] {
        assert!(answer.body.contains(line), "no '{line}' in {}", answer.body);
    }
    assert!(
        answer.body.contains("stereo=1") && answer.body.contains("maxaveragebitrate="),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("VP8"), "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn ice_servers_are_linked_when_there_are_some() -> Result<()> {
    let gateway = Gateway::start(&[
        ("STUN_URL", "stun:127.0.0.1:3478"),
        ("TURN_URL", "turn:127.0.0.1:3478"),
        ("TURN_SECRET", "a-turn-secret-for-this-test"),
    ])
    .await?;
    gateway.create("show", json!([])).await?;

    let answer = gateway.offer("show", OFFER).await?;

    let links: Vec<_> = answer
        .headers
        .get_all("link")
        .iter()
        .filter_map(|link| link.to_str().ok())
        .collect();
    assert!(
        links
            .iter()
            .any(|link| link.contains("stun:") && link.contains("rel=\"ice-server\"")),
        "{links:?}"
    );
    assert!(
        links
            .iter()
            .any(|link| link.contains("turn:") && link.contains("credential=")),
        "{links:?}"
    );
    assert!(!links.join(" ").contains("a-turn-secret"));
    Ok(())
}

#[tokio::test]
async fn offers_that_cannot_be_taken_have_a_status_each() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("show", json!([])).await?;
    let unknown = without(OFFER, &["H264", "VP8", "VP9", "AV1"]);
    let no_opus = without(OFFER, &["opus"]);
    assert!(unknown.contains("m=video") && !unknown.contains("VP8"));

    let nowhere = gateway.offer("nobody", OFFER).await?;
    let unknown = gateway.offer("show", &unknown).await?;
    let silent = gateway.offer("show", &no_opus).await?;
    let garbage = gateway.offer("show", "hello").await?;
    let json = send(gateway.request(Method::POST, "/whip/show").json(&json!({}))).await?;
    let read = gateway.get("/whip/show").await?;

    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.status, StatusCode::NOT_ACCEPTABLE);
    assert!(unknown.body.contains("H.264"), "{}", unknown.body);
    assert_eq!(silent.status, StatusCode::NOT_ACCEPTABLE);
    assert!(silent.body.contains("Opus"), "{}", silent.body);
    assert_eq!(garbage.status, StatusCode::BAD_REQUEST);
    assert_eq!(json.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(read.status, StatusCode::METHOD_NOT_ALLOWED);
    for answer in [nowhere, unknown, silent, garbage] {
        assert_eq!(answer.header("content-type")?, "application/problem+json");
        assert!(answer.json()?["code"].is_string());
    }
    Ok(())
}

#[tokio::test]
async fn candidates_are_taken_and_a_restart_gives_a_new_tag() -> Result<()> {
    let (gateway, answer, path) = session().await?;
    let tag = answer.header("etag")?;

    let trickled = change(&gateway, &path, Some(tag), FRAGMENT, CANDIDATE).await?;
    let restarted = change(&gateway, &path, Some("*"), FRAGMENT, RESTART).await?;
    let stale = change(&gateway, &path, Some(tag), FRAGMENT, CANDIDATE).await?;

    assert_eq!(trickled.status, StatusCode::NO_CONTENT, "{}", trickled.body);
    assert_eq!(restarted.status, StatusCode::OK, "{}", restarted.body);
    assert_eq!(restarted.header("content-type")?, FRAGMENT);
    assert_ne!(restarted.header("etag")?, tag);
    assert!(restarted.body.contains("a=ice-ufrag:") && restarted.body.contains("a=ice-pwd:"));
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    Ok(())
}

#[tokio::test]
async fn changes_that_cannot_be_made_have_a_status_each() -> Result<()> {
    let (gateway, answer, path) = session().await?;
    let tag = answer.header("etag")?;

    let untagged = change(&gateway, &path, None, FRAGMENT, CANDIDATE).await?;
    let mistagged = change(&gateway, &path, Some("\"other\""), FRAGMENT, CANDIDATE).await?;
    let mistyped = change(&gateway, &path, Some(tag), "application/sdp", CANDIDATE).await?;
    let nobody = change(
        &gateway,
        "/whip/show/nobody",
        Some(tag),
        FRAGMENT,
        CANDIDATE,
    )
    .await?;
    let read = gateway.get(&path).await?;

    assert_eq!(untagged.status, StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(mistagged.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(mistyped.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    assert_eq!(read.status, StatusCode::METHOD_NOT_ALLOWED);
    Ok(())
}

#[tokio::test]
async fn an_ended_session_is_gone_and_its_place_is_free() -> Result<()> {
    let (gateway, answer, path) = session().await?;

    let ended = gateway.delete(&path).await?;
    let late = change(
        &gateway,
        &path,
        Some(answer.header("etag")?),
        FRAGMENT,
        CANDIDATE,
    )
    .await?;
    let next = gateway.offer("show", OFFER).await?;

    assert_eq!(ended.status, StatusCode::OK, "{}", ended.body);
    assert_eq!(late.status, StatusCode::NOT_FOUND);
    assert_eq!(next.status, StatusCode::CREATED, "{}", next.body);
    Ok(())
}

#[tokio::test]
async fn a_page_from_elsewhere_may_publish_and_read_what_it_needs() -> Result<()> {
    let gateway = Gateway::start(&[("FRONTEND_URL", "https://studio.example.org")]).await?;
    gateway.create("show", json!([])).await?;
    let origin = "https://studio.example.org";

    let preflight = gateway
        .request(Method::OPTIONS, "/whip/show")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "content-type,authorization",
        );
    let preflight = send(preflight).await?;
    let offered = gateway
        .request(Method::POST, "/whip/show")
        .header("origin", origin);
    let offered = send(
        offered
            .header("content-type", "application/sdp")
            .body(OFFER),
    )
    .await?;

    assert!(preflight.status.is_success());
    assert_eq!(preflight.header("access-control-allow-origin")?, origin);
    assert_eq!(offered.status, StatusCode::CREATED);
    let exposed = offered
        .header("access-control-expose-headers")?
        .to_lowercase();
    for name in ["location", "link", "etag"] {
        assert!(exposed.contains(name), "{name} is not exposed: {exposed}");
    }
    Ok(())
}
