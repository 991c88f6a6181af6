//! Daily's control plane against its fake.

mod direct;
mod faults;
mod streams;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use broadcast::{BroadcastId, Endpoint, StreamKey};
use fake_providers::{
    FakeSettings, Faults, NoMedia,
    daily::{DailyQuirks, FakeDaily},
    golden::check_request,
};

use super::*;
use crate::{
    Trust,
    hosted::{ApiLimits, LocalBudget, Rate, Rates, Surroundings},
};

const ROOM: &str = "castgate-node1-show";

/// Daily, its fake, and what the fake's media and mistakes are told.
struct Stage {
    daily: Daily,
    fake: FakeDaily,
    media: Arc<NoMedia>,
    faults: Faults,
}

impl Stage {
    async fn new() -> Self {
        Self::with(DailyQuirks::default(), |_| {}).await
    }

    async fn with(quirks: DailyQuirks, change: impl FnOnce(&mut DailySettings)) -> Self {
        let media = Arc::new(NoMedia::arriving());
        let faults = Faults::none();
        let settings = FakeSettings {
            faults: faults.clone(),
            media: media.clone(),
            ..FakeSettings::default()
        };
        let fake = FakeDaily::start(&settings, quirks).await.unwrap();
        let mut settings = settings_for(&fake);
        change(&mut settings);
        Self {
            daily: Daily::new(settings).unwrap(),
            fake,
            media,
            faults,
        }
    }

    async fn prepare(&self) -> Prepared {
        self.daily.prepare(&spec()).await.unwrap()
    }

    /// A show that goes to these destinations.
    async fn started(&self, targets: &[HostedTarget]) -> Handle {
        let mut handle = self.prepare().await.handle;
        self.daily.start(&mut handle, targets).await.unwrap();
        handle
    }

    /// Where the only live stream goes, in order.
    fn outputs(&self) -> Vec<String> {
        let rooms = self.fake.rooms();
        let mut streams = rooms.iter().flat_map(|room| &room.streams);
        let mut outputs = streams.next().map(|(_, urls)| urls.clone());
        assert!(streams.next().is_none(), "there is a second live stream");
        outputs.get_or_insert_default().sort();
        outputs.unwrap_or_default()
    }

