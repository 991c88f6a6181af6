//! Which `FFmpeg` there is, and what it can.

use std::{
    ffi::OsStr,
    fmt,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use media::VideoCodec;

use super::complaints::ComplaintCounters;

/// How long the program may take to tell about itself; it takes 50 ms on a machine with nothing else to do.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of an answer; a full build lists its encoders in 20 kB.
const ANSWER_LIMIT_BYTES: u64 = 256 * 1024;

/// How often a running question is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(5);

/// The oldest version that knows the options that are used.
const OLDEST: FfmpegVersion = FfmpegVersion { major: 4, minor: 4 };

/// What encodes H.264.
const ENCODER: &str = "libx264";

/// A version of `FFmpeg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FfmpegVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl fmt::Display for FfmpegVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// Why there is no `FFmpeg` to work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FfmpegAbsent {
    /// No program of this name.
    #[error(
        "there is no program '{0}'; install FFmpeg (Debian: apt-get install ffmpeg) or set FFMPEG_PATH"
    )]
    NotFound(String),
    /// It does not run.
    #[error("'{0}' cannot be run: {1}")]
    NotRunnable(String, String),
    /// It did not answer in time.
    #[error("'{0}' did not tell its version within 10 s")]
    Silent(String),
    /// It does not say what `FFmpeg` says.
    #[error("'{0}' does not look like FFmpeg")]
    Unknown(String),
    /// It cannot do what is needed.
    #[error("FFmpeg {0} is too old; 4.4 is the oldest that works")]
    TooOld(FfmpegVersion),
}

/// An `FFmpeg` that can be used. Cloning shares it.
#[derive(Clone)]
pub struct Ffmpeg {
    inner: Arc<Inner>,
}

struct Inner {
    program: PathBuf,
    version: FfmpegVersion,
    full_version: String,
    encodes: bool,
    decoders: Vec<VideoCodec>,
    counters: ComplaintCounters,
}

impl fmt::Debug for Ffmpeg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ffmpeg")
            .field("program", &self.inner.program)
            .field("version", &self.inner.full_version)
            .field("encodes", &self.inner.encodes)
            .finish_non_exhaustive()
    }
}

impl Ffmpeg {
    /// Asks `program` for its version, encoders and decoders. A bare name is looked for in the folders of `search`, which
    /// is what `PATH` holds.
    ///
    /// Waits for the answers, 30 s at most: it is called once, at the start.
    pub fn find(program: &Path, search: &OsStr) -> Result<Self, FfmpegAbsent> {
        let program = resolved(program, search)?;
        let (version, full_version) = judged(&program, &ask(&program, "-version")?)?;
        let encoders = ask(&program, "-encoders")?;
        let decoders = ask(&program, "-decoders")?;
        Ok(Self {
            inner: Arc::new(Inner {
                program,
                version,
                full_version,
                encodes: lists(&encoders, ENCODER),
                decoders: VideoCodec::ALL
                    .into_iter()
                    .filter(|codec| lists(&decoders, decoder_name(*codec)))
                    .collect(),
                counters: ComplaintCounters::default(),
            }),
        })
    }

    /// A program that is not asked, and may be anything.
    #[cfg(test)]
    pub(super) fn unasked(program: &str) -> Self {
        let version = OLDEST;
        Self {
            inner: Arc::new(Inner {
                program: program.into(),
                version,
                full_version: version.to_string(),
                encodes: true,
                decoders: VideoCodec::ALL.to_vec(),
                counters: ComplaintCounters::default(),
            }),
        }
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.inner.program
    }

    /// Which it is.
    pub fn version(&self) -> FfmpegVersion {
        self.inner.version
    }

    /// Which it is, in its own words (at most 64 characters).
    pub fn full_version(&self) -> &str {
        &self.inner.full_version
    }

    /// Encoders that are needed and not in it: it can copy all the same.
    pub fn missing_encoders(&self) -> Vec<&'static str> {
        (!self.inner.encodes)
            .then_some(ENCODER)
            .into_iter()
            .collect()
    }

    /// Whether an engine can be made for this codec. H.264 is copied. AV1 is not taken: `FFmpeg` 5.1 and older do not
    /// read it from RTP.
    pub fn takes(&self, codec: VideoCodec) -> bool {
        match codec {
            VideoCodec::H264 => true,
            VideoCodec::Vp8 | VideoCodec::Vp9 => self.transcodes(codec),
            VideoCodec::Av1 => false,
        }
    }

    /// Whether this codec can be made anew.
    pub fn transcodes(&self, codec: VideoCodec) -> bool {
        codec != VideoCodec::Av1 && self.inner.encodes && self.inner.decoders.contains(&codec)
    }

    /// How often its children complained, by what it was.
    pub fn complaints(&self) -> &ComplaintCounters {
        &self.inner.counters
    }
}

/// Absolute, because children run in another folder and without `PATH`.
fn resolved(program: &Path, search: &OsStr) -> Result<PathBuf, FfmpegAbsent> {
    let found = if program.components().count() > 1 {
        program.canonicalize().ok()
    } else {
        std::env::split_paths(search)
            .map(|folder| folder.join(program))
            .find(|file| file.is_file())
    };
    found.ok_or_else(|| FfmpegAbsent::NotFound(program.display().to_string()))
}

