use std::{collections::HashMap, sync::Arc};

use broadcast::{AfterCut, BackupMode, DestinationId, Endpoint, LineName, Platform};
use egress_providers::{Trust, hosted::Unobserved};

use super::*;
use crate::{
    config::{Config, Surroundings},
    providers::Outfit,
    slates::Slates,
};

fn providers(variables: &[(&str, &str)]) -> Providers {
    let mut all = HashMap::from([
        ("CLOUDFLARE_ACCOUNT_ID", "a"),
        ("CLOUDFLARE_API_TOKEN", "t"),
        ("MUX_TOKEN_ID", "i"),
        ("MUX_TOKEN_SECRET", "s"),
        ("HYBRID_ORDER", "cloudflare,mux,own"),
    ]);
    all.extend(variables.iter().copied());
    let surroundings = Surroundings {
        cores: 1,
        server_id: "node".to_owned(),
        terminal: false,
    };
    let lookup = |name: &str| all.get(name).map(|value| (*value).to_owned());
    let config = Config::read(&lookup, &surroundings).unwrap();
    let outfit = Outfit {
        trust: &Trust::system(),
        observer: Arc::new(Unobserved),
        slates: &Slates::start().unwrap(),
    };
    Providers::start(&config.hosted, outfit).unwrap()
}

fn line(id: &str) -> LineId {
    (DestinationId::new(id).unwrap(), LineName::Primary)
}

fn destination(id: &str, provider: Option<Provider>) -> DestinationSpec {
    DestinationSpec {
        id: DestinationId::new(id).unwrap(),
        platform: Platform::new("custom").unwrap(),
        endpoint: Endpoint::parse("rtmp://host/live", Some("key")).unwrap(),
        backup: None,
        backup_mode: BackupMode::default(),
        required: false,
        enabled: true,
        paused: false,
        after_cut: AfterCut::default(),
        rendition: None,
        provider,
    }
}

fn circumstances(now: Instant) -> Circumstances {
    Circumstances {
        lines: 1,
        others_with: None,
        load_ratio: 0.0,
        now,
    }
}

fn order(
    chooser: &Chooser,
    id: &str,
    provider: Option<Provider>,
    providers: &Providers,
    now: Instant,
) -> Vec<Provider> {
    let spec = destination(id, provider);
    let choices = chooser.choose(&line(id), &spec, providers, circumstances(now));
    let order = choices.unwrap().order.into_iter();
    order.map(|choice| choice.provider).collect()
}

fn unavailable() -> Failure {
    Failure::new(Reason::ProviderUnavailable, "out of order")
}

#[tokio::test]
async fn a_destinations_own_provider_comes_before_the_method() {
    let (now, providers) = (Instant::now(), providers(&[]));
    let chooser = Chooser::new(Method::Mux, false);

    let named = order(&chooser, "a", Some(Provider::Own), &providers, now);
    let unnamed = order(&chooser, "a", None, &providers, now);

    assert_eq!(named, [Provider::Own]);
    assert_eq!(unnamed, [Provider::Mux]);
}

#[tokio::test]
async fn who_failed_a_hybrid_broadcast_comes_last_for_a_minute() {
    let (now, providers) = (Instant::now(), providers(&[]));
    let mut chooser = Chooser::new(Method::Hybrid, false);

    chooser.handle_failed(Provider::Cloudflare, &unavailable(), now);

    let soon = order(&chooser, "a", None, &providers, now + FAILING_TIME / 2);
    let later = order(&chooser, "a", None, &providers, now + FAILING_TIME);
    assert_eq!(soon, [Provider::Mux, Provider::Own, Provider::Cloudflare]);
    assert_eq!(later, [Provider::Cloudflare, Provider::Mux, Provider::Own]);
}

