//! Daily: a call that the show is brought into, and a live stream that Daily makes of the call.

mod instance;
mod remote;
mod reports;
mod rooms;
mod settings;
mod sidecar;
#[cfg(test)]
mod tests;
mod token;
mod webhook;
mod wire;

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use broadcast::{Provider, StreamKey};
use tokio::sync::OnceCell;

pub use self::remote::{DailyRoom, room_of};
pub use self::settings::{
    DAILY_API, DAILY_RATES, DailyContribution, DailySettings, DailySetupError, DailyTokens,
};
pub use self::sidecar::{SIDECAR_PYTHON, Sidecar, SidecarSettings};
use self::{
    instance::{endpoint_name, instance, whole_url},
    remote::Remote,
    reports::Reports,
    rooms::Rooms,
    webhook::{Secret, Told},
    wire::{IDLE_LIMIT_SECONDS, Room},
};
use crate::{
    Capabilities, ContributionKind, Hot, Meter,
    hosted::{
        BreakerState, Contribution, ContributionState, EgressSpec, EgressStatus, Handle, HostedApi,
        HostedTarget, Owner, Prepared, ProviderError, SidecarOrder, TargetId, TargetState,
        TargetStatus, WebhookError, WebhookEvent, WebhookHeaders,
    },
};

/// How long one show may last: what Daily documents as the longest it takes for granted. It is sent, since another page has
/// four hours.
const LONGEST_SHOW: Duration = Duration::from_hours(24);

/// How much longer its room is open, so that the live stream ends first.
const ROOM_MARGIN: Duration = Duration::from_mins(10);

/// How long Daily takes to end an idle live stream, after the time that it may be idle for.
const IDLE_MARGIN: Duration = Duration::from_mins(3);

/// How long a destination may still be sent to after Daily has taken its removal, which it does later: nothing tells when.
/// A media worker does what it is told within a second or two; the rest is for the way there.
const REMOVAL_MARGIN: Duration = Duration::from_secs(10);

/// The most destinations of one live stream. Daily documents no number; more than these is more than one room's media
/// worker is known to do.
const DESTINATIONS_LIMIT: usize = 10;

/// How many live streams' reports are remembered; those of one's own that are live at a time, and as many of others.
const REPORTS_LIMIT: usize = 1024;

const CAPABILITIES: Capabilities = Capabilities {
    contribution: ContributionKind::Sidecar,
    hot_add: Hot::Yes,
    hot_remove: Hot::Yes,
    // It tells by webhook which ones it has dropped, and of none that it is live.
    destination_status: false,
    destination_pause: false,
    renditions: false,
    destinations_limit: DESTINATIONS_LIMIT,
    longest_show: Some(LONGEST_SHOW),
    forgets_after: Duration::from_secs(IDLE_LIMIT_SECONDS + IDLE_MARGIN.as_secs()),
    // Who is in a room is known up to 15 s late, and joining takes some seconds.
    start_limit: Duration::from_secs(45),
    webhooks: true,
    // Who brings the show is one participant.
    meters: &[(Meter::Participant, 1), (Meter::Output, 0)],
};

/// Daily.
///
/// A broadcast is one room, found again by its name; a room has one live stream with a destination for each target. Daily
/// cannot be asked how a live stream is: presence in the room is polled, and the rest is what webhooks have told this process.
#[derive(Debug)]
pub struct Daily {
    rooms: Rooms,
    api_key: StreamKey,
    capabilities: Capabilities,
    contribution: DailyContribution,
    tokens: DailyTokens,
    webhook_secret: Option<Secret>,
    clock: fn() -> SystemTime,
    reports: Reports,
    /// Asked for once: an account keeps it.
    domain: OnceCell<String>,
}

impl Daily {
    /// Nothing is asked yet.
    pub fn new(settings: DailySettings) -> Result<Self, DailySetupError> {
        settings.connect()
    }

