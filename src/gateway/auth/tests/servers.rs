//! Keys and verdicts from servers on loopback, good and bad ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use tokio::{net::TcpListener, task::JoinSet};
use url::Url;

use super::*;
use crate::auth::published::Published;

/// A server on loopback that ends with the test.
struct Server {
    url: Url,
    requests: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(router: Router) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let router = router.layer(axum::middleware::from_fn(
            move |request, next: axum::middleware::Next| {
                counter.fetch_add(1, Ordering::SeqCst);
                next.run(request)
            },
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            requests,
            _tasks: tasks,
        }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }
}

fn jwk(id: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(&p256(), Algorithm::ES256).unwrap();
    jwk.common.key_id = Some(id.to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    serde_json::to_value(jwk).unwrap()
}

async fn issuer() -> Server {
    let set = json!({ "keys": [
        { "kty": "strange", "kid": "future" },
        { "kty": "oct", "kid": "shared", "k": "c2VjcmV0" },
        jwk("one"),
    ] });
    Server::start(Router::new().route("/keys", get(async || axum::Json(set)))).await
}

#[tokio::test]
async fn published_keys_are_fetched_once_and_only_those_for_tokens_count() {
    let issuer = issuer().await;
    let authenticator = jwt(JwtKeys::Published(issuer.at("keys")));
    let hmac_key = EncodingKey::from_secret(b"secret");

    for id in [Some("one"), None] {
        let token = sign(Algorithm::ES256, &p256(), id, &claims());
        assert!(
            authenticator.authenticate(Some(&token)).await.is_ok(),
            "{id:?}"
        );
    }
    for id in ["shared", "future", "invented"] {
        refused(
            &authenticator,
            &sign(Algorithm::HS256, &hmac_key, Some(id), &claims()),
        )
        .await;
    }

    assert_eq!(
        issuer.requests(),
        1,
        "invented key ids must not reach the issuer"
    );
}

#[tokio::test]
async fn many_at_once_ask_the_issuer_once() {
    let issuer = issuer().await;
    let authenticator = Arc::new(jwt(JwtKeys::Published(issuer.at("keys"))));
    let token = sign(Algorithm::ES256, &p256(), Some("one"), &claims());

    let mut studios = JoinSet::new();
    for _ in 0..20 {
        let (authenticator, token) = (Arc::clone(&authenticator), token.clone());
        studios.spawn(async move { authenticator.authenticate(Some(&token)).await });
    }
    while let Some(outcome) = studios.join_next().await {
        assert!(outcome.unwrap().is_ok());
    }

    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_an_old_one_forgotten() {
    let version = Arc::new(AtomicUsize::new(1));
    let current = Arc::clone(&version);
    let issuer = Server::start(Router::new().route(
        "/keys",
        get(async move || {
            let id = format!("key{}", current.load(Ordering::SeqCst));
            axum::Json(json!({ "keys": [jwk(&id)] }))
        }),
    ))
    .await;
    let published = Published::new(issuer.at("keys")).unwrap();
    let start = Instant::now();
    let key = async |id: &str, after: Duration| {
        published
            .key(Some(id), Algorithm::ES256, start + after)
            .await
            .map(drop)
    };

    assert_eq!(key("key1", Duration::ZERO).await, Ok(()));
    version.store(2, Ordering::SeqCst);
    assert!(
        key("key2", Duration::from_secs(5)).await.is_err(),
        "asked a moment ago"
    );
    assert_eq!(key("key2", Duration::from_secs(15)).await, Ok(()));
    version.store(3, Ordering::SeqCst);
    assert!(key("key1", Duration::from_secs(30)).await.is_err());
    assert_eq!(issuer.requests(), 3);

    version.store(4, Ordering::SeqCst);
    assert_eq!(
        key("key3", Duration::from_mins(9)).await,
        Ok(()),
        "still fresh"
    );
    assert!(
        key("key3", Duration::from_mins(20)).await.is_err(),
        "revoked meanwhile"
    );
}

#[tokio::test]
async fn keys_outlive_a_failing_issuer_for_a_while() {
    let issuer = issuer().await;
    let published = Published::new(issuer.at("keys")).unwrap();
    let start = Instant::now();
    let key = async |after: Duration| {
        published
            .key(Some("one"), Algorithm::ES256, start + after)
            .await
            .map(drop)
    };

    assert_eq!(key(Duration::ZERO).await, Ok(()));
    drop(issuer);

    assert_eq!(key(Duration::from_mins(30)).await, Ok(()));
    assert!(matches!(
        key(Duration::from_mins(61)).await,
        Err(AuthError::Unavailable(_))
    ));
}

/// Paths that misbehave, each in its way.
async fn bad_server() -> Server {
    let endless = || async {
        Body::from_stream(tokio_stream::iter(
            (0..1_000_000).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 16 * 1024]))),
        ))
    };
    let slow = || async {
        std::future::pending::<()>().await;
        StatusCode::OK
    };
    let dribble = || async {
        let beginning = tokio_stream::once(Ok::<_, std::io::Error>(Bytes::from_static(b"{")));
        Body::from_stream(tokio_stream::StreamExt::chain(
            beginning,
            tokio_stream::pending(),
        ))
    };
    let redirect = || async { Redirect::temporary("/good/api/verify-media-server-token") };
    let garbage = || async { "<html>log in to the airport's network</html>" };
    let good = || async { axum::Json(json!({ "keys": [jwk("one")] })) };
    let mut router = Router::new();
    for suffix in ["", "/api/verify-media-server-token"] {
        router = router
            .route(&format!("/huge{suffix}"), any(endless))
            .route(&format!("/slow{suffix}"), any(slow))
            .route(&format!("/dribble{suffix}"), any(dribble))
            .route(&format!("/redirect{suffix}"), any(redirect))
            .route(&format!("/garbage{suffix}"), any(garbage))
            .route(&format!("/good{suffix}"), any(good))
            .route(
                &format!("/broken{suffix}"),
                any(async || StatusCode::BAD_GATEWAY),
            );
    }
    Server::start(router).await
}