fn ask(program: &Path, question: &str) -> Result<String, FfmpegAbsent> {
    let name = || program.display().to_string();
    let mut child = Command::new(program)
        .args(["-hide_banner", question])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| FfmpegAbsent::NotRunnable(name(), error.to_string()))?;
    // It is read elsewhere, so that a program that says too much, or nothing for ever, holds nobody up.
    let output = child.stdout.take();
    let reading = thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(output) = output {
            let _ = output.take(ANSWER_LIMIT_BYTES).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    let deadline = Instant::now() + ANSWER_LIMIT;
    while !reading.is_finished() && Instant::now() < deadline {
        thread::sleep(LOOK_PERIOD);
    }
    let is_finished = reading.is_finished();
    let _ = child.kill();
    let _ = child.wait();
    if !is_finished {
        return Err(FfmpegAbsent::Silent(name()));
    }
    reading.join().map_err(|_| FfmpegAbsent::Unknown(name()))
}

fn judged(program: &Path, banner: &str) -> Result<(FfmpegVersion, String), FfmpegAbsent> {
    let (version, full_version) = parse_version(banner)
        .ok_or_else(|| FfmpegAbsent::Unknown(program.display().to_string()))?;
    if version < OLDEST {
        return Err(FfmpegAbsent::TooOld(version));
    }
    Ok((version, full_version))
}

/// `ffmpeg version 5.1.9-0+deb12u1 Copyright …`, `ffmpeg version n6.1 …`. A build from a repository tells no number; it is
/// taken for new.
fn parse_version(banner: &str) -> Option<(FfmpegVersion, String)> {
    let word = banner
        .strip_prefix("ffmpeg version ")?
        .split_whitespace()
        .next()?;
    let full: String = word.chars().take(64).collect();
    let mut numbers = word
        .trim_start_matches('n')
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => FfmpegVersion { major, minor },
        _ => FfmpegVersion {
            major: u32::MAX,
            minor: 0,
        },
    };
    Some((version, full))
}

/// Whether the second word of a line is this name.
fn lists(table: &str, name: &str) -> bool {
    table
        .lines()
        .any(|line| line.split_whitespace().nth(1) == Some(name))
}

const fn decoder_name(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "h264",
        VideoCodec::Vp8 => "vp8",
        VideoCodec::Vp9 => "vp9",
        VideoCodec::Av1 => "av1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_all_their_forms() {
        let version = |text| parse_version(text).map(|(version, _)| version.to_string());

        assert_eq!(
            version("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026"),
            Some("5.1".to_owned())
        );
        assert_eq!(version("ffmpeg version n6.0 x"), Some("6.0".to_owned()));
        assert_eq!(version("ffmpeg version 4.4.2"), Some("4.4".to_owned()));
        assert!(parse_version("ffmpeg version N-109-gabc").unwrap().0 > OLDEST);
        assert_eq!(version("avconv version 9"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn an_encoder_is_found_by_its_whole_name() {
        let table =
            " V....D libx264              libx264 H.264 (codec h264)\n V....D libx264rgb  x\n";

        assert!(lists(table, "libx264"));
        assert!(!lists(table, "libx26"));
        assert!(!lists(table, "h264"));
    }

    #[test]
    fn the_installed_one_is_found_and_tells_what_it_can() {
        let ffmpeg = Ffmpeg::find(Path::new("ffmpeg"), OsStr::new("/nowhere:/usr/bin")).unwrap();

        assert!(ffmpeg.version() >= OLDEST);
        assert!(ffmpeg.program().is_absolute());
        assert_eq!(ffmpeg.missing_encoders(), Vec::<&str>::new());
        assert_eq!(
            VideoCodec::ALL.map(|codec| ffmpeg.takes(codec)),
            [true, true, true, false]
        );
    }

    #[test]
    fn an_absent_or_other_or_old_program_is_told_in_words() {
        let find =
            |program| Ffmpeg::find(Path::new(program), OsStr::new("/usr/bin:/bin")).unwrap_err();

        let errors = ["no-such-ffmpeg", "/no/such", "/bin/true", "/etc/passwd"].map(find);
        let old = judged(Path::new("ffmpeg"), "ffmpeg version 4.3.1 Copyright");

        assert_eq!(
            errors[0],
            FfmpegAbsent::NotFound("no-such-ffmpeg".to_owned())
        );
        assert!(errors[0].to_string().contains("apt-get install ffmpeg"));
        assert_eq!(errors[1], FfmpegAbsent::NotFound("/no/such".to_owned()));
        assert!(matches!(errors[2], FfmpegAbsent::Unknown(_)));
        assert!(matches!(errors[3], FfmpegAbsent::NotRunnable(..)));
        assert_eq!(
            old,
            Err(FfmpegAbsent::TooOld(FfmpegVersion { major: 4, minor: 3 }))
        );
    }
}