    const fn with(
        rooms: Rooms,
        api_key: StreamKey,
        contribution: DailyContribution,
        tokens: DailyTokens,
        webhook_secret: Option<Secret>,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self {
            rooms,
            api_key,
            capabilities: Capabilities {
                contribution: match contribution {
                    DailyContribution::Sidecar => ContributionKind::Sidecar,
                    DailyContribution::Direct => ContributionKind::Direct,
                },
                ..CAPABILITIES
            },
            contribution,
            tokens,
            webhook_secret,
            clock,
            reports: Reports::new(REPORTS_LIMIT),
            domain: OnceCell::const_new(),
        }
    }

    /// The broadcast's room, without a live stream in it.
    ///
    /// One that is there is taken if nothing was ever sent from it. Otherwise it was left behind, perhaps with its live stream,
    /// and whether that has ended cannot be asked: so that no key is published to twice, the room is removed with all in it,
    /// and made anew.
    async fn empty_room(&self, name: &str, expires: u64) -> Result<Room, ProviderError> {
        let refused = match self.rooms.create(name, expires).await {
            Ok(room) => return Ok(room),
            Err(error @ (ProviderError::Conflict(_) | ProviderError::Invalid(_))) => error,
            Err(error) => return Err(error),
        };
        let room = match self.rooms.room(name).await {
            Ok(room) => room,
            // It was something else that Daily did not like.
            Err(ProviderError::NotFound(_)) => return Err(refused),
            Err(error) => return Err(error),
        };
        if room.endpoints().is_empty() {
            return self.rooms.prolong(name, expires).await;
        }
        self.rooms.stop(name, &instance(&room.id, 0)).await?;
        self.rooms.delete(name).await?;
        self.rooms.create(name, expires).await
    }

    /// The way into a room, with a token that is as good as the longest show is long.
    async fn contribution_to(&self, room: &Room) -> Result<Contribution, ProviderError> {
        let url = room.address()?;
        let now = (self.clock)();
        let expires = now + LONGEST_SHOW + ROOM_MARGIN;
        let token = self.token(&room.name, now, expires).await?;
        Ok(match self.contribution {
            DailyContribution::Sidecar => Contribution::Sidecar(SidecarOrder { room: url, token }),
            DailyContribution::Direct => Contribution::Direct { url, token },
        })
    }

    async fn token(
        &self,
        room: &str,
        now: SystemTime,
        expires: SystemTime,
    ) -> Result<StreamKey, ProviderError> {
        match self.tokens {
            DailyTokens::Issued => self.rooms.issue_token(room, token::seconds(expires)).await,
            DailyTokens::Signed => {
                let domain = self.domain.get_or_try_init(|| self.rooms.domain()).await?;
                token::sign(&self.api_key, domain, room, now, expires)
            }
        }
    }

    /// Tells the room the targets' addresses that it does not know yet. Those that it knows stay, since what is removed later
    /// must be known by name.
    async fn introduce(
        &self,
        remote: &Remote,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let mut known = self.rooms.room(&remote.room).await?.endpoints();
        let before = known.len();
        for target in targets {
            let name = endpoint_name(&remote.room_id, &target.endpoint);
            if !known.iter().any(|(there, _)| *there == name) {
                known.push((name, whole_url(&target.endpoint)));
            }
        }
        if known.len() == before {
            return Ok(());
        }
        self.rooms.know(&remote.room, &known).await
    }

    /// Begins the live stream.
    async fn begin(
        &self,
        handle: &mut Handle,
        mut remote: Remote,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let addresses = targets.iter().map(|target| {
            let name = endpoint_name(&remote.room_id, &target.endpoint);
            (name, whole_url(&target.endpoint))
        });
        let mut addresses: Vec<_> = addresses.collect();
        addresses.sort_by(|(one, _), (other, _)| one.cmp(other));
        addresses.dedup_by(|(one, _), (other, _)| one == other);
        self.rooms.know(&remote.room, &addresses).await?;
        // Before it is asked for: what becomes of the request may stay unknown.
        remote.streaming = true;
        remote.targets = remote.names(targets);
        remote.sent_to = remote.targets.values().cloned().collect();
        remote.perhaps.clear();
        remote.write(handle);
        match self.ask_to_start(&remote).await {
            // What became of it is told by asking once more: one that is there was begun by the first request.
            Err(
                ProviderError::Timeout(_)
                | ProviderError::Unavailable { .. }
                | ProviderError::Protocol(_),
            ) => match self.ask_to_start(&remote).await {
                Err(ProviderError::Conflict(_)) => Ok(()),
                second => second,
            },
            first => first,
        }
    }

