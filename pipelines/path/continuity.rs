//! What is shown when the studio's picture stays away: its last one, frozen, and then the slate.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{CodecConfig, StandIn};
use tokio::sync::watch;

use super::{
    freeze::Freezer,
    rhythm::Rhythm,
    slate_player::{LoopedSound, SlatePlayer},
    status::Showing,
    timeline::{Nanoseconds, nanoseconds},
};

/// Without a picture for this long, something stands in.
const FREEZE_AFTER: Duration = Duration::from_millis(500);

/// The same for a studio whose pictures come hardly more often than that, and that would need a keyframe for each.
const FREEZE_SLOW_AFTER: Duration = Duration::from_millis(800);

/// How long a studio that still sends packets of its picture may show the same: a canvas on which nothing moves.
const STILL_LIFE: Duration = Duration::from_secs(5);

/// A studio has packets of its picture at least this often, as long as it sends any.
const PACKETS_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that a late call leaves between two pictures.
const LONGEST_PAUSE: Nanoseconds = 900_000_000;

/// How far apart the pictures are that fill a longer one.
const FILLED_PAUSE: Nanoseconds = 450_000_000;

/// A pause that is jumped over: the process has stood still.
const JUMPED_PAUSE: Nanoseconds = 10_000_000_000;

/// How long a freeze goes on where no slate is ever shown: destinations are closed after as long.
const FREEZE_ALONE: Duration = Duration::from_mins(1);

/// How often a slate is looked for when nothing can be shown.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Decides what stands in, when, and where on the timeline. It begins after the first picture and never ends.
#[derive(Debug)]
pub(super) struct Continuity {
    slate: watch::Receiver<Option<Arc<StandIn>>>,
    /// `None`: no slate is ever shown.
    slate_after: Option<Duration>,
    rhythm: Rhythm,
    /// When the studio's last picture went out, and where on the timeline it is.
    since: Option<(Instant, Nanoseconds)>,
    last: Option<LastPicture>,
    latest_packet: Option<Instant>,
    shown: Shown,
    /// When the next picture is to stand in.
    due: Option<Instant>,
}

/// The studio's last picture.
#[derive(Debug)]
struct LastPicture {
    config: Arc<CodecConfig>,
    /// Let go once it has been looked at.
    data: Bytes,
}

#[derive(Debug)]
enum Shown {
    Studio,
    Freeze(Box<Freezer>),
    Slate(Box<SlatePlayer>),
    /// There is nothing that could be shown.
    Nothing,
}

/// A picture that stands in for the studio's.
#[derive(Debug)]
pub(super) struct Substitute {
    pub(super) place: Nanoseconds,
    pub(super) keyframe: bool,
    pub(super) config: Arc<CodecConfig>,
    pub(super) data: Bytes,
}

impl Continuity {
    pub(super) fn new(
        slate: watch::Receiver<Option<Arc<StandIn>>>,
        slate_after: Option<Duration>,
    ) -> Self {
        Self {
            slate,
            slate_after,
            rhythm: Rhythm::default(),
            since: None,
            last: None,
            latest_packet: None,
            shown: Shown::Nothing,
            due: None,
        }
    }

    /// Goes on with a show of which this process has seen no picture: something is to stand in from `now` on, which is at
    /// `place`.
    pub(super) fn resume(&mut self, place: Nanoseconds, now: Instant) {
        self.since = Some((now, place));
        self.due = Some(now);
    }

    /// Takes note of a packet of the studio's picture, even an empty one.
    pub(super) fn handle_packet(&mut self, now: Instant) {
        self.latest_packet = Some(now);
    }

    /// The next picture's place by its sender's clock; `begins` when that clock is another than before.
    pub(super) fn record_rhythm(&mut self, place: Nanoseconds, begins: bool) {
        self.rhythm.record(place, begins);
    }

    /// A picture of the studio's goes out. Returns for how long it was away, if something could have stood in.
    pub(super) fn handle_picture(
        &mut self,
        place: Nanoseconds,
        config: &Arc<CodecConfig>,
        data: &Bytes,
        now: Instant,
    ) -> Option<Duration> {
        let before = self.since.replace((now, place));
        self.last = Some(LastPicture {
            config: Arc::clone(config),
            data: data.clone(),
        });
        let was_away = !matches!(self.shown, Shown::Studio);
        if was_away {
            self.shown = Shown::Studio;
        }
        self.due = Some(now + self.patience());
        before
            .filter(|_| was_away)
            .map(|(before, _)| now.saturating_duration_since(before))
    }

    /// How long the next picture may take.
    fn patience(&self) -> Duration {
        let interval = self.rhythm.interval().unwrap_or_default();
        let patience = (interval * 3 / 2).max(FREEZE_AFTER);
        // Beyond it each picture has to be a keyframe in any case, which is better wished for early.
        if patience <= FREEZE_SLOW_AFTER {
            patience
        } else {
            FREEZE_AFTER
        }
    }

    /// The studio is gone: there is nothing to wait for.
    pub(super) fn handle_source_ended(&mut self, now: Instant) {
        self.latest_packet = None;
        if let (Shown::Studio, Some((last, _))) = (&self.shown, self.since) {
            self.due = Some(now.max(last + self.rhythm.stand_in_interval()));
        }
    }

