//! Several people in a room, each in a browser's page of their own, with the clients that the dialects' frontends use.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Browser, Namespace, eventually};

/// Background colours by which a picture tells whose it is, as red, green and blue: dark, so that a flash stands out.
pub const COLOURS: [[u8; 3]; 4] = [[16, 20, 24], [140, 0, 0], [0, 0, 180], [0, 110, 0]];

/// The colour of a shared screen.
pub const SCREEN: [u8; 3] = [0, 120, 120];

/// How far a colour may be from what was sent: encoders are coarse.
const COLOUR_TOLERANCE: u8 = 40;

/// How long somebody may take to see what is awaited, on a machine that is busy.
const SIGHT_LIMIT: Duration = Duration::from_secs(90);

/// One browser with a page for each participant. Dropping it ends it, without a good-bye.
#[derive(Debug)]
pub struct Rooms {
    browser: Browser,
    url: String,
}

/// What one participant sees or hears of one track.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sight {
    /// The consumer's name.
    pub id: String,
    /// The producer's name.
    pub producer: String,
    /// Whose it is, where the dialect tells.
    pub participant: Option<String>,
    /// `audio` or `video`.
    pub kind: String,
    /// Such as `video/H264`; none until something has come.
    pub codec: Option<String>,
    /// Milliseconds from the beginning of joining to the first decoded picture.
    pub first_frame_ms: Option<f64>,
    /// Red, green and blue of the picture's middle.
    pub colour: Option<[u8; 3]>,
    /// Pictures decoded.
    pub frames_decoded: u64,
    /// Of these, keyframes.
    pub key_frames_decoded: u64,
    /// Width of the latest picture.
    pub frame_width: u32,
    /// Its height.
    pub frame_height: u32,
    /// How often the picture froze.
    pub freeze_count: u64,
    /// Packets that came.
    pub packets_received: u64,
    /// Packets that did not.
    pub packets_lost: i64,
    /// Keyframes that this browser has asked for.
    pub pli_count: u64,
    /// What was heard, in the unit of `RTCInboundRtpStreamStats.totalAudioEnergy`.
    pub total_audio_energy: f64,
}

impl Sight {
    /// Whether it is a picture with this background.
    pub fn shows(&self, colour: [u8; 3]) -> bool {
        self.colour.is_some_and(|seen| {
            seen.iter()
                .zip(colour)
                .all(|(seen, sent)| seen.abs_diff(sent) <= COLOUR_TOLERANCE)
        })
    }
}

impl Rooms {
    /// Starts the browser, for rooms of the gateway at `url`; within a network of its own, if one is given.
    pub async fn open(url: &str, namespace: Option<&Namespace>) -> Result<Self> {
        Ok(Self {
            browser: Browser::take_part(namespace).await?,
            url: url.to_owned(),
        })
    }

    /// Has a page do something, which must succeed; what there is, `tests/browser/rooms.mjs` tells.
    pub async fn tell(&mut self, page: &str, verb: &str, options: Value) -> Result<Value> {
        let command = json!({ "page": page, "verb": verb, "options": options });
        let done = self.browser.command(&command.to_string()).await;
        done.with_context(|| format!("{page}: {verb}"))
    }

    /// Opens a page for somebody, with the `newest` or the `old` clients.
    pub async fn page(&mut self, name: &str, clients: &str) -> Result<()> {
        let opened = self.tell(name, "open", json!({ "clients": clients }));
        opened.await.map(drop)
    }

    /// Has somebody with an open page come into a room. `more` goes to the page's participant: `token`, `user`, `camera`.
    pub async fn join(
        &mut self,
        name: &str,
        dialect: &str,
        room: &str,
        mut more: Value,
    ) -> Result<()> {
        more["dialect"] = dialect.into();
        more["url"] = self.url.clone().into();
        more["room"] = room.into();
        more["name"] = name.into();
        self.tell(name, "join", more).await.map(drop)
    }

    /// Has somebody send camera and microphone; tells the producers' names by `video` and `audio`.
    pub async fn publish(&mut self, name: &str, options: Value) -> Result<Value> {
        self.tell(name, "publish", options).await
    }

