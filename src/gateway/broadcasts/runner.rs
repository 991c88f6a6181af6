//! The task of one broadcast: what happens goes into the machine, its effects come out and are performed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use broadcast::{
    Attempt, BroadcastSpec, BroadcastState, Cause, Change, DestinationEvent, DestinationId,
    DestinationSpec, DestinationState, Effect, Endpoint, Failure, Fault, Machine, Method,
    VideoSpec,
};
use media::{StandIn, VideoCodec};
use peers::{PeerEvent, Peers, SessionError, SinkId};
use pipelines::{engine::EnginePlan, inspection::PictureLook, path::Showing};
use tokio::{
    sync::{broadcast as fan, mpsc, watch},
    time::{MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    carriers::{Carriers, LineId, Report},
    handle::{Command, CommandError},
    keeper::Keeper,
    lookout::Lookout,
    path::PathStatus,
    plain::PlainBook,
    room::{Room, carriage},
    snapshot::{DatedChange, Snapshot},
    stand_in::SlatePlace,
    studio::{Seat, Studios},
    vigil::Vigil,
};
use crate::{
    admission::NoRoom,
    clock::{WallClock, now},
    metrics::Metrics,
};

/// How long the media workers may take for an answer. WHIP promises 100 ms; this only unblocks a broken one.
pub(super) const WORKER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often counters are read while something flows.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(1);

/// The ends of a broadcast that outlive its task for a moment, to tell of a panic.
#[derive(Debug, Clone)]
pub(super) struct Outlets {
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(super) changes: fan::Sender<Arc<DatedChange>>,
}

impl Outlets {
    /// Tells of the end of a broadcast whose task cannot tell any more.
    pub(super) fn tell_broken(&self, clock: &WallClock) {
        let mut snapshot = Snapshot::clone(&self.snapshot.borrow());
        snapshot.state = BroadcastState::Ended;
        snapshot.studio_connected = false;
        snapshot.ingest = None;
        snapshot.sessions.clear();
        snapshot.changes += 1;
        let snapshot = Arc::new(snapshot);
        self.snapshot.send_replace(Arc::clone(&snapshot));
        let change = Change::Broadcast {
            state: BroadcastState::Ended,
            cause: Cause::Broken,
        };
        // Nobody watching is no error.
        drop(self.changes.send(Arc::new(DatedChange {
            number: snapshot.changes,
            at: clock.at(now()),
            change,
            snapshot,
        })));
    }
}

enum Happened {
    Command(Option<Command>),
    Current(PeerEvent),
    Candidate(PeerEvent),
    Destination(Report),
    /// The media path tells how it is, or is gone.
    Path(bool),
    Looked(Box<PictureLook>),
    SlateCoded(Option<Arc<StandIn>>),
    /// What is made anew is to be larger or smaller.
    Stepped,
    /// A receiver on another machine asks for a keyframe.
    KeyframeWanted,
    Due,
    Tick,
    Stop,
    /// Another node has it.
    TakenOver,
}

/// Everything that one broadcast owns.
pub(super) struct Runner {
    pub(super) spec: Arc<BroadcastSpec>,
    pub(super) machine: Machine,
    pub(super) clock: WallClock,
    pub(super) created: Instant,
    pub(super) peers: Peers,
    pub(super) path: PathStatus,
    /// How it is carried now.
    pub(super) method: Method,
    pub(super) video: VideoSpec,
    /// How far down what is made anew is to be, because the node is short of CPU.
    pub(super) steps_down: watch::Receiver<usize>,
    /// What it takes of its node.
    pub(super) room: Room,
    /// Where the media path reads how pictures are to be made.
    pub(super) plan: watch::Sender<EnginePlan>,
    pub(super) carriers: Carriers,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) outlets: Outlets,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
    pub(super) studios: Studios,
    pub(super) plain: PlainBook,
    pub(super) vigil: Vigil,
    pub(super) lookout: Lookout,
    pub(super) slate: SlatePlace,
    /// What went out when it was last told.
    pub(super) shown: Showing,
    /// Its place on a media worker, once it has one.
    pub(super) sink: Option<SinkId>,
    /// Whether another node has it by now.
    pub(super) lost: watch::Receiver<bool>,
    /// Writes down what another node would need; none in a process alone.
    pub(super) keeper: Option<Keeper>,
}

