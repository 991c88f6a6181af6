//! The JSON of a broadcast at a hosted provider. It holds no address and no key.

use egress_providers::hosted::{ContributionState, SessionState};
use serde::Serialize;
use utoipa::ToSchema;

use crate::broadcasts::{Expense, HostedSnapshot};

/// How a broadcast is at a hosted provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HostedBody {
    #[schema(example = "cloudflare")]
    provider: &'static str,
    /// `waiting`, `preparing`, `contributing`, `starting`, `live`, `interrupted`, `stopping` or `ended`.
    state: &'static str,
    /// Since when, to a second or so.
    since: String,
    contribution: ContributionBody,
    /// What it costs, by the node's prices; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<CostBody>,
}

/// The way of the show to the provider.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ContributionBody {
    /// `push` (RTMP), `whip`, `sidecar` or `direct` (the studio goes there itself).
    kind: &'static str,
    /// Whether it gets there, as the provider says: `arriving`, `absent` or `unknown`.
    arrival: &'static str,
    /// Absent where the gateway does not know it: for `sidecar` and `direct`.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_sent: Option<u64>,
    /// Absent for `sidecar` and `direct`.
    #[serde(skip_serializing_if = "Option::is_none")]
    bitrate_kbps: Option<u64>,
    /// Absent for `direct`.
    #[serde(skip_serializing_if = "Option::is_none")]
    frames_sent: Option<u64>,
}

/// What something costs. An estimate: the provider's bill is what counts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CostBody {
    /// `USD`.
    currency: &'static str,
    /// As it runs now.
    per_hour: f64,
    /// Since the broadcast began.
    so_far: f64,
}

impl HostedBody {
    pub(super) fn new(hosted: &HostedSnapshot) -> Self {
        Self {
            provider: hosted.provider.as_str(),
            state: hosted.state.map_or("ended", SessionState::as_str),
            since: hosted.since.to_string(),
            contribution: ContributionBody {
                kind: hosted.contribution.as_str(),
                arrival: match hosted.arrival {
                    ContributionState::Arriving => "arriving",
                    ContributionState::Absent => "absent",
                    ContributionState::Unknown => "unknown",
                },
                bytes_sent: hosted.brought.bytes,
                bitrate_kbps: hosted.brought.bits_per_second.map(|bits| bits / 1000),
                frames_sent: hosted.brought.pictures,
            },
            cost: hosted.cost.map(CostBody::new),
        }
    }
}

impl CostBody {
    fn new(expense: Expense) -> Self {
        Self {
            currency: "USD",
            per_hour: expense.per_hour.dollars(),
            so_far: expense.so_far.dollars(),
        }
    }
}
