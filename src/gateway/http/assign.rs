//! Which node a broadcast goes to, in the words of Streamlick's backend, which asks for media servers.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use broadcast::{BroadcastId, Method};
use fleet::{NoNode, NodeReport, Wish};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::{Face, access, error::ApiError};
use crate::{
    admission::Cost,
    auth::{Action, Scope},
    clock::now,
    nodes::{Assignment, View, cores},
};

/// What a broadcast is reckoned to take whose destinations are not known yet: a picture that is passed through to three.
const DESTINATIONS_RECKONED: usize = 3;

/// The longest region that is asked for; configured ones are at most as long.
const REGION_BYTES_LIMIT: usize = 64;

/// From which load on somebody should start another node, and from which on it is urgent. In percent.
const WARNING_PERCENT: u64 = 70;
const URGENT_PERCENT: u64 = 80;

/// The routes, with and without `/api` before them.
pub(super) fn routes() -> Router<Arc<Face>> {
    let mut router = Router::new();
    for prefix in ["/api/media-servers", "/media-servers"] {
        let at = |rest: &str| format!("{prefix}{rest}");
        router = router
            .route(prefix, get(list).merge(post(add)))
            .route(&at("/assign"), get(assign))
            .route(&at("/select"), post(select))
            .route(&at("/stats"), get(statistics))
            .route(&at("/{id}"), get(read).merge(delete(remove)));
    }
    router
}

/// Why a request is not fulfilled, in the backend's words where it has some.
#[derive(Debug)]
enum Refusal {
    Api(ApiError),
    /// 400.
    Request(&'static str),
    /// 404.
    NoSuchServer,
    /// 422: nodes come and go by themselves.
    ByThemselves(&'static str),
    /// 503.
    Nobody(NoNode),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::Api(error) => return error.into_response(),
            Self::Request(error) => (StatusCode::BAD_REQUEST, json!({ "error": error })),
            Self::NoSuchServer => (
                StatusCode::NOT_FOUND,
                json!({ "error": "Server not found" }),
            ),
            Self::ByThemselves(error) => {
                (StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": error }))
            }
            Self::Nobody(why) => (
                StatusCode::SERVICE_UNAVAILABLE,
                json!({ "error": "No media servers available", "message": why.to_string() }),
            ),
        };
        let no_store = [(header::CACHE_CONTROL, "no-store")];
        (status, no_store, Json(body)).into_response()
    }
}

/// A node as that backend shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    id: String,
    url: String,
    ip: String,
    is_healthy: bool,
    /// Broadcasts and rooms.
    active_streams: u32,
    /// What is promised and measured of what it has, in percent.
    cpu_usage: u64,
    last_health_check: String,
    region: Option<String>,
    methods: Vec<String>,
    version: String,
    draining: bool,
}

impl Server {
    fn new(node: &NodeReport, view: &View) -> Self {
        let age = now().saturating_duration_since(view.at);
        let told = Timestamp::now()
            .checked_sub(age)
            .unwrap_or(Timestamp::UNIX_EPOCH);
        Self {
            id: node.id.to_string(),
            url: node.url.clone(),
            ip: node.ip.clone(),
            is_healthy: true,
            active_streams: node.broadcasts,
            cpu_usage: load_percent(node),
            last_health_check: format!("{told:.3}"),
            region: node.region.clone(),
            methods: node.methods.clone(),
            version: node.version.clone(),
            draining: node.draining,
        }
    }
}

fn load_percent(node: &NodeReport) -> u64 {
    let (taken, capacity) = (node.taken.millionths(), node.capacity.millionths());
    (taken * 100).checked_div(capacity).unwrap_or(100).min(100)
}

/// The node that was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Assigned {
    url: String,
    server_id: String,
    ip: String,
    active_streams: u32,
    /// Why this one, in a sentence.
    reason: String,
    /// The broadcast for which the place is kept.
    broadcast: String,
}

/// What is asked for; other fields are the asker's own.
#[derive(Debug, Default, Deserialize)]
struct Question {
    #[serde(alias = "broadcastId", alias = "room", alias = "roomId")]
    broadcast: Option<String>,
    region: Option<String>,
    method: Option<String>,
}

async fn assign(
    State(face): State<Arc<Face>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let mut question = Question::default();
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let field = match &*name {
            "broadcast" | "broadcastId" | "room" | "roomId" => &mut question.broadcast,
            "region" => &mut question.region,
            "method" => &mut question.method,
            _ => continue,
        };
        *field = Some(value.into_owned()).filter(|value| !value.is_empty());
    }
    answer(&face, &headers, question).await
}

async fn select(
    State(face): State<Arc<Face>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let question = if body.is_empty() {
        Question::default()
    } else {
        let read = serde_json::from_slice(&body);
        read.map_err(|_| Refusal::Request("Invalid request body"))?
    };
    answer(&face, &headers, question).await
}

