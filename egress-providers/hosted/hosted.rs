//! Hosted providers as providers of a broadcast: one session for each broadcast, whatever its destinations are.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use broadcast::{BroadcastId, Failure, Provider, Reason};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    BreakerState, Brought, Contribute, ContributionState, HandleStore, HostedApi, HostedTarget,
    Observer, Owner, ProviderError, SessionState, SessionView, TargetId, WebhookError,
    WebhookEvent, WebhookHeaders,
    invitation::INVITATIONS_LIMIT,
    machine::REMOVAL_LIMIT,
    reaper::{self, Reaped},
    session::{Command, Seen, Session, now},
};
use crate::{
    Capabilities, DestinationOrder, EgressProvider, LetGo, Meter, OpenDestination,
    open_destination::Attempt,
};

/// How many commands of one broadcast may wait; orders wait for room, wakes are left out, since polls follow anyway.
const MAILBOX_LIMIT: usize = 64;

/// How often, and how long, an order waits for room: a second in all.
const MAILBOX_PATIENCE: (u32, Duration) = (100, Duration::from_millis(10));

/// Of how many broadcasts without a session it is remembered what they used.
const REMEMBERED_LIMIT: usize = 1_000;

/// How long ending all sessions may take: they give up after eight seconds, but for a call that is under way.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(12);

/// What a hosted provider is made of.
#[derive(Debug, Clone)]
pub struct HostedParts {
    /// Its control plane.
    pub api: Arc<dyn HostedApi>,
    /// How shows get there; not asked where the studio goes there itself.
    pub contribute: Arc<dyn Contribute>,
    /// Whose things at the provider are.
    pub owner: Owner,
    /// Where what was made there is written down.
    pub store: Arc<dyn HandleStore>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
}

/// A hosted provider. Dropping it ends its sessions without waiting.
#[derive(Debug)]
pub struct Hosted {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

/// What a provider and its sessions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) parts: HostedParts,
    pub(super) stop: CancellationToken,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    links: HashMap<BroadcastId, Link>,
    /// What is being removed, by broadcast: a session of the same does not begin before that is over.
    reaping: HashMap<String, CancellationToken>,
    remembered: VecDeque<(BroadcastId, BTreeMap<Meter, Duration>)>,
    /// Until when the reaper leaves alone what is made for a broadcast, although no session carries it.
    kept: HashMap<String, Instant>,
}

#[derive(Debug)]
struct Link {
    mailbox: mpsc::Sender<Command>,
    seen: Seen,
}

