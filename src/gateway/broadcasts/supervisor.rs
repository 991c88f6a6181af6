//! How a broadcast's task begins, and whoever outlives it: frees what it had, also when it panicked.

use std::{panic::AssertUnwindSafe, sync::Arc};

use broadcast::{BroadcastSpec, Machine, SpecError};
use egress_providers::{MediaHints, Show};
use futures_util::FutureExt as _;
use media::MediaSink;
use peers::SinkId;
use pipelines::{
    Permit,
    path::{ResumedPicture, Resumption, Showing},
};
use tokio::sync::{broadcast as fan, mpsc, watch};

use super::{
    carriers::Carriers,
    handle::{BroadcastHandle, CHANGES_LIMIT, COMMANDS_LIMIT},
    keeper::Keeper,
    lookout::Lookout,
    path::{NewPath, plan_of},
    plain::PlainBook,
    registry::{Broadcasts, Inner},
    renditions::Renditions,
    room::Room,
    runner::{Outlets, Runner},
    snapshot::Snapshot,
    stand_in::SlatePlace,
    studio::Studios,
    thumbnails::Thumbnails,
    vigil::Vigil,
};
use crate::{
    clock::{WallClock, now},
    nodes::{Holding, KeptBroadcast, KeptShow},
    slates::Slate,
};

/// Pictures a second of a show of which that was not known yet: without any, no slate is coded.
const USUAL_RATE: f64 = 30.0;

/// What a broadcast's task begins with.
pub(super) struct Beginning {
    /// What it was created from.
    asked: BroadcastSpec,
    /// What it is now.
    current: BroadcastSpec,
    /// What another node wrote down of it.
    kept: Option<KeptBroadcast>,
}

impl Beginning {
    /// A new one.
    pub(super) fn new(spec: BroadcastSpec) -> Self {
        Self {
            current: spec.clone(),
            asked: spec,
            kept: None,
        }
    }

    /// One that another node ran.
    pub(super) fn of_kept(kept: KeptBroadcast) -> Result<Self, SpecError> {
        let asked = kept.asked.clone();
        let current = BroadcastSpec::new(
            asked.id().clone(),
            kept.method,
            kept.started,
            kept.destinations.clone(),
        )?;
        let current = current
            .with_production(asked.production())
            .with_video(kept.video)
            .with_slate(asked.slate().clone());
        Ok(Self {
            asked,
            current,
            kept: Some(kept),
        })
    }

    /// What it is now.
    pub(super) const fn current(&self) -> &BroadcastSpec {
        &self.current
    }

    fn show(&self) -> Option<&KeptShow> {
        self.kept.as_ref()?.show.as_ref()
    }

    fn machine(&self, clock: &WallClock) -> Machine {
        let (seed, now) = (rand::random(), now());
        match self.show() {
            Some(show) => {
                let first_live = show.first_live.and_then(|at| clock.when(at));
                Machine::resume(&self.current, first_live, seed, now)
            }
            None => Machine::new(&self.current, seed, now),
        }
    }

    /// Where its show goes on, if there was one.
    fn resumption(&self, clock: &WallClock) -> Option<Resumption> {
        let show = self.show()?;
        let zero = clock.when(show.zero);
        Some(Resumption {
            // A node whose clock is behind begins anew.
            position: zero.map_or_else(Default::default, |zero| {
                now().saturating_duration_since(zero)
            }),
            picture: show.picture.map(|picture| ResumedPicture {
                size: (picture.width, picture.height),
                frames_per_second: Some(picture.frames_per_second.map_or(USUAL_RATE, f64::from)),
            }),
        })
    }
}

