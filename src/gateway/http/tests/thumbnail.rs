use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use pipelines::gstreamer::StudioOptions;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::publish::{self, PublishOptions};

const THUMBNAIL: &str = "/api/v1/broadcasts/show/thumbnail.jpg";

/// How long a broadcast of these tests keeps the last picture of a studio that is gone.
const SLATE_AFTER_MS: u64 = 500;

/// Width, height, and the mean red, green and blue of a JPEG, by another decoder.
fn decoded(jpeg: &[u8]) -> (usize, usize, [f64; 3]) {
    let mut ffmpeg = Command::new("ffmpeg")
        .args("-nostdin -loglevel error -f mjpeg -i - -f image2pipe -c:v ppm -".split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    ffmpeg.stdin.take().unwrap().write_all(jpeg).unwrap();
    let picture = ffmpeg.wait_with_output().unwrap().stdout;
    let mut lines = picture.splitn(4, |byte| *byte == b'\n');
    assert_eq!(lines.next().unwrap(), b"P6");
    let sides = str::from_utf8(lines.next().unwrap()).unwrap();
    let (width, height) = sides.split_once(' ').unwrap();
    let pixels = lines.nth(1).unwrap();
    let count = u32::try_from(pixels.len() / 3).unwrap();
    let mean = |colour: usize| {
        let values = pixels.iter().skip(colour).step_by(3);
        let sum: u64 = values.map(|value| u64::from(*value)).sum();
        #[expect(clippy::cast_precision_loss, reason = "the sum is below 2^52")]
        let sum = sum as f64;
        sum / f64::from(count)
    };
    let means = [mean(0), mean(1), mean(2)];
    (width.parse().unwrap(), height.parse().unwrap(), means)
}

/// Asks until there is a thumbnail that is as it should be.
async fn wait_for(rig: &Rig, path: &str, is_it: impl Fn(&[u8]) -> bool) -> (String, Vec<u8>) {
    let looking = async {
        loop {
            let answer = rig.get(path).await;
            if answer.status() == 200 {
                assert_eq!(answer.headers()["content-type"], "image/jpeg");
                assert_eq!(answer.headers()["cache-control"], "no-cache");
                let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
                let jpeg = answer.bytes().await.unwrap().to_vec();
                if is_it(&jpeg) {
                    return (tag, jpeg);
                }
            } else {
                let word = problem(answer).await;
                let expected = [
                    (404, "no_picture"),
                    (503, "thumbnail_unavailable"),
                    // A machine that is busy.
                    (503, "timeout"),
                ];
                assert!(expected.contains(&(word.0, &word.1)), "{word:?}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE * 3, looking).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thumbnail_shows_the_studio_and_then_the_slate() {
    let rig = Rig::start().await;
    let wish = json!({ "id": "show", "slate": { "afterMs": SLATE_AFTER_MS } });
    assert_eq!(rig.post("/api/v1/broadcasts", &wish).await.status(), 201);
    let early = problem(rig.get(THUMBNAIL).await).await;
    let stop = CancellationToken::new();
    let options = PublishOptions {
        studio: StudioOptions {
            width: 960,
            height: 540,
            ..StudioOptions::default()
        },
        ..PublishOptions::new(format!("{}/whip/show", rig.base))
    };
    let mut studio = JoinSet::new();
    studio.spawn(publish::run(options, stop.clone(), |_| {}));

    let (_, wide) = wait_for(&rig, THUMBNAIL, |_| true).await;
    let (_, small) = wait_for(&rig, &format!("{THUMBNAIL}?width=64"), |_| true).await;
    let (_, whole) = wait_for(&rig, &format!("{THUMBNAIL}?width=1280"), |_| true).await;
    stop.cancel();
    assert!(
        studio
            .join_next()
            .await
            .unwrap()
            .unwrap()
            .unwrap()
            .succeeded()
    );
    let (width, height, of_studio) = decoded(&wide);
    // The card is dark blue, and the studio's picture is green.
    let is_card = |jpeg: &[u8]| {
        let [_, green, blue] = decoded(jpeg).2;
        blue > green
    };
    let (tag, card) = wait_for(&rig, THUMBNAIL, is_card).await;

    assert_eq!(early, (404, "no_picture".to_owned(), None));
    assert_eq!((width, height), (640, 360));
    let size = |jpeg: &[u8]| (decoded(jpeg).0, decoded(jpeg).1);
    assert_eq!((size(&small), size(&whole)), ((64, 36), (960, 540)));
    assert!(!is_card(&wide), "{of_studio:?}");
    assert_eq!(size(&card), (640, 360));
    assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thumbnail_that_is_known_is_not_sent_again() {
    let rig = Rig::start().await;
    let wish = json!({ "id": "show", "slate": { "enabled": false } });
    assert_eq!(rig.post("/api/v1/broadcasts", &wish).await.status(), 201);
    let options = PublishOptions {
        duration: Some(Duration::from_secs(3)),
        ..PublishOptions::new(format!("{}/whip/show", rig.base))
    };
    let published = publish::run(options, CancellationToken::new(), |_| {}).await;
    assert!(published.unwrap().succeeded());
    // Nothing follows the last keyframe of a studio that is gone but the same picture.
    let (tag, jpeg) = wait_for(&rig, THUMBNAIL, |_| true).await;
    let ask = async |path: &str, tags: &str| {
        let request = rig.request(Method::GET, path).header("if-none-match", tags);
        request.send().await.unwrap()
    };

    let known = ask(THUMBNAIL, &format!("\"other\", {tag}")).await;
    let other = ask(THUMBNAIL, "\"other\"").await;
    let smaller = ask(&format!("{THUMBNAIL}?width=320"), &tag).await;

    assert_eq!(
        (known.status().as_u16(), known.headers()["etag"].as_bytes()),
        (304, tag.as_bytes())
    );
    assert!(known.bytes().await.unwrap().is_empty());
    assert_eq!(
        (other.status().as_u16(), other.headers()["etag"].as_bytes()),
        (200, tag.as_bytes())
    );
    assert_eq!(other.bytes().await.unwrap(), jpeg);
    assert_eq!(smaller.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_width_out_of_bounds_is_refused_and_named() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let code = async |query: &str| problem(rig.get(&format!("{THUMBNAIL}{query}")).await).await;

    for query in ["?width=64", "?width=1280", ""] {
        assert_eq!(code(query).await.1, "no_picture", "{query}");
    }
    for query in [
        "?width=62",
        "?width=1282",
        "?width=65",
        "?width=-64",
        "?width=wide",
    ] {
        let field = Some("width".to_owned());
        assert_eq!(
            code(query).await,
            (422, "invalid_field".to_owned(), field),
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_read_a_broadcast_does_not_see_it() {
    const SECRET: &str = "5ecretOfTheTokens0123456789abcdef";
    let rig = Rig::with(&[("AUTH_MODE", "jwt"), ("JWT_SECRET", SECRET)]).await;
    let open = Rig::start().await;

    let refused = problem(rig.get(THUMBNAIL).await).await;
    let missing = problem(open.get(THUMBNAIL).await).await;

    assert_eq!(refused, (401, "token_missing".to_owned(), None));
    assert_eq!(missing, (404, "no_such_broadcast".to_owned(), None));
}
