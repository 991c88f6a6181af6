//! Routes of providers: what there is, how it is, and what hosted ones call back.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use broadcast::{BroadcastId, Method, Provider};
use egress_providers::{
    Capabilities, Hot,
    hosted::{BreakerState, ProviderError, WebhookHeaders},
};
use futures_util::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Face, access,
    error::{ApiError, Problem},
};
use crate::{auth::Action, clock::now, config, metrics::WebhookOutcome, providers::Health};

/// The longest webhook: Mux tells all tracks of a show, some 20 kB at the most.
pub(super) const WEBHOOK_LIMIT_BYTES: usize = 256 * 1024;

/// How many headers of a webhook are looked at; providers send about twenty.
const HEADERS_LIMIT: usize = 64;

/// All providers that this version knows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderList {
    /// Method of the broadcasts that name none.
    method: &'static str,
    providers: Vec<ProviderBody>,
    hybrid: HybridBody,
}

/// A provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProviderBody {
    /// `own` is this node's own publisher.
    #[schema(example = "cloudflare")]
    name: &'static str,
    /// Whether it can be used on this node.
    configured: bool,
    /// The variables that would make it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<CapabilitiesBody>,
    /// `closed`: it is asked; `open`: it failed so often that it is left alone; `half_open`: it is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthBody>,
    /// How many broadcasts it carries for this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<usize>,
}

/// What a provider can do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that have nothing to do with each other"
)]
struct CapabilitiesBody {
    /// How shows get there: `inProcess`, `push`, `whip`, `sidecar` or `direct`.
    contribution: &'static str,
    /// Whether destinations can be added while it is live.
    add_while_live: bool,
    /// Whether they can be removed while it is live, but for the last one.
    remove_while_live: bool,
    /// Whether it tells how each destination is. If not, one counts as live once it is accepted and the show arrives.
    destination_status: bool,
    /// Whether one destination can be paused.
    pause: bool,
    /// Whether one destination can have a picture of its own shape.
    renditions: bool,
    destinations_limit: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    longest_show_seconds: Option<u64>,
    webhooks: bool,
    /// What is billed: `participant`, `show`, `output`.
    meters: Vec<&'static str>,
}

/// What a provider said of itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HealthBody {
    ok: bool,
    /// Stable code of what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "provider_auth")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// How old the answer is.
    age_seconds: u64,
}

/// How hybrid broadcasts choose.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HybridBody {
    /// The best first.
    order: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    production_order: Option<Vec<&'static str>>,
    live_failover: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 2.5)]
    cost_limit_per_hour: Option<f64>,
}

/// Where a studio goes that goes to a provider itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct JoinBody {
    provider: &'static str,
    /// The room.
    url: String,
    /// Who the studio is there. Whoever has it can publish.
    token: String,
}