#[tokio::test]
async fn a_misbehaving_server_makes_tokens_uncheckable_and_lets_nobody_in() {
    let server = bad_server().await;
    let token = sign(Algorithm::ES256, &p256(), Some("one"), &claims());
    let mut attempts = JoinSet::new();

    for path in [
        "huge", "slow", "dribble", "redirect", "garbage", "broken", "missing",
    ] {
        for by_callback in [false, true] {
            let authenticator = if by_callback {
                Authenticator::new(&AuthConfig::Callback(server.at(path))).unwrap()
            } else {
                jwt(JwtKeys::Published(server.at(path)))
            };
            let token = token.clone();
            attempts.spawn(async move {
                let began = Instant::now();
                let outcome = authenticator.authenticate(Some(&token)).await;
                (path, by_callback, outcome, began.elapsed())
            });
        }
    }

    while let Some(attempt) = attempts.join_next().await {
        let (path, by_callback, outcome, elapsed) = attempt.unwrap();
        let Err(AuthError::Unavailable(why)) = outcome else {
            panic!("{path} {by_callback}: {outcome:?}")
        };
        assert!(!why.contains("127.0.0.1"), "{why}");
        // Five seconds, and then some on a machine that is busy; one that is waited for to its end never ends.
        assert!(elapsed < Duration::from_secs(40), "{path}: {elapsed:?}");
    }
    assert!(
        jwt(JwtKeys::Published(server.at("good")))
            .authenticate(Some(&token))
            .await
            .is_ok()
    );
}

async fn backend(
    answer: impl IntoResponse + Clone + Send + Sync + 'static,
) -> (Server, Authenticator) {
    let verify = async move |body: axum::Json<Value>| -> Response {
        if body.0 == json!({ "token": "good" }) {
            answer.clone().into_response()
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    };
    let server =
        Server::start(Router::new().route("/base/api/verify-media-server-token", post(verify)))
            .await;
    let config = AuthConfig::Callback(server.at("base/"));
    (server, Authenticator::new(&config).unwrap())
}

fn good() -> Bearer {
    Bearer::new("good").unwrap()
}

#[tokio::test]
async fn the_backend_of_the_seeds_says_yes_or_no() {
    let (_server, authenticator) = backend(StatusCode::OK).await;

    let identity = authenticator.authenticate(Some(&good())).await.unwrap();

    assert_eq!(
        identity,
        Identity {
            subject: None,
            role: Role::Studio,
            scope: Scope::All
        }
    );
    refused(&authenticator, &Bearer::new("bad").unwrap()).await;
    assert_eq!(
        authenticator.authenticate(None).await,
        Err(AuthError::Missing)
    );
}

#[tokio::test]
async fn a_backend_may_say_who_somebody_is() {
    let answer = axum::Json(json!({
        "valid": true, "user": { "id": "u1", "role": "viewer", "mail": "x" }, "broadcastId": "show",
    }));
    let (_server, authenticator) = backend(answer).await;

    let identity = authenticator.authenticate(Some(&good())).await.unwrap();

    assert_eq!(
        (identity.subject.as_deref(), identity.role),
        (Some("u1"), Role::Viewer)
    );
    assert_eq!(
        identity.scope,
        Scope::Broadcast(BroadcastId::new("show").unwrap())
    );
}

#[tokio::test]
async fn a_yes_that_means_no_lets_nobody_in() {
    for answer in [
        json!({ "valid": false }),
        json!({ "role": "superuser" }),
        json!({ "valid": "false" }),
        json!({ "broadcastId": 7 }),
    ] {
        let (_server, authenticator) = backend(axum::Json(answer)).await;
        refused(&authenticator, &good()).await;
    }
    for answer in ["true", "\"ok\"", "[]", "null"] {
        let json = (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "application/json")],
            answer,
        );
        let (_server, authenticator) = backend(json).await;
        let outcome = authenticator.authenticate(Some(&good())).await;
        assert!(
            matches!(outcome, Err(AuthError::Unavailable(_))),
            "{answer}: {outcome:?}"
        );
    }
}
