//! The other nodes, asked whether they reach the registry when this one does not.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fleet::{NodeId, NodeReport, Peer};
use futures_util::{StreamExt as _, stream};
use reqwest::{Client, redirect::Policy};
use serde::Deserialize;
use tokio::time::timeout_at;

use crate::clock::now;

/// How long all of them together may take: the permit to publish lasts a second longer than the first question waits.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// How many are asked at a time.
const QUESTIONS_LIMIT: usize = 128;

/// How long one is asked after the registry has told of it last: for as long as the dead count.
const ACQUAINTANCE: Duration = Duration::from_secs(60);

/// The most bytes of an answer; one has about 200.
const ANSWER_BYTES_LIMIT: usize = 16 * 1024;

/// What is read of another node's answer.
#[derive(Debug, Deserialize)]
struct Answer {
    id: String,
    registry: String,
}

/// Those that the registry has told of.
#[derive(Debug)]
pub(super) struct Others {
    client: Client,
    known: Mutex<BTreeMap<NodeId, (String, Instant)>>,
}

impl Others {
    /// Nobody yet.
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .timeout(ANSWER_LIMIT)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent("castgate")
            .build()?;
        Ok(Self {
            client,
            known: Mutex::default(),
        })
    }

    /// The registry has told of these.
    pub(super) fn meet(&self, own: &NodeId, alive: &[NodeReport], now: Instant) {
        let mut known = self.lock();
        for node in alive.iter().filter(|node| node.id != *own) {
            known.insert(node.id.clone(), (node.url.clone(), now));
        }
        known.retain(|_, (_, at)| now < *at + ACQUAINTANCE);
    }

    /// Asks all. Who does not answer in time is silent.
    pub(super) async fn ask(&self) -> Vec<Peer> {
        let asked: Vec<(NodeId, String)> = {
            let known = self.lock();
            let entry = |(id, (url, _)): (&NodeId, &(String, Instant))| (id.clone(), url.clone());
            known.iter().map(entry).collect()
        };
        let deadline = (now() + ANSWER_LIMIT).into();
        let mut answers = vec![Peer::Silent; asked.len()];
        let mut questions = Vec::with_capacity(asked.len());
        for (place, (id, url)) in asked.into_iter().enumerate() {
            let client = self.client.clone();
            questions.push(async move { (place, ask_one(&client, &id, &url).await) });
        }
        let mut questions = stream::iter(questions).buffer_unordered(QUESTIONS_LIMIT);
        while let Ok(Some((place, answer))) = timeout_at(deadline, questions.next()).await {
            answers[place] = answer;
        }
        answers
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, (String, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask_one(client: &Client, id: &NodeId, url: &str) -> Peer {
    let question = client.get(format!("{url}/api/v1/node"));
    let Some(answer) = read(question).await else {
        return Peer::Silent;
    };
    match answer.registry.as_str() {
        // Behind a balancer's URL anybody may answer.
        _ if answer.id != id.as_str() => Peer::Silent,
        "reachable" => Peer::Sees,
        "unreachable" => Peer::Blind,
        _ => Peer::Silent,
    }
}

async fn read(question: reqwest::RequestBuilder) -> Option<Answer> {
    let mut response = question.send().await.ok()?.error_for_status().ok()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > ANSWER_BYTES_LIMIT {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}
