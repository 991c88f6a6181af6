//! Sessions: trickle, ICE restart, the end, other methods, other origins.

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn candidates_are_taken_with_the_tag_of_their_ice_session() {
    let (router, memory) = live().await;
    let patch = async |headers: &[(&str, &str)], body: String| {
        let headers: Vec<_> = headers.iter().copied().chain([GOOD]).collect();
        send(&router, "PATCH", "/whip/show/s1", &headers, body).await
    };

    let taken = patch(&[TRICKLE, ("if-match", "\"one\"")], fragment("stud")).await;
    assert_eq!((taken.status.as_u16(), taken.body.as_str()), (204, ""));
    let missing = patch(&[TRICKLE], fragment("stud")).await;
    assert_eq!(
        (missing.status.as_u16(), missing.code().as_str()),
        (428, "precondition_required")
    );
    for tag in ["\"two\"", "W/\"one\"", "one", "", ","] {
        let stale = patch(&[TRICKLE, ("if-match", tag)], fragment("stud")).await;
        assert_eq!(
            (stale.status.as_u16(), stale.code().as_str()),
            (412, "precondition_failed")
        );
    }
    let wrong = patch(&[OFFER, ("if-match", "\"one\"")], fragment("stud")).await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.code().as_str()),
        (415, "unsupported_media_type")
    );
    assert_eq!(
        wrong.header("accept-patch"),
        "application/trickle-ice-sdpfrag"
    );
    let broken = patch(&[TRICKLE, ("if-match", "\"one\"")], "hello".to_owned()).await;
    assert_eq!(
        (broken.status.as_u16(), broken.code().as_str()),
        (400, "malformed_fragment")
    );
    let other = patch(&[TRICKLE, ("if-match", "\"one\"")], fragment("else")).await;
    assert_eq!(
        (other.status.as_u16(), other.code().as_str()),
        (422, "unfit_fragment")
    );
    assert_eq!(
        memory.session.lock().unwrap().as_ref().unwrap().candidates,
        1
    );
}

#[tokio::test]
async fn a_star_with_new_credentials_restarts_ice() {
    let (router, memory) = live().await;
    let patch = async |tag: &str, body: String| {
        let headers = [GOOD, TRICKLE, ("if-match", tag)];
        send(&router, "PATCH", "/whip/show/s1", &headers, body).await
    };

    let restarted = patch("\"*\"", fragment("newu")).await;
    assert_eq!(restarted.status, StatusCode::OK);
    assert_eq!(restarted.body, "a=ice-ufrag:news\r\n");
    assert_eq!(restarted.header("etag"), "\"one+\"");
    assert_eq!(
        restarted.header("content-type"),
        "application/trickle-ice-sdpfrag"
    );
    let stale = patch("\"one\"", fragment("newu")).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let again = patch("*", fragment("anew")).await;
    assert_eq!(again.header("etag"), "\"one++\"");
    for unfit in [
        "a=ice-ufrag:abcd\r\n".to_owned(),
        "a=candidate:1\r\n".to_owned(),
    ] {
        let unfit = patch("*", unfit).await;
        assert_eq!(
            (unfit.status.as_u16(), unfit.code().as_str()),
            (422, "unfit_fragment")
        );
    }
    assert_eq!(
        memory.session.lock().unwrap().as_ref().unwrap().candidates,
        0
    );
}

#[tokio::test]
async fn a_star_with_the_known_credentials_is_a_trickle() {
    let (router, memory) = live().await;

    let headers = [GOOD, TRICKLE, ("if-match", "*")];
    let outcome = send(
        &router,
        "PATCH",
        "/whip/show/s1",
        &headers,
        fragment("stud"),
    )
    .await;

    assert_eq!(outcome.status, StatusCode::NO_CONTENT);
    assert_eq!(
        memory.session.lock().unwrap().as_ref().unwrap().candidates,
        1
    );
}

