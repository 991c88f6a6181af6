//! What every engine does alike: the same recorded pictures go in, and what comes out is decoded and looked at.

use std::{
    ffi::OsStr,
    fmt,
    path::Path,
    task::Waker,
    thread::{self, Thread},
    time::{Duration, Instant},
};

use broadcast::Rendition;
use media::{CodecConfig, VideoCodec};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    Engine, EngineKind, EnginePicture, EngineState, PassthroughEngine, SourcePicture,
    recorded::{Coded, piped, record},
};
use crate::{
    decoder_configuration::parameter_sets,
    ffmpeg::Ffmpeg,
    gstreamer::counter,
    transcoder::{GstreamerEngine, tests::transcoders},
};

const SIZE: (u32, u32) = (320, 180);
const RATE: u32 = 30;

/// How far the keyframes of the recorded studio are apart: not a beat of any platform's.
const GROUP: u32 = 25;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// How exact the times of what comes out are.
const EXACT: Duration = Duration::from_millis(1);

/// An engine, and what the suite has to know of it.
struct Subject {
    kind: EngineKind,
    /// What it takes.
    codecs: &'static [VideoCodec],
    /// It copies pictures; others make keyframes of their own, every two seconds.
    copies: bool,
    /// How many pictures it may hold back while it waits for more.
    holds: usize,
    make: fn(&tokio::runtime::Runtime, VideoCodec, Waker) -> Made,
}

struct Made {
    engine: Box<dyn Engine>,
    /// The process that works, if it has one.
    process: Box<dyn Fn() -> Option<u32>>,
}

/// Every engine. Another one is another entry.
const SUBJECTS: [Subject; 5] = [
    Subject {
        kind: EngineKind::Passthrough,
        codecs: &[VideoCodec::H264],
        copies: true,
        holds: 0,
        make: |_, _, _| Made {
            engine: Box::new(PassthroughEngine::default()),
            process: Box::new(|| None),
        },
    },
    Subject {
        kind: EngineKind::Gstreamer,
        codecs: &VideoCodec::ALL,
        copies: false,
        holds: 0,
        make: |runtime, codec, waker| {
            let transcoder = transcoders(runtime).start(codec, None, waker);
            Made {
                process: Box::new(transcoder.process()),
                engine: Box::new(GstreamerEngine::new(transcoder)),
            }
        },
    },
    Subject {
        kind: EngineKind::Ffmpeg,
        codecs: &[VideoCodec::H264],
        copies: true,
        holds: 0,
        make: |runtime, codec, waker| ffmpeg(runtime, codec, None, waker),
    },
    Subject {
        kind: EngineKind::Ffmpeg,
        codecs: &[VideoCodec::Vp8, VideoCodec::Vp9],
        copies: false,
        holds: 0,
        make: |runtime, codec, waker| ffmpeg(runtime, codec, Some(CANVAS), waker),
    },
    Subject {
        kind: EngineKind::Ffmpeg,
        codecs: &[VideoCodec::H264],
        copies: false,
        // Its parser waits for the next one's beginning.
        holds: 1,
        make: |runtime, codec, waker| ffmpeg(runtime, codec, Some(CANVAS), waker),
    },
];

/// What is made anew by an engine that has to be told.
const CANVAS: Rendition = match Rendition::new(SIZE.0, SIZE.1, RATE, 600) {
    Ok(canvas) => canvas,
    Err(_) => panic!("the canvas is within the limits"),
};

fn ffmpeg(
    runtime: &tokio::runtime::Runtime,
    codec: VideoCodec,
    canvas: Option<Rendition>,
    waker: Waker,
) -> Made {
    let ffmpeg = Ffmpeg::find(Path::new("ffmpeg"), OsStr::new("/usr/bin:/usr/local/bin"));
    let runtime = runtime.handle().clone();
    let engine = ffmpeg.unwrap().engine(codec, canvas, runtime, waker);
    Made {
        process: Box::new(engine.process()),
        engine: Box::new(engine),
    }
}

/// Runs a test of each engine with each codec that it takes.
fn with_each(test: impl Fn(&Subject, &mut Bench)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    for subject in &SUBJECTS {
        for codec in subject.codecs {
            let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
            let mut bench = Bench {
                codec: *codec,
                made: (subject.make)(&runtime, *codec, waker),
                holds: subject.holds,
                studio: studio(*codec),
                pushed: 0,
                times: Vec::new(),
                out: Vec::new(),
            };
            test(subject, &mut bench);
        }
    }
}

struct Unpark(Thread);

