use jsonwebtoken::{EncodingKey, Header, encode};

use super::*;

pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(super) fn token(role: &str, broadcast: &str) -> String {
    let expires = jiff::Timestamp::now().as_second() + 600;
    let claims = json!({ "sub": "anna", "role": role, "broadcast": broadcast, "exp": expires });
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

async fn create(rig: &Rig, id: &str, token: &str) -> Response {
    let request = rig
        .request(Method::POST, "/api/v1/broadcasts")
        .bearer_auth(token);
    request.json(&json!({ "id": id })).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_good_token_nothing_is_told() {
    let rig = Rig::with(&[("AUTH_MODE", "jwt"), ("JWT_SECRET", SECRET)]).await;

    let none = rig.get("/api/v1/broadcasts/show").await;
    let bad = rig
        .request(Method::GET, "/api/v1/broadcasts")
        .bearer_auth("a.b.c")
        .send()
        .await
        .unwrap();
    let other = rig
        .request(Method::GET, "/api/v1/broadcasts")
        .header("authorization", "Basic YTpi")
        .send()
        .await
        .unwrap();

    assert_eq!(none.headers()["www-authenticate"], "Bearer");
    assert_eq!(problem(none).await, (401, "token_missing".to_owned(), None));
    assert_eq!(problem(bad).await, (401, "token_refused".to_owned(), None));
    assert_eq!(
        problem(other).await,
        (401, "token_refused".to_owned(), None)
    );
    for path in ["/livez", "/readyz", "/health", "/"] {
        assert_eq!(rig.get(path).await.status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_broadcast_and_its_role() {
    let rig = Rig::with(&[("AUTH_MODE", "jwt"), ("JWT_SECRET", SECRET)]).await;
    assert_eq!(
        create(&rig, "show", &token("studio", "show"))
            .await
            .status(),
        201
    );
    assert_eq!(
        create(&rig, "other", &token("operator", "*"))
            .await
            .status(),
        201
    );

    let wrong = create(&rig, "third", &token("studio", "show")).await;
    let viewer = rig
        .request(Method::DELETE, "/api/v1/broadcasts/show")
        .bearer_auth(token("viewer", "show"));
    let list = rig
        .request(Method::GET, "/api/v1/broadcasts")
        .bearer_auth(token("viewer", "show"));

    assert_eq!(problem(wrong).await, (403, "forbidden".to_owned(), None));
    assert_eq!(
        problem(viewer.send().await.unwrap()).await,
        (403, "forbidden".to_owned(), None)
    );
    let list: Value = list.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        list["broadcasts"].as_array().unwrap().len(),
        1,
        "a list shows what the token may see"
    );
    assert_eq!(list["broadcasts"][0]["id"], "show");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_allowed_origins_may_use_the_api() {
    let rig = Rig::with(&[("FRONTEND_URL", "https://studio.example.org")]).await;
    let ask = |origin: &'static str| {
        rig.request(Method::OPTIONS, "/api/v1/broadcasts")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "content-type,authorization",
            )
            .send()
    };

    let good = ask("https://studio.example.org").await.unwrap();
    let bad = ask("https://evil.example.org").await.unwrap();

    assert_eq!(
        good.headers()["access-control-allow-origin"],
        "https://studio.example.org"
    );
    assert!(!bad.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_points_its_own_name_here_is_refused() {
    let rig = Rig::with(&[("PUBLIC_URL", "https://studio.example")]).await;
    let asked_as = async |host: &str| {
        let request = rig
            .request(Method::GET, "/api/v1/broadcasts")
            .header("host", host);
        request.send().await.unwrap()
    };

    let stranger = asked_as("evil.example:3001").await;

    assert_eq!(
        problem(stranger).await,
        (421, "strange_host".to_owned(), None)
    );
    for host in [
        "studio.example",
        "localhost:3001",
        "127.0.0.1:3001",
        "[::1]:3001",
    ] {
        assert_eq!(asked_as(host).await.status(), 200, "{host}");
    }
}