#[tokio::test]
async fn an_unknown_session_is_not_found() {
    let (router, _) = live().await;

    for path in [
        "/whip/show/s2",
        "/whip/show/%00",
        "/whip/show/%ff",
        "/whip/a%20b/s1",
    ] {
        let headers = [GOOD, TRICKLE, ("if-match", "\"one\"")];
        let outcome = send(&router, "PATCH", path, &headers, fragment("stud")).await;
        assert_eq!(outcome.status, StatusCode::NOT_FOUND, "{path}");
        assert!(outcome.code().starts_with("no_such_"));
    }
    let long = format!("/whip/show/{}", "s".repeat(129));
    assert_eq!(
        send(&router, "DELETE", &long, &[GOOD], "").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_session_ends_once_and_may_be_ended_again() {
    let (router, memory) = live().await;

    assert_eq!(
        send(&router, "DELETE", "/whip/show/s1", &[], "")
            .await
            .code(),
        "token_missing"
    );
    for _ in 0..2 {
        let ended = send(&router, "DELETE", "/whip/show/s1", &[GOOD], "").await;
        assert_eq!(ended.status, StatusCode::OK);
    }
    assert!(memory.session.lock().unwrap().is_none());
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_are_taken() {
    let (router, _) = live().await;

    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let outcome = send(&router, method, "/whip/show", &[GOOD], "").await;
        assert_eq!(
            (outcome.status.as_u16(), outcome.code().as_str()),
            (405, "method_not_allowed")
        );
        assert_eq!(outcome.header("allow"), "POST, OPTIONS");
    }
    for method in ["GET", "PUT", "POST"] {
        let outcome = send(&router, method, "/whip/show/s1", &[GOOD], "").await;
        assert_eq!(
            (outcome.status.as_u16(), outcome.code().as_str()),
            (405, "method_not_allowed")
        );
        assert_eq!(outcome.header("allow"), "PATCH, DELETE, OPTIONS");
    }
    for path in ["/whip/show", "/whip/show/s1"] {
        let outcome = send(&router, "HEAD", path, &[GOOD], "").await;
        assert_eq!(outcome.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn a_browser_is_told_what_it_may_send_and_read() {
    let (router, _) = whip();
    let origin = ("origin", "https://studio.example");
    let asked = ("access-control-request-method", "POST");

    let preflight = send(&router, "OPTIONS", "/whip/show", &[origin, asked], "").await;

    assert!(preflight.status.is_success());
    assert_eq!(preflight.header("accept-post"), "application/sdp");
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        "https://studio.example"
    );
    let allowed = preflight.header("access-control-allow-headers");
    for name in [
        "authorization",
        "content-type",
        "if-match",
        "castgate-resume-token",
    ] {
        assert!(allowed.contains(name), "{name} in {allowed}");
    }
    let methods = preflight.header("access-control-allow-methods");
    for method in [Method::POST, Method::PATCH, Method::DELETE] {
        assert!(methods.contains(method.as_str()));
    }

    let answer = send(&router, "POST", "/whip/show", &[origin, GOOD, OFFER], "v=0").await;
    let exposed = answer.header("access-control-expose-headers");
    for name in [
        "location",
        "link",
        "etag",
        "accept-patch",
        "castgate-resume-token",
    ] {
        assert!(exposed.contains(name), "{name} in {exposed}");
    }
    let refused = send(&router, "POST", "/whip/none", &[origin, OFFER], "v=0").await;
    assert_eq!(
        refused.header("access-control-allow-origin"),
        "https://studio.example"
    );
    let session = send(&router, "OPTIONS", "/whip/show/s1", &[origin], "").await;
    assert_eq!(
        session.header("accept-patch"),
        "application/trickle-ice-sdpfrag"
    );
}

#[tokio::test]
async fn a_page_of_another_origin_is_not_let_in() {
    let (router, _) = whip();
    let headers = [("origin", "https://evil.example"), GOOD, OFFER];

    let outcome = send(&router, "POST", "/whip/show", &headers, "v=0").await;

    assert_eq!(outcome.header("access-control-allow-origin"), "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn hostile_requests_are_answered_and_never_panic(
        method in "POST|PATCH|DELETE|OPTIONS|GET|BREW",
        path in "/whip/(show|[a-z%0-9]{0,8})(/s1|/[a-z%.]{0,5})?",
        kind in "application/(sdp|trickle-ice-sdpfrag)|[ -~]{0,20}",
        if_match in "\\*|\"one\"|[ -~]{0,30}",
        authorization in "Bearer good|[ -~]{0,30}",
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let Ok(request) = Request::builder()
            .method(method.as_str())
            .uri(path)
            .header("content-type", kind)
            .header("if-match", if_match)
            .header("authorization", authorization)
            .body(Body::from(body))
        else {
            return Ok(());
        };
        let status = runtime.block_on(async {
            let (router, _) = live().await;
            router.oneshot(request).await.unwrap().status()
        });
        prop_assert!(!status.is_server_error(), "{status}");
    }
}
