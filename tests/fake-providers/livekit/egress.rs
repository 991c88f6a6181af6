//! One egress, from its request to its end.

use std::time::SystemTime;

use serde_json::{Value, json};
use uuid::Uuid;

use super::state::{PARTICIPANT_PATIENCE, Refused, now_nanos};
use crate::{Media, OutputState};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Active,
    Ending,
    Complete,
    Failed,
    Aborted,
    LimitReached,
}

impl Phase {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Starting => "EGRESS_STARTING",
            Self::Active => "EGRESS_ACTIVE",
            Self::Ending => "EGRESS_ENDING",
            Self::Complete => "EGRESS_COMPLETE",
            Self::Failed => "EGRESS_FAILED",
            Self::Aborted => "EGRESS_ABORTED",
            Self::LimitReached => "EGRESS_LIMIT_REACHED",
        }
    }

    pub(super) const fn runs(self) -> bool {
        matches!(self, Self::Starting | Self::Active)
    }

    pub(super) const fn is_over(self) -> bool {
        !matches!(self, Self::Starting | Self::Active | Self::Ending)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamPhase {
    Active,
    Finished,
    Failed,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// Whole.
    pub(super) url: String,
    /// What its media are named by.
    pub(super) output: String,
    pub(super) phase: StreamPhase,
    error: String,
    started: u64,
    ended: u64,
}

#[derive(Debug)]
pub(super) struct Egress {
    pub(super) id: String,
    pub(super) room: String,
    pub(super) room_id: String,
    pub(super) identity: String,
    pub(super) phase: Phase,
    /// In the order in which they were added, the ended ones among them.
    pub(super) streams: Vec<Stream>,
    pub(super) error: String,
    pub(super) requested: SystemTime,
    pub(super) started: u64,
    pub(super) updated: u64,
    pub(super) ended: u64,
}

impl Stream {
    /// A stream to an address, if it is one: `rtmp(s)://host/[path/]application/key`.
    pub(super) fn new(url: &str, started: u64) -> Result<Self, Refused> {
        let refused = |why: &str| {
            // The real one shows the whole address, too.
            Refused::new("invalid_argument", &format!("invalid url: {url} ({why})"))
        };
        let rest = url
            .strip_prefix("rtmp://")
            .or_else(|| url.strip_prefix("rtmps://"))
            .ok_or_else(|| refused("invalid scheme"))?;
        if rest.matches('/').count() < 2 || rest.contains(char::is_whitespace) {
            let form = "rtmp urls must be of format rtmp(s)://{host}(/{path})/{app}/{stream_key}";
            return Err(refused(form));
        }
        if escapes_badly(url) {
            return Err(refused("invalid URL escape"));
        }
        Ok(Self {
            url: url.to_owned(),
            output: Uuid::new_v4().simple().to_string(),
            phase: StreamPhase::Active,
            error: String::new(),
            started,
            ended: 0,
        })
    }

    pub(super) fn finish(&mut self, phase: StreamPhase, error: &str, now: u64) {
        self.phase = phase;
        error.clone_into(&mut self.error);
        self.ended = now;
        if self.started == 0 {
            self.started = now;
        }
    }

    fn document(&self) -> Value {
        let status = match self.phase {
            StreamPhase::Active => "ACTIVE",
            StreamPhase::Finished => "FINISHED",
            StreamPhase::Failed => "FAILED",
        };
        json!({
            "url": redacted(&self.url),
            "started_at": self.started.to_string(),
            "ended_at": self.ended.to_string(),
            "duration": self.ended.saturating_sub(self.started).to_string(),
            "status": status,
            "error": self.error,
            "last_retry_at": "0",
            "retries": 0,
        })
    }
}

impl Egress {
    /// Begins to end: what it has is flushed until the next look.
    pub(super) fn end(&mut self, now: u64) {
        match self.phase {
            Phase::Starting => self.finish(Phase::Aborted, "", now),
            Phase::Active => {
                self.phase = Phase::Ending;
                self.updated = now;
            }
            Phase::Ending
            | Phase::Complete
            | Phase::Failed
            | Phase::Aborted
            | Phase::LimitReached => {}
        }
    }

    pub(super) fn finish(&mut self, phase: Phase, error: &str, now: u64) {
        self.phase = phase;
        error.clone_into(&mut self.error);
        self.updated = now;
        self.ended = now;
        for stream in &mut self.streams {
            if stream.phase == StreamPhase::Active {
                stream.finish(StreamPhase::Finished, "", now);
            }
        }
    }

    pub(super) fn running_streams(&self) -> impl Iterator<Item = &Stream> {
        let streams = self.streams.iter();
        streams.filter(|stream| stream.phase == StreamPhase::Active)
    }

    /// Looks at its media; says whether there is anything to tell.
    pub(super) async fn step(&mut self, media: &dyn Media, show: &str, publishing: bool) -> bool {
        let now = now_nanos();
        match self.phase {
            Phase::Starting if publishing => {
                self.phase = Phase::Active;
                self.started = now;
                self.updated = now;
                for stream in &mut self.streams {
                    stream.started = now;
                    if stream.phase == StreamPhase::Active {
                        media.connect(show, &stream.output, &stream.url).await;
                    }
                }
                true
            }
            Phase::Starting => {
                let waited = self.requested.elapsed().unwrap_or_default();
                let given_up = waited > PARTICIPANT_PATIENCE;
                if given_up {
                    let words = format!("participant {} not found", self.identity);
                    self.finish(Phase::Aborted, &words, now);
                }
                given_up
            }
            // The participant has left.
            Phase::Active if !publishing => {
                self.end(now);
                true
            }
            Phase::Active => self.look_at_streams(media, show, now).await,
            Phase::Ending => {
                self.disconnect(media, show).await;
                self.finish(Phase::Complete, "", now);
                true
            }
            Phase::Complete | Phase::Failed | Phase::Aborted | Phase::LimitReached => false,
        }
    }

    /// A dead stream is given up; with the last one, all of it.
    async fn look_at_streams(&mut self, media: &dyn Media, show: &str, now: u64) -> bool {
        let mut words = None;
        for stream in &mut self.streams {
            if stream.phase == StreamPhase::Active
                && let OutputState::Failed(why) = media.state(show, &stream.output)
            {
                stream.finish(StreamPhase::Failed, &why, now);
                media.disconnect(show, &stream.output).await;
                words = Some(why);
            }
        }
        let Some(words) = words else { return false };
        self.updated = now;
        if self.running_streams().next().is_none() {
            self.finish(Phase::Failed, &words, now);
        }
        true
    }

    pub(super) async fn disconnect(&self, media: &dyn Media, show: &str) {
        for stream in &self.streams {
            media.disconnect(show, &stream.output).await;
        }
    }

    pub(super) fn document(&self) -> Value {
        let streams: Vec<Value> = self.streams.iter().map(Stream::document).collect();
        json!({
            "egress_id": self.id,
            "room_id": self.room_id,
            "room_name": self.room,
            "source_type": "EGRESS_SOURCE_TYPE_SDK",
            "status": self.phase.word(),
            "started_at": self.started.to_string(),
            "ended_at": self.ended.to_string(),
            "updated_at": self.updated.to_string(),
            "participant": { "room_name": self.room, "identity": self.identity },
            "stream_results": streams,
            "file_results": [],
            "segment_results": [],
            "image_results": [],
            "error": self.error,
            "error_code": 0,
            "details": "",
            "manifest_location": "",
            "backup_storage_used": false,
            "retry_count": 0,
        })
    }
}

/// As Go's `url.Parse` sees it.
fn escapes_badly(url: &str) -> bool {
    let mut rest = url;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.bytes().take(2).filter(u8::is_ascii_hexdigit).count();
        if digits < 2 {
            return true;
        }
        rest = after;
    }
    false
}

