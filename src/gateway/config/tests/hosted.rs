use broadcast::Provider;
use egress_providers::hosted::Owner;

use super::*;

const CLOUDFLARE: [(&str, &str); 2] = [
    ("CLOUDFLARE_ACCOUNT_ID", "0123abcd"),
    ("CLOUDFLARE_API_TOKEN", "cf-t0ken-which-nobody-may-see"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&CLOUDFLARE[..], more].concat()
}

#[test]
fn a_hosted_method_needs_its_providers_variables() {
    for (method, missing) in [
        ("daily", "DAILY_API_KEY"),
        (
            "livekit",
            "LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
        ),
        (
            "cloudflare",
            "CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN",
        ),
        ("mux", "MUX_TOKEN_ID and MUX_TOKEN_SECRET"),
        ("restream", "RESTREAM_KIND"),
    ] {
        one_mistake(
            &[("STREAMING_METHOD", method)],
            &format!("STREAMING_METHOD: {method} needs {missing}"),
        );
    }
    let config = read(&with(&[("STREAMING_METHOD", "cloudflare")])).unwrap();
    assert_eq!(config.method, Method::Cloudflare);
    assert!(config.hosted.has(Provider::Cloudflare) && !config.hosted.has(Provider::Mux));
}

#[test]
fn whoever_is_in_an_order_must_be_there() {
    one_mistake(
        &[("HYBRID_ORDER", "own,mux")],
        "HYBRID_ORDER: mux needs MUX_TOKEN_ID and MUX_TOKEN_SECRET",
    );
    one_mistake(
        &[("HYBRID_PRODUCTION_ORDER", "daily")],
        "HYBRID_PRODUCTION_ORDER: daily needs DAILY_API_KEY",
    );
    one_mistake(
        &[("HYBRID_ORDER", "own,own")],
        "HYBRID_ORDER: own is there twice",
    );
    one_mistake(
        &[("HYBRID_ORDER", "zoom")],
        "HYBRID_ORDER: 'zoom' is not one of own, daily",
    );
    let config = read(&with(&[
        ("STREAMING_METHOD", "hybrid"),
        ("HYBRID_ORDER", "cloudflare, own"),
        ("HYBRID_OWN_LOAD_PERCENT", "50"),
        ("HYBRID_COST_LIMIT", "2.5"),
    ]))
    .unwrap();
    let policy = &config.hosted.hybrid;
    assert_eq!(policy.order, [Provider::Cloudflare, Provider::Own]);
    assert!((policy.own_load_limit - 0.5).abs() < 1e-9 && !policy.live_failover);
    assert_eq!(policy.cost_limit_per_hour, Some("2.5".parse().unwrap()));
}

#[test]
fn half_of_a_providers_variables_is_a_mistake_that_names_the_others() {
    one_mistake(
        &[("LIVEKIT_API_KEY", "devkey")],
        "LIVEKIT_API_KEY: needs LIVEKIT_URL and LIVEKIT_API_SECRET",
    );
    one_mistake(
        &[("CLOUDFLARE_API_TOKEN", "abc")],
        "CLOUDFLARE_API_TOKEN: needs CLOUDFLARE_ACCOUNT_ID",
    );
    one_mistake(
        &[
            ("MUX_TOKEN_ID", "abc"),
            ("MUX_TOKEN_SECRET", "your-token-secret"),
        ],
        "MUX_TOKEN_SECRET: is a placeholder",
    );
}

#[test]
fn what_a_dashboard_shows_is_taken_as_it_is() {
    let config = read(&[
        ("LIVEKIT_URL", "wss://show.livekit.cloud"),
        ("LIVEKIT_API_KEY", "APIdev"),
        ("LIVEKIT_API_SECRET", "secret"),
        ("LIVEKIT_PRICES", "participant:0.0005,show:0.02"),
    ])
    .unwrap();

    let livekit = config.hosted.livekit.unwrap();
    assert_eq!(livekit.url.as_str(), "https://show.livekit.cloud/");
    assert!(livekit.prices.are_known());
    one_mistake(
        &[("MUX_PRICES", "output")],
        "MUX_PRICES: 'output' is not a meter",
    );
}

#[test]
fn a_node_is_the_same_owner_after_it_was_started_anew_if_it_has_a_name_or_a_folder() {
    let owner = |variables: &[(&str, &str)]| read(variables).unwrap().hosted.owner;
    let named = |name: &str, lasting| OwnerConfig::Named {
        owner: Owner::new(name).unwrap(),
        lasting,
    };

    assert_eq!(owner(&[("SERVER_ID", "node7")]), named("node7", true));
    let both = [("SERVER_ID", "node-7"), ("STATE_DIR", "/var/lib/castgate")];
    assert!(
        matches!(owner(&both), OwnerConfig::Named { owner, lasting: true } if owner.as_str().starts_with("node7"))
    );
    assert_eq!(
        owner(&[("STATE_DIR", "/var/lib/castgate")]),
        OwnerConfig::Kept("/var/lib/castgate".into())
    );
    assert_eq!(
        owner(&[("SERVER_ID", "node7"), ("PROVIDER_OWNER", "me")]),
        named("me", true)
    );
    assert!(matches!(
        owner(&[]),
        OwnerConfig::Named { lasting: false, .. }
    ));
    one_mistake(
        &[("PROVIDER_OWNER", "not-one")],
        "PROVIDER_OWNER: an owner's name",
    );
}

#[test]
fn nodes_with_long_names_are_different_owners() {
    let owner = |name: &str| super::super::hosted::owner_of(name);
    let (one, other) = ("a".repeat(63) + "1", "a".repeat(63) + "2");

    assert_ne!(owner(&one), owner(&other));
    assert_ne!(owner("node-1"), owner("node_1"));
    assert!(owner(&one).as_str().starts_with("aaaaaaaaaaaa"));
}

#[test]
fn a_providers_secret_comes_from_its_file_and_is_never_shown() {
    let path = std::env::temp_dir().join(format!("castgate-token-{}", std::process::id()));
    fs::write(&path, "cf-t0ken-which-nobody-may-see\n").unwrap();

    let config = read(&[
        CLOUDFLARE[0],
        ("CLOUDFLARE_API_TOKEN_FILE", path.to_str().unwrap()),
    ])
    .unwrap();

    fs::remove_file(&path).unwrap();
    assert!(config.describe().contains("CLOUDFLARE_API_TOKEN=(hidden)"));
    assert!(!format!("{config:?}{}", config.describe()).contains("cf-t0ken"));
}
