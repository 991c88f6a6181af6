//! Keeps a child alive: starts it, feeds it, reads what it answers, and starts another when it dies or falls silent.

use std::{
    collections::VecDeque,
    io,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use broadcast::Rendition;
use media::{CodecConfig, VideoCodec};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdout},
    sync::mpsc,
    time::{sleep, sleep_until},
};

use super::{
    Ffmpeg,
    command::{self, Task},
    complaints::{Complaint, Listener},
    flv::FlvReader,
    link::Link,
    session::{Session, Spoiled},
    watch::{Deaths, Silence},
};
use crate::engine::{EnginePicture, EngineState, SourcePicture};

/// How often it is asked whether a child listens.
const PROBE_PERIOD: Duration = Duration::from_millis(5);

/// How often a child that listens gets a sender report.
const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// The least time between two wishes for keyframes that a child's complaints raise.
const WISH_PERIOD: Duration = Duration::from_secs(1);

/// Where children run. They can write nothing there, or anywhere.
const FOLDER: &str = "/";

/// The most pictures that wait for a child that does not listen yet.
const BACKLOG_LIMIT: usize = 64;

/// The most bytes of them.
const BACKLOG_LIMIT_BYTES: usize = 8 * 1024 * 1024;

/// A picture on its way in, and which one of the engine's it is.
pub(super) struct Handed {
    pub(super) number: u64,
    pub(super) picture: SourcePicture,
    /// What is made of it is a keyframe, if it is made anew.
    pub(super) begins: bool,
}

/// What an engine hands over.
pub(super) enum Next {
    Picture(Handed),
    /// No more of them.
    End,
}

/// What an engine hears.
pub(super) enum Heard {
    /// A picture is ready; the number of the one that it was made of.
    Picture(u64, EnginePicture),
    /// A keyframe is needed.
    WishKeyframe,
    /// It is different now.
    State(EngineState),
}

/// What all children of an engine are to do.
pub(super) struct Order {
    pub(super) ffmpeg: Ffmpeg,
    pub(super) codec: VideoCodec,
    /// `None`: copy.
    pub(super) canvas: Option<Rendition>,
}

/// Where to an engine's children speak.
pub(super) struct Outlet {
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) waker: Waker,
    /// Which process serves; 0: none.
    pub(super) process: Arc<AtomicU32>,
}

impl Outlet {
    /// Fails when the engine does not listen fast enough.
    pub(super) fn tell(&self, heard: Heard) -> Result<(), Spoiled> {
        let told = self.heard.try_send(heard);
        self.waker.wake_by_ref();
        told.map_err(|_| Spoiled)
    }
}

/// Pictures that wait for a child, from a keyframe on. When there are too many, those before the latest keyframe are lost.
#[derive(Default)]
struct Backlog {
    pictures: VecDeque<Handed>,
    bytes: usize,
    /// Whether the next one goes on from what the child was given last.
    continues: bool,
}

impl Backlog {
    fn push(&mut self, handed: Handed) {
        if self.pictures.is_empty() && !self.continues && !handed.picture.keyframe {
            return;
        }
        self.bytes += handed.picture.data.len();
        self.pictures.push_back(handed);
        if self.pictures.len() > BACKLOG_LIMIT || self.bytes > BACKLOG_LIMIT_BYTES {
            let latest = self
                .pictures
                .iter()
                .rposition(|handed| handed.picture.keyframe);
            match latest.filter(|&place| place > 0) {
                None => self.pictures.clear(),
                Some(place) => drop(self.pictures.drain(..place)),
            }
            let kept = self.pictures.iter();
            self.bytes = kept.map(|handed| handed.picture.data.len()).sum();
        }
    }

    fn take(&mut self) -> VecDeque<Handed> {
        self.continues |= !self.pictures.is_empty();
        self.bytes = 0;
        std::mem::take(&mut self.pictures)
    }
}

