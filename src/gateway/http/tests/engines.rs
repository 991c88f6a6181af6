//! How a broadcast is carried: asked for, changed while it lives, refused where there is no room.

use serde_json::{Value, json};

use super::{Rig, problem};

async fn patched(rig: &Rig, body: Value) -> Value {
    let response = rig.patch("/api/v1/broadcasts/show", &body).await;
    assert_eq!(response.status(), 200, "{body}");
    response.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn method_and_picture_are_changed_and_shown() {
    let rig = Rig::start().await;
    let created = rig.create("show").await;

    let method = patched(&rig, json!({ "method": "ffmpeg" })).await;
    let picture = patched(
        &rig,
        json!({ "video": { "mode": "transcode", "preset": "720p-high" } }),
    )
    .await;
    let nothing = patched(&rig, json!({})).await;

    assert_eq!(
        (&created["method"], &created["video"]),
        (&json!("gstreamer"), &json!({ "mode": "auto" }))
    );
    assert_eq!(method["method"], "ffmpeg");
    assert_eq!(picture["method"], "ffmpeg");
    let canvas =
        json!({ "width": 1280, "height": 720, "framesPerSecond": 30, "bitrateKbps": 3500 });
    assert_eq!(
        picture["video"],
        json!({ "mode": "transcode", "canvas": canvas })
    );
    assert_eq!(nothing["video"], picture["video"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_by_its_field() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let numbers = |width: u32, height: u32| json!({ "width": width, "height": height, "framesPerSecond": 30, "bitrateKbps": 2000 });

    for (body, field) in [
        (json!({ "method": "vlc" }), "method"),
        (json!({ "method": "daily" }), "method"),
        (json!({ "video": { "mode": "always" } }), "video.mode"),
        (json!({ "video": { "preset": "8k" } }), "video.preset"),
        (
            json!({ "video": { "preset": "high", "width": 640 } }),
            "video.width",
        ),
        (json!({ "video": numbers(639, 360) }), "video.width"),
        (json!({ "video": numbers(3842, 2160) }), "video.width"),
        (json!({ "video": numbers(640, 88) }), "video.height"),
        (json!({ "video": { "width": 640 } }), "video.height"),
        (json!({ "destinations": [] }), "destinations"),
    ] {
        let (status, _, named) = problem(rig.patch("/api/v1/broadcasts/show", &body).await).await;
        assert_eq!((status, named.as_deref()), (422, Some(field)), "{body}");
    }
    let nobody = rig.patch("/api/v1/broadcasts/nobody", &json!({})).await;
    assert_eq!(nobody.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_anew_needs_room_and_gives_it_back() {
    let rig = Rig::with(&[("NODE_CAPACITY_CORES", "0.5")]).await;
    rig.create("show").await;
    let large = json!({ "video": { "mode": "transcode", "preset": "1080p-high" } });
    let small = json!({ "video": { "mode": "transcode", "preset": "medium" } });

    let refused = rig.patch("/api/v1/broadcasts/show", &large).await;
    let retry_after = refused.headers().get("retry-after").cloned();
    let body: Value = refused.json().await.unwrap();
    patched(&rig, small).await;
    let rendition = |preset: &str| {
        json!({
            "rtmpUrl": "rtmp://10.0.0.1/live",
            "streamKey": "key",
            "rendition": { "preset": preset },
        })
    };
    let path = "/api/v1/broadcasts/show/destinations";
    let too_much = rig.post(path, &rendition("1080p-high")).await;
    let enough = rig.post(path, &rendition("low")).await;
    let back = patched(&rig, json!({ "video": { "mode": "auto" } })).await;

    assert_eq!(
        (&body["code"], &body["status"]),
        (&json!("node_full"), &json!(503))
    );
    assert!(retry_after.is_some());
    assert!(body["costCores"].as_f64().unwrap() > body["freeCores"].as_f64().unwrap());
    assert_eq!(
        [too_much, enough].map(|answer| answer.status().as_u16()),
        [503, 201]
    );
    assert_eq!(back["video"]["mode"], "auto");
    assert_eq!(back["destinations"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_there_is_refused_by_name() {
    let rig = Rig::with(&[("FFMPEG_PATH", "/nowhere/ffmpeg")]).await;
    rig.create("show").await;
    let wish = json!({ "method": "ffmpeg" });

    let changed = problem(rig.patch("/api/v1/broadcasts/show", &wish).await).await;
    let created = problem(rig.post("/api/v1/broadcasts", &wish).await).await;

    let expected = (
        422,
        "method_unavailable".to_owned(),
        Some("method".to_owned()),
    );
    assert_eq!(changed, expected);
    assert_eq!(created, expected);
}
