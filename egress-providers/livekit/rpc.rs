//! `LiveKit`'s methods: Twirp with JSON, one `POST` each.

use std::time::SystemTime;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    Picture,
    token::{Credentials, Grant},
    wire::{Egress, Ingress, Page, Room},
};
use crate::hosted::{ApiClient, Cost, Operation, ProviderError, Refusal};

/// Who sends the show into the room.
pub(super) const PARTICIPANT: &str = "castgate";

/// How long a room without anybody stays: longer than a contribution is tried again.
const EMPTY_SECONDS: u32 = 120;

/// How many participants a room may have: the show, and the egress behind it, twice while one follows another.
const PARTICIPANTS_LIMIT: u32 = 5;

/// The most pages of a listing that are read, so that a server that always has another is not read for ever.
const PAGES_LIMIT: usize = 50;

/// How far apart keyframes are, in seconds: what platforms ask for. `LiveKit`'s own default is four.
const KEYFRAME_SECONDS: u32 = 2;

/// The sound that all platforms take, in kb/s and Hz.
const SOUND_KBPS: u32 = 128;
const SOUND_HZ: u32 = 48_000;

/// The methods of one server.
#[derive(Debug)]
pub(super) struct Rpc {
    client: ApiClient,
    credentials: Credentials,
}

/// One method.
struct Method {
    path: &'static str,
    name: &'static str,
    grant: Grant,
    thing: &'static str,
    idempotent: bool,
    cost: Cost,
}

impl Method {
    /// One that may be repeated.
    const fn repeatable(
        path: &'static str,
        name: &'static str,
        grant: Grant,
        thing: &'static str,
    ) -> Self {
        Self {
            path,
            name,
            grant,
            thing,
            idempotent: true,
            cost: Cost::General,
        }
    }

    /// One that may not.
    const fn once(
        path: &'static str,
        name: &'static str,
        grant: Grant,
        thing: &'static str,
        cost: Cost,
    ) -> Self {
        Self {
            path,
            name,
            grant,
            thing,
            idempotent: false,
            cost,
        }
    }
}

/// The default value of `LiveKit`'s own is left out of its documents.
#[derive(Serialize)]
struct Listing<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    room_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ingress_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    egress_id: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    active: bool,
}

const ALL: Listing<'static> = Listing {
    room_name: "",
    ingress_id: "",
    egress_id: "",
    active: false,
};

impl Rpc {
    pub(super) const fn new(client: ApiClient, credentials: Credentials) -> Self {
        Self {
            client,
            credentials,
        }
    }

    pub(super) const fn client(&self) -> &ApiClient {
        &self.client
    }

    /// Makes a room; one that is there is kept.
    pub(super) async fn create_room(
        &self,
        name: &str,
        metadata: &str,
    ) -> Result<Room, ProviderError> {
        const METHOD: Method = Method::repeatable(
            "/twirp/livekit.RoomService/CreateRoom",
            "create_room",
            Grant::Rooms,
            "room",
        );
        let body = json!({
            "name": name,
            "empty_timeout": EMPTY_SECONDS,
            "departure_timeout": EMPTY_SECONDS,
            "max_participants": PARTICIPANTS_LIMIT,
            "metadata": metadata,
        });
        self.call(&METHOD, &body).await
    }

    /// The rooms of these names; without any name, all.
    pub(super) async fn rooms(&self, names: &[&str]) -> Result<Vec<Room>, ProviderError> {
        const METHOD: Method = Method::repeatable(
            "/twirp/livekit.RoomService/ListRooms",
            "list_rooms",
            Grant::RoomList,
            "room",
        );
        let page: Page<Room> = self.call(&METHOD, &json!({ "names": names })).await?;
        Ok(page.items)
    }

    pub(super) async fn delete_room(&self, name: &str) -> Result<(), ProviderError> {
        const METHOD: Method = Method::repeatable(
            "/twirp/livekit.RoomService/DeleteRoom",
            "delete_room",
            Grant::Rooms,
            "room",
        );
        let _: Map<String, Value> = self.call(&METHOD, &json!({ "room": name })).await?;
        Ok(())
    }

    /// Makes a way into a room by WHIP, without transcoding. Asked twice, it makes two.
    pub(super) async fn create_ingress(&self, room: &str) -> Result<Ingress, ProviderError> {
        const METHOD: Method = Method::once(
            "/twirp/livekit.Ingress/CreateIngress",
            "create_ingress",
            Grant::Ingress,
            "ingress",
            Cost::General,
        );
        let body = json!({
            "input_type": "WHIP_INPUT",
            "name": room,
            "room_name": room,
            "participant_identity": PARTICIPANT,
            "participant_name": PARTICIPANT,
            "enable_transcoding": false,
            "enabled": true,
        });
        self.call(&METHOD, &body).await
    }

