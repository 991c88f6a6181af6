//! What a connection does besides the conversation while media flow: reading, pacing, pausing, measuring.

use std::{
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use broadcast::{AfterCut, Failure, Reason};
use media::{AccessUnit, Reader, TrackKind};

use super::{
    black_box::{Sample, What, since_1970},
    connection::Programme,
    curtain::{Change, Stage},
    liveness::Liveness,
    media_writer::MediaWriter,
    outgoing::Outgoing,
    pace::Pace,
    tcp_info::Reading,
};

/// How often a connection is measured.
const TICK: Duration = Duration::from_secs(1);

/// How much media may be on its way to a destination that is to catch up before more than usual is kept for it.
const LAG_LIMIT: Duration = Duration::from_secs(1);

/// Where a session's byte stream stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// What the kernel tells, with what waits in our own queue counted as handed over.
    pub(super) reading: Reading,
    /// Bytes of the session that the transport has taken.
    pub(super) taken_bytes: u64,
    /// Bytes of the session that have certainly arrived.
    pub(super) arrived_bytes: u64,
}

/// A publish that goes on.
pub(super) struct Live<'a> {
    programme: &'a Programme,
    reader: Reader,
    writer: MediaWriter,
    stage: Stage,
    /// While it catches up.
    pace: Option<Pace>,
    liveness: Liveness,
    /// When it began to catch up or to be paused, whichever was later.
    since: Instant,
    tick: Instant,
    tick_bytes: u64,
    /// What had arrived then.
    tick_arrived_bytes: u64,
    /// The place is known.
    has_begun: bool,
}

impl<'a> Live<'a> {
    /// Begins to read: at the newest keyframe, or where the connection before this one was cut.
    pub(super) fn new(
        programme: &'a Programme,
        message_stream: u32,
        stall_window: Duration,
        standing: Standing,
        now: Instant,
    ) -> Self {
        let media = &programme.media;
        let cut = programme.place.acknowledged();
        let (reader, pace) = match (programme.after_cut, cut) {
            (AfterCut::Jump, _) => (media.reader(), None),
            (AfterCut::CatchUp, None) => (media.patient_reader(), None),
            (AfterCut::CatchUp, Some(cut)) => {
                programme.black_box.note(What::CatchingUp, None, "");
                (media.reader_from(cut), Some(Pace::new(now)))
            }
        };
        programme.counters.set_published_at(since_1970());
        programme.counters.set_catching_up(pace.is_some());
        Self {
            programme,
            reader,
            writer: MediaWriter::new(message_stream, programme.hints),
            stage: Stage::default(),
            pace,
            liveness: Liveness::new(stall_window, standing.reading.flow, now),
            since: now,
            tick: now,
            tick_bytes: standing.taken_bytes,
            tick_arrived_bytes: standing.arrived_bytes,
            has_begun: cut.is_some(),
        }
    }

    /// Reads what is to be sent next into `units`, with the curtain in its place. `false`: the media have ended.
    pub(super) fn poll_units(
        &mut self,
        context: &mut Context<'_>,
        units: &mut Vec<AccessUnit>,
    ) -> Poll<bool> {
        let batch = match &mut self.pace {
            None => self.reader.poll_batch(context, units),
            Some(pace) => {
                let now = tokio::time::Instant::now().into_std();
                let up_to = pace.allow(self.reader.unread().from, now);
                self.reader.poll_batch_up_to(context, up_to, units)
            }
        };
        let Some(batch) = ready!(batch) else {
            return Poll::Ready(false);
        };
        if batch.dropped > 0 {
            self.programme.counters.add_dropped(batch.dropped);
            self.programme.black_box.note_jump(batch.dropped);
        }
        if self.pace.is_some() && batch.in_newest_group {
            self.pace = None;
            self.programme.counters.set_catching_up(false);
            self.note(What::CaughtUp, "");
        }
        if !self.has_begun
            && let Some(first) = units.iter().find(|unit| unit.kind() == TrackKind::Video)
        {
            self.programme.place.reach(first.timestamp);
            self.has_begun = true;
        }
        self.draw(units);
        Poll::Ready(true)
    }

