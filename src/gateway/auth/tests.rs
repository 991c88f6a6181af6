use broadcast::BroadcastId;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::Secret;

mod servers;

const SECRET: &str = "0f9c1b27d3aa4e8f9d52";
const RSA: &str = include_str!("test-keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("test-keys/rsa.pub.pem");
const P256: &str = include_str!("test-keys/p256.pem");
const P256_PUBLIC: &str = include_str!("test-keys/p256.pub.pem");
const P384_PUBLIC: &str = include_str!("test-keys/p384.pub.pem");
const ED25519: &str = include_str!("test-keys/ed25519.pem");
const ED25519_PUBLIC: &str = include_str!("test-keys/ed25519.pub.pem");

fn by_secret() -> Authenticator {
    jwt(JwtKeys::Secret(Secret::new(SECRET)))
}

fn jwt(keys: JwtKeys) -> Authenticator {
    let config = JwtConfig {
        keys,
        issuer: None,
        audience: None,
    };
    Authenticator::new(&AuthConfig::Jwt(config)).unwrap()
}

fn claims() -> Value {
    json!({
        "sub": "anna",
        "role": "studio",
        "broadcast": "show",
        "exp": get_current_timestamp() + 600,
    })
}

fn with(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn sign(algorithm: Algorithm, key: &EncodingKey, id: Option<&str>, claims: &Value) -> Bearer {
    let header = Header {
        kid: id.map(str::to_owned),
        ..Header::new(algorithm)
    };
    Bearer::new(encode(&header, claims, key).unwrap()).unwrap()
}

fn by_hmac(claims: &Value) -> Bearer {
    sign(
        Algorithm::HS256,
        &EncodingKey::from_secret(SECRET.as_bytes()),
        None,
        claims,
    )
}

fn p256() -> EncodingKey {
    EncodingKey::from_ec_pem(P256.as_bytes()).unwrap()
}

async fn refused(authenticator: &Authenticator, token: &Bearer) -> String {
    match authenticator.authenticate(Some(token)).await {
        Err(AuthError::Refused(why)) => why,
        other => panic!("{other:?} instead of a refusal"),
    }
}

#[tokio::test]
async fn without_authentication_everybody_is_anonymous() {
    let authenticator = Authenticator::new(&AuthConfig::Anonymous).unwrap();

    let identity = authenticator.authenticate(None).await.unwrap();

    assert_eq!(identity, Identity::anonymous());
}

#[tokio::test]
async fn a_signed_token_tells_who_it_is() {
    let authenticator = by_secret();

    let anna = authenticator
        .authenticate(Some(&by_hmac(&claims())))
        .await
        .unwrap();

    assert_eq!(
        (anna.subject.as_deref(), anna.role),
        (Some("anna"), Role::Studio)
    );
    assert_eq!(
        anna.scope,
        Scope::Broadcast(BroadcastId::new("show").unwrap())
    );
    assert_eq!(
        authenticator.authenticate(None).await,
        Err(AuthError::Missing)
    );
}

#[tokio::test]
async fn the_scope_is_the_broadcast_or_the_room() {
    let authenticator = by_secret();
    let scope = async |changes: Value| {
        let token = by_hmac(&with(claims(), &changes));
        authenticator
            .authenticate(Some(&token))
            .await
            .unwrap()
            .scope
    };
    let show = Scope::Broadcast(BroadcastId::new("show").unwrap());

    assert_eq!(scope(json!({ "broadcast": "*" })).await, Scope::All);
    assert_eq!(
        scope(json!({ "broadcast": null, "room": "show" })).await,
        show
    );
    assert_eq!(scope(json!({ "room": "show" })).await, show);
    assert_eq!(scope(json!({ "broadcast": null })).await, Scope::Nothing);
    assert_eq!(
        scope(json!({ "broadcast": null, "role": "operator" })).await,
        Scope::All
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told() {
    let authenticator = by_secret();
    let now = get_current_timestamp();

    for (changes, why) in [
        (json!({ "exp": null }), "never expires"),
        (json!({ "exp": now - 31 }), "has expired"),
        (json!({ "exp": "tomorrow" }), "never expires"),
        (json!({ "nbf": now + 120 }), "not valid yet"),
        (json!({ "sub": null }), "no sub"),
        (json!({ "sub": "" }), "its sub"),
        (json!({ "sub": "a".repeat(257) }), "its sub"),
        (json!({ "role": null }), "no role"),
        (json!({ "role": "admin" }), "its role"),
        (json!({ "broadcast": "../etc" }), "its broadcast"),
        (json!({ "room": "other" }), "disagree"),
        (json!({ "broadcast": ["show"] }), "not a valid"),
    ] {
        let told = refused(&authenticator, &by_hmac(&with(claims(), &changes))).await;
        assert!(told.contains(why), "{changes}: {told}");
    }
    let late = by_hmac(&with(claims(), &json!({ "exp": now - 5 })));
    assert!(
        authenticator.authenticate(Some(&late)).await.is_ok(),
        "within the leeway"
    );
}

#[tokio::test]
async fn a_token_does_not_choose_its_algorithm() {
    let authenticator = by_secret();
    let hmac_key = EncodingKey::from_secret(SECRET.as_bytes());
    let other_key = EncodingKey::from_secret(b"another secret of some length");

    let stranger = sign(Algorithm::HS256, &other_key, None, &claims());
    assert_eq!(
        refused(&authenticator, &stranger).await,
        "its signature is wrong"
    );
    for token in [
        sign(Algorithm::HS512, &hmac_key, None, &claims()),
        sign(Algorithm::ES256, &p256(), None, &claims()),
    ] {
        assert_eq!(
            refused(&authenticator, &token).await,
            "its algorithm is not the configured one"
        );
    }
    // The unsigned token of RFC 7519, and the public key taken for a shared secret.
    let unsigned = Bearer::new("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0.").unwrap();
    refused(&authenticator, &unsigned).await;
    let public = jwt(JwtKeys::PublicKey(P256_PUBLIC.to_owned()));
    let confused = EncodingKey::from_secret(P256_PUBLIC.as_bytes());
    refused(&public, &sign(Algorithm::HS256, &confused, None, &claims())).await;
}

#[tokio::test]
async fn critical_extensions_are_not_ignored() {
    let header = Header {
        crit: Some(vec!["b64".to_owned()]),
        ..Header::new(Algorithm::HS256)
    };
    let token = encode(
        &header,
        &claims(),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap();

    refused(&by_secret(), &Bearer::new(token).unwrap()).await;
}

#[tokio::test]
async fn issuer_and_audience_are_checked_when_they_are_configured() {
    let config = JwtConfig {
        keys: JwtKeys::Secret(Secret::new(SECRET)),
        issuer: Some("https://issuer.example".to_owned()),
        audience: Some("castgate".to_owned()),
    };
    let strict = Authenticator::new(&AuthConfig::Jwt(config)).unwrap();
    let good = json!({ "iss": "https://issuer.example", "aud": ["castgate", "other"] });

    assert!(
        strict
            .authenticate(Some(&by_hmac(&with(claims(), &good))))
            .await
            .is_ok()
    );
    refused(&strict, &by_hmac(&claims())).await;
    for bad in [
        json!({ "iss": "https://evil.example" }),
        json!({ "aud": "other" }),
    ] {
        refused(&strict, &by_hmac(&with(with(claims(), &good), &bad))).await;
    }
    let foreign = by_hmac(&with(
        claims(),
        &json!({ "aud": "somebody", "iss": "anybody" }),
    ));
    assert!(by_secret().authenticate(Some(&foreign)).await.is_ok());
}

#[tokio::test]
async fn a_public_key_file_decides_the_algorithm() {
    let rsa = EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap();
    let ed25519 = EncodingKey::from_ed_pem(ED25519.as_bytes()).unwrap();

    for (public, algorithm, key) in [
        (RSA_PUBLIC, Algorithm::RS256, &rsa),
        (P256_PUBLIC, Algorithm::ES256, &p256()),
        (ED25519_PUBLIC, Algorithm::EdDSA, &ed25519),
    ] {
        let authenticator = jwt(JwtKeys::PublicKey(public.to_owned()));
        let token = sign(algorithm, key, None, &claims());
        assert!(
            authenticator.authenticate(Some(&token)).await.is_ok(),
            "{algorithm:?}"
        );
    }
    let pss = sign(Algorithm::PS256, &rsa, None, &claims());
    refused(&jwt(JwtKeys::PublicKey(RSA_PUBLIC.to_owned())), &pss).await;
}

#[test]
fn only_a_public_key_of_a_known_kind_is_a_public_key() {
    for good in [RSA_PUBLIC, P256_PUBLIC, ED25519_PUBLIC] {
        assert_eq!(check_public_key(good), Ok(()));
    }
    for bad in [
        RSA,
        P256,
        ED25519,
        P384_PUBLIC,
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        assert!(check_public_key(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn hostile_tokens_are_refused_and_never_panic(token in "[A-Za-z0-9._~+/=-]{1,300}|eyJ[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let outcome = runtime.block_on(by_secret().authenticate(Some(&Bearer::new(token).unwrap())));
        prop_assert!(matches!(outcome, Err(AuthError::Refused(_))));
    }
}
