//! Cuts and pauses in front of nginx, seen by what a decoder makes of its recordings.

use std::{collections::HashMap, path::Path, process::Command, sync::Arc, time::Duration};

use broadcast::{AfterCut, Reason};
use media::{AccessUnit, Fanout, StandIn, StandInPicture, TrackKind};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    cutter::Cutter,
    nginx::Nginx,
    programme::{PICTURES, RECORDING_FILE, recording, target, until},
};
use crate::rtmp::{Curtain, MediaHints, Programme, publish};

/// Time between two pictures of the recording.
const PICTURE: Duration = Duration::from_nanos(33_333_333);

/// Pictures of each of the recording's groups but the last.
const GROUP: usize = 30;

/// The recording again and again, in real time and on one timeline.
struct Loop {
    fanout: Fanout,
    units: Vec<AccessUnit>,
    next: usize,
    round: u32,
    due: Instant,
}

impl Loop {
    fn new(units: Vec<AccessUnit>) -> Self {
        Self {
            fanout: Fanout::new(Duration::from_secs(4)),
            units,
            next: 0,
            round: 0,
            due: Instant::now(),
        }
    }

    async fn play(&mut self, mut pictures: usize) {
        let in_a_round = self.units.iter().filter(|unit| is_picture(unit)).count();
        let round = PICTURE * u32::try_from(in_a_round).unwrap();
        while pictures > 0 {
            let mut unit = self.units[self.next].clone();
            unit.timestamp += round * self.round;
            if is_picture(&unit) {
                sleep_until(self.due).await;
                self.due += PICTURE;
                pictures -= 1;
            }
            self.fanout.push(unit);
            self.next += 1;
            if self.next == self.units.len() {
                (self.next, self.round) = (0, self.round + 1);
            }
        }
    }

    async fn play_until(&mut self, done: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done() {
            assert!(Instant::now() < end, "what is waited for did not come");
            self.play(1).await;
        }
    }
}

fn is_picture(unit: &AccessUnit) -> bool {
    unit.kind() == TrackKind::Video
}

/// Presentation time in milliseconds and checksum of each picture that a decoder finds in a file.
fn decode(file: &Path) -> Vec<(i64, String)> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-map", "0:v", "-fps_mode", "passthrough"])
        .args(["-enc_time_base", "1:1000", "-f", "framemd5", "-"])
        .output()
        .expect("ffmpeg is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            (fields[2].parse().unwrap(), fields[5].to_owned())
        })
        .collect()
}

/// The loudest sample of the sound between two times.
fn peak(file: &Path, from: f64, to: f64) -> i16 {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-ss", &from.to_string(), "-to", &to.to_string()])
        .args(["-map", "0:a", "-f", "s16le", "-"])
        .output()
        .expect("ffmpeg is installed");
    let (samples, _) = output.stdout.as_chunks::<2>();
    assert!(samples.len() > 10_000, "there is sound");
    let loud = samples
        .iter()
        .map(|bytes| i16::from_le_bytes(*bytes).saturating_abs());
    loud.max().unwrap()
}

