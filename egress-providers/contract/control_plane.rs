//! What the control plane of every hosted provider is held to.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use broadcast::{BroadcastId, Endpoint, Reason};
use fake_providers::Action;
use tracing_subscriber::fmt::MakeWriter;

use super::bench::Bench;
use crate::{
    Hot,
    hosted::{EgressSpec, Handle, HostedTarget, Owner, ProviderError, TargetId},
};

const KEY: &str = "canary-stream-key";

fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

fn target(name: &str) -> HostedTarget {
    let url = format!("rtmps://{name}.example/live2");
    HostedTarget {
        id: TargetId::known(name),
        endpoint: Endpoint::parse(&url, Some(&format!("{KEY}-{name}"))).unwrap(),
    }
}

fn spec(targets: &[HostedTarget]) -> EgressSpec {
    EgressSpec {
        broadcast: BroadcastId::new("late-show").unwrap(),
        owner: owner("node1"),
        targets: targets.to_vec(),
    }
}

async fn prepared_twice_it_is_one_thing(bench: Bench) {
    let first = bench.remote.client().prepare(&spec(&[])).await.unwrap();
    let left = bench.remote.left().await;

    let second = bench.remote.client().prepare(&spec(&[])).await.unwrap();

    assert_eq!(bench.remote.left().await, left);
    assert_eq!(first.handle.remote, second.handle.remote);
    assert_eq!(first.handle.broadcast, "late-show");
    assert_eq!(first.handle.owner, "node1");
}

async fn a_handle_that_was_written_down_is_enough_to_stop(bench: Bench) {
    let targets = [target("a")];
    let api = bench.remote.client();
    let mut handle = api.prepare(&spec(&targets)).await.unwrap().handle;
    api.start(&mut handle, &targets).await.unwrap();
    drop(api);

    let text = serde_json::to_string(&handle).unwrap();
    let known: Handle = serde_json::from_str(&text).unwrap();
    let successor = bench.remote.client();
    successor.status(&known).await.unwrap();
    successor.stop(&known).await.unwrap();

    assert!(bench.remote.left().await.is_empty());
    for secret in bench
        .remote
        .secrets()
        .iter()
        .map(String::as_str)
        .chain([KEY])
    {
        assert!(!text.contains(secret), "{text}");
    }
}

async fn what_was_not_written_down_is_found_by_its_owner(bench: Bench) {
    let targets = [target("a")];
    let api = bench.remote.client();
    let mut handle = api.prepare(&spec(&targets)).await.unwrap().handle;
    api.start(&mut handle, &targets).await.unwrap();
    drop((api, handle));

    let successor = bench.remote.client();
    let of_others = successor.owned(&owner("node")).await.unwrap();
    let found = successor.owned(&owner("node1")).await.unwrap();

    assert_eq!(of_others, []);
    assert!(!found.is_empty());
    for handle in &found {
        assert_eq!((&*handle.broadcast, &*handle.owner), ("late-show", "node1"));
        successor.stop(handle).await.unwrap();
    }
    assert!(bench.remote.left().await.is_empty());
    assert_eq!(successor.owned(&owner("node1")).await.unwrap(), []);
}

async fn destinations_change_exactly_as_it_claims(bench: Bench) {
    let api = bench.remote.client();
    let capabilities = api.capabilities().clone();
    let (one, both, other) = ([target("a")], [target("a"), target("b")], [target("b")]);
    let mut handle = api.prepare(&spec(&one)).await.unwrap().handle;
    api.start(&mut handle, &one).await.unwrap();

    let added = api.update(&mut handle, &both).await;
    let expect = |hot, result: &Result<(), ProviderError>| match hot {
        Hot::Yes => assert_eq!(*result, Ok(())),
        Hot::RestartRequired => assert_eq!(*result, Err(ProviderError::RestartRequired)),
    };
    expect(capabilities.hot_add, &added);
    if added.is_ok() {
        let removed = api.update(&mut handle, &other).await;
        expect(capabilities.hot_remove, &removed);
    }

    let status = api.status(&handle).await.unwrap();
    let known: Vec<&str> = status
        .targets
        .iter()
        .map(|target| target.id.as_str())
        .collect();
    let sent = if added.is_ok() { "b" } else { "a" };
    if capabilities.destination_status {
        assert!(known.contains(&sent), "{known:?}");
    }
    api.stop(&handle).await.unwrap();
    assert!(bench.remote.left().await.is_empty());
}

async fn stopping_twice_is_no_error(bench: Bench) {
    let targets = [target("a")];
    let api = bench.remote.client();
    let never_started = api.prepare(&spec(&targets)).await.unwrap().handle;
    api.stop(&never_started).await.unwrap();
    api.stop(&never_started).await.unwrap();
    let mut handle = api.prepare(&spec(&targets)).await.unwrap().handle;
    api.start(&mut handle, &targets).await.unwrap();

    api.stop(&handle).await.unwrap();
    bench.remote.client().stop(&handle).await.unwrap();

    assert!(bench.remote.left().await.is_empty());
}

