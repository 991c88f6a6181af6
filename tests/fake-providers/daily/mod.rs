//! Daily's rooms and live streams: names that are taken, destinations that must be known by name, answers that promise
//! nothing, and webhooks that tell what came of it.

mod account;
mod answers;
mod room;
mod routes;

use std::{io, sync::Arc, time::Duration};

use axum::http::Method;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use url::Url;

use self::account::Account;
use crate::{Delivery, FakeSettings, Records, Server, Webhooks};

/// How often the fake looks at its media for what to tell by webhook.
const LOOK: Duration = Duration::from_millis(50);

/// What differs between accounts, and between Daily's pages.
#[derive(Debug, Clone, Copy, Default)]
pub struct DailyQuirks {
    /// Whether `starting_after`, and not `ending_before`, leads to older rooms.
    pub older_come_after: bool,
    /// The most rooms of a page, if fewer than the usual hundred.
    pub page_limit: Option<usize>,
    /// Whether rooms show nothing of their destinations.
    pub hides_endpoints: bool,
}

/// A room as the fake knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeRoom {
    /// Its name, by which its media are moved.
    pub name: String,
    /// When nobody may be in it any more, in seconds since 1970.
    pub expires: Option<u64>,
    /// Its live streams by instance, each with the addresses it goes to, keys and all.
    pub streams: Vec<(String, Vec<String>)>,
}

/// The fake.
#[derive(Debug)]
pub struct FakeDaily {
    server: Server,
    account: Arc<Account>,
    _tasks: JoinSet<()>,
}

impl FakeDaily {
    /// The only key.
    pub const API_KEY: &str = "fake-daily-api-key-0123456789abcdef";

    /// What its webhooks are signed with, in base64.
    pub const WEBHOOK_SECRET: &str = "ZmFrZS1kYWlseS13ZWJob29rLXNlY3JldA==";

    /// The account's name in tokens.
    pub const DOMAIN_ID: &str = "30f866c3-9123-452a-8723-ff58322d09c5";

    /// Listens, with no rooms.
    pub async fn start(settings: &FakeSettings, quirks: DailyQuirks) -> io::Result<Self> {
        let account = Arc::new(Account::new(
            Arc::clone(&settings.media),
            Webhooks::new(settings),
            quirks,
        ));
        let router = routes::router(Arc::clone(&account));
        let server = Server::start(settings, operation, router).await?;
        account.live_at(server.base());
        let mut tasks = JoinSet::new();
        tasks.spawn(watch(Arc::clone(&account)));
        Ok(Self {
            server,
            account,
            _tasks: tasks,
        })
    }

    /// The base of its API.
    pub const fn base(&self) -> &Url {
        self.server.base()
    }

    /// What it was asked.
    pub const fn records(&self) -> &Records {
        self.server.records()
    }

    /// Its webhooks so far.
    pub fn webhooks(&self) -> Vec<Delivery> {
        self.account.webhooks().sent()
    }

    /// Its rooms, by name.
    pub fn rooms(&self) -> Vec<FakeRoom> {
        self.account.view()
    }

    /// Whether a token lets somebody into a room as the one who brings the show, and neither into others nor for ever.
    pub fn opens(&self, token: &str, room: &str) -> bool {
        account::opens(token, room)
    }

    /// Ends a live stream as a media worker that has gone does.
    pub async fn break_stream(&self, room: &str, words: &str) {
        self.account.break_streams(room, words).await;
    }

    /// Makes a room that is nobody's of ours.
    pub async fn add_room(&self, name: &str) {
        self.account.add(name).await;
    }
}

/// Tells by webhook what becomes of live streams.
async fn watch(account: Arc<Account>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        account.look().await;
    }
}

/// The names of our client's operations, and of what only others ask for.
fn operation(method: &Method, path: &str) -> Option<String> {
    let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let name = match (method.as_str(), segments.as_slice()) {
        ("GET", [""]) => "read_domain",
        ("POST", ["meeting-tokens"]) => "create_token",
        ("GET", ["rooms"]) => "list_rooms",
        ("POST", ["rooms"]) => "create_room",
        ("GET", ["rooms", _]) => "read_room",
        ("POST", ["rooms", _]) => "change_room",
        ("DELETE", ["rooms", _]) => "delete_room",
        ("GET", ["rooms", _, "presence"]) => "read_presence",
        ("POST", ["rooms", _, "live-streaming", "start"]) => "start_stream",
        ("POST", ["rooms", _, "live-streaming", "stop"]) => "stop_stream",
        ("POST", ["rooms", _, "live-streaming", "add-endpoints"]) => "add_endpoints",
        ("POST", ["rooms", _, "live-streaming", "remove-endpoints"]) => "remove_endpoints",
        _ => return None,
    };
    Some(name.to_owned())
}
