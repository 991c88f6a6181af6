//! The connections of one broadcast: a task for each attempt, none of which can hold up another.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use broadcast::{
    Attempt, BroadcastId, DestinationEvent, DestinationId, DestinationSpec, Endpoint, Failure,
    LineName, Reason, Rendition, Retry,
};
use egress_providers::{
    BlackBox, Counters, Curtain, DestinationEvent as Told, DestinationOrder, EgressProvider,
    MediaHints, Place, Show, What,
};
use futures_util::FutureExt as _;
use media::{StandIn, Subscriber};
use pipelines::path::OpusSubscriber;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::renditions::{Made, Renditions};
use crate::{
    clock::now,
    guard::DestinationGuard,
    metrics::{EgressTotals, Metrics},
};

/// How many reports may wait; a destination with more to tell waits, which is what it would do anyway.
const REPORTS_LIMIT: usize = 64;

/// How long a destination may take to say goodbye before its connection is cut.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);

/// What an attempt tells.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) destination: DestinationId,
    pub(super) attempt: Attempt,
    pub(super) event: DestinationEvent,
}

/// What all broadcasts use to reach their destinations.
pub(super) struct Outside {
    pub(super) guard: DestinationGuard,
    pub(super) provider: Arc<dyn EgressProvider>,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Outside({})", self.provider.name())
    }
}

/// One connection of a destination.
pub(super) type LineId = (DestinationId, LineName);

/// What is known of a line over all its attempts.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) counters: Arc<Counters>,
    pub(super) place: Arc<Place>,
    pub(super) black_box: Arc<BlackBox>,
    totals: EgressTotals,
}

/// What a paused destination is sent; `None` while it is not paused.
type CurtainOutlet = watch::Sender<Option<Arc<Curtain>>>;

/// The open connections of one broadcast, and what went out over all of them.
#[derive(Debug)]
pub(super) struct Carriers {
    broadcast: BroadcastId,
    hints: MediaHints,
    outside: Arc<Outside>,
    show: Show,
    renditions: Renditions,
    metrics: Arc<Metrics>,
    tasks: JoinSet<()>,
    open: HashMap<Attempt, (LineId, CancellationToken)>,
    /// Cancelled when the last connection of a line is gone, so that the next one does not meet it.
    gone: HashMap<LineId, CancellationToken>,
    lines: HashMap<LineId, Carried>,
    /// What keeps renditions at work.
    shares: HashMap<LineId, Arc<Made>>,
    curtains: HashMap<DestinationId, CurtainOutlet>,
    slate: Option<Arc<StandIn>>,
    reports: mpsc::Sender<Report>,
    inbox: mpsc::Receiver<Report>,
}

impl Carriers {
    pub(super) fn new(
        broadcast: BroadcastId,
        outside: Arc<Outside>,
        (media, opus): (Subscriber, OpusSubscriber),
        renditions: Renditions,
        hints: MediaHints,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (reports, inbox) = mpsc::channel(REPORTS_LIMIT);
        Self {
            broadcast,
            hints,
            outside,
            show: Show {
                media,
                opus,
                keyframe_wanted: Arc::default(),
            },
            renditions,
            metrics,
            tasks: JoinSet::new(),
            open: HashMap::new(),
            gone: HashMap::new(),
            lines: HashMap::new(),
            shares: HashMap::new(),
            curtains: HashMap::new(),
            slate: None,
            reports,
            inbox,
        }
    }

    /// The next thing that a destination tells. Cancel-safe.
    pub(super) async fn next_report(&mut self) -> Report {
        loop {
            tokio::select! {
                Some(report) = self.inbox.recv() => return report,
                Some(_) = self.tasks.join_next() => {}
                () = self.renditions.slate_coded() => self.redraw(),
            }
        }
    }

    pub(super) fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Notified when a receiver on another machine asks for a keyframe.
    pub(super) const fn keyframe_wanted(&self) -> &Arc<Notify> {
        &self.show.keyframe_wanted
    }

    /// What a line has sent; shared with its connections, present and future.
    pub(super) fn carried(&self, line: &LineId) -> Option<&Carried> {
        self.lines.get(line)
    }

