//! Clients of rooms that mean harm or know no better, each beside a calm room: they are refused in the words of their
//! dialect or put out, nothing is left unanswered, and the calm room does not notice.

mod dialects;
mod secrets;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{Crowd, Footprint, Gateway, eventually};

use dialects::{DIALECTS, nonsense, refused};

/// The largest WebSocket message that a client may send.
const MESSAGE_LIMIT: usize = 256 * 1024;

/// How many answers of the calm room are compared at least.
const PACES: usize = 40;

/// A gateway, a calm room, and room for those who mean harm.
struct Scene {
    gateway: Gateway,
    calm: Crowd,
    eve: Crowd,
    before: Vec<f64>,
}

impl Scene {
    async fn open() -> Result<Self> {
        let gateway = Gateway::start(&[]).await?;
        let mut calm = Crowd::open(&gateway.url("")).await?;
        for name in ["ada", "bob"] {
            let options = json!({ "auth": { "dialect": "sfu" } });
            calm.connect(name, options).await?;
            let ask = json!(["joinRoom", { "roomId": "calm", "peerId": name }]);
            let joined = calm.ask(name, ask).await?;
            ensure!(joined["success"] == true, "{joined}");
        }
        begin_pace(&mut calm).await?;
        let before = end_pace(&mut calm).await?;
        begin_pace(&mut calm).await?;
        let eve = Crowd::open(&gateway.url("")).await?;
        Ok(Self {
            gateway,
            calm,
            eve,
            before,
        })
    }

    /// Connects somebody of a dialect.
    async fn enter(&mut self, name: &str, dialect: &str) -> Result<()> {
        let auth = json!({ "dialect": dialect, "userId": name });
        self.eve.connect(name, json!({ "auth": auth })).await
    }

    /// That the calm room was answered all the time, and as fast as before, by the order of magnitude; that nobody has left
    /// it; and that nothing broke.
    async fn check_calm(mut self) -> Result<()> {
        let mut during = end_pace(&mut self.calm).await?;
        during.sort_by(f64::total_cmp);
        let usual = during[during.len() / 2];
        let slowest = self.before.iter().copied().fold(0.0, f64::max);
        assert!(usual <= 10.0 * slowest, "{usual} ms, before {slowest} ms");
        let view = self.gateway.get("/api/rooms/calm").await?.json()?;
        assert_eq!(view["peersCount"], 2, "{view}");
        assert!(self.calm.heard("bob", "peerLeft").await?.is_empty());
        unbroken(&self.gateway).await
    }
}

async fn begin_pace(calm: &mut Crowd) -> Result<()> {
    let pace = json!({ "name": "ada", "ask": ["getProducers"] });
    calm.tell("pace", pace).await.map(drop)
}

async fn end_pace(calm: &mut Crowd) -> Result<Vec<f64>> {
    let paced = json!({ "name": "ada", "atLeast": PACES });
    let took = calm.tell("paced", paced).await.context("the calm room")?;
    Ok(serde_json::from_value(took)?)
}

async fn unbroken(gateway: &Gateway) -> Result<()> {
    for name in ["castgate_panics_total", "castgate_worker_panics"] {
        assert_eq!(metric(gateway, name).await?, 0, "{name}");
    }
    let log = gateway.process.output()?;
    assert!(!log.contains("panicked at"), "{log}");
    Ok(())
}

async fn metric(gateway: &Gateway, name: &str) -> Result<u64> {
    let metrics = gateway.get("/metrics").await?.body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name}"))?.parse()?)
}

/// Says events as somebody, all with the same arguments; every one must be answered.
async fn ask_all(
    scene: &mut Scene,
    name: &str,
    events: &[&str],
    arguments: &Value,
) -> Result<Vec<Value>> {
    let arguments = arguments.as_array().context("arguments")?;
    let asks: Vec<Value> = events
        .iter()
        .map(|event| {
            let ask = std::iter::once(json!(event)).chain(arguments.iter().cloned());
            ask.collect()
        })
        .collect();
    let answers = scene.eve.tell("ask", json!({ "name": name, "asks": asks }));
    let answers = answers.await?;
    let answers = answers.as_array().context("answers")?.clone();
    for (event, answer) in events.iter().zip(&answers) {
        let lost = answer.get("hung").or(answer.get("ended"));
        assert!(lost.is_none(), "{name}: {event} {answer}");
    }
    Ok(answers)
}

