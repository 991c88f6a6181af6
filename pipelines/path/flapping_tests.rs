//! A studio that comes and goes at random leaves no gap.

use media::VideoCodec;
use proptest::prelude::*;

use super::{
    continuity_tests::{ms, with_slate},
    end_to_end_tests::{is_studios, times},
    slate_tests::{check_continuity, slate},
    tests::{Event, Weather, studio},
    *,
};

/// One thing that happens to a studio.
#[derive(Debug, Clone)]
enum Act {
    /// It sends for so many milliseconds, as if it had never been away.
    Send(u64),
    /// Nothing of one track comes for so long.
    Stall(bool, u64),
    /// Nothing comes for so long.
    Silence(u64),
    /// Every so many packets one is lost, for so long.
    Lose(usize, u64),
    End(u64),
    Start(bool, bool),
    /// The worker is busy elsewhere for so long.
    Late(u64),
    Slate(Option<bool>),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (100..3_000_u64).prop_map(Act::Send),
        3 => (any::<bool>(), 100..4_000_u64).prop_map(|(video, time)| Act::Stall(video, time)),
        2 => (100..5_000_u64).prop_map(Act::Silence),
        2 => (2..60_usize, 100..3_000_u64).prop_map(|(every, time)| Act::Lose(every, time)),
        2 => (0..5_000_u64).prop_map(Act::End),
        2 => (prop::bool::weighted(0.8), prop::bool::weighted(0.8)).prop_map(|(video, audio)| Act::Start(video, audio)),
        1 => (100..900_u64).prop_map(Act::Late),
        1 => prop::option::of(any::<bool>()).prop_map(Act::Slate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_studio_that_comes_and_goes_leaves_no_gap(acts in prop::collection::vec(act(), 1..25)) {
        let (mut worker, slates) = with_slate(true);
        let script = studio(1, Weather::default());
        let length = ms(12_000);
        let mut time = Duration::ZERO;
        let mut place = 0;
        let mut turn = 0;
        let mut sent = 0_usize;
        let (mut is_connected, mut begun) = (true, None);
        for act in acts {
            let (duration, keeps): (u64, Box<dyn Fn(TrackKind, usize) -> bool>) = match act {
                Act::Send(duration) => (duration, Box::new(|_, _| true)),
                Act::Stall(video, duration) => (duration, Box::new(move |kind, _| (kind == TrackKind::Audio) == video)),
                Act::Silence(duration) => (duration, Box::new(|_, _| false)),
                Act::Lose(every, duration) => (duration, Box::new(move |_, number| number % every != 0)),
                Act::End(duration) => {
                    worker.engine.handle_source_ended(worker.start + time);
                    is_connected = false;
                    (duration, Box::new(|_, _| false))
                }
                Act::Start(video, audio) => {
                    is_connected = true;
                    let video = video.then_some(VideoCodec::H264);
                    worker.engine.handle_source_started(SourceDescription { video, audio }, worker.start + time);
                    continue;
                }
                Act::Late(duration) => {
                    time += ms(duration);
                    worker.engine.handle_timeout(worker.start + time);
                    worker.read();
                    continue;
                }
                Act::Slate(which) => {
                    slates.send_replace(which.map(slate));
                    continue;
                }
            };
            // The script goes round; each time its packets are of another sender.
            let until = time + ms(duration);
            while time <= until {
                let (at, event) = &script[place];
                let at = *at + length * turn;
                if at > until {
                    break;
                }
                if at >= time {
                    worker.wait(at);
                    time = at;
                    sent += 1;
                    if let Event::Packet(kind, packet) = event && keeps(*kind, sent) {
                        let mut packet = packet.clone();
                        packet.ssrc += turn * 16;
                        if is_connected {
                            begun.get_or_insert(at);
                        }
                        worker.engine.handle_packet(*kind, packet, worker.start + at);
                        worker.read();
                    }
                }
                place += 1;
                if place == script.len() {
                    (place, turn) = (0, turn + 1);
                }
            }
            time = until;
            worker.wait(time);
        }
        worker.wait(time + ms(1_000));

        prop_assert_eq!(check_continuity(&worker.units), Ok(()));
        let mut after_substitute = false;
        for unit in worker.units.iter().filter(|unit| unit.kind() == TrackKind::Video) {
            if is_studios(unit) {
                prop_assert!(!after_substitute || unit.keyframe);
            }
            after_substitute = !is_studios(unit);
        }
        if let Some(latest) = times(&worker.units, TrackKind::Video).last() {
            // It goes on to the end, and does not run away.
            let elapsed = time.saturating_sub(begun.unwrap_or_default());
            prop_assert!(*latest + ms(1_000) >= elapsed && *latest <= elapsed + ms(2_500), "{:?} of {:?}", latest, elapsed);
        }
    }
}