impl Broadcasts {
    /// Begins a broadcast's task.
    pub(super) fn spawn(
        &self,
        beginning: Beginning,
        room: Room,
        holding: Holding,
        permit: Permit,
    ) -> BroadcastHandle {
        let inner = self.inner();
        let machine = beginning.machine(&inner.clock);
        let resumption = beginning.resumption(&inner.clock);
        let kept = beginning.kept.as_ref();
        let created = kept.and_then(|kept| inner.clock.when(kept.created_at));
        let created = created.unwrap_or_else(now);
        let elsewhere = kept.and_then(|kept| kept.show);
        let tokens = kept.map(|kept| kept.resume_tokens.clone());
        let spec = Arc::new(beginning.asked);
        let current = beginning.current;
        let slate = Slate::new(&inner.slates, spec.slate().title(), spec.slate().enabled());
        let (slate_place, coded) = SlatePlace::new(spec.id().clone(), slate.clone());
        let plan = plan_of(current.method(), current.video());
        let settings = inner.path_of(&spec);
        let path = NewPath::new(settings, coded, inner.engines.clone(), plan, resumption);
        slate_place.follow(&path.status.borrow());
        let inspector = inner.slates.inspector();
        let thumbnails =
            Thumbnails::new(inspector.clone(), path.subscriber.clone(), rand::random());
        let lookout = Lookout::new(inspector.clone(), thumbnails.clone());
        let hints = MediaHints::default();
        let renditions = Renditions::new(
            spec.id().clone(),
            inner.workshop.clone(),
            path.subscriber.clone(),
            slate.clone(),
            path.status.clone(),
        );
        let show = Show {
            media: path.subscriber,
            opus: path.opus,
            keyframe_wanted: Arc::default(),
            permit,
        };
        let carriers = Carriers::new(
            Arc::new(current.clone()),
            Arc::clone(&inner.outside),
            show,
            renditions,
            hints,
            Arc::clone(&inner.metrics),
        );
        let (commands, command_queue) = mpsc::channel(COMMANDS_LIMIT);
        let (changes, _) = fan::channel(CHANGES_LIMIT);
        let blank = Snapshot::blank(&current, slate.describe(), inner.clock.at(created));
        let (snapshot, snapshot_reader) = watch::channel(Arc::new(blank));
        let outlets = Outlets { snapshot, changes };
        let sealer = inner.sealer.clone();
        let keeper = sealer.map(|sealer| Keeper::new(holding.clone(), sealer, elsewhere));
        let kept = keeper.as_ref().map(Keeper::wanted);
        let written = keeper.as_ref().map(Keeper::begun);
        let runner = Runner {
            spec: Arc::clone(&spec),
            machine,
            clock: inner.clock,
            created,
            peers: inner.peers.clone(),
            path: path.status.clone(),
            method: current.method(),
            video: *current.video(),
            steps_down: inner.admission.steps_down(),
            room,
            plan: path.plan,
            carriers,
            commands: command_queue,
            outlets: outlets.clone(),
            metrics: Arc::clone(&inner.metrics),
            stop: inner.stop.child_token(),
            studios: Studios::with_resume_tokens(tokens.unwrap_or_default()),
            plain: PlainBook::default(),
            vigil: Vigil::default(),
            lookout,
            slate: slate_place,
            shown: Showing::default(),
            sink: None,
            lost: holding.lost(),
            keeper,
        };
        runner.show(0);
        let path_status = path.status;
        let handle = BroadcastHandle {
            spec,
            slate,
            thumbnails,
            kept,
            written,
            path: path_status,
            sink: Arc::default(),
            commands,
            snapshot: snapshot_reader,
            changes: outlets.changes.downgrade(),
        };
        let supervisor = Supervisor {
            broadcasts: self.clone(),
            handle: handle.clone(),
            holding,
            outlets,
        };
        inner.tasks.spawn(supervisor.run(runner, path.sink));
        handle
    }
}

/// Whoever outlives a broadcast's task.
struct Supervisor {
    broadcasts: Broadcasts,
    handle: BroadcastHandle,
    holding: Holding,
    outlets: Outlets,
}

impl Supervisor {
    async fn run(self, runner: Runner, sink: Box<dyn MediaSink>) {
        let inner: &Inner = self.broadcasts.inner();
        let id = self.handle.id().clone();
        let sink: SinkId = inner.peers.attach(id.as_str(), sink).await;
        let _ = self.handle.sink.set(sink);
        let running = runner.run(sink);
        if Box::pin(AssertUnwindSafe(running).catch_unwind())
            .await
            .is_err()
        {
            tracing::error!(broadcast = %id, fault = "gateway", "broadcast broke");
            inner.metrics.panicked();
            self.outlets.tell_broken(&inner.clock);
        }
        inner.peers.detach(sink).await;
        self.broadcasts.forget(&self.handle);
        inner.membership.release(&self.holding).await;
        inner.metrics.broadcast_ended();
    }
}

#[cfg(test)]
#[path = "restored_tests.rs"]
mod tests;