    /// Moves `units` into the queue of a session that has written `taken_bytes`.
    pub(super) fn write(
        &mut self,
        units: &mut Vec<AccessUnit>,
        taken_bytes: u64,
        outgoing: &mut Outgoing,
    ) {
        let counters = &self.programme.counters;
        self.writer.write(units, taken_bytes, outgoing, counters);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn poll_timeout(&self) -> Instant {
        let due = (self.tick + TICK).min(self.liveness.poll_timeout());
        self.pace
            .as_ref()
            .map_or(due, |pace| due.min(pace.poll_timeout()))
    }

    /// Time has passed.
    pub(super) fn handle_timeout(
        &mut self,
        standing: Standing,
        now: Instant,
    ) -> Result<(), Failure> {
        if let Some(pace) = &mut self.pace {
            pace.handle_timeout(now);
        }
        if self.liveness.handle_timeout(standing.reading.flow, now) {
            return Err(Failure::new(
                Reason::WriteStalled,
                "the server stopped taking what it is sent",
            ));
        }
        if now >= self.tick + TICK {
            self.measure(standing, now);
        }
        Ok(())
    }

    /// The connection is over: remembers how far it came.
    pub(super) fn settle(&mut self, standing: Standing, was_cut: bool) {
        self.follow(standing);
        let Programme {
            counters,
            place,
            after_cut,
            media,
            ..
        } = self.programme;
        counters.set_bits_per_second(0);
        counters.set_acknowledged_bits_per_second(0);
        counters.set_queued(Duration::ZERO);
        counters.set_catching_up(false);
        if was_cut && *after_cut == AfterCut::CatchUp {
            place.hold(media);
        }
    }

    fn draw(&mut self, units: &mut Vec<AccessUnit>) {
        let change = self
            .stage
            .play(self.programme.curtain.borrow().as_ref(), units);
        let words = match change {
            None => return,
            Some(Change::Resumed) => return self.note(What::Resumed, ""),
            Some(Change::Paused { with_picture: true }) => "a stand-in and silence are sent",
            Some(Change::Paused {
                with_picture: false,
            }) => "silence is sent, and no picture",
        };
        self.since = tokio::time::Instant::now().into_std();
        self.programme.black_box.note(What::Paused, None, words);
    }

    /// Tells of the end of what began at `since`.
    fn note(&self, what: What, words: &str) {
        let elapsed = tokio::time::Instant::now().into_std() - self.since;
        self.programme.black_box.note(what, Some(elapsed), words);
    }

    fn measure(&mut self, standing: Standing, now: Instant) {
        let counters = &self.programme.counters;
        let elapsed = now - self.tick;
        let rate = |bytes: u64| {
            let bits = u128::from(bytes) * 8_000 / elapsed.as_millis().max(1);
            u64::try_from(bits).unwrap_or(u64::MAX)
        };
        counters.set_bits_per_second(rate(standing.taken_bytes - self.tick_bytes));
        let arrived = standing
            .arrived_bytes
            .saturating_sub(self.tick_arrived_bytes);
        counters.set_acknowledged_bits_per_second(rate(arrived));
        self.tick = now;
        self.tick_bytes = standing.taken_bytes;
        self.tick_arrived_bytes = standing.arrived_bytes;

        let queued = self.follow(standing);
        counters.set_queued(queued);
        if self.programme.after_cut == AfterCut::CatchUp {
            if self.pace.is_some() || queued > LAG_LIMIT {
                self.programme.place.hold(&self.programme.media);
            } else {
                self.programme.place.let_go();
            }
        }
        self.programme.black_box.sample(Sample {
            at: since_1970(),
            bytes_sent: counters.bytes_sent(),
            bits_per_second: counters.bits_per_second(),
            queued,
            unacknowledged_bytes: standing.reading.flow.unacknowledged(),
            round_trip: standing.reading.round_trip,
            retransmits: standing.reading.retransmits,
            congestion_window: standing.reading.congestion_window,
            frames_sent: counters.frames_sent(),
            frames_dropped: counters.frames_dropped(),
        });
    }

    /// Moves the place to where the server's acknowledgements are. Returns how much media are not there yet.
    fn follow(&mut self, standing: Standing) -> Duration {
        if let Some(arrived) = self.writer.marks.acknowledge(standing.arrived_bytes) {
            self.programme
                .place
                .reach(arrived + Duration::from_nanos(1));
        }
        let unread = self.reader.unread();
        let oldest = self.writer.marks.oldest().or(unread.from);
        oldest.map_or(Duration::ZERO, |oldest| {
            unread.newest.saturating_sub(oldest)
        })
    }
}
