use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};

use super::*;

const SECRET: &str = "a secret of the tests, and of nobody else";

/// A token that says this, and is good for an hour.
fn token(claims: Value) -> String {
    let Value::Object(mut claims) = claims else {
        unreachable!("claims are an object");
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    claims.insert("exp".to_owned(), json!(now.as_secs() + 3600));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

async fn rig() -> Rig {
    Rig::with(&[("JWT_SECRET", SECRET)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_server_makes_a_guest_who_directs_nothing() {
    let rig = rig().await;
    let claims = json!({"userId": "u1", "email": "anna@example.org", "role": "user"});

    let guest = rig.admit(&token(claims)).await.unwrap();
    let anna = Person::of(rig.service.join(&guest, order("u1")).await.unwrap());
    let closing = rig.service.close(&guest, &show()).await;
    let egress = anna.member.stop_egress().await;

    assert_eq!(guest.subject.as_deref(), Some("u1"));
    assert_eq!(guest.claims["email"], "anna@example.org");
    assert!(
        matches!(closing, Err(RoomError::Forbidden(_))),
        "{closing:?}"
    );
    assert!(matches!(egress, Err(RoomError::Forbidden(_))), "{egress:?}");
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_known_by_the_names_of_many_servers() {
    let rig = rig().await;
    let hasura = json!({"https://hasura.io/jwt/claims": {"x-hasura-user-id": "u5"}});

    for (claims, name) in [
        (json!({"sub": "u1", "userId": "other"}), "u1"),
        (json!({"userId": 42}), "42"),
        (json!({"user_id": "u3"}), "u3"),
        (json!({"id": "u4"}), "u4"),
        (hasura, "u5"),
    ] {
        let guest = rig.admit(&token(claims)).await.unwrap();
        assert_eq!(guest.subject.as_deref(), Some(name));
    }
    let nameless = rig.admit(&token(json!({"email": "x@example.org"}))).await;
    assert!(matches!(nameless, Err(RoomError::Unauthenticated(_))));
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_good_token_is_not_let_in() {
    let rig = rig().await;
    let mut forged = token(json!({"sub": "anna"}));
    forged.truncate(forged.len() - 4);

    let none = rig.service.admit(None).await;
    let forged = rig.admit(&forged).await;

    for refused in [none, forged] {
        assert!(matches!(refused, Err(RoomError::Unauthenticated(_))));
    }
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_ours_holds_for_its_room_and_its_role() {
    let rig = rig().await;
    let ours = |role: &str, room: &str| token(json!({"sub": role, "role": role, "room": room}));

    let studio = rig.admit(&ours("studio", "show")).await.unwrap();
    let viewer = rig.admit(&ours("viewer", "show")).await.unwrap();
    let stranger = rig.admit(&ours("studio", "other")).await.unwrap();
    let roomless = json!({"sub": "anna", "role": "guest"});
    let roomless = rig.admit(&token(roomless)).await.unwrap();
    let director = Person::of(rig.service.join(&studio, order("studio")).await.unwrap());
    let looker = Person::of(rig.service.join(&viewer, order("viewer")).await.unwrap());
    looker
        .member
        .create_transport(Direction::Both)
        .await
        .unwrap();
    let track = ProduceOrder {
        transport: None,
        kind: MediaKind::Audio,
        rtp: sent(MediaKind::Audio),
        app_data: json!({}),
        is_screen: false,
        paused: false,
    };

    assert!(matches!(
        looker.member.produce(track).await,
        Err(RoomError::Forbidden(_))
    ));
    for outsider in [&stranger, &roomless] {
        let refused = rig.service.join(outsider, order("x")).await;
        assert!(matches!(refused, Err(RoomError::Forbidden(_))));
        assert_eq!(rig.service.list(outsider).await.unwrap(), []);
    }
    assert_eq!(director.member.stop_egress().await, Ok(()));
    assert_eq!(rig.service.close(&studio, &show()).await, Ok(()));
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_its_subjects_and_a_second_connection_replaces_the_first() {
    let rig = rig().await;
    let anna = rig.admit(&token(json!({"userId": "anna"}))).await.unwrap();
    let mallory = rig
        .admit(&token(json!({"userId": "mallory"})))
        .await
        .unwrap();
    let mut first = Person::of(rig.service.join(&anna, order("anna")).await.unwrap());

    let thief = rig.service.join(&mallory, order("anna")).await;
    let second = Person::of(rig.service.join(&anna, order("anna")).await.unwrap());

    assert_eq!(thief.err(), Some(RoomError::NameTaken));
    assert!(matches!(first.told().await, Some(RoomEvent::Closed(_))));
    assert_eq!(second.member.view().await.unwrap().participants.len(), 1);
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_authentication_a_token_gives_a_name_and_no_rights_of_it() {
    let rig = Rig::start().await;

    let guest = rig
        .admit(&token(json!({"userId": "u1", "email": "a@b"})))
        .await
        .unwrap();
    let garbled = rig.admit("no.token").await.unwrap();

    assert_eq!((guest.subject, garbled.subject), (None, None));
    assert_eq!(guest.claims["userId"], "u1");
    assert_eq!(garbled.claims, Value::Null);
    rig.gateway.shutdown().await;
}