#[tokio::test]
async fn nonsense_is_refused_in_the_words_of_the_dialect() -> Result<()> {
    let mut scene = Scene::open().await?;

    for dialect in DIALECTS {
        for (what, arguments) in nonsense() {
            let name = format!("{}-{what}", dialect.name);
            scene.enter(&name, dialect.name).await?;

            let events = [dialect.entering, dialect.naming].concat();
            let outside = ask_all(&mut scene, &name, &events, &arguments).await?;
            ask_all(&mut scene, &name, dialect.harmless, &arguments).await?;
            let enter = dialect.enter(&format!("room-{}", dialect.name), &name);
            let entered = scene.eve.ask(&name, enter).await?;
            let inside = ask_all(&mut scene, &name, dialect.naming, &arguments).await?;

            assert!(entered.get("error").is_none(), "{name}: {entered}");
            for (event, answer) in events
                .iter()
                .zip(&outside)
                .chain(dialect.naming.iter().zip(&inside))
            {
                refused(dialect.name, event, answer).with_context(|| name.clone())?;
            }
            if dialect.pushes {
                let told = scene.eve.heard(&name, "error").await?;
                let answered = outside.iter().chain(&inside).map(|answer| &answer["error"]);
                let told = told.iter().map(|error| &error["message"]);
                assert!(told.eq(answered), "{name}");
            }
            scene
                .eve
                .tell("go", json!({ "name": name, "how": "close" }))
                .await?;
        }
    }
    scene.check_calm().await
}

#[tokio::test]
async fn what_belongs_to_others_is_not_there() -> Result<()> {
    let mut scene = Scene::open().await?;

    for dialect in DIALECTS.iter().filter(|dialect| dialect.name != "meetlite") {
        let name = dialect.name;
        let options = json!({ "url": scene.gateway.url(""), "dialect": name, "room": name });
        let answers = scene.eve.tell("trespass", options).await?;

        for (what, [sfu, nself, streamlick, meetlite2]) in dialects::TRESPASSES {
            let words = match name {
                "sfu" => sfu,
                "nself" => nself,
                "streamlick" => streamlick,
                _ => meetlite2,
            };
            assert_eq!(
                answers[what]["error"], words,
                "{name}: {what} {}",
                answers[what]
            );
            refused(name, what, &answers[what])?;
        }
        for granted in ["consumeOwn", "ownerIsThere"] {
            let answer = &answers[granted];
            assert!(answer.get("error").is_none(), "{name}: {granted} {answer}");
        }
    }
    scene.check_calm().await
}

#[tokio::test]
async fn what_is_too_large_or_too_deep_is_refused_or_ends_the_connection() -> Result<()> {
    let mut scene = Scene::open().await?;
    // `42` and the number of the answer stand before the event.
    let frame = r#"420["joinRoom",{"roomId":""}]"#.len();
    let monsters = [
        ("below", json!({ "bytes": MESSAGE_LIMIT - frame }), true),
        (
            "above",
            json!({ "bytes": MESSAGE_LIMIT - frame + 1 }),
            false,
        ),
        ("far-above", json!({ "bytes": 4 * MESSAGE_LIMIT }), false),
        ("deep", json!({ "depth": 1000 }), true),
        ("binary", json!({ "binary": 1000 }), true),
    ];

    for polling in [false, true] {
        for (what, monster, answered) in &monsters {
            let name = format!("{what}-{polling}");
            let options = json!({ "auth": { "dialect": "sfu" }, "polling": polling });
            scene.eve.connect(&name, options).await?;
            let mut monster = monster.clone();
            monster["name"] = json!(name);
            monster["event"] = json!("joinRoom");
            monster["field"] = json!("roomId");
            let answer = scene.eve.tell("monster", monster).await?;

            assert!(answer.get("hung").is_none(), "{name}: {answer}");
            assert_eq!(answer.get("error").is_some(), *answered, "{name}: {answer}");
        }
    }
    scene.check_calm().await
}

