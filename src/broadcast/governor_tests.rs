use std::fmt;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A required flow that keeps up at this rate.
const fn flow(queue_milliseconds: u64, acknowledged: u64) -> RequiredFlow {
    RequiredFlow {
        queue: Duration::from_millis(queue_milliseconds),
        bits_per_second_acknowledged: acknowledged,
        dropped_pictures: 0,
    }
}

/// A studio of 4.5 Mb/s, second by second.
struct Show {
    governor: Governor,
    now: Instant,
}

impl Show {
    fn begin() -> Self {
        let mut show = Self {
            governor: Governor::default(),
            now: Instant::now(),
        };
        for _ in 0..10 {
            assert_eq!(show.second(&[flow(50, 4_700_000)]), None);
        }
        show
    }

    fn second(&mut self, required: &[RequiredFlow]) -> Option<LimitChange> {
        self.now += SECOND;
        let input = GovernorInput {
            ingest_bits_per_second: 4_500_000,
            required,
        };
        self.governor.handle_second(&input, self.now)
    }
}

#[test]
fn a_queue_over_a_second_that_grows_limits_to_what_the_slowest_takes() {
    let mut show = Show::begin();
    let fast = flow(40, 4_700_000);
    assert_eq!(show.second(&[fast, flow(600, 2_000_000)]), None);
    assert_eq!(show.second(&[fast, flow(900, 2_000_000)]), None);

    let change = show.second(&[fast, flow(1200, 2_000_000)]);

    assert_eq!(change, Some(LimitChange::Limit(1_700_000)));
    assert_eq!(show.governor.limit(), Some(1_700_000));
}

#[test]
fn of_several_slow_ones_the_slowest_counts() {
    let mut show = Show::begin();
    for queue in [1000, 1500, 2000, 2500] {
        let slower = flow(queue + 100, 1_000_000);
        show.second(&[slower, flow(queue + 500, 3_000_000)]);
    }

    assert_eq!(show.governor.limit(), Some(850_000));
}

#[test]
fn a_queue_that_shrinks_limits_nothing() {
    let mut show = Show::begin();
    for queue in [900, 800, 700, 600] {
        assert_eq!(show.second(&[flow(queue, 3_000_000)]), None);
    }
}

#[test]
fn a_dropped_picture_limits_at_once() {
    let mut show = Show::begin();
    let dropping = RequiredFlow {
        dropped_pictures: 12,
        ..flow(200, 2_000_000)
    };

    for _ in 0..2 {
        show.second(&[dropping]);
    }

    assert_eq!(
        show.second(&[dropping]),
        Some(LimitChange::Limit(1_700_000))
    );
}

#[test]
fn the_picture_is_left_its_floor() {
    let mut show = Show::begin();

    for queue in [1100, 1400, 1800, 2300] {
        show.second(&[flow(queue, 100_000)]);
    }

    assert_eq!(show.governor.limit(), Some(VIDEO_FLOOR + AUDIO_ALLOWANCE));
}

#[test]
fn a_destination_that_takes_nothing_does_not_make_the_others_suffer() {
    let mut show = Show::begin();

    for second in 1..15 {
        let stalled = flow(second * 1000, 0);
        assert_eq!(show.second(&[stalled, flow(50, 4_700_000)]), None);
    }
}

#[test]
fn a_far_server_is_calm_with_the_queue_it_always_has() {
    let mut show = Show::begin();
    for _ in 0..120 {
        assert_eq!(show.second(&[flow(350, 4_700_000)]), None);
    }
    for queue in [1100, 1400, 1800] {
        show.second(&[flow(queue, 1_000_000)]);
    }
    assert!(show.governor.limit().is_some());

    for _ in 0..60 {
        show.second(&[flow(350, 1_000_000)]);
    }

    assert_eq!(show.governor.limit(), None);
}

#[test]
fn without_required_destinations_a_limit_is_lifted() {
    let mut show = Show::begin();
    for queue in [1100, 1400, 1800] {
        show.second(&[flow(queue, 1_000_000)]);
    }

    let changes: Vec<LimitChange> = (0..60).filter_map(|_| show.second(&[])).collect();

    assert_eq!(changes.last(), Some(&LimitChange::Lift));
    assert_eq!(show.governor.limit(), None);
}

