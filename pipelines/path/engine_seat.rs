//! The engine at work, and the one that is to replace it: at a picture, so that nobody sees it.

use std::{
    collections::VecDeque,
    task::Waker,
    time::{Duration, Instant},
};

use media::VideoCodec;
use tokio::sync::watch;

use crate::engine::{
    Engine, EngineKind, EngineOrder, EnginePicture, EnginePlan, EngineState, Engines, SourcePicture,
};

/// How long the last pictures of an engine that was replaced may take.
const LAST_PICTURES: Duration = Duration::from_millis(500);

/// The most pictures of the new engine that wait for the last ones of the old: a second at 60 frames/s.
const WAITING_LIMIT: usize = 60;

/// What makes the studio's pictures ready to go out.
#[derive(Debug)]
pub(super) struct EngineSeat {
    engines: Engines,
    plan: watch::Receiver<EnginePlan>,
    waker: Waker,
    codec: Option<VideoCodec>,
    current: Option<Seated>,
    successor: Option<Successor>,
    /// What an engine made before it took over.
    ready: VecDeque<EnginePicture>,
    /// Timestamps of what the engine at work was given, and gave, last.
    latest_in: Option<Duration>,
    latest_out: Option<Duration>,
    /// Of engines that were replaced.
    restarts: u64,
    wishes_keyframe: bool,
    /// Pictures are missing before the next one.
    follows_gap: bool,
    /// What goes out next is a keyframe.
    needs_keyframe: bool,
}

#[derive(Debug)]
struct Seated {
    order: EngineOrder,
    engine: Box<dyn Engine>,
}

#[derive(Debug)]
struct Successor {
    seated: Seated,
    phase: Phase,
    /// What it made of the pictures that are its.
    ready: VecDeque<EnginePicture>,
}

/// How far a successor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It needs a keyframe of the studio's to begin with.
    NeedsKeyframe,
    /// It works, and has not brought forth anything.
    Warming,
    /// It takes over at the next picture.
    Ready,
    /// The pictures are its from `from` on. Those before are not waited for any longer than `until`.
    TakesOver { from: Duration, until: Instant },
}

impl EngineSeat {
    pub(super) fn new(engines: Engines, plan: watch::Receiver<EnginePlan>) -> Self {
        Self {
            engines,
            plan,
            waker: Waker::noop().clone(),
            codec: None,
            current: None,
            successor: None,
            ready: VecDeque::new(),
            latest_in: None,
            latest_out: None,
            restarts: 0,
            wishes_keyframe: false,
            follows_gap: false,
            needs_keyframe: false,
        }
    }

    pub(super) fn attach(&mut self, waker: &Waker) {
        self.waker.clone_from(waker);
    }

    /// The engine at work.
    pub(super) fn kind(&self) -> Option<EngineKind> {
        self.current.as_ref().map(|seated| seated.order.kind)
    }

    /// What the studio sends, as far as it is known.
    pub(super) fn codec(&self) -> Option<VideoCodec> {
        self.codec
    }

    /// How the engine at work is.
    pub(super) fn state(&self) -> EngineState {
        let current = self.current.as_ref();
        current.map_or_else(EngineState::default, |seated| seated.engine.state())
    }

    /// How often the process of an engine was replaced.
    pub(super) fn restarts(&self) -> u64 {
        let current = self.current.as_ref();
        self.restarts + current.map_or(0, |seated| seated.engine.restarts())
    }

    /// Whether keyframes that go out are the studio's own.
    pub(super) fn forwards(&self) -> bool {
        let current = self.current.as_ref();
        current.is_none_or(|seated| seated.engine.forwards())
    }

    /// A studio that sends this codec is connected. The engine stays if it is the right one.
    pub(super) fn handle_source_started(&mut self, codec: Option<VideoCodec>) {
        self.successor = None;
        self.codec = codec;
        if let Some(order) = self.order()
            && self.current.as_ref().map(|seated| seated.order) != Some(order)
        {
            let seated = self.seat(order);
            self.replace(seated);
        }
    }

    fn order(&mut self) -> Option<EngineOrder> {
        let plan = *self.plan.borrow_and_update();
        self.engines.choose(&plan, self.codec?)
    }

    /// Begins to change the engine if another is wanted.
    fn follow_plan(&mut self) {
        if !self.plan.has_changed().unwrap_or(false) {
            return;
        }
        let Some(order) = self.order() else { return };
        let successor = self.successor.as_ref();
        if self.current.as_ref().map(|seated| seated.order) == Some(order) {
            self.successor = None;
        } else if successor.map(|successor| successor.seated.order) != Some(order) {
            self.wishes_keyframe = true;
            self.successor = Some(Successor {
                seated: self.seat(order),
                phase: Phase::NeedsKeyframe,
                ready: VecDeque::new(),
            });
        }
    }

    fn seat(&self, order: EngineOrder) -> Seated {
        let engine = self.engines.make(&order, &self.waker);
        Seated { order, engine }
    }

    fn replace(&mut self, seated: Seated) {
        if let Some(left) = self.current.replace(seated) {
            self.restarts += left.engine.restarts();
        }
        (self.latest_in, self.latest_out) = (None, None);
    }

    /// Pictures are missing before the next one.
    pub(super) fn handle_gap(&mut self) {
        self.follows_gap = true;
    }

