use std::{collections::HashMap, fs, path::Path};

use super::*;

mod fleet;
mod hosted;

fn surroundings() -> Surroundings {
    Surroundings {
        cores: 2,
        server_id: "node-1234".to_owned(),
        terminal: false,
    }
}

fn read(variables: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let variables: HashMap<String, String> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::read(&|name| variables.get(name).cloned(), &surroundings())
}

fn mistakes(variables: &[(&str, &str)]) -> Vec<String> {
    let mistakes = read(variables).expect_err("a bad configuration");
    mistakes.0.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn one_mistake(variables: &[(&str, &str)], beginning: &str) {
    let mistakes = mistakes(variables);
    assert!(
        mistakes.len() == 1 && mistakes[0].starts_with(beginning),
        "{mistakes:#?} instead of {beginning}"
    );
}

const SECRET: &str = "0f9c1b27d3aa4e8f9d52";

#[test]
fn nothing_set_gives_the_defaults_of_the_contract() {
    let config = read(&[]).unwrap();

    assert_eq!(config.http, "127.0.0.1:3001".parse::<SocketAddr>().unwrap());
    assert_eq!(config.rtc, "127.0.0.1:40000".parse::<SocketAddr>().unwrap());
    assert_eq!(
        (
            config.workers,
            config.broadcasts_limit,
            config.sessions_limit
        ),
        (2, 77, 1000)
    );
    assert_eq!(config.server_id, "node-1234");
    assert_eq!(config.method, Method::Gstreamer);
    assert_eq!(config.capacity, Cost::of_cores(1.7));
    assert_eq!(config.ffmpeg, Path::new("ffmpeg"));
    assert_eq!(config.audio_bitrate_kbps, 160);
    assert_eq!(
        config.destinations.ports,
        Some(vec![1935, 443, 80, 2935, 5222])
    );
    assert_eq!(config.destinations.hosts, None);
    assert!(!config.destinations.private && !config.production);
    assert!(matches!(config.auth, AuthConfig::Anonymous));
    assert_eq!(
        config.rate_limit,
        Some(RateLimit {
            requests: 100,
            window: Duration::from_mins(1)
        })
    );
    assert_eq!(config.shutdown_timeout, Duration::from_secs(30));
    assert!(config.log.json && config.log.level == LogLevel::Info);
}

#[test]
fn every_variable_of_the_table_is_told_or_not_set() {
    let text = read(&[]).unwrap().describe();

    for variable in variables() {
        let told = text.contains(&format!("{}=", variable.name));
        let off = text.contains(&format!("# {} is not set\n", variable.name));
        assert!(told || off, "{}", variable.name);
        assert_eq!(off, told_nothing(variable), "{}", variable.name);
    }
}

fn told_nothing(variable: &Variable) -> bool {
    variable.fallback == Fallback::Off || variable.name == "PUBLIC_URL"
}

#[test]
fn aliases_are_read_and_the_own_name_comes_first() {
    let config = read(&[
        ("MEDIA_SERVER_PORT", "4000"),
        ("MEDIASOUP_NUM_WORKERS", "3"),
    ])
    .unwrap();

    assert_eq!((config.http.port(), config.workers), (4000, 3));
    assert!(
        config
            .describe()
            .contains("PORT=4000  # from MEDIA_SERVER_PORT\n")
    );
}

#[test]
fn aliases_that_disagree_are_a_mistake_and_equal_ones_are_not() {
    assert!(read(&[("PORT", "4000"), ("HTTP_PORT", "4000")]).is_ok());
    one_mistake(
        &[("PORT", "4000"), ("HTTP_PORT", "4001")],
        "PORT: disagrees with HTTP_PORT",
    );
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    assert_eq!(
        read(&[("PORT", " "), ("JWT_SECRET", "")])
            .unwrap()
            .http
            .port(),
        3001
    );
}

#[test]
fn every_mistake_is_listed_at_once_and_names_its_variable() {
    let found = mistakes(&[
        ("HTTP_PORT", "70000"),
        ("WORKERS", "0"),
        ("LOG_LEVEL", "loud"),
        ("STREAMING_METHOD", "vlc"),
        ("FRONTEND_URL", "nonsense"),
        ("JWT_SECRET", "changeme"),
        ("DESTINATION_ALLOW_PORTS", "1935,x"),
        ("LOCAL_RECEIVER_ADDRESS", "10.0.0.1:1935"),
    ]);

    for variable in [
        "HTTP_PORT",
        "WORKERS",
        "LOG_LEVEL",
        "STREAMING_METHOD",
        "FRONTEND_URL",
        "JWT_SECRET",
        "DESTINATION_ALLOW_PORTS",
        "LOCAL_RECEIVER_ADDRESS",
    ] {
        let count = found
            .iter()
            .filter(|text| text.starts_with(&format!("{variable}: ")))
            .count();
        assert_eq!(count, 1, "{variable} in {found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn a_bad_value_in_any_variable_stops_the_start() {
    for variable in variables() {
        if matches!(variable.name, "JWT_ISSUER" | "JWT_AUDIENCE" | "RUST_LOG") {
            continue;
        }
        let found = mistakes(&[(variable.name, "\u{1}?")]);
        assert!(
            found.iter().any(|text| text.starts_with(variable.name)),
            "{}: {found:#?}",
            variable.name
        );
    }
}

#[test]
fn anonymous_access_is_for_loopback_unless_it_is_wanted() {
    one_mistake(&[("HTTP_IP", "0.0.0.0")], "AUTH_MODE: none lets everybody");
    one_mistake(
        &[
            ("HTTP_IP", "192.0.2.1"),
            ("AUTH_MODE", "none"),
            ("JWT_SECRET", SECRET),
        ],
        "AUTH_MODE: none lets everybody",
    );
    assert!(read(&[("HTTP_IP", "0.0.0.0"), ("ALLOW_ANONYMOUS", "true")]).is_ok());
    assert!(read(&[("HTTP_IP", "0.0.0.0"), ("JWT_SECRET", SECRET)]).is_ok());
    assert!(read(&[("HTTP_IP", "::1")]).is_ok());
}

#[test]
fn a_secret_alone_turns_authentication_on() {
    let config = read(&[("JWT_SECRET", SECRET)]).unwrap();

    assert!(matches!(
        config.auth,
        AuthConfig::Jwt(JwtConfig {
            keys: JwtKeys::Secret(_),
            ..
        })
    ));
    assert!(config.describe().contains("AUTH_MODE=jwt  # default\n"));
}

#[test]
fn each_mode_needs_what_it_works_with() {
    one_mistake(&[("AUTH_MODE", "jwt")], "AUTH_MODE: jwt needs");
    one_mistake(&[("AUTH_MODE", "callback")], "AUTH_MODE: callback needs");
    one_mistake(
        &[
            ("JWT_SECRET", SECRET),
            ("JWT_JWKS_URL", "https://example.org/keys"),
        ],
        "JWT_JWKS_URL: and JWT_SECRET are both set",
    );
    one_mistake(
        &[("TURN_URL", "turn:example.org")],
        "TURN_URL: needs TURN_SECRET",
    );
    one_mistake(&[("TURN_SECRET", SECRET)], "TURN_SECRET: needs TURN_URL");
}

#[test]
fn a_secret_comes_from_its_file_and_is_never_shown() {
    let path = std::env::temp_dir().join(format!("castgate-secret-{}", std::process::id()));
    fs::write(&path, format!("{SECRET}\n")).unwrap();

    let config = read(&[("JWT_SECRET_FILE", path.to_str().unwrap())]).unwrap();

    fs::remove_file(&path).unwrap();
    let AuthConfig::Jwt(JwtConfig {
        keys: JwtKeys::Secret(secret),
        ..
    }) = &config.auth
    else {
        panic!("{:?}", config.auth)
    };
    assert_eq!(secret.expose(), SECRET);
    assert!(
        config
            .describe()
            .contains("JWT_SECRET=(hidden)  # from JWT_SECRET_FILE\n")
    );
    assert!(!config.describe().contains(SECRET) && !format!("{config:?}").contains(SECRET));
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    one_mistake(
        &[
            ("TURN_URL", "turn:a.example.org"),
            ("TURN_SECRET_FILE", "/nonexistent/secret"),
        ],
        "TURN_SECRET_FILE: the file /nonexistent/secret cannot be read",
    );
}

#[test]
fn no_mistake_shows_a_secret() {
    let text = mistakes(&[
        ("JWT_SECRET", "changeme-hunter2"),
        ("BACKEND_API_URL", "http://user:hunter2@example.org"),
        ("PUBLIC_URL", "ftp://user:hunter2@example.org"),
    ])
    .join("\n");

    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn production_wants_an_address_that_studios_reach() {
    one_mistake(
        &[("NODE_ENV", "production")],
        "ANNOUNCED_IP: is a loopback address",
    );
    one_mistake(
        &[
            ("NODE_ENV", "production"),
            ("ANNOUNCED_IP", "203.0.113.7, 127.0.0.1"),
        ],
        "ANNOUNCED_IP: is a loopback address",
    );
    assert!(read(&[("NODE_ENV", "production"), ("ANNOUNCED_IP", "203.0.113.7")]).is_ok());
}

#[test]
fn media_listens_where_the_announced_address_is_reached() {
    let rtc = |variables: &[(&str, &str)]| read(variables).unwrap().rtc.to_string();

    assert_eq!(rtc(&[("ANNOUNCED_IP", "203.0.113.7")]), "0.0.0.0:40000");
    assert_eq!(rtc(&[("ANNOUNCED_IP", "127.0.0.1")]), "127.0.0.1:40000");
    assert_eq!(
        rtc(&[("ANNOUNCED_IP", "2001:db8::1"), ("RTC_PORT", "0")]),
        "[::]:0"
    );
    assert_eq!(
        rtc(&[
            ("HTTP_IP", "192.0.2.1"),
            ("ANNOUNCED_IP", "203.0.113.7"),
            ("ALLOW_ANONYMOUS", "true")
        ]),
        "192.0.2.1:40000"
    );
}

#[test]
fn the_guard_is_opened_by_any_and_narrowed_by_lists() {
    let config = read(&[
        ("DESTINATION_ALLOW_PORTS", "any"),
        ("DESTINATION_ALLOW_HOSTS", "*.YouTube.com, live.twitch.tv"),
        ("DESTINATION_ALLOW_PRIVATE", "true"),
    ])
    .unwrap();

    assert_eq!(
        config.destinations,
        DestinationPolicy {
            private: true,
            hosts: Some(vec![
                "*.youtube.com".to_owned(),
                "live.twitch.tv".to_owned()
            ]),
            ports: None,
        }
    );
}

#[test]
fn what_this_version_does_not_act_on_is_told() {
    let config = read(&[("NATS_URL", "nats://:hunter2@localhost")]).unwrap();

    assert_eq!(config.ignored, ["NATS_URL"]);
    assert!(config.describe().contains("# NATS_URL is set"));
    assert!(!config.describe().contains("hunter2"));
}

#[test]
fn the_capacity_is_set_in_cores_and_bounds_the_broadcasts() {
    let config = read(&[("NODE_CAPACITY_CORES", "0.5")]).unwrap();
    let both = read(&[("NODE_CAPACITY_CORES", "0.1"), ("MAX_BROADCASTS", "9")]).unwrap();

    assert_eq!(config.capacity, Cost::of_cores(0.5));
    assert_eq!((config.broadcasts_limit, both.broadcasts_limit), (22, 9));
    for bad in ["0.05", "1025", "two", "NaN"] {
        one_mistake(
            &[("NODE_CAPACITY_CORES", bad)],
            &format!("NODE_CAPACITY_CORES: '{bad}' is not a number of cores"),
        );
    }
}
