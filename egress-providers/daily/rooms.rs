//! What Daily is asked: rooms, who is in them, and their live streams.

use std::collections::{BTreeMap, BTreeSet};

use broadcast::StreamKey;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    token::CONTRIBUTOR,
    wire::{
        Domain, ListedRoom, Presence, Room, RoomPage, Token, known_endpoints, later_end,
        live_stream, new_room, new_token, some_endpoints,
    },
};
use crate::hosted::{ApiClient, BreakerState, Cost, Operation, ProviderError};

/// How many rooms a page has, which is the most.
const PAGE: usize = 100;

/// How many pages are read: an account with more rooms than these hold is not searched to the end, and a server that goes
/// round in circles is left.
const PAGES_LIMIT: usize = 50;

/// Daily's API, as far as it is used.
#[derive(Debug)]
pub(super) struct Rooms {
    client: ApiClient,
}

impl Rooms {
    pub(super) const fn new(client: ApiClient) -> Self {
        Self { client }
    }

    /// Whether Daily is asked at the moment.
    pub(super) fn breaker(&self) -> BreakerState {
        self.client.breaker()
    }

    /// The account's name that tokens are signed for.
    pub(super) async fn domain(&self) -> Result<String, ProviderError> {
        let domain: Domain = self.get("read_domain", "/", "domain").await?;
        Ok(domain.domain_id)
    }

    /// Makes a room; a name that is taken is a [`ProviderError::Conflict`] or, if Daily words it anew, an
    /// [`ProviderError::Invalid`].
    pub(super) async fn create(&self, name: &str, expires: u64) -> Result<Room, ProviderError> {
        let room = new_room(name, expires);
        self.post("create_room", "/rooms", &room, "rooms").await
    }

    pub(super) async fn room(&self, name: &str) -> Result<Room, ProviderError> {
        let path = format!("/rooms/{name}");
        self.get("read_room", &path, "room").await
    }

    /// Lets a room be used for longer.
    pub(super) async fn prolong(&self, name: &str, expires: u64) -> Result<Room, ProviderError> {
        self.change(name, &later_end(expires)).await
    }

    /// Gives a room these destinations and no others, without anything being sent to them.
    pub(super) async fn know(
        &self,
        name: &str,
        endpoints: &[(String, StreamKey)],
    ) -> Result<(), ProviderError> {
        self.change(name, &known_endpoints(endpoints)).await?;
        Ok(())
    }

    async fn change(&self, name: &str, change: &Value) -> Result<Room, ProviderError> {
        let path = format!("/rooms/{name}");
        self.post("change_room", &path, change, "room").await
    }

