//! A stream key and a token are told to nobody: not in a log at TRACE, not in an answer, a metric or an event.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use gateway::{
    Gateway,
    config::{Config, Secret, Surroundings},
    publish::{self, PublishOptions},
};
use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

const KEY: &str = "live_k3y-which-nobody-may-see";
const ROTATED_KEY: &str = "live_an0ther-which-nobody-may-see";
const KEY_IN_URL: &str = "live_inurl-which-nobody-may-see";
const JWT_SECRET: &str = "5ecretOfTheTokens0123456789abcdef";
const PATIENCE: Duration = Duration::from_mins(1);

/// Everything that was logged or answered.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<u8>>>);

impl Record {
    fn add(&self, bytes: &[u8]) {
        self.0
            .lock()
            .expect("nobody panics while writing")
            .extend_from_slice(bytes);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("nobody panics while writing")).into_owned()
    }
}

impl Write for Record {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Record {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

struct Walk {
    record: Record,
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Walk {
    /// Sends a request and keeps whatever comes back, headers and all.
    async fn visit(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.timeout(PATIENCE).send().await.expect("an answer");
        let status = response.status().as_u16();
        self.record
            .add(format!("{:?}", response.headers()).as_bytes());
        let text = response.text().await.expect("a body");
        self.record.add(text.as_bytes());
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Keeps the first event of a stream that does not end.
    async fn first_event(&self, path: &str) {
        let request = self
            .client
            .get(format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        let mut response = request.send().await.expect("an answer");
        if let Ok(Ok(Some(chunk))) = tokio::time::timeout(PATIENCE, response.chunk()).await {
            self.record.add(&chunk);
        }
    }

    /// Sends the programme of a room out as Streamlick's clients do, over a websocket, and keeps all that is said.
    async fn meet(&self) {
        let address = self.base.strip_prefix("http://").expect("a base");
        let mut wire = TcpStream::connect(address).await.expect("a connection");
        let upgrade = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        wire.write_all(upgrade.as_bytes()).await.expect("written");
        let start = |destination: Value| {
            let order = json!({ "broadcastId": "meeting", "destinations": [destination] });
            format!("42{}", json!(["start-rtmp", order]))
        };
        let destinations = [
            json!({ "id": KEY, "rtmpUrl": format!("rtmp://a/{KEY}"), "streamKey": KEY }),
            json!({ "id": "d", "rtmpUrl": format!("http://{KEY}"), "streamKey": KEY }),
        ];
        let [first, second] = destinations.map(start);
        let mut said = Vec::new();
        for (texts, answer) in [
            (vec![format!("40{}", json!({ "token": self.token }))], "40{"),
            (vec![first, second, "427[\"done\"]".to_owned()], "437["),
        ] {
            for text in texts {
                let mut frame = vec![0x81, 0x80 | 127];
                frame.extend((text.len() as u64).to_be_bytes());
                frame.extend([0; 4]);
                frame.extend(text.as_bytes());
                wire.write_all(&frame).await.expect("written");
            }
            let listening = async {
                while !String::from_utf8_lossy(&said).contains(answer) {
                    let count = wire.read_buf(&mut said).await.expect("read");
                    assert_ne!(count, 0, "the connection goes on");
                }
            };
            tokio::time::timeout(PATIENCE, listening)
                .await
                .expect("all was answered");
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(said.matches("rtmp-error").count(), 2, "{said}");
        self.record.add(said.as_bytes());
    }

    /// Waits until one destination is live and one refused.
    async fn until_live(&self) {
        let live = async {
            loop {
                let (_, body) = self
                    .visit(Method::GET, "/api/v1/broadcasts/show", None)
                    .await;
                let destinations = body["destinations"].as_array().cloned().unwrap_or_default();
                let state = |index: usize| {
                    destinations[index]["state"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned()
                };
                if state(0) == "live" && destinations[1]["lastError"]["code"] == "connect_refused" {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, live)
            .await
            .expect("one destination is live, one refused");
    }

    /// Visits whatever could tell a secret.
    async fn everywhere(&self) {
        self.until_live().await;
        self.first_event("/api/v1/broadcasts/show/events").await;
        for path in [
            "/api/v1/broadcasts",
            "/api/v1/local-receiver",
            "/health",
            "/api/health",
            "/metrics",
            "/openapi.json",
            "/readyz",
        ] {
            assert_eq!(self.visit(Method::GET, path, None).await.0, 200, "{path}");
        }
        let destinations = "/api/v1/broadcasts/show/destinations";
        for (destination, happened) in [("good", "live"), ("refused", "lost")] {
            let path = format!("{destinations}/{destination}/black-box");
            let (status, body) = self.visit(Method::GET, &path, None).await;
            assert_eq!(status, 200);
            let events = body["events"].as_array().expect("events");
            assert!(
                events.iter().any(|event| event["what"] == happened),
                "{body}"
            );
        }
        let probe = json!({ "rtmpUrl": format!("rtmp://127.0.0.1:1/{KEY}"), "streamKey": KEY, "publish": true });
        let (status, body) = self
            .visit(Method::POST, "/api/v1/destinations/probe", Some(probe))
            .await;
        assert_eq!((status, &body["code"]), (200, &json!("connect_refused")));
        let rotate = json!({ "streamKey": ROTATED_KEY });
        assert_eq!(
            self.visit(Method::PATCH, &format!("{destinations}/good"), Some(rotate))
                .await
                .0,
            200
        );
        for wrong in [
            json!({ "rtmpUrl": format!("http://host/{KEY}"), "streamKey": KEY }),
            json!({ "rtmpUrl": format!("rtmp://169.254.169.254/{KEY}/{KEY}") }),
            json!({ "rtmpUrl": format!("rtmp://{KEY}@host/a/b") }),
            json!({ "rtmpUrl": [KEY] }),
            json!({ "rtmpUrl": "rtmp://10.0.0.1/a", "streamKey": format!("{KEY} {KEY}") }),
        ] {
            assert_eq!(
                self.visit(Method::POST, destinations, Some(wrong)).await.0,
                422
            );
        }
        self.visit(
            Method::POST,
            &format!("{}/stop", "/api/v1/broadcasts/show"),
            None,
        )
        .await;
    }
}

async fn start_gateway() -> Gateway {
    let variables = HashMap::from([
        ("PORT", "0"),
        ("RTC_PORT", "0"),
        ("WORKERS", "1"),
        ("LOCAL_RECEIVER_ADDRESS", "127.0.0.1:0"),
        ("AUTH_MODE", "jwt"),
        ("JWT_SECRET", JWT_SECRET),
        ("DESTINATION_ALLOW_PRIVATE", "true"),
        ("DESTINATION_ALLOW_PORTS", "any"),
    ]);
    let surroundings = Surroundings {
        cores: 1,
        server_id: "node".to_owned(),
        terminal: false,
    };
    let lookup = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let config = Config::read(&lookup, &surroundings).expect("a good configuration");
    assert!(!config.describe().contains(JWT_SECRET) && !format!("{config:?}").contains(JWT_SECRET));
    Gateway::start(config).await.expect("a gateway")
}

fn operator_token() -> String {
    let expires = jiff::Timestamp::now().as_second() + 600;
    let claims = json!({ "sub": "anna", "role": "operator", "broadcast": "*", "exp": expires });
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(JWT_SECRET.as_bytes()),
    )
    .expect("a token")
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_tokens_are_told_to_nobody() {
    let record = Record::default();
    // With what comes from the `log` crate, and all levels.
    tracing_subscriber::registry()
        .with(gateway::logging::discreet())
        .with(fmt::layer().with_writer(record.clone()))
        .try_init()
        .expect("the only test of this process");
    let gateway = start_gateway().await;
    let receiver = gateway.local_receiver().expect("a local receiver").clone();
    let base = format!("http://{}", gateway.http_address());
    let walk = Walk {
        record: record.clone(),
        client: reqwest::Client::new(),
        base,
        token: operator_token(),
    };
    let closed = closed_port();

    let wish = json!({ "id": "show", "destinations": [
        { "id": "good", "rtmpUrl": receiver.rtmp_url(), "streamKey": KEY },
        { "id": "refused", "rtmpUrl": format!("rtmp://127.0.0.1:{closed}/app/{KEY_IN_URL}?token={KEY_IN_URL}") },
    ] });
    assert_eq!(
        walk.visit(Method::POST, "/api/v1/broadcasts", Some(wish.clone()))
            .await
            .0,
        201
    );
    assert_eq!(
        walk.visit(Method::POST, "/api/v1/broadcasts", Some(wish))
            .await
            .0,
        200
    );
    let options = PublishOptions {
        token: Some(Secret::new(walk.token.clone())),
        duration: Some(Duration::from_secs(3)),
        ..PublishOptions::new(format!("{}/whip/show", walk.base))
    };
    let publishing = publish::run(options, CancellationToken::new(), |_| {});
    let (published, (), ()) = tokio::join!(publishing, walk.everywhere(), walk.meet());
    assert!(published.expect("a studio").succeeded());
    assert_eq!(
        walk.visit(Method::DELETE, "/api/v1/broadcasts/show", None)
            .await
            .0,
        204
    );
    gateway.shutdown().await;

    let seen = receiver.streams();
    assert!(
        seen.iter().any(|stream| stream.stream_key.expose() == KEY),
        "the key has reached its server"
    );
    let text = record.text();
    assert!(
        text.contains("destination changed") && text.contains("TRACE"),
        "the log was kept"
    );
    for secret in [
        KEY,
        ROTATED_KEY,
        KEY_IN_URL,
        JWT_SECRET,
        walk.token.as_str(),
    ] {
        if let Some(at) = text.find(secret) {
            let around = text
                .get(at.saturating_sub(300)..(at + secret.len()).min(text.len()))
                .unwrap_or_default();
            panic!("a secret was told: …{around}");
        }
    }
}
