//! What can be asked, and by whom.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde_json::{Value, json};

use super::{
    FakeCloudflare,
    answers::{Refused, success},
    state::State as Account,
};

type Shared = State<Arc<Account>>;

/// The longest key against doubles, in bytes.
const KEY_LIMIT_BYTES: usize = 255;

pub(super) fn router(account: Arc<Account>) -> Router {
    let stream = Router::new()
        .route("/storage-usage", get(storage))
        .route("/live_inputs", get(list).post(create))
        .route(
            "/live_inputs/{input}",
            get(read).put(update).delete(delete_input),
        )
        .route(
            "/live_inputs/{input}/outputs",
            get(list_outputs).post(create_output),
        )
        .route(
            "/live_inputs/{input}/outputs/{output}",
            put(switch_output).delete(delete_output),
        )
        .with_state(account);
    let path = format!("/client/v4/accounts/{}/stream", FakeCloudflare::ACCOUNT);
    Router::new()
        .nest(&path, stream)
        .fallback(async || Refused(StatusCode::NOT_FOUND, 7_003, "Could not route to it"))
        .layer(from_fn(authenticate))
}

async fn authenticate(request: Request, next: Next) -> Response {
    let Some(header) = request.headers().get(header::AUTHORIZATION) else {
        let missing = "Missing X-Auth-Key, X-Auth-Email or Authorization headers";
        return Refused(StatusCode::BAD_REQUEST, 9_106, missing).into_response();
    };
    let Some(token) = header
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("Bearer "))
    else {
        let invalid = "Invalid request headers";
        return Refused(StatusCode::BAD_REQUEST, 6_003, invalid).into_response();
    };
    if token != FakeCloudflare::TOKEN {
        return Refused(StatusCode::FORBIDDEN, 10_000, "Authentication error").into_response();
    }
    next.run(request).await
}

async fn storage(State(account): Shared) -> Response {
    success(account.storage())
}

async fn list(State(account): Shared) -> Response {
    success(account.list())
}

async fn create(
    State(account): Shared,
    headers: HeaderMap,
    Json(wanted): Json<Value>,
) -> Result<Response, Refused> {
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    if key.is_some_and(|key| key.len() > KEY_LIMIT_BYTES) {
        let long = "the idempotency key is too long";
        return Err(Refused(StatusCode::BAD_REQUEST, 10_005, long));
    }
    account.create(key, &wanted).await.map(success)
}

async fn read(State(account): Shared, Path(input): Path<String>) -> Result<Response, Refused> {
    account.read(&input).map(success)
}

async fn update(
    State(account): Shared,
    Path(input): Path<String>,
    Json(wanted): Json<Value>,
) -> Result<Response, Refused> {
    account.update(&input, &wanted).map(success)
}

async fn delete_input(
    State(account): Shared,
    Path(input): Path<String>,
) -> Result<StatusCode, Refused> {
    account.delete(&input).await.map(|()| StatusCode::OK)
}

async fn list_outputs(
    State(account): Shared,
    Path(input): Path<String>,
) -> Result<Response, Refused> {
    account
        .outputs(&input)
        .map(|outputs| success(json!(outputs)))
}

async fn create_output(
    State(account): Shared,
    Path(input): Path<String>,
    Json(wanted): Json<Value>,
) -> Result<Response, Refused> {
    account.create_output(&input, &wanted).await.map(success)
}

async fn switch_output(
    State(account): Shared,
    Path((input, output)): Path<(String, String)>,
    Json(wanted): Json<Value>,
) -> Result<Response, Refused> {
    account
        .switch_output(&input, &output, &wanted)
        .await
        .map(success)
}

async fn delete_output(
    State(account): Shared,
    Path((input, output)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    account
        .delete_output(&input, &output)
        .await
        .map(|()| StatusCode::OK)
}
