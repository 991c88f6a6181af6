//! The task of one broadcast: what happens goes into the machine, its effects come out and are performed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use broadcast::{
    BroadcastSpec, BroadcastState, Cause, Change, DestinationEvent, DestinationId,
    DestinationState, Effect, Failure, Fault, Machine,
};
use peers::{IngestStatistics, PeerEvent, Peers, SessionError, SinkId};
use tokio::{
    sync::{broadcast as fan, mpsc, watch},
    time::{MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    carriers::{Carriers, Report},
    handle::{Command, Gone, PublishError, Published, StudioIdentity},
    path::PathStatus,
    snapshot::{DatedChange, Snapshot},
    studio::{Seat, Studio, Studios},
};
use crate::{
    clock::{WallClock, now},
    metrics::Metrics,
};

/// How long the media workers may take for an answer. WHIP promises 100 ms; this only unblocks a broken one.
const WORKER_TIMEOUT: Duration = Duration::from_secs(5);

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
    Due,
    Tick,
    Stop,
}

/// Everything that one broadcast owns.
pub(super) struct Runner {
    pub(super) spec: Arc<BroadcastSpec>,
    pub(super) machine: Machine,
    pub(super) clock: WallClock,
    pub(super) created: Instant,
    pub(super) peers: Peers,
    pub(super) path: PathStatus,
    pub(super) carriers: Carriers,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) outlets: Outlets,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
    pub(super) studios: Studios,
    /// Its place on a media worker, once it has one.
    pub(super) sink: Option<SinkId>,
}

