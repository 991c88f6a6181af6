//! A provider in memory that does as it is told, and keeps account of what was asked.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use broadcast::{Endpoint, Provider, StreamKey};
use serde_json::json;

use crate::{
    Capabilities, ContributionKind, Hot, Meter,
    hosted::{
        Contribution, ContributionState, EgressSpec, EgressStatus, Handle, HostedApi, HostedTarget,
        Owner, Prepared, ProviderError, TargetState, TargetStatus, WebhookError, WebhookEvent,
        WebhookHeaders,
    },
};

/// A room at the scripted provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) owner: String,
    /// Whom it sends to, with their keys.
    pub(super) sends: BTreeMap<String, StreamKey>,
}

/// The provider's memory and its script.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By broadcast.
    pub(super) rooms: BTreeMap<String, Room>,
    /// What was asked, in order.
    pub(super) asked: Vec<String>,
    /// What goes wrong, by what is asked; each once.
    pub(super) refusals: BTreeMap<&'static str, VecDeque<ProviderError>>,
    /// What goes wrong each time.
    pub(super) out_of_order: BTreeMap<&'static str, ProviderError>,
    /// States of destinations that are not simply live.
    pub(super) states: BTreeMap<String, TargetState>,
    pub(super) arrival: Option<ContributionState>,
    pub(super) ended: Option<ProviderError>,
    /// How long answers take.
    pub(super) delay: Duration,
}

/// The scripted provider.
#[derive(Debug)]
pub(super) struct Scripted {
    capabilities: Capabilities,
    ingest: Endpoint,
    memory: Mutex<Memory>,
}

impl Scripted {
    pub(super) fn new(hot: Hot, ingest: Endpoint) -> Self {
        Self {
            capabilities: Capabilities {
                contribution: ContributionKind::Push,
                hot_add: hot,
                hot_remove: hot,
                destination_status: true,
                destination_pause: false,
                renditions: false,
                destinations_limit: 4,
                longest_show: None,
                forgets_after: Duration::from_secs(40),
                start_limit: Duration::from_secs(20),
                webhooks: true,
                meters: &[(Meter::Participant, 2), (Meter::Output, 1)],
            },
            ingest,
            memory: Mutex::default(),
        }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often something was asked.
    pub(super) fn count(&self, what: &str) -> usize {
        let memory = self.memory();
        memory.asked.iter().filter(|asked| *asked == what).count()
    }

    async fn ask(&self, what: &'static str) -> Result<(), ProviderError> {
        let (delay, refusal) = {
            let mut memory = self.memory();
            memory.asked.push(what.to_owned());
            let once = memory.refusals.get_mut(what).and_then(VecDeque::pop_front);
            let refusal = once.or_else(|| memory.out_of_order.get(what).cloned());
            (memory.delay, refusal)
        };
        tokio::time::sleep(delay).await;
        refusal.map_or(Ok(()), Err)
    }

    fn send(&self, handle: &Handle, targets: &[HostedTarget]) -> Result<(), ProviderError> {
        let mut memory = self.memory();
        let Some(room) = memory.rooms.get_mut(&handle.broadcast) else {
            return Err(ProviderError::NotFound("room"));
        };
        room.sends = targets
            .iter()
            .map(|target| {
                let key = target.endpoint.stream_key().clone();
                (target.id.to_string(), key)
            })
            .collect();
        Ok(())
    }
}

#[async_trait]
impl HostedApi for Scripted {
    fn provider(&self) -> Provider {
        Provider::Restream
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn check(&self, target: &HostedTarget) -> Result<(), ProviderError> {
        if target.endpoint.host() == "refused.example" {
            return Err(ProviderError::Invalid("not this one".to_owned()));
        }
        Ok(())
    }

    async fn prepare(&self, spec: &EgressSpec) -> Result<Prepared, ProviderError> {
        self.ask("prepare").await?;
        let broadcast = spec.broadcast.to_string();
        let mut memory = self.memory();
        let room = memory.rooms.entry(broadcast.clone()).or_default();
        room.owner = spec.owner.to_string();
        Ok(Prepared {
            handle: Handle {
                broadcast,
                owner: spec.owner.to_string(),
                remote: json!({ "room": spec.owner.name_for(&spec.broadcast) }),
            },
            contribution: Contribution::Push(self.ingest.clone()),
        })
    }

    async fn start(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        self.ask("start").await?;
        handle.remote["started"] = json!(true);
        self.send(handle, targets)
    }

    async fn update(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        self.ask("update").await?;
        if self.capabilities.hot_add != Hot::Yes {
            return Err(ProviderError::RestartRequired);
        }
        self.send(handle, targets)
    }

    async fn renew(&self, _handle: &Handle) -> Result<Option<Contribution>, ProviderError> {
        self.ask("renew").await?;
        let again = Endpoint::parse("rtmp://again.example/live", Some("canary-again"));
        Ok(again.ok().map(Contribution::Push))
    }

    async fn status(&self, handle: &Handle) -> Result<EgressStatus, ProviderError> {
        self.ask("status").await?;
        let memory = self.memory();
        let Some(room) = memory.rooms.get(&handle.broadcast) else {
            return Err(ProviderError::NotFound("room"));
        };
        let targets = room.sends.keys().map(|id| TargetStatus {
            id: crate::hosted::TargetId::known(id.clone()),
            state: memory.states.get(id).cloned().unwrap_or(TargetState::Live),
        });
        Ok(EgressStatus {
            contribution: memory.arrival.unwrap_or(ContributionState::Arriving),
            targets: targets.collect(),
            ended: memory.ended.clone(),
        })
    }

    async fn stop(&self, handle: &Handle) -> Result<(), ProviderError> {
        self.ask("stop").await?;
        let gone = self.memory().rooms.remove(&handle.broadcast);
        drop(gone);
        Ok(())
    }

    fn webhook(
        &self,
        _headers: &WebhookHeaders,
        _body: &[u8],
        _now: SystemTime,
    ) -> Result<WebhookEvent, WebhookError> {
        Err(WebhookError::Unsupported)
    }

    fn matches(&self, handle: &Handle, subject: &str) -> bool {
        handle.remote["room"] == subject
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.ask("health").await
    }

    async fn owned(&self, owner: &Owner) -> Result<Vec<Handle>, ProviderError> {
        self.ask("owned").await?;
        let memory = self.memory();
        let of_owner = memory
            .rooms
            .iter()
            .filter(|(_, room)| room.owner == owner.as_str());
        let handle = |(broadcast, room): (&String, &Room)| Handle {
            broadcast: broadcast.clone(),
            owner: room.owner.clone(),
            remote: json!({ "room": format!("castgate-{}-{broadcast}", room.owner) }),
        };
        Ok(of_owner.map(handle).collect())
    }
}
