//! What is done to one destination: what it gets itself, and that the others get all and evenly.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use pipelines::rtmp::receiver::{Behaviour, Behaviours, Receiver, ReceiverOptions};
use serde_json::{Value, json};
use tests::{
    Gateway, Namespace, Nginx, NodeMediaServer, Recording, Shown, Studio, TcpCondition, TcpWeather,
    destination_of, eventually,
};

use super::{FRAMES_PER_SECOND, LIVE_LIMIT, SETTLING, destination, error_code, watch};

/// How far pictures may be from where their numbers say, in a destination that nothing is done to.
const UNEVENNESS_LIMIT: Duration = Duration::from_millis(50);

/// The first try comes within a second; the rest is for a machine that is busy.
const FIRST_TRY_LIMIT: Duration = Duration::from_secs(30);

/// A stall is found after 15 s without progress; the rest is for a machine that is busy.
const STALL_LIMIT: Duration = Duration::from_mins(1);

/// From another connection to media, when it is not the first try that succeeds.
const RETRY_LIMIT: Duration = Duration::from_secs(90);

/// At one and a half times the speed, what was missed takes twice as long.
const CATCH_UP_LIMIT: Duration = Duration::from_mins(2);

const DESTINATIONS: &str = "/api/v1/broadcasts/show/destinations";

/// Everything arrived, and each picture where it belongs.
fn check_untouched(recording: &Recording) -> Result<()> {
    ensure!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );
    let (unevenness, at) = recording.worst_unevenness(FRAMES_PER_SECOND, SETTLING);
    ensure!(
        unevenness <= UNEVENNESS_LIMIT,
        "a picture is {unevenness:?} from where it belongs at {at:?}"
    );
    // A studio on a machine that is busy may freeze for itself.
    let spans = recording.spans();
    ensure!(
        spans.iter().all(|span| span.shown != Shown::Slate),
        "{spans:?}"
    );
    let cadence = recording.cadence();
    ensure!(
        cadence.out_of_order == 0 && cadence.studios == 1,
        "{cadence:?}"
    );
    recording.tags.as_ref().context("tags")?.check_order()
}

/// A destination through a proxy.
fn through(weather: &TcpWeather, id: &str) -> Value {
    destination(id, weather.address(), id)
}

async fn live(gateway: &Gateway, id: &str, limit: Duration) -> Result<Value> {
    gateway.destination_until("show", id, "live", limit).await
}

/// Waits for the next connection through a proxy.
async fn next_try(weather: &TcpWeather, before: usize) -> Result<()> {
    eventually("another try", FIRST_TRY_LIMIT, async || {
        Ok((weather.connections().len() > before).then_some(()))
    })
    .await
}