    /// Removes a room; one that is gone is as good.
    pub(super) async fn delete(&self, name: &str) -> Result<(), ProviderError> {
        let path = format!("/rooms/{name}");
        let request = self.client.request(Operation {
            name: "delete_room",
            method: "DELETE",
            path: &path,
            idempotent: true,
            cost: Cost::General,
            thing: "room",
        });
        match request.done().await {
            Ok(_) | Err(ProviderError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// All rooms of the account, whoever made them.
    ///
    /// Which of the two cursors leads to older rooms is documented in two ways; when one leads nowhere the other is taken.
    pub(super) async fn all(&self) -> Result<Vec<ListedRoom>, ProviderError> {
        let mut rooms = BTreeMap::new();
        let mut cursors = ["ending_before", "starting_after"].into_iter();
        let mut cursor = cursors.next();
        let mut last: Option<String> = None;
        for _ in 0..PAGES_LIMIT {
            let page = self.page(cursor.zip(last.as_deref())).await?;
            let known = rooms.len();
            let oldest = page.data.last().map(|room| room.id.clone());
            for room in page.data {
                rooms.insert(room.id.clone(), room);
            }
            if rooms.len() >= page.total_count {
                break;
            }
            if rooms.len() > known {
                last = oldest;
            } else {
                cursor = cursors.next();
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(rooms.into_values().collect())
    }

    async fn page(&self, behind: Option<(&str, &str)>) -> Result<RoomPage, ProviderError> {
        let mut request = self
            .client
            .request(reading("list_rooms", "/rooms", "rooms"))
            .query("limit", &PAGE.to_string());
        if let Some((cursor, room)) = behind {
            request = request.query(cursor, room);
        }
        Ok(request.send().await?.body)
    }

    /// Whether somebody in a room brings the show. Daily knows it up to 15 s late.
    pub(super) async fn is_contributed_to(&self, name: &str) -> Result<bool, ProviderError> {
        let path = format!("/rooms/{name}/presence");
        let presence: Presence = self.get("read_presence", &path, "room").await?;
        let contributes = |user: &Option<String>| user.as_deref() == Some(CONTRIBUTOR);
        Ok(presence.data.iter().any(|who| contributes(&who.user_id)))
    }

    /// Has a token made that opens a room to the one who brings the show.
    pub(super) async fn issue_token(
        &self,
        room: &str,
        expires: u64,
    ) -> Result<StreamKey, ProviderError> {
        let wanted = new_token(room, CONTRIBUTOR, expires);
        let token: Token = self
            .post("create_token", "/meeting-tokens", &wanted, "room")
            .await?;
        Ok(token.token)
    }

    /// Begins a live stream; if there is one already it is a [`ProviderError::Conflict`].
    pub(super) async fn start(
        &self,
        room: &str,
        instance: &str,
        names: &BTreeSet<String>,
        longest_seconds: u64,
    ) -> Result<(), ProviderError> {
        let stream = live_stream(instance, names, longest_seconds);
        self.stream("start_stream", room, "start", Cost::Start, &stream)
            .await
    }

    /// Has a live stream sent to more destinations, which the room knows.
    pub(super) async fn add(
        &self,
        room: &str,
        instance: &str,
        names: &BTreeSet<String>,
    ) -> Result<(), ProviderError> {
        let endpoints = some_endpoints(instance, names);
        self.stream(
            "add_endpoints",
            room,
            "add-endpoints",
            Cost::General,
            &endpoints,
        )
        .await
    }

    /// Has a live stream sent to fewer destinations; the last one cannot be taken.
    pub(super) async fn remove(
        &self,
        room: &str,
        instance: &str,
        names: &BTreeSet<String>,
    ) -> Result<(), ProviderError> {
        let endpoints = some_endpoints(instance, names);
        self.stream(
            "remove_endpoints",
            room,
            "remove-endpoints",
            Cost::General,
            &endpoints,
        )
        .await
    }

    /// Ends a live stream; one that is over, or never was, is as good.
    pub(super) async fn stop(&self, room: &str, instance: &str) -> Result<(), ProviderError> {
        let which = serde_json::json!({ "instanceId": instance });
        match self
            .stream("stop_stream", room, "stop", Cost::General, &which)
            .await
        {
            // Daily documents no word for "there is none".
            Ok(())
            | Err(
                ProviderError::NotFound(_) | ProviderError::Invalid(_) | ProviderError::Conflict(_),
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// All of these may be asked for twice, since they name the instance; but for a start, of which the second answer is that
    /// there is a live stream, and whoever asked must know whose.
    async fn stream(
        &self,
        name: &'static str,
        room: &str,
        verb: &str,
        cost: Cost,
        document: &Value,
    ) -> Result<(), ProviderError> {
        let path = format!("/rooms/{room}/live-streaming/{verb}");
        let request = self.client.request(Operation {
            name,
            method: "POST",
            path: &path,
            idempotent: cost != Cost::Start,
            cost,
            thing: "room",
        });
        request.json(document).done().await?;
        Ok(())
    }

    async fn get<T: DeserializeOwned>(
        &self,
        name: &'static str,
        path: &str,
        thing: &'static str,
    ) -> Result<T, ProviderError> {
        let request = self.client.request(reading(name, path, thing));
        Ok(request.send().await?.body)
    }

    /// A room's name makes its creation repeatable, and the rest is.
    async fn post<T: DeserializeOwned>(
        &self,
        name: &'static str,
        path: &str,
        document: &Value,
        thing: &'static str,
    ) -> Result<T, ProviderError> {
        let request = self.client.request(Operation {
            name,
            method: "POST",
            path,
            idempotent: true,
            cost: Cost::General,
            thing,
        });
        Ok(request.json(document).send().await?.body)
    }
}

const fn reading<'a>(name: &'static str, path: &'a str, thing: &'static str) -> Operation<'a> {
    Operation {
        name,
        method: "GET",
        path,
        idempotent: true,
        cost: Cost::General,
        thing,
    }
}
