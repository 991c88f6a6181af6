use std::{net::Ipv4Addr, sync::Arc};

use broadcast::BroadcastId;
use jsonwebtoken::{EncodingKey, Header, encode};
use peers::client::{ClientEvent, ClientOptions, PublishingPeer};
use reqwest::header::HeaderValue;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::*;
use crate::broadcasts::Snapshot;

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

/// A studio with a connection of its own, which comes up if it is let in.
struct Studio {
    peer: PublishingPeer,
    events: mpsc::Receiver<ClientEvent>,
    answer: Response,
}

impl Studio {
    /// Offers, showing this token.
    async fn offers(rig: &Rig, token: Option<&HeaderValue>) -> Self {
        let options = ClientOptions {
            local: Ipv4Addr::LOCALHOST.into(),
            video: true,
            codec: media::VideoCodec::H264,
            audio: true,
            patience: PATIENCE,
        };
        let (peer, offer, events) = PublishingPeer::offer(options).await.unwrap();
        let mut request = rig
            .request(Method::POST, "/whip/show")
            .header("content-type", "application/sdp")
            .body(offer);
        if let Some(token) = token {
            request = request.header("castgate-resume-token", token);
        }
        let answer = request.send().await.unwrap();
        Self {
            peer,
            events,
            answer,
        }
    }

    fn token(&self) -> HeaderValue {
        assert_eq!(self.answer.status(), 201);
        self.answer.headers()["castgate-resume-token"].clone()
    }

    fn session(&self) -> String {
        let location = self.answer.headers()["location"].to_str().unwrap();
        location.rsplit('/').next().unwrap().to_owned()
    }

    /// Connects, and returns once the gateway has given it the seat alone.
    async fn connects(self, rig: &Rig) -> PublishingPeer {
        let session = self.session();
        let Self {
            peer,
            mut events,
            answer,
        } = self;
        peer.accept_answer(&answer.text().await.unwrap())
            .await
            .unwrap();
        let connected = async { while events.recv().await.unwrap() != ClientEvent::Connected {} };
        timeout(PATIENCE, connected).await.unwrap();
        let mut snapshots = snapshots(rig);
        let seated = snapshots.wait_for(|snapshot| {
            snapshot.studio_connected
                && snapshot.sessions.len() == 1
                && snapshot.session(&session).is_some()
        });
        drop(timeout(PATIENCE, seated).await.unwrap().unwrap());
        peer
    }
}

fn snapshots(rig: &Rig) -> watch::Receiver<Arc<Snapshot>> {
    let id = BroadcastId::new("show").unwrap();
    rig.gateway.broadcasts().find(&id).unwrap().watch()
}

async fn refused(studio: Studio) -> (u16, String) {
    let (status, code, _) = problem(studio.answer).await;
    (status, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_studio_that_comes_back_takes_over_with_the_latest_token_only() {
    let rig = Rig::start().await;
    rig.create("show").await;
    let never_given = HeaderValue::from_static("of-another-show");
    let old_refused = (403, "resume_token_refused".to_owned());

    let first = Studio::offers(&rig, Some(&never_given)).await;
    let first_token = first.token();
    let first = first.connects(&rig).await;

    let stranger = Studio::offers(&rig, None).await;
    assert_eq!(refused(stranger).await, (409, "studio_present".to_owned()));
    let guess = Studio::offers(&rig, Some(&never_given)).await;
    assert_eq!(refused(guess).await, old_refused);

    let lost = Studio::offers(&rig, Some(&first_token)).await;
    assert_ne!(lost.token(), first_token);
    let second = Studio::offers(&rig, Some(&first_token)).await;
    let second_token = second.token();
    assert_ne!(second_token, first_token, "every answer has its own");
    let second = second.connects(&rig).await;
    let late = Studio::offers(&rig, Some(&first_token)).await;
    assert_eq!(refused(late).await, old_refused);
    second.close().await.unwrap();
    let mut snapshots = snapshots(&rig);
    let gone = snapshots.wait_for(|snapshot| !snapshot.studio_connected);
    drop(timeout(PATIENCE, gone).await.unwrap().unwrap());
    let late = Studio::offers(&rig, Some(&first_token)).await;
    assert_eq!(refused(late).await, old_refused, "also of a free seat");

    let back = Studio::offers(&rig, Some(&second_token)).await;
    assert_ne!(back.token(), second_token);
    back.connects(&rig).await;
    drop(first);
    rig.gateway.shutdown().await;
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