impl Runner {
    /// Runs until the broadcast has ended and its destinations are closed.
    pub(super) async fn run(mut self, sink: SinkId) {
        self.sink = Some(sink);
        let mut ticks = interval(STATISTICS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut enders = Vec::new();
        let keyframe_wanted = Arc::clone(self.carriers.keyframe_wanted());
        tracing::info!(broadcast = %self.spec.id(), "broadcast created");
        self.keep_first().await;
        self.expect_studio_elsewhere();
        self.settle().await;
        while self.machine.state() != BroadcastState::Ended {
            let due = self.machine.poll_timeout();
            let flowing = self.studios.current.is_some()
                || self.carriers.any_open()
                || self.vigil.has_alarms();
            // Every arm is cancel-safe: channels, a token, clocks.
            let happened = tokio::select! {
                command = self.commands.recv() => Happened::Command(command),
                event = self.studios.next_event() => match event {
                    (Seat::Current, event) => Happened::Current(event),
                    (Seat::Candidate, event) => Happened::Candidate(event),
                },
                report = self.carriers.next_report() => Happened::Destination(report),
                changed = self.path.changed() => Happened::Path(changed.is_ok()),
                picture = self.lookout.next_look() => Happened::Looked(Box::new(picture)),
                Ok(()) = self.steps_down.changed() => Happened::Stepped,
                () = keyframe_wanted.notified() => Happened::KeyframeWanted,
                slate = self.slate.changed() => Happened::SlateCoded(slate),
                () = sleep_until(due.unwrap_or(self.created).into()), if due.is_some() => Happened::Due,
                _ = ticks.tick(), if flowing => Happened::Tick,
                () = self.stop.cancelled() => Happened::Stop,
                Ok(_) = self.lost.wait_for(|lost| *lost) => Happened::TakenOver,
            };
            // These wait for the next tick, which tells them together with everything else.
            let mut quiet = matches!(
                happened,
                Happened::Current(PeerEvent::Statistics(_))
                    | Happened::Looked(_)
                    | Happened::KeyframeWanted
            );
            match happened {
                Happened::Command(Some(Command::End(reply))) => {
                    self.machine.end(now());
                    enders.push(reply);
                }
                Happened::Command(Some(command)) => self.obey(command).await,
                Happened::Command(None) | Happened::Stop => self.machine.end(now()),
                Happened::Current(event) => self.handle_current(event),
                Happened::Candidate(event) => self.handle_candidate(event),
                Happened::Destination(report) => self.handle_report(report),
                Happened::Due => self.machine.handle_timeout(now()),
                Happened::Path(true) => quiet = !self.handle_path(),
                Happened::Looked(picture) => self.vigil.handle_look(*picture, now()),
                Happened::SlateCoded(slate) => {
                    self.metrics.slate_coded();
                    self.carriers.set_slate(slate);
                }
                Happened::Stepped => self.follow_plan(),
                Happened::KeyframeWanted => self.request_keyframe().await,
                Happened::TakenOver => {
                    self.carriers.permit().take_back();
                    self.machine.give_way(now());
                }
                Happened::Path(false) => self.machine.break_down(now()),
                Happened::Tick => self.handle_second().await,
            }
            if !quiet {
                self.settle().await;
            }
        }
        self.carriers.close_all().await;
        for reply in enders {
            // Whoever asked may have gone away.
            let _ = reply.send(());
        }
        tracing::info!(broadcast = %self.spec.id(), "broadcast ended");
    }

    async fn obey(&mut self, command: Command) {
        let now = now();
        // An answer that nobody waits for any more is no error, hence the drops.
        match command {
            Command::Start(reply) => drop(reply.send(self.machine.start(now))),
            Command::Stop(reply) => drop(reply.send(self.machine.stop(now))),
            Command::Edit(change, reply) => {
                let outcome = self.edit(change);
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::Add(destination, reply) => {
                let outcome = self.add(destination);
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::Change(id, change, reply) => {
                let outcome = self.machine.change_destination(&id, change, now);
                if let Some(destination) = self.machine.destination(&id) {
                    self.carriers.pause(destination.spec());
                }
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::Remove(id, reply) => {
                let outcome = self.machine.remove_destination(&id);
                self.carriers.forget(&id);
                self.give_back_room();
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::Publish(offer, studio, reply) => {
                let outcome = self.publish(&offer, &studio).await;
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::Trickle(session, fragment, reply) => {
                let outcome = match self.studios.find(&session) {
                    Some(studio) => self.peers.trickle(&studio.session, &fragment),
                    None => Err(SessionError::NoSuchSession),
                };
                drop(reply.send(outcome));
            }
            Command::RestartIce(session, fragment, reply) => {
                let outcome = match self.studios.find(&session) {
                    Some(studio) => {
                        let outcome = self.peers.restart_ice(&studio.session, &fragment).await;
                        if let Ok(restart) = &outcome {
                            studio.etag.clone_from(&restart.etag);
                        }
                        outcome
                    }
                    None => Err(SessionError::NoSuchSession),
                };
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::CloseSession(session, reply) => {
                let outcome = self.close_session(&session).await;
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::Plain(command) => {
                self.obey_plain(command).await;
                self.settle().await;
            }
            Command::Compose(order, reply) => {
                let outcome = self.compose(*order).await;
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::End(reply) => {
                let _ = reply.send(());
            }
            #[cfg(test)]
            Command::Panic => panic!("asked to"),
        }
    }

    fn add(&mut self, destination: DestinationSpec) -> Result<(), CommandError> {
        let plan = *self.plan.borrow();
        self.make_room(plan, Some(&destination))?;
        let outcome = self.machine.add_destination(destination, now());
        if outcome.is_err() {
            self.give_back_room();
        }
        Ok(outcome?)
    }

    /// Takes what this plan needs, and one more destination.
    pub(super) fn make_room(
        &mut self,
        plan: EnginePlan,
        another: Option<&DestinationSpec>,
    ) -> Result<(), NoRoom> {
        let carriage = carriage(
            &self.machine,
            plan,
            self.codec(),
            self.contribution(),
            another,
        );
        self.room.follow(&carriage)
    }

    /// Takes no more than is needed now, which is always granted.
    fn give_back_room(&mut self) {
        let plan = *self.plan.borrow();
        let _ = self.make_room(plan, None);
    }

    /// What the studio sends, or is reckoned to send while there is none.
    fn codec(&self) -> VideoCodec {
        let studio = self.studios.current.as_ref();
        let known = studio.and_then(|studio| studio.source.video);
        known.unwrap_or(VideoCodec::H264)
    }

    fn handle_report(&mut self, report: Report) {
        if let DestinationEvent::Lost(failure) = &report.event {
            self.carriers.retire(report.attempt, failure.retry());
        }
        self.handle_live_elsewhere(&report.event);
        self.machine
            .handle_destination(&report.line.0, report.attempt, report.event, now());
    }

    fn open(&mut self, line: LineId, attempt: Attempt, endpoint: Endpoint) {
        let lines = self.lines_by_method();
        if let Some(destination) = self.machine.destination(&line.0) {
            let spec = destination.spec();
            self.carriers.open(line, attempt, endpoint, spec, lines);
        }
    }

    /// The studio is asked at most once a second, however often this is.
    async fn request_keyframe(&self) {
        if let Some(sink) = self.sink {
            self.peers.request_keyframe(sink).await;
        }
    }

    /// Performs what the machine asks for, then shows and tells what has become of it.
    async fn settle(&mut self) {
        self.end_retired().await;
        let mut changes = Vec::new();
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Open {
                    destination,
                    line,
                    attempt,
                    endpoint,
                } => self.open((destination, line), attempt, endpoint),
                Effect::Close { attempt, .. } => self.carriers.close(attempt),
                Effect::RequestKeyframe => self.request_keyframe().await,
                Effect::EndStudio => self.end_studio().await,
                Effect::Changed(change) => {
                    self.free_kept_media(&change);
                    changes.push(change);
                }
            }
        }
        self.alarm_changes(&mut changes);
        self.keep();
        let number_before = self.outlets.snapshot.borrow().changes;
        let snapshot = self.show(number_before + changes.len() as u64);
        for (number, change) in (number_before + 1..).zip(changes) {
            self.log(&change);
            let dated = DatedChange {
                number,
                at: self.clock.at(now()),
                change,
                snapshot: Arc::clone(&snapshot),
            };
            // Nobody watching is no error.
            drop(self.outlets.changes.send(Arc::new(dated)));
        }
    }

    /// Frees what a destination kept to catch up with, when it is not going to.
    fn free_kept_media(&mut self, change: &Change) {
        if let Change::Destination {
            id,
            line,
            state:
                Some(
                    DestinationState::Stopped
                    | DestinationState::Failed
                    | DestinationState::Pending,
                ),
            ..
        } = change
        {
            self.carriers.give_up(&(id.clone(), *line));
        }
    }

    fn log(&mut self, change: &Change) {
        let broadcast = self.spec.id();
        match change {
            Change::Broadcast { state, cause } => {
                tracing::info!(%broadcast, state = state.as_str(), cause = cause.as_str(), "broadcast changed");
            }
            Change::Alarm(change) => {
                tracing::info!(%broadcast, alarm = change.alarm.code(), raised = change.raised, "{}", change.message);
            }
            Change::Destination {
                id,
                failure: Some(failure),
                ..
            } => self.log_failure(id, failure),
            Change::Destination {
                id,
                line,
                state,
                cause,
                failure: None,
            } => {
                let state = state.map_or("removed", DestinationState::as_str);
                tracing::info!(%broadcast, destination = %id, line = line.as_str(), state, cause = cause.as_str(), "destination changed");
                if *cause == Cause::Accepted
                    && let Some(since) = self.studios.going_live_since.take()
                {
                    self.metrics.went_live(now() - since);
                }
            }
        }
    }

    fn log_failure(&self, destination: &DestinationId, error: &Failure) {
        let broadcast = self.spec.id();
        self.metrics.destination_lost(error.reason);
        match error.fault() {
            Fault::Studio => {
                tracing::info!(%broadcast, %destination, %error, fault = "studio", "destination lost");
            }
            Fault::Destination => {
                tracing::warn!(%broadcast, %destination, %error, fault = "destination", "destination lost");
            }
            Fault::Gateway => {
                tracing::error!(%broadcast, %destination, %error, fault = "gateway", "destination lost");
            }
        }
    }
}