    /// What somebody sees and hears now.
    pub async fn seen(&mut self, name: &str) -> Result<Vec<Sight>> {
        let seen = self.tell(name, "seen", json!({})).await?;
        serde_json::from_value(seen.clone()).with_context(|| format!("{name} sees: {seen}"))
    }

    /// Waits until what somebody sees is as `wanted` says.
    pub async fn seen_until(
        &mut self,
        name: &str,
        what: &str,
        mut wanted: impl FnMut(&[Sight]) -> bool,
    ) -> Result<Vec<Sight>> {
        let mut last = Vec::new();
        let found = eventually(what, SIGHT_LIMIT, async || {
            last = self.seen(name).await?;
            Ok(wanted(&last).then_some(()))
        })
        .await;
        if let Err(error) = found {
            let troubles = self.tell(name, "troubles", json!({})).await?;
            return Err(error.context(format!("{name} sees {last:#?} with {troubles}")));
        }
        Ok(last)
    }

    /// Waits until somebody has decoded so many more pictures of each of these colours, and heard more of as many others.
    pub async fn watches(
        &mut self,
        name: &str,
        colours: &[[u8; 3]],
        pictures: u64,
    ) -> Result<Vec<Sight>> {
        let mut before: Option<Vec<Sight>> = None;
        let what = format!("{name} sees {colours:?} go on");
        self.seen_until(name, &what, |seen| {
            let shown = |sight: &&Sight| sight.kind == "video";
            let complete = colours
                .iter()
                .all(|colour| seen.iter().filter(shown).any(|sight| sight.shows(*colour)));
            let Some(before) = &before else {
                if complete {
                    before = Some(seen.to_vec());
                }
                return false;
            };
            colours.iter().all(|colour| {
                seen.iter().filter(shown).any(|sight| {
                    let then = before.iter().find(|then| then.id == sight.id);
                    let decoded = then.map_or(0, |then| then.frames_decoded);
                    sight.shows(*colour) && sight.frames_decoded >= decoded + pictures
                })
            })
        })
        .await
    }

    /// Waits until somebody has heard more of so many others.
    pub async fn hears(&mut self, name: &str, others: usize) -> Result<()> {
        let mut before: Option<Vec<Sight>> = None;
        let what = format!("{name} hears {others}");
        self.seen_until(name, &what, |seen| {
            let heard = |sight: &&Sight| sight.kind == "audio" && sight.total_audio_energy > 0.0;
            let Some(before) = &before else {
                if seen.iter().filter(heard).count() >= others {
                    before = Some(seen.to_vec());
                }
                return false;
            };
            let more = seen.iter().filter(heard).filter(|sight| {
                before.iter().any(|then| {
                    then.id == sight.id && sight.total_audio_energy > then.total_audio_energy
                })
            });
            more.count() >= others
        })
        .await
        .map(drop)
    }

    /// Events of this name that somebody was sent so far: their first argument.
    pub async fn events(&mut self, name: &str, event: &str) -> Result<Vec<Value>> {
        let journal = self.tell(name, "journal", json!({})).await?;
        let entries = journal.as_array().context("journal")?;
        let wanted = entries.iter().filter(|entry| entry["name"] == event);
        Ok(wanted.map(|entry| entry["content"][0].clone()).collect())
    }

    /// Waits for an event of this name that is as `wanted` says.
    pub async fn event(
        &mut self,
        name: &str,
        event: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Vec::new();
        let found = eventually(
            &format!("{name} is told {event}"),
            SIGHT_LIMIT,
            async || {
                last = self.events(name, event).await?;
                Ok(last.iter().find(|content| wanted(content)).cloned())
            },
        )
        .await;
        found.with_context(|| format!("{name} was told {last:?}"))
    }

    /// Fails if a page of somebody had trouble that nobody awaited.
    pub async fn check_untroubled(&mut self, name: &str) -> Result<()> {
        for verb in ["troubles", "errors"] {
            let found = self.tell(name, verb, json!({})).await?;
            ensure!(found == json!([]), "{name}: {found}");
        }
        Ok(())
    }

    /// Closes the browser.
    pub async fn quit(self) -> Result<()> {
        self.browser.quit().await
    }
}
