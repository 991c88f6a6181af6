//! The server as clients meet it, over long polling, which needs no socket.

use std::net::SocketAddr;

use ::rooms::RoomEvent;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{Request, Response, StatusCode, header},
};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};
use tower::ServiceExt as _;

use super::{PAYLOAD_LIMIT_BYTES, SocketServer, SocketSettings, router};
use crate::{Origins, stand_in::StandInRooms};

mod reading;
mod websocket;

/// What stands between packets in one body.
const SEPARATOR: char = '\u{1e}';

struct Node {
    router: Router,
    server: SocketServer,
    rooms: StandInRooms,
}

impl Node {
    fn new(rooms: StandInRooms, settings: SocketSettings) -> Self {
        let (router, server) = router(std::sync::Arc::new(rooms.clone()), settings);
        Self {
            router,
            server,
            rooms,
        }
    }

    fn start() -> Self {
        Self::new(StandInRooms::default(), SocketSettings::new(Origins::Any))
    }

    async fn send(&self, mut request: Request<Body>) -> Response<Body> {
        let address = SocketAddr::from(([192, 0, 2, 1], 4000));
        request.extensions_mut().insert(ConnectInfo(address));
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn shake_hands(&self) -> Response<Body> {
        self.send(get("", &[])).await
    }

    async fn open(&self) -> Client<'_> {
        let response = self.shake_hands().await;
        assert_eq!(response.status(), StatusCode::OK);
        let text = text(response).await;
        let opened: Value = serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap();
        Client {
            node: self,
            session: opened["sid"].as_str().unwrap().to_owned(),
        }
    }

    /// A client that is let in.
    async fn enter(&self) -> Client<'_> {
        let client = self.open().await;
        client.say("40").await;
        assert!(client.hear().await.starts_with("40{\"sid\""));
        client
    }

    async fn until(&self, what: &str, met: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(3);
        while !met(self) {
            assert!(Instant::now() < deadline, "{what} does not come");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Client<'a> {
    node: &'a Node,
    session: String,
}

impl Client<'_> {
    async fn post(&self, body: impl Into<Body>) -> StatusCode {
        let uri = format!("/socket.io/?EIO=4&transport=polling&sid={}", self.session);
        let request = Request::post(uri).body(body.into()).unwrap();
        self.node.send(request).await.status()
    }

    async fn say(&self, packet: &str) {
        assert_eq!(self.post(packet.to_owned()).await, StatusCode::OK);
    }

    async fn poll(&self) -> Response<Body> {
        let query = format!("&sid={}", self.session);
        self.node.send(get(&query, &[])).await
    }

    /// What comes next beside pings, which are answered.
    async fn hear(&self) -> String {
        loop {
            let heard = text(self.poll().await).await;
            let (pings, packets): (Vec<&str>, Vec<&str>) =
                heard.split(SEPARATOR).partition(|packet| *packet == "2");
            if !pings.is_empty() {
                self.say("3").await;
            }
            if !packets.is_empty() {
                return packets.join(&SEPARATOR.to_string());
            }
        }
    }

    async fn ask(&self, event: Value) -> Value {
        self.say(&format!("427{event}")).await;
        let answer = self.hear().await;
        let content = answer
            .strip_prefix("437")
            .unwrap_or_else(|| panic!("{answer}"));
        let content: [Value; 1] = serde_json::from_str(content).unwrap();
        let [content] = content;
        content
    }
}