/// List the providers.
#[utoipa::path(
    get, path = "/api/v1/providers", tag = "providers",
    responses(
        (status = 200, description = "All that this version knows, with those that are configured as they are now.", body = ProviderList),
        (status = 403, description = "The token does not allow to operate the node.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(face): State<Arc<Face>>,
    headers: HeaderMap,
) -> Result<Json<ProviderList>, ApiError> {
    let identity = access::identify(&face, &headers).await?;
    access::allow(&identity, Action::Operate)?;
    let providers = join_all(Provider::ALL.map(|provider| describe(&face, provider))).await;
    let policy = face.providers.policy();
    let words = |order: &Vec<Provider>| order.iter().map(|provider| provider.as_str()).collect();
    Ok(Json(ProviderList {
        method: Method::as_str(face.method),
        providers,
        hybrid: HybridBody {
            order: words(&policy.order),
            production_order: policy.production_order.as_ref().map(words),
            live_failover: policy.live_failover,
            cost_limit_per_hour: policy
                .cost_limit_per_hour
                .map(egress_providers::Money::dollars),
        },
    }))
}

async fn describe(face: &Face, provider: Provider) -> ProviderBody {
    let capabilities = face.providers.capabilities(provider);
    let hosted = face.providers.find_hosted(provider);
    let health = face.providers.health(provider).await;
    ProviderBody {
        name: provider.as_str(),
        configured: capabilities.is_some(),
        needs: capabilities.is_none().then(|| config::needs(provider)),
        capabilities: capabilities.map(CapabilitiesBody::new),
        breaker: hosted.map(|hosting| BreakerState::as_str(hosting.provider.breaker())),
        health: health.as_ref().map(HealthBody::new),
        sessions: hosted.map(|hosting| hosting.provider.sessions().len()),
    }
}

impl CapabilitiesBody {
    fn new(can: &Capabilities) -> Self {
        Self {
            contribution: can.contribution.as_str(),
            add_while_live: can.hot_add == Hot::Yes,
            remove_while_live: can.hot_remove == Hot::Yes,
            destination_status: can.destination_status,
            pause: can.destination_pause,
            renditions: can.renditions,
            destinations_limit: can.destinations_limit,
            longest_show_seconds: can.longest_show.map(|longest| longest.as_secs()),
            webhooks: can.webhooks,
            meters: can.meters.iter().map(|(meter, _)| meter.as_str()).collect(),
        }
    }
}

impl HealthBody {
    fn new(health: &Health) -> Self {
        let error = health.answer.as_ref().err();
        Self {
            ok: error.is_none(),
            code: error.map(|error| error.reason().code()),
            message: error.map(ProviderError::to_string),
            age_seconds: now().saturating_duration_since(health.asked).as_secs(),
        }
    }
}

/// Where the studio goes, for a provider that it goes to itself.
///
/// Only for those who may publish to the broadcast.
#[utoipa::path(
    get, path = "/api/v1/broadcasts/{id}/join", tag = "broadcasts", params(("id" = String, Path)),
    responses(
        (status = 200, body = JoinBody, description = "There, and with this token."),
        (status = 404, description = "There is no such broadcast, or its studio comes here.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn join(
    State(face): State<Arc<Face>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<([(axum::http::HeaderName, &'static str); 1], Json<JoinBody>), ApiError> {
    let identity = access::identify(&face, &headers).await?;
    let id = BroadcastId::new(id).map_err(|_| ApiError::NoSuchBroadcast)?;
    access::allow(&identity, Action::Publish(&id))?;
    let mut views = face.providers.views(&id).into_iter();
    let found = views.find_map(|(provider, view)| Some((provider, view.join?)));
    let (provider, join) = found.ok_or(ApiError::NothingToJoin)?;
    let body = JoinBody {
        provider: provider.as_str(),
        url: join.url.to_string(),
        token: join.token.expose().to_owned(),
    };
    Ok((
        [(axum::http::header::CACHE_CONTROL, "no-store")],
        Json(body),
    ))
}

/// Take a webhook of a hosted provider.
///
/// It must be signed as that provider does it, and be less than five minutes old. It is answered before anything is done
/// about it. What is delivered again is not done again.
#[utoipa::path(
    post, path = "/api/v1/providers/{provider}/webhooks", tag = "providers",
    params(("provider" = String, Path, example = "mux")),
    request_body(content = String, content_type = "application/json"),
    responses(
        (status = 200, description = "It is taken, or was taken before."),
        (status = 400, description = "What is signed makes no sense.", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "It is not signed, or is too old.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such provider, or it has no webhooks here.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn take_webhook(
    State(face): State<Arc<Face>>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let provider: Provider = provider.parse().map_err(|_| ApiError::NoSuchRoute)?;
    let hosting = face.providers.find_hosted(provider);
    let hosted = &hosting.ok_or(ApiError::NoSuchRoute)?.provider;
    let verified = hosted.webhook(&plain(&headers), &body, SystemTime::now());
    let event = verified.map_err(|error| {
        face.metrics.webhook(provider, WebhookOutcome::Rejected);
        tracing::warn!(%provider, %error, "refused a webhook");
        ApiError::WebhookRefused(error)
    })?;
    if !face.providers.note_delivery(provider, &event.id) {
        face.metrics.webhook(provider, WebhookOutcome::Duplicate);
        return Ok(StatusCode::OK);
    }
    face.metrics.webhook(provider, WebhookOutcome::Verified);
    tracing::debug!(%provider, kind = event.kind, "took a webhook");
    hosted.wake(&event);
    Ok(StatusCode::OK)
}

/// Headers as texts; what is none is left out, and what comes twice is what came first.
fn plain(headers: &HeaderMap) -> WebhookHeaders {
    let mut plain = HashMap::new();
    for (name, value) in headers.iter().take(HEADERS_LIMIT) {
        if let Ok(value) = value.to_str() {
            plain
                .entry(name.as_str().to_owned())
                .or_insert_with(|| value.to_owned());
        }
    }
    plain
}
