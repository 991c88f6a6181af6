//! What can be asked, and by whom.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    FakeDaily,
    account::{Account, issue},
    answers::{Refused, not_found},
};

type Shared = State<Arc<Account>>;

pub(super) fn router(account: Arc<Account>) -> Router {
    Router::new()
        .route("/", get(domain))
        .route("/meeting-tokens", post(token))
        .route("/rooms", get(list).post(create))
        .route("/rooms/{name}", get(read).post(change).delete(remove))
        .route("/rooms/{name}/presence", get(presence))
        .route("/rooms/{name}/live-streaming/start", post(start))
        .route("/rooms/{name}/live-streaming/stop", post(stop))
        .route("/rooms/{name}/live-streaming/add-endpoints", post(add))
        .route(
            "/rooms/{name}/live-streaming/remove-endpoints",
            post(drop_some),
        )
        .with_state(account)
        .fallback(async || not_found())
        .layer(from_fn(authenticate))
}

/// A header that is missing is a mistake in the request; a wrong key is not.
async fn authenticate(request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match given {
        None => Refused(
            StatusCode::BAD_REQUEST,
            "authorization-header-error",
            "the authorization header is missing or malformed".to_owned(),
        )
        .into_response(),
        Some(FakeDaily::API_KEY) => next.run(request).await,
        Some(_) => Refused(
            StatusCode::UNAUTHORIZED,
            "authentication-error",
            "the API key is not known".to_owned(),
        )
        .into_response(),
    }
}

async fn domain() -> Json<Value> {
    Json(json!({
        "domain_name": "fake",
        "domain_id": FakeDaily::DOMAIN_ID,
        "config": {},
    }))
}

async fn token(Json(wanted): Json<Value>) -> Result<Json<Value>, Refused> {
    Ok(Json(json!({ "token": issue(&wanted["properties"])? })))
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    ending_before: Option<String>,
    starting_after: Option<String>,
}

async fn list(State(account): Shared, Query(page): Query<Page>) -> Json<Value> {
    let Page {
        limit,
        ending_before,
        starting_after,
    } = page;
    Json(account.list(limit, ending_before.as_deref(), starting_after.as_deref()))
}

async fn create(State(account): Shared, Json(wanted): Json<Value>) -> Result<Json<Value>, Refused> {
    account.create(&wanted).await.map(Json)
}

async fn read(State(account): Shared, Path(name): Path<String>) -> Result<Json<Value>, Refused> {
    account.read(&name).map(Json)
}

async fn change(
    State(account): Shared,
    Path(name): Path<String>,
    Json(wanted): Json<Value>,
) -> Result<Json<Value>, Refused> {
    account.change(&name, &wanted).map(Json)
}

async fn remove(State(account): Shared, Path(name): Path<String>) -> Result<Json<Value>, Refused> {
    account.remove(&name).await?;
    Ok(Json(json!({ "deleted": true, "name": name })))
}

async fn presence(
    State(account): Shared,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refused> {
    account.presence(&name).map(Json)
}

/// The documentation has no body for it.
async fn start(
    State(account): Shared,
    Path(name): Path<String>,
    Json(wanted): Json<Value>,
) -> Result<StatusCode, Refused> {
    account.begin(&name, &wanted).await?;
    Ok(StatusCode::OK)
}

async fn stop(
    State(account): Shared,
    Path(name): Path<String>,
    Json(wanted): Json<Value>,
) -> Result<Json<Value>, Refused> {
    account.end(&name, &wanted).await?;
    Ok(sent())
}

async fn add(
    State(account): Shared,
    Path(name): Path<String>,
    Json(wanted): Json<Value>,
) -> Result<Json<Value>, Refused> {
    account.add_endpoints(&name, &wanted).await?;
    Ok(sent())
}

async fn drop_some(
    State(account): Shared,
    Path(name): Path<String>,
    Json(wanted): Json<Value>,
) -> Result<Json<Value>, Refused> {
    account.remove_endpoints(&name, &wanted).await?;
    Ok(sent())
}

/// It was passed on, which is all that this says.
fn sent() -> Json<Value> {
    Json(json!({ "sent": "true" }))
}