    /// When a picture is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What is shown; [`Showing::Nothing`] before the first picture.
    pub(super) fn showing(&self) -> Showing {
        match self.shown {
            Shown::Studio => Showing::Studio,
            Shown::Freeze(_) => Showing::Freeze,
            Shown::Slate(_) => Showing::Slate,
            Shown::Nothing => Showing::Nothing,
        }
    }

    /// Pictures a second by the sender's clock, lately.
    pub(super) fn frames_per_second(&self) -> Option<f64> {
        Some(1.0 / self.rhythm.interval()?.as_secs_f64())
    }

    /// The sound of the slate that is shown, unless it is silent.
    pub(super) fn sound(&mut self) -> Option<&mut LoopedSound> {
        match &mut self.shown {
            Shown::Slate(player) => player.sound(),
            Shown::Studio | Shown::Freeze(_) | Shown::Nothing => None,
        }
    }

    /// Returns the next picture that is due; `latest` is where the latest picture is on the timeline.
    ///
    /// A late call brings one picture at its own time and not all that were missed, unless the pause were too long.
    pub(super) fn poll(&mut self, latest: Nanoseconds, now: Instant) -> Option<Substitute> {
        let due = self.due.filter(|due| now >= *due)?;
        self.choose(now);
        let interval = match &self.shown {
            Shown::Freeze(_) => self.rhythm.stand_in_interval(),
            Shown::Slate(player) => player.interval(),
            Shown::Studio | Shown::Nothing => {
                self.due = self.slate_after.map(|_| now + LOOK_AGAIN);
                return None;
            }
        };
        let (since, from) = self.since?;
        let at = if now < due + interval { due } else { now };
        let mut place = from + nanoseconds(at.saturating_duration_since(since));
        if (LONGEST_PAUSE..JUMPED_PAUSE).contains(&(place - latest)) {
            place = latest + FILLED_PAUSE;
        } else {
            self.due = Some(at + interval);
        }
        let (keyframe, config, data) = match &mut self.shown {
            Shown::Freeze(freezer) => {
                let last = self.last.as_ref()?;
                (false, Arc::clone(&last.config), freezer.next())
            }
            Shown::Slate(player) => {
                let picture = player.next();
                (picture.keyframe, player.config(), picture.data)
            }
            Shown::Studio | Shown::Nothing => return None,
        };
        Some(Substitute {
            place,
            keyframe,
            config,
            data,
        })
    }

    /// Chooses what the next picture is of.
    fn choose(&mut self, now: Instant) {
        if matches!(self.shown, Shown::Freeze(_))
            && self.slate_after.is_none()
            && self
                .since
                .is_some_and(|(last, _)| now >= last + FREEZE_ALONE)
        {
            self.shown = Shown::Nothing;
        }
        if matches!(self.shown, Shown::Studio)
            && let Some(last) = &mut self.last
        {
            let data = std::mem::take(&mut last.data);
            let freezer = match &*last.config {
                CodecConfig::Avc(config) => Freezer::new(config, &data),
                CodecConfig::Aac(_) => None,
            };
            self.shown = freezer.map_or(Shown::Nothing, |freezer| Shown::Freeze(Box::new(freezer)));
        }
        let may_change = match &self.shown {
            Shown::Freeze(_) => self.is_slate_due(now),
            Shown::Slate(player) => {
                player.is_at_beginning() && self.slate.has_changed().unwrap_or(false)
            }
            Shown::Nothing => self.slate_after.is_some(),
            Shown::Studio => false,
        };
        if may_change
            && let Some(slate) = &*self.slate.borrow_and_update()
            && let Some(player) = SlatePlayer::new(slate)
        {
            self.shown = Shown::Slate(Box::new(player));
        }
    }

    fn is_slate_due(&self, now: Instant) -> bool {
        let (Some(after), Some((last, _))) = (self.slate_after, self.since) else {
            return false;
        };
        let still_sends = self
            .latest_packet
            .is_some_and(|latest| now < latest + PACKETS_PAUSE);
        let after = if still_sends {
            after.max(STILL_LIFE)
        } else {
            after
        };
        now >= last + after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_studio_of_two_pictures_a_second_is_not_frozen_between_them() {
        for (interval, patience) in [
            (33, 500),
            (330, 500),
            (400, 600),
            (530, 795),
            (600, 500),
            (1_000, 500),
        ] {
            let now = Instant::now();
            let (_sender, receiver) = watch::channel(None);
            let mut continuity = Continuity::new(receiver, None);
            for number in 0..10 {
                continuity.record_rhythm(number * interval * 1_000_000, false);
            }
            let config = Arc::new(CodecConfig::Avc(media::VideoConfig {
                decoder_configuration: Bytes::new(),
                width: 16,
                height: 16,
            }));

            continuity.handle_picture(0, &config, &Bytes::new(), now);

            assert_eq!(
                continuity.poll_timeout(),
                Some(now + ms(patience)),
                "{interval} ms"
            );
        }
    }
}