#[tokio::test]
async fn cuts_resets_and_a_black_hole_touch_nobody_else() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let namespace = Namespace::create().await?;
    let swallowed = Nginx::start_within(&namespace).await?;
    let (cut, reset) = (
        TcpWeather::before(nginx.address())?,
        TcpWeather::before(nginx.address())?,
    );
    gateway
        .create(
            "show",
            json!([
                destination("good", nginx.address(), "good"),
                through(&cut, "cut"),
                through(&reset, "reset"),
                destination("hole", swallowed.address(), "hole-2d7e91c4"),
            ]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    for id in ["good", "cut", "reset", "hole"] {
        live(&gateway, id, LIVE_LIMIT).await?;
    }
    watch(&gateway, 60).await?;

    namespace.begin_black_hole().await?;
    for (weather, condition) in [(&cut, TcpCondition::Cut), (&reset, TcpCondition::Reset)] {
        weather.set(condition);
        eventually("the connection has ended", LIVE_LIMIT, async || {
            Ok((!weather.connections()[0].open).then_some(()))
        })
        .await?;
        weather.set(TcpCondition::Clear);
        next_try(weather, 1).await?;
    }
    for id in ["cut", "reset"] {
        let again = live(&gateway, id, RETRY_LIMIT).await?;
        // The next try may have come before the weather was clear again.
        let is_cut = ["closed_by_peer", "handshake_failed"].contains(&error_code(&again));
        ensure!(is_cut, "{again}");
        ensure!(again["reconnects"].as_u64() >= Some(1), "{again}");
    }
    let what = "the black hole is found";
    let found = gateway
        .broadcast_until("show", what, STALL_LIMIT, |broadcast| {
            !error_code(destination_of(broadcast, "hole")).is_empty()
        })
        .await?;
    namespace.end_black_hole().await?;
    live(&gateway, "hole", RETRY_LIMIT).await?;
    let good = live(&gateway, "good", LIVE_LIMIT).await?;
    let black_box = gateway
        .get(&format!("{DESTINATIONS}/hole/black-box?download=true"))
        .await?;
    gateway.delete("/api/v1/broadcasts/show").await?;
    studio.vanish().await?;

    let hole = destination_of(&found, "hole");
    ensure!(error_code(hole) == "write_stalled", "{hole}");
    ensure!(
        good["reconnects"] == 0 && good["framesDropped"] == 0,
        "{good}"
    );
    check_black_box(&black_box)?;
    check_untouched(&Recording::analyse(&nginx.finished_recording("good").await?).await?)
}

/// What happened to the destination is told, in order, and its key is not.
fn check_black_box(answer: &tests::Answer) -> Result<()> {
    ensure!(
        answer
            .header("content-disposition")?
            .starts_with("attachment"),
        "{:?}",
        answer.headers
    );
    ensure!(!answer.body.contains("2d7e91c4"), "{}", answer.body);
    let told = answer.json()?;
    let samples = told["samples"].as_array().context("samples")?;
    ensure!((5..=60).contains(&samples.len()), "{}", samples.len());
    let events: Vec<_> = told["events"]
        .as_array()
        .context("events")?
        .iter()
        .filter_map(|event| event["what"].as_str())
        .collect();
    for what in ["connect", "handshake", "publish", "live", "stalled"] {
        ensure!(events.contains(&what), "no '{what}' in {events:?}");
    }
    let stuck = samples
        .iter()
        .filter_map(|sample| sample["queueMs"].as_u64())
        .max();
    ensure!(stuck >= Some(5_000), "the queue was {stuck:?} ms at most");
    Ok(())
}

#[tokio::test]
async fn after_a_cut_one_destination_jumps_and_another_loses_nothing() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let (jumping, catching) = (
        TcpWeather::before(nginx.address())?,
        TcpWeather::before(nginx.address())?,
    );
    let mut patient = through(&catching, "patient");
    patient["afterCut"] = json!("catchUp");
    gateway
        .create(
            "show",
            json!([
                destination("good", nginx.address(), "good"),
                through(&jumping, "hasty"),
                patient,
            ]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    for id in ["good", "hasty", "patient"] {
        live(&gateway, id, LIVE_LIMIT).await?;
    }
    watch(&gateway, 90).await?;

    for weather in [&jumping, &catching] {
        weather.set(TcpCondition::Cut);
    }
    // Seconds of the show.
    watch(&gateway, 90).await?;
    for weather in [&jumping, &catching] {
        weather.set(TcpCondition::Clear);
    }
    for id in ["hasty", "patient"] {
        live(&gateway, id, RETRY_LIMIT).await?;
    }
    let what = "the patient one has caught up";
    gateway
        .broadcast_until("show", what, CATCH_UP_LIMIT, |broadcast| {
            destination_of(broadcast, "patient")["catchingUp"] == false
        })
        .await?;
    watch(&gateway, 90).await?;
    gateway.delete("/api/v1/broadcasts/show").await?;
    studio.vanish().await?;

    let good = Recording::analyse(&nginx.finished_recording("good").await?).await?;
    check_untouched(&good)?;
    let missing = missing(&nginx, "patient", &good).await?;
    ensure!(missing.is_empty(), "the patient one lost {missing:?}");
    let lost = self::missing(&nginx, "hasty", &good).await?.len();
    // Most of three seconds of a studio that may be late with every other picture.
    ensure!(lost >= 20, "the hasty one lost {lost}");
    Ok(())
}

/// The numbers that another recording holds between the first and the last of this key's, and this key's do not.
async fn missing(nginx: &Nginx, key: &str, good: &Recording) -> Result<BTreeSet<u16>> {
    let mut numbers = BTreeSet::new();
    for path in nginx.recordings(key)? {
        // A try that got nowhere leaves an empty one.
        if path.metadata()?.len() < 10_000 {
            continue;
        }
        let recording = Recording::analyse(&path).await?;
        ensure!(
            recording.video.frames[0].keyframe,
            "{key} did not begin with a keyframe"
        );
        numbers.extend(recording.counters());
    }
    let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
        anyhow::bail!("nothing of {key}");
    };
    Ok(good
        .counters()
        .range(first..=last)
        .filter(|number| !numbers.contains(number))
        .copied()
        .collect())
}

#[tokio::test]
async fn two_connections_at_once_carry_the_same_timestamps_and_one_may_fail() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let (first, second) = (
        NodeMediaServer::start().await?,
        NodeMediaServer::start().await?,
    );
    let mut both = destination("both", first.address(), "key");
    both["backupRtmpUrl"] = json!(format!("rtmp://{}/live", second.address()));
    both["backupMode"] = json!("simultaneous");
    gateway.create("show", json!([both])).await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    live(&gateway, "both", LIVE_LIMIT).await?;
    let what = "the second connection is live";
    gateway
        .broadcast_until("show", what, LIVE_LIMIT, |broadcast| {
            destination_of(broadcast, "both")["backup"]["state"] == "live"
        })
        .await?;
    watch(&gateway, 150).await?;
    gateway.delete("/api/v1/broadcasts/show").await?;
    studio.vanish().await?;

    let times = async |server: &NodeMediaServer| -> Result<BTreeMap<u16, Duration>> {
        let recording = Recording::analyse(&server.finished_recording("key").await?).await?;
        check_untouched(&recording)?;
        let frames = recording.video.frames.iter();
        Ok(frames
            .filter_map(|frame| Some((frame.counter?, frame.at)))
            .collect())
    };
    let (first, second) = (times(&first).await?, times(&second).await?);
    let common: Vec<_> = first
        .iter()
        .filter_map(|(number, at)| Some((number, at, second.get(number)?)))
        .collect();
    ensure!(common.len() >= 60, "{} pictures in common", common.len());
    for (number, first, second) in common {
        ensure!(first == second, "picture {number}: {first:?}, {second:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_backup_takes_over_where_the_primary_fails() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let (primary, backup) = (Nginx::start().await?, Nginx::start().await?);
    let weather = TcpWeather::before(primary.address())?;
    let mut one = through(&weather, "one");
    one["backupRtmpUrl"] = json!(format!("rtmp://{}/live", backup.address()));
    gateway
        .create(
            "show",
            json!([destination("good", primary.address(), "good"), one]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    for id in ["good", "one"] {
        live(&gateway, id, LIVE_LIMIT).await?;
    }
    watch(&gateway, 60).await?;

    weather.set(TcpCondition::Reset);
    let what = "the backup has taken over";
    gateway
        .broadcast_until("show", what, RETRY_LIMIT, |broadcast| {
            let one = destination_of(broadcast, "one");
            one["using"] == "backup" && one["state"] == "live"
        })
        .await?;
    watch(&gateway, 90).await?;
    gateway.delete("/api/v1/broadcasts/show").await?;
    studio.vanish().await?;

    let taken = Recording::analyse(&backup.finished_recording("one").await?).await?;
    ensure!(taken.video.frames[0].keyframe);
    check_untouched(&taken)?;
    check_untouched(&Recording::analyse(&primary.finished_recording("good").await?).await?)
}

#[tokio::test]
async fn a_paused_destination_gets_none_of_the_show_on_a_connection_that_stays() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create(
            "show",
            json!([
                destination("good", nginx.address(), "good"),
                destination("shy", nginx.address(), "shy"),
            ]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    for id in ["good", "shy"] {
        live(&gateway, id, LIVE_LIMIT).await?;
    }
    watch(&gateway, 120).await?;

    super::slates_are_coded(&gateway, 1).await?;
    let path = format!("{DESTINATIONS}/shy");
    let paused = gateway.patch(&path, &json!({ "paused": true })).await?;
    super::record_more(&nginx, "shy").await?;
    let resumed = gateway.patch(&path, &json!({ "paused": false })).await?;
    watch(&gateway, 150).await?;
    let shy = live(&gateway, "shy", LIVE_LIMIT).await?;
    gateway.delete("/api/v1/broadcasts/show").await?;
    studio.vanish().await?;

    for (answer, is_paused) in [(paused, true), (resumed, false)] {
        ensure!(answer.json()?["paused"] == is_paused, "{}", answer.body);
    }
    ensure!(shy["reconnects"] == 0, "{shy}");
    let shy = Recording::analyse(&nginx.finished_recording("shy").await?).await?;
    let mut spans = shy.spans();
    // A studio on a machine that is busy may freeze for itself.
    spans.retain(|span| span.shown != Shown::Freeze);
    let curtains = spans.iter().filter(|span| span.shown == Shown::Slate);
    ensure!(curtains.count() == 1, "{spans:?}");
    let (first, last) = (spans[0].shown, spans[spans.len() - 1].shown);
    ensure!((first, last) == (Shown::Studio, Shown::Studio), "{spans:?}");
    let curtain = spans.iter().find(|span| span.shown == Shown::Slate);
    let curtain = *curtain.context("a curtain")?;
    ensure!(curtain.length() > Duration::from_secs(2), "{spans:?}");
    let heard = shy
        .audio
        .beeps
        .iter()
        // What sounds with the last picture may still be heard.
        .filter(|beep| **beep > curtain.from + SETTLING / 4 && **beep + SETTLING / 4 < curtain.to)
        .count();
    ensure!(heard == 0, "{heard} beeps behind the curtain: {spans:?}");
    let good = Recording::analyse(&nginx.finished_recording("good").await?).await?;
    // Picture for picture: what the studio was late with, it was late with for both.
    let (gap, at) = shy.worst_video_gap(SETTLING);
    let (studios, _) = good.worst_video_gap(SETTLING);
    ensure!(
        gap <= studios + UNEVENNESS_LIMIT,
        "no picture for {gap:?} at {at:?}; elsewhere {studios:?} at worst"
    );
    ensure!(shy.decode_errors.is_empty(), "{:#?}", shy.decode_errors);
    shy.check_usual_synchrony(super::SYNCHRONY_LIMIT, SETTLING)?;
    check_untouched(&good)
}

#[tokio::test]
async fn a_refused_key_is_not_tried_again_until_it_is_another() -> Result<()> {
    let options = ReceiverOptions {
        behaviours: Behaviours {
            default: Behaviour::RefusePublish,
            ..Behaviours::default()
        },
        ..ReceiverOptions::default()
    };
    let receiver = Receiver::bind_with(([127, 0, 0, 1], 0).into(), options).await?;
    let weather = TcpWeather::before(receiver.local_address())?;
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create(
            "show",
            json!([
                destination("good", nginx.address(), "good"),
                through(&weather, "wrong"),
            ]),
        )
        .await?;
    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    let failed = gateway
        .destination_until("show", "wrong", "failed", LIVE_LIMIT)
        .await?;
    live(&gateway, "good", LIVE_LIMIT).await?;
    // Far longer than the pause before a second try would be.
    watch(&gateway, 150).await?;
    let tries = weather.connections().len();
    receiver.set_behaviours(Behaviours::default());
    gateway
        .patch(
            &format!("{DESTINATIONS}/wrong"),
            &json!({ "streamKey": "right" }),
        )
        .await?;
    live(&gateway, "wrong", LIVE_LIMIT).await?;
    studio.vanish().await?;

    ensure!(
        ["key_refused", "publish_refused"].contains(&error_code(&failed)),
        "{failed}"
    );
    ensure!(failed["lastError"]["retry"] == "never", "{failed}");
    ensure!(tries == 1, "{tries} tries");
    Ok(())
}
