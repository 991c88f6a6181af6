//! The connections of one broadcast: a task for each attempt, none of which can hold up another.

use std::{collections::HashMap, sync::Arc, time::Duration};

use broadcast::{
    Attempt, BroadcastSpec, DestinationEvent, DestinationId, DestinationSpec, Endpoint, Failure,
    LineName, Method, Provider, Rendition, Retry,
};
use egress_providers::{
    BlackBox, ContributionKind, Counters, Curtain, DestinationOrder, MediaHints, Place, Show,
};
use media::StandIn;
use pipelines::Permit;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    choices::{Chooser, Circumstances},
    hosting::HostingBook,
    journey::{Journey, Telephone, goodbye_timeout},
    renditions::{Made, Renditions},
    snapshot::HostedSnapshot,
};
use crate::{
    admission::Admission,
    clock::{WallClock, now},
    guard::DestinationGuard,
    metrics::{EgressTotals, Metrics},
    providers::Providers,
};

/// How many notes may wait; a destination with more to tell waits, which is what it would do anyway.
const NOTES_LIMIT: usize = 64;

/// What an attempt tells the broadcast.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) line: LineId,
    pub(super) attempt: Attempt,
    pub(super) event: DestinationEvent,
}

/// What an attempt tells.
#[derive(Debug)]
pub(super) enum Note {
    Report(Report),
    /// A provider has begun with a line.
    Begun(LineId, Provider),
    /// A provider has failed a line.
    Failed(Provider, Failure),
}

/// What all broadcasts use to reach their destinations.
pub(super) struct Outside {
    pub(super) guard: DestinationGuard,
    pub(super) providers: Arc<Providers>,
    pub(super) admission: Admission,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Outside({:?})", self.providers)
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
    spec: Arc<BroadcastSpec>,
    hints: MediaHints,
    outside: Arc<Outside>,
    chooser: Chooser,
    hosting: HostingBook,
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
    notes: mpsc::Sender<Note>,
    inbox: mpsc::Receiver<Note>,
}

impl Carriers {
    pub(super) fn new(
        spec: Arc<BroadcastSpec>,
        outside: Arc<Outside>,
        show: Show,
        renditions: Renditions,
        hints: MediaHints,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (notes, inbox) = mpsc::channel(NOTES_LIMIT);
        Self {
            chooser: Chooser::new(spec.method(), spec.production()),
            hosting: HostingBook::default(),
            spec,
            hints,
            outside,
            show,
            renditions,
            metrics,
            tasks: JoinSet::new(),
            open: HashMap::new(),
            gone: HashMap::new(),
            lines: HashMap::new(),
            shares: HashMap::new(),
            curtains: HashMap::new(),
            slate: None,
            notes,
            inbox,
        }
    }

    /// The next thing that a destination tells. Cancel-safe.
    pub(super) async fn next_report(&mut self) -> Report {
        loop {
            tokio::select! {
                Some(note) = self.inbox.recv() => match note {
                    Note::Report(report) => {
                        if matches!(report.event, DestinationEvent::Live) {
                            self.chooser.handle_live(report.line.clone());
                        }
                        return report;
                    }
                    Note::Begun(line, provider) => self.chooser.handle_begun(line, provider),
                    Note::Failed(provider, failure) => {
                        self.chooser.handle_failed(provider, &failure, now());
                    }
                },
                Some(_) = self.tasks.join_next() => {}
                () = self.renditions.slate_coded() => {
                    self.metrics.slate_coded();
                    self.redraw();
                }
            }
        }
    }

    pub(super) fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether anything of the broadcast may be sent.
    pub(super) const fn permit(&self) -> &Permit {
        &self.show.permit
    }

    /// Notified when a receiver on another machine asks for a keyframe.
    pub(super) const fn keyframe_wanted(&self) -> &Arc<Notify> {
        &self.show.keyframe_wanted
    }

    /// What a line has sent; shared with its connections, present and future.
    pub(super) fn carried(&self, line: &LineId) -> Option<&Carried> {
        self.lines.get(line)
    }