#[tokio::test]
async fn a_dead_destination_says_nothing_about_the_provider() {
    let (now, providers) = (Instant::now(), providers(&[]));
    let mut chooser = Chooser::new(Method::Hybrid, false);

    for reason in [
        Reason::ProviderDestination,
        Reason::KeyInUse,
        Reason::ProviderInvalid,
    ] {
        chooser.handle_failed(Provider::Cloudflare, &Failure::new(reason, "no"), now);
    }

    assert_eq!(
        order(&chooser, "a", None, &providers, now)[0],
        Provider::Cloudflare
    );
}

#[tokio::test]
async fn what_was_live_stays_where_it_was_until_it_is_stopped() {
    let (now, providers) = (Instant::now(), providers(&[]));
    let mut chooser = Chooser::new(Method::Hybrid, false);
    chooser.handle_begun(line("a"), Provider::Mux);
    chooser.handle_live(line("a"));
    chooser.handle_failed(Provider::Mux, &unavailable(), now);

    let live = order(&chooser, "a", None, &providers, now);
    chooser.forget(&line("a"));
    let stopped = order(&chooser, "a", None, &providers, now);

    assert_eq!(live, [Provider::Mux]);
    assert_eq!(
        stopped,
        [Provider::Cloudflare, Provider::Own, Provider::Mux]
    );
}

#[tokio::test]
async fn with_the_operators_leave_what_was_live_goes_on_elsewhere() {
    let now = Instant::now();
    let providers = providers(&[("HYBRID_LIVE_FAILOVER", "true")]);
    let mut chooser = Chooser::new(Method::Hybrid, false);
    chooser.handle_begun(line("a"), Provider::Mux);
    chooser.handle_live(line("a"));

    let failure = Failure::new(Reason::ProviderAuth, "refused");
    chooser.handle_failed(Provider::Mux, &failure, now);
    let spec = destination("a", None);
    let choices = chooser.choose(&line("a"), &spec, &providers, circumstances(now));

    let choices = choices.unwrap();
    assert_eq!(choices.order[0].provider, Provider::Cloudflare);
    assert_eq!(to_go_on(failure, &choices).retry(), Retry::Backoff);
    let key = Failure::new(Reason::KeyRefused, "refused");
    assert_eq!(to_go_on(key.clone(), &choices), key);
}

#[tokio::test]
async fn another_method_moves_only_what_somebody_else_carries() {
    let (now, providers) = (Instant::now(), providers(&[]));
    let mut chooser = Chooser::new(Method::Gstreamer, false);
    let (own, mux) = (
        destination("a", None),
        destination("b", Some(Provider::Mux)),
    );
    chooser.handle_begun(line("a"), Provider::Own);
    chooser.handle_live(line("a"));
    chooser.handle_begun(line("b"), Provider::Mux);
    let moving = |chooser: &Chooser| {
        [(&own, "a"), (&mux, "b")]
            .map(|(spec, id)| chooser.must_move(&line(id), spec, &providers, circumstances(now)))
    };

    let mut moved = Vec::new();
    for method in [Method::Ffmpeg, Method::Cloudflare, Method::Hybrid] {
        chooser.set_method(method);
        moved.push(moving(&chooser));
    }

    assert_eq!(moved, [[false, false], [true, false], [false, false]]);
}

#[tokio::test]
async fn nobody_left_is_told_in_words_and_not_tried_again() {
    let providers = providers(&[
        ("HYBRID_COST_LIMIT", "0.5"),
        ("HYBRID_ORDER", "cloudflare"),
        ("CLOUDFLARE_PRICES", "output:0.01"),
    ]);
    let chooser = Chooser::new(Method::Hybrid, false);

    let spec = destination("a", None);
    let choices = chooser.choose(&line("a"), &spec, &providers, circumstances(Instant::now()));

    let failure = choices.unwrap_err();
    assert_eq!(
        failure.message,
        "no provider may carry this (cloudflare: it would cost $0.6000 an hour)"
    );
    assert_eq!(failure.retry(), Retry::Never);
}