async fn stopped_while_it_starts_nothing_is_left(bench: Bench) {
    let targets = [target("a"), target("b")];
    let api = bench.remote.client();
    let mut handle = api.prepare(&spec(&targets)).await.unwrap().handle;
    let late = Action::Late(Duration::from_millis(20));
    bench.faults.add("*", 0, late);

    let start = api.start(&mut handle, &targets);
    let cut = tokio::time::timeout(Duration::from_millis(30), start).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.faults.clear();
    let stopped = bench.remote.client().stop(&handle).await;

    assert_eq!(stopped, Ok(()), "after {cut:?}");
    let left = bench.remote.left().await;
    assert!(left.is_empty(), "{left:?} after {cut:?}");
}

async fn every_fault_is_an_error_with_its_reason(bench: Bench) {
    let faults = [
        (Action::Status(401, None), &[Reason::ProviderAuth][..]),
        (
            Action::Status(403, None),
            &[Reason::ProviderForbidden, Reason::ProviderAuth],
        ),
        (
            Action::Status(404, None),
            &[Reason::ProviderNotFound, Reason::ProviderProtocol],
        ),
        (Action::Status(409, None), &[Reason::ProviderConflict]),
        (Action::Status(422, None), &[Reason::ProviderInvalid]),
        (
            Action::Status(429, Some(100)),
            &[Reason::ProviderRateLimited],
        ),
        (Action::Status(500, None), &[Reason::ProviderUnavailable]),
        (
            Action::Status(503, Some(100)),
            &[Reason::ProviderUnavailable],
        ),
        (Action::Reset, &[Reason::ProviderUnavailable]),
        (Action::Hang, &[Reason::ProviderTimeout]),
        (Action::Garbage, &[Reason::ProviderProtocol]),
        (Action::TruncatedJson, &[Reason::ProviderProtocol]),
        (Action::WrongContentType, &[Reason::ProviderProtocol]),
        (Action::Endless, &[Reason::ProviderProtocol]),
    ];
    for (action, reasons) in faults {
        bench.faults.clear();
        bench.faults.add("*", 0, action.clone());
        // Another one each time, so that no breaker is open.
        let api = bench.remote.client();

        let targets = [target("a")];
        let error = match api.prepare(&spec(&targets)).await {
            Err(error) => error,
            // One that has nothing to make asks only when it starts.
            Ok(prepared) => {
                let mut handle = prepared.handle;
                api.start(&mut handle, &targets).await.unwrap_err()
            }
        };

        assert!(reasons.contains(&error.reason()), "{action:?} is {error:?}");
        if let Action::Status(429 | 503, Some(seconds)) = action {
            let wish = error.retry_after();
            assert_eq!(wish, Some(Duration::from_secs(seconds)), "{error:?}");
        }
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

async fn nothing_that_is_shown_or_logged_holds_a_secret(bench: Bench) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is kept");
    let targets = [target("a"), target("b")];
    let api = bench.remote.client();
    let prepared = api.prepare(&spec(&targets)).await.unwrap();
    let mut shown = vec![format!("{prepared:?}")];
    let mut handle = prepared.handle;
    let started = api.start(&mut handle, &targets).await;
    let status = api.status(&handle).await;
    shown.push(format!(
        "{started:?} {status:?} {api:?} {handle:?} {targets:?}"
    ));
    let secrets = bench.remote.secrets();
    // A server that repeats what it was asked, as errors do.
    let echo = format!("{{\"error\":\"bad\",\"info\":\"rtmps://a.example/live2/{KEY}-a\"}}");
    bench.faults.add("*", 0, Action::Answer(400, echo));
    for error in [
        api.prepare(&spec(&targets)).await.err(),
        api.update(&mut handle, &targets[..1]).await.err(),
        api.stop(&handle).await.err(),
    ]
    .into_iter()
    .flatten()
    {
        let failure = error.failure(api.provider());
        shown.push(format!("{error:?} {error} {failure}"));
    }

    let shown = shown.concat();
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("the log is kept"));
    for secret in secrets.iter().map(String::as_str).chain([KEY]) {
        // What is logged first is told, and not all of it.
        let place = [shown.find(secret), logged.find(secret)];
        assert_eq!(place, [None, None], "{secret} in {shown} or the log");
    }
}

macro_rules! every_provider {
    ($($provider:ident),*) => {
        $(
            mod $provider {
                use super::Bench;

                every_provider!(@tests $provider:
                    prepared_twice_it_is_one_thing,
                    a_handle_that_was_written_down_is_enough_to_stop,
                    what_was_not_written_down_is_found_by_its_owner,
                    destinations_change_exactly_as_it_claims,
                    stopping_twice_is_no_error,
                    stopped_while_it_starts_nothing_is_left,
                    every_fault_is_an_error_with_its_reason,
                    nothing_that_is_shown_or_logged_holds_a_secret
                );
            }
        )*
    };
    (@tests $provider:ident: $($test:ident),*) => {
        $(
            #[tokio::test]
            async fn $test() {
                super::$test(Bench::$provider().await).await;
            }
        )*
    };
}

every_provider!(
    livekit, cloudflare, mux, daily, media_mtx, oven, livepeer, api_video
);
