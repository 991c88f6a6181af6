use broadcast::Retry;
use proptest::prelude::*;

use super::*;

fn policy() -> DestinationPolicy {
    DestinationPolicy {
        private: false,
        hosts: None,
        ports: Some(vec![443, 1935]),
    }
}

fn open_policy() -> DestinationPolicy {
    DestinationPolicy {
        private: true,
        hosts: None,
        ports: None,
    }
}

fn guard(policy: DestinationPolicy) -> DestinationGuard {
    let own = OwnSockets {
        listeners: vec![
            "0.0.0.0:3001".parse().unwrap(),
            "192.0.2.9:40000".parse().unwrap(),
        ],
        addresses: vec!["10.0.0.7".parse().unwrap(), "8.8.4.4".parse().unwrap()],
    };
    DestinationGuard::new(policy, own, Some("127.0.0.1:19350".parse().unwrap()))
}

fn endpoint(authority: &str) -> Endpoint {
    Endpoint::parse(&format!("rtmp://{authority}/live/key"), None).unwrap()
}

async fn outcome(guard: &DestinationGuard, authority: &str) -> Result<Vec<String>, Reason> {
    let addresses = guard
        .resolve(&endpoint(authority))
        .await
        .map_err(|failure| failure.reason)?;
    Ok(addresses.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn a_public_address_is_pinned_and_a_special_one_refused() {
    let guard = guard(policy());

    assert_eq!(
        outcome(&guard, "8.8.8.8").await,
        Ok(vec!["8.8.8.8:1935".to_owned()])
    );
    assert_eq!(
        outcome(&guard, "[2606:4700::1]:443").await,
        Ok(vec!["[2606:4700::1]:443".to_owned()])
    );
    for authority in [
        "127.0.0.1",
        "localhost",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:7f00:1::]",
        "224.0.0.1",
        "100.64.1.1",
        "255.255.255.255",
    ] {
        assert_eq!(
            outcome(&guard, authority).await,
            Err(Reason::ForbiddenAddress),
            "{authority}"
        );
    }
}

#[tokio::test]
async fn old_ways_to_write_an_address_do_not_get_around_it() {
    let guard = guard(policy());

    for authority in [
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "localhost.",
    ] {
        let outcome = outcome(&guard, authority).await;
        assert!(
            matches!(outcome, Err(Reason::ForbiddenAddress | Reason::DnsFailed)),
            "{authority}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn private_networks_are_opened_by_the_policy_and_nothing_else_is() {
    let guard = guard(open_policy());

    for authority in [
        "127.0.0.1:1936",
        "10.0.0.1:22",
        "[fd12::1]:1",
        "100.64.0.1",
        "169.254.1.1",
    ] {
        assert!(outcome(&guard, authority).await.is_ok(), "{authority}");
    }
    for authority in [
        "169.254.169.254",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
    ] {
        assert_eq!(
            outcome(&guard, authority).await,
            Err(Reason::ForbiddenAddress),
            "{authority}"
        );
    }
}

#[tokio::test]
async fn the_gateways_own_sockets_are_no_destination() {
    let guard = guard(open_policy());

    for authority in [
        "127.0.0.1:3001",
        "localhost:3001",
        "10.0.0.7:3001",
        "8.8.4.4:3001",
        "[::ffff:127.0.0.1]:3001",
        "127.9.9.9:3001",
    ] {
        assert_eq!(
            outcome(&guard, authority).await,
            Err(Reason::ForbiddenAddress),
            "{authority}"
        );
    }
    assert!(outcome(&guard, "127.0.0.1:3002").await.is_ok());
    assert!(outcome(&guard, "8.8.8.8:3001").await.is_ok());
}

#[tokio::test]
async fn the_local_receiver_is_always_allowed_at_its_exact_socket() {
    let hosts = Some(vec!["live.twitch.tv".to_owned()]);
    let guard = guard(DestinationPolicy { hosts, ..policy() });

    for authority in [
        "127.0.0.1:19350",
        "localhost:19350",
        "[::ffff:127.0.0.1]:19350",
    ] {
        assert!(guard.check(&endpoint(authority)).is_ok(), "{authority}");
        assert_eq!(
            outcome(&guard, authority).await,
            Ok(vec!["127.0.0.1:19350".to_owned()]),
            "{authority}"
        );
    }
    for authority in ["127.0.0.2:19350", "127.0.0.1:19351", "[::1]:19350"] {
        assert_eq!(
            outcome(&guard, authority).await,
            Err(Reason::ForbiddenAddress),
            "{authority}"
        );
    }
}

#[tokio::test]
async fn ports_and_hosts_are_checked_before_anybody_is_asked() {
    let hosts = Some(vec![
        "*.youtube.com".to_owned(),
        "live.twitch.tv".to_owned(),
    ]);
    let guard = guard(DestinationPolicy { hosts, ..policy() });
    let check = |authority: &str| {
        guard
            .check(&endpoint(authority))
            .map_err(|failure| failure.message)
    };

    for good in [
        "a.rtmp.youtube.com",
        "live.twitch.tv",
        "live.twitch.tv.",
        "LIVE.twitch.tv:443",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        "youtube.com",
        "evilyoutube.com",
        "a.youtube.com.evil.example",
        "8.8.8.8",
    ] {
        assert!(check(bad).unwrap_err().contains("host"), "{bad}");
    }
    assert!(check("live.twitch.tv:22").unwrap_err().contains("port 22"));
}

#[tokio::test]
async fn a_name_without_an_address_may_be_tried_again_and_a_forbidden_one_not() {
    let guard = guard(policy());

    let unknown = guard
        .resolve(&endpoint("no-such-host.invalid"))
        .await
        .unwrap_err();
    let forbidden = guard.resolve(&endpoint("localhost")).await.unwrap_err();

    assert_eq!(
        (unknown.reason, unknown.retry()),
        (Reason::DnsFailed, Retry::Backoff)
    );
    assert_eq!(
        (forbidden.reason, forbidden.retry()),
        (Reason::ForbiddenAddress, Retry::Never)
    );
}

#[test]
fn one_forbidden_address_forbids_the_name() {
    let guard = guard(policy());
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let name = endpoint("mixed.example.org");

    let mixed = guard
        .rules
        .admit(&name, addresses(&["8.8.8.8:1935", "10.0.0.1:1935"]));
    let good = guard
        .rules
        .admit(&name, addresses(&["8.8.8.8:1935", "[2606:4700::1]:1935"]));

    let failure = mixed.unwrap_err();
    assert_eq!(failure.reason, Reason::ForbiddenAddress);
    assert!(!failure.message.contains("10.0.0.1"), "{}", failure.message);
    assert_eq!(good.unwrap().len(), 2);
}

proptest! {
    #[test]
    fn nothing_special_is_ever_pinned(bits: u128, v4: bool, port in 1u16..) {
        let ip = if v4 {
            IpAddr::from(u32::try_from(bits >> 96).unwrap().to_be_bytes())
        } else {
            IpAddr::from(bits.to_be_bytes())
        };
        let closed = guard(DestinationPolicy { ports: None, ..policy() });
        let socket = SocketAddr::new(ip, port);
        let name = endpoint(&format!("name.example.org:{port}"));

        let admitted = closed.rules.admit(&name, vec![socket]).is_ok();

        prop_assert!(!admitted || addresses::special(ip).is_none());
    }
}
