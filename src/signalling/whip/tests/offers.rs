//! Offers: what is answered, and what is refused in which words.

use super::*;

#[tokio::test]
async fn an_offer_is_answered_with_all_that_the_rfc_wants() {
    let (router, _) = whip();

    let headers = [GOOD, ("content-type", "Application/SDP; charset=utf-8")];
    let outcome = send(&router, "POST", "/whip/show", &headers, "v=0").await;

    assert_eq!(outcome.status, StatusCode::CREATED);
    assert_eq!(outcome.body, "v=0\r\nanswer");
    assert_eq!(outcome.header("content-type"), "application/sdp");
    assert_eq!(outcome.header("location"), "/whip/show/s1");
    assert_eq!(outcome.header("etag"), "\"one\"");
    assert_eq!(
        outcome.header("accept-patch"),
        "application/trickle-ice-sdpfrag"
    );
    assert_eq!(outcome.header("castgate-resume-token"), "mine");
    assert_eq!(outcome.header("cache-control"), "no-store");
    let links: Vec<_> = outcome.headers.get_all("link").iter().collect();
    assert_eq!(links.len(), 3);
    assert_eq!(links[0], "<stun:a>; rel=\"ice-server\"");
}

#[tokio::test]
async fn the_location_is_absolute_when_the_public_url_is_known() {
    let (router, _) = with_settings(Origins::Any, Some("https://media.example/gateway/"));

    let outcome = send(&router, "POST", "/whip/show", &[GOOD, OFFER], "v=0").await;

    assert_eq!(
        outcome.header("location"),
        "https://media.example/gateway/whip/show/s1"
    );
}

#[tokio::test]
async fn a_bad_offer_is_refused_with_its_reason() {
    let (router, _) = whip();
    let post = async |path: &str, headers: &[(&str, &str)], body: &str| {
        let outcome = send(&router, "POST", path, headers, body.to_owned()).await;
        (outcome.status.as_u16(), outcome.code())
    };
    let expect = |status: u16, code: &str| (status, code.to_owned());

    assert_eq!(
        post("/whip/none", &[GOOD, OFFER], "v=0").await,
        expect(404, "no_such_broadcast")
    );
    assert_eq!(
        post("/whip/a%20b", &[GOOD, OFFER], "v=0").await,
        expect(404, "no_such_broadcast")
    );
    assert_eq!(
        post("/whip/%ff", &[GOOD, OFFER], "v=0").await,
        expect(404, "no_such_broadcast")
    );
    assert_eq!(
        post("/whip/show", &[GOOD], "v=0").await,
        expect(415, "unsupported_media_type")
    );
    assert_eq!(
        post("/whip/show", &[GOOD, ("content-type", "text/plain")], "v=0").await,
        expect(415, "unsupported_media_type")
    );
    assert_eq!(
        post("/whip/show", &[GOOD, OFFER], "hello").await,
        expect(400, "malformed_offer")
    );
    assert_eq!(
        post("/whip/show", &[GOOD, OFFER], "").await,
        expect(400, "malformed_offer")
    );
    assert_eq!(
        post("/whip/show", &[GOOD, OFFER], "v=0 VP8").await,
        expect(406, "unsupported_codec")
    );
    assert_eq!(
        post(
            "/whip/show",
            &[GOOD, OFFER],
            &"v".repeat(BODY_LIMIT_BYTES + 1)
        )
        .await,
        expect(413, "body_too_large")
    );
}

#[tokio::test]
async fn a_body_that_is_not_text_is_malformed() {
    let (router, _) = whip();

    let outcome = send(
        &router,
        "POST",
        "/whip/show",
        &[GOOD, OFFER],
        vec![0xff, 0xfe],
    )
    .await;

    assert_eq!(
        (outcome.status.as_u16(), outcome.code().as_str()),
        (400, "malformed_offer")
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let (router, _) = whip();
    let never = Body::from_stream(tokio_stream::pending::<Result<Vec<u8>, std::io::Error>>());

    let outcome = send(&router, "POST", "/whip/show", &[GOOD, OFFER], never).await;

    assert_eq!(
        (outcome.status.as_u16(), outcome.code().as_str()),
        (408, "body_lost")
    );
}

#[tokio::test]
async fn who_may_not_publish_is_told_why() {
    let (router, _) = whip();
    let post =
        async |headers: &[(&str, &str)]| send(&router, "POST", "/whip/show", headers, "v=0").await;

    let missing = post(&[OFFER]).await;
    assert_eq!(
        (missing.status.as_u16(), missing.code().as_str()),
        (401, "token_missing")
    );
    assert_eq!(
        missing.header("www-authenticate"),
        "Bearer realm=\"castgate\""
    );
    for bad in ["Bearer expired", "Basic Z29vZA==", "Bearer a\"b"] {
        let refused = post(&[OFFER, ("authorization", bad)]).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (401, "token_refused")
        );
        assert!(
            refused
                .header("www-authenticate")
                .contains("error=\"invalid_token\"")
        );
        assert!(!refused.body.contains("Z29vZA"));
    }
    let forbidden = post(&[OFFER, ("authorization", "Bearer viewer")]).await;
    assert_eq!(
        (forbidden.status.as_u16(), forbidden.code().as_str()),
        (403, "forbidden")
    );
}

#[tokio::test]
async fn a_full_gateway_says_when_to_come_back() {
    let (router, _) = whip();

    let outcome = send(&router, "POST", "/whip/full", &[GOOD, OFFER], "v=0").await;

    assert_eq!(
        (outcome.status.as_u16(), outcome.code().as_str()),
        (503, "unavailable")
    );
    assert_eq!(outcome.header("retry-after"), "7");
}

#[tokio::test]
async fn a_second_studio_needs_the_resume_token() {
    let (router, _) = live().await;

    let stranger = send(&router, "POST", "/whip/show", &[GOOD, OFFER], "v=0").await;
    let wrong = [GOOD, OFFER, ("castgate-resume-token", "not mine")];
    let wrong = send(&router, "POST", "/whip/show", &wrong, "v=0").await;
    let damaged = [GOOD, OFFER, ("castgate-resume-token", "m i n e \u{e9}")];
    let damaged = send(&router, "POST", "/whip/show", &damaged, "v=0").await;
    let empty = [GOOD, OFFER, ("castgate-resume-token", "")];
    let empty = send(&router, "POST", "/whip/show", &empty, "v=0").await;
    let owner = [GOOD, OFFER, ("castgate-resume-token", "mine")];
    let owner = send(&router, "POST", "/whip/show", &owner, "v=0").await;

    assert_eq!(
        (stranger.status.as_u16(), stranger.code().as_str()),
        (409, "studio_present")
    );
    for wrong in [wrong, damaged] {
        assert_eq!(
            (wrong.status.as_u16(), wrong.code().as_str()),
            (403, "resume_token_refused")
        );
    }
    assert_eq!(empty.status, StatusCode::CONFLICT);
    assert_eq!(owner.status, StatusCode::CREATED);
}
