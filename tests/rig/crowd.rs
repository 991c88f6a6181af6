//! People in rooms by the hundred, and people who mean harm: the unmodified socket.io-client without a browser.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{Browser, Gateway, eventually};

/// How long the rooms may take to give back what somebody had whose network broke: their places are kept for 15 s.
const DEPARTURE_LIMIT: Duration = Duration::from_secs(90);

/// A process with many Socket.IO clients. Dropping it ends it, and their connections with it.
#[derive(Debug)]
pub struct Crowd {
    node: Browser,
    url: String,
}

/// How much there is of what a room needs, as the gateway counts it and as the system does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Rooms.
    pub rooms: u64,
    /// Participants of all rooms.
    pub participants: u64,
    /// Their transports.
    pub transports: u64,
    /// Tracks that they send.
    pub producers: u64,
    /// Tracks that they receive.
    pub consumers: u64,
    /// Socket.IO connections.
    pub sockets: u64,
    /// Open files of the process.
    pub descriptors: u64,
    /// Its threads.
    pub threads: u64,
}

impl Crowd {
    /// Nobody yet, for rooms of the gateway at `url`.
    pub async fn open(url: &str) -> Result<Self> {
        Ok(Self {
            node: Browser::crowd().await?,
            url: url.to_owned(),
        })
    }

    /// Has it do something, which must succeed; what there is, `tests/browser/crowd.mjs` tells.
    pub async fn tell(&mut self, verb: &str, options: Value) -> Result<Value> {
        let command = json!({ "verb": verb, "options": options });
        self.node.command(&command.to_string()).await
    }

    /// Has people come into rooms, each with two transports and two tracks, and receive the tracks of all others there.
    /// Returns how many tracks are received.
    pub async fn gather(&mut self, rooms: Value) -> Result<Value> {
        let options = json!({ "url": self.url, "rooms": rooms });
        self.tell("gather", options).await
    }

    /// Has somebody of a dialect make as many transports, producers and consumers in a room as they are granted: `granted`
    /// and `refusal` of each.
    pub async fn fill(&mut self, dialect: &str, room: &str) -> Result<Value> {
        let options = json!({ "url": self.url, "dialect": dialect, "room": room });
        self.tell("fill", options).await
    }

    /// Connects somebody, who must be let in.
    pub async fn connect(&mut self, name: &str, options: Value) -> Result<()> {
        let answer = self.knock(name, options).await?;
        ensure!(answer.is_null(), "{name}: {answer}");
        Ok(())
    }

    /// Tries to connect somebody; `null`, or why they are refused.
    pub async fn knock(&mut self, name: &str, mut options: Value) -> Result<Value> {
        options["name"] = name.into();
        options["url"] = self.url.clone().into();
        self.tell("open", options).await
    }

    /// Asks as somebody: an array of an event and its arguments.
    pub async fn ask(&mut self, name: &str, ask: Value) -> Result<Value> {
        let answers = self
            .tell("ask", json!({ "name": name, "asks": [ask] }))
            .await?;
        Ok(answers[0].clone())
    }

    /// What somebody was told by events of this name: their first arguments.
    pub async fn heard(&mut self, name: &str, event: &str) -> Result<Vec<Value>> {
        let heard = self.tell("heard", json!({ "name": name, "event": event }));
        Ok(heard.await?.as_array().context("heard")?.clone())
    }
}

impl Footprint {
    /// How many threads of the runtime's pool may wait for work at one time and not at another: the node's load is
    /// measured in one every second, and which of several idle ones is woken for it, and so lives on, is chance.
    pub const IDLE_THREADS: u64 = 2;

    /// What there is now.
    pub async fn of(gateway: &Gateway) -> Result<Self> {
        let metrics = gateway.get("/metrics").await?.body;
        let metric = |name: &str| -> Result<u64> {
            let value = metrics
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            Ok(value
                .with_context(|| format!("no {name} in {metrics}"))?
                .parse()?)
        };
        let descriptors = fs::read_dir(format!("/proc/{}/fd", gateway.process.id()?))?;
        Ok(Self {
            rooms: metric("castgate_rooms_active")?,
            participants: metric("castgate_room_participants")?,
            transports: metric("castgate_room_transports")?,
            producers: metric("castgate_room_producers")?,
            consumers: metric("castgate_room_consumers")?,
            sockets: metric("castgate_socketio_connections_active")?,
            descriptors: descriptors.count().try_into()?,
            threads: status(gateway, "Threads:")?,
        })
    }

    /// Waits until nobody is in a room any more, has the rooms end that would wait a minute for somebody, and waits until
    /// there is no more of anything than before.
    pub async fn comes_back(before: &Self, gateway: &Gateway) -> Result<()> {
        let mut last = Self::default();
        let empty = eventually("nobody is left", DEPARTURE_LIMIT, async || {
            last = Self::of(gateway).await?;
            Ok((last.participants == 0 && last.sockets == 0).then_some(()))
        });
        let empty = empty.await;
        empty.with_context(|| format!("{last:?}"))?;
        let rooms = gateway.get("/api/rooms").await?.json()?;
        for room in rooms["rooms"].as_array().context("rooms")? {
            let name = room["roomId"].as_str().context("roomId")?;
            let ended = gateway.delete(&format!("/api/rooms/{name}")).await?;
            ensure!(ended.status == StatusCode::OK, "{name}: {}", ended.body);
        }
        let back = eventually("all is given back", DEPARTURE_LIMIT, async || {
            last = Self::of(gateway).await?;
            // The system's figures may be below: what was needed to begin is needed no more.
            let files = last.descriptors <= before.descriptors
                && last.threads <= before.threads.saturating_add(Self::IDLE_THREADS);
            let same = Self {
                descriptors: before.descriptors,
                threads: before.threads,
                ..last
            };
            Ok((files && same == *before).then_some(()))
        });
        let back = back.await;
        back.with_context(|| format!("{last:?}, before {before:?}"))
    }

    /// The memory of the process, in KiB.
    pub fn resident_kib(gateway: &Gateway) -> Result<u64> {
        status(gateway, "VmRSS:")
    }
}

/// A number of `/proc/PID/status`.
fn status(gateway: &Gateway, name: &str) -> Result<u64> {
    let status = String::from_utf8(gateway.process.proc_file("status")?)?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|line| line.split_whitespace().next());
    Ok(word.with_context(|| format!("no {name}"))?.parse()?)
}
