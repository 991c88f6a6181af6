//! Rooms as the five servers' own clients use them, in a real browser: who is seen, who is heard, and what goes out.

mod control;
mod dialects;
mod faults;
mod layers;
mod programme;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tests::{COLOURS, Gateway, Rooms, eventually};

/// Pictures after which something is taken for going on; a second's worth.
const SOME_PICTURES: u64 = 15;

/// From the last good-bye to the end of what belonged to them.
const GONE_LIMIT: Duration = Duration::from_secs(90);

const SECRET: &str = "a secret of these tests alone";

/// What a dialect's frontend is like.
#[derive(Debug, Clone, Copy)]
struct Dialect {
    name: &'static str,
    /// Whether its server insists on a token.
    has_token: bool,
    /// Whether it tells whose a producer is.
    tells_owner: bool,
}

const STREAMLICK: Dialect = Dialect {
    name: "streamlick",
    has_token: false,
    tells_owner: false,
};
const CAMEL: Dialect = Dialect {
    name: "camel",
    has_token: false,
    tells_owner: true,
};
const NSELF: Dialect = Dialect {
    name: "nself",
    has_token: true,
    tells_owner: true,
};
const MEETLITE: Dialect = Dialect {
    name: "meetlite",
    has_token: true,
    tells_owner: true,
};
const MEETLITE2: Dialect = Dialect {
    name: "meetlite2",
    has_token: true,
    tells_owner: true,
};
const HERMES: Dialect = Dialect {
    name: "hermes",
    has_token: false,
    tells_owner: true,
};
const HERMES_SDP: Dialect = Dialect {
    name: "hermes-sdp",
    has_token: false,
    tells_owner: false,
};

/// A gateway as the dialect's server would have been set up.
async fn gateway(dialect: Dialect) -> Result<Gateway> {
    let variables: &[(&str, &str)] = if dialect.has_token {
        &[("JWT_SECRET", SECRET)]
    } else {
        &[]
    };
    Gateway::start(variables).await
}

/// What a participant brings along: a token with the claims of the dialect's own backend, and a camera in a colour.
fn belongings(dialect: Dialect, name: &str, colour: [u8; 3]) -> Result<Value> {
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_mins(10);
    let claims = match dialect.name {
        "nself" => json!({ "sub": name, "displayName": name, "exp": expires.as_secs() }),
        _ => {
            json!({ "userId": name, "email": format!("{name}@example.org"), "exp": expires.as_secs() })
        }
    };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key)?;
    let mut belongings = json!({ "user": name, "camera": { "colour": colour } });
    if dialect.has_token {
        belongings["token"] = token.into();
    }
    Ok(belongings)
}

/// A room with people in it, each with camera and microphone: host, ann, bob, in the colours of [`COLOURS`].
struct Room {
    gateway: Gateway,
    rooms: Rooms,
    people: Vec<(&'static str, Dialect)>,
    /// `newest` or `old`.
    clients: &'static str,
}

impl Room {
    /// Nobody is there yet.
    async fn open(gateway: Gateway, clients: &'static str) -> Result<Self> {
        let rooms = Rooms::open(&gateway.url(""), None).await?;
        Ok(Self {
            gateway,
            rooms,
            people: Vec::new(),
            clients,
        })
    }

    /// The host and as many guests come, and all publish.
    async fn with(dialect: Dialect, clients: &'static str, guests: usize) -> Result<Self> {
        let mut room = Self::open(gateway(dialect).await?, clients).await?;
        for name in ["host", "ann", "bob"].into_iter().take(1 + guests) {
            room.enter(name, dialect).await?;
        }
        Ok(room)
    }

    /// Somebody comes and publishes.
    async fn enter(&mut self, name: &'static str, dialect: Dialect) -> Result<()> {
        self.rooms.page(name, self.clients).await?;
        self.people.push((name, dialect));
        self.come(name, dialect).await
    }

    /// Somebody whose page is open and fresh comes, and publishes.
    async fn come(&mut self, name: &str, dialect: Dialect) -> Result<()> {
        let mut belongings = belongings(dialect, name, self.colour(name))?;
        if self.clients == "old" {
            // A current Chromium refuses what mediasoup-client 3.7 makes of a picture that comes before the sound.
            belongings["order"] = json!(["audio", "video"]);
        }
        self.rooms
            .join(name, dialect.name, "show", belongings)
            .await?;
        self.rooms.publish(name, json!({})).await.map(drop)
    }

    fn colour(&self, name: &str) -> [u8; 3] {
        let place = self.people.iter().position(|(found, _)| *found == name);
        COLOURS[place.unwrap_or_default()]
    }

    fn names(&self) -> Vec<&'static str> {
        self.people.iter().map(|(name, _)| *name).collect()
    }

    /// The colours of all others.
    fn others(&self, name: &str) -> Vec<[u8; 3]> {
        let others = self.names().into_iter().filter(|other| *other != name);
        others.map(|other| self.colour(other)).collect()
    }

    /// Everybody sees the pictures of everybody else go on, and hears them.
    async fn all_see_and_hear_all(&mut self) -> Result<()> {
        for name in self.names() {
            let others = self.others(name);
            let seen = self.rooms.watches(name, &others, SOME_PICTURES).await?;
            self.rooms.hears(name, others.len()).await?;
            let pictures = seen.iter().filter(|sight| sight.kind == "video").count();
            ensure!(pictures == others.len(), "{name} sees {seen:#?}");
        }
        Ok(())
    }

    /// Ends it: nobody's page may have had trouble, and nothing of them may be left in the gateway.
    async fn end(mut self) -> Result<()> {
        for name in self.names() {
            self.rooms.check_untroubled(name).await?;
            self.rooms.tell(name, "leave", json!({})).await?;
        }
        self.rooms.quit().await?;
        let mut left = Vec::new();
        let gone = eventually("nothing is left of them", GONE_LIMIT, async || {
            left = remains(&self.gateway.get("/metrics").await?.body);
            Ok(left.is_empty().then_some(()))
        });
        gone.await.with_context(|| format!("left: {left:?}"))
    }
}

/// The metrics that tell of people in rooms, if they are not zero, or not there.
fn remains(metrics: &str) -> Vec<String> {
    let counted = ["participants", "transports", "producers", "consumers"];
    let remains = counted.map(|what| {
        let name = format!("castgate_room_{what} ");
        let line = metrics.lines().find(|line| line.starts_with(&name));
        line.map_or(name, str::to_owned)
    });
    remains
        .into_iter()
        .filter(|line| !line.ends_with(" 0"))
        .collect()
}
