//! What can be asked, and by whom.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::{
    FakeMux,
    answers::{NOT_FOUND, Refused, created, found, invalid},
    state::State as Account,
};

type Shared = State<Arc<Account>>;

/// The most live streams of one page.
const PAGE_LIMIT: usize = 100;

pub(super) fn router(account: Arc<Account>) -> Router {
    Router::new()
        .route("/video/v1/live-streams", get(list).post(create))
        .route("/video/v1/live-streams/{id}", get(read).delete(remove))
        .route("/video/v1/live-streams/{id}/complete", put(complete))
        .route("/video/v1/live-streams/{id}/disable", put(disable))
        .route("/video/v1/live-streams/{id}/enable", put(enable))
        .route(
            "/video/v1/live-streams/{id}/simulcast-targets",
            post(create_target),
        )
        .route(
            "/video/v1/live-streams/{id}/simulcast-targets/{target}",
            get(read_target).delete(remove_target),
        )
        .route("/video/v1/assets/{id}", delete(remove_asset))
        .with_state(account)
        .fallback(async || NOT_FOUND)
        .layer(from_fn(authenticate))
}

async fn authenticate(request: Request, next: Next) -> Response {
    let pair = format!("{}:{}", FakeMux::TOKEN_ID, FakeMux::TOKEN_SECRET);
    let wanted = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if given != Some(&wanted) {
        let unauthorized = "Unauthorized request";
        return Refused(StatusCode::UNAUTHORIZED, "unauthorized", unauthorized).into_response();
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct Page {
    #[serde(default = "default_limit")]
    limit: usize,
    #[serde(default = "first")]
    page: usize,
}

const fn default_limit() -> usize {
    10
}

const fn first() -> usize {
    1
}

async fn list(State(account): Shared, Query(page): Query<Page>) -> Result<Response, Refused> {
    if !(1..=PAGE_LIMIT).contains(&page.limit) || page.page == 0 {
        return Err(invalid("limit or page is out of range"));
    }
    Ok(found(account.list(page.page, page.limit).into()))
}

async fn create(State(account): Shared, Json(wanted): Json<Value>) -> Result<Response, Refused> {
    account.create(&wanted).await.map(created)
}

async fn read(State(account): Shared, Path(id): Path<String>) -> Result<Response, Refused> {
    account.read(&id).map(found)
}

async fn remove(State(account): Shared, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    account.remove(&id).await.map(|()| StatusCode::NO_CONTENT)
}

async fn complete(State(account): Shared, Path(id): Path<String>) -> Result<Response, Refused> {
    account.complete(&id).map(found)
}

async fn disable(State(account): Shared, Path(id): Path<String>) -> Result<Response, Refused> {
    account.disable(&id).await.map(found)
}

async fn enable(State(account): Shared, Path(id): Path<String>) -> Result<Response, Refused> {
    account.enable(&id).await.map(found)
}

async fn create_target(
    State(account): Shared,
    Path(id): Path<String>,
    Json(wanted): Json<Value>,
) -> Result<Response, Refused> {
    account.create_target(&id, &wanted).await.map(created)
}

async fn read_target(
    State(account): Shared,
    Path((id, target)): Path<(String, String)>,
) -> Result<Response, Refused> {
    account.read_target(&id, &target).map(found)
}

async fn remove_target(
    State(account): Shared,
    Path((id, target)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    account
        .remove_target(&id, &target)
        .await
        .map(|()| StatusCode::NO_CONTENT)
}

async fn remove_asset(
    State(account): Shared,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    account.remove_asset(&id).map(|()| StatusCode::NO_CONTENT)
}
