//! `LiveKit`, its cloud or a server of one's own: the show comes in by WHIP and goes out by a participant egress, whose
//! destinations are added and removed while it runs.

mod address;
mod egress;
mod remote;
mod rpc;
mod status;
#[cfg(test)]
mod tests;
mod token;
mod wire;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use broadcast::{DESTINATIONS_LIMIT, Provider, StreamKey};
use serde_json::json;
use url::Url;

use self::{
    egress::Memory,
    remote::{Remote, Sent},
    rpc::Rpc,
    token::Credentials,
};
use crate::{
    Capabilities, ContributionKind, Hot, Meter,
    hosted::{
        ApiClient, ApiSettings, ApiSetupError, Authorization, BreakerState, Contribution,
        EgressSpec, EgressStatus, Handle, HostedApi, HostedTarget, LocalBudget, Owner, Prepared,
        ProviderError, Rate, Rates, Surroundings, WebhookError, WebhookEvent, WebhookHeaders,
        WhipOrder,
    },
};

/// About 1000 requests a minute, which its cloud is said to allow; starts take a media worker each.
const RATES: Rates = Rates {
    general: Rate {
        burst: 100,
        each: Duration::from_millis(60),
    },
    start: Rate {
        burst: 5,
        each: Duration::from_secs(1),
    },
};

const CAPABILITIES: Capabilities = Capabilities {
    contribution: ContributionKind::Whip,
    hot_add: Hot::Yes,
    hot_remove: Hot::Yes,
    destination_status: true,
    destination_pause: false,
    renditions: false,
    destinations_limit: DESTINATIONS_LIMIT,
    longest_show: None,
    // An ingress gives a silent peer up after 30 s, its egress ends with it and flushes for some seconds more.
    forgets_after: Duration::from_secs(90),
    start_limit: Duration::from_secs(20),
    webhooks: true,
    // The show is one participant, and its egress is transcoded once for all destinations.
    meters: &[(Meter::Participant, 1), (Meter::Show, 1)],
};

/// How long it may send on to an address after it has confirmed that this is removed: its pipeline takes the branch out
/// between two of its buffers.
const REMOVAL: Duration = Duration::from_secs(2);

/// What a webhook may tell of; others are `other` in metrics.
const EVENTS: [&str; 12] = [
    "room_started",
    "room_finished",
    "participant_joined",
    "participant_left",
    "participant_connection_aborted",
    "track_published",
    "track_unpublished",
    "egress_started",
    "egress_updated",
    "egress_ended",
    "ingress_started",
    "ingress_ended",
];

/// The picture that an egress makes: one for all destinations of a show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Pictures a second.
    pub framerate: u32,
    /// Of the video alone.
    pub kbps: u32,
}

impl Default for Picture {
    /// 1080p30 with 4500 kb/s, as `LiveKit`'s own preset; every platform takes it.
    fn default() -> Self {
        Self {
            width: 1920,
            height: 1080,
            framerate: 30,
            kbps: 4500,
        }
    }
}

/// Where `LiveKit` is and who we are there.
#[derive(Debug, Clone)]
pub struct LivekitSettings {
    /// Its address; `wss` and `ws`, as its own tools show it, are taken for `https` and `http`.
    pub url: Url,
    /// The API key; no secret.
    pub api_key: String,
    /// The API secret, which also signs webhooks.
    pub api_secret: StreamKey,
    /// What is sent to destinations.
    pub picture: Picture,
}

/// `LiveKit`.
#[derive(Debug)]
pub struct Livekit {
    rpc: Rpc,
    credentials: Credentials,
    picture: Picture,
    memory: Memory,
}

impl Livekit {
    /// One that has not been asked anything yet.
    pub fn new(
        settings: LivekitSettings,
        surroundings: Surroundings,
    ) -> Result<Self, ApiSetupError> {
        let credentials = Credentials::new(settings.api_key, settings.api_secret);
        let client = ApiClient::new(ApiSettings {
            provider: Provider::Livekit,
            base: of_websocket(&settings.url)?,
            authorization: Authorization::PerRequest,
            budget: Arc::new(LocalBudget::new(RATES)),
            refusals: rpc::refusals,
            surroundings,
        })?;
        Ok(Self {
            rpc: Rpc::new(client, credentials.clone()),
            credentials,
            picture: settings.picture,
            memory: Memory::default(),
        })
    }

    /// The way into a room, made unless it is there.
    async fn way_in(&self, room: &str) -> Result<wire::Ingress, ProviderError> {
        let mut ways = self.rpc.ingresses(Some(room)).await?;
        ways.retain(|ingress| ingress.name == room && ingress.stream_key.is_some());
        // Always the same one of several.
        ways.sort_by(|one, other| one.id.cmp(&other.id));
        match ways.into_iter().next() {
            Some(ingress) => Ok(ingress),
            None => self.rpc.create_ingress(room).await,
        }
    }
}

/// `https` of `wss`.
fn of_websocket(url: &Url) -> Result<Url, ApiSetupError> {
    let rest = |scheme| url.as_str().strip_prefix(scheme);
    let url = match (rest("wss:"), rest("ws:")) {
        (Some(rest), _) => format!("https:{rest}"),
        (_, Some(rest)) => format!("http:{rest}"),
        (None, None) => return Ok(url.clone()),
    };
    Url::parse(&url).map_err(|_| ApiSetupError::Base)
}

/// What `LiveKit` is told of destinations.
fn sent(targets: &[HostedTarget]) -> Vec<Sent> {
    targets
        .iter()
        .map(|target| Sent {
            target: target.id.clone(),
            address: address::address(&target.endpoint),
        })
        .collect()
}

#[async_trait]
impl HostedApi for Livekit {
    fn provider(&self) -> Provider {
        Provider::Livekit
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }

