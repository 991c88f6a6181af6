use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_black_box_is_there_with_its_destination_and_can_be_saved() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let request =
        json!({ "id": "d1", "rtmpUrl": "rtmp://127.0.0.1:1935/live", "streamKey": "s3cr3t" });
    rig.post("/api/v1/broadcasts/show/destinations", &request)
        .await;
    let path = "/api/v1/broadcasts/show/destinations/d1/black-box";

    let shown = rig.get(path).await;
    let saved = rig.get(&format!("{path}?download=true")).await;

    assert!(!shown.headers().contains_key("content-disposition"));
    assert_eq!(
        saved.headers()["content-disposition"],
        "attachment; filename=\"black-box-show-d1.json\""
    );
    let body: Value = shown.json().await.unwrap();
    assert_eq!(
        body,
        json!({ "destination": "d1", "server": "rtmp://127.0.0.1:1935", "samples": [], "events": [] })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_black_box_of_what_is_not_there() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let request = json!({ "id": "d1", "rtmpUrl": "rtmp://127.0.0.1:1935/live/key" });
    rig.post("/api/v1/broadcasts/show/destinations", &request)
        .await;
    let code = async |path: &str| problem(rig.get(path).await).await;

    for (path, code_word) in [
        (
            "/api/v1/broadcasts/none/destinations/d1/black-box",
            "no_such_broadcast",
        ),
        (
            "/api/v1/broadcasts/show/destinations/d2/black-box",
            "no_such_destination",
        ),
        (
            "/api/v1/broadcasts/show/destinations/d1/black-box?backup=true",
            "no_such_destination",
        ),
    ] {
        assert_eq!(
            code(path).await,
            (404, code_word.to_owned(), None),
            "{path}"
        );
    }
    let wrong = code("/api/v1/broadcasts/show/destinations/d1/black-box?download=2").await;
    assert_eq!((wrong.0, &*wrong.1), (422, "invalid_field"));
}