    async fn ask_to_start(&self, remote: &Remote) -> Result<(), ProviderError> {
        self.rooms
            .start(
                &remote.room,
                &remote.instance(),
                &remote.sent_to,
                LONGEST_SHOW.as_secs(),
            )
            .await
    }

    /// Has a live stream go to these destinations and no others. More come first, since the last one cannot be taken.
    async fn settle(
        &self,
        handle: &mut Handle,
        mut remote: Remote,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        let stream = remote.instance();
        // Daily has let go of these by itself, and does not try them again.
        let dropped = self.reports.of(&stream).dropped;
        remote.sent_to.retain(|name| !dropped.contains(name));
        remote.targets = remote.names(targets);
        let wanted: BTreeSet<String> = remote.targets.values().cloned().collect();
        let add: BTreeSet<String> = wanted.difference(&remote.sent_to).cloned().collect();
        if !add.is_empty() {
            self.introduce(&remote, targets).await?;
            remote.perhaps.extend(add.iter().cloned());
            remote.write(handle);
            self.reports.forgive(&stream, &add);
            self.rooms.add(&remote.room, &stream, &add).await?;
            remote.perhaps.retain(|name| !add.contains(name));
            remote.sent_to.extend(add);
        }
        remote.write(handle);
        let there = remote.sent_to.union(&remote.perhaps);
        let stale: BTreeSet<String> = there
            .filter(|name| !wanted.contains(*name))
            .cloned()
            .collect();
        if !stale.is_empty() {
            self.rooms.remove(&remote.room, &stream, &stale).await?;
            remote.perhaps.clear();
            remote.sent_to = wanted;
            remote.write(handle);
        }
        Ok(())
    }

    /// Ends the live stream and keeps the room.
    async fn pause(&self, handle: &mut Handle, mut remote: Remote) -> Result<(), ProviderError> {
        self.rooms.stop(&remote.room, &remote.instance()).await?;
        remote.attempt += 1;
        remote.streaming = false;
        remote.targets.clear();
        remote.sent_to.clear();
        remote.perhaps.clear();
        remote.write(handle);
        Ok(())
    }
}

fn check_number(targets: &[HostedTarget]) -> Result<(), ProviderError> {
    if targets.len() > DESTINATIONS_LIMIT {
        return Err(ProviderError::Invalid(format!(
            "a live stream has at most {DESTINATIONS_LIMIT} destinations"
        )));
    }
    Ok(())
}

