//! What loss and delay leave of a studio's pictures, when what is lost is asked for as `peers` does.

use std::time::{Duration, Instant};

use media::{MediaSink, TrackKind};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::path::{
    end_to_end_tests::is_studios,
    tests::{BOTH, Event, Script, Weather, Worker, coded_pictures, studio},
};

/// How long a gap is believed to be reordering, and how much later than a round trip it is asked for again: as in `peers`.
const HOLD: Duration = Duration::from_millis(5);
const RETRY_MARGIN: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What became of it all.
#[derive(Debug, Default)]
struct Outcome {
    sent: usize,
    came: usize,
    wishes: usize,
    lost: usize,
    requests: usize,
    seconds: usize,
}

/// A script whose pictures travel by a way that loses packets, requests and answers alike.
fn travelled(
    mut script: Script,
    loss: f64,
    delay: Duration,
    seed: u64,
    out: &mut Outcome,
) -> Script {
    let mut random = StdRng::seed_from_u64(seed);
    script.retain(|(_, event)| matches!(event, Event::Packet(TrackKind::Video, _)));
    for (index, (time, _)) in script.iter_mut().enumerate() {
        *time += delay;
        // The first keyframe comes whole and in order, as after a wish.
        if index < 30 {
            continue;
        }
        *time += delay.mul_f64(random.random());
        if !random.random_bool(loss) {
            continue;
        }
        out.lost += 1;
        let mut asked = HOLD;
        loop {
            out.requests += 1;
            let mut way = || delay + delay.mul_f64(random.random());
            let round = way() + way();
            if !random.random_bool(loss) && !random.random_bool(loss) {
                *time += asked + round;
                break;
            }
            asked += delay * 4 + RETRY_MARGIN;
            if asked > LONGEST_WAIT {
                *time = Duration::MAX;
                break;
            }
        }
    }
    script.retain(|(time, _)| *time < Duration::MAX);
    script.sort_by_key(|(time, _)| *time);
    script
}

fn outcome(loss: f64, delay: Duration) -> Outcome {
    let mut out = Outcome::default();
    for seed in 0..6 {
        let script = travelled(studio(1, Weather::default()), loss, delay, seed, &mut out);
        let mut worker = Worker::new(Instant::now());
        worker.engine.handle_source_started(BOTH, worker.start);
        for event in script {
            worker.play(&vec![event], Duration::ZERO);
            out.wishes += usize::from(worker.engine.poll_keyframe_request());
        }
        out.sent += coded_pictures().len();
        out.came += worker.units.iter().filter(|unit| is_studios(unit)).count();
        out.seconds += 12;
    }
    out
}

#[test]
fn loss_within_what_a_round_trip_can_repair_costs_hardly_a_picture() {
    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }
    // Per mille of the pictures, at least.
    for (loss, delay, least) in [
        (0.0, ms(100), 1_000),
        (0.01, ms(30), 995),
        (0.02, ms(30), 995),
        (0.05, ms(30), 980),
        (0.10, ms(30), 950),
        (0.10, ms(0), 995),
        (0.02, ms(60), 970),
    ] {
        let out = outcome(loss, delay);

        assert!(
            out.came * 1_000 >= out.sent * least,
            "{loss} {delay:?}: {out:?}"
        );
        assert!(out.wishes <= out.seconds + 6, "{loss} {delay:?}: {out:?}");
        assert!(
            out.lost == 0 || out.requests * 2 <= out.lost * 3,
            "{loss} {delay:?}: {out:?}"
        );
    }
}