impl Runner {
    /// Runs until the broadcast has ended and its destinations are closed.
    pub(super) async fn run(mut self, sink: SinkId) {
        self.sink = Some(sink);
        let mut ticks = interval(STATISTICS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut enders = Vec::new();
        tracing::info!(broadcast = %self.spec.id(), "broadcast created");
        self.settle().await;
        while self.machine.state() != BroadcastState::Ended {
            let due = self.machine.poll_timeout();
            let flowing = self.studios.current.is_some() || self.carriers.any_open();
            // Every arm is cancel-safe: channels, a token, clocks.
            let happened = tokio::select! {
                command = self.commands.recv() => Happened::Command(command),
                event = self.studios.next_event() => match event {
                    (Seat::Current, event) => Happened::Current(event),
                    (Seat::Candidate, event) => Happened::Candidate(event),
                },
                report = self.carriers.next_report() => Happened::Destination(report),
                () = sleep_until(due.unwrap_or(self.created).into()), if due.is_some() => Happened::Due,
                _ = ticks.tick(), if flowing => Happened::Tick,
                () = self.stop.cancelled() => Happened::Stop,
            };
            // These wait for the next tick, which tells them together with everything else.
            let quiet = matches!(happened, Happened::Current(PeerEvent::Statistics(_)));
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
                Happened::Tick => self.carriers.measure(),
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
            Command::Add(destination, reply) => {
                let outcome = self.machine.add_destination(destination, now);
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::Change(id, change, reply) => {
                let outcome = self.machine.change_destination(&id, change, now);
                self.settle().await;
                drop(reply.send(outcome));
            }
            Command::Remove(id, reply) => {
                let outcome = self.machine.remove_destination(&id);
                self.carriers.forget(&id);
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
            Command::End(reply) => {
                let _ = reply.send(());
            }
            #[cfg(test)]
            Command::Panic => panic!("asked to"),
        }
    }

    async fn publish(
        &mut self,
        offer: &str,
        studio: &StudioIdentity,
    ) -> Result<Published, PublishError> {
        self.studios.admit(studio)?;
        let sink = self.sink.ok_or(Gone)?;
        let asked = now();
        let published = timeout(WORKER_TIMEOUT, self.peers.publish(sink, offer))
            .await
            .map_err(|_| PublishError::Timeout)??;
        self.metrics.whip_answered(now() - asked);
        if let Some(superseded) = self.studios.candidate.take() {
            self.peers.close(&superseded.session).await;
        }
        let resume_token = self.studios.issue_resume_token();
        self.studios.going_live_since = Some(asked);
        let answer = Published {
            session: published.session.as_str().to_owned(),
            answer: published.answer,
            etag: published.etag.clone(),
            resume_token: resume_token.clone(),
        };
        self.studios.candidate = Some(Studio {
            session: published.session,
            etag: published.etag,
            source: published.source,
            events: published.events,
            subject: studio.subject.clone(),
            resume_token,
            statistics: IngestStatistics::default(),
        });
        tracing::info!(broadcast = %self.spec.id(), elapsed = ?(now() - asked), "studio answered");
        Ok(answer)
    }

    async fn close_session(&mut self, session: &str) -> Result<(), SessionError> {
        let id = self
            .studios
            .find(session)
            .map(|studio| studio.session.clone())
            .ok_or(SessionError::NoSuchSession)?;
        self.peers.close(&id).await;
        if self
            .studios
            .current
            .as_ref()
            .is_some_and(|studio| studio.session == id)
        {
            self.lose_studio("the studio said goodbye");
        } else {
            self.studios.candidate = None;
            self.studios.forget_if_empty();
        }
        Ok(())
    }

    fn handle_current(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::MediaArrived => self.machine.handle_media_arrived(now()),
            PeerEvent::Statistics(statistics) => {
                if let Some(studio) = &mut self.studios.current {
                    studio.statistics = statistics;
                }
            }
            PeerEvent::Ended(reason) => self.lose_studio(&reason),
            PeerEvent::Connected => {}
            _ => {}
        }
    }

    fn handle_candidate(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Connected => self.seat_candidate(),
            PeerEvent::MediaArrived => {
                self.seat_candidate();
                self.machine.handle_media_arrived(now());
            }
            PeerEvent::Ended(reason) => {
                tracing::info!(broadcast = %self.spec.id(), reason, "studio never connected");
                self.studios.candidate = None;
                self.studios.forget_if_empty();
            }
            PeerEvent::Statistics(_) => {}
            _ => {}
        }
    }

    /// The candidate has connected; the workers end the session that it replaces.
    fn seat_candidate(&mut self) {
        let Some(took_over) = self.studios.seat_candidate() else {
            return;
        };
        tracing::info!(broadcast = %self.spec.id(), took_over, "studio connected");
        self.metrics.studio_connected();
        self.machine.handle_studio_connected(now());
    }

    fn lose_studio(&mut self, reason: &str) {
        tracing::info!(broadcast = %self.spec.id(), reason, "studio lost");
        self.studios.current = None;
        self.studios.forget_if_empty();
        self.machine.handle_studio_lost(now());
    }

    fn handle_report(&mut self, report: Report) {
        if let DestinationEvent::Lost(_) = report.event {
            self.carriers.retire(report.attempt);
        }
        self.machine
            .handle_destination(&report.destination, report.attempt, report.event, now());
    }

    /// Performs what the machine asks for, then shows and tells what has become of it.
    async fn settle(&mut self) {
        let mut changes = Vec::new();
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Open {
                    destination,
                    line,
                    attempt,
                    endpoint,
                } => self.carriers.open((destination, line), attempt, endpoint),
                Effect::Close { attempt, .. } => self.carriers.close(attempt),
                Effect::RequestKeyframe => {
                    if let Some(sink) = self.sink {
                        self.peers.request_keyframe(sink).await;
                    }
                }
                Effect::EndStudio => self.end_studio().await,
                Effect::Changed(change) => changes.push(change),
            }
        }
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

    async fn end_studio(&mut self) {
        for studio in [self.studios.current.take(), self.studios.candidate.take()]
            .into_iter()
            .flatten()
        {
            self.peers.close(&studio.session).await;
        }
        self.studios.forget_if_empty();
    }

    fn log(&mut self, change: &Change) {
        let broadcast = self.spec.id();
        match change {
            Change::Broadcast { state, cause } => {
                tracing::info!(%broadcast, state = state.as_str(), cause = cause.as_str(), "broadcast changed");
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
