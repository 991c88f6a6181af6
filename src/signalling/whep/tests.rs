//! Tests of WHEP over an in-memory gateway. What it shares with WHIP is tested there.

use std::{sync::Mutex, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use tower::ServiceExt;

use super::*;
use crate::{IceRestart, IceServer, IceSession, Origins, SessionAccess};

const GOOD: (&str, &str) = ("authorization", "Bearer good");
const OFFER: (&str, &str) = ("content-type", "application/sdp");
const TRICKLE: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

/// One broadcast, `show`, with one place; `full` has none.
#[derive(Default)]
struct Memory {
    done: Mutex<Vec<&'static str>>,
}

fn admit(token: Option<&Bearer>) -> Result<(), WhepError> {
    match token.map(Bearer::expose) {
        Some("good") => Ok(()),
        Some(_) => Err(WhepError::Forbidden("not this broadcast".to_owned())),
        None => Err(WhepError::TokenMissing),
    }
}

#[async_trait]
impl Viewers for Memory {
    async fn watch(&self, offer: ViewerOffer) -> Result<NewSession, WhepError> {
        admit(offer.token.as_ref())?;
        match offer.broadcast.as_str() {
            "show" => Ok(NewSession {
                id: "v1".to_owned(),
                answer: format!("{}answer", offer.sdp),
                etag: "one".to_owned(),
                ice_servers: vec![IceServer {
                    urls: vec!["stun:a".into()],
                    username: None,
                    credential: None,
                }],
            }),
            "full" => Err(WhepError::TooManyViewers {
                retry_after: Duration::from_secs(5),
            }),
            _ => Err(WhepError::NoSuchBroadcast),
        }
    }
}

#[async_trait]
impl IceSessions for Memory {
    async fn ice_session(&self, access: &SessionAccess) -> Result<IceSession, WhepError> {
        admit(access.token.as_ref())?;
        if access.session != "v1" {
            return Err(WhepError::NoSuchSession);
        }
        Ok(IceSession {
            etag: "one".to_owned(),
            peer_ufrag: Some("view".to_owned()),
        })
    }

    async fn trickle(&self, _: &SessionAccess, _: &str) -> Result<(), WhepError> {
        self.done.lock().unwrap().push("trickle");
        Ok(())
    }

    async fn restart_ice(&self, _: &SessionAccess, _: &str) -> Result<IceRestart, WhepError> {
        self.done.lock().unwrap().push("restart");
        Ok(IceRestart {
            fragment: "a=ice-ufrag:news\r\n".to_owned(),
            etag: "two".to_owned(),
        })
    }

    async fn end(&self, access: &SessionAccess) -> Result<(), WhepError> {
        admit(access.token.as_ref())?;
        self.done.lock().unwrap().push("end");
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
}

async fn send(
    memory: &Arc<Memory>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Outcome {
    let settings = DialectSettings {
        origins: Origins::List(vec!["https://studio.example".to_owned()]),
        public_url: Some("https://media.example/".to_owned()),
    };
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = router(Arc::clone(memory), settings)
        .oneshot(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    Outcome {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap(),
    }
}

#[tokio::test]
async fn an_offer_is_answered_with_a_session() {
    let memory = Arc::new(Memory::default());

    let outcome = send(&memory, "POST", "/whep/show", &[GOOD, OFFER], "v=0 ").await;

    assert_eq!(outcome.status, StatusCode::CREATED);
    assert_eq!(outcome.body, "v=0 answer");
    assert_eq!(outcome.header("content-type"), "application/sdp");
    assert_eq!(
        outcome.header("location"),
        "https://media.example/whep/show/v1"
    );
    assert_eq!(outcome.header("etag"), "\"one\"");
    assert!(outcome.header("link").contains("stun:a"));
    assert_eq!(
        outcome.header("accept-patch"),
        "application/trickle-ice-sdpfrag"
    );
    assert!(!outcome.headers.contains_key("castgate-resume-token"));
}

#[tokio::test]
async fn refusals_have_their_status_and_code() {
    let memory = Arc::new(Memory::default());
    let bad = ("authorization", "Bearer bad");
    let cases = [
        ("/whep/show", vec![OFFER], 401, "token_missing"),
        ("/whep/show", vec![OFFER, bad], 403, "forbidden"),
        ("/whep/none", vec![OFFER, GOOD], 404, "no_such_broadcast"),
        ("/whep/full", vec![OFFER, GOOD], 503, "too_many_viewers"),
        ("/whep/show", vec![GOOD], 415, "unsupported_media_type"),
    ];
    for (path, headers, status, code) in cases {
        let outcome = send(&memory, "POST", path, &headers, "v=0").await;

        assert_eq!(outcome.status.as_u16(), status, "{path}");
        assert!(outcome.body.contains(code), "{}", outcome.body);
        assert_eq!(outcome.headers.contains_key("retry-after"), status == 503);
    }
}

#[tokio::test]
async fn a_session_is_changed_and_ended() {
    let memory = Arc::new(Memory::default());
    let session = "/whep/show/v1";
    let fragment = |ufrag| {
        format!(
            "a=ice-ufrag:{ufrag}\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
        )
    };

    let tag = ("if-match", "\"one\"");
    let trickled = send(
        &memory,
        "PATCH",
        session,
        &[GOOD, TRICKLE, tag],
        &fragment("view"),
    )
    .await;
    let any = ("if-match", "*");
    let restarted = send(
        &memory,
        "PATCH",
        session,
        &[GOOD, TRICKLE, any],
        &fragment("other"),
    )
    .await;
    let ended = send(&memory, "DELETE", session, &[GOOD], "").await;
    let unknown = send(&memory, "PATCH", "/whep/show/v2", &[GOOD, TRICKLE, tag], "").await;

    assert_eq!(trickled.status, StatusCode::NO_CONTENT);
    assert_eq!(restarted.status, StatusCode::OK);
    assert_eq!(restarted.header("etag"), "\"two\"");
    assert_eq!(ended.status, StatusCode::OK);
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(*memory.done.lock().unwrap(), ["trickle", "restart", "end"]);
}

#[tokio::test]
async fn pages_of_known_origins_may_watch() {
    let memory = Arc::new(Memory::default());
    let asks = [
        ("origin", "https://studio.example"),
        ("access-control-request-method", "POST"),
    ];

    let outcome = send(&memory, "OPTIONS", "/whep/show", &asks, "").await;

    assert_eq!(
        outcome.header("access-control-allow-origin"),
        "https://studio.example"
    );
    assert_eq!(outcome.header("accept-post"), "application/sdp");
    let other = send(&memory, "GET", "/whep/show", &[], "").await;
    assert_eq!(other.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(other.header("allow"), "POST, OPTIONS");
}