impl Hosted {
    /// A provider without sessions.
    pub fn new(parts: HostedParts) -> Self {
        Self {
            shared: Arc::new(Shared {
                parts,
                stop: CancellationToken::new(),
                book: Mutex::default(),
            }),
            tasks: TaskTracker::new(),
        }
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Which.
    pub fn provider(&self) -> Provider {
        self.shared.parts.api.provider()
    }

    /// What it can do.
    pub fn capabilities(&self) -> &Capabilities {
        self.shared.parts.api.capabilities()
    }

    /// Whether it is asked at the moment.
    pub fn breaker(&self) -> BreakerState {
        self.shared.parts.api.breaker()
    }

    /// Whether it can be used.
    pub async fn health(&self) -> Result<(), ProviderError> {
        self.shared.parts.api.health().await
    }

    /// Verifies a webhook; what it tells is for [`wake`](Self::wake), unless it was told before.
    pub fn webhook(
        &self,
        headers: &WebhookHeaders,
        body: &[u8],
        now: SystemTime,
    ) -> Result<WebhookEvent, WebhookError> {
        self.shared.parts.api.webhook(headers, body, now)
    }

    /// Something has happened at the provider: has the sessions that it is about ask how they are.
    pub fn wake(&self, event: &WebhookEvent) {
        for link in self.shared.book().links.values() {
            // One that is too busy to be woken asks by itself soon.
            let _ = link.mailbox.try_send(Command::Wake(event.subject.clone()));
        }
    }

    /// How a broadcast is carried; `None` when it is not.
    pub fn view(&self, broadcast: &BroadcastId) -> Option<SessionView> {
        let book = self.shared.book();
        let link = book.links.get(broadcast)?;
        Some(self.shared.view(broadcast, &link.seen))
    }

    /// How all broadcasts are carried, by name.
    pub fn sessions(&self) -> Vec<SessionView> {
        let book = self.shared.book();
        let view =
            |(broadcast, link): (&BroadcastId, &Link)| self.shared.view(broadcast, &link.seen);
        let mut views: Vec<SessionView> = book.links.iter().map(view).collect();
        views.sort_by(|one, other| one.broadcast.cmp(&other.broadcast));
        views
    }

    /// Removes what is at the provider of this owner's broadcasts that nobody carries. To be called at the start and
    /// once a minute. Fails when the provider does not tell what there is; what is written down is removed even so.
    pub async fn reap(&self) -> Result<Reaped, ProviderError> {
        reaper::reap(&self.shared).await
    }

    /// Whether the provider could take an order, as far as that is known without asking it.
    fn check(&self, order: &DestinationOrder) -> Result<(), Failure> {
        let invalid = |words: &str| {
            let error = ProviderError::Invalid(words.to_owned());
            Err(error.failure(self.provider()))
        };
        if order.rendition.is_some() && !self.capabilities().renditions {
            return invalid("destinations cannot have a picture of their own shape there");
        }
        let target = HostedTarget {
            id: TargetId::new(&order.destination, order.line),
            endpoint: order.endpoint.clone(),
        };
        let checked = self.shared.parts.api.check(&target);
        checked.map_err(|error| error.failure(self.provider()))
    }

    /// Gives an order to its broadcast's session, which begins if there is none. Gives it back when that has no room.
    fn try_hand_over(
        &self,
        broadcast: &BroadcastId,
        command: Command,
    ) -> Result<(), TrySendError<Command>> {
        let mut book = self.shared.book();
        if let Some(link) = book.links.get(broadcast) {
            return link.mailbox.try_send(command);
        }
        let (mailbox, inbox) = mpsc::channel(MAILBOX_LIMIT);
        mailbox.try_send(command)?;
        let seen = Seen {
            state: SessionState::Waiting,
            since: now(),
            arrival: ContributionState::Unknown,
            live: 0,
            used: book.recall(broadcast),
            using: BTreeMap::new(),
            join: None,
            counters: Arc::default(),
        };
        let shared = Arc::clone(&self.shared);
        let session = Session::new(broadcast.clone(), shared, inbox, &seen);
        book.links.insert(broadcast.clone(), Link { mailbox, seen });
        drop(book);
        let guard = Guard {
            shared: Arc::clone(&self.shared),
            broadcast: broadcast.clone(),
        };
        let provider = self.provider();
        let span = tracing::info_span!("session", %broadcast, %provider);
        let run = async move {
            let _guard = guard;
            session.run().await;
        };
        self.tasks.spawn(run.instrument(span));
        Ok(())
    }
}

#[async_trait]
impl EgressProvider for Hosted {
    fn name(&self) -> &'static str {
        self.provider().as_str()
    }

    async fn open(&self, order: DestinationOrder) -> Result<OpenDestination, Failure> {
        self.check(&order)
            .inspect_err(|failure| order.black_box.note_failure(failure, None))?;
        let worst = REMOVAL_LIMIT + self.capabilities().forgets_after;
        let (open, attempt): (_, Attempt) = OpenDestination::new(
            Arc::clone(&order.counters),
            self.shared.stop.child_token(),
            LetGo::After(worst),
        );
        let broadcast = order.broadcast.clone();
        let mut command = Command::Carry(Box::new(order), attempt);
        let (tries, pause) = MAILBOX_PATIENCE;
        for _ in 0..tries {
            command = match self.try_hand_over(&broadcast, command) {
                Ok(()) => return Ok(open),
                Err(TrySendError::Full(command) | TrySendError::Closed(command)) => command,
            };
            sleep(pause).await;
        }
        let words = "too much happens at once in this broadcast";
        Err(Failure::new(Reason::EngineFailed, words))
    }

    async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        if timeout(SHUTDOWN_LIMIT, self.tasks.wait()).await.is_err() {
            let left = self.tasks.len();
            tracing::warn!(left, "sessions were left to the reaper of the next start");
        }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session has nothing to do any more. Whether it may end: not when somebody has just ordered something.
    pub(super) fn retire(
        &self,
        broadcast: &BroadcastId,
        inbox: &mut mpsc::Receiver<Command>,
    ) -> bool {
        let mut book = self.book();
        if !inbox.is_empty() {
            return false;
        }
        inbox.close();
        book.retire(broadcast);
        true
    }