/// How a child's life ended.
enum Ended {
    /// Nobody needs it any more.
    Unneeded,
    /// It died, hung, or spoke nonsense; whether it had worked, and why in words.
    Died(bool, &'static str),
}

/// Serves an engine until it is gone.
pub(super) async fn serve(order: Order, mut handed: mpsc::Receiver<Next>, outlet: Outlet) {
    let mut deaths = Deaths::default();
    let mut backlog = Backlog::default();
    let mut listener = Listener::new(order.ffmpeg.complaints().clone());
    while backlog.pictures.is_empty() {
        match handed.recv().await {
            Some(Next::Picture(first)) => backlog.push(first),
            Some(Next::End) => {}
            None => return,
        }
    }
    let mut config = backlog.pictures[0].picture.config.clone();
    loop {
        let started = Life::start(&order, config.as_deref()).await;
        let ended = match started {
            Ok(life) => {
                let process = life.child.id().unwrap_or_default();
                outlet.process.store(process, Ordering::Relaxed);
                life.live(
                    &mut handed,
                    &mut backlog,
                    &mut config,
                    &outlet,
                    &mut listener,
                )
                .await
            }
            Err(error) => {
                tracing::warn!(%error, fault = "gateway", "ffmpeg could not be started");
                Ended::Died(false, "it could not be started")
            }
        };
        outlet.process.store(0, Ordering::Relaxed);
        let Ended::Died(worked, why) = ended else {
            return;
        };
        let (in_a_row, pause) = deaths.handle_death(worked);
        tracing::warn!(
            why,
            in_a_row,
            ?pause,
            fault = "gateway",
            "ffmpeg was lost; another is started"
        );
        backlog = Backlog::default();
        // An engine that is too slow to hear of it hears of it by what comes next.
        let _ = outlet.tell(Heard::State(EngineState::Failing(in_a_row)));
        let _ = outlet.tell(Heard::WishKeyframe);
        let over = tokio::time::Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(over) => break,
                next = handed.recv() => match next {
                    Some(Next::Picture(next)) => backlog.push(next),
                    Some(Next::End) => {}
                    None => return,
                },
            }
        }
    }
}

/// One child. Dropping it kills it.
struct Life {
    child: Child,
    output: ChildStdout,
    errors: ChildStderr,
    link: Link,
    session: Session,
    silence: Silence,
    latest_wish: Option<Instant>,
}

