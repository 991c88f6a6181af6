//! What `FFmpeg` says to standard error: classified, counted, and logged rarely.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The longest line that is looked at; the rest of a longer one is left out.
const LINE_LIMIT_BYTES: usize = 1_024;

/// The most characters of a line that are logged.
const SHOWN_LIMIT: usize = 200;

/// The shortest time between two log lines of a class.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// A kind of complaint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Complaint {
    /// An encoder or decoder is not in this build.
    MissingCodec,
    /// A picture refers to parameters that did not come.
    MissingParameters,
    /// Timestamps went back.
    Timestamps,
    /// Packets did not come.
    Loss,
    /// A picture could not be decoded.
    Decoding,
    /// Anything else that it takes for a warning or worse.
    Other,
}

impl Complaint {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::MissingCodec,
        Self::MissingParameters,
        Self::Timestamps,
        Self::Loss,
        Self::Decoding,
        Self::Other,
    ];

    /// A stable word, for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingCodec => "missing_codec",
            Self::MissingParameters => "missing_parameters",
            Self::Timestamps => "timestamps",
            Self::Loss => "loss",
            Self::Decoding => "decoding",
            Self::Other => "other",
        }
    }

    fn of(line: &str) -> Option<Self> {
        let line = line.to_ascii_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| line.contains(part));
        // What it says about a live source that it has not seen the whole of; no harm comes of it.
        if line.is_empty()
            || has(&[
                "not enough frames to estimate rate",
                "could not find codec parameters",
                "timestamps are unset in a packet",
                "consider increasing the value for the 'analyzeduration'",
                "deprecated pixel format",
                "support is still experimental",
            ])
        {
            return None;
        }
        let kinds: [(&[&str], Self); 5] = [
            (
                &[
                    "unknown encoder",
                    "unknown decoder",
                    "encoder not found",
                    "decoder not found",
                ],
                Self::MissingCodec,
            ),
            (
                &["non-existing pps", "non-existing sps", "no frame!"],
                Self::MissingParameters,
            ),
            (
                &["non-monotonous dts", "non monotonically", "non-monotonic"],
                Self::Timestamps,
            ),
            (
                &["rtp: missed", "rtp: dropping", "max delay reached"],
                Self::Loss,
            ),
            (
                &[
                    "error while decoding",
                    "concealing",
                    "invalid data",
                    "decode_slice_header",
                    "corrupt",
                    "reference picture missing",
                    "left block unavailable",
                    "top block unavailable",
                    "error decoding",
                ],
                Self::Decoding,
            ),
        ];
        let kind = kinds.into_iter().find(|(parts, _)| has(parts));
        Some(kind.map_or(Self::Other, |(_, kind)| kind))
    }
}

/// How often there was what to complain about. Cloning shares the counters.
#[derive(Debug, Clone, Default)]
pub struct ComplaintCounters {
    counts: Arc<[AtomicU64; Complaint::ALL.len()]>,
}

impl ComplaintCounters {
    /// How often, ever.
    pub fn count(&self, complaint: Complaint) -> u64 {
        self.counts[complaint as usize].load(Ordering::Relaxed)
    }

