//! What the client makes of servers good and bad.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, routing::post};
use broadcast::{Provider, StreamKey};
use fake_providers::{Action, FakeSettings, Faults, Server};
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::hosted::{LocalBudget, Rate, Rates, RequestOutcome, Stage};

const SECRET: &str = "canary-of-the-stream-key";

#[derive(Debug, Deserialize, PartialEq)]
struct Room {
    name: String,
}

#[derive(Debug, Default)]
struct Outcomes(Mutex<Vec<RequestOutcome>>);

impl Observer for Outcomes {
    fn requested(&self, _: Provider, _: &'static str, outcome: RequestOutcome, _: Duration) {
        self.0.lock().unwrap().push(outcome);
    }
}

struct Bench {
    server: Server,
    faults: Faults,
    outcomes: Arc<Outcomes>,
    client: ApiClient,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut ApiSettings)) -> Self {
        let faults = Faults::none();
        let settings = FakeSettings {
            faults: faults.clone(),
            ..FakeSettings::default()
        };
        let router = Router::new().route("/v1/rooms", post(Json(json!({ "name": "show" }))));
        let server = Server::start(&settings, |_, _| Some("rooms".to_owned()), router)
            .await
            .unwrap();
        let outcomes = Arc::new(Outcomes::default());
        let mut settings = api(server.base().join("v1").unwrap());
        settings.surroundings.observer = Arc::clone(&outcomes) as Arc<dyn Observer>;
        change(&mut settings);
        Self {
            server,
            faults,
            outcomes,
            client: ApiClient::new(settings).unwrap(),
        }
    }

    async fn create(&self, idempotent: bool) -> Result<Answer<Room>, ProviderError> {
        self.client
            .request(create_room(idempotent))
            .json(&json!({ "url": format!("rtmp://a.example/live/{SECRET}") }))
            .send()
            .await
    }

    fn asked(&self) -> usize {
        self.server.records().all().len()
    }

    fn outcomes(&self) -> Vec<RequestOutcome> {
        self.outcomes.0.lock().unwrap().clone()
    }
}

fn api(base: Url) -> ApiSettings {
    let plenty = Rate {
        burst: 1000,
        each: Duration::from_millis(1),
    };
    let mut surroundings = Surroundings::new(Trust::with_roots([]));
    surroundings.limits = ApiLimits {
        answer: Duration::from_millis(200),
        patience: Duration::from_millis(1500),
        pause: Duration::from_millis(2),
    };
    ApiSettings {
        provider: Provider::Mux,
        base,
        authorization: Authorization::Bearer(StreamKey::new("canary-of-the-token")),
        budget: Arc::new(LocalBudget::new(Rates {
            general: plenty,
            start: plenty,
        })),
        refusals: |_| None,
        surroundings,
    }
}

fn create_room(idempotent: bool) -> Operation<'static> {
    Operation {
        name: "create_room",
        method: "POST",
        path: "/rooms",
        idempotent,
        cost: Cost::General,
        thing: "room",
    }
}

#[tokio::test]
async fn a_request_says_who_asks_and_what_and_its_answer_is_read() {
    let bench = Bench::new().await;

    let answer = bench
        .client
        .request(create_room(true))
        .header("idempotency-key", "show-1")
        .query("after", "a b&c")
        .json(&json!({ "name": "show" }))
        .send::<Room>()
        .await
        .unwrap();

    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.name, "show");
    let recorded = &bench.server.records().all()[0];
    assert_eq!(recorded.path, "/v1/rooms");
    assert_eq!(recorded.query, "after=a+b%26c");
    assert_eq!(recorded.body, json!({ "name": "show" }));
    assert_eq!(recorded.headers["authorization"], "Bearer");
    assert_eq!(recorded.headers["idempotency-key"], "show-1");
    assert_eq!(recorded.headers["content-type"], "application/json");
    assert_eq!(bench.outcomes(), [RequestOutcome::Answered(200)]);
}