/// The place in the recording of each picture by its checksum; all are different.
fn known() -> HashMap<String, usize> {
    let pictures = decode(Path::new(RECORDING_FILE));
    let known: HashMap<_, _> = (pictures.into_iter().map(|(_, sum)| sum))
        .zip(0..)
        .collect();
    assert_eq!(known.len() as u64, PICTURES);
    known
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_costs_no_picture_of_those_that_nginx_records() {
    let nginx = Nginx::start("nginx-cut").await;
    let cutter = Cutter::new(nginx.address).await;
    let target = target(
        &format!("rtmp://{}/live", cutter.address),
        "a-key",
        cutter.address,
    );
    let mut show = Loop::new(recording());
    let programme = Programme {
        after_cut: AfterCut::CatchUp,
        ..Programme::new(
            show.fanout.subscriber(),
            MediaHints::default(),
            Arc::default(),
        )
    };
    let counters = &programme.counters;

    let cut = async {
        show.play(55).await;
        cutter.cut();
        show.play_until(|| false).await;
    };
    let ended = publish(&target, &programme, || (), cut).await;
    assert_eq!(ended.unwrap_err().reason, Reason::ClosedByPeer);
    until(|| nginx.log().contains("disconnect")).await;
    // nginx names recordings by the second.
    show.play(30).await;
    let sent = counters.frames_sent();
    let again = async {
        show.play_until(|| counters.frames_sent() > sent).await;
        show.play_until(|| !counters.is_catching_up()).await;
        show.play(40).await;
    };
    let ended = publish(&target, &programme, || (), again).await;
    assert_eq!(ended, Ok(()));
    until(|| nginx.log().contains("deleteStream")).await;

    let known = known();
    let files = nginx.recordings();
    assert_eq!(files.len(), 2);
    let decoded = files.iter().map(|file| decode(file));
    let [before, after] = decoded
        .map(|pictures| {
            pictures
                .iter()
                .map(|(_, sum)| known[sum])
                .collect::<Vec<_>>()
        })
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let all = usize::try_from(PICTURES).unwrap();
    for places in [&before, &after] {
        assert!(
            places.windows(2).all(|pair| pair[1] == (pair[0] + 1) % all),
            "{places:?}"
        );
    }
    // A second was missed, which is more than a group: what is not repeated would show as nearly a whole round.
    let repeated = (before[before.len() - 1] + 1 + all - after[0]) % all;
    assert!(repeated <= GROUP, "{repeated}: {before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_shows_the_stand_in_alone_in_what_nginx_records() {
    let nginx = Nginx::start("nginx-pause").await;
    let target = target(
        &format!("rtmp://{}/live", nginx.address),
        "a-key",
        nginx.address,
    );
    let pictures: Vec<AccessUnit> = recording().into_iter().filter(is_picture).collect();
    // The show is the first group with the sound of its time, the stand-in the second.
    let end = pictures[GROUP].timestamp;
    let first: Vec<_> = recording()
        .into_iter()
        .filter(|unit| unit.timestamp < end)
        .collect();
    let stand_in = StandIn {
        config: Arc::clone(&pictures[0].config),
        pictures: pictures[GROUP..2 * GROUP]
            .iter()
            .map(|unit| StandInPicture {
                keyframe: unit.keyframe,
                data: unit.data.clone(),
            })
            .collect(),
        picture_interval: PICTURE,
        sound: Vec::new(),
    };
    let mut show = Loop::new(first);
    let (wish, curtain) = watch::channel(None);
    let programme = Programme {
        curtain,
        ..Programme::new(
            show.fanout.subscriber(),
            MediaHints::default(),
            Arc::default(),
        )
    };

    let play = async {
        show.play(40).await;
        wish.send_replace(Some(Arc::new(Curtain {
            stand_in: Some(Arc::new(stand_in)),
        })));
        show.play(100).await;
        wish.send_replace(None);
        show.play(70).await;
    };
    let ended = publish(&target, &programme, || (), play).await;
    assert_eq!(ended, Ok(()));
    until(|| nginx.log().contains("deleteStream")).await;

    let known = known();
    let files = nginx.recordings();
    assert_eq!(files.len(), 1);
    let decoded = decode(&files[0]);
    assert!(
        decoded
            .windows(2)
            .all(|pair| (32..=35).contains(&(pair[1].0 - pair[0].0)))
    );
    let places: Vec<usize> = decoded.iter().map(|(_, sum)| known[sum]).collect();
    let is_stand_in = |place: &usize| *place >= GROUP;
    let from = places.iter().position(is_stand_in).unwrap();
    let to = places.iter().rposition(is_stand_in).unwrap();
    assert!(places[from..=to].iter().all(is_stand_in), "{places:?}");
    assert_eq!((places[from], places[to + 1]), (GROUP, 0));
    assert!((99..=130).contains(&(to - from)), "{from} {to}");
    let seconds = |place: usize| f64::from(i32::try_from(decoded[place].0).unwrap()) / 1000.0;
    assert!(peak(&files[0], 0.0, seconds(from) - 0.1) > 1_000);
    assert!(peak(&files[0], seconds(from) + 0.15, seconds(to) - 0.1) < 10);
    assert!(peak(&files[0], seconds(to) + 0.2, seconds(to) + 1.0) > 1_000);
}