    /// Begins an attempt; it waits for the previous one of the same line to be gone.
    pub(super) fn open(
        &mut self,
        line: LineId,
        attempt: Attempt,
        endpoint: Endpoint,
        spec: &DestinationSpec,
    ) {
        let rendition = self.share(&line, spec.rendition);
        self.pause(spec);
        self.redraw();
        let stop = CancellationToken::new();
        let gone = CancellationToken::new();
        self.gone.retain(|_, gone| !gone.is_cancelled());
        let previous = self.gone.insert(line.clone(), gone.clone());
        let carried = self.lines.entry(line.clone()).or_default();
        let (destination, line_name) = line.clone();
        let curtain = self.curtains.entry(destination.clone()).or_default();
        let media = rendition
            .as_ref()
            .map_or_else(|| self.show.media.clone(), |made| made.media());
        let journey = Journey {
            outside: Arc::clone(&self.outside),
            metrics: Arc::clone(&self.metrics),
            stop: stop.clone(),
            rendition,
            order: DestinationOrder {
                broadcast: self.broadcast.clone(),
                destination: destination.clone(),
                line: line_name,
                endpoint,
                addresses: Vec::new(),
                show: self.show.clone(),
                rendition: spec.rendition,
                media,
                hints: self.hints,
                counters: Arc::clone(&carried.counters),
                after_cut: spec.after_cut,
                place: Arc::clone(&carried.place),
                curtain: curtain.subscribe(),
                black_box: Arc::clone(&carried.black_box),
            },
            telephone: Telephone {
                destination,
                attempt,
                reports: self.reports.clone(),
            },
        };
        self.open.insert(attempt, (line, stop));
        self.tasks.spawn(async move {
            let _gone = gone.drop_guard();
            if let Some(previous) = previous {
                previous.cancelled().await;
            }
            journey.go_safely().await;
        });
    }

    /// Takes a line's share of its rendition; what it had of another one is let go.
    fn share(&mut self, line: &LineId, rendition: Option<Rendition>) -> Option<Arc<Made>> {
        let Some(rendition) = rendition else {
            self.shares.remove(line);
            return None;
        };
        let made = self.renditions.share(rendition);
        self.shares.insert(line.clone(), Arc::clone(&made));
        Some(made)
    }

    /// Asks an attempt to say goodbye, and goes on.
    pub(super) fn close(&mut self, attempt: Attempt) {
        if let Some((line, stop)) = self.open.remove(&attempt) {
            stop.cancel();
            self.give_up(&line);
        }
    }

    /// Nothing of a line is to be made up for any more; frees the media that it kept, and its share of a rendition.
    pub(super) fn give_up(&mut self, line: &LineId) {
        self.shares.remove(line);
        if let Some(carried) = self.lines.get(line) {
            carried.place.clear();
        }
    }

    /// Sends the slate to a destination in place of the show, or the show again, as it wishes.
    pub(super) fn pause(&mut self, spec: &DestinationSpec) {
        let curtain = spec.paused.then(|| self.curtain(&spec.id));
        let outlet = self.curtains.entry(spec.id.clone()).or_default();
        if outlet.borrow().is_some() != spec.paused {
            outlet.send_replace(curtain);
        }
    }

    /// The slate is another; destinations that are paused are sent the new one.
    pub(super) fn set_slate(&mut self, slate: Option<Arc<StandIn>>) {
        self.slate = slate;
        self.redraw();
    }

    /// Gives paused destinations the slate of now.
    fn redraw(&self) {
        for (destination, outlet) in &self.curtains {
            let curtain = self.curtain(destination);
            outlet.send_if_modified(|drawn| match drawn {
                Some(drawn) if **drawn != *curtain => {
                    *drawn = curtain;
                    true
                }
                _ => false,
            });
        }
    }

    /// The attempt is over by itself.
    pub(super) fn retire(&mut self, attempt: Attempt, retry: Retry) {
        if let Some((line, _)) = self.open.remove(&attempt)
            && retry == Retry::Never
        {
            self.give_up(&line);
        }
    }

    /// The destination will not come back; one of the same name begins anew.
    pub(super) fn forget(&mut self, destination: &DestinationId) {
        self.measure();
        for line in LineName::ALL {
            self.give_up(&(destination.clone(), line));
        }
        self.lines.retain(|(known, _), _| known != destination);
        self.curtains.remove(destination);
    }

    /// The slate in the shape of what a destination is sent.
    fn curtain(&self, destination: &DestinationId) -> Arc<Curtain> {
        let share = LineName::ALL
            .into_iter()
            .find_map(|line| self.shares.get(&(destination.clone(), line)));
        let stand_in = share.map_or_else(|| self.slate.clone(), |made| made.slate());
        Arc::new(Curtain { stand_in })
    }