impl std::task::Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Three seconds of numbered pictures.
fn studio(codec: VideoCodec) -> Vec<Coded> {
    let (width, height) = (SIZE.0 as usize, SIZE.1 as usize);
    let mut raw = Vec::new();
    for number in 0..RATE * 3 {
        let mut luma: Vec<u8> = (0..width * height)
            .map(|place| {
                let (x, y) = (place % width, place / width);
                u8::try_from((x * 3 + y * 5 + number as usize * 7) % 120).unwrap()
            })
            .collect();
        let mut chroma = vec![128; width * height / 2];
        let (one, other) = chroma.split_at_mut(width * height / 4);
        counter::draw(u64::from(number), width, &mut luma, [one, other]);
        raw.extend(luma);
        raw.extend(chroma);
    }
    let input = [
        "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "320x180", "-r", "30", "-i", "-",
    ];
    let pictures = record(codec, SIZE, GROUP, &input, raw);
    assert_eq!(pictures.len(), RATE as usize * 3);
    pictures
}

/// An engine at work.
struct Bench {
    codec: VideoCodec,
    made: Made,
    holds: usize,
    studio: Vec<Coded>,
    pushed: usize,
    /// Times of what went in.
    times: Vec<Duration>,
    out: Vec<EnginePicture>,
}

impl fmt::Debug for Bench {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            codec,
            made,
            pushed,
            out,
            ..
        } = self;
        write!(
            formatter,
            "{:?} of {codec}: {pushed} in, {} out, {:?}",
            made.engine.kind(),
            out.len(),
            made.engine.state()
        )
    }
}

impl Bench {
    /// The time of a picture of the studio's.
    fn time(number: usize) -> Duration {
        // A broadcast begins at any time.
        Duration::from_millis(12_345)
            + Duration::from_secs(1) * u32::try_from(number).unwrap() / RATE
    }

    /// The studio's next picture, or `data` in its place.
    fn push(&mut self, data: Option<Vec<u8>>) {
        let coded = &self.studio[self.pushed % self.studio.len()];
        let now = Instant::now();
        let picture = SourcePicture {
            codec: self.codec,
            timestamp: Self::time(self.pushed),
            keyframe: coded.keyframe,
            config: coded.config.clone(),
            size: SIZE,
            data: data.map_or_else(|| coded.data.clone(), Into::into),
            arrival: now,
        };
        self.times.push(picture.timestamp);
        self.pushed += 1;
        self.made.engine.handle_picture(picture, now);
    }

    fn take(&mut self) {
        if self
            .made
            .engine
            .poll_timeout()
            .is_some_and(|due| due <= Instant::now())
        {
            self.made.engine.handle_timeout(Instant::now());
        }
        while let Some(picture) = self.made.engine.poll_picture() {
            self.out.push(picture);
        }
    }

    /// Takes what comes out until it is enough.
    fn wait(&mut self, mut is_enough: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.take();
            if is_enough(self) {
                return;
            }
            let now = Instant::now();
            assert!(now < deadline, "nothing more: {self:?}");
            let due = self.made.engine.poll_timeout().unwrap_or(deadline);
            // A wish for a keyframe wakes too; nothing else does for longer than this.
            thread::park_timeout(due.min(deadline).saturating_duration_since(now));
        }
    }

    /// So many pictures, each when those before it have come out, but for what is held back.
    fn run(&mut self, count: usize) {
        let begin = self.out.len();
        for number in 0..count {
            self.push(None);
            self.wait(|bench| bench.out.len() + bench.holds > begin + number);
        }
    }

    /// Nothing comes any more; waits until so many pictures have come out.
    fn end(&mut self, count: usize) {
        self.made.engine.handle_end();
        self.wait(|bench| bench.out.len() >= count);
    }

    fn skip_to_keyframe(&mut self) {
        while !self.studio[self.pushed % self.studio.len()].keyframe {
            self.pushed += 1;
        }
    }

    /// What came out, decoded.
    fn decoded(&self) -> Vec<Vec<u8>> {
        let first = self.out.iter().position(|picture| picture.keyframe);
        let stream = elementary_stream(&self.out[first.unwrap()..]);
        let arguments = [
            "-f", "h264", "-i", "-", "-vsync", "0", "-f", "rawvideo", "-pix_fmt", "gray", "-",
        ];
        let pictures = piped(&arguments, stream);
        let pictures = pictures.chunks_exact((SIZE.0 * SIZE.1) as usize);
        pictures.map(<[u8]>::to_vec).collect()
    }

    /// The numbers that are seen in what came out.
    fn numbers(&self) -> Vec<u32> {
        let pictures = self.decoded();
        pictures.iter().map(|luma| number(luma).unwrap()).collect()
    }
}

/// Reads the blocks that [`counter::draw`] draws: two marks, 16 bits in Gray code, a check, two marks.
fn number(luma: &[u8]) -> Option<u32> {
    let width = SIZE.0 as usize;
    let is_white = |block: usize| luma[4 * width + (2 * block + 1) * width / 48] > 126;
    let gray = (0..16).fold(0_u32, |gray, bit| gray << 1 | u32::from(is_white(2 + bit)));
    let is_marked = is_white(0) && !is_white(1) && is_white(23);
    is_marked.then(|| (0..16).fold(0, |number, shift| number ^ (gray >> shift)))
}

