//! The API against a whole gateway on free ports.

use std::{collections::HashMap, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::{
    Gateway,
    config::{Config, Surroundings},
};

mod access;
mod black_box;
mod broadcasts;
mod daily;
mod engines;
mod events;
mod fleet;
mod limits;
mod node;
mod probe;
mod providers;
mod renditions;
mod slate;
mod takeover;
mod thumbnail;
mod whep;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A gateway and a client of it.
struct Rig {
    gateway: Gateway,
    client: Client,
    base: String,
}

impl Rig {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a gateway with these variables; whatever else the environment holds does not matter.
    async fn with(variables: &[(&str, &str)]) -> Self {
        let mut all = HashMap::from([
            ("PORT", "0"),
            ("RTC_PORT", "0"),
            ("WORKERS", "1"),
            ("RATE_LIMIT_MAX_REQUESTS", "0"),
            ("DESTINATION_ALLOW_PRIVATE", "true"),
            ("SERVER_ID", "node-1"),
            // What other tests use of this machine counts, too.
            ("NODE_CAPACITY_CORES", "1000"),
        ]);
        all.extend(variables.iter().copied());
        let surroundings = Surroundings {
            cores: 1,
            server_id: "random".to_owned(),
            terminal: false,
        };
        let config = Config::read(
            &|name| all.get(name).map(|value| (*value).to_owned()),
            &surroundings,
        )
        .unwrap();
        let gateway = Gateway::start(config).await.unwrap();
        let base = format!("http://{}", gateway.http_address());
        Self {
            gateway,
            client: Client::new(),
            base,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base))
            .timeout(PATIENCE)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    async fn patch(&self, path: &str, body: &Value) -> Response {
        self.request(Method::PATCH, path)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    async fn create(&self, id: &str) -> Value {
        let response = self.post("/api/v1/broadcasts", &json!({ "id": id })).await;
        assert_eq!(response.status(), 201);
        response.json().await.unwrap()
    }
}

/// The status, code and field of an error answer, which must be a problem.
async fn problem(response: Response) -> (u16, String, Option<String>) {
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    assert!(
        text("detail").is_some_and(|detail| !detail.is_empty()),
        "{body}"
    );
    (status, text("code").unwrap(), text("field"))
}
