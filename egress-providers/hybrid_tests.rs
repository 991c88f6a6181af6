use std::time::Duration;

use proptest::{prelude::*, sample::subsequence};

use super::*;
use crate::{ContributionKind, Hot, Meter};

fn able(destinations_limit: usize, renditions: bool) -> Capabilities {
    Capabilities {
        contribution: ContributionKind::Push,
        hot_add: Hot::Yes,
        hot_remove: Hot::Yes,
        destination_status: true,
        destination_pause: renditions,
        renditions,
        destinations_limit,
        longest_show: None,
        forgets_after: Duration::from_secs(30),
        start_limit: Duration::from_secs(30),
        webhooks: true,
        meters: &[(Meter::Output, 0)],
    }
}

fn candidate(provider: Provider, capabilities: &Capabilities) -> Candidate<'_> {
    Candidate {
        provider,
        capabilities,
        per_hour: Money::NONE,
        is_failing: false,
    }
}

const ORDER: [Provider; 3] = [Provider::Own, Provider::Livekit, Provider::Mux];

fn policy() -> Policy {
    Policy {
        order: ORDER.to_vec(),
        production_order: None,
        own_destinations_limit: None,
        own_load_limit: 0.8,
        cost_limit_per_hour: None,
        live_failover: false,
    }
}

fn situation(capabilities: &Capabilities) -> Situation<'_> {
    Situation {
        production: false,
        destinations: 2,
        rendition: false,
        paused: false,
        load_ratio: 0.1,
        live_with: None,
        others_with: None,
        candidates: ORDER
            .into_iter()
            .map(|provider| candidate(provider, capabilities))
            .collect(),
    }
}

fn providers(plan: &Plan) -> Vec<Provider> {
    plan.choices.iter().map(|choice| choice.provider).collect()
}

#[test]
fn the_operators_order_holds_when_nothing_speaks_against_it() {
    let able = able(50, true);

    assert_eq!(providers(&plan(&policy(), &situation(&able))), ORDER);
}

#[test]
fn a_production_may_have_an_order_of_its_own() {
    let able = able(50, true);
    let policy = Policy {
        production_order: Some(vec![Provider::Mux, Provider::Own]),
        ..policy()
    };
    let rehearsal = situation(&able);
    let production = Situation {
        production: true,
        ..rehearsal.clone()
    };

    assert_eq!(providers(&plan(&policy, &rehearsal)), ORDER);
    assert_eq!(
        providers(&plan(&policy, &production)),
        [Provider::Mux, Provider::Own]
    );
}

#[test]
fn a_busy_node_gives_what_is_new_to_others_and_keeps_what_it_has() {
    let able = able(50, true);
    let busy = Situation {
        load_ratio: 0.81,
        ..situation(&able)
    };
    let known = Situation {
        others_with: Some(Provider::Own),
        ..busy.clone()
    };

    let new = plan(&policy(), &busy);

    assert_eq!(
        providers(&new),
        [Provider::Livekit, Provider::Mux, Provider::Own]
    );
    assert_eq!(new.choices[2].because, Because::NodeBusy);
    assert_eq!(
        plan(&policy(), &known).choices[0],
        Choice {
            provider: Provider::Own,
            because: Because::CarriesOthers
        }
    );
}

#[test]
fn many_destinations_go_elsewhere() {
    let able = able(50, true);
    let policy = Policy {
        own_destinations_limit: Some(1),
        ..policy()
    };

    assert_eq!(
        providers(&plan(&policy, &situation(&able)))[0],
        Provider::Livekit
    );
}

#[test]
fn who_fails_comes_last_but_comes() {
    let able = able(50, true);
    let mut situation = situation(&able);
    situation.candidates[0].is_failing = true;

    let plan = plan(&policy(), &situation);

    assert_eq!(
        providers(&plan),
        [Provider::Livekit, Provider::Mux, Provider::Own]
    );
    assert_eq!(plan.choices[2].because, Because::Failing);
}

#[test]
fn what_is_live_stays_unless_the_operator_allows_a_cut() {
    let able = able(50, true);
    let mut live = situation(&able);
    live.live_with = Some(Provider::Livekit);
    live.candidates[1].is_failing = true;
    let moving = Policy {
        live_failover: true,
        ..policy()
    };

    let stays = plan(&policy(), &live);
    let moves = plan(&moving, &live);

    assert_eq!(providers(&stays), [Provider::Livekit]);
    assert_eq!(
        stays.refused,
        [
            (Provider::Own, Refusal::LiveElsewhere),
            (Provider::Mux, Refusal::LiveElsewhere)
        ]
    );
    assert_eq!(
        providers(&moves),
        [Provider::Own, Provider::Mux, Provider::Livekit]
    );
}