#[tokio::test]
async fn what_may_be_repeated_is_tried_three_times_and_no_more() {
    for action in [
        Action::Status(500, None),
        Action::Status(503, None),
        Action::Reset,
        Action::LostAnswer,
        Action::Hang,
    ] {
        let bench = Bench::new().await;
        bench.faults.add("rooms", 1, action.clone());
        bench.faults.add("rooms", 2, action.clone());
        bench.create(true).await.unwrap();
        assert_eq!(bench.asked(), 3, "{action:?}");

        bench.faults.add("rooms", 0, action.clone());
        bench.create(true).await.unwrap_err();
        assert_eq!(bench.asked(), 6, "{action:?}");
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not_repeated_unless_it_may_be() {
    for action in [
        Action::Status(500, None),
        Action::Status(503, None),
        Action::Reset,
        Action::LostAnswer,
        Action::Hang,
    ] {
        let bench = Bench::new().await;
        bench.faults.add("rooms", 1, action.clone());

        bench.create(false).await.unwrap_err();

        assert_eq!(bench.asked(), 1, "{action:?}");
    }
}

#[tokio::test]
async fn what_was_surely_not_done_is_repeated_in_any_case() {
    for action in [Action::Status(429, None), Action::Status(503, Some(1))] {
        let bench = Bench::new().await;
        bench.faults.add("rooms", 1, action.clone());

        bench.create(false).await.unwrap();

        assert_eq!(bench.asked(), 2, "{action:?}");
    }
}

#[tokio::test]
async fn a_provider_that_wants_to_be_left_alone_for_long_is() {
    let bench = Bench::new().await;
    bench.faults.add("rooms", 1, Action::Status(429, Some(60)));

    let error = bench.create(true).await.unwrap_err();

    let minute = Some(Duration::from_mins(1));
    assert_eq!(
        error,
        ProviderError::RateLimited {
            retry_after: minute
        }
    );
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn each_way_to_go_wrong_is_its_own_error() {
    let unavailable = |message: &str| ProviderError::Unavailable {
        message: message.to_owned(),
        retry_after: None,
    };
    for (action, error) in [
        (Action::Status(401, None), ProviderError::Auth),
        (
            Action::Answer(403, r#"{"message":"plan"}"#.to_owned()),
            ProviderError::Forbidden("plan".to_owned()),
        ),
        (Action::Status(404, None), ProviderError::NotFound("room")),
        (
            Action::Status(409, None),
            ProviderError::Conflict("status 409".to_owned()),
        ),
        (
            Action::Status(422, None),
            ProviderError::Invalid("status 422".to_owned()),
        ),
        (
            Action::Status(429, None),
            ProviderError::RateLimited { retry_after: None },
        ),
        (Action::Status(500, None), unavailable("status 500")),
        (Action::Status(502, None), unavailable("status 502")),
        (Action::Reset, unavailable("the connection broke")),
        (Action::LostAnswer, unavailable("the connection broke")),
        (Action::Hang, ProviderError::Timeout(Stage::Answer)),
        (Action::SlowBody, ProviderError::Timeout(Stage::Answer)),
        (
            Action::Endless,
            ProviderError::Protocol("its answer is longer than 1 MiB".to_owned()),
        ),
    ] {
        let bench = Bench::new().await;
        bench.faults.add("rooms", 0, action.clone());

        assert_eq!(bench.create(true).await.unwrap_err(), error, "{action:?}");
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_told_without_its_content() {
    let page = || Action::Answer(200, format!(r#"{{"name":["{SECRET}"]}}"#));
    for action in [
        page(),
        Action::TruncatedJson,
        Action::Garbage,
        Action::WrongContentType,
    ] {
        let bench = Bench::new().await;
        bench.faults.add("rooms", 0, action.clone());

        let error = bench.create(true).await.unwrap_err();

        assert!(matches!(error, ProviderError::Protocol(_)), "{error:?}");
        assert!(!error.to_string().contains(SECRET), "{error}");
        assert_eq!(bench.asked(), 1, "{action:?}");
    }
}

#[tokio::test]
async fn an_answer_that_tells_only_its_status_is_no_web_page() {
    let bench = Bench::new().await;
    let delete = || bench.client.request(create_room(true)).done();

    assert_eq!(delete().await, Ok(200));
    bench
        .faults
        .add("rooms", 1, Action::Answer(204, String::new()));
    assert_eq!(delete().await, Ok(204));
    bench.faults.add("rooms", 1, Action::WrongContentType);
    assert!(matches!(delete().await, Err(ProviderError::Protocol(_))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let bench = Bench::new().await;
    bench
        .faults
        .add("rooms", 1, Action::Answer(302, String::new()));

    let error = bench.create(true).await.unwrap_err();

    assert!(matches!(error, ProviderError::Protocol(_)), "{error:?}");
    assert_eq!(bench.asked(), 1);
}

#[tokio::test]
async fn what_is_echoed_of_a_request_is_not_in_its_error() {
    for echo in [
        format!("bad url rtmp://a.example/live/{SECRET}"),
        format!("no such key: {SECRET}"),
        "token canary-of-the-token is no good".to_owned(),
    ] {
        let bench = Bench::new().await;
        let body = json!({ "message": echo }).to_string();
        bench.faults.add("rooms", 0, Action::Answer(400, body));

        let error = bench.create(true).await.unwrap_err();

        assert!(matches!(error, ProviderError::Invalid(_)), "{error:?}");
        for canary in [SECRET, "canary-of-the-token"] {
            assert!(!format!("{error} {error:?}").contains(canary), "{error:?}");
        }
    }
}

#[tokio::test]
async fn what_is_echoed_of_an_earlier_request_is_not_in_an_error() {
    let bench = Bench::new().await;
    bench.create(true).await.unwrap();
    let body = json!({ "message": format!("beside {SECRET}") }).to_string();
    bench.faults.add("rooms", 0, Action::Answer(400, body));

    let request = bench.client.request(create_room(true));
    let error = request.json(&json!({ "name": "other" })).send::<Room>();
    let error = error.await.unwrap_err();

    assert_eq!(error, ProviderError::Invalid("beside …".to_owned()));
}

#[tokio::test]
async fn a_client_and_a_request_do_not_show_their_secrets() {
    let bench = Bench::new().await;

    let request = bench
        .client
        .request(create_room(true))
        .bearer(&StreamKey::new(SECRET));
    let shown = format!("{request:?} {:?}", bench.client);

    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn five_failures_have_the_provider_left_alone() {
    let bench = Bench::new().await;
    bench.faults.add("rooms", 0, Action::Status(500, None));

    bench.create(true).await.unwrap_err();
    bench.create(true).await.unwrap_err();
    let asked = bench.asked();
    let error = bench.create(true).await.unwrap_err();

    assert_eq!(asked, 5);
    assert_eq!(bench.asked(), asked);
    assert_eq!(bench.client.breaker(), BreakerState::Open);
    assert!(
        error.retry_after() > Some(Duration::from_secs(20)),
        "{error:?}"
    );
    assert_eq!(bench.outcomes().last(), Some(&RequestOutcome::LeftAlone));
}

#[tokio::test]
async fn refusals_do_not_have_the_provider_left_alone() {
    let bench = Bench::new().await;
    bench.faults.add("rooms", 0, Action::Status(400, None));

    for _ in 0..10 {
        bench.create(true).await.unwrap_err();
    }

    assert_eq!(bench.client.breaker(), BreakerState::Closed);
}

#[tokio::test]
async fn a_spent_budget_is_waited_for_a_while_and_not_for_long() {
    let bench = Bench::with(|settings| {
        let rate = |each| Rate { burst: 1, each };
        settings.budget = Arc::new(LocalBudget::new(Rates {
            general: rate(Duration::from_millis(20)),
            start: rate(Duration::from_mins(1)),
        }));
    })
    .await;
    let begun = tokio::time::Instant::now();

    for _ in 0..3 {
        bench.create(true).await.unwrap();
    }
    let mut start = create_room(true);
    start.cost = Cost::Start;
    let first = bench.client.request(start).send::<Room>().await;
    let second = bench.client.request(start).send::<Room>().await;

    assert!(begun.elapsed() >= Duration::from_millis(60));
    first.unwrap();
    let error = second.unwrap_err();
    assert!(
        error.retry_after() > Some(Duration::from_secs(50)),
        "{error:?}"
    );
    assert_eq!(bench.asked(), 4);
    assert_eq!(bench.outcomes().last(), Some(&RequestOutcome::HeldBack));
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let bench = Bench::with(|settings| {
        // The port of the discard protocol: nothing of this machine listens there.
        settings.base = Url::parse("http://127.0.0.1:9").unwrap();
    })
    .await;

    let error = bench.create(false).await.unwrap_err();

    let message = "no connection to it can be made".to_owned();
    let retry_after = None;
    assert_eq!(
        error,
        ProviderError::Unavailable {
            message,
            retry_after
        }
    );
    assert_eq!(bench.outcomes(), [RequestOutcome::Unreachable; 3]);
}

#[tokio::test]
async fn a_providers_own_rules_come_before_the_status() {
    let bench = Bench::with(|settings| {
        settings.refusals = |refusal| {
            let code = refusal.document?["code"].as_str()?;
            (code == "quota").then(|| ProviderError::Quota(refusal.words()))
        };
    })
    .await;
    let body = json!({ "code": "quota", "message": format!("{SECRET} is over") }).to_string();
    bench.faults.add("rooms", 1, Action::Answer(429, body));

    let error = bench.create(false).await;

    // 429 is tried again in any case: only the last answer counts.
    assert!(error.is_ok(), "{error:?}");
    let body = json!({ "code": "quota", "message": format!("{SECRET} is over") }).to_string();
    bench.faults.add("rooms", 1, Action::Answer(400, body));
    let error = bench.create(false).await.unwrap_err();
    assert_eq!(error, ProviderError::Quota("… is over".to_owned()));
}

#[test]
fn an_address_that_is_none_is_refused() {
    for base in [
        "ftp://a.example",
        "https://u:p@a.example",
        "https://a.example?x",
    ] {
        let error = ApiClient::new(api(Url::parse(base).unwrap())).unwrap_err();
        assert_eq!(error, ApiSetupError::Base, "{base}");
    }
}
