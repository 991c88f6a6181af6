use reqwest::Body;

use super::*;
use crate::slates::tests::{PNG, picture};

const SLATE: &str = "/api/v1/broadcasts/show/slate";
const MUSIC: &str = "/api/v1/broadcasts/show/slate/music";

async fn put(rig: &Rig, path: &str, media_type: &str, body: impl Into<Body>) -> Response {
    rig.request(Method::PUT, path)
        .timeout(PATIENCE * 3)
        .header("content-type", media_type)
        .body(body)
        .send()
        .await
        .unwrap()
}

async fn json_of(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_is_there_from_the_beginning() {
    let rig = Rig::start().await;
    let slate = json!({ "title": "Friday", "afterMs": 500, "maxMinutes": 3 });
    let created = rig
        .post(
            "/api/v1/broadcasts",
            &json!({ "id": "show", "slate": slate }),
        )
        .await;
    assert_eq!(created.status(), 201);

    let slate = json_of(rig.get(SLATE).await).await;

    assert_eq!(
        slate,
        json!({
            "enabled": true, "title": "Friday", "afterMs": 500, "maxMinutes": 3,
            "source": "card", "music": false, "ready": false,
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_and_music_are_taken_and_removed() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let jpeg = "testsrc=size=640x360 -frames:v 1 -c:v mjpeg -f image2pipe";
    let video = "testsrc=size=320x240:duration=1 -c:v libx264 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov -f mp4";
    for (media_type, bytes, source) in [
        ("image/png", picture(PNG), "image"),
        ("image/jpeg; charset=x", picture(jpeg), "image"),
        ("video/mp4", picture(video), "video"),
    ] {
        let slate = json_of(put(&rig, SLATE, media_type, bytes).await).await;
        assert_eq!(slate["source"], source, "{media_type}");
    }
    let music = picture("sine=duration=1 -c:a flac -f flac");

    let played = json_of(put(&rig, MUSIC, "audio/flac", music).await).await;
    let reset = json_of(rig.delete(SLATE).await).await;
    let silent = json_of(rig.delete(MUSIC).await).await;

    assert_eq!(
        (&played["source"], &played["music"]),
        (&json!("video"), &json!(true))
    );
    assert_eq!(
        (&reset["source"], &reset["music"]),
        (&json!("card"), &json!(true))
    );
    assert_eq!(silent["music"], false);
    assert_eq!(json_of(rig.get(SLATE).await).await, silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_picture_is_refused_and_the_old_one_stays() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let png = picture(PNG);
    json_of(put(&rig, SLATE, "image/png", png.clone()).await).await;
    let mut bomb = png.clone();
    bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let without_picture =
        picture("sine=duration=1 -c:a aac -movflags frag_keyframe+empty_moov -f mp4");

    for (path, media_type, body, expected) in [
        (
            SLATE,
            "image/png",
            b"This is a text.".to_vec(),
            (422, "invalid_slate"),
        ),
        (
            SLATE,
            "image/png",
            png[..png.len() / 2].to_vec(),
            (422, "invalid_slate"),
        ),
        (SLATE, "image/png", bomb, (422, "invalid_slate")),
        (SLATE, "image/png", Vec::new(), (422, "invalid_slate")),
        (SLATE, "video/mp4", without_picture, (422, "invalid_slate")),
        (SLATE, "video/mp4", png.clone(), (422, "invalid_slate")),
        (
            SLATE,
            "image/png",
            vec![0; 20 * 1024 * 1024 + 1],
            (422, "slate_too_large"),
        ),
        (
            SLATE,
            "image/svg+xml",
            b"<svg/>".to_vec(),
            (415, "unsupported_media_type"),
        ),
        (
            SLATE,
            "audio/mpeg",
            png.clone(),
            (415, "unsupported_media_type"),
        ),
        (MUSIC, "audio/mpeg", png.clone(), (422, "invalid_music")),
        (
            MUSIC,
            "image/png",
            png.clone(),
            (415, "unsupported_media_type"),
        ),
    ] {
        let refused = put(&rig, path, media_type, body).await;

        let (status, code, field) = problem(refused).await;
        assert_eq!(
            (status, &code[..], field),
            (expected.0, expected.1, None),
            "{path} {media_type}"
        );
        let slate = json_of(rig.get(SLATE).await).await;
        assert_eq!(
            (&slate["source"], &slate["music"]),
            (&json!("image"), &json!(false))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_whom_the_broadcast_belongs_to_changes_its_slate() {
    const SECRET: &str = "5ecretOfTheTokens0123456789abcdef";
    let rig = Rig::with(&[("AUTH_MODE", "jwt"), ("JWT_SECRET", SECRET)]).await;

    for request in [
        rig.request(Method::PUT, SLATE)
            .header("content-type", "image/png")
            .body("x"),
        rig.request(Method::DELETE, SLATE),
        rig.request(Method::GET, SLATE),
        rig.request(Method::PUT, MUSIC)
            .header("content-type", "audio/mpeg")
            .body("x"),
        rig.request(Method::DELETE, MUSIC),
    ] {
        let refused = request.send().await.unwrap();
        assert_eq!(
            problem(refused).await,
            (401, "token_missing".to_owned(), None)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_that_is_not_there_has_no_slate() {
    let rig = Rig::start().await;

    for response in [
        rig.get(SLATE).await,
        put(&rig, SLATE, "image/png", "x").await,
        rig.delete(MUSIC).await,
    ] {
        assert_eq!(
            problem(response).await,
            (404, "no_such_broadcast".to_owned(), None)
        );
    }
}
