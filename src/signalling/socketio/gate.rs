//! What is looked at before the library sees a request: origin, number of connections, and how long a body takes.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::{sync::watch, time::timeout};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{
    connections::{Connections, Refusal},
    counts::{Counters, count},
};
use crate::{BODY_PATIENCE, Origins};

#[derive(Clone)]
pub(super) struct Gate {
    pub(super) origins: Origins,
    pub(super) connections: Arc<Connections>,
    pub(super) counters: Arc<Counters>,
    /// Whether the server ends.
    pub(super) ending: watch::Receiver<bool>,
}

/// Lets handshakes through that may be, and bodies that come in time.
pub(super) async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if request.method() == Method::POST {
        let answer = timeout(BODY_PATIENCE, next.run(request)).await;
        return answer.unwrap_or_else(|_| refusal(StatusCode::REQUEST_TIMEOUT, "Timeout"));
    }
    let query = request.uri().query().unwrap_or_default();
    if query.split('&').any(|pair| pair.starts_with("sid=")) {
        return next.run(request).await;
    }
    if !may_connect(&gate.origins, &request) {
        count(&gate.counters.refused);
        return refusal(StatusCode::FORBIDDEN, "Forbidden");
    }
    if *gate.ending.borrow() {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "The server is ending");
    }
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let Some(ConnectInfo(address)) = address.copied() else {
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error");
    };
    match gate.connections.open(address.ip()) {
        Ok(connection) => {
            request.extensions_mut().insert(Arc::new(connection));
            next.run(request).await
        }
        Err(why) => {
            count(&gate.counters.refused);
            match why {
                Refusal::Full => refusal(StatusCode::SERVICE_UNAVAILABLE, "Too many connections"),
                Refusal::Address => refusal(StatusCode::TOO_MANY_REQUESTS, "Too many connections"),
            }
        }
    }
}

/// Browsers do not ask before they open a WebSocket, so it is looked at here.
fn may_connect(origins: &Origins, request: &Request) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return true;
    };
    let own = |origin: &str| {
        let host = request.headers().get(header::HOST);
        let (_, authority) = origin.split_once("://").unwrap_or_default();
        host.is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()))
    };
    origin
        .to_str()
        .is_ok_and(|origin| origins.allows(origin) || own(origin))
}

/// An error as Engine.IO tells it.
fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "code": 4, "message": message }))).into_response()
}

/// Clients may send cookies, which are not looked at; so the origin is repeated and never `*`.
pub(super) fn cors(origins: Origins) -> CorsLayer {
    let allowed = AllowOrigin::predicate(move |origin: &HeaderValue, _| {
        origin.to_str().is_ok_and(|origin| origins.allows(origin))
    });
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
}