/// One picture on its way.
struct Picture {
    at: u64,
    bits: u64,
    keyframe: bool,
}

/// A studio, a governor and a connection of limited rate, in steps of a millisecond.
struct Link {
    governor: Governor,
    start: Instant,
    millisecond: u64,
    /// What the studio has heard, and when it obeys the next.
    obeyed: Option<u64>,
    heard: VecDeque<(u64, Option<u64>)>,
    waiting: VecDeque<Picture>,
    credit: u64,
    /// Of the running second.
    sent: u64,
    acknowledged: u64,
    dropped: u64,
}

/// What a second was like.
struct Second {
    queue: Duration,
    sent: u64,
    acknowledged: u64,
    dropped: u64,
    change: Option<LimitChange>,
}

impl fmt::Debug for Second {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "queue {:?}, sent {}, acknowledged {}, dropped {}, {:?}",
            self.queue, self.sent, self.acknowledged, self.dropped, self.change
        )
    }
}

impl Link {
    const STUDIO: u64 = 4_500_000;
    /// REMB to encoder.
    const REACTION: u64 = 1000;
    const PATIENCE: u64 = 4000;

    fn new() -> Self {
        Self {
            governor: Governor::default(),
            start: Instant::now(),
            millisecond: 0,
            obeyed: None,
            heard: VecDeque::new(),
            waiting: VecDeque::new(),
            credit: 0,
            sent: 0,
            acknowledged: 0,
            dropped: 0,
        }
    }

    fn queue(&self) -> u64 {
        self.waiting
            .front()
            .map_or(0, |picture| self.millisecond - picture.at)
    }

    /// Thirty pictures a second; a keyframe every two seconds is as large as six.
    fn take_picture(&mut self) {
        let number = self.millisecond * 30 / 1000;
        if number == (self.millisecond + 1) * 30 / 1000 {
            return;
        }
        let rate = self
            .obeyed
            .map_or(Self::STUDIO, |limit| limit.min(Self::STUDIO));
        let keyframe = number.is_multiple_of(60);
        let bits = rate / 30 * 60 / 65 * if keyframe { 6 } else { 1 };
        self.sent += bits;
        self.waiting.push_back(Picture {
            at: self.millisecond,
            bits,
            keyframe,
        });
    }

    fn drain(&mut self, bits_per_second: u64) {
        self.credit += bits_per_second / 1000;
        while let Some(first) = self.waiting.front_mut() {
            let now = self.credit.min(first.bits);
            first.bits -= now;
            self.credit -= now;
            self.acknowledged += now;
            if first.bits > 0 {
                return;
            }
            self.waiting.pop_front();
        }
        self.credit = 0;
    }

    /// Too slow: what is left of the show begins at its newest keyframe.
    fn skip(&mut self) {
        if self.queue() <= Self::PATIENCE {
            return;
        }
        if let Some(newest) = self.waiting.iter().rposition(|picture| picture.keyframe) {
            self.dropped += newest as u64;
            self.waiting.drain(..newest);
        }
    }

    fn second(&mut self, bits_per_second: u64) -> Second {
        for _ in 0..1000 {
            while self
                .heard
                .front()
                .is_some_and(|(due, _)| *due <= self.millisecond)
            {
                self.obeyed = self.heard.pop_front().unwrap().1;
            }
            self.take_picture();
            self.drain(bits_per_second);
            self.skip();
            self.millisecond += 1;
        }
        let flow = RequiredFlow {
            queue: Duration::from_millis(self.queue()),
            bits_per_second_acknowledged: std::mem::take(&mut self.acknowledged),
            dropped_pictures: std::mem::take(&mut self.dropped),
        };
        let input = GovernorInput {
            ingest_bits_per_second: std::mem::take(&mut self.sent),
            required: &[flow],
        };
        let now = self.start + Duration::from_millis(self.millisecond);
        let change = self.governor.handle_second(&input, now);
        if let Some(change) = change {
            self.heard
                .push_back((self.millisecond + Self::REACTION, change.limit()));
        }
        Second {
            queue: flow.queue,
            sent: input.ingest_bits_per_second,
            acknowledged: flow.bits_per_second_acknowledged,
            dropped: flow.dropped_pictures,
            change,
        }
    }