impl Life {
    async fn start(order: &Order, config: Option<&CodecConfig>) -> io::Result<Self> {
        let link = Link::open()?;
        let task = order.canvas.map_or(Task::Copy, Task::Encode);
        let session = Session::new(order.codec, task)
            .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        let mut command = command::command(order.ffmpeg.program(), FOLDER.as_ref());
        command
            .args(command::arguments(task, order.ffmpeg.version()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut input), Some(output), Some(errors)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let description = command::session(order.codec, config, link.port());
        // It is shorter than what a pipe holds, so nobody is waited for. Dropping the pipe closes it.
        input.write_all(description.as_bytes()).await?;
        drop(input);
        let now = tokio::time::Instant::now().into_std();
        Ok(Self {
            child,
            output,
            errors,
            link,
            session,
            silence: Silence::new(now),
            latest_wish: None,
        })
    }

    async fn live(
        mut self,
        handed: &mut mpsc::Receiver<Next>,
        backlog: &mut Backlog,
        config: &mut Option<Arc<CodecConfig>>,
        outlet: &Outlet,
        listener: &mut Listener,
    ) -> Ended {
        let mut reader = FlvReader::default();
        let mut errors = vec![0; 4096];
        let (mut is_heard, mut has_errors) = (false, true);
        self.link.report(&self.session.report());
        let mut tick = tokio::time::Instant::now() + PROBE_PERIOD;
        loop {
            let died = |life: &Self, why| Ended::Died(life.silence.has_spoken(), why);
            let deadline = self.silence.deadline();
            reader.buffer().reserve(READ_BYTES);
            // Each of these leaves everything as it was when another is first.
            tokio::select! {
                next = handed.recv() => match next {
                    None => return Ended::Unneeded,
                    Some(Next::Picture(next)) => {
                        if next.picture.config.is_some() {
                            config.clone_from(&next.picture.config);
                        }
                        backlog.push(next);
                    }
                    // What waits for it is more than one picture late, and is not waited for.
                    Some(Next::End) if !is_heard => {}
                    Some(Next::End) => self.session.end(&self.link),
                },
                read = self.output.read_buf(reader.buffer()) => {
                    if !read.is_ok_and(|bytes| bytes > 0) {
                        return died(&self, "it ended");
                    }
                    if let Err(why) = self.hear(&mut reader, outlet) {
                        return died(&self, why);
                    }
                }
                read = self.errors.read(&mut errors), if has_errors => match read {
                    Ok(bytes) if bytes > 0 => self.listen(&errors[..bytes], listener, outlet),
                    Ok(_) | Err(_) => has_errors = false,
                },
                () = sleep_until(tick) => {
                    if !is_heard && !self.link.take_refusal() {
                        is_heard = true;
                        if backlog.pictures.is_empty() {
                            self.wish(outlet);
                        }
                    }
                    self.link.report(&self.session.report());
                    let period = if is_heard { REPORT_PERIOD } else { PROBE_PERIOD };
                    tick = tokio::time::Instant::now() + period;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {
                    return died(&self, "it was silent");
                }
            }
            if is_heard && self.feed(backlog).await.is_err() {
                return died(&self, "it kept too many pictures");
            }
        }
    }

    /// Hands over what waits.
    async fn feed(&mut self, backlog: &mut Backlog) -> Result<(), Spoiled> {
        for handed in backlog.take() {
            let now = tokio::time::Instant::now().into_std();
            self.silence.handle_picture(now);
            self.session.send(handed, &self.link).await?;
        }
        Ok(())
    }

    /// Takes what the child made.
    fn hear(&mut self, reader: &mut FlvReader, outlet: &Outlet) -> Result<(), &'static str> {
        loop {
            let video = reader.poll().map_err(|error| {
                tracing::debug!(%error, "ffmpeg wrote no FLV");
                "it spoke nonsense"
            })?;
            let Some(video) = video else { return Ok(()) };
            let answer = self.session.take(video)?;
            if let Some((number, picture)) = answer.picture {
                let is_first = !self.silence.has_spoken();
                self.silence.handle_answer();
                if is_first {
                    let _ = outlet.tell(Heard::State(EngineState::Running));
                }
                if outlet.tell(Heard::Picture(number, picture)).is_err() {
                    self.session.require_keyframe();
                    self.wish(outlet);
                }
            }
            if answer.wishes_keyframe {
                self.wish(outlet);
            }
        }
    }

    fn listen(&mut self, bytes: &[u8], listener: &mut Listener, outlet: &Outlet) {
        let now = tokio::time::Instant::now().into_std();
        let mut hurts = false;
        listener.handle_bytes(bytes, now, |complaint, remark| {
            hurts |= matches!(
                complaint,
                Complaint::MissingParameters | Complaint::Loss | Complaint::Decoding
            );
            if let Some(remark) = remark {
                let (class, unsaid) = (remark.complaint.as_str(), remark.unsaid);
                tracing::warn!(class, unsaid, fault = "gateway", "ffmpeg: {remark}");
            }
        });
        if hurts {
            self.wish(outlet);
        }
    }

    fn wish(&mut self, outlet: &Outlet) {
        let now = tokio::time::Instant::now().into_std();
        if self
            .latest_wish
            .is_none_or(|latest| now >= latest + WISH_PERIOD)
        {
            self.latest_wish = Some(now);
            let _ = outlet.tell(Heard::WishKeyframe);
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
    }
}

/// Between bursts of a large picture, so that the child's socket does not overflow.
pub(super) async fn breathe() {
    sleep(Duration::from_millis(1)).await;
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn handed(number: u64, keyframe: bool, bytes: usize) -> Handed {
        let picture = SourcePicture {
            codec: VideoCodec::Vp8,
            timestamp: Duration::from_millis(number),
            keyframe,
            config: None,
            size: (320, 180),
            data: Bytes::from(vec![0; bytes]),
            arrival: Instant::now(),
        };
        Handed {
            number,
            picture,
            begins: false,
        }
    }

    fn numbers(backlog: &Backlog) -> (Option<u64>, Option<u64>) {
        let pictures = &backlog.pictures;
        let number = |handed: &Handed| handed.number;
        (pictures.front().map(number), pictures.back().map(number))
    }

    #[test]
    fn what_waits_begins_with_a_keyframe_and_has_a_bound() {
        let mut backlog = Backlog::default();

        backlog.push(handed(0, false, 1));
        assert_eq!(numbers(&backlog), (None, None));
        for number in 1..=BACKLOG_LIMIT as u64 {
            backlog.push(handed(number, number == 1 || number == 30, 1));
        }
        assert_eq!(numbers(&backlog), (Some(1), Some(64)));
        backlog.push(handed(65, false, 1));
        assert_eq!(numbers(&backlog), (Some(30), Some(65)));
        assert_eq!(backlog.bytes, 36);
    }

    #[test]
    fn what_comes_after_pictures_that_were_taken_need_not_be_a_keyframe() {
        let mut backlog = Backlog::default();
        backlog.push(handed(0, true, 1));

        assert_eq!(backlog.take().len(), 1);
        backlog.push(handed(1, false, 1));

        assert_eq!(backlog.take().len(), 1);
    }

    #[test]
    fn pictures_too_large_to_wait_are_lost() {
        let mut backlog = Backlog::default();

        backlog.push(handed(0, true, BACKLOG_LIMIT_BYTES));
        assert_eq!(numbers(&backlog), (Some(0), Some(0)));
        backlog.push(handed(1, false, 1));

        assert_eq!(numbers(&backlog), (None, None));
        assert_eq!(backlog.bytes, 0);
    }
}
