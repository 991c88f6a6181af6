//! Which provider is to carry a destination of a hybrid broadcast: a rule without a clock and without I/O.

use std::fmt;

use broadcast::Provider;

use crate::{Capabilities, Money};

#[cfg(test)]
#[path = "hybrid_tests.rs"]
mod tests;

/// What the operator wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Who is to carry, the best first, each once.
    pub order: Vec<Provider>,
    /// The same for broadcasts that are marked as production; `None`: no other order.
    pub production_order: Option<Vec<Provider>>,
    /// With more destinations than this, our own publisher comes last; `None`: however many.
    pub own_destinations_limit: Option<usize>,
    /// When more than this of the node is taken, our own publisher comes last for what it does not carry yet.
    pub own_load_limit: f64,
    /// What an hour of one broadcast may cost; `None`: whatever it costs.
    pub cost_limit_per_hour: Option<Money>,
    /// Whether what is live may be given to another provider: its viewers see a cut.
    pub live_failover: bool,
}

/// A provider that is configured, as it is now.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Which.
    pub provider: Provider,
    /// What it can do.
    pub capabilities: &'a Capabilities,
    /// What an hour of this broadcast would cost there.
    pub per_hour: Money,
    /// Whether it is out of order, or has just failed this broadcast.
    pub is_failing: bool,
}

/// What is to be carried, and how things are.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// Whether the broadcast is marked as production.
    pub production: bool,
    /// How many destinations of the broadcast are to be carried by rule, this one included.
    pub destinations: usize,
    /// Whether this destination is to have a picture of its own shape.
    pub rendition: bool,
    /// Whether this destination is sent a stand-in at the moment.
    pub paused: bool,
    /// What is taken of what this node has: 1 is full.
    pub load_ratio: f64,
    /// Who carried this destination live since the broadcast was started.
    pub live_with: Option<Provider>,
    /// Who carries others of this broadcast: what it costs to begin there is spent.
    pub others_with: Option<Provider>,
    /// Everybody who can be asked.
    pub candidates: Vec<Candidate<'a>>,
}

/// Why a provider is where it is in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// It carries this destination already.
    Carries,
    /// It carries others of this broadcast.
    CarriesOthers,
    /// The order says so.
    Order,
    /// It is failing, and nobody better is left.
    Failing,
    /// The node has much to do, or the broadcast many destinations, and nobody better is left.
    NodeBusy,
}

impl Because {
    /// In a few words, for logs and for what is told of a destination.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Carries => "it carries this destination already",
            Self::CarriesOthers => "it carries others of this broadcast",
            Self::Order => "it is next in order",
            Self::Failing => "it has just failed, but nobody else is left",
            Self::NodeBusy => "this node is busy, but nobody else is left",
        }
    }

    /// Whether somebody else would be better.
    pub const fn is_last_resort(self) -> bool {
        matches!(self, Self::Failing | Self::NodeBusy)
    }
}

impl fmt::Display for Because {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A provider to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub provider: Provider,
    /// Why it is here in the plan.
    pub because: Because,
}

/// Why a provider is not to be tried at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its variables are not set.
    NotConfigured,
    /// The destination is live with somebody else, and may not be moved while it is.
    LiveElsewhere,
    /// It takes fewer destinations.
    Destinations {
        /// The most that it takes.
        limit: usize,
    },
    /// It cannot send a picture of another shape.
    Rendition,
    /// It cannot send a stand-in to one destination.
    Pause,
    /// It would cost more than it may.
    Cost(Money),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured => formatter.write_str("it is not configured"),
            Self::LiveElsewhere => formatter.write_str("the destination is live elsewhere"),
            Self::Destinations { limit } => write!(formatter, "it takes {limit} destinations"),
            Self::Rendition => formatter.write_str("it sends every destination the same picture"),
            Self::Pause => formatter.write_str("it cannot pause a single destination"),
            Self::Cost(per_hour) => write!(formatter, "it would cost {per_hour} an hour"),
        }
    }
}

/// Who is to be tried, and who is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The best first, each once.
    pub choices: Vec<Choice>,
    /// Everybody else of the order, and why.
    pub refused: Vec<(Provider, Refusal)>,
}

impl Plan {
    /// Why there is nobody to be tried, in words for the show's host.
    pub fn explain_refusals(&self) -> String {
        let refused = self
            .refused
            .iter()
            .map(|(provider, refusal)| format!("{provider}: {refusal}"));
        let words: Vec<_> = refused.collect();
        format!("no provider may carry this ({})", words.join("; "))
    }
}

/// Says who is to carry a destination.
pub fn plan(policy: &Policy, situation: &Situation<'_>) -> Plan {
    let production_order = policy.production_order.as_ref();
    let order = production_order
        .filter(|_| situation.production)
        .unwrap_or(&policy.order);
    let mut plan = Plan::default();
    for provider in order {
        match judge(policy, situation, *provider) {
            Ok(because) => plan.choices.push(Choice {
                provider: *provider,
                because,
            }),
            Err(refusal) => plan.refused.push((*provider, refusal)),
        }
    }
    // Stable: those with the same rank stay in the operator's order.
    plan.choices.sort_by_key(|choice| match choice.because {
        Because::Carries => 0,
        Because::CarriesOthers => 1,
        Because::Order => 2,
        Because::NodeBusy => 3,
        Because::Failing => 4,
    });
    plan
}

fn judge(
    policy: &Policy,
    situation: &Situation<'_>,
    provider: Provider,
) -> Result<Because, Refusal> {
    let candidate = situation
        .candidates
        .iter()
        .find(|candidate| candidate.provider == provider)
        .ok_or(Refusal::NotConfigured)?;
    let carries = situation.live_with == Some(provider);
    if situation.live_with.is_some() && !policy.live_failover {
        return if carries {
            Ok(Because::Carries)
        } else {
            Err(Refusal::LiveElsewhere)
        };
    }
    check(policy, situation, candidate)?;
    let carries_others = situation.others_with == Some(provider);
    let node_is_busy = || {
        let many = policy
            .own_destinations_limit
            .is_some_and(|limit| situation.destinations > limit);
        many || situation.load_ratio > policy.own_load_limit
    };
    Ok(if candidate.is_failing {
        Because::Failing
    } else if carries {
        Because::Carries
    } else if carries_others {
        Because::CarriesOthers
    } else if provider == Provider::Own && node_is_busy() {
        Because::NodeBusy
    } else {
        Because::Order
    })
}

/// What no shortage of others makes good.
fn check(
    policy: &Policy,
    situation: &Situation<'_>,
    candidate: &Candidate<'_>,
) -> Result<(), Refusal> {
    let can = candidate.capabilities;
    let limit = can.destinations_limit;
    if situation.destinations > limit {
        return Err(Refusal::Destinations { limit });
    }
    if situation.rendition && !can.renditions {
        return Err(Refusal::Rendition);
    }
    if situation.paused && !can.destination_pause {
        return Err(Refusal::Pause);
    }
    match policy.cost_limit_per_hour {
        Some(most) if candidate.per_hour > most => Err(Refusal::Cost(candidate.per_hour)),
        Some(_) | None => Ok(()),
    }
}
