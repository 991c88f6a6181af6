//! Who carries a destination: by rule, one after the other, and never two with one key.

use std::{collections::HashMap, time::Duration};

use gateway::{
    Gateway,
    config::{Config, Surroundings},
    publish::{self, PublishOptions},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Rig {
    gateway: Gateway,
    client: Client,
    base: String,
}

impl Rig {
    /// A gateway whose Cloudflare is at a port where nobody answers.
    async fn start(more: &[(&str, &str)]) -> Self {
        let mut variables = HashMap::from([
            ("PORT", "0"),
            ("RTC_PORT", "0"),
            ("WORKERS", "1"),
            ("LOCAL_RECEIVER_ADDRESS", "127.0.0.1:0"),
            ("DESTINATION_ALLOW_PRIVATE", "true"),
            ("RATE_LIMIT_MAX_REQUESTS", "0"),
            ("NODE_CAPACITY_CORES", "1000"),
            ("CLOUDFLARE_ACCOUNT_ID", "0123abcd"),
            ("CLOUDFLARE_API_TOKEN", "t0ken"),
            ("CLOUDFLARE_API_URL", "http://127.0.0.1:1"),
            ("HYBRID_ORDER", "cloudflare,own"),
        ]);
        variables.extend(more.iter().copied());
        let surroundings = Surroundings {
            cores: 1,
            server_id: "node".to_owned(),
            terminal: false,
        };
        let lookup = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        let config = Config::read(&lookup, &surroundings).expect("a good configuration");
        let gateway = Gateway::start(config).await.expect("a gateway");
        let base = format!("http://{}", gateway.http_address());
        let client = Client::new();
        Self {
            gateway,
            client,
            base,
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/api/v1/broadcasts{path}", self.base);
        let request = self.client.request(method, url).timeout(PATIENCE);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        assert!(response.status().is_success(), "{path}: {response:?}");
        let text = response.text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// A broadcast with one destination at the local receiver.
    async fn create(&self, id: &str, method: &str, key: &str) {
        let receiver = self.gateway.local_receiver().expect("a receiver");
        let destination = json!({ "id": "d", "rtmpUrl": receiver.rtmp_url(), "streamKey": key });
        let wish = json!({ "id": id, "method": method, "destinations": [destination] });
        self.ask(Method::POST, "", Some(wish)).await;
    }

    /// Waits until the destination is as it should be, and returns it.
    async fn wait(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let body = self.ask(Method::GET, &format!("/{id}"), None).await;
            let destination = body["destinations"][0].clone();
            if wanted(&destination) {
                return destination;
            }
            assert!(Instant::now() < deadline, "{id}: {body:#}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Publishes to a broadcast until `stop`.
    async fn studio(&self, id: &str, stop: CancellationToken) {
        let options = PublishOptions::new(format!("{}/whip/{id}", self.base));
        let published = publish::run(options, stop, |_| {}).await;
        published.expect("a studio");
    }

    async fn live_with(&self, id: &str, provider: &str) -> Value {
        let is_live = |one: &Value| one["state"] == "live" && one["provider"] == json!(provider);
        self.wait(id, is_live).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_provider_is_tried_before_anything_is_live() {
    let rig = Rig::start(&[]).await;
    rig.create("show", "hybrid", "key").await;
    let stop = CancellationToken::new();

    let watch = async {
        let destination = rig.live_with("show", "own").await;
        stop.cancel();
        destination
    };
    let ((), destination) = tokio::join!(rig.studio("show", stop.clone()), watch);

    // It was one attempt of the destination's, which was never lost.
    assert_eq!(destination["reconnects"], 0);
    let events = rig
        .ask(Method::GET, "/show/destinations/d/black-box", None)
        .await;
    assert!(events.to_string().contains("cloudflare"), "{events:#}");
    rig.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_one_publisher_whatever_the_method_becomes() {
    let rig = Rig::start(&[]).await;
    rig.create("one", "gstreamer", "key").await;
    rig.create("two", "gstreamer", "key").await;
    let stop = CancellationToken::new();
    let patch = async |id: &str, method: &str| {
        let body = json!({ "method": method });
        rig.ask(Method::PATCH, &format!("/{id}"), Some(body)).await;
    };

    let walk = async {
        rig.live_with("one", "own").await;
        let refused = async {
            let code = |one: &Value| one["lastError"]["code"] == "key_in_use";
            rig.wait("two", code).await;
            patch("one", "cloudflare").await;
            let code = |one: &Value| one["lastError"]["code"] == "provider_unavailable";
            rig.wait("one", code).await;
            rig.live_with("two", "own").await;
            rig.ask(Method::DELETE, "/two", None).await;
            patch("one", "ffmpeg").await;
            rig.live_with("one", "own").await;
            stop.cancel();
        };
        tokio::join!(rig.studio("two", stop.clone()), refused);
    };
    tokio::join!(rig.studio("one", stop.clone()), walk);

    rig.gateway.shutdown().await;
}
