//! What is counted of hosted providers.

use std::time::Duration;

use broadcast::Provider;
use egress_providers::{
    Meter,
    hosted::{BreakerState, Observer, RequestOutcome, SessionState},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::Real;

/// How long requests take: from an answer near by to the limit of ten seconds.
const REQUEST_SECONDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// How long shows take to be live: a fake is there in a second, Daily may take 45.
const LIVE_SECONDS: [f64; 9] = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    provider: &'static str,
    operation: &'static str,
    /// An HTTP status, or why there is none.
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SessionLabel {
    provider: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MeterLabel {
    provider: &'static str,
    meter: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabel {
    provider: &'static str,
    outcome: &'static str,
}

/// What became of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebhookOutcome {
    /// It was signed as it should be.
    Verified,
    /// It was told before.
    Duplicate,
    /// It is not taken.
    Rejected,
}

impl WebhookOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
        }
    }
}

/// The counters of hosted providers.
pub(super) struct ProviderMetrics {
    requests: Family<RequestLabel, Counter>,
    request_seconds: Family<ProviderLabel, Histogram, fn() -> Histogram>,
    sessions: Family<SessionLabel, Gauge>,
    live_seconds: Family<ProviderLabel, Histogram, fn() -> Histogram>,
    billable_minutes: Family<MeterLabel, Counter<f64, std::sync::atomic::AtomicU64>>,
    reaped: Family<ProviderLabel, Counter>,
    webhooks: Family<WebhookLabel, Counter>,
    breaker: Family<ProviderLabel, Real>,
}

impl ProviderMetrics {
    pub(super) fn new(own: &mut Registry) -> Self {
        let requests = Family::default();
        own.register(
            "provider_api_requests",
            "Requests to the APIs of hosted providers, with the status or why there is none",
            requests.clone(),
        );
        let request_seconds =
            Family::new_with_constructor((|| Histogram::new(REQUEST_SECONDS)) as fn() -> Histogram);
        own.register_with_unit(
            "provider_api_request",
            "How long requests to hosted providers took",
            Unit::Seconds,
            request_seconds.clone(),
        );
        let sessions = Family::default();
        own.register(
            "provider_sessions",
            "Broadcasts at hosted providers, by how far they are",
            sessions.clone(),
        );
        let live_seconds =
            Family::new_with_constructor((|| Histogram::new(LIVE_SECONDS)) as fn() -> Histogram);
        own.register_with_unit(
            "provider_live",
            "From the first destination asked of a hosted provider to the first that was live",
            Unit::Seconds,
            live_seconds.clone(),
        );
        let billable_minutes = Family::default();
        own.register(
            "billable_minutes",
            "Minutes that hosted providers bill for, by what they bill",
            billable_minutes.clone(),
        );
        let reaped = Family::default();
        own.register(
            "provider_orphans_reaped",
            "Things that were left behind at hosted providers and removed",
            reaped.clone(),
        );
        let webhooks = Family::default();
        own.register(
            "provider_webhooks",
            "Webhooks of hosted providers",
            webhooks.clone(),
        );
        let breaker = Family::default();
        own.register(
            "provider_breaker_state",
            "0: the provider is asked, 0.5: it is tried, 1: it failed so often that it is left alone",
            breaker.clone(),
        );
        Self {
            requests,
            request_seconds,
            sessions,
            live_seconds,
            billable_minutes,
            reaped,
            webhooks,
            breaker,
        }
    }

    /// Notes whether providers are asked at this moment.
    pub(super) fn set_breakers(&self, breakers: &[(Provider, BreakerState)]) {
        for (provider, state) in breakers {
            let value = match state {
                BreakerState::Closed => 0.0,
                BreakerState::HalfOpen => 0.5,
                BreakerState::Open => 1.0,
            };
            self.breaker.get_or_create(&label(*provider)).set(value);
        }
    }
}

const fn label(provider: Provider) -> ProviderLabel {
    ProviderLabel {
        provider: provider.as_str(),
    }
}

impl super::Metrics {
    /// Counts a webhook.
    pub(crate) fn webhook(&self, provider: Provider, outcome: WebhookOutcome) {
        let label = WebhookLabel {
            provider: provider.as_str(),
            outcome: outcome.as_str(),
        };
        self.providers.webhooks.get_or_create(&label).inc();
    }
}

impl Observer for super::Metrics {
    fn requested(
        &self,
        provider: Provider,
        operation: &'static str,
        outcome: RequestOutcome,
        elapsed: Duration,
    ) {
        let own = &self.providers;
        let outcome = match outcome {
            RequestOutcome::Answered(status) => status.to_string(),
            RequestOutcome::TimedOut => "timeout".to_owned(),
            RequestOutcome::Unreachable => "unreachable".to_owned(),
            RequestOutcome::LeftAlone => "left_alone".to_owned(),
            RequestOutcome::HeldBack => "held_back".to_owned(),
        };
        let request = RequestLabel {
            provider: provider.as_str(),
            operation,
            outcome,
        };
        own.requests.get_or_create(&request).inc();
        let seconds = own.request_seconds.get_or_create(&label(provider));
        seconds.observe(elapsed.as_secs_f64());
    }

    fn session_changed(
        &self,
        provider: Provider,
        from: Option<SessionState>,
        to: Option<SessionState>,
    ) {
        let gauge = |state: SessionState| {
            let (provider, state) = (provider.as_str(), state.as_str());
            let label = SessionLabel { provider, state };
            self.providers.sessions.get_or_create_owned(&label)
        };
        if let Some(from) = from {
            gauge(from).dec();
        }
        if let Some(to) = to {
            gauge(to).inc();
        }
    }

    fn carried(&self, provider: Provider, meter: Meter, units: Duration) {
        let label = MeterLabel {
            provider: provider.as_str(),
            meter: meter.as_str(),
        };
        let minutes = self.providers.billable_minutes.get_or_create(&label);
        minutes.inc_by(units.as_secs_f64() / 60.0);
    }

    fn went_live(&self, provider: Provider, elapsed: Duration) {
        let seconds = self.providers.live_seconds.get_or_create(&label(provider));
        seconds.observe(elapsed.as_secs_f64());
    }

    fn reaped(&self, provider: Provider) {
        self.providers.reaped.get_or_create(&label(provider)).inc();
    }
}