    /// All ways into a room, or all there are.
    pub(super) async fn ingresses(
        &self,
        room: Option<&str>,
    ) -> Result<Vec<Ingress>, ProviderError> {
        let room_name = room.unwrap_or_default();
        self.list_ingresses(&Listing { room_name, ..ALL }).await
    }

    /// One way into a room, if it is there.
    pub(super) async fn ingress(&self, id: &str) -> Result<Option<Ingress>, ProviderError> {
        let ingress_id = id;
        found(self.list_ingresses(&Listing { ingress_id, ..ALL }).await)
            .map(|found| found.into_iter().find(|ingress| ingress.id == id))
    }

    async fn list_ingresses(&self, listing: &Listing<'_>) -> Result<Vec<Ingress>, ProviderError> {
        const METHOD: Method = Method::repeatable(
            "/twirp/livekit.Ingress/ListIngress",
            "list_ingress",
            Grant::Ingress,
            "ingress",
        );
        self.list(&METHOD, listing).await
    }

    pub(super) async fn delete_ingress(&self, id: &str) -> Result<(), ProviderError> {
        const METHOD: Method = Method::repeatable(
            "/twirp/livekit.Ingress/DeleteIngress",
            "delete_ingress",
            Grant::Ingress,
            "ingress",
        );
        let _: Map<String, Value> = self.call(&METHOD, &json!({ "ingress_id": id })).await?;
        Ok(())
    }

    /// Has the show in a room sent to some addresses. Asked twice, it sends twice.
    pub(super) async fn start_egress(
        &self,
        room: &str,
        picture: Picture,
        addresses: &[&str],
    ) -> Result<Egress, ProviderError> {
        const METHOD: Method = Method::once(
            "/twirp/livekit.Egress/StartParticipantEgress",
            "start_egress",
            Grant::Egress,
            "room",
            Cost::Start,
        );
        let body = json!({
            "room_name": room,
            "identity": PARTICIPANT,
            "advanced": {
                "width": picture.width,
                "height": picture.height,
                "framerate": picture.framerate,
                "audio_codec": "AAC",
                "audio_bitrate": SOUND_KBPS,
                "audio_frequency": SOUND_HZ,
                "video_codec": "H264_MAIN",
                "video_bitrate": picture.kbps,
                "key_frame_interval": KEYFRAME_SECONDS,
            },
            "stream_outputs": [{ "protocol": "RTMP", "urls": addresses }],
        });
        self.call(&METHOD, &body).await
    }

    /// Adds an address to an egress. Asked twice, it may send twice.
    pub(super) async fn add_stream(
        &self,
        egress: &str,
        address: &str,
    ) -> Result<Egress, ProviderError> {
        const METHOD: Method = Method::once(
            "/twirp/livekit.Egress/UpdateStream",
            "add_stream",
            Grant::Egress,
            "egress",
            Cost::General,
        );
        let body = json!({ "egress_id": egress, "add_output_urls": [address] });
        self.call(&METHOD, &body).await
    }

    /// Takes an address from an egress; the last one ends it.
    pub(super) async fn remove_stream(
        &self,
        egress: &str,
        address: &str,
    ) -> Result<(), ProviderError> {
        const METHOD: Method = Method::repeatable(
            "/twirp/livekit.Egress/UpdateStream",
            "remove_stream",
            Grant::Egress,
            "stream",
        );
        let body = json!({ "egress_id": egress, "remove_output_urls": [address] });
        let _: Map<String, Value> = self.call(&METHOD, &body).await?;
        Ok(())
    }

    /// The egresses of a room that are not over, or all such there are.
    pub(super) async fn active_egresses(
        &self,
        room: Option<&str>,
    ) -> Result<Vec<Egress>, ProviderError> {
        let listing = Listing {
            room_name: room.unwrap_or_default(),
            active: true,
            ..ALL
        };
        let mut egresses = self.list_egresses(&listing).await?;
        // Some versions do not filter.
        egresses.retain(|egress| {
            !egress.status.is_over() && room.is_none_or(|room| egress.room_name == room)
        });
        Ok(egresses)
    }

    /// One egress, if it is remembered; those that are over are for some time.
    pub(super) async fn egress(&self, id: &str) -> Result<Option<Egress>, ProviderError> {
        let egress_id = id;
        found(self.list_egresses(&Listing { egress_id, ..ALL }).await)
            .map(|found| found.into_iter().find(|egress| egress.id == id))
    }

