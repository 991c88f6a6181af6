//! The HTTP face of the gateway: routes, and the layers that keep them safe.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use axum::{Router, extract::DefaultBodyLimit};
use broadcast::{Method, StreamKey};
use peers::{Peers, plain::PlainPorts};
use signalling::{Origins, socketio::SocketServer};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    auth::Authenticator, broadcasts::Broadcasts, guard::DestinationGuard, metrics::Metrics,
    nodes::Membership, providers::Providers, receiver::LocalReceiver, rooms::Rooms,
};

mod access;
mod assign;
mod black_box;
mod body;
mod broadcasts;
mod daily;
mod destinations;
mod elsewhere;
mod error;
mod events;
mod health;
mod host;
mod layers;
mod local_receiver;
mod nodes;
mod pages;
mod probe;
mod providers;
mod rtp_egress;
mod rtp_ingest;
mod slate;
mod thumbnail;
mod wire;

pub(crate) use layers::{RateLimiter, rate_limiter};
pub(crate) use probe::Probes;

/// Where plain RTP comes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RtpSettings {
    pub(crate) ports: PlainPorts,
    /// What senders are told.
    pub(crate) announced: IpAddr,
}

/// What the routes know.
pub(crate) struct Face {
    pub(crate) broadcasts: Broadcasts,
    pub(crate) rooms: Rooms,
    pub(crate) sockets: Arc<SocketServer>,
    pub(crate) peers: Peers,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) providers: Arc<Providers>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) guard: DestinationGuard,
    pub(crate) rtp: RtpSettings,
    pub(crate) probes: Probes,
    pub(crate) receiver: Option<LocalReceiver>,
    pub(crate) origins: Origins,
    /// Without a slash at the end.
    pub(crate) public_url: Option<String>,
    pub(crate) local_address: SocketAddr,
    pub(crate) node: String,
    pub(crate) membership: Membership,
    pub(crate) method: Method,
    /// What Streamlick's media server shows instead of a token, for its routes only; `None`: nothing will do.
    pub(crate) media_server_secret: Option<StreamKey>,
    pub(crate) started: Instant,
    /// Ends streams that would last.
    pub(crate) stop: CancellationToken,
}

type State = Arc<Face>;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Castgate",
        description = "Studios publish by WHIP; the gateway sends them on to RTMP destinations.\n\nErrors are `application/problem+json` (RFC 9457) with a stable `code`. Unknown fields are refused.",
    ),
    tags(
        (name = "broadcasts", description = "What is broadcast, and its state."),
        (name = "slate", description = "What stands in while a studio is away."),
        (name = "destinations", description = "Where a broadcast goes. A change of one is not noticed by the others."),
        (name = "plain RTP", description = "Media from and to other media servers and encoders, without WebRTC."),
        (name = "providers", description = "Who carries broadcasts to their destinations."),
        (name = "node", description = "The process itself."),
        (name = "local receiver", description = "An RTMP server inside the gateway that stands in for a platform."),
    ),
)]
struct Document;

fn api() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(broadcasts::create, broadcasts::list))
        .routes(routes!(
            broadcasts::read,
            broadcasts::change,
            broadcasts::end
        ))
        .routes(routes!(broadcasts::start))
        .routes(routes!(broadcasts::stop))
        .routes(routes!(broadcasts::watch))
        .routes(routes!(thumbnail::read))
        .routes(routes!(slate::read, slate::show, slate::reset))
        .routes(routes!(slate::play, slate::silence))
        .routes(routes!(destinations::add))
        .routes(routes!(destinations::change, destinations::remove))
        .routes(routes!(rtp_ingest::open, rtp_ingest::list))
        .routes(routes!(rtp_ingest::read, rtp_ingest::close))
        .routes(routes!(rtp_egress::open, rtp_egress::list))
        .routes(routes!(rtp_egress::read, rtp_egress::close))
        .routes(routes!(providers::join))
        .routes(routes!(providers::list))
        .routes(routes!(black_box::read))
        .routes(routes!(probe::probe))
        .routes(routes!(local_receiver::read))
        .routes(routes!(local_receiver::watch))
}

fn node() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::health))
        .routes(routes!(health::api_health))
        .routes(routes!(health::metrics))
        .routes(routes!(nodes::read))
}

/// What providers call: not limited by address, since all of one come from a few.
fn hooks() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(providers::take_webhook))
        .layer(DefaultBodyLimit::max(providers::WEBHOOK_LIMIT_BYTES))
}

fn described() -> (Router<State>, Router<State>, utoipa::openapi::OpenApi) {
    let (api, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(api())
        .split_for_parts();
    let (node, node_document) = node().merge(hooks()).split_for_parts();
    document.merge(node_document);
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    (api, node, document)
}

/// The description of the API as it is served, with a line break at the end.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    described().2.to_pretty_json().map(|text| text + "\n")
}

/// What brings its own CORS and errors.
pub(crate) struct Dialects {
    /// WHIP and WHEP.
    pub(crate) exchange: Router,
    /// The REST trees of rooms.
    pub(crate) rest: Router,
    /// Socket.IO, whose answers may take longer than those of others.
    pub(crate) sockets: Router,
}

/// Everything that is served.
pub(crate) fn router(face: &Arc<Face>, dialects: Dialects, limiter: Option<RateLimiter>) -> Router {
    let (api, node, document) = described();
    let api = api
        .merge(daily::routes())
        .merge(assign::routes())
        .layer(DefaultBodyLimit::max(body::BODY_LIMIT_BYTES))
        .method_not_allowed_fallback(layers::method_not_allowed);
    let api = layers::limit_rate(api, limiter.clone());
    let api = layers::share_with_origins(api, face.origins.clone());
    let docs = Router::new()
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .layer(axum::middleware::from_fn(pages::protect_docs));
    let own = Router::new()
        .merge(api)
        .merge(node)
        .fallback(pages::serve)
        .with_state(Arc::clone(face));
    let rest = layers::limit_rate(dialects.rest, limiter);
    let quick = own.merge(docs).merge(dialects.exchange).merge(rest);
    layers::protect(layers::limit_time(quick).merge(dialects.sockets), face)
}

#[cfg(test)]
mod tests;
