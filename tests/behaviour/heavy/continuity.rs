//! The studio goes away and comes back in the middle of a show: what the platform sees is one stream.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tests::{
    Gateway, Meddler, Nginx, NodeMediaServer, Recording, Scratch, Shown, Span, Studio, send,
};
use tokio::process::Command;

use super::{LIVE_LIMIT, SYNCHRONY_LIMIT, destination, watch};

const OFFER: &str = include_str!("../../../src/peers/fixtures/chrome-offer.sdp");

/// No pause of pictures may be longer, whatever happens.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// From the studio's last picture to the first that repeats it: half a second, and then some on a machine that is busy.
const FREEZE_LIMIT: Duration = Duration::from_millis(1_500);

/// From the last picture to the slate: half a second and `slate.afterMs`, which is 2 s; and then some on a machine that is busy.
const SLATE_LIMIT: Duration = Duration::from_secs(6);

/// Show before the fault and after it, in pictures of the studio: enough for flashes and beeps to be judged.
const SHOW_FRAMES: u64 = 150;

/// From a crashed studio to the slate, as the API tells it.
const SLATE_WAIT: Duration = Duration::from_mins(1);

/// Waits until the broadcast shows this.
async fn showing(gateway: &Gateway, what: &str) -> Result<()> {
    gateway
        .broadcast_until("show", what, SLATE_WAIT, |broadcast| {
            broadcast["showing"] == what
        })
        .await
        .map(drop)
}

/// Goes live, kills the studio, waits for the slate, lets another studio come back by the resume token, and ends it.
async fn lose_and_regain_a_studio(gateway: &Gateway) -> Result<()> {
    let door = Meddler::remembering(gateway.http()).await?;
    let studio = Studio::publish(&door.url("/whip/show"), None, 600).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    watch(gateway, SHOW_FRAMES).await?;
    studio.vanish().await?;
    showing(gateway, "slate").await?;
    watch(gateway, 60).await?;

    let back = Studio::publish(&door.url("/whip/show"), None, 600).await?;
    showing(gateway, "studio").await?;
    watch(gateway, SHOW_FRAMES).await?;
    let one = gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    ensure!(one["reconnects"] == 0, "{one}");
    gateway.delete("/api/v1/broadcasts/show").await?;
    back.vanish().await
}

/// One unbroken show with one absence in it: studio, freeze, slate, studio.
async fn check_one_show(path: &Path) -> Result<()> {
    let recording = Recording::analyse(path).await?;
    let spans = recording.spans();
    let absence = absence(&spans)?;
    check_unbroken(&recording, &spans)?;
    let last = last_picture_before(&recording, &absence[1]);
    for (what, span, limit) in [
        ("freeze", &absence[1], FREEZE_LIMIT),
        ("slate", &absence[2], SLATE_LIMIT),
    ] {
        let after = span.from.saturating_sub(last);
        tests::tell(format_args!(
            "the {what} began {after:?} after the last picture"
        ));
        ensure!(
            after <= limit,
            "the {what} began {after:?} after the last picture: {spans:?}"
        );
    }
    for begin in &absence[2..] {
        let first = recording.video.frames[begin.first];
        ensure!(first.keyframe, "no keyframe at {first:?}");
    }
    let cadence = recording.cadence();
    ensure!(
        cadence.studios == 2 && cadence.out_of_order == 0,
        "{cadence:?}"
    );
    // As it was before the fault, and as it is after it.
    recording.check_usual_synchrony(SYNCHRONY_LIMIT, super::SETTLING)
}

/// Studio, freeze, slate, studio: the only slate there is and what is around it. A studio on a machine that is busy may freeze
/// for itself, before and after.
fn absence(spans: &[Span]) -> Result<&[Span]> {
    let is_absence = |window: &&[Span]| {
        let shown: Vec<_> = window.iter().map(|span| span.shown).collect();
        shown == [Shown::Studio, Shown::Freeze, Shown::Slate, Shown::Studio]
    };
    let slates = spans.iter().filter(|span| span.shown == Shown::Slate);
    ensure!(slates.count() == 1, "not one slate: {spans:?}");
    let found = spans.windows(4).find(is_absence);
    found.with_context(|| format!("{spans:?}"))
}

/// No pause over a second by either clock, no step back, a sequence header for each change of the picture.
fn check_unbroken(recording: &Recording, spans: &[Span]) -> Result<()> {
    let (pause, at) = recording.worst_video_gap(Duration::ZERO);
    ensure!(
        pause <= PAUSE_LIMIT,
        "no picture for {pause:?} at {at:?}: {spans:?}"
    );
    let (pause, at) = recording.worst_audio_gap(super::SETTLING);
    ensure!(
        pause <= super::GAP_LIMIT,
        "no sound for {pause:?} at {at:?}: {spans:?}"
    );
    ensure!(
        recording.decode_errors.is_empty(),
        "{:#?}",
        recording.decode_errors
    );
    let tags = recording.tags.as_ref().context("tags")?;
    tags.check_order()?;
    tags.check_sound_stays()
}

fn last_picture_before(recording: &Recording, freeze: &Span) -> Duration {
    recording.video.frames[freeze.first - 1].at
}

#[tokio::test]
async fn a_studio_that_crashes_and_comes_back_is_one_recording_at_nginx() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    gateway
        .create("show", json!([destination("one", nginx.address(), "one")]))
        .await?;

    lose_and_regain_a_studio(&gateway).await?;

    check_one_show(&nginx.finished_recording("one").await?).await
}