async fn answer(face: &Face, headers: &HeaderMap, question: Question) -> Result<Response, Refusal> {
    let asked = now();
    let identity = access::identify(face, headers).await?;
    let wish = wish(face, question, &identity.scope)?;
    // Whoever may see a broadcast may be told where it is; a place is kept only for who may begin it.
    let id =
        BroadcastId::new(&wish.broadcast).map_err(|error| ApiError::invalid("broadcast", error))?;
    access::allow(&identity, Action::Read(&id))?;
    let found = face.membership.assign(&wish).await;
    face.metrics.assigned(now() - asked, found.is_ok());
    let Assignment { node, why } = found.map_err(Refusal::Nobody)?;
    let body = Assigned {
        url: node.url,
        server_id: node.id.to_string(),
        ip: node.ip,
        active_streams: node.broadcasts,
        reason: why.to_string(),
        broadcast: wish.broadcast,
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Without a broadcast it is the token's own, or any new one.
fn wish(face: &Face, question: Question, scope: &Scope) -> Result<Wish, ApiError> {
    let Question {
        broadcast,
        region,
        method,
    } = question;
    let broadcast = broadcast.unwrap_or_else(|| match scope {
        Scope::Broadcast(own) => own.as_str().to_owned(),
        Scope::Nothing | Scope::All => Uuid::new_v4().to_string(),
    });
    if region
        .as_ref()
        .is_some_and(|region| region.len() > REGION_BYTES_LIMIT)
    {
        return Err(ApiError::invalid(
            "region",
            "a region has 64 characters at most",
        ));
    }
    let method = match method {
        Some(word) => word
            .parse()
            .map_err(|error: broadcast::SpecError| ApiError::invalid("method", error))?,
        None => face.method,
    };
    Ok(Wish {
        broadcast,
        cost: cores(reckoned(method)),
        region,
        method: Some(method.as_str().to_owned()),
    })
}

fn reckoned(method: Method) -> Cost {
    let passed_through = Cost::passthrough(DESTINATIONS_RECKONED);
    match method {
        Method::Ffmpeg => passed_through + Cost::ffmpeg_copy(),
        _ => passed_through,
    }
}

async fn list(
    State(face): State<Arc<Face>>,
    headers: HeaderMap,
) -> Result<Json<Vec<Server>>, Refusal> {
    access::identify(&face, &headers).await?;
    Ok(Json(servers(&face)))
}

/// By name, as they were told last: everybody may ask for this as often as they like, and the registry is asked once a second.
fn servers(face: &Face) -> Vec<Server> {
    let view = face.membership.view();
    let alive = view.fleet.alive.iter();
    let mut servers: Vec<Server> = alive.map(|node| Server::new(node, &view)).collect();
    servers.sort_by(|one, other| one.id.cmp(&other.id));
    servers
}

async fn read(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Server>, Refusal> {
    access::identify(&face, &headers).await?;
    let server = servers(&face).into_iter().find(|server| server.id == id);
    server.map(Json).ok_or(Refusal::NoSuchServer)
}

async fn statistics(
    State(face): State<Arc<Face>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    access::identify(&face, &headers).await?;
    let view = face.membership.view();
    let servers = servers(&face);
    let (total, healthy) = (view.fleet.size.max(servers.len()), servers.len());
    let streams: u64 = servers
        .iter()
        .map(|server| u64::from(server.active_streams))
        .sum();
    let open: Vec<&Server> = servers.iter().filter(|server| !server.draining).collect();
    let sum: u64 = open.iter().map(|server| server.cpu_usage).sum();
    let average = sum.checked_div(open.len() as u64).unwrap_or(0);
    let (action, message) = match average {
        _ if open.is_empty() => ("scale_up", "No node takes new broadcasts"),
        URGENT_PERCENT.. => ("scale_up", "The nodes are nearly full: start another"),
        WARNING_PERCENT.. => ("warning", "The nodes are getting full"),
        _ => ("none", "There is room"),
    };
    let cost = cores(reckoned(face.method));
    let mut alive = view.fleet.alive.iter();
    let has_capacity = alive.any(|node| !node.draining && node.free() >= cost);
    let body = json!({
        "totalServers": total,
        "healthyServers": healthy,
        "unhealthyServers": total - healthy,
        "totalActiveStreams": streams,
        "averageCpuUsage": average,
        "servers": servers,
        "recommendation": { "action": action, "message": message },
        "hasCapacity": has_capacity,
        "registry": face.membership.sight().as_str(),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// Nodes register themselves, and one that does not could not be kept from publishing what another has taken over. So a URL
/// is only looked up.
async fn add(
    State(face): State<Arc<Face>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    #[derive(Deserialize)]
    struct Wanted {
        url: Option<String>,
    }

    let identity = access::identify(&face, &headers).await?;
    access::allow(&identity, Action::Operate)?;
    let wanted: Option<Wanted> = serde_json::from_slice(&body).ok();
    let url = wanted
        .and_then(|wanted| wanted.url)
        .filter(|url| !url.is_empty());
    let url = url.ok_or(Refusal::Request("Server URL is required"))?;
    let url = Url::parse(&url).map_err(|_| Refusal::Request("Invalid URL format"))?;
    let url = url.as_str().trim_end_matches('/');
    let server = servers(&face).into_iter().find(|server| server.url == url);
    let server = server.ok_or(Refusal::ByThemselves(
        "Nodes register themselves: start one with this PUBLIC_URL and the fleet's REDIS_URL",
    ))?;
    let body = json!({ "message": "Media server added successfully", "server": server });
    Ok(Json(body).into_response())
}

async fn remove(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let identity = access::identify(&face, &headers).await?;
    access::allow(&identity, Action::Operate)?;
    if servers(&face).iter().all(|server| server.id != id) {
        return Err(Refusal::NoSuchServer);
    }
    Err(Refusal::ByThemselves(
        "Nodes leave by themselves: drain it by POST /api/v1/node/drain, or stop it",
    ))
}
