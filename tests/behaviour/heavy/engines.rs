//! Engines that die, hang, are fed garbage or are exchanged, while other broadcasts go on.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{ChildProcess, Gateway, Nginx, Recording, Shown, Studio, eventually};

use super::{LIVE_LIMIT, SETTLING, WATCH_LIMIT, destination};

/// Broadcasts beside the one that is harmed.
const OTHERS: usize = 9;

/// Small pictures: ten broadcasts share two cores with everything that watches them.
const SMALL: [&str; 8] = [
    "--width",
    "320",
    "--height",
    "180",
    "--video-kbps",
    "300",
    "--fps",
    "30",
];

/// What viewers may see of an engine's death: two seconds until the slate, and two of the slate. A machine that is busy takes
/// longer to start another.
const STANDSTILL_LIMIT: Duration = REPLACEMENT_LIMIT;

/// What viewers may see of one that is exchanged: less than a second, but for what a studio on a machine that is busy is late
/// with.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(4);

/// How far a picture may be presented from where its number says, in a broadcast that nothing happens to.
const UNEVENNESS_LIMIT: Duration = Duration::from_millis(60);

/// A dead engine is replaced and brings pictures forth, on a machine that is busy.
const REPLACEMENT_LIMIT: Duration = Duration::from_mins(1);

/// Nine broadcasts that are passed through, and a studio of all of them.
struct Others {
    nginx: Nginx,
    studio: Studio,
}

impl Others {
    async fn start(gateway: &Gateway) -> Result<Self> {
        let nginx = Nginx::start().await?;
        for number in 1..=OTHERS {
            let key = format!("calm-{number}");
            let one = destination("one", nginx.address(), &key);
            gateway.create(&key, json!([one])).await?;
        }
        let sessions = OTHERS.to_string();
        let arguments = [&SMALL[..], &["--sessions", &sessions]].concat();
        let url = gateway.url("/whip/calm-{n}");
        let studio = Studio::publish_with(&url, 600, &arguments).await?;
        for number in 1..=OTHERS {
            gateway
                .destination_until(&format!("calm-{number}"), "one", "live", LIVE_LIMIT)
                .await?;
        }
        Ok(Self { nginx, studio })
    }

    /// Every picture that one of them has, all have between their first and their last; none was late.
    async fn check_unharmed(self, gateway: &Gateway) -> Result<()> {
        let mut numbers = Vec::new();
        for number in 1..=OTHERS {
            let broadcast = format!("calm-{number}");
            let now = gateway.broadcast(&broadcast).await?;
            ensure!(now["destinations"][0]["reconnects"] == 0, "{now}");
            gateway
                .delete(&format!("/api/v1/broadcasts/{broadcast}"))
                .await?;
            let path = self.nginx.finished_recording(&broadcast).await?;
            let recording = Recording::analyse(&path).await?;
            ensure!(
                recording.decode_errors.is_empty(),
                "{broadcast}: {:#?}",
                recording.decode_errors
            );
            let spans = recording.spans();
            // Their studio may freeze for itself, on a machine that is busy: that is seen in its numbers, which all have.
            ensure!(
                spans.iter().all(|span| span.shown != Shown::Slate),
                "{broadcast}: {spans:?}"
            );
            let (unevenness, at) = recording.worst_unevenness(super::FRAMES_PER_SECOND, SETTLING);
            ensure!(
                unevenness <= UNEVENNESS_LIMIT,
                "{broadcast}: a picture is {unevenness:?} from where it belongs at {at:?}"
            );
            numbers.push(recording.counters());
        }
        self.studio.vanish().await?;
        let all: BTreeSet<u16> = numbers.iter().flatten().copied().collect();
        for (index, own) in numbers.iter().enumerate() {
            let (Some(&first), Some(&last)) = (own.first(), own.last()) else {
                anyhow::bail!("calm-{} is empty", index + 1);
            };
            let missing: Vec<_> = all
                .range(first..=last)
                .filter(|n| !own.contains(n))
                .collect();
            ensure!(missing.is_empty(), "calm-{} lost {missing:?}", index + 1);
        }
        Ok(())
    }
}

/// How long each studio before the last one publishes.
const DAMAGE_SECONDS: u32 = 6;

/// The number that a studio of so many seconds shows at least, on a machine that is busy: half of what it makes.
const SEEN_OF_THEM: u16 = 90;

/// What is seen first of a studio has a lower number.
const BEGINNING: u16 = 45;

/// A number that falls further is another studio's.
const OUT_OF_ORDER: u16 = 30;

/// Of the 150 pictures that are waited for, those that are new on a machine that is busy.
const SEEN_AT_THE_END: usize = 30;

async fn gateway() -> Result<Gateway> {
    Gateway::start(&[("MAX_BROADCASTS", "20")]).await
}