    fn add(&self, complaint: Complaint) {
        self.counts[complaint as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// What is to be logged of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) complaint: Complaint,
    /// At most 200 printable characters, without addresses of this process's memory.
    pub(super) text: String,
    /// Lines of this class that were not logged since the last one was.
    pub(super) unsaid: u64,
}

impl fmt::Display for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Listens to one engine's children.
#[derive(Debug)]
pub(super) struct Listener {
    counters: ComplaintCounters,
    line: Vec<u8>,
    said: [(Option<Instant>, u64); Complaint::ALL.len()],
}

impl Listener {
    pub(super) fn new(counters: ComplaintCounters) -> Self {
        Self {
            counters,
            line: Vec::new(),
            said: [(None, 0); Complaint::ALL.len()],
        }
    }

    /// Takes bytes as they come, and tells of each line that was a complaint, and what of it is to be logged.
    pub(super) fn handle_bytes(
        &mut self,
        bytes: &[u8],
        now: Instant,
        mut tell: impl FnMut(Complaint, Option<Remark>),
    ) {
        for &byte in bytes {
            if byte != b'\n' && byte != b'\r' {
                if self.line.len() < LINE_LIMIT_BYTES {
                    self.line.push(byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.line.clear();
            if let Some(complaint) = Complaint::of(line.trim()) {
                self.counters.add(complaint);
                tell(complaint, self.remark(complaint, &line, now));
            }
        }
    }

    fn remark(&mut self, complaint: Complaint, line: &str, now: Instant) -> Option<Remark> {
        let (latest, unsaid) = &mut self.said[complaint as usize];
        if latest.is_some_and(|latest| now < latest + LOG_PERIOD) {
            *unsaid += 1;
            return None;
        }
        *latest = Some(now);
        Some(Remark {
            complaint,
            text: shown(line),
            unsaid: std::mem::take(unsaid),
        })
    }
}

/// Takes out control characters and `@ 0x55…`, which says where in its memory something is.
fn shown(line: &str) -> String {
    let words = line
        .split_whitespace()
        .filter(|word| *word != "@" && !word.starts_with("0x"));
    let text = words.collect::<Vec<_>>().join(" ");
    text.chars()
        .filter(|character| !character.is_control())
        .take(SHOWN_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(
        listener: &mut Listener,
        text: &str,
        now: Instant,
    ) -> Vec<(Complaint, Option<Remark>)> {
        let mut all = Vec::new();
        listener.handle_bytes(text.as_bytes(), now, |complaint, remark| {
            all.push((complaint, remark));
        });
        all
    }

    fn listener() -> Listener {
        Listener::new(ComplaintCounters::default())
    }

    #[test]
    fn lines_are_put_into_classes() {
        let of = |line| Complaint::of(line);

        assert_eq!(
            of("Unknown encoder 'libx264'"),
            Some(Complaint::MissingCodec)
        );
        assert_eq!(
            of("[h264 @ 0x55] non-existing PPS 0 referenced"),
            Some(Complaint::MissingParameters)
        );
        assert_eq!(
            of("Non-monotonous DTS in output stream 0:0"),
            Some(Complaint::Timestamps)
        );
        assert_eq!(
            of("[sdp @ 0x5] RTP: missed 3 packets"),
            Some(Complaint::Loss)
        );
        assert_eq!(
            of("error while decoding MB 5 7, bytestream 9"),
            Some(Complaint::Decoding)
        );
        assert_eq!(of("something else"), Some(Complaint::Other));
        assert_eq!(
            of("Stream #0: not enough frames to estimate rate; consider increasing probesize"),
            None
        );
    }

    #[test]
    fn a_class_is_logged_once_in_ten_seconds_and_says_how_much_was_left_out() {
        let (mut listener, start) = (listener(), Instant::now());
        let line = "RTP: missed 1 packets\n";

        let first = heard(&mut listener, line, start);
        let second = heard(&mut listener, line, start + LOG_PERIOD / 2);
        let other = heard(&mut listener, "non-existing PPS 0\n", start);
        let third = heard(&mut listener, line, start + LOG_PERIOD);

        assert_eq!(first[0].1.as_ref().unwrap().unsaid, 0);
        assert_eq!(second[0].1, None);
        assert!(other[0].1.is_some());
        assert_eq!(third[0].1.as_ref().unwrap().unsaid, 1);
        assert_eq!(listener.counters.count(Complaint::Loss), 3);
    }

    #[test]
    fn what_is_logged_is_short_and_shows_no_memory() {
        let long = format!("[sdp @ 0x55eb] bad {}\n", "x".repeat(5_000));

        let heard = heard(&mut listener(), &long, Instant::now());

        let text = heard[0].1.as_ref().unwrap().to_string();
        assert!(text.starts_with("[sdp bad xxx"), "{text}");
        assert_eq!(text.chars().count(), SHOWN_LIMIT);
    }

    proptest! {
        #[test]
        fn any_bytes_are_heard(bytes: Vec<u8>) {
            let mut listener = listener();
            listener.handle_bytes(&bytes, Instant::now(), |_, remark| {
                assert!(remark.is_none_or(|remark| remark.text.chars().count() <= SHOWN_LIMIT));
            });
            prop_assert!(listener.line.len() <= LINE_LIMIT_BYTES);
        }
    }
}