#[async_trait]
impl HostedApi for Daily {
    fn provider(&self) -> Provider {
        Provider::Daily
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn breaker(&self) -> BreakerState {
        self.rooms.breaker()
    }

    fn lets_go_within(&self) -> Duration {
        REMOVAL_MARGIN
    }

    /// RTMP and RTMPS are taken, and there is nothing else that an endpoint can be.
    fn check(&self, _target: &HostedTarget) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn prepare(&self, spec: &EgressSpec) -> Result<Prepared, ProviderError> {
        check_number(&spec.targets)?;
        let name = spec.owner.name_for(&spec.broadcast);
        let expires = (self.clock)() + LONGEST_SHOW + ROOM_MARGIN;
        let room = self.empty_room(&name, token::seconds(expires)).await?;
        let contribution = self.contribution_to(&room).await?;
        let remote = Remote::of(&room.name, &room.id);
        self.reports.forget(&remote.instance());
        self.reports.forget(&room.name);
        Ok(Prepared {
            handle: Handle::of(spec, serde_json::json!(remote)),
            contribution,
        })
    }

    async fn start(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        check_number(targets)?;
        let remote = Remote::read(handle)?;
        if targets.is_empty() {
            return Err(ProviderError::Invalid(
                "a live stream needs a destination".to_owned(),
            ));
        }
        if !remote.streaming {
            return self.begin(handle, remote, targets).await;
        }
        // It was asked for before, and whether it was begun may be unknown.
        match self.ask_to_start(&remote).await {
            Ok(()) | Err(ProviderError::Conflict(_)) => self.settle(handle, remote, targets).await,
            Err(error) => Err(error),
        }
    }

    /// Without any destination the live stream ends, since Daily does not take the last one from it.
    async fn update(
        &self,
        handle: &mut Handle,
        targets: &[HostedTarget],
    ) -> Result<(), ProviderError> {
        check_number(targets)?;
        let remote = Remote::read(handle)?;
        match (remote.streaming, targets.is_empty()) {
            (true, true) => self.pause(handle, remote).await,
            (true, false) => self.settle(handle, remote, targets).await,
            (false, true) => Ok(()),
            (false, false) => self.begin(handle, remote, targets).await,
        }
    }

    async fn renew(&self, handle: &Handle) -> Result<Option<Contribution>, ProviderError> {
        let remote = Remote::read(handle)?;
        let room = self.rooms.room(&remote.room).await?;
        self.contribution_to(&room).await.map(Some)
    }

    async fn status(&self, handle: &Handle) -> Result<EgressStatus, ProviderError> {
        let remote = Remote::read(handle)?;
        let contribution = if self.rooms.is_contributed_to(&remote.room).await? {
            ContributionState::Arriving
        } else {
            ContributionState::Absent
        };
        let report = self.reports.of(&remote.instance());
        let state = |name: &String| {
            if report.dropped.contains(name) {
                TargetState::Failed("Daily has dropped it, or could not reach it".to_owned())
            } else {
                TargetState::Unknown
            }
        };
        Ok(EgressStatus {
            contribution,
            targets: remote
                .targets
                .iter()
                .map(|(target, name)| TargetStatus {
                    id: TargetId::known(target),
                    state: state(name),
                })
                .collect(),
            ended: report.ended.or_else(|| self.reports.of(&remote.room).ended),
        })
    }

    async fn stop(&self, handle: &Handle) -> Result<(), ProviderError> {
        let remote = Remote::read(handle)?;
        let stopped = self.rooms.stop(&remote.room, &remote.instance()).await;
        // Also if that could not be done: a room that is gone has nobody in it whom a live stream could show.
        let deleted = self.rooms.delete(&remote.room).await;
        stopped.and(deleted)?;
        self.reports.forget(&remote.instance());
        self.reports.forget(&remote.room);
        Ok(())
    }

    fn webhook(
        &self,
        headers: &WebhookHeaders,
        body: &[u8],
        now: SystemTime,
    ) -> Result<WebhookEvent, WebhookError> {
        let secret = self
            .webhook_secret
            .as_ref()
            .ok_or(WebhookError::NotConfigured)?;
        let (event, told) = webhook::read(secret, headers, body, now)?;
        if let Some(subject) = &event.subject {
            match told {
                Told::Dropped(names) => self.reports.drop_endpoints(subject, names),
                Told::Ended(error) => self.reports.end(subject, error),
                Told::Nothing => {}
            }
        }
        Ok(event)
    }

    fn matches(&self, handle: &Handle, subject: &str) -> bool {
        Remote::read(handle)
            .is_ok_and(|remote| remote.room == subject || remote.instance() == subject)
    }

    /// Reads the account's name.
    async fn health(&self) -> Result<(), ProviderError> {
        self.rooms.domain().await.map(drop)
    }

    async fn owned(&self, owner: &Owner) -> Result<Vec<Handle>, ProviderError> {
        let rooms = self.rooms.all().await?;
        let handles = rooms.into_iter().filter_map(|room| {
            let broadcast = owner.broadcast_named(&room.name)?;
            Some(Handle {
                broadcast: broadcast.to_string(),
                owner: owner.to_string(),
                remote: serde_json::json!(Remote::of(&room.name, &room.id)),
            })
        });
        Ok(handles.collect())
    }
}
