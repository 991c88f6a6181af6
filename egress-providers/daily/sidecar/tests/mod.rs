//! The sidecar's program with an SDK that is not Daily's, real decoding processes, and an RTMP server that we did not ask.

mod real;
mod show;

use std::{
    fs, io,
    os::{
        fd::AsFd as _,
        unix::{fs::PermissionsExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use broadcast::{BroadcastId, StreamKey};
use media::Fanout;
use pipelines::rtmp::receiver::{Ending, Receiver, ReceiverOptions};
use tempfile::TempDir;
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Show, hosted::SidecarOrder};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// What must be seen nowhere.
const TOKEN: &str = "canary-eyJhbGciOi";

/// Not a test: the process that decodes. What it decodes goes out where others complain.
#[test]
#[ignore = "is the child of other tests"]
fn child() {
    let socket = io::stdin().as_fd().try_clone_to_owned().unwrap();
    let output = io::stderr().as_fd().try_clone_to_owned().unwrap();
    pipelines::decoder::child::decode(UnixStream::from(socket), UnixStream::from(output)).unwrap();
}

/// A folder with a Python that takes our SDK for Daily's, and a sidecar that uses it.
struct Stage {
    folder: TempDir,
    fanout: Fanout,
    flowing: Arc<Notify>,
    wanted: Arc<Notify>,
    stop: CancellationToken,
    sidecar: Arc<Sidecar>,
}

impl Stage {
    /// `surroundings` are variables of the SDK that is not Daily's.
    fn new(surroundings: &str) -> Self {
        let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers");
        let folder = TempDir::new().unwrap();
        let modules = folder.path().join("modules");
        fs::create_dir(&modules).unwrap();
        fs::create_dir(folder.path().join("presence")).unwrap();
        fs::copy(servers.join("fake_daily.py"), modules.join("daily.py")).unwrap();
        let program = format!(
            "export PYTHONPATH={} FAKE_DAILY_PRESENCE={} {surroundings}\nexec python3 \"$@\"",
            modules.display(),
            folder.path().join("presence").display(),
        );
        Self::of_program(folder, &program)
    }

    fn of_program(folder: TempDir, program: &str) -> Self {
        let python = folder.path().join("python");
        fs::write(&python, format!("#!/bin/sh\n{program}\n")).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        let script = "exec \"$0\" --exact daily::sidecar::tests::child --ignored --nocapture 2>&1 >/dev/null";
        let this: PathBuf = std::env::current_exe().unwrap();
        // The next run finds the list of plugins there.
        let children = std::env::temp_dir().join("castgate-test-children");
        fs::create_dir_all(&children).unwrap();
        let launcher = Launcher::new("/bin/sh", children).with_arguments([
            "-c".into(),
            script.into(),
            this.into_os_string(),
        ]);
        let sidecar = Sidecar::new(SidecarSettings {
            python,
            launcher,
            folder: folder.path().to_owned(),
            canvas: Canvas::new(320, 176, 30).unwrap(),
            proxy: None,
        });
        Self {
            folder,
            fanout: Fanout::new(Duration::from_secs(10)),
            flowing: Arc::default(),
            wanted: Arc::default(),
            stop: CancellationToken::new(),
            sidecar: Arc::new(sidecar.unwrap()),
        }
    }

    /// Begins to bring the show to a room.
    fn carry(&self, room: &str) -> Carried {
        let order = ContributionOrder {
            broadcast: BroadcastId::new("show").unwrap(),
            contribution: Contribution::Sidecar(SidecarOrder {
                room: Url::parse(&format!("https://localhost/{room}")).unwrap(),
                token: StreamKey::new(TOKEN),
            }),
            show: Show {
                media: self.fanout.subscriber(),
                opus: pipelines::path::OpusSubscriber::default(),
                keyframe_wanted: Arc::clone(&self.wanted),
                permit: pipelines::Permit::unlimited(),
            },
            hints: crate::MediaHints::default(),
            counters: Arc::default(),
            black_box: Arc::default(),
            flowing: Arc::clone(&self.flowing),
            stop: self.stop.clone(),
        };
        let sidecar = Arc::clone(&self.sidecar);
        let mut task = JoinSet::new();
        task.spawn(async move { sidecar.carry(order).await });
        Carried(task)
    }

    /// The processes of the participants of all rooms.
    fn present(&self) -> Vec<u32> {
        let entries = fs::read_dir(self.folder.path().join("presence")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let processes = names.map(|name| name.rsplit_once('.').unwrap().1.parse().unwrap());
        let is_running = |process: &u32| {
            let status = fs::read_to_string(format!("/proc/{process}/stat"));
            status.is_ok_and(|status| !status.contains(") Z "))
        };
        processes.filter(is_running).collect()
    }
}

/// A show on its way.
struct Carried(JoinSet<Result<(), ProviderError>>);

impl Carried {
    /// What it ends with.
    async fn end(mut self) -> Result<(), ProviderError> {
        let end = timeout(DEADLINE, self.0.join_next()).await;
        end.unwrap().unwrap().unwrap()
    }
}

async fn receiver(recordings: &Path) -> Receiver {
    let options = ReceiverOptions {
        recordings: Some(recordings.to_owned()),
        ..ReceiverOptions::default()
    };
    Receiver::bind_with("127.0.0.1:0".parse().unwrap(), options)
        .await
        .unwrap()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the test runner captures it")]
async fn a_show_is_in_the_call_in_picture_and_sound() {
    let recordings = TempDir::new().unwrap();
    let receiver = receiver(recordings.path()).await;
    let rtmp = format!("FAKE_DAILY_RTMP=rtmp://{}/live", receiver.local_address());
    let mut stage = Stage::new(&rtmp);
    let units = show::show(10);

    let carried = stage.carry("room1");
    show::play(&mut stage.fanout, &units, Duration::ZERO).await;
    timeout(DEADLINE, stage.flowing.notified()).await.unwrap();
    stage.stop.cancel();
    carried.end().await.unwrap();

    assert!(stage.present().is_empty());
    until("an orderly end", || {
        receiver.streams()[0].ending == Some(Ending::Deleted)
    })
    .await;
    let report = &receiver.streams()[0];
    assert_eq!(report.stream_key.expose(), "room1");
    assert_eq!(report.violations, Vec::<String>::new());
    receiver.shutdown().await;
    let seen = show::see(&recordings.path().join("1.flv"));
    // Played, decoded and sampled by the clock of a machine that may be busy: so most of it is judged, and not each cue.
    assert!(seen.pictures > 100, "{} pictures", seen.pictures);
    assert!(seen.flashes.len() >= 4, "{:?}", seen.flashes);
    let offsets = seen.flashes.iter().map(|flash| {
        let nearest = seen.beeps.iter().map(|beep| beep - flash);
        nearest
            .min_by(|one, other| one.abs().total_cmp(&other.abs()))
            .unwrap()
    });
    let offset = middle(offsets);
    let pace = middle(seen.flashes.windows(2).map(|pair| pair[1] - pair[0]));
    println!("flash and beep are {offset:.3} s apart, and flashes {pace:.3} s");
    assert!(offset.abs() <= 0.2, "{offset}");
    assert!((pace - 1.0).abs() < 0.2, "{pace}");
}

fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_killed_is_told_of_and_another_joins_when_nothing_of_it_is_left() {
    let recordings = TempDir::new().unwrap();
    let receiver = receiver(recordings.path()).await;
    let rtmp = format!("FAKE_DAILY_RTMP=rtmp://{}/live", receiver.local_address());
    let mut stage = Stage::new(&rtmp);
    let units = show::show(4);
    let first = stage.carry("room1");
    show::play(&mut stage.fanout, &units, Duration::ZERO).await;
    timeout(DEADLINE, stage.flowing.notified()).await.unwrap();
    until("a stream", || receiver.streams().len() == 1).await;

    let [process] = stage.present()[..] else {
        panic!("one participant")
    };
    let killed = std::process::Command::new("kill")
        .args(["-9", &process.to_string()])
        .status();
    assert!(killed.unwrap().success());
    let error = first.end().await.unwrap_err();

    assert!(
        matches!(error, ProviderError::Sidecar { code: -1, .. }),
        "{error}"
    );
    assert!(stage.present().is_empty());
    let second = stage.carry("room1");
    show::play(&mut stage.fanout, &units, Duration::from_secs(4)).await;
    timeout(DEADLINE, stage.flowing.notified()).await.unwrap();
    until("another stream", || receiver.streams().len() == 2).await;
    assert_eq!(stage.present().len(), 1);
    assert!(receiver.streams()[0].ending.is_some());
    assert_eq!(receiver.streams()[1].ending, None);
    // The end of the show ends it, too.
    stage.fanout = Fanout::new(Duration::from_secs(1));
    second.end().await.unwrap();
    assert!(stage.present().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decoder_that_dies_is_replaced_and_the_call_goes_on() {
    let mut stage = Stage::new("");
    let units = show::show(3);
    let carried = stage.carry("room1");
    timeout(DEADLINE, stage.wanted.notified()).await.unwrap();
    show::play(&mut stage.fanout, &units[..10], Duration::ZERO).await;
    until("a participant", || stage.present().len() == 1).await;

    let decoders = decoders_of(std::process::id());
    assert!(!decoders.is_empty());
    for process in decoders {
        let _ = std::process::Command::new("kill")
            .args(["-9", &process.to_string()])
            .status();
    }
    // The next one asks for a keyframe as the first did.
    timeout(DEADLINE, stage.wanted.notified()).await.unwrap();
    show::play(&mut stage.fanout, &units, Duration::from_secs(1)).await;
    timeout(DEADLINE, stage.flowing.notified()).await.unwrap();

    assert_eq!(stage.present().len(), 1);
    stage.stop.cancel();
    carried.end().await.unwrap();
}

/// Children of a process that run this program.
fn decoders_of(parent: u32) -> Vec<u32> {
    let this = std::env::current_exe().unwrap();
    let processes = fs::read_dir("/proc").unwrap();
    let processes = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes
        .filter(|process: &u32| {
            let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let status = status.rsplit_once(") ").map_or("", |(_, status)| status);
            let is_child = status.split(' ').nth(1) == Some(&parent.to_string());
            let program = fs::read_link(format!("/proc/{process}/exe"));
            is_child && program.is_ok_and(|program| program == this)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sdk_complains_of_becomes_an_error_that_says_what_to_do() {
    let lookup = |what: &str| format!("Connection(Api(RoomLookup({what})))");
    let unhandled = |word: &str| lookup(&format!("RoomInfoError(Unhandled(\\\"{word}\\\"))"));
    let cases = [
        (unhandled("no-room"), ProviderError::NotFound("room")),
        (
            lookup("RoomInfoError(NoLongerAvailable)"),
            ProviderError::NotFound("room"),
        ),
        (unhandled("invalid-token"), ProviderError::Auth),
        (
            lookup(
                "RoomInfoFetchFailed(IoError(Custom { error: \\\"HTTP error: 403 Forbidden\\\" }))",
            ),
            ProviderError::Auth,
        ),
    ];
    for (said, expected) in cases {
        let stage = Stage::new(&format!("FAKE_DAILY_JOIN=\"{said}\""));

        let error = stage.carry("room1").end().await.unwrap_err();

        assert_eq!(error, expected, "{said}");
    }
    let unavailable = "RoomInfoFetchFailed(IoError(Custom { error: \\\"HTTP error: 503\\\" }))";
    let stage = Stage::new(&format!("FAKE_DAILY_JOIN=\"{unavailable}\""));
    let error = stage.carry("room1").end().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "it is not available: Daily cannot be reached"
    );
    let stage = Stage::new("FAKE_DAILY_END=0.1");
    let error = stage.carry("room1").end().await.unwrap_err();
    assert_eq!(error, ProviderError::NotFound("room"));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_are_no_sidecar_are_errors() {
    let cases = [
        ("echo nonsense", 70),
        ("exit 3", 3),
        ("exec python3 -c 'import sys; sys.exit(15)'", 15),
        ("head -c 100000 /dev/zero", 70),
        ("printf '{\"ev\":'", 0),
    ];
    for (program, expected) in cases {
        let stage = Stage::of_program(TempDir::new().unwrap(), program);

        let error = stage.carry("room1").end().await.unwrap_err();

        assert!(
            matches!(error, ProviderError::Sidecar { code, .. } if code == expected),
            "{program}: {error}"
        );
    }
    let stage = Stage::of_program(TempDir::new().unwrap(), "exit 0");
    assert!(stage.sidecar.is_installed());
    fs::remove_file(stage.folder.path().join("python")).unwrap();
    assert!(!stage.sidecar.is_installed());
    let error = stage.carry("room1").end().await.unwrap_err();
    assert!(
        error.to_string().contains("scripts/enable-daily"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_that_says_nothing_hangs() {
    let stage = Stage::of_program(TempDir::new().unwrap(), "exec sleep 600");

    let error = stage.carry("room1").end().await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "its sidecar ended with code 70: it hangs"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_in_no_argument_and_no_variable_of_the_sidecar() {
    let stage = Stage::new("");
    let carried = stage.carry("room1");
    until("a participant", || stage.present().len() == 1).await;

    let process = stage.present()[0];
    let seen =
        ["cmdline", "environ"].map(|file| fs::read(format!("/proc/{process}/{file}")).unwrap());

    assert!(
        seen.iter()
            .all(|seen| !String::from_utf8_lossy(seen).contains("canary"))
    );
    assert!(!format!("{:?}", stage.sidecar).contains("canary"));
    stage.stop.cancel();
    carried.end().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_whose_gateway_is_gone_leaves_the_call() {
    let stage = Stage::new("");
    let call = SidecarOrder {
        room: Url::parse("https://localhost/room1").unwrap(),
        token: StreamKey::new(TOKEN),
    };
    let (sidecar, folder) = (&stage.sidecar, stage.folder.path());
    let process = Process::start(&sidecar.settings.python, &sidecar.script, folder).unwrap();
    let join = join(&call, sidecar.settings.canvas, None);
    process.say(&Order::Join(&join)).await;
    until("a participant", || stage.present().len() == 1).await;

    let mut orphan = process.orphan();
    let status = timeout(DEADLINE, orphan.wait()).await.unwrap().unwrap();

    assert_eq!(status.code(), Some(0));
    // It said goodbye, and was not merely gone.
    assert_eq!(fs::read_dir(folder.join("presence")).unwrap().count(), 0);
}

#[test]
fn the_first_death_has_no_pause_and_later_ones_have_growing_ones() {
    assert_eq!(pause(0), Duration::ZERO);
    assert_eq!(pause(1), FIRST_PAUSE);
    assert_eq!(pause(4), FIRST_PAUSE * 8);
    assert_eq!(pause(u32::MAX), PAUSE_LIMIT);
}