fn get(query: &str, headers: &[(header::HeaderName, &str)]) -> Request<Body> {
    let uri = format!("/socket.io/?EIO=4&transport=polling{query}");
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.body(Body::empty()).unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

fn join(name: &str) -> Value {
    json!(["joinRoom", { "roomId": "r", "peerId": name }])
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_what_their_servers_told_them() {
    let node = Node::start();

    let told = text(node.shake_hands().await).await;

    let told: Value = serde_json::from_str(told.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(told["pingInterval"], 25_000);
    assert_eq!(told["pingTimeout"], 60_000);
    assert_eq!(told["maxPayload"], 256 * 1024);
    assert_eq!(told["upgrades"], json!(["websocket"]));
}

#[tokio::test(start_paused = true)]
async fn a_client_is_answered_in_order() {
    let node = Node::start();
    let ada = node.enter().await;

    assert_eq!(
        ada.ask(json!(["getProducers"])).await["error"],
        "Not in a room"
    );
    assert_eq!(ada.ask(join("ada")).await["success"], true);
    ada.say(&format!(
        "421[\"getProducers\"]{SEPARATOR}422[\"nonsense\",{{}}]{SEPARATOR}42[\"nonsense\"]"
    ))
    .await;

    assert_eq!(ada.hear().await, r#"431[{"producers":[]}]"#);
    assert_eq!(ada.hear().await, r#"432[{"error":"unknown event"}]"#);
    assert_eq!(node.server.counts().unknown_events, 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_let_in_is_told_why_in_the_words_of_the_dialect() {
    let node = Node::new(
        StandInRooms::with_tokens(),
        SocketSettings::new(Origins::Any),
    );

    for (connect, answer) in [
        ("40", r#"44{"message":"Authentication failed"}"#),
        (
            r#"40{"token":"bad"}"#,
            r#"44{"message":"Authentication failed"}"#,
        ),
        (
            r#"40{"token":"not a token"}"#,
            r#"44{"message":"Authentication failed"}"#,
        ),
        (
            r#"40{"profile":{"name":"Ada"}}"#,
            r#"44{"message":"Authentication error: No token provided"}"#,
        ),
        (
            "40/nowhere,",
            r#"44/nowhere,{"message":"Invalid namespace"}"#,
        ),
    ] {
        let client = node.open().await;
        client.say(connect).await;
        assert_eq!(client.hear().await, answer);
    }
    assert_eq!(node.server.counts().unauthenticated, 4);

    let ada = node.open().await;
    ada.say(r#"40{"token":"ada"}"#).await;
    assert!(ada.hear().await.starts_with("40{"));
}

#[tokio::test(start_paused = true)]
async fn a_token_may_stand_in_the_header() {
    let rooms = StandInRooms::with_tokens();
    let node = Node::new(rooms, SocketSettings::new(Origins::Any));
    let opened = node
        .send(get("", &[(header::AUTHORIZATION, "Bearer ada")]))
        .await;
    let opened = text(opened).await;
    let opened: Value = serde_json::from_str(opened.strip_prefix('0').unwrap()).unwrap();
    let ada = Client {
        node: &node,
        session: opened["sid"].as_str().unwrap().to_owned(),
    };

    ada.say("40").await;

    assert!(ada.hear().await.starts_with("40{"));
}

#[tokio::test(start_paused = true)]
async fn nobody_may_ask_for_ever_to_be_let_in() {
    let rooms = StandInRooms::with_tokens();
    let node = Node::new(rooms, SocketSettings::new(Origins::Any));
    let eve = node.open().await;

    for _ in 0..8 {
        eve.say("40").await;
        assert_eq!(eve.hear().await, r#"44{"message":"Authentication failed"}"#);
    }
    eve.say(r#"40{"token":"eve"}"#).await;

    assert_eq!(eve.hear().await, r#"44{"message":"Too many attempts"}"#);
}

#[tokio::test(start_paused = true)]
async fn each_dialect_has_a_namespace() {
    let node = Node::start();

    for (namespace, answer) in [
        ("/sfu", "unknown event"),
        ("/nself", "roomId: is missing"),
        ("/streamlick", "unknown event"),
    ] {
        let client = node.open().await;
        client.say(&format!("40{namespace},")).await;
        assert!(
            client
                .hear()
                .await
                .starts_with(&format!("40{namespace},{{"))
        );
        client
            .say(&format!("42{namespace},3[\"join-room\",{{}}]"))
            .await;
        let expected = format!("43{namespace},3[{{\"error\":\"{answer}\"}}]");
        assert_eq!(client.hear().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_others_may_not_connect() {
    let origins = Origins::parse("https://studio.example.org").unwrap();
    let node = Node::new(StandInRooms::default(), SocketSettings::new(origins));
    let status = async |origin: &str| {
        let headers = [(header::ORIGIN, origin), (header::HOST, "node.example.org")];
        node.send(get("", &headers)).await.status()
    };

    assert_eq!(status("https://studio.example.org").await, StatusCode::OK);
    assert_eq!(status("https://node.example.org").await, StatusCode::OK);
    assert_eq!(
        status("https://evil.example.org").await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(status("null").await, StatusCode::FORBIDDEN);
    assert_eq!(node.server.counts().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn pages_that_send_cookies_may_read_the_answers() {
    let node = Node::start();

    let response = node
        .send(get("", &[(header::ORIGIN, "https://studio.example.org")]))
        .await;

    let headers = response.headers();
    assert_eq!(
        headers[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        "https://studio.example.org"
    );
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
}

#[tokio::test(start_paused = true)]
async fn an_address_has_its_share_of_connections() {
    let settings = SocketSettings {
        connections_per_address: 2,
        ..SocketSettings::new(Origins::Any)
    };
    let node = Node::new(StandInRooms::default(), settings);
    let first = node.enter().await;
    let _second = node.enter().await;

    let third = node.shake_hands().await;
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    first.say("1").await;
    node.until("room for one", |node| node.server.connections() == 1)
        .await;

    assert_eq!(node.shake_hands().await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn there_is_an_end_to_connections() {
    let settings = SocketSettings {
        connections: 1,
        ..SocketSettings::new(Origins::Any)
    };
    let node = Node::new(StandInRooms::default(), settings);
    let _first = node.enter().await;

    let second = node.shake_hands().await;

    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn who_connects_and_says_nothing_is_forgotten() {
    let node = Node::start();
    let _silent = node.open().await;

    assert_eq!(node.server.connections(), 1);
    node.until("the end", |node| node.server.connections() == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_has_256_kib_at_most() {
    let node = Node::start();
    let ada = node.enter().await;
    let event = |length: usize| {
        let frame = "427[\"\"]".len();
        format!("427[\"{}\"]", "x".repeat(length - frame))
    };

    ada.say(&event(PAYLOAD_LIMIT_BYTES)).await;
    assert_eq!(ada.hear().await, r#"437[{"error":"unknown event"}]"#);

    assert_ne!(
        ada.post(event(PAYLOAD_LIMIT_BYTES + 1)).await,
        StatusCode::OK
    );
    node.until("the end", |node| node.server.connections() == 0)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let node = Node::start();
    let ada = node.enter().await;
    let never = tokio_stream::pending::<Result<axum::body::Bytes, std::io::Error>>();

    let status = ada.post(Body::from_stream(never)).await;

    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_refused_and_then_ended() {
    let node = Node::start();
    let eve = node.enter().await;
    node.rooms.hang();
    let event = format!("42{}", join("eve"));
    let many = |count| vec![event.as_str(); count].join(&SEPARATOR.to_string());

    eve.say(&many(300)).await;
    assert!(node.server.counts().flooded > 0);
    assert_eq!(node.server.connections(), 1);
    eve.say(&many(1000)).await;

    // The namespace is told to be ended, once the event that hangs is given up.
    assert_eq!(eve.hear().await, "41");
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_answered_all_the_same() {
    let node = Node::start();
    let ada = node.enter().await;
    node.rooms.hang();
    let asked = Instant::now();
    ada.say(&format!(
        "421{}{SEPARATOR}422{}{SEPARATOR}423[\"leaveRoom\"]",
        join("ada"),
        join("ada")
    ))
    .await;

    let mut heard = String::new();
    while heard.matches("43").count() < 3 {
        heard += &ada.hear().await;
    }

    assert_eq!(asked.elapsed().as_secs(), 10);
    assert_eq!(heard.matches("the request took too long").count(), 2);
    assert_eq!(heard.matches(r#"433[{"success":true}]"#).count(), 1);
    assert_eq!(node.server.counts().late, 2);
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_purpose_leaves_and_who_is_cut_off_keeps_the_place() {
    let node = Node::start();
    let ada = node.enter().await;
    let bob = node.enter().await;
    ada.ask(join("ada")).await;
    bob.ask(join("bob")).await;
    assert_eq!(ada.hear().await, r#"42["newPeer",{"peerId":"bob"}]"#);

    ada.say("41").await;
    bob.say("1").await;
    node.until("the end of both", |node| {
        node.rooms.participants("r") == [("bob".to_owned(), false)]
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_is_put_out_is_told_and_disconnected() {
    let node = Node::start();
    let ada = node.enter().await;
    ada.ask(join("ada")).await;

    node.rooms.tell(
        "r",
        None,
        &RoomEvent::Closed("the room was closed".to_owned()),
    );

    let mut heard = ada.hear().await;
    if !heard.contains(SEPARATOR) {
        heard = format!("{heard}{SEPARATOR}{}", ada.hear().await);
    }
    assert_eq!(
        heard,
        format!("42[\"roomClosed\",{{\"reason\":\"the room was closed\"}}]{SEPARATOR}41")
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_is_the_end_of_all() {
    let node = Node::start();
    let ada = node.enter().await;
    ada.ask(join("ada")).await;

    node.server.shutdown().await;

    assert_eq!(node.rooms.participants("r"), [("ada".to_owned(), false)]);
    let late = node.shake_hands().await;
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
}
