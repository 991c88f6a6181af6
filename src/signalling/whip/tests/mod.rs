//! Tests of WHIP over an in-memory gateway.

mod offers;
mod sessions;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use tower::ServiceExt;

use super::*;
use crate::{
    BODY_LIMIT_BYTES, DialectSettings, IceRestart, IceServer, IceSession, Origins, SessionAccess,
};

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
        let shown = offer.resume_token.as_ref().map(StreamKey::expose);
        match (session.is_some(), shown) {
            (true, None) => return Err(WhipError::StudioPresent),
            (true, Some(token)) if token != "mine" => return Err(WhipError::ResumeTokenRefused),
            _ => {}
        }
        *session = Some(Live {
            etag: "one".into(),
            ufrag: "stud".into(),
            candidates: 0,
        });
        let session = NewSession {
            id: "s1".to_owned(),
            answer: "v=0\r\nanswer".to_owned(),
            etag: "one".to_owned(),
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
        };
        Ok(Publication {
            session,
            resume_token: Bearer::new("mine").unwrap(),
        })
    }
}

#[async_trait]
impl IceSessions for Memory {
    async fn ice_session(&self, access: &SessionAccess) -> Result<IceSession, WhipError> {
        let live = self.live(access)?;
        Ok(IceSession {
            etag: live.etag,
            peer_ufrag: Some(live.ufrag),
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
    let settings = DialectSettings {
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