fn elementary_stream(pictures: &[EnginePicture]) -> Vec<u8> {
    let mut stream = Vec::new();
    for picture in pictures {
        if picture.keyframe {
            let CodecConfig::Avc(config) = &*picture.config else {
                panic!("no H.264")
            };
            let (sequences, others) = parameter_sets(&config.decoder_configuration).unwrap();
            for set in sequences.iter().chain(&others) {
                stream.extend([0, 0, 0, 1]);
                stream.extend(*set);
            }
        }
        let mut rest = &picture.data[..];
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (nal, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
            stream.extend([0, 0, 0, 1]);
            stream.extend(nal);
            rest = tail;
        }
    }
    stream
}

#[test]
fn every_picture_comes_out_once_and_at_its_time() {
    with_each(|subject, bench| {
        assert_eq!(bench.made.engine.state(), EngineState::Starting);
        bench.run(80);
        bench.end(80);

        assert!(bench.out.len().abs_diff(80) <= 1, "{bench:?}");
        for (picture, time) in bench.out.iter().zip(&bench.times) {
            assert!(picture.timestamp.abs_diff(*time) <= EXACT, "{bench:?}");
        }
        let keyframes: Vec<usize> = (0..bench.out.len())
            .filter(|place| bench.out[*place].keyframe)
            .collect();
        if subject.copies {
            assert_eq!(keyframes, [0, 25, 50, 75], "{bench:?}");
        } else {
            assert_eq!(keyframes, [0, 60], "{bench:?}");
        }
        let expected: Vec<u32> = (0..80).collect();
        assert_eq!(bench.numbers(), expected, "{bench:?}");
        assert_eq!(bench.made.engine.state(), EngineState::Running);
    });
}

#[test]
fn what_is_required_is_a_keyframe_of_a_later_picture() {
    with_each(|_, bench| {
        bench.run(10);
        bench.push(None);

        bench.made.engine.require_keyframe();
        let (before, latest) = (bench.out.len(), *bench.times.last().unwrap());
        for _ in 0..GROUP {
            bench.push(None);
            bench.take();
        }
        bench.wait(|bench| bench.out.len() > before + 1);

        let first = &bench.out[before];
        assert!(first.keyframe && first.timestamp > latest, "{bench:?}");
        let (numbers, pushed) = (bench.numbers(), bench.out.len());
        assert_eq!(numbers.len(), pushed);
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    });
}

#[test]
fn a_gap_is_survived() {
    with_each(|_, bench| {
        bench.run(10);

        bench.made.engine.handle_gap();
        bench.skip_to_keyframe();
        bench.run(10);
        bench.end(20);

        let expected: Vec<u32> = (0..10).chain(GROUP..GROUP + 10).collect();
        assert_eq!(bench.numbers(), expected, "{bench:?}");
    });
}

#[test]
fn garbage_is_survived() {
    with_each(|subject, bench| {
        if subject.copies {
            // What it copies is not its business.
            return;
        }
        bench.run(10);
        let mut noise = 1_u32;
        while !bench.studio[bench.pushed].keyframe {
            let garbage = (0..500)
                .map(|_| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    noise.to_be_bytes()[0]
                })
                .collect();
            bench.push(Some(garbage));
        }
        let begin = *bench.times.last().unwrap();

        // The first keyframe may have met a process that was dying.
        let is_back = |bench: &Bench| {
            let later = bench.out.iter().filter(|picture| picture.timestamp > begin);
            later.count() > 5
        };
        while !is_back(bench) {
            for _ in 0..GROUP {
                bench.push(None);
            }
            bench.wait(|bench| is_back(bench) || bench.made.engine.poll_keyframe_request());
        }

        let last = bench.decoded().last().and_then(|luma| number(luma));
        let time = bench.out.last().unwrap().timestamp;
        let place = bench.times.iter().position(|one| *one == time).unwrap();
        let expected = u32::try_from(place % bench.studio.len()).unwrap();
        assert_eq!(last, Some(expected), "{bench:?}");
    });
}

#[test]
fn the_death_of_its_process_is_survived() {
    with_each(|_, bench| {
        bench.run(10);
        let Some(process) = (bench.made.process)() else {
            return;
        };
        let before = bench.out.len();

        kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL).unwrap();
        bench.wait(|bench| bench.made.engine.poll_keyframe_request());
        bench.skip_to_keyframe();
        bench.run(10);
        bench.end(before + 10);

        let first = &bench.out[before];
        assert!(first.keyframe, "{bench:?}");
        // The decoder that follows cannot tell.
        assert!(std::sync::Arc::ptr_eq(&first.config, &bench.out[0].config));
        assert_ne!((bench.made.process)(), Some(process));
        // What it held back died with it.
        let kept = u32::try_from(before).unwrap();
        let expected: Vec<u32> = (0..kept).chain(GROUP..GROUP + 10).collect();
        assert_eq!(bench.numbers(), expected, "{bench:?}");
    });
}

#[test]
fn each_engine_says_which_it_is() {
    with_each(|subject, bench| {
        let kind = bench.made.engine.kind();

        assert_eq!(kind, subject.kind);
        assert_eq!(bench.made.engine.forwards(), subject.copies);
    });
}