    /// Changes what is seen of a session.
    pub(super) fn show(&self, broadcast: &BroadcastId, change: impl FnOnce(&mut Seen)) {
        if let Some(link) = self.book().links.get_mut(broadcast) {
            change(&mut link.seen);
        }
    }

    /// Is cancelled when nothing of a broadcast is being removed by the reaper.
    pub(super) fn when_free(&self, broadcast: &BroadcastId) -> CancellationToken {
        let book = self.book();
        let reaping = book.reaping.get(broadcast.as_str()).cloned();
        reaping.unwrap_or_else(|| {
            let free = CancellationToken::new();
            free.cancel();
            free
        })
    }

    /// Begins to remove what is left of a broadcast, unless a session carries it or it is being removed already.
    pub(super) fn begin_reaping(self: &Arc<Self>, broadcast: &str) -> Option<Reaping> {
        let mut book = self.book();
        let is_carried = book.links.keys().any(|known| known.as_str() == broadcast);
        if is_carried || book.reaping.contains_key(broadcast) {
            return None;
        }
        let free = CancellationToken::new();
        book.reaping.insert(broadcast.to_owned(), free);
        Some(Reaping {
            shared: Arc::clone(self),
            broadcast: broadcast.to_owned(),
        })
    }

    /// Has the reaper leave alone what is made for a broadcast until then; `false` when that is done for too many.
    pub(super) fn keep(&self, broadcast: &str, until: Instant) -> bool {
        let mut book = self.book();
        let now = Instant::now();
        book.kept.retain(|_, until| *until > now);
        let has_room = book.kept.len() < INVITATIONS_LIMIT || book.kept.contains_key(broadcast);
        if has_room {
            book.kept.insert(broadcast.to_owned(), until);
        }
        has_room
    }

    /// The reaper may remove it, unless a session carries it.
    pub(super) fn keep_no_more(&self, broadcast: &str) {
        self.book().kept.remove(broadcast);
    }

    /// Whether the reaper is to leave it alone.
    pub(super) fn is_kept(&self, broadcast: &str) -> bool {
        let book = self.book();
        let until = book.kept.get(broadcast);
        until.is_some_and(|until| *until > Instant::now())
    }

    fn view(&self, broadcast: &BroadcastId, seen: &Seen) -> SessionView {
        let contribution = self.parts.api.capabilities().contribution;
        SessionView {
            broadcast: broadcast.clone(),
            state: seen.state,
            since: now().saturating_duration_since(seen.since),
            contribution,
            arrival: seen.arrival,
            live: seen.live,
            used: seen.used.clone(),
            using: seen.using.clone(),
            brought: Brought::of(contribution, &seen.counters),
            join: seen.join.clone(),
        }
    }
}

impl Book {
    fn retire(&mut self, broadcast: &BroadcastId) {
        let Some(link) = self.links.remove(broadcast) else {
            return;
        };
        if self.remembered.len() == REMEMBERED_LIMIT {
            self.remembered.pop_front();
        }
        self.remembered
            .push_back((broadcast.clone(), link.seen.used));
    }

    /// What a broadcast used in its earlier sessions.
    fn recall(&mut self, broadcast: &BroadcastId) -> BTreeMap<Meter, Duration> {
        let known = |(of, _): &(BroadcastId, _)| of == broadcast;
        let place = self.remembered.iter().position(known);
        let used = place.and_then(|place| self.remembered.remove(place));
        used.map(|(_, used)| used).unwrap_or_default()
    }
}

/// Something of a broadcast is being removed for as long as this lives.
#[derive(Debug)]
pub(super) struct Reaping {
    shared: Arc<Shared>,
    broadcast: String,
}

impl Drop for Reaping {
    fn drop(&mut self) {
        if let Some(free) = self.shared.book().reaping.remove(&self.broadcast) {
            free.cancel();
        }
    }
}

/// Takes a session out of the book even if its task panics. One that has ended in order is out already, and another of the
/// same broadcast may be in.
#[derive(Debug)]
struct Guard {
    shared: Arc<Shared>,
    broadcast: BroadcastId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut book = self.shared.book();
        let link = book.links.get(&self.broadcast);
        if link.is_some_and(|link| link.mailbox.is_closed()) {
            book.retire(&self.broadcast);
        }
    }
}