    /// Adds what went out since the last time to the metrics.
    pub(super) fn measure(&mut self) {
        self.renditions.measure();
        for carried in self.lines.values_mut() {
            let counters = &carried.counters;
            let now = EgressTotals {
                bytes: counters.bytes_sent(),
                frames: counters.frames_sent(),
                dropped: counters.frames_dropped(),
            };
            self.metrics.add_egress(carried.totals, now);
            carried.totals = now;
        }
    }

    /// Closes everything and waits until it is closed, or cuts it.
    pub(super) async fn close_all(&mut self) {
        for (_, (_, stop)) in self.open.drain() {
            stop.cancel();
        }
        self.shares.clear();
        // Nobody reads reports any more: closing frees whoever waits to make one.
        self.inbox.close();
        let all_gone = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(GOODBYE_TIMEOUT + Duration::from_secs(1), all_gone)
            .await
            .is_err()
        {
            self.tasks.shutdown().await;
        }
        self.measure();
    }
}

/// Where one attempt reports.
struct Telephone {
    destination: DestinationId,
    attempt: Attempt,
    reports: mpsc::Sender<Report>,
}

impl Telephone {
    async fn tell(&self, event: DestinationEvent) {
        let report = Report {
            destination: self.destination.clone(),
            attempt: self.attempt,
            event,
        };
        // A broadcast that has ended does not listen any more.
        drop(self.reports.send(report).await);
    }
}

/// One attempt, from resolving the name to the last byte.
struct Journey {
    outside: Arc<Outside>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    rendition: Option<Arc<Made>>,
    order: DestinationOrder,
    telephone: Telephone,
}

impl Journey {
    /// A panic ends this attempt only, is counted, and is told as a failure of ours.
    async fn go_safely(self) {
        let Self {
            outside,
            metrics,
            stop,
            rendition,
            order,
            telephone,
        } = self;
        let black_box = Arc::clone(&order.black_box);
        let journey = async {
            tokio::select! {
                outcome = go(&outside, &metrics, &stop, order, &telephone) => outcome,
                failure = refused(rendition.as_deref()) => {
                    black_box.note_failure(&failure, None);
                    Err(failure)
                }
            }
        };
        let failure = match AssertUnwindSafe(journey).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure,
            Err(_) => {
                metrics.panicked();
                Failure::new(
                    Reason::EngineFailed,
                    "the connection broke inside the gateway",
                )
            }
        };
        telephone.tell(DestinationEvent::Lost(failure)).await;
    }
}

/// Waits until it turns out that what a destination wants cannot be, if ever.
async fn refused(rendition: Option<&Made>) -> Failure {
    match rendition {
        Some(made) => made.refused().await,
        None => std::future::pending().await,
    }
}

/// Carries until asked to stop (`Ok`) or until it fails.
async fn go(
    outside: &Outside,
    metrics: &Metrics,
    stop: &CancellationToken,
    mut order: DestinationOrder,
    telephone: &Telephone,
) -> Result<(), Failure> {
    let asked = now();
    let resolved = tokio::select! {
        resolved = outside.guard.resolve(&order.endpoint) => resolved,
        () = stop.cancelled() => return Ok(()),
    };
    let elapsed = Some(now() - asked);
    match resolved {
        Ok(addresses) => {
            let count = addresses.len();
            let words = format!("{count} address{}", if count == 1 { "" } else { "es" });
            order.black_box.note(What::Dns, elapsed, &words);
            order.addresses = addresses;
        }
        Err(failure) => {
            order.black_box.note_failure(&failure, elapsed);
            return Err(failure);
        }
    }
    let mut connection = tokio::select! {
        opened = outside.provider.open(order) => opened?,
        () = stop.cancelled() => return Ok(()),
    };
    loop {
        let event = tokio::select! {
            event = connection.next_event() => event,
            () = stop.cancelled() => break,
        };
        match event {
            Some(Told::Connecting) => {}
            Some(Told::Live) => {
                metrics.destination_opened(now() - asked);
                telephone.tell(DestinationEvent::Live).await;
            }
            Some(Told::Lost(failure)) => return Err(failure),
            Some(Told::Closed) | None => {
                return Err(Failure::new(
                    Reason::EngineFailed,
                    "the media ended inside the gateway",
                ));
            }
        }
    }
    connection.close();
    let goodbye = async { while connection.next_event().await.is_some() {} };
    if timeout(GOODBYE_TIMEOUT, goodbye).await.is_err() {
        tracing::debug!("destination did not say goodbye in time");
    }
    Ok(())
}