/// `utils.RedactStreamKey`: of what follows the last `/`, up to three first and last characters.
fn redacted(url: &str) -> String {
    let (path, key) = url.rsplit_once('/').unwrap_or(("", url));
    for shown in [3, 2, 1] {
        if key.len() >= shown * 3 {
            let first = String::from_utf8_lossy(&key.as_bytes()[..shown]).into_owned();
            let last = String::from_utf8_lossy(&key.as_bytes()[key.len() - shown..]).into_owned();
            return format!("{path}/{{{first}...{last}}}");
        }
    }
    format!("{path}/{{...}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_and_shown_as_the_real_one_does() {
        for (url, shown) in [
            (
                "rtmps://localhost:1935/live/streamkey",
                "rtmps://localhost:1935/live/{str...key}",
            ),
            ("rtmp://h/a/b/c?d=e", "rtmp://h/a/b/{c...e}"),
        ] {
            let stream = Stream::new(url, 0).unwrap();
            assert_eq!(stream.document()["url"], shown);
        }
        for url in [
            "srt://h/a/b",
            "rtmp://h/a",
            "rtmp://h/a/b%",
            "rtmp://h/a/b c",
        ] {
            assert_eq!(Stream::new(url, 0).unwrap_err().code, "invalid_argument");
        }
    }
}
