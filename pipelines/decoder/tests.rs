//! A real child decodes what `FFmpeg` coded.

use std::{
    io::{self, Read as _},
    os::{fd::AsFd as _, unix::net::UnixStream},
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::{AccessUnit, AudioConfig, CodecConfig, Fanout, VideoCodec};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{sync::watch, time::timeout};

use super::{message::RAW_HEAD_BYTES, *};
use crate::{
    confinement::Launcher,
    engine::recorded::{piped, record},
};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

const SOUND_FRAME: Duration = Duration::from_nanos(1_024_000_000_000 / 48_000);

/// Not a test: the process that the others start. What it decodes goes out where others complain.
#[test]
#[ignore = "is the child of other tests"]
fn child() {
    let socket = io::stdin().as_fd().try_clone_to_owned().unwrap();
    let output = io::stderr().as_fd().try_clone_to_owned().unwrap();
    child::decode(UnixStream::from(socket), UnixStream::from(output)).unwrap();
}

/// Starts this test program as the child; what the test harness prints goes nowhere.
fn launcher() -> Launcher {
    launcher_of("exec \"$0\" --exact decoder::tests::child --ignored --nocapture 2>&1 >/dev/null")
}

fn launcher_of(script: &str) -> Launcher {
    // The next run finds the list of plugins there.
    let folder = std::env::temp_dir().join("castgate-test-children");
    std::fs::create_dir_all(&folder).unwrap();
    let this: PathBuf = std::env::current_exe().unwrap();
    Launcher::new("/bin/sh", folder).with_arguments([
        "-c".into(),
        script.into(),
        this.into_os_string(),
    ])
}

fn canvas() -> Canvas {
    Canvas::new(320, 240, 30).unwrap()
}

/// Black, and white for the first tenth of each second; 320 × 180.
fn pictures(seconds: u32) -> Vec<AccessUnit> {
    let source =
        "color=black:size=320x180:rate=30,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.099)'";
    let count = (seconds * 30).to_string();
    let input = ["-f", "lavfi", "-i", source, "-frames:v", &count];
    let coded = record(VideoCodec::H264, (320, 180), 30, &input, Vec::new());
    let mut config = None;
    (0..)
        .zip(coded)
        .map(|(number, coded)| {
            config = coded.config.or(config.take());
            AccessUnit {
                timestamp: Duration::from_secs(1) * number / 30,
                keyframe: coded.keyframe,
                config: config.clone().unwrap(),
                data: coded.data,
            }
        })
        .collect()
}

/// Silence, and a tone of 1 kHz for the first tenth of each second.
fn sound(seconds: u32) -> Vec<AccessUnit> {
    let source = "aevalsrc='if(lt(mod(t,1),0.1),0.8*sin(2*PI*1000*t),0)':sample_rate=48000:channel_layout=stereo";
    let length = seconds.to_string();
    let adts = piped(
        &[
            "-f", "lavfi", "-i", source, "-t", &length, "-c:a", "aac", "-b:a", "128k", "-f",
            "adts", "-",
        ],
        Vec::new(),
    );
    let config = Arc::new(CodecConfig::Aac(AudioConfig {
        audio_specific_config: Bytes::from_static(&[0x11, 0x90]),
        sample_rate_hz: 48_000,
        channels: 2,
    }));
    let mut rest = &adts[..];
    let mut units = Vec::new();
    while rest.len() > 7 {
        let length =
            usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5] >> 5);
        let number = u32::try_from(units.len()).unwrap();
        units.push(AccessUnit {
            // FFmpeg puts 1024 samples of silence in front.
            timestamp: (SOUND_FRAME * number).saturating_sub(SOUND_FRAME),
            keyframe: true,
            config: Arc::clone(&config),
            data: Bytes::copy_from_slice(&rest[7..length]),
        });
        rest = &rest[length..];
    }
    units
}

fn show(seconds: u32) -> Vec<AccessUnit> {
    let mut units = [pictures(seconds), sound(seconds)].concat();
    units.sort_by_key(|unit| unit.timestamp);
    units
}

/// What came out of a child, and when.
struct Taken {
    at: Instant,
    kind: u8,
    timestamp: Duration,
    body: Vec<u8>,
}