#[tokio::test]
async fn a_studio_that_crashes_and_comes_back_is_one_recording_at_node_media_server() -> Result<()>
{
    let gateway = Gateway::start(&[]).await?;
    let server = NodeMediaServer::start().await?;
    gateway
        .create("show", json!([destination("one", server.address(), "one")]))
        .await?;

    lose_and_regain_a_studio(&gateway).await?;

    let path = server.finished_recording("one").await?;
    ensure!(
        server.publications("one")? == 1,
        "it was published to again"
    );
    check_one_show(&path).await
}

/// A picture of one colour, or a file that is nothing.
async fn picture(scratch: &Scratch, name: &str, colour: &str) -> Result<Vec<u8>> {
    let path = scratch.path().join(name);
    let source = format!("color={colour}:s=640x360:r=25:d=2");
    let frames = if name.ends_with("mp4") { "50" } else { "1" };
    let status = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", &source])
        .args(["-frames:v", frames, "-pix_fmt"])
        .arg(if name.ends_with("png") {
            "rgb24"
        } else {
            "yuv420p"
        })
        .arg(&path)
        .status()
        .await?;
    ensure!(status.success(), "ffmpeg made no {name}");
    Ok(std::fs::read(path)?)
}

const SLATE: &str = "/api/v1/broadcasts/show/slate";

#[tokio::test]
async fn an_uploaded_picture_is_what_is_shown_and_a_bad_one_changes_nothing() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    let nginx = Nginx::start().await?;
    let scratch = Scratch::new()?;
    gateway
        .create("show", json!([destination("one", nginx.address(), "one")]))
        .await?;
    let red = picture(&scratch, "red.png", "red").await?;

    let uploaded = gateway.put(SLATE, "image/png", red.clone()).await?;
    let nonsense = gateway.put(SLATE, "image/png", vec![7; 5_000]).await?;
    let cut = gateway.put(SLATE, "image/png", red[..40].to_vec()).await?;
    let mut padded = red.clone();
    padded.resize(20 * 1024 * 1024 + 1, 0);
    let large = gateway.put(SLATE, "image/png", padded).await?;
    let other = gateway.put(SLATE, "text/plain", red).await?;
    let slate = gateway.get(SLATE).await?.json()?;

    ensure!(uploaded.status == StatusCode::OK, "{}", uploaded.body);
    for (answer, code) in [
        (nonsense, "invalid_slate"),
        (cut, "invalid_slate"),
        (large, "slate_too_large"),
    ] {
        ensure!(
            answer.status == StatusCode::UNPROCESSABLE_ENTITY && answer.json()?["code"] == code,
            "{code}: {} {}",
            answer.status,
            answer.body
        );
    }
    ensure!(
        other.status == StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "{}",
        other.body
    );
    ensure!(slate["source"] == "image", "{slate}");

    let studio = Studio::publish(&gateway.url("/whip/show"), None, 600).await?;
    gateway
        .destination_until("show", "one", "live", LIVE_LIMIT)
        .await?;
    watch(&gateway, 60).await?;
    studio.vanish().await?;
    showing(&gateway, "slate").await?;
    watch(&gateway, 60).await?;
    gateway.delete("/api/v1/broadcasts/show").await?;

    let recording = Recording::analyse(&nginx.finished_recording("one").await?).await?;
    let spans = recording.spans();
    let slate = spans.last().context("spans")?;
    ensure!(slate.shown == Shown::Slate, "{spans:?}");
    let shown = recording.video.frames[slate.first + slate.frames / 2];
    // Red is far from grey on the red axis, a little below it on the blue one.
    ensure!(
        shown.chroma[1] > 200.0 && shown.chroma[0] < 128.0,
        "{shown:?}"
    );
    check_unbroken(&recording, &spans)
}

#[tokio::test]
async fn only_the_newest_resume_token_lets_a_studio_back() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("show", json!([])).await?;
    let door = Meddler::remembering(gateway.http()).await?;
    let first = Studio::publish(&door.url("/whip/show"), None, 600).await?;
    showing(&gateway, "studio").await?;
    let old = door.resume_token().context("no token was given")?;
    // The second takes over from the first, which is still there.
    let second = Studio::publish(&door.url("/whip/show"), None, 600).await?;
    let (_, left) = tokio::join!(watch_takeover(&gateway), first.fail());
    let new = door.resume_token().context("no token was given")?;

    let offer = async |token: &str| {
        let request = gateway
            .request(Method::POST, "/whip/show")
            .header("content-type", "application/sdp")
            .header("castgate-resume-token", token);
        send(request.body(OFFER)).await
    };
    let with_old = offer(&old).await?;
    let with_none = gateway.offer("show", OFFER).await?;
    let with_lie = offer("bm90LWEtdG9rZW4").await?;
    let with_new = offer(&new).await?;

    left?;
    ensure!(old != new);
    for refused in [with_old, with_lie] {
        ensure!(
            refused.status == StatusCode::FORBIDDEN
                && refused.json()?["code"] == "resume_token_refused",
            "{} {}",
            refused.status,
            refused.body
        );
    }
    ensure!(
        with_none.status == StatusCode::CONFLICT,
        "{}",
        with_none.body
    );
    ensure!(with_new.status == StatusCode::CREATED, "{}", with_new.body);
    second.vanish().await
}

/// The picture is there again within a second of the takeover; seen from here, within a few.
async fn watch_takeover(gateway: &Gateway) -> Result<()> {
    showing(gateway, "studio").await
}