    /// Takes the studio's next picture.
    pub(super) fn handle_picture(&mut self, picture: SourcePicture, now: Instant) {
        self.follow_plan();
        let follows_gap = std::mem::take(&mut self.follows_gap);
        if let Some(successor) = &mut self.successor {
            let was_alone = successor.from().is_some();
            if successor.take(&picture, follows_gap, now) {
                if let Some(current) = self.current.as_mut().filter(|_| !was_alone) {
                    current.engine.handle_end();
                }
                return;
            }
        }
        if let Some(Seated { engine, .. }) = &mut self.current {
            if follows_gap {
                engine.handle_gap();
            }
            self.latest_in = Some(picture.timestamp);
            engine.handle_picture(picture, now);
        }
    }

    /// The next picture is to be a keyframe, whoever makes it.
    pub(super) fn require_keyframe(&mut self) {
        self.needs_keyframe = true;
        if let Some(current) = &mut self.current {
            current.engine.require_keyframe();
        }
    }

    /// Takes the next picture that is ready.
    pub(super) fn poll_picture(&mut self, now: Instant) -> Option<EnginePicture> {
        loop {
            let picture = self.poll_any(now)?;
            if picture.keyframe || !self.needs_keyframe {
                self.needs_keyframe = false;
                return Some(picture);
            }
        }
    }

    fn poll_any(&mut self, now: Instant) -> Option<EnginePicture> {
        if let Some(successor) = &mut self.successor {
            successor.pump();
        }
        loop {
            if let Some(picture) = self.ready.pop_front() {
                return Some(picture);
            }
            let limit = self.successor.as_ref().and_then(Successor::from);
            let current = self.current.as_mut();
            let picture = current.and_then(|seated| seated.engine.poll_picture());
            if let Some(picture) = picture {
                self.latest_out = Some(picture.timestamp);
                if limit.is_none_or(|limit| picture.timestamp < limit) {
                    return Some(picture);
                }
            } else if self.may_change(now)
                && let Some(successor) = self.successor.take()
            {
                self.replace(successor.seated);
                self.ready = successor.ready;
            } else {
                return None;
            }
        }
    }

    /// Whether the successor has something to show, and nothing is to be expected of the engine at work.
    fn may_change(&self, now: Instant) -> bool {
        let Some(Successor {
            phase: Phase::TakesOver { until, .. },
            ready,
            ..
        }) = &self.successor
        else {
            return false;
        };
        !ready.is_empty() && (self.latest_out >= self.latest_in || now >= *until)
    }

    /// Takes a pending wish for a keyframe of the studio's.
    pub(super) fn poll_keyframe_request(&mut self) -> bool {
        let mut wished = std::mem::take(&mut self.wishes_keyframe);
        for engine in self.engines_mut() {
            wished |= engine.poll_keyframe_request();
        }
        wished
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let current = self.current.as_ref();
        let successor = self.successor.as_ref();
        [
            current.and_then(|seated| seated.engine.poll_timeout()),
            successor.and_then(|successor| successor.seated.engine.poll_timeout()),
            successor.and_then(Successor::until),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for engine in self.engines_mut() {
            engine.handle_timeout(now);
        }
    }

    fn engines_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn Engine>> {
        let successor = self.successor.as_mut();
        let seats = self.current.iter_mut();
        seats
            .chain(successor.map(|successor| &mut successor.seated))
            .map(|seated| &mut seated.engine)
    }
}

impl Successor {
    /// From when on the pictures are its.
    fn from(&self) -> Option<Duration> {
        match self.phase {
            Phase::TakesOver { from, .. } => Some(from),
            Phase::NeedsKeyframe | Phase::Warming | Phase::Ready => None,
        }
    }

    /// Until when the last pictures of the other engine are waited for, once it has something to show.
    fn until(&self) -> Option<Instant> {
        match self.phase {
            Phase::TakesOver { until, .. } if !self.ready.is_empty() => Some(until),
            Phase::TakesOver { .. } | Phase::NeedsKeyframe | Phase::Warming | Phase::Ready => None,
        }
    }

    /// Takes a picture if it is of use. Returns whether it is the successor's alone.
    fn take(&mut self, picture: &SourcePicture, follows_gap: bool, now: Instant) -> bool {
        let engine = &mut self.seated.engine;
        let takes_over = Phase::TakesOver {
            from: picture.timestamp,
            until: now + LAST_PICTURES,
        };
        match self.phase {
            Phase::NeedsKeyframe if !picture.keyframe => return false,
            Phase::NeedsKeyframe if self.seated.order.kind == EngineKind::Passthrough => {
                self.phase = takes_over;
            }
            Phase::NeedsKeyframe => self.phase = Phase::Warming,
            Phase::Ready if engine.forwards() && !picture.keyframe => {}
            Phase::Ready => {
                engine.require_keyframe();
                self.phase = takes_over;
            }
            Phase::Warming | Phase::TakesOver { .. } => {}
        }
        if follows_gap {
            engine.handle_gap();
        }
        engine.handle_picture(picture.clone(), now);
        matches!(self.phase, Phase::TakesOver { .. })
    }

    fn pump(&mut self) {
        while let Some(picture) = self.seated.engine.poll_picture() {
            match self.phase {
                Phase::TakesOver { from, .. } if picture.timestamp >= from => {
                    // The first is a keyframe: it was required.
                    if self.ready.len() < WAITING_LIMIT
                        && (picture.keyframe || !self.ready.is_empty())
                    {
                        self.ready.push_back(picture);
                    }
                }
                Phase::Warming => self.phase = Phase::Ready,
                Phase::NeedsKeyframe | Phase::Ready | Phase::TakesOver { .. } => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "engine_seat_tests.rs"]
mod tests;
