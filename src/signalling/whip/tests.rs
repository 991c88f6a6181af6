use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use proptest::prelude::*;
use tower::ServiceExt;

use super::*;
use crate::Origins;

const PASSWORD: &str = "P2uYro0UCOQ4zxjKXaWCBui1";

/// Broadcasts in memory: `show` takes one studio at a time; other ids say what to answer.
#[derive(Default)]
struct Memory {
    session: Mutex<Option<Live>>,
}

#[derive(Clone)]
struct Live {
    etag: String,
    ufrag: String,
    candidates: usize,
}

impl Memory {
    fn live(&self, access: &SessionAccess) -> Result<Live, WhipError> {
        admit(access.token.as_ref())?;
        self.current()
            .filter(|_| access.session == "s1")
            .ok_or(WhipError::NoSuchSession)
    }

    fn current(&self) -> Option<Live> {
        self.session.lock().unwrap().clone()
    }
}

fn admit(token: Option<&Bearer>) -> Result<(), WhipError> {
    match token.map(Bearer::expose) {
        None => Err(WhipError::TokenMissing),
        Some("good") => Ok(()),
        Some("viewer") => Err(WhipError::Forbidden("a viewer may not publish".to_owned())),
        Some(_) => Err(WhipError::TokenRefused("it has expired".to_owned())),
    }
}

#[async_trait]
impl Studios for Memory {
    async fn publish(&self, offer: StudioOffer) -> Result<Publication, WhipError> {
        admit(offer.token.as_ref())?;
        match offer.broadcast.as_str() {
            "show" => {}
            "full" => {
                return Err(WhipError::Unavailable {
                    message: "no session is free".to_owned(),
                    retry_after: Duration::from_secs(7),
                });
            }
            _ => return Err(WhipError::NoSuchBroadcast),
        }
        if offer.sdp.contains("VP8") {
            return Err(WhipError::UnsupportedCodec(
                "H.264 and Opus are supported".to_owned(),
            ));
        }
        if !offer.sdp.starts_with("v=0") {
            return Err(WhipError::MalformedOffer("no version".to_owned()));
        }
        let mut session = self.session.lock().unwrap();
        if session.is_some() && offer.resume_token != Bearer::new("mine").ok() {
            return Err(WhipError::StudioPresent);
        }
        *session = Some(Live {
            etag: "one".into(),
            ufrag: "stud".into(),
            candidates: 0,
        });
        Ok(Publication {
            session: "s1".to_owned(),
            answer: "v=0\r\nanswer".to_owned(),
            etag: "one".to_owned(),
            resume_token: Bearer::new("mine").unwrap(),
            ice_servers: vec![
                IceServer {
                    urls: vec!["stun:a".into(), "stun:b".into()],
                    username: None,
                    credential: None,
                },
                IceServer {
                    urls: vec!["turn:c".into()],
                    username: Some("u".into()),
                    credential: Some("p".into()),
                },
            ],
        })
    }

    async fn ice_session(&self, access: &SessionAccess) -> Result<IceSession, WhipError> {
        let live = self.live(access)?;
        Ok(IceSession {
            etag: live.etag,
            studio_ufrag: Some(live.ufrag),
        })
    }

    async fn trickle(&self, access: &SessionAccess, _: &str) -> Result<(), WhipError> {
        self.live(access)?;
        self.session.lock().unwrap().as_mut().unwrap().candidates += 1;
        Ok(())
    }

    async fn restart_ice(&self, access: &SessionAccess, _: &str) -> Result<IceRestart, WhipError> {
        let live = self.live(access)?;
        let etag = format!("{}+", live.etag);
        self.session
            .lock()
            .unwrap()
            .as_mut()
            .unwrap()
            .etag
            .clone_from(&etag);
        Ok(IceRestart {
            fragment: "a=ice-ufrag:news\r\n".to_owned(),
            etag,
        })
    }

    async fn end(&self, access: &SessionAccess) -> Result<(), WhipError> {
        admit(access.token.as_ref())?;
        *self.session.lock().unwrap() = None;
        Ok(())
    }
}

struct Outcome {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Outcome {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The stable code, after checking that this is a problem with the right status in it.
    fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.body
        );
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty())
        );
        problem["code"].as_str().unwrap().to_owned()
    }
}

fn whip() -> (Router, Arc<Memory>) {
    with_settings(
        Origins::List(vec!["https://studio.example".to_owned()]),
        None,
    )
}

fn with_settings(origins: Origins, public_url: Option<&str>) -> (Router, Arc<Memory>) {
    let memory = Arc::new(Memory::default());
    let settings = WhipSettings {
        origins,
        public_url: public_url.map(str::to_owned),
    };
    (router(Arc::clone(&memory), settings), memory)
}

async fn send(
    router: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Outcome {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router
        .clone()
        .oneshot(request.body(body.into()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Outcome {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

const GOOD: (&str, &str) = ("authorization", "Bearer good");
const OFFER: (&str, &str) = ("content-type", "application/sdp");
const TRICKLE: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

fn fragment(ufrag: &str) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{PASSWORD}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
    )
}

async fn live() -> (Router, Arc<Memory>) {
    let (router, memory) = whip();
    let outcome = send(&router, "POST", "/whip/show", &[GOOD, OFFER], "v=0").await;
    assert_eq!(outcome.status, StatusCode::CREATED, "{}", outcome.body);
    (router, memory)
}

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
    let owner = [GOOD, OFFER, ("castgate-resume-token", "mine")];
    let owner = send(&router, "POST", "/whip/show", &owner, "v=0").await;

    assert_eq!(
        (stranger.status.as_u16(), stranger.code().as_str()),
        (409, "studio_present")
    );
    assert_eq!(wrong.status, StatusCode::CONFLICT);
    assert_eq!(owner.status, StatusCode::CREATED);
}

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
