//! Renditions by a real process: numbered pictures in, numbered pictures out.

use std::{fs, time::Duration};

use media::{AccessUnit, TrackKind};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, timeout};

use self::footage::{Footage, Seen, coded, decoded, sound};
use super::*;
use crate::{confinement::Launcher, transcoder};

pub(super) mod footage;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Not a test: the process that the others start.
#[test]
#[ignore = "is the child of other tests"]
fn child() {
    transcoder::child::run();
}

/// Starts this test program as the child.
fn transcoders() -> Transcoders {
    // The next run finds the list of plugins there.
    let folder = std::env::temp_dir().join("castgate-test-children");
    fs::create_dir_all(&folder).unwrap();
    let script = "exec \"$0\" --exact rendition::tests::child --ignored --nocapture";
    let this = std::env::current_exe().unwrap();
    let launcher = Launcher::new("/bin/sh", folder).with_arguments([
        "-c".into(),
        script.into(),
        this.into_os_string(),
    ]);
    Transcoders::new(launcher, Handle::current())
}

fn rendition(width: u32, height: u32, frames_per_second: u32) -> Rendition {
    Rendition::new(width, height, frames_per_second, 2_000).unwrap()
}

/// A broadcast and one rendition of it, with a reader that keeps all.
struct Show {
    source: Fanout,
    rendition: RunningRendition,
    reader: Reader,
    units: Vec<AccessUnit>,
}

impl Show {
    fn start(rendition: Rendition) -> Self {
        let source = Fanout::new(WINDOW);
        let rendition = start(
            &transcoders(),
            &source.subscriber(),
            rendition,
            &Handle::current(),
        );
        let reader = rendition.subscriber().reader();
        Self {
            source,
            rendition,
            reader,
            units: Vec::new(),
        }
    }

    fn status(&self) -> RenditionStatus {
        *self.rendition.status.borrow()
    }

    /// Reads until `is_it`.
    async fn read_until(&mut self, is_it: impl Fn(&[AccessUnit]) -> bool) {
        let reading = async {
            while !is_it(&self.units) {
                let units = &mut self.units;
                let batch = poll_fn(|context| self.reader.poll_batch(context, units)).await;
                assert_eq!(batch.unwrap().dropped, 0);
            }
        };
        timeout(PATIENCE, reading)
            .await
            .expect("what is waited for");
    }

    fn read_what_is_there(&mut self) {
        let units = &mut self.units;
        let mut context = std::task::Context::from_waker(Waker::noop());
        while let std::task::Poll::Ready(batch) = self.reader.poll_batch(&mut context, units) {
            assert_eq!(batch.unwrap().dropped, 0);
        }
    }

    /// Plays a picture and the sound before it, and waits until something has come of it: a picture, or its repetition.
    async fn play(&mut self, unit: AccessUnit, from: Duration) {
        let timestamp = unit.timestamp;
        for sound in sound(from, timestamp) {
            self.source.push(sound);
        }
        self.source.push(unit);
        self.read_until(|units| {
            units
                .iter()
                .any(|unit| is_picture(unit) && unit.timestamp >= timestamp)
        })
        .await;
    }

    /// Plays pictures one after another, however fast the machine is.
    async fn play_all(&mut self, pictures: Vec<AccessUnit>) {
        let mut from = pictures[0].timestamp;
        for picture in pictures {
            let to = picture.timestamp;
            self.play(picture, from).await;
            from = to;
        }
    }

    fn pictures(&self) -> Vec<AccessUnit> {
        self.units
            .iter()
            .filter(|unit| is_picture(unit))
            .cloned()
            .collect()
    }
}

fn is_picture(unit: &AccessUnit) -> bool {
    unit.kind() == TrackKind::Video
}

fn exists(process: u32) -> bool {
    // A process that nobody has waited for yet is a zombie.
    fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .starts_with(" Z")
    })
}