    fn lets_go_within(&self) -> Duration {
        REMOVAL
    }

    fn breaker(&self) -> BreakerState {
        self.rpc.client().breaker()
    }

    fn check(&self, target: &HostedTarget) -> Result<(), ProviderError> {
        if address::is_address(&address::address(&target.endpoint)) {
            return Ok(());
        }
        let why = "LiveKit takes no address or key with a % that begins no escape such as %2F";
        Err(ProviderError::Invalid(why.to_owned()))
    }

    async fn prepare(&self, spec: &EgressSpec) -> Result<Prepared, ProviderError> {
        let room = spec.owner.name_for(&spec.broadcast);
        let metadata =
            json!({ "broadcast": spec.broadcast.as_str(), "owner": spec.owner.as_str() });
        self.rpc.create_room(&room, &metadata.to_string()).await?;
        let ingress = self.way_in(&room).await?;
        let Some(token) = ingress.stream_key else {
            let why = "the ingress has no stream key".to_owned();
            return Err(ProviderError::Protocol(why));
        };
        if ingress.url.is_empty() {
            let why = "the server takes no WHIP: its configuration needs whip_base_url";
            return Err(ProviderError::Invalid(why.to_owned()));
        }
        let mut handle = Handle::of(spec, serde_json::Value::Null);
        let remote = Remote {
            room,
            ingress: Some(ingress.id),
            ..Remote::default()
        };
        remote.write(&mut handle);
        Ok(Prepared {
            handle,
            contribution: Contribution::Whip(WhipOrder {
                url: StreamKey::new(ingress.url),
                bearer: Some(token),
            }),
        })
    }

    async fn start(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let mut remote = Remote::read(handle)?;
        let begun = self.begin(&mut remote, &sent(targets)).await;
        remote.write(handle);
        begun
    }

    async fn update(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let mut remote = Remote::read(handle)?;
        let changed = self.change(&mut remote, &sent(targets)).await;
        remote.write(handle);
        changed
    }

    async fn status(&self, handle: &Handle) -> Result<EgressStatus, ProviderError> {
        let remote = Remote::read(handle)?;
        let ingress = async {
            match &remote.ingress {
                Some(id) => self.rpc.ingress(id).await,
                None => Ok(None),
            }
        };
        let egress = async {
            match &remote.egress {
                Some(id) => self.rpc.egress(id).await,
                None => Ok(None),
            }
        };
        let (ingress, egress) = tokio::try_join!(ingress, egress)?;
        Ok(status::status(&remote, ingress.as_ref(), egress.as_ref()))
    }

    async fn stop(&self, handle: &Handle) -> Result<(), ProviderError> {
        let room = Remote::read(handle)?.room;
        let gone = |result| match result {
            Err(ProviderError::NotFound(_)) => Ok(()),
            result => result,
        };
        // All that is there by the room's name, also what the handle does not know of.
        let egresses = self.rpc.active_egresses(Some(&room)).await?;
        self.end_all(&egresses).await?;
        self.memory.forget(&room);
        for ingress in self.rpc.ingresses(Some(&room)).await? {
            gone(self.rpc.delete_ingress(&ingress.id).await)?;
        }
        gone(self.rpc.delete_room(&room).await)
    }

    fn webhook(
        &self,
        headers: &WebhookHeaders,
        body: &[u8],
        now: SystemTime,
    ) -> Result<WebhookEvent, WebhookError> {
        let authorization = headers
            .get("authorization")
            .or_else(|| headers.get("authorize"))
            .ok_or(WebhookError::Signature)?;
        self.credentials.verify(authorization, body, now)?;
        let event: wire::Event =
            serde_json::from_slice(body).map_err(|_| WebhookError::Malformed)?;
        if event.id.is_empty() || event.kind.is_empty() {
            return Err(WebhookError::Malformed);
        }
        let subject = [
            event.egress_info.map(|egress| egress.room_name),
            event.ingress_info.map(|ingress| ingress.room_name),
            event.room.map(|room| room.name),
        ];
        let known = EVENTS.contains(&event.kind.as_str());
        Ok(WebhookEvent {
            id: event.id,
            kind: if known {
                event.kind
            } else {
                "other".to_owned()
            },
            subject: subject.into_iter().flatten().find(|name| !name.is_empty()),
        })
    }

    fn matches(&self, handle: &Handle, subject: &str) -> bool {
        Remote::read(handle).is_ok_and(|remote| remote.room == subject)
    }

    async fn health(&self) -> Result<(), ProviderError> {
        // The name of no broadcast.
        self.rpc.rooms(&["castgate"]).await.map(drop)
    }

    async fn owned(&self, owner: &Owner) -> Result<Vec<Handle>, ProviderError> {
        let (rooms, ingresses, egresses) = tokio::try_join!(
            self.rpc.rooms(&[]),
            self.rpc.ingresses(None),
            self.rpc.active_egresses(None),
        )?;
        let names = rooms.into_iter().map(|room| room.name);
        let names = names.chain(ingresses.into_iter().map(|ingress| ingress.room_name));
        let names = names.chain(egresses.into_iter().map(|egress| egress.room_name));
        let by_room: BTreeMap<String, _> = names
            .filter_map(|name| Some((name.clone(), owner.broadcast_named(&name)?)))
            .collect();
        let handle = |(room, broadcast): (String, broadcast::BroadcastId)| {
            let mut handle = Handle {
                broadcast: broadcast.to_string(),
                owner: owner.to_string(),
                remote: serde_json::Value::Null,
            };
            let remote = Remote {
                room,
                ..Remote::default()
            };
            remote.write(&mut handle);
            handle
        };
        Ok(by_room.into_iter().map(handle).collect())
    }
}