    fn seconds(&mut self, count: usize, bits_per_second: u64) -> Vec<Second> {
        (0..count).map(|_| self.second(bits_per_second)).collect()
    }
}

fn check_recovery(slow: u64) {
    const FAST: u64 = 50_000_000;
    let mut link = Link::new();
    let before = link.seconds(20, FAST);
    assert!(before.iter().all(|second| second.change.is_none()));

    let squeezed = link.seconds(120, slow);

    let told = |from: usize| squeezed[from..].iter();
    let longest = told(0).map(|second| second.queue).max().unwrap();
    assert!(
        squeezed[10].queue < longest
            && told(10).all(|second| second.queue < Duration::from_secs(2)),
        "{squeezed:?}"
    );
    assert_eq!(
        told(10).map(|second| second.dropped).sum::<u64>(),
        0,
        "{squeezed:?}"
    );
    let steady: u64 = told(30).map(|second| second.acknowledged).sum::<u64>() / 90;
    assert!(steady * 10 >= slow * 8, "{steady} of {slow}: {squeezed:?}");
    let reductions = told(30)
        .filter_map(|second| second.change?.limit())
        .collect::<Vec<_>>()
        .windows(2)
        .filter(|pair| pair[1] < pair[0])
        .count();
    assert!(
        reductions <= 8,
        "{reductions} reductions in 90 s: {squeezed:?}"
    );

    let after = link.seconds(60, FAST);

    assert_eq!(link.governor.limit(), None, "{after:?}");
    let sent: u64 = after[50..].iter().map(|second| second.sent).sum::<u64>() / 10;
    assert!(sent * 100 >= Link::STUDIO * 98, "{after:?}");
    assert_eq!(after.iter().map(|second| second.dropped).sum::<u64>(), 0);
}

#[test]
fn a_link_that_falls_to_a_third_is_filled_and_recovers() {
    check_recovery(1_500_000);
}

#[test]
fn a_link_that_is_a_little_too_slow_is_filled_and_recovers() {
    check_recovery(3_800_000);
}

#[test]
fn a_link_that_carries_all_is_never_limited() {
    let mut link = Link::new();

    let seconds = link.seconds(300, 5_500_000);

    assert!(seconds.iter().all(|second| second.change.is_none()));
}

fn any_flow() -> impl Strategy<Value = RequiredFlow> {
    (0..8000_u64, any::<u64>(), 0..3_u64).prop_map(|(queue, acknowledged, dropped_pictures)| {
        RequiredFlow {
            dropped_pictures,
            ..flow(queue, acknowledged >> (acknowledged % 64))
        }
    })
}

proptest! {
    #[test]
    fn whatever_happens_the_floor_is_kept_and_calm_ends_in_no_limit(
        seconds in prop::collection::vec((any::<u32>(), prop::collection::vec(any_flow(), 0..4), 0..5000_u64), 0..80),
    ) {
        let mut governor = Governor::default();
        let mut now = Instant::now();
        for (ingest_bits_per_second, required, pause) in &seconds {
            now += Duration::from_millis(*pause);
            let before = governor.limit();
            let input = GovernorInput { ingest_bits_per_second: u64::from(*ingest_bits_per_second), required };
            if let Some(change) = governor.handle_second(&input, now) {
                prop_assert_eq!(change.limit(), governor.limit());
                prop_assert_ne!(change.limit(), before);
            } else {
                prop_assert_eq!(governor.limit(), before);
            }
            prop_assert!(governor.limit().is_none_or(|limit| limit >= VIDEO_FLOOR + AUDIO_ALLOWANCE));
        }
        for _ in 0..200 {
            now += SECOND;
            governor.handle_second(&GovernorInput { ingest_bits_per_second: 4_500_000, required: &[] }, now);
        }
        prop_assert_eq!(governor.limit(), None);
    }
}