/// Creates the broadcast that things happen to.
async fn create(gateway: &Gateway, nginx: &Nginx, method: &str, mode: &str) -> Result<()> {
    let body = json!({
        "id": "show",
        "method": method,
        "video": { "mode": mode },
        "destinations": [destination("one", nginx.address(), "show")],
    });
    let answer = gateway.post("/api/v1/broadcasts", &body).await?;
    ensure!(
        answer.status == StatusCode::CREATED,
        "{}: {}",
        answer.status,
        answer.body
    );
    Ok(())
}

async fn live(gateway: &Gateway) -> Result<Value> {
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await
}

/// The engines among the gateway's children: itself with another task, or `ffmpeg`.
fn engines(gateway: &Gateway, method: &str) -> Result<Vec<ChildProcess>> {
    let word = if method == "ffmpeg" {
        "ffmpeg"
    } else {
        "transcode"
    };
    let mut children = gateway.process.children()?;
    children.retain(|child| child.command.split(' ').any(|each| each.ends_with(word)));
    Ok(children)
}

/// How long the same picture was seen, or none of the studio's, at worst and when that began.
fn longest_standstill(recording: &Recording) -> (Duration, Duration) {
    let mut frames: Vec<_> = recording
        .video
        .frames
        .iter()
        .filter(|frame| frame.counter.is_some())
        .collect();
    frames.dedup_by_key(|frame| frame.counter);
    frames
        .windows(2)
        .map(|pair| (pair[1].at.saturating_sub(pair[0].at), pair[0].at))
        .max()
        .unwrap_or_default()
}

/// Whatever happened to the engine, the platform saw one stream of pictures and sound.
async fn unbroken(gateway: &Gateway, nginx: &Nginx) -> Result<Recording> {
    let one = live(gateway).await?;
    ensure!(one["reconnects"] == 0, "{one}");
    let recording = super::end_and_analyse(gateway, "show", nginx, "show").await?;
    ensure!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );
    recording.tags.as_ref().context("tags")?.check_order()?;
    let (gap, at) = recording.worst_audio_gap(SETTLING);
    ensure!(gap <= super::GAP_LIMIT, "no sound for {gap:?} at {at:?}");
    Ok(recording)
}

/// The pictures of the only studio there was went out in its order.
fn check_order(recording: &Recording) -> Result<()> {
    let cadence = recording.cadence();
    ensure!(
        cadence.out_of_order == 0 && cadence.studios == 1,
        "{cadence:?}"
    );
    Ok(())
}

/// Harms the engine of one broadcast beside nine others, and sees what comes of it.
async fn harm(method: &str, codec: &str, signal: Signal) -> Result<()> {
    let gateway = gateway().await?;
    let others = Others::start(&gateway).await?;
    let nginx = Nginx::start().await?;
    create(&gateway, &nginx, method, "transcode").await?;
    let arguments = [&SMALL[..], &["--codec", codec]].concat();
    let studio = Studio::publish_with(&gateway.url("/whip/show"), 600, &arguments).await?;
    live(&gateway).await?;
    super::watch(&gateway, 90).await?;

    // The one that works, and not one that is kept to take its place.
    let harmed = engines(&gateway, method)?
        .into_iter()
        .max_by_key(|engine| engine.processor_ticks().unwrap_or_default())
        .context("there is no engine")?;
    harmed.signal(signal)?;
    eventually("another engine is there", REPLACEMENT_LIMIT, async || {
        let now = engines(&gateway, method)?;
        Ok((!now.is_empty() && !now.contains(&harmed)).then_some(()))
    })
    .await?;
    super::watch(&gateway, 150).await?;

    let recording = unbroken(&gateway, &nginx).await?;
    studio.vanish().await?;
    check_order(&recording)?;
    let spans = recording.spans();
    let (standstill, at) = longest_standstill(&recording);
    tests::tell(format_args!("the picture stood still for {standstill:?}"));
    ensure!(
        standstill <= STANDSTILL_LIMIT,
        "the picture stood still for {standstill:?} at {at:?}: {spans:?}"
    );
    ensure!(
        spans.last().is_some_and(|span| span.shown == Shown::Studio),
        "{spans:?}"
    );
    others.check_unharmed(&gateway).await
}

#[tokio::test]
async fn a_killed_transcoder_costs_its_broadcast_seconds_and_nine_others_nothing() -> Result<()> {
    harm("gstreamer", "vp8", Signal::SIGKILL).await
}

#[tokio::test]
async fn a_transcoder_that_hangs_is_replaced_and_nine_others_notice_nothing() -> Result<()> {
    harm("gstreamer", "vp8", Signal::SIGSTOP).await
}

#[tokio::test]
async fn a_killed_ffmpeg_costs_its_broadcast_seconds_and_nine_others_nothing() -> Result<()> {
    harm("ffmpeg", "h264", Signal::SIGKILL).await
}

#[tokio::test]
async fn an_ffmpeg_that_hangs_is_replaced_and_nine_others_notice_nothing() -> Result<()> {
    harm("ffmpeg", "h264", Signal::SIGSTOP).await
}

