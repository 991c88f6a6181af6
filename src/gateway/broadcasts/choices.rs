//! Who is to carry each destination of one broadcast, from what is asked for and from how it went so far.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use broadcast::{DestinationSpec, Failure, Method, Provider, Reason, Retry};
use egress_providers::{
    Prices,
    hybrid::{Because, Candidate, Choice, Situation, plan},
};

use super::carriers::LineId;
use crate::providers::Providers;

#[cfg(test)]
#[path = "choices_tests.rs"]
mod tests;

/// How long a provider that failed a broadcast comes last for it: twice as long as its breaker stays open.
const FAILING_TIME: Duration = Duration::from_mins(1);

/// What is known of a broadcast when one of its lines is to be opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// How many of its lines are enabled, and named no provider.
    pub(super) lines: usize,
    /// Who carries most of its other lines.
    pub(super) others_with: Option<Provider>,
    /// What is taken of what this node has: 1 is full.
    pub(super) load_ratio: f64,
    pub(super) now: Instant,
}

/// Who is to be tried for one attempt.
#[derive(Debug, Clone)]
pub(super) struct Choices {
    /// The best first, at least one.
    pub(super) order: Vec<Choice>,
    /// Whether the next attempt may be another provider's, after this one was live.
    pub(super) live_failover: bool,
}

/// The memory of one broadcast about its providers.
#[derive(Debug)]
pub(super) struct Chooser {
    method: Method,
    production: bool,
    /// Until when each comes last.
    failing: HashMap<Provider, Instant>,
    carried_by: HashMap<LineId, Provider>,
    /// Since the line was last opened by request.
    live_with: HashMap<LineId, Provider>,
}

impl Chooser {
    pub(super) fn new(method: Method, production: bool) -> Self {
        Self {
            method,
            production,
            failing: HashMap::new(),
            carried_by: HashMap::new(),
            live_with: HashMap::new(),
        }
    }

    pub(super) const fn set_method(&mut self, method: Method) {
        self.method = method;
    }

    /// Who carries a line, or did so last.
    pub(super) fn carried_by(&self, line: &LineId) -> Option<Provider> {
        self.carried_by.get(line).copied()
    }

    /// A provider has begun with a line.
    pub(super) fn handle_begun(&mut self, line: LineId, provider: Provider) {
        self.carried_by.insert(line, provider);
    }

    /// A line is live.
    pub(super) fn handle_live(&mut self, line: LineId) {
        if let Some(provider) = self.carried_by(&line) {
            self.live_with.insert(line, provider);
            self.failing.remove(&provider);
        }
    }

    /// A provider has failed a line.
    pub(super) fn handle_failed(&mut self, provider: Provider, failure: &Failure, now: Instant) {
        if provider.is_hosted() && is_the_providers(failure.reason) {
            self.failing.insert(provider, now + FAILING_TIME);
        }
    }

    /// A line is closed by request, or for good: the next time begins anew.
    pub(super) fn forget(&mut self, line: &LineId) {
        self.live_with.remove(line);
    }

    /// The line is there no more.
    pub(super) fn remove(&mut self, line: &LineId) {
        self.forget(line);
        self.carried_by.remove(line);
    }

    /// Whether a line that is open must be given to another provider, since the method is another.
    pub(super) fn must_move(
        &self,
        line: &LineId,
        spec: &DestinationSpec,
        providers: &Providers,
        circumstances: Circumstances,
    ) -> bool {
        let Some(carried_by) = self.carried_by(line) else {
            return false;
        };
        let choices = self.choose_anew(None, spec, providers, circumstances);
        let stays = |choices: Choices| {
            let mut order = choices.order.iter();
            order.any(|choice| choice.provider == carried_by)
        };
        !choices.is_ok_and(stays)
    }

    /// Who is to carry a line now.
    pub(super) fn choose(
        &self,
        line: &LineId,
        spec: &DestinationSpec,
        providers: &Providers,
        circumstances: Circumstances,
    ) -> Result<Choices, Failure> {
        let live_with = self.live_with.get(line).copied();
        self.choose_anew(live_with, spec, providers, circumstances)
    }

    fn choose_anew(
        &self,
        live_with: Option<Provider>,
        spec: &DestinationSpec,
        providers: &Providers,
        circumstances: Circumstances,
    ) -> Result<Choices, Failure> {
        if let Some(provider) = spec.provider.or(self.method.provider()) {
            let because = Because::Order;
            return Ok(Choices {
                order: vec![Choice { provider, because }],
                live_failover: false,
            });
        }
        let policy = providers.policy();
        let plan = plan(
            policy,
            &Situation {
                production: self.production,
                destinations: circumstances.lines,
                rendition: spec.rendition.is_some(),
                paused: spec.paused,
                load_ratio: circumstances.load_ratio,
                live_with,
                others_with: circumstances.others_with,
                candidates: self.candidates(providers, circumstances),
            },
        );
        if plan.choices.is_empty() {
            let words = plan.explain_refusals();
            return Err(Failure::new(Reason::ProviderInvalid, words));
        }
        Ok(Choices {
            order: plan.choices,
            live_failover: policy.live_failover,
        })
    }

    fn candidates<'a>(
        &self,
        providers: &'a Providers,
        circumstances: Circumstances,
    ) -> Vec<Candidate<'a>> {
        let candidate = |provider| {
            let capabilities = providers.capabilities(provider)?;
            let per_hour =
                |prices: &Prices| prices.per_hour(capabilities.meters, circumstances.lines);
            let until = self.failing.get(&provider);
            Some(Candidate {
                provider,
                capabilities,
                per_hour: providers.prices(provider).map(per_hour).unwrap_or_default(),
                is_failing: until.is_some_and(|until| circumstances.now < *until)
                    || providers.is_left_alone(provider),
            })
        };
        Provider::ALL.into_iter().filter_map(candidate).collect()
    }
}

/// Whether a failure says something about the provider, and not about one destination or one wish.
const fn is_the_providers(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ProviderAuth
            | Reason::ProviderForbidden
            | Reason::ProviderNotFound
            | Reason::ProviderConflict
            | Reason::ProviderRateLimited
            | Reason::ProviderQuota
            | Reason::ProviderUnavailable
            | Reason::ProviderTimeout
            | Reason::ProviderProtocol
            | Reason::ProviderSidecar
            | Reason::ProviderContribution
    )
}

/// Whether somebody else may do what one provider does not.
pub(super) const fn fails_over(reason: Reason) -> bool {
    is_the_providers(reason)
        || matches!(
            reason,
            Reason::ProviderInvalid | Reason::ProviderRestartRequired
        )
}

/// What is told of a line that was live with a provider and may go on with another: that it is to be opened again.
pub(super) fn to_go_on(failure: Failure, choices: &Choices) -> Failure {
    let moves = choices.live_failover && fails_over(failure.reason);
    if !moves || failure.retry() == Retry::Backoff {
        return failure;
    }
    let words = format!("{}; another provider is asked next", failure.message);
    Failure::new(Reason::ProviderUnavailable, words)
}