    async fn list_egresses(&self, listing: &Listing<'_>) -> Result<Vec<Egress>, ProviderError> {
        const METHOD: Method = Method::repeatable(
            "/twirp/livekit.Egress/ListEgress",
            "list_egress",
            Grant::Egress,
            "egress",
        );
        self.list(&METHOD, listing).await
    }

    /// Ends an egress; it may send on for some seconds. One that is over already is refused with a conflict.
    pub(super) async fn stop_egress(&self, id: &str) -> Result<(), ProviderError> {
        const METHOD: Method = Method::repeatable(
            "/twirp/livekit.Egress/StopEgress",
            "stop_egress",
            Grant::Egress,
            "egress",
        );
        let _: Map<String, Value> = self.call(&METHOD, &json!({ "egress_id": id })).await?;
        Ok(())
    }

    /// All pages of a listing.
    async fn list<T: DeserializeOwned>(
        &self,
        method: &Method,
        listing: &Listing<'_>,
    ) -> Result<Vec<T>, ProviderError> {
        let mut items = Vec::new();
        let mut body = json!(listing);
        for _ in 0..PAGES_LIMIT {
            let page: Page<T> = self.call(method, &body).await?;
            items.extend(page.items);
            match page.next_page_token {
                Some(token) if !token.token.is_empty() => {
                    body["page_token"] = json!({ "token": token.token });
                }
                _ => return Ok(items),
            }
        }
        let why = format!("its listing has more than {PAGES_LIMIT} pages");
        Err(ProviderError::Protocol(why))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &Method,
        body: &Value,
    ) -> Result<T, ProviderError> {
        let token = self
            .credentials
            .token(method.grant, SystemTime::now())
            .ok_or_else(|| ProviderError::Invalid("the clock is before 1970".to_owned()))?;
        let operation = Operation {
            name: method.name,
            method: "POST",
            path: method.path,
            idempotent: method.idempotent,
            cost: method.cost,
            thing: method.thing,
        };
        let request = self.client.request(operation).bearer(&token).json(body);
        Ok(request.send().await?.body)
    }
}

/// What is not there is an empty list; some versions say so by an error.
fn found<T>(listing: Result<Vec<T>, ProviderError>) -> Result<Vec<T>, ProviderError> {
    match listing {
        Err(ProviderError::NotFound(_)) => Ok(Vec::new()),
        listing => listing,
    }
}

/// What Twirp says more precisely than the status.
pub(super) fn refusals(refusal: &Refusal<'_>) -> Option<ProviderError> {
    let code = refusal
        .document
        .and_then(|document| document["code"].as_str());
    match (refusal.status, code) {
        (401, _) => Some(ProviderError::Auth),
        (404, Some("not_found")) => None,
        // A proxy's, or another server's: what was asked for may be there all the same.
        (404 | 405, _) => Some(ProviderError::Protocol(
            "there is no such method; is the address LiveKit's?".to_owned(),
        )),
        (412, _) => Some(ProviderError::Conflict(refusal.words())),
        (429, Some(_)) if is_quota(&refusal.words()) => Some(ProviderError::Quota(refusal.words())),
        _ => None,
    }
}

/// One code stands for being asked too often, and for having used up what was paid for.
fn is_quota(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["quota", "minutes", "billing", "plan"]
        .iter()
        .any(|word| words.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, document: Option<&Value>) -> ProviderError {
        let refusal = Refusal {
            status,
            document,
            retry_after: None,
            thing: "room",
        };
        refusals(&refusal).unwrap_or_else(|| refusal.by_status())
    }

    #[test]
    fn what_is_gone_is_told_from_what_is_no_livekit() {
        let gone = json!({ "code": "not_found", "msg": "no room" });
        let bad_route = json!({ "code": "bad_route", "msg": "no handler" });

        assert_eq!(refusal(404, Some(&gone)), ProviderError::NotFound("room"));
        for document in [None, Some(&bad_route)] {
            let error = refusal(404, document);
            assert!(matches!(error, ProviderError::Protocol(_)), "{error:?}");
        }
    }

    #[test]
    fn being_asked_too_often_is_told_from_a_used_up_quota() {
        let exhausted = |words: &str| {
            let document = json!({ "code": "resource_exhausted", "msg": words });
            refusal(429, Some(&document))
        };

        assert_eq!(
            exhausted("rate limit exceeded"),
            ProviderError::RateLimited { retry_after: None }
        );
        assert!(matches!(
            exhausted("transcode minutes used up"),
            ProviderError::Quota(_)
        ));
    }

    #[test]
    fn a_refusal_in_plain_text_is_understood() {
        assert_eq!(refusal(401, None), ProviderError::Auth);
        assert!(matches!(refusal(403, None), ProviderError::Forbidden(_)));
    }
}
