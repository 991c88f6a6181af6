use jsonwebtoken::{EncodingKey, Header, encode};

use super::*;

/// What Chromium offers for a canvas with sound.
const OFFER: &str = include_str!("../../../peers/fixtures/chrome-offer.sdp");

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn token(subject: &str, role: &str) -> String {
    let expires = jiff::Timestamp::now().as_second() + 600;
    let claims = json!({ "sub": subject, "role": role, "broadcast": "*", "exp": expires });
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

fn offer(rig: &Rig) -> RequestBuilder {
    rig.request(Method::POST, "/whip/show")
        .header("content-type", "application/sdp")
        .body(OFFER)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_studio_takes_over_with_the_resume_token_only() {
    let rig = Rig::start().await;
    rig.create("show").await;

    let first = offer(&rig).send().await.unwrap();

    assert_eq!(first.status(), 201);
    let resume = first.headers()["castgate-resume-token"].clone();
    assert_eq!(problem(offer(&rig).send().await.unwrap()).await.0, 409);
    assert_eq!(
        status(offer(&rig).header("castgate-resume-token", "wrong")).await,
        409
    );
    let second = offer(&rig)
        .header("castgate-resume-token", &resume)
        .send()
        .await
        .unwrap();
    assert_eq!(second.status(), 201);
    assert_eq!(
        second.headers()["castgate-resume-token"],
        resume,
        "an answer that got lost locks nobody out"
    );
    let location = second.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(rig.delete(&location).await.status(), 200);
    let third = offer(&rig).send().await.unwrap();
    assert_eq!(third.status(), 201, "the seat is free");
    assert_ne!(
        third.headers()["castgate-resume-token"],
        resume,
        "the old token is worth nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_subject_and_an_operator_take_over_and_others_do_not() {
    let rig = Rig::with(&[("AUTH_MODE", "jwt"), ("JWT_SECRET", SECRET)]).await;
    let (anna, berta, operator) = (
        token("anna", "studio"),
        token("berta", "studio"),
        token("olga", "operator"),
    );
    let create = rig
        .request(Method::POST, "/api/v1/broadcasts")
        .bearer_auth(&anna)
        .json(&json!({ "id": "show" }));
    assert_eq!(status(create).await, 201);
    assert_eq!(status(offer(&rig).bearer_auth(&anna)).await, 201);

    assert_eq!(status(offer(&rig).bearer_auth(&berta)).await, 409);
    assert_eq!(status(offer(&rig).bearer_auth(&anna)).await, 201);
    assert_eq!(status(offer(&rig).bearer_auth(&operator)).await, 201);
    assert_eq!(status(offer(&rig).bearer_auth(&berta)).await, 409);
}