#[test]
fn what_a_provider_cannot_do_is_not_asked_of_it() {
    let (much, little) = (able(50, true), able(1, false));
    let mut wants_much = situation(&much);
    wants_much.candidates[1].capabilities = &little;
    let wants_shape = Situation {
        destinations: 1,
        rendition: true,
        ..wants_much.clone()
    };
    let wants_pause = Situation {
        destinations: 1,
        paused: true,
        ..wants_much.clone()
    };

    let refusal = |situation| plan(&policy(), situation).refused;

    assert_eq!(
        refusal(&wants_much),
        [(Provider::Livekit, Refusal::Destinations { limit: 1 })]
    );
    assert_eq!(
        refusal(&wants_shape),
        [(Provider::Livekit, Refusal::Rendition)]
    );
    assert_eq!(refusal(&wants_pause), [(Provider::Livekit, Refusal::Pause)]);
}

#[test]
fn nobody_spends_more_than_may_be_spent_and_why_is_told() {
    let able = able(50, true);
    let mut situation = situation(&able);
    situation.candidates.remove(2);
    situation.candidates[0].per_hour = "2.01".parse().unwrap();
    situation.candidates[1].per_hour = "2.5".parse().unwrap();
    let policy = Policy {
        cost_limit_per_hour: Some("2".parse().unwrap()),
        ..policy()
    };

    let plan = plan(&policy, &situation);

    assert_eq!(plan.choices, []);
    assert_eq!(
        plan.explain_refusals(),
        "no provider may carry this (own: it would cost $2.0100 an hour; livekit: it would cost $2.5000 an hour; mux: it is not configured)"
    );
}

fn any_provider() -> impl Strategy<Value = Provider> {
    proptest::sample::select(Provider::ALL.to_vec())
}

prop_compose! {
    fn any_policy()(
        order in subsequence(Provider::ALL.to_vec(), 0..=6).prop_shuffle(),
        production_order in proptest::option::of(subsequence(Provider::ALL.to_vec(), 0..=6)),
        own_destinations_limit in proptest::option::of(0_usize..4),
        own_load_limit in 0.0..1.0,
        most in proptest::option::of(0_u8..5),
        live_failover: bool,
    ) -> Policy {
        Policy {
            order,
            production_order,
            own_destinations_limit,
            own_load_limit,
            cost_limit_per_hour: most.map(|dollars| dollars.to_string().parse().unwrap()),
            live_failover,
        }
    }
}

proptest! {
    #[test]
    fn everybody_of_the_order_is_chosen_or_refused_once_and_rules_hold(
        policy in any_policy(),
        configured in subsequence(Provider::ALL.to_vec(), 0..=6),
        traits in proptest::collection::vec((0_usize..5, any::<bool>(), 0_u8..8, any::<bool>()), 6),
        (production, rendition, paused) in any::<(bool, bool, bool)>(),
        (destinations, load_ratio) in (1_usize..5, 0.0..1.5),
        live_with in proptest::option::of(any_provider()),
        others_with in proptest::option::of(any_provider()),
    ) {
        let able: Vec<_> = traits.iter().map(|(limit, able, ..)| self::able(*limit, *able)).collect();
        let candidates: Vec<_> = configured
            .iter()
            .enumerate()
            .map(|(index, provider)| Candidate {
                provider: *provider,
                capabilities: &able[index],
                per_hour: traits[index].2.to_string().parse().unwrap(),
                is_failing: traits[index].3,
            })
            .collect();
        let situation = Situation {
            production, destinations, rendition, paused, load_ratio, live_with, others_with, candidates,
        };

        let plan = plan(&policy, &situation);

        let order = policy.production_order.clone().filter(|_| production).unwrap_or(policy.order.clone());
        let mut told: Vec<_> = providers(&plan);
        told.extend(plan.refused.iter().map(|(provider, _)| *provider));
        told.sort();
        let mut sorted = order.clone();
        sorted.sort();
        prop_assert_eq!(told, sorted);
        for choice in &plan.choices {
            let candidate = situation.candidates.iter().find(|one| one.provider == choice.provider);
            let candidate = candidate.expect("only who is configured is chosen");
            if let Some(live_with) = live_with && !policy.live_failover {
                prop_assert_eq!(choice.provider, live_with);
                continue;
            }
            prop_assert!(destinations <= candidate.capabilities.destinations_limit);
            prop_assert!(!rendition || candidate.capabilities.renditions);
            prop_assert!(policy.cost_limit_per_hour.is_none_or(|most| candidate.per_hour <= most));
            prop_assert_eq!(choice.because == Because::Failing, candidate.is_failing);
        }
        let first_resort = plan.choices.iter().position(|choice| choice.because.is_last_resort());
        let better = plan.choices.iter().rposition(|choice| !choice.because.is_last_resort());
        if let (Some(first), Some(better)) = (first_resort, better) {
            prop_assert!(better < first, "{:?}", plan.choices);
        }
    }
}