#[tokio::test]
async fn garbage_for_the_engine_stays_with_its_broadcast_and_a_good_studio_is_seen_again()
-> Result<()> {
    let gateway = gateway().await?;
    let others = Others::start(&gateway).await?;
    let nginx = Nginx::start().await?;
    create(&gateway, &nginx, "gstreamer", "transcode").await?;
    let url = gateway.url("/whip/show");
    let good = [&SMALL[..], &["--codec", "vp8"]].concat();
    let studio = Studio::publish_with(&url, DAMAGE_SECONDS, &good).await?;
    live(&gateway).await?;
    studio.finish().await?;
    for codec in ["vp9", "h264", "vp8"] {
        let bad = [&SMALL[..], &["--codec", codec, "--damage", "40"]].concat();
        let broken = Studio::publish_with(&url, DAMAGE_SECONDS, &bad).await?;
        broken.finish().await?;
    }
    // What is seen as the studio from here on is the good one.
    let showing = async |what: &str| {
        let shown =
            gateway.broadcast_until("show", what, WATCH_LIMIT, |now| now["showing"] == what);
        shown.await.map(drop)
    };
    showing("slate").await?;
    let studio = Studio::publish_with(&url, 600, &good).await?;
    showing("studio").await?;
    super::watch(&gateway, 150).await?;

    let recording = unbroken(&gateway, &nginx).await?;
    studio.vanish().await?;
    check_good_studios(&recording)?;
    let said = gateway.process.output()?;
    ensure!(!said.contains("panicked"), "it panicked");
    others.check_unharmed(&gateway).await
}

/// The studio before the broken ones and the one after them are seen, in order.
///
/// Of the broken ones anything may be seen, but for what [`unbroken`] looks at. They may be seen so little that their numbers
/// do not tell when the next one begins.
fn check_good_studios(recording: &Recording) -> Result<()> {
    let rises = recording.rises();
    let (Some(first), Some(last)) = (rises.first(), rises.last()) else {
        anyhow::bail!("no studio is seen");
    };
    ensure!(first.to >= SEEN_OF_THEM, "{rises:?}");
    let before = rises.iter().rev().nth(1).map_or(0, |before| before.to);
    ensure!(
        last.from <= BEGINNING || before.saturating_sub(last.from) > OUT_OF_ORDER,
        "a picture is out of order: {rises:?}"
    );
    ensure!(last.pictures >= SEEN_AT_THE_END, "{rises:?}");
    ensure!(
        recording
            .spans()
            .last()
            .is_some_and(|span| span.shown == Shown::Studio),
        "{:?}",
        recording.spans()
    );
    Ok(())
}

/// Exchanges the engine three times in one recording.
async fn exchange(mode: &str) -> Result<()> {
    let gateway = gateway().await?;
    let nginx = Nginx::start().await?;
    create(&gateway, &nginx, "gstreamer", mode).await?;
    let studio = Studio::publish_with(&gateway.url("/whip/show"), 600, &SMALL).await?;
    live(&gateway).await?;
    super::watch(&gateway, 90).await?;

    for method in ["ffmpeg", "gstreamer", "ffmpeg"] {
        let answer = gateway
            .patch("/api/v1/broadcasts/show", &json!({ "method": method }))
            .await?;
        ensure!(answer.status.is_success(), "{}", answer.body);
        gateway
            .broadcast_until("show", "the method is changed", WATCH_LIMIT, |broadcast| {
                broadcast["method"] == method
            })
            .await?;
        let works = method == "ffmpeg";
        eventually("the engines are exchanged", REPLACEMENT_LIMIT, async || {
            let is_there = !engines(&gateway, "ffmpeg")?.is_empty();
            Ok((is_there == works).then_some(()))
        })
        .await?;
        super::watch(&gateway, 90).await?;
    }

    let recording = unbroken(&gateway, &nginx).await?;
    studio.vanish().await?;
    check_order(&recording)?;
    let (standstill, at) = longest_standstill(&recording);
    tests::tell(format_args!("the picture stood still for {standstill:?}"));
    ensure!(
        standstill <= EXCHANGE_LIMIT,
        "the picture stood still for {standstill:?} at {at:?}: {:?}",
        recording.spans()
    );
    let interval = recording.longest_keyframe_interval();
    ensure!(
        interval <= super::KEYFRAME_LIMIT,
        "no keyframe for {interval:?}; they are at {:?}",
        recording.keyframes()
    );
    recording.check_usual_synchrony(super::SYNCHRONY_LIMIT, SETTLING)
}

#[tokio::test]
async fn the_method_is_exchanged_three_times_in_one_recording_of_h264_as_it_is() -> Result<()> {
    exchange("auto").await
}

#[tokio::test]
async fn the_method_is_exchanged_three_times_in_one_recording_of_pictures_made_anew() -> Result<()>
{
    exchange("transcode").await
}