/// Takes all that comes, until nothing does.
fn take(mut socket: UnixStream) -> JoinHandle<Vec<Taken>> {
    thread::spawn(move || {
        let mut taken = Vec::new();
        let mut head = [0; RAW_HEAD_BYTES];
        while socket.read_exact(&mut head).is_ok() {
            let [kind, 0, 0, 0, length @ ..] = head else {
                panic!("out of step: {head:?}")
            };
            let (length, time) = length.split_first_chunk::<4>().unwrap();
            let mut body = vec![0; u32::from_be_bytes(*length) as usize];
            if socket.read_exact(&mut body).is_err() {
                break;
            }
            let nanoseconds = u64::from_be_bytes(time.try_into().unwrap());
            taken.push(Taken {
                at: Instant::now(),
                kind,
                timestamp: Duration::from_nanos(nanoseconds),
                body,
            });
        }
        taken
    })
}

/// Gives a show to a reader at its own pace, and what is left of it at once.
async fn play(fanout: &mut Fanout, units: Vec<AccessUnit>) {
    let begun = tokio::time::Instant::now();
    for unit in units {
        tokio::time::sleep_until(begun + unit.timestamp).await;
        fanout.push(unit);
    }
}

/// Where something begins that was not there before, of a row of times.
fn beginnings(of: impl Iterator<Item = (Duration, bool)>) -> Vec<Duration> {
    let mut was = false;
    of.filter_map(|(time, is)| {
        let before = std::mem::replace(&mut was, is);
        (is && !before).then_some(time)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_show_comes_out_whole_in_step_and_at_its_pace() {
    let units = show(5);
    let mut fanout = Fanout::new(Duration::from_secs(5));
    let reader = fanout.subscriber().reader();
    let (near, far) = UnixStream::pair().unwrap();
    let taken = take(far);
    let (counters, told) = watch::channel(DecodingCounters::default());
    let decoder = Decoder::start(&launcher(), canvas(), near.into())
        .await
        .unwrap();

    let decoding = async {
        let end = decoder.run(reader, &counters).await;
        assert!(matches!(end, DecoderEnd::ShowEnded), "{end}");
    };
    let playing = async move {
        play(&mut fanout, units).await;
        // What waits to leave is not lost with the show.
        tokio::time::sleep(Duration::from_millis(400)).await;
    };
    timeout(DEADLINE, async { tokio::join!(decoding, playing) })
        .await
        .unwrap();

    let taken = taken.join().unwrap();
    let pictures: Vec<&Taken> = taken.iter().filter(|taken| taken.kind == 1).collect();
    let sounds: Vec<&Taken> = taken.iter().filter(|taken| taken.kind == 2).collect();
    // A machine that is busy is late with some.
    assert!(
        (100..=150).contains(&pictures.len()),
        "{} pictures",
        pictures.len()
    );
    assert!(sounds.len() >= 480, "{} blocks", sounds.len());
    assert!(
        pictures
            .iter()
            .all(|picture| picture.body.len() == canvas().picture_bytes())
    );
    assert!(sounds.iter().all(|block| block.body.len() == 1_920));
    // 320 × 180 in the middle of 320 × 240, under and over black.
    let white = |picture: &Taken| picture.body[120 * 320 + 160] > 200;
    assert!(
        pictures
            .iter()
            .all(|picture| picture.body[10 * 320 + 160] < 30)
    );
    let flashes = beginnings(
        pictures
            .iter()
            .map(|picture| (picture.timestamp, white(picture))),
    );
    let loud = |block: &Taken| {
        let samples = block.body.as_chunks::<2>().0.iter();
        samples
            .map(|sample| i16::from_le_bytes(*sample).unsigned_abs())
            .max()
            > Some(6_000)
    };
    let beeps = beginnings(sounds.iter().map(|block| (block.timestamp, loud(block))));
    assert_eq!((flashes.len(), beeps.len()), (5, 5));
    for (flash, beep) in flashes.iter().zip(&beeps) {
        assert!(
            flash.abs_diff(*beep) <= Duration::from_millis(30),
            "{flash:?} {beep:?}"
        );
    }
    // They leave together, too.
    let left =
        |of: &[&Taken], time: Duration| of.iter().find(|taken| taken.timestamp >= time).unwrap().at;
    let pairs = flashes.iter().zip(&beeps);
    let mut apart: Vec<_> = pairs
        .map(|(flash, beep)| (left(&pictures, *flash), left(&sounds, *beep)))
        .map(|(flash, beep)| flash.max(beep) - flash.min(beep))
        .collect();
    apart.sort_unstable();
    // The middle one: a machine that is busy is late with single ones.
    let usual = apart[apart.len() / 2];
    assert!(usual <= Duration::from_millis(150), "{apart:?}");
    let told = *told.borrow();
    assert_eq!((told.broken, told.jumps), (0, 0), "{told:?}");
    assert!(told.pictures > 90, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_decode_is_counted_and_does_no_harm() {
    let mut units = show(3);
    let mut number = 0_u8;
    for unit in &mut units {
        if unit.timestamp < Duration::from_secs(1) {
            let garbage = unit.data.iter().map(|byte| {
                number = number.wrapping_mul(73).wrapping_add(41);
                byte ^ number
            });
            unit.data = garbage.collect();
        }
    }
    let mut fanout = Fanout::new(Duration::from_secs(5));
    let reader = fanout.subscriber().reader();
    let (near, far) = UnixStream::pair().unwrap();
    let taken = take(far);
    let (counters, told) = watch::channel(DecodingCounters::default());
    let decoder = Decoder::start(&launcher(), canvas(), near.into())
        .await
        .unwrap();

    let playing = async move {
        play(&mut fanout, units).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    };
    let both = async { tokio::join!(decoder.run(reader, &counters), playing) };
    let (end, ()) = timeout(DEADLINE, both).await.unwrap();

    assert!(matches!(end, DecoderEnd::ShowEnded), "{end}");
    let taken = taken.join().unwrap();
    let good = taken
        .iter()
        .filter(|taken| taken.kind == 1 && taken.timestamp >= Duration::from_secs(1));
    assert!(good.count() > 45);
    assert!(told.borrow().broken > 20, "{:?}", told.borrow());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_killed_or_that_nobody_listens_to_has_died() {
    let units = show(2);
    for is_killed in [true, false] {
        let mut fanout = Fanout::new(Duration::from_secs(5));
        let reader = fanout.subscriber().reader();
        let (near, far) = UnixStream::pair().unwrap();
        let counters = watch::channel(DecodingCounters::default()).0;
        let decoder = Decoder::start(&launcher(), canvas(), near.into())
            .await
            .unwrap();
        // The shell has become the child.
        let process = decoder.process_id().unwrap();
        for unit in units.clone() {
            fanout.push(unit);
        }

        if is_killed {
            kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL).unwrap();
        } else {
            drop(far);
        }
        let end = timeout(DEADLINE, decoder.run(reader, &counters))
            .await
            .unwrap();

        assert!(matches!(end, DecoderEnd::Died(_)), "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_talks_nonsense_is_given_up() {
    let ready = "printf '\\001\\0\\0\\0\\0' >&0";
    for said in [
        "printf '\\002\\0\\0\\0\\001x' >&0",
        "printf '\\001\\0\\0\\0\\0' >&0",
    ] {
        let fanout = Fanout::new(Duration::from_secs(5));
        let reader = fanout.subscriber().reader();
        let (near, _far) = UnixStream::pair().unwrap();
        let counters = watch::channel(DecodingCounters::default()).0;
        let launcher = launcher_of(&format!("{ready}; {said}; exec sleep 60"));
        let decoder = Decoder::start(&launcher, canvas(), near.into())
            .await
            .unwrap();

        let end = timeout(DEADLINE, decoder.run(reader, &counters))
            .await
            .unwrap();

        assert!(matches!(end, DecoderEnd::Nonsense), "{end}");
    }
    let (near, _far) = UnixStream::pair().unwrap();
    let launcher = launcher_of("printf garbage >&0");
    assert!(
        Decoder::start(&launcher, canvas(), near.into())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_file_is_handed_over_with_its_line() {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use std::os::fd::AsRawFd as _;

    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let near = tokio::net::UnixStream::from_std(near).unwrap();
    let (one, other) = UnixStream::pair().unwrap();

    hand(&near, b"a line\n", one.as_fd()).await.unwrap();

    let mut bytes = [0; 64];
    let mut parts = [io::IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let message = recvmsg::<()>(
        far.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::empty(),
    )
    .unwrap();
    let files: Vec<_> = message.cmsgs().unwrap().collect();
    assert!(matches!(&files[..], [ControlMessageOwned::ScmRights(files)] if files.len() == 1));
    let length = message.bytes;
    assert_eq!(&bytes[..length], b"a line\n");
    // The end that was handed over is open until both have let go of it.
    drop(one);
    other.set_nonblocking(true).unwrap();
    assert_eq!(
        (&other).read(&mut [0]).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
}