    /// Who carries a line, or did so last.
    pub(super) fn carried_by(&self, line: &LineId) -> Option<Provider> {
        self.chooser.carried_by(line)
    }

    /// How the broadcast is at hosted providers.
    pub(super) fn hosted(&self, clock: &WallClock) -> Vec<HostedSnapshot> {
        let providers = &self.outside.providers;
        self.hosting.show(providers, self.spec.id(), clock)
    }

    /// Who carries most of the lines that are open.
    pub(super) fn main_provider(&self) -> Option<Provider> {
        self.provider_of_most(None)
    }

    fn provider_of_most(&self, except: Option<&LineId>) -> Option<Provider> {
        let open = self.open.values().map(|(line, _)| line);
        let mut lines: HashMap<Provider, usize> = HashMap::new();
        for line in open.filter(|line| Some(*line) != except) {
            if let Some(provider) = self.chooser.carried_by(line) {
                *lines.entry(provider).or_default() += 1;
            }
        }
        let most = lines
            .into_iter()
            .max_by_key(|(provider, count)| (*count, *provider));
        most.map(|(provider, _)| provider)
    }

    fn circumstances(&self, line: &LineId, lines: usize) -> Circumstances {
        Circumstances {
            lines,
            others_with: self.provider_of_most(Some(line)),
            load_ratio: self.outside.admission.figures().load_ratio(),
            now: now(),
        }
    }

    /// How shows get to the provider of this method; `None` where a rule chooses.
    pub(super) fn contribution(&self, method: Method) -> Option<ContributionKind> {
        self.outside.providers.contribution(method)
    }

    /// Whether the studio goes to the provider of this method itself.
    pub(super) fn is_direct(&self, method: Method) -> bool {
        self.contribution(method) == Some(ContributionKind::Direct)
    }

    /// Another method is asked for.
    pub(super) const fn set_method(&mut self, method: Method) {
        self.chooser.set_method(method);
    }

    /// Whether a destination is another provider's by the method of now than by whom it is carried, or was last.
    pub(super) fn must_move(&self, spec: &DestinationSpec, lines: usize) -> bool {
        LineName::ALL.into_iter().any(|name| {
            let line = (spec.id.clone(), name);
            let circumstances = Circumstances {
                others_with: None,
                ..self.circumstances(&line, lines)
            };
            let providers = &self.outside.providers;
            self.chooser
                .must_move(&line, spec, providers, circumstances)
        })
    }

    /// Begins an attempt; it waits for the previous one of the same line to be gone. `lines`: how many of the broadcast
    /// are enabled and name no provider.
    pub(super) fn open(
        &mut self,
        line: LineId,
        attempt: Attempt,
        endpoint: Endpoint,
        spec: &DestinationSpec,
        lines: usize,
    ) {
        let circumstances = self.circumstances(&line, lines);
        let providers = &self.outside.providers;
        let choices = self.chooser.choose(&line, spec, providers, circumstances);
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
            choices,
            order: DestinationOrder {
                broadcast: self.spec.id().clone(),
                destination,
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
                line: line.clone(),
                attempt,
                notes: self.notes.clone(),
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
        self.chooser.forget(line);
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
            let line = (destination.clone(), line);
            self.give_up(&line);
            self.chooser.remove(&line);
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
        self.hosting.look(&self.outside.providers, self.spec.id());
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
        let providers = Provider::ALL.into_iter();
        let longest = providers
            .filter(|provider| {
                self.open
                    .values()
                    .any(|(line, _)| self.carried_by(line) == Some(*provider))
            })
            .map(goodbye_timeout)
            .max();
        let patience = longest.unwrap_or(goodbye_timeout(Provider::Own)) + Duration::from_secs(1);
        for (_, (_, stop)) in self.open.drain() {
            stop.cancel();
        }
        self.shares.clear();
        // Nobody reads reports any more: closing frees whoever waits to make one.
        self.inbox.close();
        let all_gone = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(patience, all_gone).await.is_err() {
            self.tasks.shutdown().await;
        }
        self.measure();
    }
}