#[tokio::test]
async fn what_is_no_socket_io_is_passed_over_or_ends_the_connection() -> Result<()> {
    let mut scene = Scene::open().await?;
    let deep = format!(
        "42[\"joinRoom\",{}{}]",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let texts = [
        deep.as_str(),
        "",
        "9",
        "4",
        "42",
        "42[",
        "42{}",
        "42[1,2]",
        "42[\"\\u0000\"]",
        "42-1[\"getProducers\"]",
        "42999999999999999999999[\"getProducers\"]",
        "42/unknown,[\"getProducers\"]",
        "42[\"connect\"]",
        "42[\"disconnect\"]",
        "42[\"__proto__\",{\"__proto__\":{}}]",
        "43[1]",
        "43999999[1]",
        "44{}",
        "451-[\"joinRoom\",{\"_placeholder\":true,\"num\":0}]",
        "459999999-[\"joinRoom\"]",
        "40{}",
        "40/sfu,{}",
        "41",
    ];

    for (number, text) in texts.iter().enumerate() {
        let name = format!("garbage-{number}");
        scene.enter(&name, "sfu").await?;
        let write = json!({ "name": name, "text": text, "ask": ["getRouterRtpCapabilities", {}] });
        let answer = scene.eve.tell("write", write).await?;

        let goes_on = answer.get("rtpCapabilities").is_some();
        // Who says good-bye and asks once more is answered or cut off, whichever the connection comes to first.
        let is_ending = answer["error"] == "the connection is ending";
        let ends = answer.get("ended").is_some() || is_ending;
        assert!(goes_on || ends, "{number}: {answer}");
    }
    scene.check_calm().await
}

#[tokio::test]
async fn a_flood_is_answered_and_ended() -> Result<()> {
    let mut scene = Scene::open().await?;

    for dialect in ["sfu", "nself", "streamlick", "meetlite", "meetlite2"] {
        scene.enter(dialect, dialect).await?;
        // Twice as much as somebody is granted at once; then as much as nobody needs.
        for (times, ends) in [(512, false), (10_000, true)] {
            let rush = json!({ "name": dialect, "ask": ["consume", {}], "times": times });
            let answers = scene.eve.tell("rush", rush).await?;
            let answers = answers.as_array().context("answers")?;
            let ended = scene.eve.tell("ended", json!({ "name": dialect })).await?;

            let hung = answers.iter().find(|answer| answer.get("hung").is_some());
            assert_eq!(hung, None, "{dialect}: {times}");
            let refused = |answer: &&Value| answer["error"] == "too many requests";
            let refusals = answers.iter().filter(refused).count();
            assert!(
                ends || (1..=256).contains(&refusals),
                "{dialect}: {refusals}"
            );
            assert_eq!(ended.is_null(), !ends, "{dialect}: {times}");
        }
    }
    scene.check_calm().await
}

#[tokio::test]
async fn who_reads_no_answers_loses_the_place() -> Result<()> {
    let mut scene = Scene::open().await?;
    scene.enter("deaf", "sfu").await?;
    let ask = json!(["joinRoom", { "roomId": "loud", "peerId": "deaf" }]);
    let joined = scene.eve.ask("deaf", ask).await?;
    assert_eq!(joined["success"], true, "{joined}");

    scene.eve.tell("deafen", json!({ "name": "deaf" })).await?;
    let says = json!([["getRouterRtpCapabilities", {}]]);
    let flood = json!({ "name": "deaf", "says": says, "times": 5000 });
    scene.eve.tell("say", flood).await?;

    // The place is kept for 15 s, for whoever comes back.
    let limit = std::time::Duration::from_secs(90);
    eventually("only the calm are left", limit, async || {
        let left = Footprint::of(&scene.gateway).await?.participants;
        Ok((left == 2).then_some(()))
    })
    .await?;
    scene.check_calm().await
}

#[tokio::test]
async fn who_has_left_is_not_listened_to() -> Result<()> {
    let mut scene = Scene::open().await?;
    scene.enter("gone", "sfu").await?;
    let join = json!(["joinRoom", { "roomId": "left", "peerId": "gone" }]);
    scene.eve.ask("gone", join).await?;

    // The namespace is left, and then spoken to.
    for text in [
        "41",
        "42[\"joinRoom\",{\"roomId\":\"left\",\"peerId\":\"again\"}]",
    ] {
        scene
            .eve
            .tell("write", json!({ "name": "gone", "text": text }))
            .await?;
    }

    let limit = std::time::Duration::from_mins(1);
    eventually("the room is empty", limit, async || {
        let room = scene.gateway.get("/api/rooms/left").await?.json()?;
        Ok((room["peersCount"] == 0).then_some(()))
    })
    .await?;
    scene.check_calm().await
}
