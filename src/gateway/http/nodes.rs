//! What a node tells of itself to others and to operators.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::Face;

/// A node as it sees itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeBody {
    /// Its name: `SERVER_ID`.
    id: String,
    /// Where studios and other nodes reach it.
    url: String,
    /// The version of this software.
    version: String,
    /// Whether it takes no more broadcasts.
    draining: bool,
    /// `reachable`; `unreachable`: it has not answered for 1.5 s or longer; `alone`: there is none.
    registry: &'static str,
    /// `known`: the registry knows that it lives; `trusted`: most nodes do not reach the registry, and all go on; `cut`: it may
    /// have been taken over and sends nothing.
    standing: &'static str,
    /// How many broadcasts and rooms it holds.
    broadcasts: u32,
}

/// How this node is, and whether it reaches the registry.
///
/// Other nodes ask for it when the registry does not answer them, so it needs no token.
#[utoipa::path(get, path = "/api/v1/node", tag = "node", responses((status = 200, description = "It answers.", body = NodeBody)))]
pub(super) async fn read(State(face): State<Arc<Face>>) -> Json<NodeBody> {
    let report = face.membership.report();
    Json(NodeBody {
        id: report.id.to_string(),
        url: report.url,
        version: report.version,
        draining: report.draining,
        registry: face.membership.sight().as_str(),
        standing: match face.membership.standing() {
            fleet::Standing::Known => "known",
            fleet::Standing::Trusted => "trusted",
            fleet::Standing::Cut => "cut",
        },
        broadcasts: report.broadcasts,
    })
}