    /// Waits for a webhook of this kind, and gives it and all before it to Daily.
    async fn hear(&self, kind: &str) -> Vec<WebhookEvent> {
        for _ in 0..200 {
            let sent = self.fake.webhooks();
            if sent.iter().any(|delivery| delivery.kind == kind) {
                return sent
                    .iter()
                    .map(|delivery| {
                        let headers = delivery.headers.clone().into_iter().collect();
                        let now = SystemTime::now();
                        self.daily.webhook(&headers, &delivery.body, now).unwrap()
                    })
                    .collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no webhook {kind}");
    }

    fn check_golden(&self, operation: &str) {
        let records = self.fake.records().of(operation);
        let first = records.first().unwrap_or_else(|| panic!("no {operation}"));
        check_request("daily", operation, first).unwrap();
    }
}

fn settings_for(fake: &FakeDaily) -> DailySettings {
    let quick = Rate {
        burst: 1000,
        each: Duration::from_millis(1),
    };
    DailySettings {
        base: fake.base().clone(),
        api_key: StreamKey::new(FakeDaily::API_KEY),
        contribution: DailyContribution::Sidecar,
        tokens: DailyTokens::Signed,
        webhook_secret: Some(StreamKey::new(FakeDaily::WEBHOOK_SECRET)),
        budget: Arc::new(LocalBudget::new(Rates {
            general: quick,
            start: quick,
        })),
        clock: SystemTime::now,
        surroundings: Surroundings {
            limits: ApiLimits {
                answer: Duration::from_millis(500),
                patience: Duration::from_millis(300),
                pause: Duration::from_millis(5),
            },
            ..Surroundings::new(Trust::with_roots([]))
        },
    }
}

fn spec() -> EgressSpec {
    EgressSpec {
        broadcast: BroadcastId::new("show").unwrap(),
        owner: Owner::new("node1").unwrap(),
        targets: Vec::new(),
    }
}

/// A destination of this name, at `rtmps://NAME.example/live` with a key of its own.
fn target(name: &str) -> HostedTarget {
    keyed(name, &format!("KEY-{name}-CANARY"))
}

fn keyed(name: &str, key: &str) -> HostedTarget {
    HostedTarget {
        id: TargetId::known(name),
        endpoint: Endpoint::parse(&format!("rtmps://{name}.example/live"), Some(key)).unwrap(),
    }
}

fn url(name: &str) -> String {
    format!("rtmps://{name}.example:443/live/KEY-{name}-CANARY")
}

#[tokio::test]
async fn a_room_is_made_for_a_broadcast_with_a_token_that_opens_no_other() {
    let stage = Stage::new().await;

    let prepared = stage.prepare().await;

    let Contribution::Sidecar(order) = prepared.contribution else {
        panic!("{:?}", prepared.contribution)
    };
    assert_eq!(order.room.path(), format!("/{ROOM}"));
    assert!(stage.fake.opens(order.token.expose(), ROOM));
    assert!(!stage.fake.opens(order.token.expose(), "another"));
    let rooms = stage.fake.rooms();
    assert_eq!(rooms.len(), 1);
    let longest = LONGEST_SHOW + ROOM_MARGIN;
    let expires = token::seconds(SystemTime::now() + longest);
    assert!(rooms[0].expires.unwrap().abs_diff(expires) <= 5);
    stage.check_golden("create_room");
}

#[tokio::test]
async fn a_new_token_opens_the_same_room_and_changes_nothing_else() {
    let stage = Stage::with(DailyQuirks::default(), |settings| {
        settings.tokens = DailyTokens::Issued;
    })
    .await;
    let handle = stage.started(&[target("a")]).await;
    let rooms = stage.fake.rooms();

    let renewed = stage.daily.renew(&handle).await.unwrap();

    let Some(Contribution::Sidecar(order)) = renewed else {
        panic!("{renewed:?}")
    };
    assert_eq!(order.room.path(), format!("/{ROOM}"));
    assert!(stage.fake.opens(order.token.expose(), ROOM));
    assert_eq!(stage.fake.records().count("create_token"), 2);
    assert_eq!(stage.fake.rooms(), rooms);
    stage.daily.stop(&handle).await.unwrap();
    let gone = stage.daily.renew(&handle).await;
    assert!(matches!(gone, Err(ProviderError::NotFound(_))), "{gone:?}");
}

#[tokio::test]
async fn the_studio_itself_is_let_in_where_it_goes_there_directly() {
    let stage = Stage::with(DailyQuirks::default(), |settings| {
        settings.contribution = DailyContribution::Direct;
        settings.tokens = DailyTokens::Issued;
    })
    .await;

    let prepared = stage.prepare().await;

    let Contribution::Direct { url, token } = prepared.contribution else {
        panic!("{:?}", prepared.contribution)
    };
    assert_eq!(
        stage.daily.capabilities().contribution,
        ContributionKind::Direct
    );
    assert_eq!(url.path(), format!("/{ROOM}"));
    assert!(stage.fake.opens(token.expose(), ROOM));
    stage.check_golden("create_token");
}

#[tokio::test]
async fn a_broadcast_prepared_twice_has_one_room() {
    let stage = Stage::new().await;

    let first = stage.prepare().await;
    let second = stage.prepare().await;

    assert_eq!(first.handle, second.handle);
    assert_eq!(stage.fake.rooms().len(), 1);
    assert_eq!(stage.fake.records().count("delete_room"), 0);
}

#[tokio::test]
async fn a_room_left_behind_with_its_live_stream_is_made_anew() {
    let stage = Stage::new().await;
    let left = stage.started(&[target("a")]).await;

    let prepared = stage.prepare().await;

    assert_ne!(prepared.handle, left);
    assert_eq!(stage.outputs(), Vec::<String>::new());
    assert_eq!(stage.fake.rooms().len(), 1);
    // What is known of the old one does not touch the new one.
    let status = stage.daily.status(&prepared.handle).await.unwrap();
    stage.hear("streaming.ended").await;
    assert_eq!(status.ended, None);
    let status = stage.daily.status(&prepared.handle).await.unwrap();
    assert_eq!(status.ended, None);
}

#[tokio::test]
async fn the_domain_is_asked_for_once() {
    let stage = Stage::new().await;

    stage.prepare().await;
    stage.prepare().await;

    assert_eq!(stage.fake.records().count("read_domain"), 1);
}

#[tokio::test]
async fn what_a_dead_process_left_is_found_by_its_name_and_stopped() {
    let stage = Stage::new().await;
    stage.started(&[target("a")]).await;
    stage.fake.add_room("castgate-node2-show").await;
    stage.fake.add_room("somebody-elses").await;

    let owned = stage.daily.owned(&spec().owner).await.unwrap();
    for handle in &owned {
        stage.daily.stop(handle).await.unwrap();
    }

    let broadcasts: Vec<_> = owned.iter().map(|handle| &handle.broadcast).collect();
    assert_eq!(broadcasts, ["show"]);
    let rooms: Vec<_> = stage
        .fake
        .rooms()
        .into_iter()
        .map(|room| room.name)
        .collect();
    assert_eq!(rooms, ["castgate-node2-show", "somebody-elses"]);
    assert_eq!(stage.outputs(), Vec::<String>::new());
    assert!(stage.media.is_forgotten(ROOM));
}

#[tokio::test]
async fn old_rooms_are_found_behind_many_new_ones_whichever_cursor_leads_there() {
    for older_come_after in [false, true] {
        let quirks = DailyQuirks {
            older_come_after,
            page_limit: Some(3),
            ..DailyQuirks::default()
        };
        let stage = Stage::with(quirks, |_| {}).await;
        stage.prepare().await;
        for nth in 0..10 {
            stage.fake.add_room(&format!("somebody-elses-{nth}")).await;
        }

        let owned = stage.daily.owned(&spec().owner).await.unwrap();

        assert_eq!(owned.len(), 1, "older come after: {older_come_after}");
    }
}

#[tokio::test]
async fn neither_a_handle_nor_what_is_shown_of_daily_holds_a_secret() {
    let stage = Stage::new().await;

    let handle = stage.started(&[target("a")]).await;

    let shown = format!(
        "{:?} {:?} {}",
        stage.daily,
        stage.prepare().await,
        serde_json::to_string(&handle).unwrap()
    );
    for secret in [
        "CANARY",
        FakeDaily::API_KEY,
        FakeDaily::WEBHOOK_SECRET,
        "eyJ",
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
