use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

const COMPLETE: [(&str, &str); 4] = [
    ("REDIS_URL", "redis://:canary@redis.test/2"),
    ("SECRETS_KEY", KEY),
    ("SERVER_ID", "node-7"),
    ("PUBLIC_URL", "https://node-7.test"),
];

#[test]
fn a_node_among_others_is_configured_without_showing_its_secrets() {
    let mut variables = COMPLETE.to_vec();
    variables.push(("REGION", "eu-west"));

    let config = read(&variables).unwrap();

    let fleet = config.fleet.as_ref().unwrap();
    assert_eq!(fleet.registry.expose(), "redis://:canary@redis.test/2");
    assert_eq!(fleet.keys.newest()[1], 0x11);
    assert_eq!(config.region.as_deref(), Some("eu-west"));
    let told = format!("{}{config:?}", config.describe());
    assert!(told.contains("REDIS_URL=(hidden)"), "{told}");
    assert!(!told.contains("canary") && !told.contains(KEY), "{told}");
}

#[test]
fn a_node_among_others_needs_a_name_an_address_and_a_key_of_its_own() {
    for missing in 1..COMPLETE.len() {
        let (name, _) = COMPLETE[missing];
        let mut variables = COMPLETE.to_vec();
        variables.remove(missing);

        one_mistake(&variables, &format!("REDIS_URL: needs {name}"));
    }
}

#[test]
fn what_is_wrong_with_the_registry_or_the_key_is_told_without_them() {
    for (place, wrong) in [
        (0, "http://:canary@redis.test"),
        (0, "canary"),
        (1, "canary"),
    ] {
        let mut variables = COMPLETE.to_vec();
        variables[place].1 = wrong;

        let mistakes = mistakes(&variables);

        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(variables[place].0), "{mistakes:?}");
        assert!(!mistakes[0].contains("canary"), "{mistakes:?}");
    }
}

#[test]
fn production_refuses_an_address_that_no_other_node_reaches() {
    let mut variables = COMPLETE.to_vec();
    variables[3].1 = "http://127.0.0.1:3001";
    assert!(read(&variables).is_ok());
    variables.extend([("NODE_ENV", "production"), ("ANNOUNCED_IP", "192.0.2.7")]);

    one_mistake(&variables, "PUBLIC_URL: is a loopback address");
}

#[test]
fn a_key_without_a_registry_is_kept_for_nothing() {
    let config = read(&[("SECRETS_KEY", KEY)]).unwrap();

    assert!(config.fleet.is_none());
}
