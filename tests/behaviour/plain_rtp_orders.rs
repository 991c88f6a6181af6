//! Plain RTP by HTTP alone: what is refused, and what is given only once.

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Gateway, free_port_pair};

/// Key and salt of AES-128 in counter mode.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";

#[tokio::test]
async fn orders_that_cannot_be_are_refused_with_the_field_named() -> Result<()> {
    let gateway = Gateway::start(&[]).await?;
    gateway.create("show", json!([])).await?;
    let with = |field: &str, value: Value| {
        let mut body = json!({ "audio": { "codec": "opus", "payloadType": 97 } });
        body[field] = value;
        body
    };
    let video = |codec: &str, payload_type: u8| {
        with(
            "video",
            json!({ "codec": codec, "payloadType": payload_type }),
        )
    };
    let srtp = |suite: &str| {
        let srtp = json!({ "cryptoSuite": suite, "keyBase64": KEY });
        with("srtp", srtp)
    };
    let sdp = "v=0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H265/90000\n";
    let ingest = "/api/v1/broadcasts/show/rtp-ingest";
    let egress = "/api/v1/broadcasts/show/rtp-egress";
    let to = |address: Value| json!({ "address": address });

    for (path, body, code, field) in [
        (ingest, json!({}), "invalid_field", "video"),
        (ingest, json!({ "sdp": sdp }), "invalid_field", "sdp"),
        (ingest, video("H265", 96), "invalid_field", "video.codec"),
        (
            ingest,
            video("VP8", 128),
            "invalid_field",
            "video.payloadType",
        ),
        (ingest, srtp("AES_256"), "invalid_field", "srtp.cryptoSuite"),
        (
            ingest,
            srtp("AEAD_AES_128_GCM"),
            "invalid_field",
            "srtp.keyBase64",
        ),
        (
            ingest,
            with("source", json!({ "ip": "239.1.1.1" })),
            "invalid_field",
            "source.ip",
        ),
        (
            ingest,
            with("comedia", false.into()),
            "missing_field",
            "source",
        ),
        (ingest, with("port", 5004.into()), "unknown_field", "port"),
        (
            egress,
            to("media.example.org".into()),
            "invalid_field",
            "address",
        ),
        (
            egress,
            to("239.1.1.1:5004".into()),
            "invalid_field",
            "address",
        ),
        (
            egress,
            to(json!({ "ip": "127.0.0.1" })),
            "missing_field",
            "address.videoPort",
        ),
    ] {
        let answer = gateway.post(path, &body).await?;
        let problem = answer.json()?;
        ensure!(
            answer.status == StatusCode::UNPROCESSABLE_ENTITY
                && problem["code"] == code
                && problem["field"] == field,
            "{body}: {problem}"
        );
        ensure!(!answer.body.contains(KEY), "{problem}");
    }
    Ok(())
}

#[tokio::test]
async fn the_seat_and_the_ports_are_given_once() -> Result<()> {
    let first = free_port_pair()?;
    let (first, last) = (first.to_string(), (first + 1).to_string());
    let ports = [
        ("RTC_MIN_PORT", first.as_str()),
        ("RTC_MAX_PORT", last.as_str()),
    ];
    let gateway = Gateway::start(&ports).await?;
    gateway.create("show", json!([])).await?;
    let ingest = "/api/v1/broadcasts/show/rtp-ingest";
    let sound = json!({ "audio": { "codec": "opus", "payloadType": 97 } });
    let mut takeover = sound.clone();
    takeover["takeover"] = true.into();

    let taken = gateway.post(ingest, &sound).await?.json()?;
    let again = gateway.post(ingest, &sound).await?;
    let full = gateway.post(ingest, &takeover).await?;
    let closed = gateway
        .delete(&format!("{ingest}/{}", taken["id"].as_str().context("id")?))
        .await?;
    let free = gateway.post(ingest, &sound).await?;

    ensure!(again.status == StatusCode::CONFLICT && again.json()?["code"] == "studio_connected");
    ensure!(
        full.status == StatusCode::SERVICE_UNAVAILABLE
            && full.json()?["code"] == "ports_exhausted"
            && full.header("retry-after").is_ok(),
        "{}",
        full.body
    );
    ensure!(closed.status == StatusCode::NO_CONTENT && free.status == StatusCode::CREATED);
    Ok(())
}