async fn wait_for_the_end_of(process: u32) {
    let waiting = async {
        while exists(process) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the process ends");
}

/// Each number that is seen stands where the source has it. Returns how many places have another one's picture.
fn repeated(seen: &[Seen], footage: Footage) -> usize {
    let is_own = |seen: &&Seen| {
        let place = footage.place(seen.number);
        assert!(seen.timestamp >= place, "{seen:?} is before its time");
        seen.timestamp.abs_diff(place) > Duration::from_micros(2)
    };
    seen.iter().filter(is_own).count()
}

/// Plays `count` pictures, and looks at what comes out: all of them, at their own times, with the sound between.
async fn check_every_picture(footage: Footage, wish: Rendition, count: u32) {
    let mut show = Show::start(wish);

    show.play_all(coded(footage, 0..count)).await;

    let seen = decoded(&show.pictures());
    let status = show.status();
    // A machine that stands still for half a second gets repetitions, and says so.
    assert_eq!(repeated(&seen, footage) as u64, status.freeze_pictures);
    if status.freeze_pictures == 0 {
        let numbers: Vec<u32> = seen.iter().map(|seen| seen.number).collect();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    }
    let size = [wish.width(), wish.height()].map(|side| side as usize);
    assert!(seen.iter().all(|seen| seen.size == size));
    assert!(show.units.is_sorted_by_key(|unit| unit.timestamp));
    let sounds = show.units.iter().filter(|unit| !is_picture(unit)).cloned();
    assert_eq!(
        sounds.collect::<Vec<_>>(),
        sound(Duration::ZERO, footage.place(count - 1))
    );
    assert_ne!(status.state, RenditionState::Starting);
    assert_eq!(status.restarts, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_picture_comes_out_in_another_size_at_its_own_time_with_the_sound_between() {
    check_every_picture(Footage::default(), rendition(320, 180, 30), 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_of_1080_rows_comes_out_with_720() {
    let footage = Footage {
        size: [1_920, 1_080],
        ..Footage::default()
    };
    check_every_picture(footage, rendition(1_280, 720, 30), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_costs_a_freeze_and_no_picture_is_seen_at_a_wrong_time() {
    let footage = Footage {
        group: 60,
        ..Footage::default()
    };
    let pictures = coded(footage, 0..450);
    let mut show = Show::start(rendition(320, 180, 30));
    let mut rest = pictures.into_iter();
    show.play_all(rest.by_ref().take(20).collect()).await;
    let victim = show.status().process_id.unwrap();

    kill(Pid::from_raw(victim.cast_signed()), Signal::SIGKILL).unwrap();
    // The rest as a studio sends it, until there are pictures of a new process.
    let before = show.status().pictures;
    let begin = Instant::now();
    let is_over = |status: RenditionStatus| {
        status.freeze_pictures > 0 && status.pictures > before && status.restarts > 0
    };
    let mut playing = 0;
    while !is_over(show.status()) {
        tokio::time::sleep_until(begin + footage.place(playing)).await;
        playing += 1;
        show.source.push(rest.next().expect("15 s are enough"));
        show.read_what_is_there();
    }

    let status = show.status();
    assert_ne!(status.process_id, Some(victim));
    let latest = status.pictures + status.freeze_pictures;
    show.read_until(|units| units.iter().filter(|unit| is_picture(unit)).count() as u64 >= latest)
        .await;
    let status = show.status();
    let seen = decoded(&show.pictures());
    assert_eq!(
        seen.len(),
        show.pictures().len(),
        "a decoder makes a picture of each"
    );
    let repeated = repeated(&seen, footage) as u64;
    assert!(
        (1..=status.freeze_pictures).contains(&repeated),
        "{repeated} of {status:?}"
    );
    for pair in seen.windows(2) {
        let pause = pair[1].timestamp.saturating_sub(pair[0].timestamp);
        assert!(pause <= Duration::from_secs(1), "{pause:?}");
    }
    wait_for_the_end_of(victim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_picture_is_the_newest_keyframe_and_half_of_60_a_second_are_30() {
    let footage = Footage {
        frames_per_second: 60,
        ..Footage::default()
    };
    let mut pictures = coded(footage, 0..90);
    let late = pictures.split_off(40);
    let mut source = Fanout::new(WINDOW);
    for picture in pictures {
        source.push(picture);
    }
    let rendition = start(
        &transcoders(),
        &source.subscriber(),
        rendition(320, 180, 30),
        &Handle::current(),
    );
    let reader = rendition.subscriber().reader();
    let mut show = Show {
        source,
        rendition,
        reader,
        units: Vec::new(),
    };
    show.read_until(|units| units.iter().any(is_picture)).await;

    for picture in late {
        show.source.push(picture);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    show.read_until(|units| {
        units
            .last()
            .is_some_and(|unit| unit.timestamp >= footage.place(88))
    })
    .await;

    let seen = decoded(&show.pictures());
    assert!((30..40).contains(&seen[0].number), "{:?}", seen[0]);
    assert!(seen.len() <= 31, "{} pictures of 60", seen.len());
    repeated(&seen, footage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changes_its_size_stays_in_the_same_canvas() {
    let wide = Footage::default();
    let other = Footage {
        size: [320, 240],
        ..wide
    };
    let mut show = Show::start(rendition(320, 180, 30));

    show.play_all(coded(wide, 0..15)).await;
    show.play_all(coded(other, 15..30)).await;

    let pictures = show.pictures();
    assert!(
        pictures
            .iter()
            .all(|unit| unit.config == pictures[0].config)
    );
    let seen = decoded(&pictures);
    assert!(seen.iter().all(|seen| seen.size == [320, 180]));
    assert!(seen.last().unwrap().timestamp >= wide.place(29));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_rendition_ends_its_process_and_its_readers() {
    let mut show = Show::start(rendition(320, 180, 30));
    show.play_all(coded(Footage::default(), 0..3)).await;
    let process = show.status().process_id.unwrap();
    assert!(exists(process));

    let Show {
        rendition,
        mut reader,
        source: _source,
        ..
    } = show;
    drop(rendition);

    wait_for_the_end_of(process).await;
    let mut rest = Vec::new();
    let reading = async {
        while poll_fn(|context| reader.poll_batch(context, &mut rest))
            .await
            .is_some()
        {}
    };
    timeout(PATIENCE, reading).await.expect("the reader ends");
}
