use super::*;

const TOKEN: &str = "cf-t0ken-which-nobody-may-see";
const HOOK_SECRET: &str = "cf-h00k-which-nobody-may-see";

/// Cloudflare at a port where nobody answers.
fn cloudflare() -> Vec<(&'static str, &'static str)> {
    vec![
        ("CLOUDFLARE_ACCOUNT_ID", "0123abcd"),
        ("CLOUDFLARE_API_TOKEN", TOKEN),
        ("CLOUDFLARE_API_URL", "http://127.0.0.1:1"),
        ("CLOUDFLARE_WEBHOOK_SECRET", HOOK_SECRET),
        ("CLOUDFLARE_PRICES", "output:0.001"),
    ]
}

/// A notification of Cloudflare's, as its documentation has it.
fn notification(number: u32) -> Value {
    json!({
        "name": "live", "text": "Live input connected",
        "data": {
            "notification_name": "Stream Live Input",
            "input_id": "eb222fcca08eeb1ae84c981ebe8aeeb6",
            "event_type": "live_input.connected",
            "updated_at": format!("2026-11-22T02:00:{number:02}.000000Z"),
        },
        "ts": jiff::Timestamp::now().as_second(),
    })
}

async fn notify(rig: &Rig, provider: &str, secret: &str, body: &Value) -> Response {
    rig.request(
        Method::POST,
        &format!("/api/v1/providers/{provider}/webhooks"),
    )
    .header("cf-webhook-auth", secret)
    .json(body)
    .send()
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_are_told_with_what_they_need_and_how_they_are() {
    let rig = Rig::with(&cloudflare()).await;

    let body: Value = rig.get("/api/v1/providers").await.json().await.unwrap();

    let provider = |name: &str| {
        let all = body["providers"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap()
    };
    assert_eq!(body["providers"].as_array().unwrap().len(), 6);
    assert_eq!(provider("own")["configured"], true);
    assert_eq!(provider("own")["capabilities"]["contribution"], "inProcess");
    let mux = provider("mux");
    assert_eq!(mux["configured"], false);
    assert_eq!(mux["needs"], "MUX_TOKEN_ID and MUX_TOKEN_SECRET");
    let cloudflare = provider("cloudflare");
    assert_eq!(cloudflare["capabilities"]["destinationsLimit"], 50);
    assert_eq!(cloudflare["health"]["ok"], false);
    assert_eq!(cloudflare["health"]["code"], "provider_unavailable");
    assert_eq!(cloudflare["sessions"], 0);
    assert_eq!(body["hybrid"]["order"], json!(["own"]));
    assert!(!body.to_string().contains("which-nobody-may-see"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_taken_once_and_only_from_who_knows_the_secret() {
    let rig = Rig::with(&cloudflare()).await;
    let (first, second) = (notification(1), notification(2));

    let strange = notify(&rig, "cloudflare", "wrong", &first).await;
    let answers = [
        notify(&rig, "cloudflare", HOOK_SECRET, &first).await,
        notify(&rig, "cloudflare", HOOK_SECRET, &first).await,
        notify(&rig, "cloudflare", HOOK_SECRET, &second).await,
    ];

    assert_eq!(
        problem(strange).await,
        (401, "webhook_signature".to_owned(), None)
    );
    assert!(answers.iter().all(|answer| answer.status() == 200));
    let metrics = rig.get("/metrics").await.text().await.unwrap();
    for (outcome, count) in [("verified", 2), ("duplicate", 1), ("rejected", 1)] {
        let line = format!(
            "castgate_provider_webhooks_total{{provider=\"cloudflare\",outcome=\"{outcome}\"}} {count}"
        );
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_who_is_not_there_are_not_taken() {
    let mut silent = cloudflare();
    silent.retain(|(name, _)| *name != "CLOUDFLARE_WEBHOOK_SECRET");
    let rig = Rig::with(&silent).await;
    let body = notification(1);

    for (provider, code) in [
        ("cloudflare", "webhook_unsupported"),
        ("mux", "not_found"),
        ("own", "not_found"),
        ("zoom", "not_found"),
    ] {
        let answer = notify(&rig, provider, HOOK_SECRET, &body).await;
        assert_eq!(
            problem(answer).await,
            (404, code.to_owned(), None),
            "{provider}"
        );
    }
    let long = json!({ "text": "x".repeat(300 * 1024) });
    let answer = notify(&rig, "cloudflare", HOOK_SECRET, &long).await;
    assert_eq!(answer.status(), 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_webhooks_of_one_address_are_taken() {
    let mut limited = cloudflare();
    limited.push(("RATE_LIMIT_MAX_REQUESTS", "3"));
    let rig = Rig::with(&limited).await;

    for number in 0..10 {
        let answer = notify(&rig, "cloudflare", HOOK_SECRET, &notification(number)).await;
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_names_a_provider_that_is_there() {
    let rig = Rig::with(&cloudflare()).await;
    let wish = |id: &str, provider: &str| {
        json!({ "id": id, "method": "cloudflare", "production": true, "destinations": [
            { "rtmpUrl": "rtmp://127.0.0.1/live", "streamKey": "k", "provider": provider },
        ] })
    };

    let missing = rig.post("/api/v1/broadcasts", &wish("a", "mux")).await;
    let strange = rig.post("/api/v1/broadcasts", &wish("a", "zoom")).await;
    let created = rig.post("/api/v1/broadcasts", &wish("a", "own")).await;

    let field = Some("destinations[0].provider".to_owned());
    let invalid = (422, "invalid_field".to_owned(), field);
    assert_eq!(problem(missing).await, invalid);
    assert_eq!(problem(strange).await, invalid);
    assert_eq!(created.status(), 201);
    let body: Value = created.json().await.unwrap();
    assert_eq!(
        (&body["method"], &body["production"]),
        (&json!("cloudflare"), &json!(true))
    );
    assert_eq!(body["egress"]["provider"], "cloudflare");
    assert_eq!(body["egress"]["hosted"], json!([]));
    let join = rig.get("/api/v1/broadcasts/a/join").await;
    assert_eq!(
        problem(join).await,
        (404, "nothing_to_join".to_owned(), None)
    );
}
